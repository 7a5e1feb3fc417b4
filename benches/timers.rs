//! The price of deadlines: 20,000 connections, each with one. In deadlines moved, or fired, per
//! second.
//!
//! Beside the timer wheel two naive twins: a `BTreeSet` ordered by deadline, and a `BinaryHeap` that
//! leaves stale entries in it until they are most of it. All three have to fire the same, which is
//! asserted. The wheel fires up to a tick late and in no order within it, which makes it cheap.

#![allow(clippy::unwrap_used, reason = "what is not as its name says fails the bench")]

mod support;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use mailfly::limits::{SMTP_IDLE_MS, TIMER_TICK_MS};
use mailfly::net::timers::{NEVER, Timers};

const KEYS: usize = 20_000;
/// When a bench begins.
const START_MS: u64 = 1_000_000 * TIMER_TICK_MS;
/// Longer than anything here has to wait.
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// What the reactor asks of its timers.
trait Deadlines {
    fn new() -> Self;
    fn set(&mut self, key: u32, deadline_ms: u64);
    fn cancel(&mut self, key: u32);
    fn fire(&mut self, now_ms: u64) -> Option<u32>;
    /// When to look again, at the latest.
    fn next_ms(&mut self) -> Option<u64>;
}

fn main() {
    let mut criterion = support::criterion();
    bench::<Timers>(&mut criterion, "mailfly");
    bench::<Tree>(&mut criterion, "BTreeSet");
    bench::<Heap>(&mut criterion, "BinaryHeap");
    criterion.final_summary();
}

fn bench<D: Deadlines>(criterion: &mut Criterion, twin: &str) {
    let keys: Vec<u32> = support::shuffled(KEYS).into_iter().map(|key| key as u32).collect();
    moving::<D>(criterion, twin, &keys);
    firing::<D>(criterion, twin, &keys);
    waiting::<D>(criterion, twin, &keys);
}

/// Deadlines that move, key by key and in no order, a microsecond after each other.
fn moving<D: Deadlines>(criterion: &mut Criterion, twin: &str, keys: &[u32]) {
    type Move<D> = fn(&mut D, u32, u64);
    let moves: [(&str, Move<D>); 3] = [
        // A byte came from the client.
        ("set later", |deadlines, key, passed_ms| {
            deadlines.set(key, START_MS + SMTP_IDLE_MS + passed_ms);
        }),
        ("move earlier", |deadlines, key, passed_ms| {
            deadlines.set(key, START_MS + 2 * SMTP_IDLE_MS - passed_ms % SMTP_IDLE_MS);
        }),
        // One client goes, another comes.
        ("cancel and arm", |deadlines, key, passed_ms| {
            deadlines.cancel(key);
            deadlines.set(key, START_MS + SMTP_IDLE_MS + passed_ms);
        }),
    ];
    for (name, step) in moves {
        let mut group = criterion.benchmark_group(format!("timers/{name}"));
        group.throughput(Throughput::Elements(1));
        let mut deadlines: D = armed(keys, START_MS, |_| SMTP_IDLE_MS);
        let mut passed_us = 0;
        let mut next = keys.iter().cycle();
        group.bench_function(twin, |bencher| {
            bencher.iter(|| {
                passed_us += 1;
                step(&mut deadlines, *next.next().unwrap(), black_box(passed_us / 1000));
            });
        });
        assert_eq!(fired(&mut deadlines, START_MS), 0, "{name}: {twin}: nothing is due");
        assert_eq!(fired(&mut deadlines, START_MS + YEAR_MS), KEYS, "{name}: {twin}: each once");
        group.finish();
    }
}

/// Time that passes over deadlines, in turns as the reactor has them.
fn firing<D: Deadlines>(criterion: &mut Criterion, twin: &str, keys: &[u32]) {
    // By name: how far away the deadlines are, and how far apart the turns.
    type Spread = fn(usize) -> u64;
    let evenly: Spread = |at| at as u64 * SMTP_IDLE_MS / KEYS as u64;
    let cases: [(&str, Spread, u64); 4] = [
        ("fire, spread over 5 minutes", evenly, 1000),
        ("fire, all at once", |_| SMTP_IDLE_MS, SMTP_IDLE_MS),
        ("fire, after a year's sleep", evenly, YEAR_MS),
        // Those far away come down through many levels, a turn of an hour after the other.
        ("fire, spread over a year", |at| YEAR_MS / KEYS as u64 * at as u64, 60 * 60 * 1000),
    ];
    for (name, spread, turn_ms) in cases {
        let mut now_ms = START_MS;
        let run = |deadlines: &mut D, now_ms: &mut u64| {
            let mut count = 0;
            while count < KEYS {
                *now_ms += turn_ms;
                count += fired(deadlines, *now_ms);
            }
        };
        let mut deadlines: D = armed(keys, now_ms, spread);
        run(&mut deadlines, &mut now_ms);
        let last_ms = START_MS + (0..KEYS).map(spread).max().unwrap();
        assert!((last_ms..=last_ms + turn_ms + TIMER_TICK_MS).contains(&now_ms), "{name}: {twin}");
        assert_eq!(deadlines.next_ms(), None, "{name}: {twin}: each has fired");

        let mut group = criterion.benchmark_group(format!("timers/{name}"));
        group.throughput(Throughput::Elements(KEYS as u64));
        group.bench_function(twin, |bencher| {
            bencher.iter_custom(|times| {
                let mut taken = Duration::ZERO;
                for _ in 0..times {
                    arm(&mut deadlines, keys, now_ms, spread);
                    let begin = Instant::now();
                    run(&mut deadlines, &mut now_ms);
                    taken += begin.elapsed();
                }
                taken
            });
        });
        group.finish();
    }
}

