//! Conversations with the client's state machine, each at every cut of the replies.

use super::*;

/// A run in which so many messages are due at once.
#[derive(Default)]
struct Run {
    due: u64,
    begun: u64,
    stored: Vec<(u64, String)>,
    phases: Vec<Phase>,
}

impl World for Run {
    fn next(&mut self, now: Nanoseconds) -> Option<Message> {
        (self.begun < self.due).then(|| {
            self.begun += 1;
            Message { sequence: self.begun, scheduled: now, started: now }
        })
    }
    fn ending(&self) -> bool {
        self.begun == self.due
    }
    fn replied(&mut self, phase: Phase, _after: Nanoseconds) {
        self.phases.push(phase);
    }
    fn stored(&mut self, message: &Message, reply: &[u8], _now: Nanoseconds) {
        self.stored.push((message.sequence, String::from_utf8_lossy(reply).trim_end().to_owned()));
    }
}

/// A turn of a conversation: what the server says, and what the client sends then.
type Turn = (&'static str, &'static [(Script, u64, u64)]);

fn manner(shape: Shape, recipients: u16, messages_per_connection: u32) -> Manner {
    Manner { shape, starttls: false, recipients, messages_per_connection }
}

/// Plays a conversation with each turn's replies cut in two at every place.
fn converse(manner: Manner, due: u64, turns: &[Turn]) -> Run {
    let longest = turns.iter().map(|(says, _)| says.len()).max().unwrap();
    let mut last = Run::default();
    for cut in 0..=longest {
        let mut run = Run { due, ..Run::default() };
        let mut connection = Connection::new(manner);
        connection.open(None, 0);
        for (now, (says, sends)) in turns.iter().enumerate() {
            let cut = cut.min(says.len());
            let mut sent = Vec::new();
            for piece in [&says[..cut], &says[cut..]] {
                match connection.read(piece.as_bytes(), now as u64, &mut run) {
                    Ok(Step::Send(out)) => sent.push((out.script, out.sequence, out.following)),
                    Ok(Step::Wait | Step::Free) => {}
                    Ok(Step::Encrypt) => {
                        assert_eq!(connection.awaited(), Phase::Handshake);
                        let out = connection.encrypted(now as u64, &mut run);
                        sent.push((out.script, out.sequence, out.following));
                    }
                    Ok(Step::Close) => sent.push((Script::Greeting, 0, 0)),
                    Err(fault) => panic!("{says:?} cut at {cut}: {fault}"),
                }
            }
            assert_eq!(&sent, sends, "{says:?} cut at {cut}");
        }
        last = run;
    }
    last
}

const CLOSE: (Script, u64, u64) = (Script::Greeting, 0, 0);
const BANNER: Turn = ("220 sink ESMTP\r\n", &[(Script::Ehlo, 0, 0)]);

#[test]
fn what_is_encrypted_is_introduced_again_within() {
    let manner = Manner { starttls: true, ..manner(Shape::Bdat, 1, 1) };
    let ehlo = "250-sink\r\n250 STARTTLS\r\n";
    let run = converse(
        manner,
        1,
        &[
            BANNER,
            (ehlo, &[(Script::Starttls, 0, 0)]),
            ("220 Go ahead\r\n", &[(Script::Ehlo, 0, 0)]),
            ("250 sink\r\n", &[(Script::Chunk(Then::Quit), 1, 0)]),
        ],
    );
    assert_eq!(
        run.phases,
        [Phase::Banner, Phase::Ehlo, Phase::Starttls, Phase::Handshake, Phase::Ehlo]
    );
    let mut connection = Connection::new(manner);
    let mut run = Run::default();
    for (says, faults) in
        [("220 x\r\n", false), (ehlo, false), ("220 Go\r\n250 injected\r\n", true)]
    {
        assert_eq!(connection.read(says.as_bytes(), 0, &mut run) == Err(Fault::Unasked), faults);
    }
}

#[test]
fn lockstep_waits_for_each_reply() {
    let run = converse(
        manner(Shape::Lockstep, 2, 0),
        1,
        &[
            BANNER,
            ("250-sink\r\n250-PIPELINING\r\n250 CHUNKING\r\n", &[(Script::Mail, 1, 0)]),
            ("250 2.1.0 Ok\r\n", &[(Script::Recipient(0), 1, 0)]),
            ("250 Ok\r\n", &[(Script::Recipient(1), 1, 0)]),
            ("251 Ok\r\n", &[(Script::Data, 1, 0)]),
            ("354 Go on\r\n", &[(Script::Body(Then::Nothing), 1, 0)]),
            ("250 stored as 7-0\r\n", &[(Script::Quit, 0, 0)]),
            ("221\r\n", &[CLOSE]),
        ],
    );
    assert_eq!(run.stored, [(1, "250 stored as 7-0".to_owned())]);
    use Phase::{Banner, Data, Ehlo, Mail, Quit, Rcpt, Stored};
    assert_eq!(run.phases, [Banner, Ehlo, Mail, Rcpt, Rcpt, Data, Stored, Quit]);
}

