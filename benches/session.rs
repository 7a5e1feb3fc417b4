//! The price of whole conversations, from a client's bytes to the replies: lines, commands, bodies,
//! the state machine, the output. In messages per second (for what brings none, in commands).
//!
//! Each conversation is held twice: with a world that keeps nothing (`alone`), and with the store
//! (`store`), so that the difference is what keeping costs. The messages go to ten mailboxes, or a
//! hundred, that are full and lose their oldest. Compare the shapes with each other too: they bring
//! the same messages, in other reads; a read costs the daemon two system calls besides, which are not
//! in here. The world over the store is the server's without its counters.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what is refused fails the bench")]

mod support;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, Throughput};
use mailfly::clock::Now;
use mailfly::limits::{
    FAULTS_MAX, KIB, LINE_BYTES_MAX, MIB, OUTPUT_BYTES, READ_BUFFER_BYTES, RECIPIENTS_MAX,
};
use mailfly::output::Output;
use mailfly::progress::Then;
use mailfly::smtp::address::Address;
use mailfly::smtp::command::Mail;
use mailfly::smtp::hostname::Hostname;
use mailfly::smtp::reply::{Fault, Refusal};
use mailfly::smtp::session::{self, Policy, Session, Settings, World};
use mailfly::store::{self, Capacity, Demand, Draft, IdText, MailboxName, Naming, Protocol, Store};

/// Messages of a conversation that has more than one.
const MESSAGES: usize = 10;
const NOW: Now = Now { monotonic_ms: 1_000_000, unix_ms: 1_700_000_000_000 };
const MESSAGE_BYTES_MAX: usize = MIB;

/// A conversation: what each read brings, and what has to come of it.
struct Conversation {
    name: String,
    reads: Vec<Vec<u8>>,
    policy: Policy,
    /// Messages taken, and the bytes of all of them.
    messages: u64,
    message_bytes: u64,
    /// Commands refused.
    faults: u64,
    /// What its throughput counts.
    elements: u64,
}

impl Conversation {
    fn of_messages(name: &str, reads: Vec<Vec<u8>>, messages: usize, bytes_each: usize) -> Self {
        Self {
            name: name.to_owned(),
            reads,
            policy: Policy::Curt,
            messages: messages as u64,
            message_bytes: (messages * bytes_each) as u64,
            faults: 0,
            elements: messages as u64,
        }
    }

    fn of_commands(name: &str, reads: Vec<Vec<u8>>, commands: usize) -> Self {
        let elements = commands as u64;
        Self { elements, ..Self::of_messages(name, reads, 0, 0) }
    }
}

fn conversations() -> Vec<Conversation> {
    let mut all = Vec::new();
    let mut add = |name: String, messages: usize, bytes: usize, shape: Shape| {
        all.push(Conversation::of_messages(
            &name,
            shape(messages, &support::message(bytes)),
            messages,
            bytes,
        ));
    };
    for kib in [1, 10, 100] {
        add(format!("lockstep, {kib} KiB"), MESSAGES, kib * KIB, lockstep);
    }
    add("a connection per message, 1 KiB".to_owned(), 1, KIB, lockstep);
    add("pipelined, 1 KiB".to_owned(), MESSAGES, KIB, pipelined);
    add("burst, 1 KiB".to_owned(), MESSAGES, KIB, burst);
    for kib in [1, 100] {
        add(format!("BDAT, {kib} KiB"), MESSAGES, kib * KIB, chunked);
    }
    all.extend(difficult());
    all
}

/// Conversations made to be slow.
fn difficult() -> Vec<Conversation> {
    let conversation = |middle: Vec<Vec<u8>>| [vec![ehlo()], middle, vec![quit()]].concat();
    let recipients: String =
        (0..RECIPIENTS_MAX).map(|at| format!("RCPT TO:<user{at}@example.com>\r\n")).collect();
    let to_many = format!("MAIL FROM:<me@example.org>\r\n{recipients}DATA\r\n").into_bytes();
    let dots = b"..\r\n".repeat(16 * KIB);
    let dots_bytes = dots.len() / 4 * 3;
    let by_bytes = support::message(KIB).into_iter().map(|byte| vec![byte]).collect();
    let noops = 8 * KIB;
    let faults = usize::from(FAULTS_MAX);
    vec![
        Conversation::of_messages(
            "a hundred recipients, 1 KiB",
            conversation(vec![to_many, body(&support::message(KIB))]),
            1,
            KIB,
        ),
        Conversation::of_messages(
            "a dot in each line, 64 KiB",
            conversation(vec![envelope(0), [dots, b".\r\n".to_vec()].concat()]),
            1,
            dots_bytes,
        ),
        Conversation::of_messages(
            "reads of one byte, 1 KiB",
            conversation([vec![envelope(0)], by_bytes, vec![b".\r\n".to_vec()]].concat()),
            1,
            KIB,
        ),
        Conversation::of_commands(
            "NOOPs, 8192 in a read",
            conversation(vec![b"NOOP\r\n".repeat(noops)]),
            noops,
        ),
        // Without QUIT: the last fault ends it.
        Conversation {
            policy: Policy::Rfc,
            faults: faults as u64,
            ..Conversation::of_commands(
                "faults until it is closed",
                vec![
                    ehlo(),
                    format!("{}\r\n", "x".repeat(LINE_BYTES_MAX - 2)).repeat(faults).into(),
                ],
                faults,
            )
        },
    ]
}

