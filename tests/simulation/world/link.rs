//! A connection, both of its ends: who is on the other one, what is under way, and what the server
//! keeps of it. Not here: when it is visited (`visits`).

use std::collections::VecDeque;
use std::net::IpAddr;

use mailfly::net::Protocol;
use mailfly::server::{Conversation, Service};

use crate::client::Client;
use crate::guarded::Known;
use crate::reader::Reader;
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
            false => self.is_unseen || self.wire.is_readable(),
        }
    }

    pub(super) fn is_sending(&self) -> bool {
        !self.unsent.is_empty()
            || matches!(&self.conversation, Conversation::Http { exchange, .. } if !exchange.is_idle())
    }

    /// When it will have waited too long, or what it is owed may leave.
    pub(super) fn deadline_ms(&self, service: &Service<'_>) -> u64 {
        match self.is_held {
            true => service.held_until_ms(&self.conversation),
            false => service.deadline_ms(&self.conversation, self.moved_ms),
        }
    }

    /// Whether something is unsent.
    pub(super) fn is_owed(&self, service: &Service<'_>) -> bool {
        !self.unsent.is_empty() || !service.held_output(&self.conversation).is_empty()
    }
}
