//! Sessions, run over the table of conversations at every cut of their bytes, and over soup.
//!
//! `MAILFLY_TRANSCRIPT=part of a name` runs only those.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod fake;
mod starttls;
mod table;

use std::sync::LazyLock;

use fake::{Fake, Room};
use mailfly::limits::{
    BODY_JOINED_BYTES, BODY_PIECE_BYTES_SHORT, BODY_PIECES_MAX, FAULTS_MAX, LINE_BYTES_MAX,
    REPLY_BYTES_MAX,
};
use mailfly::output::Output;
use mailfly::progress::Then;
use mailfly::smtp::hostname::Hostname;
use mailfly::smtp::reply::{Goodbye, Refusal};
use mailfly::smtp::session::{Policy, Session, Settings};
use proptest::prelude::*;
use table::{HOSTNAME, MESSAGE_BYTES_MAX, Stored, Transcript, Turn, without_ids};

static SERVER: LazyLock<Hostname> = LazyLock::new(|| HOSTNAME.parse().unwrap());

/// A client and a server joined by nothing but slices.
struct Line {
    session: Session<fake::Draft>,
    policy: Policy,
    world: Fake,
    output: Output,
    /// What the session has not consumed.
    kept: Vec<u8>,
    replies: Vec<u8>,
    closed: bool,
    message_bytes_max: usize,
    faults_max: u8,
    /// Whether STARTTLS is offered.
    starttls: bool,
    /// It was answered: the rest is for TLS.
    encrypting: bool,
}

impl Line {
    fn open(policy: Policy, output_bytes: usize, room: Room) -> Self {
        let mut line = Self {
            session: Session::new(),
            policy,
            world: Fake { room, ..Fake::default() },
            output: Output::with_capacity(output_bytes),
            kept: vec![],
            replies: vec![],
            closed: false,
            message_bytes_max: MESSAGE_BYTES_MAX,
            faults_max: FAULTS_MAX,
            starttls: false,
            encrypting: false,
        };
        line.session.greeting(&line.settings(), &mut line.output);
        line.flush();
        line
    }

    fn settings(&self) -> Settings<'static> {
        Settings::new(&SERVER, self.policy, self.message_bytes_max)
            .with_starttls(self.starttls)
            .with_faults_max(self.faults_max)
    }

    fn flush(&mut self) {
        self.replies.extend_from_slice(self.output.as_slice());
        self.output.clear();
    }

    fn send(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        while !self.closed && !self.encrypting {
            let settings = self.settings();
            let progress =
                self.session.receive(&settings, &self.kept, &mut self.world, &mut self.output);
            self.kept.drain(..progress.consumed);
            self.flush();
            match progress.then {
                Then::Continue => {
                    assert!(self.kept.len() < LINE_BYTES_MAX, "more is kept than a line");
                    return;
                }
                Then::Flush | Then::Yield => {}
                Then::Encrypt => self.encrypting = true,
                Then::Close => self.closed = true,
            }
        }
    }

    fn hang_up(&mut self) {
        self.session.closed(&mut self.world);
        self.session.closed(&mut self.world);
        assert!(self.session.is_idle());
        assert_eq!(
            self.world.opened,
            self.world.committed + self.world.abandoned,
            "a draft was lost"
        );
    }

    fn replies(&self) -> String {
        without_ids(str::from_utf8(&self.replies).unwrap())
    }
}

/// What a conversation came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    replies: String,
    stored: Vec<Stored>,
    closed: bool,
}

/// Sends `pieces`, one after another, and hangs up.
fn converse<'a>(
    policy: Policy,
    output_bytes: usize,
    room: Room,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let mut line = Line::open(policy, output_bytes, room);
    for piece in pieces {
        line.send(piece);
    }
    line.hang_up();
    let replies = line.replies();
    Outcome { replies, stored: line.world.stored, closed: line.closed }
}

/// The table, or the part of it that was asked for.
fn transcripts() -> Vec<Transcript> {
    let wanted = std::env::var("MAILFLY_TRANSCRIPT").unwrap_or_default();
    let transcripts = table::all().into_iter().filter(|talk| talk.name.contains(&wanted));
    transcripts.collect()
}

fn expected(transcript: &Transcript) -> Outcome {
    Outcome {
        replies: transcript.replies(),
        stored: transcript.stored.clone(),
        closed: transcript.closes,
    }
}

