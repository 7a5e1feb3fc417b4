//! The price of keeping mail. In bytes of message, or in messages, per second.
//!
//! - `deliver`: a whole message, from its envelope to its commit, as the server brings it; `room` has
//!   free memory, all others are full, so that for each message that comes others have to go: `fresh`
//!   brings each to a mailbox that nobody has heard of, `hot` all to one, `many` each to one of
//!   10,000 in no order. Beside it a naive twin: a `HashMap` of mailboxes, each a `VecDeque` of
//!   messages on the heap, a `BTreeMap` for the order in which they had mail, and the same caps.
//! - `worst`: what one call may have to do for room at most. Compare with the length of a turn.
//! - `read`: what readers ask for. Beside it a copy from one slice.

#![allow(clippy::unwrap_used, reason = "what is refused fails the bench")]

mod support;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hint::black_box;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use mailfly::clock::Now;
use mailfly::limits::{KIB, MIB, READ_BUFFER_BYTES, RECIPIENTS_MAX};
use mailfly::store::{Capacity, Client, Demand, MailboxName, Naming, Protocol, Store};

const NOW: Now = Now { monotonic_ms: 1_000_000, unix_ms: 1_700_000_000_000 };
const CLIENT: Client<'_> = Client {
    helo: b"client.example.org",
    source: IpAddr::V4(Ipv4Addr::LOCALHOST),
    protocol: Protocol { extended: true, utf8: false, encrypted: false },
};
const SENDER: &[u8] = b"me@example.org";

/// The caps of the store and of its twin: the daemon's defaults, but for less memory.
const MEMORY_BYTES: usize = if cfg!(debug_assertions) {
    // Only to see that it runs: filling more takes long.
    48 * MIB
} else {
    128 * MIB
};
const MAILBOXES_MAX: u32 = 65_536;
const MAILBOX_BYTES_MAX: usize = 16 * MIB;
const MAILBOX_MESSAGES_MAX: u32 = 1000;
const MESSAGE_BYTES_MAX: usize = 4 * MIB;

fn main() {
    let mut criterion = support::criterion();
    for kib in [1, 10, 100] {
        let message = support::message(kib * KIB);
        deliver_with_room(&mut criterion, kib, &message);
        for pattern in [Pattern::Fresh, Pattern::Hot, Pattern::Many] {
            deliver(&mut criterion, kib, &message, pattern);
        }
    }
    worst(&mut criterion);
    read(&mut criterion);
    criterion.final_summary();
}

/// Whom messages are for, one after the other.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    Fresh,
    Hot,
    Many,
}

/// Recipients of a pattern, made without the heap.
struct Recipients {
    pattern: Pattern,
    random: support::Random,
    number: usize,
    path: [u8; 64],
}

impl Recipients {
    fn new(pattern: Pattern) -> Self {
        Self { pattern, random: support::Random::new(), number: 0, path: [0; 64] }
    }

    /// The forward-path of the next message.
    fn next(&mut self) -> &[u8] {
        self.number = match self.pattern {
            Pattern::Fresh => self.number + 1,
            Pattern::Hot => 0,
            Pattern::Many => self.random.below(10_000),
        };
        let mut room = &mut self.path[..];
        write!(room, "user{}@example.com", self.number).unwrap();
        let left = room.len();
        &self.path[..self.path.len() - left]
    }
}

fn deliver(criterion: &mut Criterion, kib: usize, message: &[u8], pattern: Pattern) {
    let mut group = criterion.benchmark_group(format!("store/deliver, {pattern:?}, {kib} KiB"));
    group.throughput(Throughput::Bytes(message.len() as u64));
    {
        let mut store = default_store();
        let mut recipients = Recipients::new(pattern);
        while store.figures().lost.total() < 1000 {
            keep(&mut store, recipients.next(), message);
        }
        let before = store.figures();
        group.bench_function("mailfly", |bencher| {
            bencher.iter(|| keep(&mut store, recipients.next(), black_box(message)));
        });
        let after = store.figures();
        let (came, went) =
            (after.committed - before.committed, after.lost.total() - before.lost.total());
        // How many fit varies a little with how they pack.
        assert!(came.abs_diff(went) < 100 + came / 100, "{pattern:?}: {came} came, {went} went");
        let by_own = after.lost.mailbox_full - before.lost.mailbox_full;
        // Nothing came if this is not what was asked for.
        let is_hot = came > 0 && matches!(pattern, Pattern::Hot);
        assert_eq!(by_own > 0, is_hot, "{pattern:?}: the rule");
    }
    let mut twin = Naive::default();
    let mut recipients = Recipients::new(pattern);
    while twin.lost < 1000 {
        twin.keep(recipients.next(), message);
    }
    group.bench_function("naive", |bencher| {
        bencher.iter(|| twin.keep(recipients.next(), black_box(message)));
    });
    group.finish();
}

