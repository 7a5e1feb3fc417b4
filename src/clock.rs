//! The time, as everything below the reactor is told it: read once a turn, then passed down as a
//! value. Nothing else in the crate asks the system for the time. What the loop itself takes is
//! measured with a [`Stopwatch`], by the reactor alone.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
///
/// Deadlines and ages are counted in monotonic milliseconds, so that a wall clock that jumps
/// changes none of them; the wall clock only dates what people read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the clock was made; never goes back.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z, as the wall clock has it.
    pub unix_ms: u64,
}

/// The system's clocks. Made once, at start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic reading starts at 0.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Reads both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        self.lap().0
    }

    /// The same, with a stopwatch that starts at this very reading.
    #[must_use]
    pub fn lap(&self) -> (Now, Stopwatch) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = Instant::now();
        let monotonic_ms = millis(since.saturating_duration_since(self.started));
        (Now { monotonic_ms, unix_ms: millis(since_1970) }, Stopwatch { since })
    }
}

/// Tells how long ago it was started. Each look is a reading of the clock, which costs some dozens
/// of nanoseconds: who handles thousands of messages in a turn looks with care.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    since: Instant,
}

impl Stopwatch {
    /// Nanoseconds since it was started; never goes back.
    #[must_use]
    pub fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
