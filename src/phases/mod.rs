//! How long the server's own phases take, and how much each turn of the loop does. Whoever measures
//! tells durations; nothing here reads a clock. Not here: how they are written out (`http`),
//! or what is just counted (`metrics`).
//!
//! ```text
//! poll returns                                                             poll is called
//!   |---- the turn ------------------------------------------------------------|
//!   |---- end of data to reply ---->| the write that holds the 250 has returned
//!   |---- accept to banner --------------->| the write of the banner has returned
//! ```
//!
//! All of them begin when the turn does: then the loop learnt of what it is going to answer, and
//! who waits behind others in the same turn has waited. Where they end the kernel has the reply, or
//! as much as it had room for; what a peer takes to read is not the server's time.

mod distribution;

use hdrhistogram::CreationError;

pub use distribution::Distribution;

use crate::limits::{
    PHASE_BOUNDS_NS, PHASE_GRAIN_NS, PHASE_NS_MAX, TURN_CONNECTIONS_BOUNDS,
    TURN_CONNECTIONS_COUNTED_MAX,
};

/// The distributions, and what waits to be counted in them.
#[derive(Debug)]
pub struct Phases {
    accept_to_banner_ns: Distribution,
    end_of_data_to_reply_ns: Distribution,
    turn_ns: Distribution,
    turn_connections: Distribution,
    banners_unsent: u64,
    messages_unsent: u64,
}

/// What one distribution comes to, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The metric's name, `mailfly_…`, without its unit.
    pub name: &'static str,
    /// What it tells, in a few words.
    pub help: &'static str,
    /// What its values count.
    pub unit: Unit,
    /// How many values there are.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// Ascending bounds, and how many values lie between each and the one before.
    pub buckets: Vec<(u64, u64)>,
    /// How many values lie beyond the last bound.
    pub beyond: u64,
    /// The values that [`SHARES`] of all values do not exceed, to two digits.
    pub quantiles: [u64; SHARES.len()],
    /// The greatest value, to two digits.
    pub max: u64,
}

/// What the values of a histogram count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds; shown in seconds, or in what fits.
    Nanoseconds,
    /// Connections.
    Connections,
}

/// The shares of all values that quantiles are told for.
pub const SHARES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
/// What those quantiles are called.
pub const SHARE_NAMES: [&str; SHARES.len()] = ["p50", "p90", "p99", "p99.9"];

impl Phases {
    /// Takes the memory for all of them.
    ///
    /// # Errors
    /// The bounds make no sense.
    pub fn new() -> Result<Self, CreationError> {
        let time = || Distribution::new(PHASE_GRAIN_NS, PHASE_NS_MAX);
        Ok(Self {
            accept_to_banner_ns: time()?,
            end_of_data_to_reply_ns: time()?,
            turn_ns: time()?,
            turn_connections: Distribution::new(1, TURN_CONNECTIONS_COUNTED_MAX)?,
            banners_unsent: 0,
            messages_unsent: 0,
        })
    }

    /// The memory that [`new`](Self::new) takes, in bytes.
    #[must_use]
    pub const fn heap_bytes() -> usize {
        3 * Distribution::heap_bytes(PHASE_GRAIN_NS, PHASE_NS_MAX)
            + Distribution::heap_bytes(1, TURN_CONNECTIONS_COUNTED_MAX)
    }

    /// A peer was accepted, and its banner is in the output.
    pub fn banner_said(&mut self) {
        self.banners_unsent += 1;
    }

    /// A message was stored, and the reply that says so is in the output.
    pub fn message_taken(&mut self) {
        self.messages_unsent += 1;
    }

    /// Whether there is anything in the output whose time matters.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        (self.banners_unsent | self.messages_unsent) != 0
    }

    /// The output was written, so many nanoseconds after the turn began. Each message of a pipelined
    /// group counts.
    pub fn sent(&mut self, turn_ns: u64) {
        for (unsent, distribution) in [
            (&mut self.banners_unsent, &mut self.accept_to_banner_ns),
            (&mut self.messages_unsent, &mut self.end_of_data_to_reply_ns),
        ] {
            let times = std::mem::take(unsent);
            if times > 0 {
                distribution.record(turn_ns, times);
            }
        }
    }

    /// A turn is over, in which so many connections were served, and which took so many nanoseconds.
    pub fn turn_ended(&mut self, connections: usize, turn_ns: u64) {
        self.turn_ns.record(turn_ns, 1);
        self.turn_connections.record(connections as u64, 1);
    }

    /// All of them, to be shown. One look at each bin, of which there are some ten thousand.
    #[must_use]
    pub fn histograms(&self) -> [Histogram; 4] {
        use Unit::{Connections, Nanoseconds};
        [
            Histogram::of(
                &self.accept_to_banner_ns,
                "mailfly_smtp_accept_to_banner",
                "From the turn in which a peer was accepted until the kernel had its banner.",
                Nanoseconds,
                &PHASE_BOUNDS_NS,
            ),
            Histogram::of(
                &self.end_of_data_to_reply_ns,
                "mailfly_smtp_end_of_data_to_reply",
                "From the turn in which a message ended until the kernel had its 250.",
                Nanoseconds,
                &PHASE_BOUNDS_NS,
            ),
            Histogram::of(
                &self.turn_ns,
                "mailfly_loop_turn",
                "How long a turn of the loop was, from poll to poll.",
                Nanoseconds,
                &PHASE_BOUNDS_NS,
            ),
            Histogram::of(
                &self.turn_connections,
                "mailfly_loop_turn_connections",
                "How many connections a turn of the loop visited or accepted.",
                Connections,
                &TURN_CONNECTIONS_BOUNDS,
            ),
        ]
    }
}

impl Histogram {
    fn of(
        values: &Distribution,
        name: &'static str,
        help: &'static str,
        unit: Unit,
        bounds: &[u64],
    ) -> Self {
        let counts = values.buckets(bounds);
        Self {
            name,
            help,
            unit,
            count: values.count(),
            sum: values.sum(),
            beyond: counts.last().copied().unwrap_or(0),
            buckets: bounds.iter().copied().zip(counts).collect(),
            quantiles: values.quantiles(SHARES),
            max: values.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_a_pipelined_group_of_messages_counts_once_for_each() {
        let mut phases = Phases::new().unwrap();
        for _ in 0..7 {
            phases.message_taken();
        }
        assert!(phases.is_waiting());
        phases.sent(30_000);
        assert!(!phases.is_waiting());
        phases.sent(40_000);
        let [banner, reply, ..] = phases.histograms();
        assert_eq!((reply.count, reply.sum, banner.count), (7, 210_000, 0));
        let bucket = reply.buckets.iter().find(|(_, count)| *count > 0).copied();
        assert_eq!(bucket, Some((50_000, 7)));
    }

    #[test]
    fn law_every_histogram_holds_each_value_once_and_those_too_long_beyond() {
        let mut phases = Phases::new().unwrap();
        for ns in [0, 1, 999, 10_000, 10_001, 3_000_000, 20_000_000_000, u64::MAX] {
            phases.banner_said();
            phases.message_taken();
            phases.sent(ns);
            phases.turn_ended(ns as usize, ns);
        }
        for histogram in phases.histograms() {
            let within: u64 = histogram.buckets.iter().map(|(_, count)| count).sum();
            assert_eq!(within + histogram.beyond, histogram.count, "{}", histogram.name);
            assert_eq!(histogram.count, 8, "{}", histogram.name);
            assert!(histogram.beyond >= 2, "{}", histogram.name);
            assert!(histogram.quantiles.is_sorted() && histogram.quantiles[3] <= histogram.max);
        }
    }
}