/// Nothing has to go for these; they are taken away between the measurements.
fn deliver_with_room(criterion: &mut Criterion, kib: usize, message: &[u8]) {
    const BATCH: u64 = 100;
    let mut store = default_store();
    let mut recipients = Recipients::new(Pattern::Many);
    let mut group = criterion.benchmark_group(format!("store/deliver, room, {kib} KiB"));
    group.throughput(Throughput::Bytes(message.len() as u64));
    group.bench_function("mailfly", |bencher| {
        bencher.iter_custom(|times| {
            let mut taken = Duration::ZERO;
            for batch in (0..times).step_by(BATCH as usize) {
                let begin = Instant::now();
                for _ in 0..BATCH.min(times - batch) {
                    keep(&mut store, recipients.next(), black_box(message));
                }
                taken += begin.elapsed();
                let figures = store.figures();
                if figures.arenas_free < figures.arenas / 2 {
                    purge_all(&mut store);
                }
            }
            taken
        });
    });
    let lost = store.figures().lost;
    assert_eq!(lost.total(), lost.deleted, "none was evicted");
    group.finish();
}

fn purge_all(store: &mut Store) {
    for number in 0..10_000 {
        let name = named(format!("user{number}").as_bytes());
        if let Some(mailbox) = store.find(&name) {
            store.purge(mailbox, NOW);
        }
    }
}

fn worst(criterion: &mut Criterion) {
    displacing(criterion);
    squeezing(criterion);
    copying(criterion);
}

/// A store with room for a few mailboxes, full of the shortest messages.
fn small_store(memory_bytes: usize) -> Store {
    let demand = Demand { memory_bytes, mailboxes_max: FEW_MAILBOXES as u32, ..demand() };
    Store::new(Capacity::of(&demand).unwrap(), 1).unwrap()
}

const FEW_MAILBOXES: usize = 2 * RECIPIENTS_MAX;

/// So many forward-paths, from this number on.
fn paths(from: usize, count: usize) -> Vec<Vec<u8>> {
    (from..from + count).map(|at| format!("u{at}@x").into_bytes()).collect()
}

/// Every recipient of a message takes the place of a mailbox that is full of the shortest messages.
fn displacing(criterion: &mut Criterion) {
    let mut store = small_store(64 * MIB);
    let fill = |store: &mut Store, paths: &[Vec<u8>], messages: u32| {
        for path in paths {
            (0..messages).for_each(|_| keep(store, path, b"x"));
        }
    };
    fill(&mut store, &paths(0, FEW_MAILBOXES), MAILBOX_MESSAGES_MAX);
    assert_eq!(store.figures().lost.total(), 0, "all of it fits");
    let evicted = RECIPIENTS_MAX as u64 * u64::from(MAILBOX_MESSAGES_MAX);
    let mut from = FEW_MAILBOXES;
    let mut group = criterion.benchmark_group("store/worst");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(evicted));
    group.bench_function("a hundred recipients that displace full mailboxes", |bencher| {
        bencher.iter_custom(|times| {
            let mut taken = Duration::ZERO;
            for _ in 0..times {
                let fresh = paths(from, RECIPIENTS_MAX);
                from += RECIPIENTS_MAX;
                let lost = store.figures().lost.total();
                let begin = Instant::now();
                keep_for_all(&mut store, &fresh, b"x");
                taken += begin.elapsed();
                assert_eq!(store.figures().lost.total() - lost, evicted, "all of theirs went");
                fill(&mut store, &fresh, MAILBOX_MESSAGES_MAX - 1);
            }
            taken
        });
    });
    group.finish();
}