#[test]
fn in_step_each_turn_gets_its_own_replies() {
    for transcript in transcripts() {
        let name = transcript.name;
        let mut line = Line::open(transcript.policy, 4096, Room::default());
        let mut expected = String::new();
        for turn in &transcript.turns {
            match turn {
                Turn::Client(bytes) => {
                    assert_eq!(line.replies(), expected, "{name}");
                    line.send(bytes);
                }
                Turn::Server(replies) => expected += replies,
            }
        }
        assert_eq!(line.replies(), expected, "{name}");
        assert_eq!(line.closed, transcript.closes, "{name}");
        line.hang_up();
        assert_eq!(line.world.stored, transcript.stored, "{name}");
    }
}

#[test]
fn in_one_piece_and_with_the_smallest_output_all_is_the_same() {
    for transcript in transcripts() {
        for output_bytes in [64 * 1024, REPLY_BYTES_MAX, REPLY_BYTES_MAX + 100] {
            let sent = transcript.sent();
            let outcome =
                converse(transcript.policy, output_bytes, Room::default(), [sent.as_slice()]);
            assert_eq!(outcome, expected(&transcript), "{}", transcript.name);
        }
    }
}

#[test]
fn byte_by_byte_all_is_the_same() {
    for transcript in transcripts() {
        let sent = transcript.sent();
        let outcome = converse(transcript.policy, 4096, Room::default(), sent.chunks(1));
        assert_eq!(outcome, expected(&transcript), "{}", transcript.name);
    }
}

#[test]
fn at_every_cut_all_is_the_same() {
    for transcript in transcripts() {
        let sent = transcript.sent();
        for cut in 0..=sent.len() {
            let (before, after) = sent.split_at(cut);
            let outcome = converse(transcript.policy, 4096, Room::default(), [before, after]);
            assert_eq!(outcome, expected(&transcript), "{} cut at {cut}", transcript.name);
        }
    }
}

/// The same at every cut of a conversation in a world with little room.
fn in_little_room(room: Room, sent: &str, replies: &str, stored: &[&str]) {
    for policy in [Policy::Curt, Policy::Rfc] {
        for cut in 0..=sent.len() {
            let (before, after) = sent.as_bytes().split_at(cut);
            let outcome = converse(policy, 4096, room, [before, after]);
            assert_eq!(outcome.replies, replies, "{policy:?} at {cut}");
            let bodies: Vec<&[u8]> =
                outcome.stored.iter().map(|message| message.bytes.as_slice()).collect();
            let expected: Vec<&[u8]> = stored.iter().map(|body| body.as_bytes()).collect();
            assert_eq!(bodies, expected, "{policy:?} at {cut}");
            assert!(!outcome.closed, "{policy:?} at {cut}");
        }
    }
}

const GREETING: &str = "220 mx.test ESMTP mailfly\r\n250 mx.test\r\n";
const FULL: &str = "452 4.3.1 Insufficient storage, try again later\r\n";

#[test]
fn no_draft_left_is_no_fault_of_a_client_that_had_sent_on() {
    in_little_room(
        Room { drafts_opened_max: 1, ..Room::default() },
        "HELO a\r\nMAIL FROM:<a@x>\r\nRSET\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n\
         MAIL FROM:<a@x>\r\nNOOP\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n",
        &format!(
            "{GREETING}250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n{}250 2.0.0 Ok\r\n{}250 2.0.0 Ok\r\n",
            FULL.repeat(4),
            FULL.repeat(2)
        ),
        &[],
    );
}

#[test]
fn a_body_that_finds_no_room_is_read_to_its_true_end() {
    in_little_room(
        Room { draft_bytes_max: 8, ..Room::default() },
        "HELO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n123456\r\nQUIT\r\n..\r\n.\r\n\
         MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n123456\r\n.\r\n\
         MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 6\r\n123456BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n\
         MAIL FROM:<a@x>\r\n",
        &format!(
            "{GREETING}250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n{FULL}\
             250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n\
             250 2.0.0 Ok: stored as {{id}}\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n\
             250 2.0.0 6 octets received\r\n{FULL}{FULL}250 2.1.0 Ok\r\n"
        ),
        &["123456\r\n"],
    );
}

#[test]
fn recipients_that_are_refused_leave_the_others_and_none_is_no_fault() {
    in_little_room(
        Room { local_part_bytes_max: 1, ..Room::default() },
        "HELO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<long@y>\r\nRCPT TO:<b@y>\r\nDATA\r\nhi\r\n.\r\n\
         MAIL FROM:<a@x>\r\nRCPT TO:<long@y>\r\nDATA\r\n\
         MAIL FROM:<a@x>\r\nRCPT TO:<long@y>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
        &format!(
            "{GREETING}250 2.1.0 Ok\r\n{long}250 2.1.5 Ok\r\n\
             354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok: stored as {{id}}\r\n\
             250 2.1.0 Ok\r\n{long}{none}250 2.1.0 Ok\r\n{long}{none}{none}250 2.0.0 Ok\r\n",
            long = "553 5.1.3 Mailbox name not allowed\r\n",
            none = "554 5.5.1 No valid recipients\r\n",
        ),
        &["hi\r\n"],
    );
}