#[test]
fn pipelined_sends_the_envelope_in_one_and_quit_with_the_last_message() {
    let run = converse(
        manner(Shape::Pipelined, 1, 2),
        9,
        &[
            BANNER,
            ("250 sink\r\n", &[(Script::Envelope, 1, 0)]),
            ("250 a\r\n250 b\r\n354 c\r\n", &[(Script::Body(Then::Nothing), 1, 0)]),
            ("250 stored as 1\r\n", &[(Script::Envelope, 2, 0)]),
            ("250 a\r\n250 b\r\n354 c\r\n", &[(Script::Body(Then::Quit), 2, 0)]),
            ("250 stored as 2\r\n221 bye\r\n", &[CLOSE]),
        ],
    );
    assert_eq!(run.stored.len(), 2);
}

#[test]
fn burst_sends_each_message_with_the_next_envelope() {
    let run = converse(
        manner(Shape::Burst, 1, 0),
        3,
        &[
            BANNER,
            ("250 sink\r\n", &[(Script::Envelope, 1, 0)]),
            ("250 a\r\n250 b\r\n354 c\r\n", &[(Script::Body(Then::Envelope), 1, 2)]),
            ("250 one\r\n250 a\r\n250 b\r\n354 c\r\n", &[(Script::Body(Then::Envelope), 2, 3)]),
            ("250 two\r\n250 a\r\n250 b\r\n354 c\r\n", &[(Script::Body(Then::Quit), 3, 0)]),
            ("250 three\r\n221 bye\r\n", &[CLOSE]),
        ],
    );
    let stored: Vec<_> =
        run.stored.iter().map(|(sequence, words)| (*sequence, &words[4..])).collect();
    assert_eq!(stored, [(1, "one"), (2, "two"), (3, "three")]);
}

#[test]
fn bdat_has_no_data_phase() {
    let run = converse(
        manner(Shape::Bdat, 2, 0),
        2,
        &[
            BANNER,
            ("250 sink\r\n", &[(Script::Chunk(Then::Nothing), 1, 0)]),
            ("250 a\r\n250 b\r\n250 c\r\n250 d\r\n", &[(Script::Chunk(Then::Quit), 2, 0)]),
            ("250 a\r\n250 b\r\n250 c\r\n250 d\r\n221 e\r\n", &[CLOSE]),
        ],
    );
    assert!(!run.phases.contains(&Phase::Data));
    assert_eq!(run.stored.len(), 2);
}

#[test]
fn a_connection_for_one_message_carries_that_one() {
    for (shape, first) in [
        (Shape::Lockstep, Script::Mail),
        (Shape::Pipelined, Script::Envelope),
        (Shape::Burst, Script::Envelope),
        (Shape::Bdat, Script::Chunk(Then::Quit)),
    ] {
        let mut run = Run { due: 5, ..Run::default() };
        let mut connection = Connection::new(manner(shape, 1, 1));
        let message = Message { sequence: 42, scheduled: 1, started: 2 };
        connection.open(Some(message), 2);
        connection.read(b"220 hello\r\n", 3, &mut run).unwrap();
        let Step::Send(out) = connection.read(b"250 hello\r\n", 4, &mut run).unwrap() else {
            panic!("nothing sent")
        };
        assert_eq!((out.script, out.sequence), (first, 42));
        assert_eq!(run.begun, 0, "no other is begun");
        assert_eq!(connection.unfinished().collect::<Vec<_>>(), [message]);
    }
}

#[test]
fn what_is_not_as_it_should_be_is_a_fault_with_a_name() {
    let cases: [(&str, Fault); 6] = [
        ("421 busy\r\n", Fault::Refused(Phase::Banner, 421)),
        ("hello\r\n", Fault::Garbage(Phase::Banner)),
        ("22\r\n", Fault::Garbage(Phase::Banner)),
        ("2200 x\r\n", Fault::Garbage(Phase::Banner)),
        ("220 a\r\n250 b\r\n", Fault::Unasked),
        ("\n", Fault::Garbage(Phase::Banner)),
    ];
    for (says, fault) in cases {
        let mut connection = Connection::new(manner(Shape::Lockstep, 1, 0));
        connection.open(None, 0);
        let read = connection.read(says.as_bytes(), 1, &mut Run::default());
        assert_eq!(read, Err(fault), "{says:?}");
    }
    let mut connection = Connection::new(manner(Shape::Lockstep, 1, 0));
    connection.open(None, 0);
    assert_eq!(connection.closed(), Err(Fault::Closed(Phase::Banner)));
    let endless = vec![b'2'; REPLY_LINE_BYTES_MAX + 1];
    assert!(connection.read(&endless, 1, &mut Run::default()).is_err());
}
