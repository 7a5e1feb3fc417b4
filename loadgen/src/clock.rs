//! The time of a run: nanoseconds since it began. Everything but the loop is told the time.

use std::time::Instant;

/// Nanoseconds since the clock was made.
pub(crate) type Nanoseconds = u64;

/// The clock of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(&self) -> Nanoseconds {
        self.origin.elapsed().as_nanos() as u64
    }
}