/// A read's worth of a long message, into memory that is full of the shortest ones.
fn squeezing(criterion: &mut Criterion) {
    let mut store = small_store(20 * MIB);
    let mut next = paths(0, FEW_MAILBOXES).into_iter().cycle();
    let mut stuff = |store: &mut Store| {
        let lost = store.figures().lost.memory_full;
        while store.figures().lost.memory_full == lost {
            let path = next.next().unwrap();
            (0..50).for_each(|_| keep(store, &path, b"x"));
        }
    };
    stuff(&mut store);
    let read = support::message(READ_BUFFER_BYTES);
    let mut group = criterion.benchmark_group("store/worst");
    group.throughput(Throughput::Bytes(read.len() as u64));
    group.bench_function("64 KiB into memory full of short messages", |bencher| {
        bencher.iter_custom(|times| {
            let mut taken = Duration::ZERO;
            for _ in 0..times {
                let lost = store.figures().lost.memory_full;
                let mut draft = store.open(SENDER, NOW).unwrap();
                let begin = Instant::now();
                store.append(&mut draft, black_box(&read), NOW).unwrap();
                taken += begin.elapsed();
                let gone = store.figures().lost.memory_full - lost;
                assert!(gone > 300, "{gone} short messages went for 32 arenas");
                store.abandon(draft);
                stuff(&mut store);
            }
            taken
        });
    });
    group.finish();
}

/// What so many copies cost, each in place of its mailbox's own oldest.
fn copying(criterion: &mut Criterion) {
    let message = support::message(KIB);
    let mut store =
        Store::new(Capacity::of(&Demand { mailbox_messages_max: 10, ..demand() }).unwrap(), 1)
            .unwrap();
    let paths = paths(0, RECIPIENTS_MAX);
    (0..11).for_each(|_| keep_for_all(&mut store, &paths, &message));
    let lost = store.figures().lost;
    assert_eq!(lost.mailbox_full, RECIPIENTS_MAX as u64, "the eleventh of each");
    let mut group = criterion.benchmark_group("store/worst");
    group.throughput(Throughput::Elements(RECIPIENTS_MAX as u64));
    group.bench_function("a hundred recipients, 1 KiB", |bencher| {
        bencher.iter(|| keep_for_all(&mut store, &paths, black_box(&message)));
    });
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let mut store = default_store();
    for kib in [1, 10, 100] {
        let message = support::message(kib * KIB);
        for _ in 0..100 {
            keep(&mut store, format!("reader{kib}@x").as_bytes(), &message);
        }
        let mailbox = store.find(&named(format!("reader{kib}").as_bytes())).unwrap();
        let found: Vec<_> = store.messages(mailbox, NOW).collect();
        let mut into = Vec::with_capacity(message.len());
        store.read_body(&found[0], usize::MAX, &mut into);
        assert!(found.len() == 100 && into == message, "it reads as it was sent");
        let mut group = criterion.benchmark_group(format!("store/read, {kib} KiB"));
        group.throughput(Throughput::Bytes(message.len() as u64));
        let mut next = found.iter().cycle();
        group.bench_function("mailfly", |bencher| {
            bencher.iter(|| {
                store.read_body(next.next().unwrap(), usize::MAX, &mut into);
                black_box(&into);
            });
        });
        let copies = vec![message.clone(); found.len()];
        let mut next = copies.iter().cycle();
        group.bench_function("naive", |bencher| {
            bencher.iter(|| {
                into.clear();
                into.extend_from_slice(next.next().unwrap());
                black_box(&into);
            });
        });
        group.finish();
    }

    for messages in [10, 1000] {
        let path = format!("list{messages}@x");
        for _ in 0..messages {
            keep(&mut store, path.as_bytes(), b"x");
        }
        let mailbox = store.find(&named(path.as_bytes())).unwrap();
        assert_eq!(store.messages(mailbox, NOW).count(), messages, "{path}");
        let newest = store.latest(mailbox, NOW).unwrap().id;
        assert!(store.message(mailbox, newest, NOW).is_ok());
        let mut group = criterion.benchmark_group(format!("store/mailbox of {messages}"));
        group.throughput(Throughput::Elements(messages as u64));
        group.bench_function("list", |bencher| {
            bencher.iter(|| {
                store.messages(mailbox, NOW).map(|message| message.body_bytes).sum::<usize>()
            });
        });
        group.bench_function("list the newest ten", |bencher| {
            bencher.iter(|| {
                let mut cursor = store.newest(mailbox, black_box(10), NOW);
                let next = || store.next(&mut cursor, NOW);
                std::iter::from_fn(next).map(|message| message.body_bytes).sum::<usize>()
            });
        });
        group.bench_function("find the newest", |bencher| {
            bencher.iter(|| store.message(mailbox, black_box(newest), NOW).is_ok());
        });
        group.finish();
    }
}

