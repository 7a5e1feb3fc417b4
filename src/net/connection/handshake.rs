//! A connection becomes an encrypted one. Not here: TLS itself (`tls`), the way of its bytes (`wire`).

use std::ops::Range;

use super::sending::Sent;
use super::{After, Slot, Workspace};
use crate::clock::Now;
use crate::net::Protocol;
use crate::tls::{Broken, Opened};

impl<C> Slot<C> {
    /// Sends what TLS has to say about what came, together with what the protocol has to say to a
    /// handshake's end.
    pub(super) fn answer_tls<P>(
        &mut self,
        opened: Result<Opened, Broken>,
        protocol: &mut P,
        space: &mut Workspace,
        budget: &mut usize,
        now: Now,
    ) -> Sent
    where
        P: Protocol<Connection = C>,
    {
        if let (Ok(Opened { established: true, .. }), Some(conversation)) =
            (opened, &mut self.conversation)
        {
            protocol.encrypted(conversation, now, &mut space.output);
        }
        if !space.output.is_empty() {
            return self.send(protocol, space, budget, now);
        }
        let Ok(sent) = self.wire.send_outgoing(&mut space.tls) else { return Sent::Failed };
        *budget = budget.saturating_sub(sent.bytes);
        match sent.unsent {
            [] => Sent::All,
            unsent if space.spill.keep_unsent(&mut self.spilled, unsent).is_err() => Sent::Failed,
            _ => {
                self.sending = true;
                Sent::Part
            }
        }
    }

    /// Encrypts the connection, whose handshake these bytes of the input begin.
    pub(in crate::net) fn encrypt<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        beginning: Range<usize>,
        now: Now,
    ) -> After
    where
        P: Protocol<Connection = C>,
    {
        let beginning = &space.input[beginning];
        let opened = self.wire.encrypt(&mut space.tls, beginning, now.monotonic_ms);
        match (opened, self.answer_tls(opened, protocol, space, &mut 0, now)) {
            (Ok(_), Sent::All | Sent::Part) => After::Stay,
            (Err(Broken), Sent::All) => self.linger(true),
            _ => After::Close,
        }
    }
}