#[test]
fn a_body_in_one_read_goes_straight_from_the_read_buffer_into_its_commit() {
    for body in ["DATA\r\none\r\n..two\r\n.\r\n", "BDAT 11 LAST\r\none\r\n.two\r\n"] {
        let mut line = Line::open(Policy::Curt, 4096, Room::default());
        line.send(b"EHLO there\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n");
        line.send(body.as_bytes());
        assert_eq!(line.world.stored[0].bytes, b"one\r\n.two\r\n");
        assert_eq!(line.world.rest_bytes, 11, "{body:?}");
    }
    // As many pieces as are gathered go with the commit too.
    let mut line = Line::open(Policy::Curt, 4096, Room::default());
    line.send(b"EHLO there\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n");
    line.send(format!("DATA\r\n{}.\r\n", "..\r\n".repeat(BODY_PIECES_MAX)).as_bytes());
    assert_eq!(line.world.rest_bytes, 3 * BODY_PIECES_MAX);
}

#[test]
fn pieces_of_a_few_bytes_are_copied_together_and_longer_ones_are_not() {
    let sent = |body: &str, message_bytes_max| {
        let mut line = Line::open(Policy::Curt, 4096, Room::default());
        line.message_bytes_max = message_bytes_max;
        line.send(b"EHLO there\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
        line.send(format!("{body}.\r\n").as_bytes());
        line
    };
    let appends = |dot_line: &str| {
        let body = dot_line.repeat(4000);
        let bytes = body.len() - 4000;
        let line = sent(&body, bytes);
        assert_eq!(line.world.stored[0].bytes.len(), bytes);
        let refused = sent(&body, bytes - 1);
        assert!(refused.replies().ends_with("552 5.3.4 Message too large\r\n"));
        (line.world.appends, bytes)
    };
    let (copied, bytes) = appends("..\r\n");
    assert!(copied < BODY_PIECES_MAX + 2 * bytes / BODY_JOINED_BYTES, "{copied}");
    let (sliced, _) = appends(&format!("..{}\r\n", "x".repeat(BODY_PIECE_BYTES_SHORT)));
    assert_eq!(sliced, 4000);
}

#[test]
fn the_world_is_told_who_the_client_is_and_what_it_asked_for() {
    let mut line = Line::open(Policy::Curt, 4096, Room::default());
    let message = b"RCPT TO:<b@y>\r\nDATA\r\n.\r\n";
    line.send(b"EHLO h\xf6st-(1) and more\r\nMAIL FROM:<a@x> BODY=8BITMIME SMTPUTF8\r\n");
    line.send(message);
    assert_eq!(line.world.client, Some(("h?st-(1)".to_owned(), true, true, true)));
    line.send(format!("HELO {}\r\nMAIL FROM:<a@x>\r\n", "n".repeat(255)).as_bytes());
    line.send(message);
    assert_eq!(line.world.client, Some(("n".repeat(64), false, false, false)));
}

#[test]
fn goodbye_is_said_in_any_state_and_gives_the_draft_back() {
    for sent in [
        "",
        "HELO a\r\nMAIL FROM:<a@x>\r\n",
        "HELO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nhi",
        "HELO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 5\r\nhi",
        "HELO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 2\r\nhiBDAT 5 LAST\r\nhi",
    ] {
        for (goodbye, reply) in [
            (Goodbye::ShuttingDown, "421 4.3.2 mx.test Shutting down\r\n"),
            (Goodbye::TimedOut, "421 4.4.2 mx.test Timed out\r\n"),
        ] {
            let mut line = Line::open(Policy::Curt, 4096, Room::default());
            line.send(sent.as_bytes());
            assert_eq!(line.session.is_idle(), sent.is_empty());
            assert_eq!(line.session.is_within_message(), sent.ends_with("hi"));
            let settings = line.settings();
            line.session.dismiss(goodbye, &settings, &mut line.world, &mut line.output);
            assert_eq!(line.output.as_slice(), reply.as_bytes());
            line.send(b"NOOP\r\n");
            assert!(line.closed);
            line.hang_up();
        }
    }
}

#[test]
fn faults_and_refusals_are_told_to_the_world() {
    let mut line = Line::open(Policy::Rfc, 4096, Room::default());
    line.send(b"x\r\nHELO a\r\nMAIL FROM:<a@x> SIZE=1000\r\nEXPN x\r\n");
    assert_eq!(line.world.faults.len(), 2);
    assert_eq!(line.world.refusals, [Refusal::MessageTooLarge]);
}

#[test]
fn as_many_faults_are_forgiven_as_the_settings_say_and_none_by_curt() {
    for faults_max in [1, 2, 3, FAULTS_MAX] {
        let mut line = Line::open(Policy::Rfc, 4096, Room::default());
        line.faults_max = faults_max;
        for fault in 1..=faults_max {
            assert!(!line.closed, "{fault} of {faults_max}");
            line.send(b"x\r\n");
        }
        assert!(line.closed && line.replies().contains("\r\n421 "), "{faults_max}");
    }
    // Curt does not wait for a chunk that has no place here either.
    let mut line = Line::open(Policy::Curt, 4096, Room::default());
    line.send(b"HELO a\r\nBDAT 6\r\n");
    assert!(line.closed && line.replies().ends_with("550 No such user\r\n"));
}

#[test]
fn after_a_chunk_that_is_thrown_away_only_chunks_and_a_new_message_have_their_place() {
    let room = Room { draft_bytes_max: 1, too_long: Refusal::Discarded, ..Room::default() };
    let mut line = Line::open(Policy::Rfc, 4096, room);
    line.send(b"HELO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 2\r\nhi");
    line.replies.clear();
    line.send(b"RCPT TO:<c@y>\r\nDATA\r\nBDAT 2 LAST\r\nhoMAIL FROM:<a@x>\r\n");
    let bad_sequence = "503 5.5.1 Bad sequence of commands\r\n";
    let taken = "250 2.0.0 Ok\r\n";
    assert_eq!(line.replies(), [bad_sequence, bad_sequence, taken, "250 2.1.0 Ok\r\n"].concat());
    assert!(line.world.stored.is_empty());
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session<[u64; 4]>>() <= 192, "{}", size_of::<Session<[u64; 4]>>());
}

