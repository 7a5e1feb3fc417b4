//! The time, as everything below the reactor is told it: read once a turn, then passed down as a
//! value. Nothing else in the crate asks the system for the time.

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
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic_ms: millis(self.started.elapsed()), unix_ms: millis(since_1970) }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
