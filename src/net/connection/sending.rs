//! A connection's way out: what was said leaves at once, later, or when its time has come. Not here:
//! what was said ([`Protocol`]), how bytes get to the kernel (`wire`), where they wait (`spill`).

use super::{After, Slot, Stage, Workspace};
use crate::clock::Now;
use crate::limits::{BYTES_PER_VISIT, OUTPUT_BYTES, TLS_OUTGOING_BYTES};
use crate::net::Protocol;
use crate::progress::Then;
use crate::tls::Broken;

/// What became of what was to be sent.
pub(super) enum Sent {
    All,
    Part,
    Failed,
}

impl<C> Slot<C> {
    /// Sends the banner, before anybody listens for events.
    pub(in crate::net) fn greet<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        now: Now,
    ) -> After
    where
        P: Protocol<Connection = C>,
    {
        if self.hold(protocol, space, now) {
            return After::Stay;
        }
        self.speak(protocol, space, Then::Continue, now)
    }

    /// Sends what was said unasked.
    pub(super) fn speak<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        then: Then,
        now: Now,
    ) -> After
    where
        P: Protocol<Connection = C>,
    {
        let mut budget = BYTES_PER_VISIT;
        match self.send(protocol, space, &mut budget, now) {
            Sent::Failed => After::Close,
            Sent::All if then == Then::Close => self.finish(space, false),
            Sent::All => After::Stay,
            Sent::Part => {
                if then == Then::Close {
                    self.stage = Stage::Closing;
                }
                After::Stay
            }
        }
    }

    /// Sends the output and what the protocol holds, together if it can be, as far as the kernel and
    /// the budget allow; what does not leave of the output goes to the spill. The output is empty
    /// afterwards.
    pub(super) fn send<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        budget: &mut usize,
        now: Now,
    ) -> Sent
    where
        P: Protocol<Connection = C>,
    {
        let Some(conversation) = &mut self.conversation else { return Sent::Failed };
        loop {
            let held = protocol.held_output(conversation);
            let output = space.output.as_slice();
            if output.is_empty() {
                self.sending = !held.is_empty();
                if !self.sending {
                    return Sent::All;
                }
                if *budget == 0 {
                    return Sent::Part;
                }
            }
            let sent = self.wire.send(&mut space.tls, output, held);
            if !output.is_empty() && protocol.is_timed() {
                protocol.sent(space.stopwatch.elapsed_ns());
            }
            let kept = sent.map(|sent| {
                if sent.bytes > 0 {
                    self.moved_ms = now.monotonic_ms;
                    *budget = budget.saturating_sub(sent.bytes);
                }
                if sent.second_taken > 0 {
                    protocol.held_output_sent(conversation, sent.second_taken);
                }
                match sent.unsent {
                    [] => Ok(()),
                    unsent => space.spill.keep_unsent(&mut self.spilled, unsent),
                }
            });
            space.output.clear();
            if !matches!(kept, Ok(Ok(()))) {
                return Sent::Failed;
            }
            if !self.wire.is_writable() {
                self.sending = true;
                return Sent::Part;
            }
        }
    }

    /// Sends what was unsent before.
    pub(super) fn resume_sending<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        budget: &mut usize,
        now: Now,
    ) -> Sent
    where
        P: Protocol<Connection = C>,
    {
        if self.spilled.unsent_bytes() > 0 {
            let unsent = space.spill.read_unsent(&self.spilled, &mut space.input);
            let Ok(sent) = self.wire.resend(unsent) else { return Sent::Failed };
            if sent > 0 {
                self.moved_ms = now.monotonic_ms;
            }
            *budget = budget.saturating_sub(sent);
            space.spill.drop_sent(&mut self.spilled, sent);
            if !self.wire.is_writable() {
                return Sent::Part;
            }
        }
        self.send(protocol, space, budget, now)
    }

    /// Keeps the output for later, if the protocol holds it back and there is room for it. The
    /// output is empty then.
    pub(super) fn hold<P>(&mut self, protocol: &mut P, space: &mut Workspace, now: Now) -> bool
    where
        P: Protocol<Connection = C>,
    {
        let Some(conversation) = &self.conversation else { return false };
        if protocol.held_until_ms(conversation) <= now.monotonic_ms || space.output.is_empty() {
            return false;
        }
        // What was sealed cannot be said in another way, so that there has to be room for it first.
        let output = space.output.as_slice();
        let most = output.len() + TLS_OUTGOING_BYTES - OUTPUT_BYTES;
        let kept = match self.wire.is_encrypted() {
            true if !space.spill.has_room(&self.spilled, most) => return false,
            true => match self.wire.seal(&mut space.tls, output) {
                Ok(sealed) => space.spill.keep_unsent(&mut self.spilled, sealed),
                Err(Broken) => return false,
            },
            false => space.spill.keep_unsent(&mut self.spilled, output),
        };
        if kept.is_err() {
            return false;
        }
        // What is timed is the server's own work, which is done.
        if protocol.is_timed() {
            protocol.sent(space.stopwatch.elapsed_ns());
        }
        space.output.clear();
        (self.sending, self.held) = (true, true);
        true
    }

    /// Whether what was said is held back.
    pub(in crate::net) fn is_held(&self) -> bool {
        self.held
    }

    /// What was held back may leave now.
    pub(in crate::net) fn end_hold<P>(&mut self, protocol: &mut P, now: Now) -> After
    where
        P: Protocol<Connection = C>,
    {
        self.held = false;
        let Some(conversation) = &mut self.conversation else { return After::Close };
        // Nothing was read meanwhile, so that an edge since then is still noted; and what is kept had
        // come before its turn.
        let spoke = self.wire.has_spoken() || self.spilled.keeps_input();
        match protocol.hold_ended(conversation, spoke, now) {
            Then::Close => After::Close,
            _ => After::Stay,
        }
    }
}
