//! Whole sessions of SMTP, DATA and BDAT in them, with a world of vectors: however the bytes are
//! cut, the replies and the messages are the same, and every draft is given back once.

use std::sync::LazyLock;

use mailfly::limits::{LINE_BYTES_MAX, REPLY_BYTES_MAX};
use mailfly::output::Output;
use mailfly::progress::Then;
use mailfly::smtp::address::Address;
use mailfly::smtp::command::Mail;
use mailfly::smtp::hostname::Hostname;
use mailfly::smtp::reply::Refusal;
use mailfly::smtp::session::{Client, Policy, Session, Settings, World};

static SERVER: LazyLock<Hostname> = LazyLock::new(|| "mx.test".parse().unwrap());

/// The first byte of the input says under which policy and in how much room, the second how the
/// rest, which a client sends, is cut.
pub fn holds(input: &[u8]) {
    let [flags, step, sent @ ..] = input else { return };
    let policy = if flags & 1 == 0 { Policy::Curt } else { Policy::Rfc };
    let room = Room {
        drafts_opened_max: if flags & 2 == 0 { u32::MAX } else { 2 },
        local_part_bytes_max: if flags & 4 == 0 { usize::MAX } else { 3 },
        draft_bytes_max: if flags & 8 == 0 { usize::MAX } else { 12 },
    };
    // Little, so that short inputs pass it; or enough for many short pieces to be copied together.
    let message_bytes_max = if flags & 32 == 0 { 100 } else { 1500 };
    let output_bytes = if flags & 16 == 0 { 64 * 1024 } else { REPLY_BYTES_MAX };
    let whole = converse(policy, room, message_bytes_max, output_bytes, [sent]);
    let cut =
        converse(policy, room, message_bytes_max, 4096, sent.chunks(usize::from(*step).max(1)));
    // Whether a message is too long for the cap or for the room depends on who is asked first.
    if room.draft_bytes_max == usize::MAX {
        assert_eq!(cut, whole, "in pieces of {step}");
    }
}

/// What a conversation came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    replies: Vec<u8>,
    stored: Vec<Message>,
    closed: bool,
}

fn converse<'a>(
    policy: Policy,
    room: Room,
    message_bytes_max: usize,
    output_bytes: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let settings = Settings::new(&SERVER, policy, message_bytes_max);
    let mut output = Output::with_capacity(output_bytes);
    let mut world = Fake { message_bytes_max, room, stored: vec![], opened: 0, given_back: 0 };
    let (mut session, mut kept, mut replies, mut closed) = (Session::new(), vec![], vec![], false);
    session.greeting(&settings, &mut output);
    replies.extend_from_slice(output.as_slice());
    output.clear();
    for piece in pieces {
        kept.extend_from_slice(piece);
        while !closed {
            let progress = session.receive(&settings, &kept, &mut world, &mut output);
            kept.drain(..progress.consumed);
            replies.extend_from_slice(output.as_slice());
            output.clear();
            match progress.then {
                Then::Continue => break,
                Then::Flush | Then::Yield => {}
                Then::Encrypt => panic!("it is not offered"),
                Then::Close => closed = true,
            }
        }
        assert!(closed || kept.len() < LINE_BYTES_MAX, "more is kept than a line");
    }
    // A message that is refused is read to its end after its draft was given back.
    assert!(world.opened - world.given_back <= u32::from(!session.is_idle()));
    session.closed(&mut world);
    assert_eq!(world.opened, world.given_back, "a draft was lost");
    are_replies(&replies);
    Outcome { replies, stored: world.stored, closed }
}

/// Lines, each with its code, and nothing in them that a terminal would obey.
fn are_replies(replies: &[u8]) {
    let text = str::from_utf8(replies).expect("replies are text");
    assert!(text.is_empty() || text.ends_with("\r\n"));
    for line in text.split_terminator("\r\n") {
        let (code, rest) = line.split_at(3);
        assert!(
            code.bytes().all(|byte| byte.is_ascii_digit()) && rest.starts_with([' ', '-']),
            "{line:?}"
        );
        assert!(line.len() < REPLY_BYTES_MAX && !line.chars().any(char::is_control), "{line:?}");
    }
}

/// How many drafts and how much name and body there is room for.
#[derive(Clone, Copy)]
struct Room {
    drafts_opened_max: u32,
    local_part_bytes_max: usize,
    draft_bytes_max: usize,
}

/// A message, or the draft of one: it cannot be copied, so that it is given back only once.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    reverse_path: String,
    forward_paths: Vec<String>,
    client: String,
    bytes: Vec<u8>,
}

struct Fake {
    message_bytes_max: usize,
    room: Room,
    stored: Vec<Message>,
    opened: u32,
    given_back: u32,
}

impl World for Fake {
    type Draft = Message;
    type Id = String;

    fn open(&mut self, mail: &Mail<'_>) -> Result<Message, Refusal> {
        if self.opened >= self.room.drafts_opened_max {
            return Err(Refusal::DraftsFull);
        }
        self.opened += 1;
        Ok(Message {
            reverse_path: mail.reverse_path.text().to_owned(),
            forward_paths: vec![],
            client: String::new(),
            bytes: vec![],
        })
    }

    fn recipient(
        &mut self,
        draft: &mut Message,
        forward_path: &Address<'_>,
    ) -> Result<(), Refusal> {
        if forward_path.local_part().len() > self.room.local_part_bytes_max {
            return Err(Refusal::NameNotAllowed);
        }
        draft.forward_paths.push(forward_path.text().to_owned());
        Ok(())
    }

    fn append(&mut self, draft: &mut Message, bytes: &[u8]) -> Result<(), Refusal> {
        assert!(draft.bytes.len() + bytes.len() <= self.message_bytes_max, "the cap comes first");
        if draft.bytes.len() + bytes.len() > self.room.draft_bytes_max {
            return Err(Refusal::DraftsFull);
        }
        draft.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn commit(
        &mut self,
        mut draft: Message,
        rest: &[&[u8]],
        client: &Client<'_>,
    ) -> Result<String, Refusal> {
        self.given_back += 1;
        for bytes in rest {
            self.append(&mut draft, bytes)?;
        }
        assert!(!draft.forward_paths.is_empty(), "a message for nobody");
        draft.client = format!("{client:?}");
        self.stored.push(draft);
        Ok(self.stored.len().to_string())
    }

    fn abandon(&mut self, _: Message) {
        self.given_back += 1;
    }
}
