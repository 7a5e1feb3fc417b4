//! What all conversations of a run share: where messages come from, and where it is written down
//! what became of them. No sockets, and no clock: `flood` has both.

use crate::clock::Nanoseconds;
use crate::connection::{Message, Phase, World};
use crate::ledger::Ledger;
use crate::measure::Measure;
use crate::pacing::Pacing;
use crate::traffic::Traffic;

/// What conversations may touch.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) traffic: Traffic,
    pub(crate) pacing: Pacing,
    pub(crate) measure: Measure,
    /// Kept only when everything will be read back.
    pub(crate) ledger: Option<Ledger>,
    /// Messages that were begun and neither acknowledged nor given up.
    pub(crate) in_flight: u64,
    /// The time of the present visit.
    pub(crate) now: Nanoseconds,
}

impl World for Desk {
    fn next(&mut self, now: Nanoseconds) -> Option<Message> {
        let message = self.pacing.next(now)?;
        self.in_flight += 1;
        Some(message)
    }

    fn ending(&self) -> bool {
        self.pacing.is_over()
    }

    fn replied(&mut self, phase: Phase, after: Nanoseconds) {
        self.measure.replied(phase, after, self.now);
    }

    fn stored(&mut self, message: &Message, reply: &[u8], now: Nanoseconds) {
        self.in_flight -= 1;
        let bytes = self.traffic.message_bytes(message.sequence);
        self.measure.stored(message, bytes, now);
        if let Some(ledger) = &mut self.ledger {
            ledger.acknowledge(message.sequence, reply);
        }
    }
}
