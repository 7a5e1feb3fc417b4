//! What all benchmarks share: how long each of them is measured, and mail to measure with. Not
//! here: what is measured, and what it has to come to.

#![allow(dead_code, reason = "each subject uses its own part of this")]

use std::time::Duration;

use criterion::Criterion;

/// Criterion, told to be quick: all subjects together take some three minutes. Differences of a few
/// percent need more, by its own flags: `--measurement-time 5 --sample-size 100`.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(600))
        .sample_size(40)
        .nresamples(10_000)
        .configure_from_args()
}

/// A message of exactly so many bytes, in lines as mail has them, the last of them ended.
pub(crate) fn message(bytes: usize) -> Vec<u8> {
    let line = b"The quick brown fox jumps over the lazy dog, and goes on until it is home.\r\n";
    let mut message: Vec<u8> = line.iter().copied().cycle().take(bytes).collect();
    let end = bytes.saturating_sub(2);
    message[end..].copy_from_slice(&b"\r\n"[..bytes - end]);
    message
}

/// Numbers `0..count` in an order that no prefetcher knows, the same one in each run.
pub(crate) fn shuffled(count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    let mut random = Random::new();
    for at in (1..count).rev() {
        numbers.swap(at, random.below(at + 1));
    }
    numbers
}

/// Numbers without a pattern, the same ones in each run (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
