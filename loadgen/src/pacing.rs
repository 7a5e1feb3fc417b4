//! When each message should start. Closed loop: when a connection is ready. Open loop: at its
//! place in a schedule that the server has no influence on.

use crate::clock::Nanoseconds;
use crate::connection::Message;

/// Hands out messages, in order, until the run's bounds.
#[derive(Debug)]
pub(crate) struct Pacing {
    rate: Option<f64>,
    begin: Nanoseconds,
    end: Nanoseconds,
    messages_max: u64,
    handed_out: u64,
    over: bool,
}

impl Pacing {
    /// From `begin` to `end`, at so many messages a second if there is a rate.
    pub(crate) fn new(
        rate: Option<f64>,
        begin: Nanoseconds,
        end: Nanoseconds,
        messages_max: u64,
    ) -> Self {
        Self { rate, begin, end, messages_max, handed_out: 0, over: false }
    }

    /// The next message, if it is due.
    pub(crate) fn next(&mut self, now: Nanoseconds) -> Option<Message> {
        let scheduled = self.next_due()?;
        // What was due before the end may still start a moment after it.
        let not_now = if self.rate.is_some() { scheduled > now } else { now >= self.end };
        if not_now {
            return None;
        }
        let scheduled = if self.rate.is_some() { scheduled } else { now };
        let sequence = self.handed_out;
        self.handed_out += 1;
        Some(Message { sequence, scheduled, started: now })
    }

    /// When the next message should start; none if there will be no more.
    pub(crate) fn next_due(&self) -> Option<Nanoseconds> {
        if self.over || self.handed_out >= self.messages_max {
            return None;
        }
        let due = self.due(self.handed_out);
        (due < self.end).then_some(due)
    }

    /// Whether no more messages will start, by the bounds that do not need a clock.
    pub(crate) fn is_over(&self) -> bool {
        self.over || self.next_due().is_none()
    }

    /// No more messages start.
    pub(crate) fn stop(&mut self) {
        self.over = true;
    }

    /// When the run is over, whatever is left of it.
    pub(crate) fn end(&self) -> Nanoseconds {
        self.end
    }

    /// How many were handed out.
    pub(crate) fn handed_out(&self) -> u64 {
        self.handed_out
    }

    /// The times at which messages should have started by `now` and did not.
    pub(crate) fn overdue(&self, now: Nanoseconds) -> impl Iterator<Item = Nanoseconds> {
        let until = if self.rate.is_some() { now.min(self.end) } else { 0 };
        (self.handed_out..self.messages_max)
            .map(|sequence| self.due(sequence))
            .take_while(move |due| *due < until)
    }

    fn due(&self, sequence: u64) -> Nanoseconds {
        // A float has 52 bits: exact to the nanosecond for a month.
        self.rate.map_or(self.begin, |rate| self.begin + (sequence as f64 * 1e9 / rate) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_does_not_drift_however_late_it_is_asked() {
        let mut pacing = Pacing::new(Some(1000.0), 500, 5_000_500, 100);
        assert_eq!(pacing.next(499), None);
        assert_eq!(pacing.next(500).unwrap().scheduled, 500);
        assert_eq!(pacing.next(1_000_499), None);
        let late = pacing.next(3_100_000).unwrap();
        assert_eq!((late.sequence, late.scheduled, late.started), (1, 1_000_500, 3_100_000));
        assert_eq!(pacing.next(3_100_000).unwrap().scheduled, 2_000_500);
        let overdue: Vec<_> = pacing.overdue(9_000_000).collect();
        assert_eq!(overdue, [3_000_500, 4_000_500], "until the end, and no further");
        assert_eq!(pacing.next(5_000_500).unwrap().scheduled, 3_000_500);
        assert_eq!(pacing.next(5_000_500).unwrap().scheduled, 4_000_500);
        assert_eq!(pacing.next(9_000_000), None, "nothing is due after the end");
    }

    #[test]
    fn without_a_rate_messages_start_when_they_are_asked_for() {
        let mut pacing = Pacing::new(None, 0, 1000, 3);
        for now in [1, 1, 900] {
            let message = pacing.next(now).unwrap();
            assert_eq!((message.scheduled, message.started), (now, now));
        }
        assert_eq!(pacing.next(901), None, "three, and no more");
        assert_eq!(Pacing::new(None, 0, 1000, 3).next(1000), None, "that is the end");
        assert!(pacing.is_over());
        assert_eq!(pacing.overdue(2000).count(), 0);
    }
}
