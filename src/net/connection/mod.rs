//! One connection: its conversation, over its wire, and a visit to it. Not here: how its bytes get
//! to the peer and back (`wire`), when it is visited (`reactor`), where its leftovers are kept
//! (`spill`), what its bytes mean ([`Protocol`]).

mod ending;
mod handshake;
mod sending;

use std::ops::Range;

use mio::event::{Event, Source};
use mio::net::TcpStream;

use self::sending::Sent;
use super::Protocol;
use super::spill::{Spill, Spilled};
use super::wire::{Received, Wire};
use crate::clock::{Now, Stopwatch};
use crate::limits::{BYTES_PER_VISIT, OUTPUT_BYTES, READ_BUFFER_BYTES, TLS_HANDSHAKE_MS};
use crate::output::Output;
use crate::progress::{Progress, Then};
use crate::tls::{Broken, Tls};

/// The buffers that all visits share.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) spill: Spill,
    pub(super) tls: Tls,
    input: Box<[u8]>,
    /// Empty between visits.
    pub(super) output: Output,
    /// Runs since the turn began.
    pub(super) stopwatch: Stopwatch,
}

/// One entry of the reactor's table.
#[derive(Debug)]
pub(super) struct Slot<C> {
    /// When a byte last moved, either way.
    moved_ms: u64,
    spilled: Spilled,
    wire: Wire,
    linger_bytes_left: u32,
    stage: Stage,
    /// Replies are unsent, in the spill or held by the protocol.
    sending: bool,
    /// They are held back until a timer fires.
    held: bool,
    told_to_drain: bool,
    /// It is in the reactor's queue.
    pub(super) queued: bool,
    /// Taken when the connection is over, which may be before its socket is closed.
    conversation: Option<C>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Talking,
    /// Closes when what is unsent has left.
    Closing,
    /// Over; what the peer still says is thrown away, so that the last reply survives.
    Lingering,
    /// Over; the slot is freed at the end of the turn.
    Closed,
}

/// What the reactor has to do with a slot next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Stay,
    /// The conversation is over, the socket is not.
    Linger,
    Close,
}

impl Workspace {
    pub(super) fn new(spill: Spill, tls: Tls, stopwatch: Stopwatch) -> Self {
        Self {
            spill,
            tls,
            input: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            output: Output::with_capacity(OUTPUT_BYTES),
            stopwatch,
        }
    }
}

impl<C> Slot<C> {
    pub(super) fn new(stream: TcpStream, conversation: C, now: Now) -> Self {
        Self {
            moved_ms: now.monotonic_ms,
            spilled: Spilled::NOTHING,
            wire: Wire::new(stream),
            linger_bytes_left: 0,
            stage: Stage::Talking,
            sending: false,
            held: false,
            told_to_drain: false,
            queued: false,
            conversation: Some(conversation),
        }
    }

    pub(super) fn source(&mut self) -> &mut impl Source {
        self.wire.source()
    }

    /// Remembers what the kernel said.
    pub(super) fn note(&mut self, event: &Event) {
        self.wire.note(event);
    }

    /// Whether a visit would get anywhere.
    pub(super) fn has_work(&self) -> bool {
        match self.stage {
            Stage::Talking | Stage::Closing if self.held => false,
            Stage::Talking | Stage::Closing if self.sending => self.wire.is_writable(),
            Stage::Talking | Stage::Lingering => self.wire.is_readable(),
            Stage::Closing | Stage::Closed => false,
        }
    }

