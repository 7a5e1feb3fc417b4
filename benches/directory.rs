//! The price of a mailbox's name: finding it, and making a mailbox for it in a table that is full,
//! where the oldest gives way. In names per second, over 65,536 names that come in no order, so that
//! most of the table is as cold as it is in life.
//!
//! Beside the directory the standard library's `HashMap`, with its keyed hash and a queue for the
//! order. Attackers choose the names: what that means shows in the `colliding` names, which all have
//! the same value under `31 * hash + byte`, the hash of many a language. They are nothing special
//! to a keyed hash, but a `HashMap` with that one compares each of them with most of the others, so
//! that it is measured with 2,048 of them only: more would take minutes.

mod support;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use mailfly::limits::{MAILBOXES_DEFAULT, NAME_BYTES_MAX};
use mailfly::store::{BareDirectory, MailboxName, Naming};

const NAMES: usize = MAILBOXES_DEFAULT as usize;
/// Names for the map without a key.
const FEW_NAMES: usize = 2048;

/// Sets of names that differ: twice as many as the table holds.
fn names(set: &str) -> Vec<MailboxName> {
    support::shuffled(2 * NAMES)
        .into_iter()
        .map(|number| match set {
            "typical" => format!("first.last{number}"),
            "equal prefixes" => format!("{}{number:06}", "a".repeat(NAME_BYTES_MAX - 6)),
            _ => colliding(number),
        })
        .filter_map(|text| MailboxName::of(&text, Naming::Local))
        .collect()
}

/// A name that has the same value for each number under [`ThirtyOne`]: `a~` and `b_` have.
fn colliding(number: usize) -> String {
    (0..17).map(|bit| if number >> bit & 1 == 0 { "a~" } else { "b_" }).collect()
}

/// The hash without a key: whoever knows it can choose names that collide.
#[derive(Default)]
struct ThirtyOne(u64);

impl Hasher for ThirtyOne {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.wrapping_mul(31).wrapping_add(byte.into());
        }
    }

    fn finish(&self) -> u64 {
        // The map takes the upper bits for itself, and they would all be 0.
        self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

fn main() {
    let mut criterion = support::criterion();
    for set in ["typical", "equal prefixes", "colliding"] {
        let names = names(set);
        assert_eq!(names.len(), 2 * NAMES, "{set}: each is a name");
        bench::<BareDirectory>(&mut criterion, "mailfly", set, &names);
        bench::<Naive>(&mut criterion, "HashMap", set, &names);
    }
    for set in ["typical", "colliding"] {
        let few = &names(set)[..2 * FEW_NAMES];
        let names = format!("{set}, {FEW_NAMES} names");
        bench::<BareDirectory>(&mut criterion, "mailfly", &names, few);
        bench::<Naive>(&mut criterion, "HashMap", &names, few);
        bench::<Unkeyed>(&mut criterion, "HashMap without a key", &names, few);
    }
    criterion.final_summary();
}

/// What the store asks of its directory.
trait Names {
    fn new(names: usize) -> Self;
    fn contains(&self, name: &MailboxName) -> bool;
    /// The name is not there; the oldest goes if it is full.
    fn insert(&mut self, name: &MailboxName);
}

/// Fills a table with the first half of the names; the other half is absent.
fn bench<D: Names>(criterion: &mut Criterion, twin: &str, set: &str, names: &[MailboxName]) {
    let (present, absent) = names.split_at(names.len() / 2);
    let mut directory = D::new(present.len());
    present.iter().for_each(|name| directory.insert(name));
    // In another order than they came in.
    let order = support::shuffled(present.len());
    let mut present_next = order.iter().map(|&at| &present[at]).cycle();
    let mut absent_next = absent.iter().cycle();
    assert!(present.iter().all(|name| directory.contains(name)), "{set}: {twin}");
    assert!(!absent.iter().any(|name| directory.contains(name)), "{set}: {twin}");

    let mut group = criterion.benchmark_group(format!("directory/{set}"));
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("find/{twin}"), |bencher| {
        bencher
            .iter(|| present_next.next().is_some_and(|name| directory.contains(black_box(name))));
    });
    group.bench_function(format!("find what is absent/{twin}"), |bencher| {
        bencher.iter(|| absent_next.next().is_some_and(|name| directory.contains(black_box(name))));
    });
    // Each is absent again when its turn comes: twice as many names as the table holds.
    let mut next = absent.iter().chain(present).cycle();
    let mut last = None;
    group.bench_function(format!("insert into a full table/{twin}"), |bencher| {
        bencher.iter(|| {
            last = next.next();
            last.into_iter().for_each(|name| directory.insert(black_box(name)));
        });
    });
    assert!(last.is_none_or(|name| directory.contains(name)), "{set}: {twin}: the newest is there");
    let there = names.iter().filter(|name| directory.contains(name)).count();
    assert_eq!(there, present.len(), "{set}: {twin}: as many as fit");
    group.finish();
}

impl Names for BareDirectory {
    fn new(names: usize) -> Self {
        Self::new(names as u32, 0x5EED_0001_C0FF_EE02_5EED_0003_C0FF_EE04)
    }

    fn contains(&self, name: &MailboxName) -> bool {
        self.contains(name)
    }

    fn insert(&mut self, name: &MailboxName) {
        self.insert(name);
    }
}

/// A map, and the order in which names came.
struct Map<S> {
    map: HashMap<Vec<u8>, u32, S>,
    order: VecDeque<Vec<u8>>,
    names_max: usize,
}

type Naive = Map<std::hash::RandomState>;
type Unkeyed = Map<BuildHasherDefault<ThirtyOne>>;

impl<S: BuildHasher + Default> Names for Map<S> {
    fn new(names: usize) -> Self {
        Self { map: HashMap::default(), order: VecDeque::new(), names_max: names }
    }

    fn contains(&self, name: &MailboxName) -> bool {
        self.map.contains_key(name.as_bytes())
    }

    fn insert(&mut self, name: &MailboxName) {
        if self.map.len() >= self.names_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
        let number = self.map.len() as u32;
        self.map.insert(name.as_bytes().to_vec(), number);
        self.order.push_back(name.as_bytes().to_vec());
    }
}