/// Bytes of which most make sense, so that every state is reached.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        6 => prop::sample::select(vec![
            "EHLO a\r\n", "HELO a\r\n", "MAIL FROM:<a@x>\r\n", "MAIL FROM:<a@x>\r\n",
            "RCPT TO:<b@y>\r\n", "RCPT TO:<b@y>\r\n", "RCPT TO:<toolong@y>\r\n", "DATA\r\n",
            "DATA\r\n", "BDAT 5\r\n", "BDAT 3 LAST\r\n", "BDAT 200\r\n", "RSET\r\n", "NOOP\r\n",
            "VRFY a\r\n", "MAIL FROM:<a@x> SIZE=200\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        3 => prop::sample::select(vec![".\r\n", "..", "\r\n.\r\n", "\r", "\n", "\r\n", ".", "hi"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (0usize..1200).prop_map(|length| vec![b'z'; length]),
    ];
    prop::collection::vec(word, 0..24)
        .prop_map(|words| [b"EHLO a\r\n".to_vec(), words.concat()].concat())
}

proptest! {
    /// Also that output never overflows and that no draft is lost, which `send` and `hang_up` see.
    #[test]
    fn whatever_is_sent_the_cuts_change_nothing(
        sent in soup(),
        cuts in prop::collection::vec(1usize..200, 1..20),
        rfc: bool,
        output_bytes in REPLY_BYTES_MAX..2048,
    ) {
        let policy = if rfc { Policy::Rfc } else { Policy::Curt };
        let room = Room { local_part_bytes_max: 3, ..Room::default() };
        let whole = converse(policy, 64 * 1024, room, [sent.as_slice()]);
        let mut pieces = vec![];
        let mut rest = sent.as_slice();
        for &cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(&converse(policy, output_bytes, room, pieces), &whole);
        prop_assert_eq!(&converse(policy, output_bytes, room, sent.chunks(1)), &whole);
    }

    #[test]
    fn a_world_that_runs_out_loses_no_draft(
        sent in soup(),
        cut in 1usize..200,
        rfc: bool,
        drafts_opened_max in 0usize..3,
        draft_bytes_max in 0usize..12,
    ) {
        let policy = if rfc { Policy::Rfc } else { Policy::Curt };
        let room = Room { drafts_opened_max, draft_bytes_max, ..Room::default() };
        converse(policy, 1024, room, sent.chunks(cut));
    }
}