    /// Whether a visit has to wait for another turn, by the protocol's word.
    pub(super) fn is_postponed<P>(&self, protocol: &P) -> bool
    where
        P: Protocol<Connection = C>,
    {
        self.conversation.as_ref().is_some_and(|conversation| !protocol.has_time(conversation))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// When it will have waited too long, by the protocol's word; `None` if it has nothing to say
    /// any more.
    pub(super) fn deadline_ms<P>(&self, protocol: &P, tls: &Tls) -> Option<u64>
    where
        P: Protocol<Connection = C>,
    {
        let conversation = self.conversation.as_ref()?;
        if self.held {
            return Some(protocol.held_until_ms(conversation));
        }
        if let Some(since_ms) = self.wire.handshaking_since_ms(tls) {
            return Some(since_ms + TLS_HANDSHAKE_MS);
        }
        Some(protocol.deadline_ms(conversation, self.moved_ms))
    }

    /// Ends the conversation, if it has not ended yet: forgets what it kept, and returns it.
    pub(super) fn hang_up(&mut self, space: &mut Workspace) -> Option<C> {
        space.spill.release(&mut self.spilled);
        self.wire.forget_keys(&mut space.tls);
        self.conversation.take()
    }

    /// Marks the slot as free at the end of the turn.
    pub(super) fn close(&mut self) {
        self.stage = Stage::Closed;
    }

    /// Sends what waits, then reads and converses until the peer has no more to say, takes no
    /// more, or has had its share of the turn.
    pub(super) fn visit<P>(&mut self, protocol: &mut P, space: &mut Workspace, now: Now) -> After
    where
        P: Protocol<Connection = C>,
    {
        let mut budget = BYTES_PER_VISIT;
        if self.held {
            return After::Stay;
        }
        if self.stage == Stage::Lingering {
            return self.discard(&mut space.input);
        }
        let was_sending = self.sending;
        if was_sending {
            match self.resume_sending(protocol, space, &mut budget, now) {
                Sent::Failed => return After::Close,
                Sent::Part => return After::Stay,
                // The peer has kept us waiting, so it is likely to be ahead.
                Sent::All if self.stage == Stage::Closing => return self.finish(space, true),
                Sent::All => {}
            }
        }
        let mut filled = space.spill.take_input(&mut self.spilled, &mut space.input);
        // What the protocol left when its output was full has not been looked at to its end.
        let mut is_unseen = was_sending && filled > 0;
        loop {
            if !is_unseen {
                if !self.wire.is_readable() || budget == 0 {
                    break;
                }
                if filled == space.input.len() {
                    return self.finish(space, true);
                }
                match self.wire.receive(&mut space.tls, &mut space.input[filled..]) {
                    Ok(Received::Bytes(bytes)) => {
                        self.moved_ms = now.monotonic_ms;
                        budget = budget.saturating_sub(bytes);
                        filled += bytes;
                    }
                    Ok(Received::Sealed(bytes, opened)) => {
                        self.moved_ms = now.monotonic_ms;
                        budget = budget.saturating_sub(bytes);
                        let sent = self.answer_tls(opened, protocol, space, &mut budget, now);
                        let plain = opened.map_or(0, |opened| opened.bytes);
                        filled += plain;
                        match (opened, sent) {
                            (_, Sent::Failed) => return After::Close,
                            // No goodbye within what is broken.
                            (Err(Broken), Sent::All) => return self.linger(true),
                            (Err(Broken), Sent::Part) => return After::Close,
                            (Ok(_), Sent::Part) => return self.keep_input(space, 0..filled),
                            (Ok(_), Sent::All) if plain == 0 => continue,
                            (Ok(_), Sent::All) => {}
                        }
                    }
                    Ok(Received::Nothing) => break,
                    // A goodbye is due, whether or not there was one.
                    Ok(Received::End) if self.wire.is_encrypted() => {
                        return self.finish(space, false);
                    }
                    Ok(Received::End) | Err(_) => return After::Close,
                }
            }
            is_unseen = false;
            match self.converse(protocol, space, filled, &mut budget, now) {
                Ok(consumed) if consumed == filled => filled = 0,
                Ok(consumed) => {
                    space.input.copy_within(consumed..filled, 0);
                    filled -= consumed;
                }
                Err(after) => return after,
            }
        }
        self.keep_input(space, 0..filled)
    }

    /// Shows the first `filled` bytes of input to the protocol and sends what it says, until it
    /// has seen all of them; returns how many it consumed. Or says what happens when it is
    /// stopped; then the input has been kept.
    fn converse<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        filled: usize,
        budget: &mut usize,
        now: Now,
    ) -> Result<usize, After>
    where
        P: Protocol<Connection = C>,
    {
        let mut start = 0;
        loop {
            let Some(conversation) = &mut self.conversation else { return Err(After::Close) };
            let input = &space.input[start..filled];
            let Progress { consumed, then } =
                protocol.received(conversation, input, now, &mut space.output);
            let consumed = consumed.min(input.len());
            let is_stuck = consumed == 0
                && space.output.is_empty()
                && protocol.held_output(conversation).is_empty();
            start += consumed;
            let was_full = space.output.len() > OUTPUT_BYTES / 2;
            // A handshake has a deadline of its own, and is not kept waiting.
            if then != Then::Encrypt && self.hold(protocol, space, now) {
                if then == Then::Close {
                    self.stage = Stage::Closing;
                    return Err(After::Stay);
                }
                return Err(self.keep_input(space, start..filled));
            }
            match (then, self.send(protocol, space, budget, now)) {
                (_, Sent::Failed) => return Err(After::Close),
                (Then::Continue, Sent::All) => return Ok(start),
                (Then::Flush, Sent::All) if start == filled => return Ok(start),
                (Then::Flush, Sent::All) if is_stuck => return Err(self.finish(space, true)),
                (Then::Encrypt, Sent::All | Sent::Part) => {
                    return Err(self.encrypt(protocol, space, start..filled, now));
                }
                // Who has so much to be answered is not the only one.
                (Then::Flush, Sent::All) if *budget > 0 && !was_full => {}
                (Then::Flush | Then::Yield, Sent::All) => {
                    // Others come first. Resuming to send nothing is how the rest is seen then.
                    self.sending = start < filled;
                    return Err(self.keep_input(space, start..filled));
                }
                (Then::Close, Sent::All) => return Err(self.finish(space, start < filled)),
                (Then::Close, Sent::Part) => {
                    self.stage = Stage::Closing;
                    return Err(After::Stay);
                }
                (Then::Continue | Then::Flush | Then::Yield, Sent::Part) => {
                    return Err(self.keep_input(space, start..filled));
                }
            }
        }
    }

    fn keep_input(&mut self, space: &mut Workspace, range: Range<usize>) -> After {
        if range.is_empty() {
            return After::Stay;
        }
        match space.spill.keep_input(&mut self.spilled, &space.input[range]) {
            Ok(()) => After::Stay,
            Err(_) => After::Close,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_holds_little() {
        // In debug builds mio keeps a note of its own beside each socket, and that takes padding.
        let debug_bytes = if cfg!(debug_assertions) { 24 } else { 0 };
        assert!(size_of::<Slot<std::num::NonZeroU8>>() <= 48 + debug_bytes);
    }
}
