//! How a connection ends: with last words to one who waited too long, makes way or has to go because the
//! server does; then, if the peer may still be talking, without losing them. Not here: when
//! (`reactor`), the words ([`Protocol`]).

use super::{After, Slot, Stage, Workspace};
use crate::clock::Now;
use crate::limits::{BYTES_PER_VISIT, LINGER_BYTES_MAX};
use crate::net::Protocol;
use crate::net::wire::Received;
use crate::progress::Then;

impl<C> Slot<C> {
    /// When a byte last moved, if it may be asked to make way.
    pub(in crate::net) fn silent_since_ms<P>(&self, protocol: &P, now: Now) -> Option<u64>
    where
        P: Protocol<Connection = C>,
    {
        let is_busy = self.stage != Stage::Talking || self.sending || self.queued;
        let conversation = self.conversation.as_ref().filter(|_| !is_busy)?;
        protocol.may_make_way(conversation, self.moved_ms, now).then_some(self.moved_ms)
    }

    /// Last words to a peer that said nothing for too long.
    pub(in crate::net) fn expire<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        now: Now,
    ) -> After
    where
        P: Protocol<Connection = C>,
    {
        let hears_nothing = self.sending || self.wire.handshaking_since_ms(&space.tls).is_some();
        let Some(conversation) = &mut self.conversation else { return After::Close };
        let then = protocol.expired(conversation, now, &mut space.output);
        if hears_nothing {
            space.output.clear();
            return After::Close;
        }
        self.speak(protocol, space, then, now)
    }

    /// Has it say its last words for another's sake.
    pub(in crate::net) fn make_way<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        now: Now,
    ) -> After
    where
        P: Protocol<Connection = C>,
    {
        let Some(conversation) = &mut self.conversation else { return After::Close };
        protocol.makes_way(conversation, now, &mut space.output);
        self.speak(protocol, space, Then::Close, now)
    }

    /// Tells the connection once that the server shuts down, as soon as nothing is unsent.
    pub(in crate::net) fn drain<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        now: Now,
    ) -> After
    where
        P: Protocol<Connection = C>,
    {
        // Nobody is kept waiting on purpose any more.
        self.held = false;
        let handshaking = self.wire.handshaking_since_ms(&space.tls).is_some();
        if self.told_to_drain || self.sending || handshaking {
            return After::Stay;
        }
        let Some(conversation) = &mut self.conversation else { return After::Stay };
        self.told_to_drain = true;
        let then = protocol.draining(conversation, now, &mut space.output);
        self.speak(protocol, space, then, now)
    }

    /// Everything that had to be said has been handed to the kernel.
    pub(super) fn finish(&mut self, space: &mut Workspace, peer_is_ahead: bool) -> After {
        self.wire.close(&mut space.tls);
        self.linger(peer_is_ahead)
    }

    /// If there may be input that nobody read, or more on its way, closing now would reset the
    /// connection and take the last reply away from the peer.
    pub(super) fn linger(&mut self, peer_is_ahead: bool) -> After {
        if !(self.wire.is_readable() || peer_is_ahead) || self.wire.end().is_err() {
            return After::Close;
        }
        self.stage = Stage::Lingering;
        self.linger_bytes_left = LINGER_BYTES_MAX as u32;
        After::Linger
    }

    /// Throws away what arrives after the end.
    pub(super) fn discard(&mut self, buffer: &mut [u8]) -> After {
        let mut budget = BYTES_PER_VISIT as u32;
        while self.wire.is_readable() && budget > 0 {
            match self.wire.read(buffer) {
                Ok(Received::Bytes(bytes)) => {
                    let bytes = bytes as u32;
                    budget = budget.saturating_sub(bytes);
                    self.linger_bytes_left = self.linger_bytes_left.saturating_sub(bytes);
                    if self.linger_bytes_left == 0 {
                        return After::Close;
                    }
                }
                Ok(Received::Nothing) => {}
                Ok(Received::Sealed(..) | Received::End) | Err(_) => return After::Close,
            }
        }
        After::Stay
    }
}