/// How a client cuts what it sends: so many messages, each with this body.
type Shape = fn(usize, &[u8]) -> Vec<Vec<u8>>;

/// A read for each command, and as few as can be for the body.
fn lockstep(messages: usize, message: &[u8]) -> Vec<Vec<u8>> {
    let mut reads = vec![ehlo()];
    for at in 0..messages {
        reads.extend(envelope(at).split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec));
        reads.extend(body(message).chunks(READ_BUFFER_BYTES).map(<[u8]>::to_vec));
    }
    reads.push(quit());
    reads
}

/// A read for the envelope, and one for the body.
fn pipelined(messages: usize, message: &[u8]) -> Vec<Vec<u8>> {
    let each = (0..messages).flat_map(|at| [envelope(at), body(message)]);
    [ehlo()].into_iter().chain(each).chain([quit()]).collect()
}

/// A body and the envelope of the next message in one read.
fn burst(messages: usize, message: &[u8]) -> Vec<Vec<u8>> {
    let next = |at| if at < messages { envelope(at) } else { quit() };
    let each = (0..messages).map(|at| [body(message), next(at + 1)].concat());
    [ehlo(), envelope(0)].into_iter().chain(each).collect()
}

/// A message to a read, its body in one chunk.
fn chunked(messages: usize, message: &[u8]) -> Vec<Vec<u8>> {
    let each = (0..messages).flat_map(|at| {
        let mut read = envelope(at);
        read.truncate(read.len() - "DATA\r\n".len());
        read.extend_from_slice(format!("BDAT {} LAST\r\n", message.len()).as_bytes());
        read.extend_from_slice(message);
        read.chunks(READ_BUFFER_BYTES).map(<[u8]>::to_vec).collect::<Vec<_>>()
    });
    [ehlo()].into_iter().chain(each).chain([quit()]).collect()
}

fn ehlo() -> Vec<u8> {
    b"EHLO client.example.org\r\n".to_vec()
}

fn envelope(at: usize) -> Vec<u8> {
    format!("MAIL FROM:<me@example.org>\r\nRCPT TO:<user{at}@example.com>\r\nDATA\r\n").into_bytes()
}

fn body(message: &[u8]) -> Vec<u8> {
    [message, b".\r\n"].concat()
}

fn quit() -> Vec<u8> {
    b"QUIT\r\n".to_vec()
}

fn main() {
    let mut criterion = support::criterion();
    for conversation in conversations() {
        bench(&mut criterion, &conversation);
    }
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion, conversation: &Conversation) {
    let Conversation { name, reads, policy, messages, message_bytes, faults, .. } = conversation;
    let hostname: Hostname = "mail.example.net".parse().unwrap();
    let settings = Settings::new(&hostname, *policy, MESSAGE_BYTES_MAX);
    let mut output = Output::with_capacity(OUTPUT_BYTES);

    let mut alone = Alone::default();
    let mut replies = Vec::new();
    let end = converse(reads, &settings, &mut alone, &mut output, |sent| replies.extend(sent));
    let said = String::from_utf8(replies).unwrap();
    let last = said.lines().next_back().unwrap_or_default();
    assert_eq!(end, Then::Close, "{name}: {last}");
    assert!(last.starts_with(if *faults == 0 { "221" } else { "421" }), "{name}: {last}");
    assert_eq!(alone.messages, *messages, "{name}");
    assert_eq!(alone.message_bytes, *message_bytes, "{name}");
    assert_eq!(alone.faults, *faults, "{name}");

    let mut group = criterion.benchmark_group(format!("session/{name}"));
    group.throughput(Throughput::Elements(conversation.elements));
    group.bench_function("alone", |bencher| {
        bencher.iter(|| {
            converse(reads, &settings, &mut alone, &mut output, |sent| _ = black_box(sent))
        });
    });
    if *messages > 0 {
        let mut kept = Kept(small_store());
        let mut deliver = || {
            converse(reads, &settings, &mut kept, &mut output, |sent| _ = black_box(sent));
            kept.0.figures()
        };
        // From the first eviction on, one message goes for each that comes.
        while deliver().lost.mailbox_full == 0 {}
        let before = deliver();
        let after = deliver();
        let copies = if name.contains("recipients") { RECIPIENTS_MAX as u64 } else { *messages };
        assert_eq!(after.committed - before.committed, copies, "{name}");
        assert_eq!(after.arenas_drafts, 0, "{name}");
        group.bench_function("store", |bencher| bencher.iter(&mut deliver));
    }
    group.finish();
}

