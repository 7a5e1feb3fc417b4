//! What connections cannot get rid of at once: replies that a peer does not read yet, and input
//! that the protocol cannot use yet. A fixed pool of small arenas, shared out so that one peer's
//! greed cannot take another's first arena. An idle connection holds none.
//!
//! ```text
//! pool      [ one arena for each connection that there may be | surplus, first come first served ]
//! spilled   [ unsent replies ............ | input that was not consumed ]      one chain of arenas
//!             leave in front, once the       is presented again when all
//!             peer makes room                replies have left
//! ```

use std::io;

use crate::limits::SPILL_ARENA_BYTES;
use crate::store::pool::{Chain, Exhausted, Pool};

type Arenas = Pool<SPILL_ARENA_BYTES>;

/// The arenas of all connections.
#[derive(Debug)]
pub(super) struct Spill {
    pool: Arenas,
    /// How many arenas are left for connections that have their first one.
    surplus: u32,
}

/// One connection's part of the spill. Whoever drops it has to [`Spill::release`] it before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spilled {
    chain: Chain,
    unsent_bytes: u32,
}

impl Spilled {
    pub(super) const NOTHING: Self = Self { chain: Chain::EMPTY, unsent_bytes: 0 };

    /// How many bytes of replies wait to be sent.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent_bytes as usize
    }

    /// Whether input waits to be presented again.
    pub(super) fn keeps_input(&self) -> bool {
        Arenas::bytes(&self.chain) > self.unsent_bytes()
    }

    fn surplus(&self) -> u32 {
        self.chain.arenas().saturating_sub(1)
    }
}

impl Spill {
    pub(super) fn memory_bytes(connections: u32, surplus: u32) -> usize {
        Arenas::mapping_bytes(0, connections + surplus)
    }

    /// Arenas for this many connections, and a surplus for all of them together.
    pub(super) fn new(connections: u32, surplus: u32) -> io::Result<Self> {
        Ok(Self { pool: Pool::new(0, connections + surplus)?, surplus })
    }

    /// Keeps a reply, all of it or nothing. Input may only be kept after it.
    pub(super) fn keep_unsent(
        &mut self,
        spilled: &mut Spilled,
        reply: &[u8],
    ) -> Result<(), Exhausted> {
        if spilled.keeps_input() {
            return Err(Exhausted);
        }
        self.append(spilled, reply)?;
        spilled.unsent_bytes += reply.len() as u32;
        Ok(())
    }

    /// Whether so many bytes more can be kept.
    pub(super) fn has_room(&self, spilled: &Spilled, bytes: usize) -> bool {
        let wanted = Arenas::arenas_for(&spilled.chain, bytes);
        let after = (spilled.chain.arenas() + wanted).saturating_sub(1);
        after - spilled.surplus() <= self.surplus
    }

    /// Keeps input, all of it or nothing.
    pub(super) fn keep_input(
        &mut self,
        spilled: &mut Spilled,
        input: &[u8],
    ) -> Result<(), Exhausted> {
        self.append(spilled, input)
    }

