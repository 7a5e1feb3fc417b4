//! How long a connection may take for what it is at. Each stage has a deadline that no byte now and
//! then puts off: what counts is when the stage began and how much has come of it. Not here: the
//! timers (`net`), or what is said when a deadline has passed.
//!
//! ```text
//! SMTP   first command    since the banner
//!        command          since the last one
//!        message          since it began, and 500 B/s after a grace; and no long silence
//!        all of them      since the connection began
//! HTTP   idle             since the last byte
//!        request          since its first byte, head and body together
//!        response         since it began, and 4 KiB/s after a grace; and no long silence
//! ```
//!
//! All of them are counted by the monotonic clock.

use crate::guard::pressure::Pressure;
use crate::limits::{
    HTTP_IDLE_MS, HTTP_READ_BYTES_PER_SECOND, HTTP_READ_GRACE_MS, HTTP_REQUEST_MS, HTTP_STALL_MS,
    MESSAGE_BYTES_PER_SECOND, MESSAGE_GRACE_MS, SMTP_FIRST_COMMAND_MS, SMTP_IDLE_MS,
    SMTP_SESSION_MS,
};

/// What a connection is at, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    stage: Stage,
    opened_ms: u64,
    since_ms: u64,
    /// How much has moved in this stage, where that matters.
    bytes: u64,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The client's first command.
    FirstCommand,
    /// Its next one.
    Command,
    /// The rest of a message.
    Message,
    /// A request.
    Idle,
    /// The rest of one.
    Request,
    /// That a response is read.
    Response,
}

