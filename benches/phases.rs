//! The price of the server's own histograms: what a turn and a message pay to be measured, and what
//! showing them costs whoever asks. In values per second.
//!
//! Beside each distribution a naive twin that keeps every value and sorts when it is asked, and,
//! because the reading of a clock comes with each value, that alone.

#![allow(clippy::unwrap_used, reason = "what is not as its name says fails the bench")]

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use mailfly::clock::Clock;
use mailfly::phases::Phases;

/// Values that are recorded before the histograms are shown; the twin keeps so many.
const VALUES: usize = 100_000;

fn main() {
    let mut criterion = support::criterion();
    let durations_ns = durations_ns();
    one_turn(&mut criterion, &durations_ns);
    shown(&mut criterion, &durations_ns);
    criterion.final_summary();
}

/// From half a microsecond up: most turns are short, few are a thousand times as long.
fn durations_ns() -> Vec<u64> {
    let mut random = support::Random::new();
    (0..VALUES).map(|_| (500 + random.below(20_000) as u64) << random.below(8)).collect()
}

/// A turn that took one message and answered it.
fn one_turn(criterion: &mut Criterion, durations_ns: &[u64]) {
    let mut group = criterion.benchmark_group("phases/a turn with one message");
    group.throughput(Throughput::Elements(1));
    let mut durations = durations_ns.iter().copied().cycle();
    let mut phases = Phases::new().unwrap();
    group.bench_function("mailfly", |bencher| {
        bencher.iter(|| {
            let turn_ns = durations.next().unwrap_or_default();
            phases.message_taken();
            if black_box(&phases).is_waiting() {
                phases.sent(turn_ns);
            }
            phases.turn_ended(1, turn_ns);
        });
    });
    let mut kept = Vec::with_capacity(VALUES);
    group.bench_function("every value kept", |bencher| {
        bencher.iter(|| {
            if kept.len() == VALUES {
                kept.clear();
            }
            let turn_ns = durations.next().unwrap_or_default();
            kept.push(black_box((turn_ns, turn_ns, 1_usize)));
        });
    });
    let clock = Clock::start();
    group.bench_function("a reading of the clock", |bencher| {
        let (_, stopwatch) = clock.lap();
        bencher.iter(|| black_box(stopwatch.elapsed_ns()));
    });
    group.finish();
}

/// All of it, for somebody who asks.
fn shown(criterion: &mut Criterion, durations_ns: &[u64]) {
    let mut group = criterion.benchmark_group("phases/shown");
    let mut phases = Phases::new().unwrap();
    for &turn_ns in durations_ns {
        phases.message_taken();
        phases.sent(turn_ns);
        phases.turn_ended(1, turn_ns);
    }
    let counted = phases.histograms().iter().map(|histogram| histogram.count).max();
    assert_eq!(counted, Some(VALUES as u64), "every value is counted");
    group.bench_function("mailfly", |bencher| bencher.iter(|| black_box(phases.histograms())));
    group.bench_function("every value sorted", |bencher| {
        bencher.iter(|| {
            let mut sorted = durations_ns.to_vec();
            sorted.sort_unstable();
            black_box(sorted[VALUES / 2])
        });
    });
    group.finish();
}