fn demand() -> Demand {
    Demand {
        memory_bytes: MEMORY_BYTES,
        mailboxes_max: MAILBOXES_MAX,
        mailbox_bytes_max: MAILBOX_BYTES_MAX,
        mailbox_messages_max: MAILBOX_MESSAGES_MAX,
        message_bytes_max: MESSAGE_BYTES_MAX,
        ttl_ms: None,
    }
}

fn default_store() -> Store {
    Store::new(Capacity::of(&demand()).unwrap(), 1).unwrap()
}

fn named(address: &[u8]) -> MailboxName {
    MailboxName::of(str::from_utf8(address).unwrap(), Naming::Local).unwrap()
}

/// A message for one, in reads as the daemon has them: the last one is committed where it lies.
fn keep(store: &mut Store, path: &[u8], message: &[u8]) {
    let mut draft = store.open(SENDER, NOW).unwrap();
    store.add_recipient(&mut draft, path, &named(path), NOW).unwrap();
    let mut rest = message;
    while rest.len() > READ_BUFFER_BYTES {
        let (read, after) = rest.split_at(READ_BUFFER_BYTES);
        store.append(&mut draft, read, NOW).unwrap();
        rest = after;
    }
    store.commit(draft, &[rest], &CLIENT, NOW).unwrap();
}

fn keep_for_all(store: &mut Store, paths: &[Vec<u8>], message: &[u8]) {
    let mut draft = store.open(SENDER, NOW).unwrap();
    for path in paths {
        store.add_recipient(&mut draft, path, &named(path), NOW).unwrap();
    }
    store.commit(draft, &[message], &CLIENT, NOW).unwrap();
}

/// The store as one would write it on the first day, with the same caps.
#[derive(Default)]
struct Naive {
    mailboxes: HashMap<String, NaiveMailbox>,
    /// The mailboxes' names by when they last had mail.
    order: BTreeMap<u64, String>,
    bytes: usize,
    deliveries: u64,
    lost: u64,
}

#[derive(Default)]
struct NaiveMailbox {
    messages: VecDeque<NaiveMessage>,
    bytes: usize,
    last_delivery: u64,
}

struct NaiveMessage {
    _sender: String,
    _recipient: String,
    _helo: String,
    body: Vec<u8>,
}

impl Naive {
    fn keep(&mut self, path: &[u8], message: &[u8]) {
        let recipient = String::from_utf8_lossy(path).into_owned();
        let name = recipient.split('@').next().unwrap_or_default().to_lowercase();
        while self.bytes + message.len() > MEMORY_BYTES
            || (self.mailboxes.len() >= MAILBOXES_MAX as usize
                && !self.mailboxes.contains_key(&name))
        {
            self.evict();
        }
        let mailbox = self.mailboxes.entry(name.clone()).or_default();
        while mailbox.messages.len() >= MAILBOX_MESSAGES_MAX as usize
            || mailbox.bytes + message.len() > MAILBOX_BYTES_MAX
        {
            let oldest = mailbox.messages.pop_front().unwrap();
            mailbox.bytes -= oldest.body.len();
            self.bytes -= oldest.body.len();
            self.lost += 1;
        }
        mailbox.messages.push_back(NaiveMessage {
            _sender: String::from_utf8_lossy(SENDER).into_owned(),
            _recipient: recipient,
            _helo: String::from_utf8_lossy(CLIENT.helo).into_owned(),
            body: message.to_vec(),
        });
        mailbox.bytes += message.len();
        self.bytes += message.len();
        self.deliveries += 1;
        self.order.remove(&mailbox.last_delivery);
        mailbox.last_delivery = self.deliveries;
        self.order.insert(self.deliveries, name);
    }

    /// Takes the oldest message of the mailbox that has gone longest without mail.
    fn evict(&mut self) {
        let (_, name) = self.order.first_key_value().unwrap();
        let mailbox = self.mailboxes.get_mut(name).unwrap();
        let oldest = mailbox.messages.pop_front().unwrap();
        mailbox.bytes -= oldest.body.len();
        self.bytes -= oldest.body.len();
        self.lost += 1;
        if mailbox.messages.is_empty() {
            let (_, name) = self.order.pop_first().unwrap();
            self.mailboxes.remove(&name);
        }
    }
}