impl Patience {
    /// A connection was accepted.
    pub(super) fn new(stage: Stage, now_ms: u64) -> Self {
        Self { stage, opened_ms: now_ms, since_ms: now_ms, bytes: 0 }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// It gets to a stage, or anew to the one that it is in.
    pub(super) fn begin(&mut self, stage: Stage, now_ms: u64) {
        (self.stage, self.since_ms, self.bytes) = (stage, now_ms, 0);
    }

    /// It gets to a stage, unless it is there.
    pub(super) fn enter(&mut self, stage: Stage, now_ms: u64) {
        if self.stage != stage {
            self.begin(stage, now_ms);
        }
    }

    /// The server keeps it waiting until then, which is not held against it.
    pub(super) fn wait_until(&mut self, until_ms: u64) {
        self.since_ms = self.since_ms.max(until_ms);
    }

    /// More has come, or left.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// By when the stage has to be over, in monotonic milliseconds, if a byte last moved at
    /// `moved_ms`.
    pub(super) fn deadline_ms(&self, moved_ms: u64, pressure: Pressure) -> u64 {
        let after = |from_ms: u64, calm_ms| from_ms.saturating_add(pressure.deadline_ms(calm_ms));
        let at_rate = |grace_ms, bytes_per_second| {
            after(self.since_ms, grace_ms)
                .saturating_add(self.bytes.saturating_mul(1000) / bytes_per_second)
        };
        let session_ms = self.opened_ms.saturating_add(SMTP_SESSION_MS);
        match self.stage {
            Stage::FirstCommand => after(self.since_ms, SMTP_FIRST_COMMAND_MS),
            Stage::Command => after(self.since_ms, SMTP_IDLE_MS).min(session_ms),
            Stage::Message => at_rate(MESSAGE_GRACE_MS, MESSAGE_BYTES_PER_SECOND)
                .min(after(moved_ms, SMTP_IDLE_MS))
                .min(session_ms),
            Stage::Idle => after(moved_ms, HTTP_IDLE_MS),
            Stage::Request => after(self.since_ms, HTTP_REQUEST_MS),
            // What is owed is held in memory that others wait for.
            Stage::Response => at_rate(HTTP_READ_GRACE_MS, HTTP_READ_BYTES_PER_SECOND)
                .min(after(moved_ms, HTTP_STALL_MS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_000_000;

    /// When it is over for a peer that moves a byte every second, whatever it is at.
    fn dribbles(mut patience: Patience) -> u64 {
        let mut now_ms = START;
        while now_ms < patience.deadline_ms(now_ms, Pressure::Calm) {
            now_ms += 1000;
            patience.moved(1);
        }
        now_ms - START
    }

    #[test]
    fn a_byte_now_and_then_puts_no_deadline_off() {
        for (stage, least_ms, most_ms) in [
            (Stage::FirstCommand, SMTP_FIRST_COMMAND_MS, SMTP_FIRST_COMMAND_MS),
            (Stage::Command, SMTP_IDLE_MS, SMTP_IDLE_MS),
            (Stage::Message, MESSAGE_GRACE_MS, MESSAGE_GRACE_MS + 1000),
            (Stage::Request, HTTP_REQUEST_MS, HTTP_REQUEST_MS),
            (Stage::Response, HTTP_READ_GRACE_MS, HTTP_READ_GRACE_MS + 1000),
        ] {
            let lasted_ms = dribbles(Patience::new(stage, START));
            assert!((least_ms..=most_ms).contains(&lasted_ms), "{stage:?}: {lasted_ms}");
        }
    }

    #[test]
    fn a_message_that_comes_at_the_least_rate_is_waited_for_and_a_slower_one_is_not() {
        for (bytes, is_enough) in [(MESSAGE_BYTES_PER_SECOND, true), (490, false)] {
            let mut patience = Patience::new(Stage::Message, START);
            let half_an_hour = START + 30 * 60 * 1000;
            let is_waited_for = (START..half_an_hour).step_by(1000).all(|now_ms| {
                let is_early = now_ms < patience.deadline_ms(now_ms, Pressure::Calm);
                patience.moved(bytes as usize);
                is_early
            });
            // What is missing adds up to the grace.
            let slack_ms = 30 * 60 * 1000 * (500 - bytes) / 500;
            assert_eq!(is_waited_for, is_enough || slack_ms < MESSAGE_GRACE_MS, "{bytes}");
        }
        let mut patience = Patience::new(Stage::Message, START);
        patience.moved(1 << 30);
        let silent_ms = patience.deadline_ms(START, Pressure::Calm) - START;
        assert_eq!(silent_ms, SMTP_IDLE_MS, "what came fast buys no long silence");
    }

    #[test]
    fn no_session_outlasts_its_cap_whatever_it_does() {
        let mut patience = Patience::new(Stage::FirstCommand, START);
        for stage in [Stage::Command, Stage::Message] {
            let late = START + SMTP_SESSION_MS - 1;
            patience.begin(stage, late);
            patience.moved(1 << 40);
            assert_eq!(patience.deadline_ms(late, Pressure::Calm), START + SMTP_SESSION_MS);
        }
    }

    #[test]
    fn what_the_server_keeps_waiting_is_not_held_against_the_peer() {
        let mut patience = Patience::new(Stage::Command, START);
        patience.wait_until(START + 9000);
        assert_eq!(patience.deadline_ms(START, Pressure::Calm), START + 9000 + SMTP_IDLE_MS);
        patience.wait_until(START);
        assert_eq!(patience.deadline_ms(START, Pressure::Calm), START + 9000 + SMTP_IDLE_MS);
    }

    proptest! {
        #[test]
        fn pressure_only_shortens_and_nothing_overflows(
            since_ms: u64, moved_ms: u64, bytes: u32, times in 1_u64..1 << 33, at in 0_usize..6,
        ) {
            let stages = [
                Stage::FirstCommand, Stage::Command, Stage::Message, Stage::Idle, Stage::Request,
                Stage::Response,
            ];
            let mut patience = Patience::new(stages[at], since_ms);
            patience.moved((u64::from(bytes).saturating_mul(times)) as usize);
            let deadline_ms = |pressure| patience.deadline_ms(moved_ms, pressure);
            prop_assert!(deadline_ms(Pressure::High) <= deadline_ms(Pressure::Calm));
            prop_assert!(deadline_ms(Pressure::Critical) <= deadline_ms(Pressure::High));
        }
    }
}