/// Holds a conversation: shows the session each read, and takes its replies away as the reactor
/// does.
fn converse<W: World>(
    reads: &[Vec<u8>],
    settings: &Settings<'_>,
    world: &mut W,
    output: &mut Output,
    mut send: impl FnMut(&[u8]),
) -> Then {
    let mut session = Session::new();
    output.clear();
    session.greeting(settings, output);
    send(output.as_slice());
    let mut then = Then::Continue;
    for read in reads {
        let mut rest = &read[..];
        loop {
            output.clear();
            let progress = session.receive(settings, rest, world, output);
            send(output.as_slice());
            rest = &rest[progress.consumed..];
            then = progress.then;
            if then != Then::Flush {
                break;
            }
        }
        debug_assert!(rest.is_empty(), "reads are cut where nothing is left over");
    }
    session.closed(world);
    then
}

/// A world that takes everything and keeps nothing but the sums.
#[derive(Default)]
struct Alone {
    messages: u64,
    message_bytes: u64,
    faults: u64,
}

impl World for Alone {
    type Draft = usize;
    type Id = &'static [u8];

    fn open(&mut self, _mail: &Mail<'_>) -> Result<usize, Refusal> {
        Ok(0)
    }

    fn recipient(&mut self, _draft: &mut usize, path: &Address<'_>) -> Result<(), Refusal> {
        black_box(path);
        Ok(())
    }

    fn append(&mut self, draft: &mut usize, bytes: &[u8]) -> Result<(), Refusal> {
        *draft += black_box(bytes).len();
        Ok(())
    }

    fn commit(
        &mut self,
        draft: usize,
        rest: &[&[u8]],
        _client: &session::Client<'_>,
    ) -> Result<&'static [u8], Refusal> {
        let rest_bytes: usize = black_box(rest).iter().map(|piece| piece.len()).sum();
        self.message_bytes += (draft + rest_bytes) as u64;
        self.messages += 1;
        Ok(b"17-4-1")
    }

    fn abandon(&mut self, _draft: usize) {}

    fn faulted(&mut self, _fault: Fault) {
        self.faults += 1;
    }
}

/// The store, as the server has it.
struct Kept(Store);

fn small_store() -> Store {
    let demand = Demand {
        memory_bytes: 64 * MIB,
        mailboxes_max: 1000,
        mailbox_bytes_max: 3 * MIB,
        mailbox_messages_max: 100,
        message_bytes_max: MESSAGE_BYTES_MAX,
        ttl_ms: None,
    };
    Store::new(Capacity::of(&demand).unwrap(), 1).unwrap()
}

impl World for Kept {
    type Draft = Draft;
    type Id = IdText;

    fn open(&mut self, mail: &Mail<'_>) -> Result<Draft, Refusal> {
        Ok(self.0.open(mail.reverse_path.text().as_bytes(), NOW).unwrap())
    }

    fn recipient(&mut self, draft: &mut Draft, path: &Address<'_>) -> Result<(), Refusal> {
        let name = MailboxName::of(path.text(), Naming::Local).unwrap();
        self.0.add_recipient(draft, path.text().as_bytes(), &name, NOW).unwrap();
        Ok(())
    }

    fn append(&mut self, draft: &mut Draft, bytes: &[u8]) -> Result<(), Refusal> {
        self.0.append(draft, bytes, NOW).unwrap();
        Ok(())
    }

    fn commit(
        &mut self,
        draft: Draft,
        rest: &[&[u8]],
        client: &session::Client<'_>,
    ) -> Result<IdText, Refusal> {
        let client = store::Client {
            helo: client.helo,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            protocol: Protocol {
                extended: client.extended,
                utf8: client.smtputf8,
                encrypted: client.encrypted,
            },
        };
        Ok(self.0.commit(draft, rest, &client, NOW).unwrap().text())
    }

    fn abandon(&mut self, draft: Draft) {
        self.0.abandon(draft);
    }
}