/// What each turn of the loop pays while nothing is due, a millisecond after the other.
fn waiting<D: Deadlines>(criterion: &mut Criterion, twin: &str, keys: &[u32]) {
    let mut deadlines: D = armed(keys, START_MS, |at| YEAR_MS + at as u64);
    let mut now_ms = START_MS;
    let mut group = criterion.benchmark_group("timers/a turn with nothing due");
    group.throughput(Throughput::Elements(1));
    group.bench_function(twin, |bencher| {
        bencher.iter(|| {
            now_ms += 1;
            (deadlines.fire(black_box(now_ms)), deadlines.next_ms())
        });
    });
    assert!(now_ms < START_MS + YEAR_MS, "nothing was due: {twin}");
    assert_eq!(fired(&mut deadlines, START_MS + 2 * YEAR_MS), KEYS, "all were armed: {twin}");
    group.finish();
}

/// All keys armed, each so far after the start as `spread` says.
fn armed<D: Deadlines>(keys: &[u32], now_ms: u64, spread: impl Fn(usize) -> u64) -> D {
    let mut deadlines = D::new();
    assert!(deadlines.fire(now_ms).is_none(), "nothing is armed yet");
    arm(&mut deadlines, keys, now_ms, spread);
    deadlines
}

fn arm<D: Deadlines>(deadlines: &mut D, keys: &[u32], now_ms: u64, spread: impl Fn(usize) -> u64) {
    for (at, &key) in keys.iter().enumerate() {
        deadlines.set(key, now_ms + spread(at));
    }
}

/// How many keys fire.
fn fired<D: Deadlines>(deadlines: &mut D, now_ms: u64) -> usize {
    let mut count = 0;
    while let Some(key) = deadlines.fire(now_ms) {
        black_box(key);
        count += 1;
    }
    count
}

impl Deadlines for Timers {
    fn new() -> Self {
        Self::new(KEYS)
    }

    fn set(&mut self, key: u32, deadline_ms: u64) {
        self.set(key, deadline_ms);
    }

    fn cancel(&mut self, key: u32) {
        self.cancel(key);
    }

    fn fire(&mut self, now_ms: u64) -> Option<u32> {
        let mut moves = usize::MAX;
        self.fire(now_ms, &mut moves)
    }

    fn next_ms(&mut self) -> Option<u64> {
        Self::next_ms(self)
    }
}

/// Deadlines in order, and beside them each key's own.
struct Tree {
    order: BTreeSet<(u64, u32)>,
    deadlines_ms: Vec<u64>,
}

impl Deadlines for Tree {
    fn new() -> Self {
        Self { order: BTreeSet::new(), deadlines_ms: vec![NEVER; KEYS] }
    }

    fn set(&mut self, key: u32, deadline_ms: u64) {
        self.cancel(key);
        self.order.insert((deadline_ms, key));
        self.deadlines_ms[key as usize] = deadline_ms;
    }

    fn cancel(&mut self, key: u32) {
        let deadline_ms = std::mem::replace(&mut self.deadlines_ms[key as usize], NEVER);
        self.order.remove(&(deadline_ms, key));
    }

    fn fire(&mut self, now_ms: u64) -> Option<u32> {
        let &(_, key) = self.order.first().filter(|(deadline_ms, _)| *deadline_ms <= now_ms)?;
        self.cancel(key);
        Some(key)
    }

    fn next_ms(&mut self) -> Option<u64> {
        self.order.first().map(|&(deadline_ms, _)| deadline_ms)
    }
}

/// A heap that forgets nothing at once: what is in it counts if it is still its key's deadline.
struct Heap {
    order: BinaryHeap<Reverse<(u64, u32)>>,
    deadlines_ms: Vec<u64>,
}

impl Heap {
    fn drop_stale(&mut self) {
        while let Some(&Reverse((deadline_ms, key))) = self.order.peek() {
            if self.deadlines_ms[key as usize] == deadline_ms {
                break;
            }
            self.order.pop();
        }
    }
}

impl Deadlines for Heap {
    fn new() -> Self {
        Self { order: BinaryHeap::new(), deadlines_ms: vec![NEVER; KEYS] }
    }

    fn set(&mut self, key: u32, deadline_ms: u64) {
        if self.deadlines_ms[key as usize] == deadline_ms {
            return;
        }
        self.deadlines_ms[key as usize] = deadline_ms;
        if self.order.len() >= 4 * KEYS {
            let deadlines_ms = &self.deadlines_ms;
            self.order.retain(|&Reverse((ms, key))| deadlines_ms[key as usize] == ms);
        }
        self.order.push(Reverse((deadline_ms, key)));
    }

    fn cancel(&mut self, key: u32) {
        self.deadlines_ms[key as usize] = NEVER;
    }

    fn fire(&mut self, now_ms: u64) -> Option<u32> {
        self.drop_stale();
        let &Reverse((deadline_ms, key)) = self.order.peek()?;
        if deadline_ms > now_ms {
            return None;
        }
        self.order.pop();
        self.cancel(key);
        Some(key)
    }

    fn next_ms(&mut self) -> Option<u64> {
        self.drop_stale();
        self.order.peek().map(|&Reverse((deadline_ms, _))| deadline_ms)
    }
}