    /// Copies the beginning of the unsent replies out, as much as `into` takes.
    pub(super) fn read_unsent<'a>(&self, spilled: &Spilled, into: &'a mut [u8]) -> &'a [u8] {
        let bytes = spilled.unsent_bytes().min(into.len());
        let into = &mut into[..bytes];
        self.pool.read(spilled.chain.start(), into);
        into
    }

    /// The first `bytes` of the unsent replies have left.
    pub(super) fn drop_sent(&mut self, spilled: &mut Spilled, bytes: usize) {
        spilled.unsent_bytes -= bytes as u32;
        self.drop_front(spilled, bytes);
    }

    /// Moves all input that was kept to the front of `into`, and says how much it is. There must
    /// be nothing unsent before it.
    pub(super) fn take_input(&mut self, spilled: &mut Spilled, into: &mut [u8]) -> usize {
        if spilled.chain.is_empty() {
            return 0;
        }
        let bytes = Arenas::bytes(&spilled.chain).min(into.len());
        self.pool.read(spilled.chain.start(), &mut into[..bytes]);
        self.drop_front(spilled, bytes);
        bytes
    }

    /// Forgets everything that a connection kept.
    pub(super) fn release(&mut self, spilled: &mut Spilled) {
        let Spilled { chain, .. } = std::mem::replace(spilled, Spilled::NOTHING);
        self.surplus += chain.arenas().saturating_sub(1);
        self.pool.free(chain);
    }

    fn append(&mut self, spilled: &mut Spilled, bytes: &[u8]) -> Result<(), Exhausted> {
        let before = spilled.surplus();
        let wanted = Arenas::arenas_for(&spilled.chain, bytes.len());
        let after = (spilled.chain.arenas() + wanted).saturating_sub(1);
        let surplus = self.surplus.checked_sub(after - before).ok_or(Exhausted)?;
        self.pool.append(&mut spilled.chain, bytes)?;
        self.surplus = surplus;
        Ok(())
    }

    fn drop_front(&mut self, spilled: &mut Spilled, bytes: usize) {
        let before = spilled.surplus();
        self.pool.drop_front(&mut spilled.chain, bytes);
        self.surplus += before - spilled.surplus();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        KeepUnsent(usize),
        KeepInput(usize),
        Send(usize),
        TakeInput,
        Release,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..5000usize).prop_map(Step::KeepUnsent),
            (0..5000usize).prop_map(Step::KeepInput),
            (0..5000usize).prop_map(Step::Send),
            Just(Step::TakeInput),
            Just(Step::Release),
        ]
    }

    proptest! {
        #[test]
        fn everybody_can_keep_a_line_whatever_the_others_keep(
            steps in proptest::collection::vec((0..4usize, step()), 1..60),
        ) {
            const SURPLUS: u32 = 6;
            let mut spill = Spill::new(4, SURPLUS).unwrap();
            let mut all = [Spilled::NOTHING; 4];
            let mut models = [const { (Vec::new(), Vec::new()) }; 4];
            let mut buffer = vec![0; 64 * 1024];
            let mut next_byte = 0u8;
            let mut bytes = |length| -> Vec<u8> {
                (0..length).map(|_| { next_byte = next_byte.wrapping_add(1); next_byte }).collect()
            };
            for (at, step) in steps {
                let (spilled, (unsent, input)) = (&mut all[at], &mut models[at]);
                match step {
                    Step::KeepUnsent(length) => {
                        let reply = bytes(length);
                        if spill.keep_unsent(spilled, &reply).is_ok() {
                            unsent.extend(reply);
                        }
                    }
                    Step::KeepInput(length) => {
                        let more = bytes(length);
                        if spill.keep_input(spilled, &more).is_ok() {
                            input.extend(more);
                        }
                    }
                    Step::Send(length) => {
                        let seen = spill.read_unsent(spilled, &mut buffer[..length]);
                        prop_assert_eq!(seen, &unsent[..length.min(unsent.len())]);
                        let sent = seen.len();
                        spill.drop_sent(spilled, sent);
                        unsent.drain(..sent);
                    }
                    Step::TakeInput if unsent.is_empty() => {
                        let taken = spill.take_input(spilled, &mut buffer);
                        prop_assert_eq!(&buffer[..taken], &input[..]);
                        input.clear();
                    }
                    Step::TakeInput => {}
                    Step::Release => {
                        spill.release(spilled);
                        unsent.clear();
                        input.clear();
                    }
                }
                prop_assert_eq!(spilled.unsent_bytes(), unsent.len());
                let surplus: u32 = all.iter().map(Spilled::surplus).sum();
                prop_assert_eq!(surplus + spill.surplus, SURPLUS);
                let empty = all.iter().filter(|spilled| spilled.chain.is_empty()).count();
                prop_assert!(spill.pool.free_arenas() >= spill.surplus + empty as u32);
            }
        }
    }
}
