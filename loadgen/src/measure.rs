//! What was measured: latencies by phase, counts, and their course over time. It is told every
//! time; it has no clock.

use std::collections::BTreeMap;

use hdrhistogram::{CreationError, Histogram};

use crate::clock::Nanoseconds;
use crate::connection::{Fault, Message, Phase};
use crate::limits::{LATENCY_NS_MAX, LATENCY_NS_MIN};

/// Latencies in nanoseconds, to three digits.
pub(crate) type Latencies = Histogram<u32>;

/// An empty histogram for latencies.
///
/// # Errors
/// There is no memory for it.
pub(crate) fn latencies() -> Result<Latencies, CreationError> {
    Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, 3)
}

/// The phases that the report has, in its order.
pub(crate) const PHASES: [Phase; 6] =
    [Phase::Banner, Phase::Handshake, Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Stored];

/// All of a run's figures.
#[derive(Debug)]
pub(crate) struct Measure {
    /// Only messages that should have started in this window count.
    window: (Nanoseconds, Nanoseconds),
    open_loop: bool,
    /// As in [`PHASES`].
    pub(crate) phases: [Latencies; PHASES.len()],
    /// From when it should have started to the 250.
    pub(crate) whole: Latencies,
    /// From when it did start.
    pub(crate) uncorrected: Latencies,
    /// The longest of `whole` since somebody took it.
    pub(crate) whole_ns_max: Nanoseconds,
    /// Messages acknowledged within the window.
    pub(crate) acknowledged: u64,
    /// Bytes of messages acknowledged within the window.
    pub(crate) bytes: u64,
    /// Messages of the window that were begun and never acknowledged.
    pub(crate) unfinished: u64,
    /// Messages that should have started in the window and could not.
    pub(crate) unstarted: u64,
    /// Starts that were late though a connection was free.
    pub(crate) late: u64,
    pub(crate) errors: u64,
    pub(crate) errors_by_fault: BTreeMap<Fault, u64>,
    /// Faults since the last message was acknowledged.
    pub(crate) faults_in_a_row: u64,
    /// Messages acknowledged, whenever it was.
    pub(crate) acknowledged_ever: u64,
}

impl Measure {
    /// # Errors
    /// There is no memory for the histograms.
    pub(crate) fn new(
        window: (Nanoseconds, Nanoseconds),
        open_loop: bool,
    ) -> Result<Self, CreationError> {
        let whole = latencies()?;
        Ok(Self {
            window,
            open_loop,
            phases: std::array::from_fn(|_| whole.clone()),
            uncorrected: whole.clone(),
            whole,
            whole_ns_max: 0,
            acknowledged: 0,
            bytes: 0,
            unfinished: 0,
            unstarted: 0,
            late: 0,
            errors: 0,
            errors_by_fault: BTreeMap::new(),
            faults_in_a_row: 0,
            acknowledged_ever: 0,
        })
    }

    /// Only this window counts.
    pub(crate) fn begin(&mut self, window: (Nanoseconds, Nanoseconds)) {
        self.window = window;
    }

    /// The window ends here, sooner than it was to.
    pub(crate) fn end(&mut self, now: Nanoseconds) {
        self.window.1 = self.window.1.min(now);
    }

    pub(crate) fn replied(&mut self, phase: Phase, after: Nanoseconds, now: Nanoseconds) {
        if !self.is_in_window(now) {
            return;
        }
        if let Some(at) = PHASES.iter().position(|known| *known == phase) {
            self.phases[at].saturating_record(after);
        }
    }

    pub(crate) fn stored(&mut self, message: &Message, bytes: usize, now: Nanoseconds) {
        self.faults_in_a_row = 0;
        self.acknowledged_ever += 1;
        if self.is_in_window(now) {
            self.acknowledged += 1;
            self.bytes += bytes as u64;
        }
        self.whole_ns_max = self.whole_ns_max.max(now.saturating_sub(message.scheduled));
        if self.counts(message, now) {
            self.whole.saturating_record(now.saturating_sub(message.scheduled));
            self.uncorrected.saturating_record(now.saturating_sub(message.started));
        }
    }

    /// A message was begun and given up.
    pub(crate) fn unfinished(&mut self, message: &Message, now: Nanoseconds) {
        if self.open_loop && self.is_in_window(message.scheduled) {
            self.unfinished += 1;
            // It would have taken at least so long; to leave it out would flatter the server.
            self.whole.saturating_record(now.saturating_sub(message.scheduled));
            self.uncorrected.saturating_record(now.saturating_sub(message.started));
        }
    }

    /// A message should have started at `scheduled`, and had not by `now`.
    pub(crate) fn unstarted(&mut self, scheduled: Nanoseconds, now: Nanoseconds) {
        if self.is_in_window(scheduled) {
            self.unstarted += 1;
            self.whole.saturating_record(now.saturating_sub(scheduled));
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.errors += 1;
        self.faults_in_a_row += 1;
        *self.errors_by_fault.entry(fault).or_default() += 1;
    }

    pub(crate) fn is_in_window(&self, time: Nanoseconds) -> bool {
        (self.window.0..self.window.1).contains(&time)
    }

    pub(crate) fn window_ns(&self) -> Nanoseconds {
        self.window.1.saturating_sub(self.window.0)
    }

    /// In an open loop a message belongs to the window that it should have started in, however late
    /// it ends: otherwise the slowest would be left out. In a closed one it starts when the last one
    /// ends, and belongs where it ends.
    fn counts(&self, message: &Message, now: Nanoseconds) -> bool {
        self.is_in_window(if self.open_loop { message.scheduled } else { now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(scheduled: u64, started: u64) -> Message {
        Message { sequence: 0, scheduled, started }
    }

    #[test]
    fn the_corrected_latency_begins_when_the_message_should_have_started() {
        let mut measure = Measure::new((1000, 2_000_000), true).unwrap();
        measure.stored(&message(1_000_000, 9_000_000), 10, 9_500_000);
        assert!(measure.whole.max().abs_diff(8_500_000) < 10_000);
        assert!(measure.uncorrected.max().abs_diff(500_000) < 1000);
        assert_eq!(measure.acknowledged, 0, "that was after the window");
        measure.stored(&message(500, 600), 10, 1500);
        assert_eq!(measure.whole.len(), 1, "that should have started before the window");
    }

    #[test]
    fn what_never_ended_counts_with_the_time_that_it_waited() {
        let mut measure = Measure::new((0, 1000), true).unwrap();
        measure.unfinished(&message(500, 700), 2_000_000);
        measure.unstarted(900, 1_000_900);
        assert_eq!((measure.unfinished, measure.unstarted), (1, 1));
        assert_eq!((measure.whole.len(), measure.uncorrected.len()), (2, 1));
    }
}
