//! A connection, both of its ends: who is on the other one, what is under way, and what the server
//! keeps of it. Not here: when it is visited (`visits`).

use std::collections::VecDeque;
use std::net::IpAddr;

use mailfly::limits::TLS_HANDSHAKE_MS;
use mailfly::net::Protocol;
use mailfly::server::{Conversation, Service};
use mailfly::tls::{Tls, TlsId};

use crate::client::Client;
use crate::guarded::Known;
use crate::reader::Reader;
use crate::sealed::Sealed;
use crate::strangers::Stranger;
use crate::wire::Wire;

pub(super) enum Who {
    Client(Box<Client>),
    Reader(Reader),
}

/// A connection, both of its ends.
pub(super) struct Link {
    pub(super) who: Who,
    pub(super) source: IpAddr,
    pub(super) wire: Wire,
    /// The client's end of TLS, once it has begun, and the server's.
    pub(super) sealed: Option<Sealed>,
    pub(super) tls: TlsId,
    /// Through TLS there is no more to come, which is seen by asking again.
    pub(super) tls_ended: bool,
    pub(super) conversation: Conversation,
    /// What the server has received and not consumed.
    pub(super) kept: Vec<u8>,
    /// It has to be shown what was kept, without any more having come.
    pub(super) is_unseen: bool,
    pub(super) unsent: VecDeque<u8>,
    /// What is unsent is held back until its timer fires.
    pub(super) is_held: bool,
    pub(super) is_closing: bool,
    pub(super) told_to_drain: bool,
    pub(super) moved_ms: u64,
    pub(super) received_bytes: u64,
    /// To the second guard.
    pub(super) known: Option<Known>,
    /// What the service's own has to say of it.
    pub(super) stranger: Option<Stranger>,
}

impl Link {
    pub(super) fn has_work(&self) -> bool {
        match self.is_sending() {
            _ if self.is_held => false,
            true => self.wire.is_writable(),
            false => self.is_unseen || self.tls_ended || self.wire.is_readable(),
        }
    }

    pub(super) fn is_sending(&self) -> bool {
        !self.unsent.is_empty()
            || matches!(&self.conversation, Conversation::Http { exchange, .. } if !exchange.is_idle())
    }

    /// When it will have waited too long, or what it is owed may leave.
    pub(super) fn deadline_ms(&self, service: &Service<'_>, tls: &Tls) -> u64 {
        if self.is_held {
            return service.held_until_ms(&self.conversation);
        }
        match tls.handshaking_since_ms(self.tls) {
            Some(since_ms) => since_ms + TLS_HANDSHAKE_MS,
            None => service.deadline_ms(&self.conversation, self.moved_ms),
        }
    }

    /// Whether the client has ended it, in whatever way.
    pub(super) fn is_ended(&self) -> bool {
        self.wire.is_ended() || self.sealed.as_ref().is_some_and(Sealed::has_said_goodbye)
    }

    /// Whether something is unsent.
    pub(super) fn is_owed(&self, service: &Service<'_>) -> bool {
        !self.unsent.is_empty() || !service.held_output(&self.conversation).is_empty()
    }
}
