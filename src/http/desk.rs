//! The world that an answer may touch: lent by the server for one turn, given back after it.

use crate::metrics::Sample;
use crate::phases::Phases;
use crate::store::{Message, Naming, Store};

use super::gate::Gate;
use super::held::Responses;
use super::standing::Standing;

/// What an [`Exchange`](super::Exchange) reaches the rest of the program through.
pub struct Desk<'a> {
    /// The mail.
    pub store: &'a mut Store,
    /// How an address names a mailbox.
    pub naming: Naming,
    /// Who may ask for what.
    pub gate: &'a Gate,
    /// What this server calls itself; in Received lines and on the pages.
    pub hostname: &'a str,
    /// Where it takes mail, for the pages to tell; `127.0.0.1:1025`, say. Empty if nowhere.
    pub smtp: &'a str,
    /// Whether the one who asks does so through TLS.
    pub encrypted: bool,
    /// Whether new work is welcome; not while the server drains. Connections close after their next
    /// answer then.
    pub ready: bool,
    /// The counters and gauges, read when somebody asks for them.
    pub samples: &'a dyn Fn(&Store) -> Vec<Sample>,
    /// How the one who asks stands with the guard, read when it asks.
    pub standing: &'a dyn Fn() -> Standing,
    /// For so many seconds no secret that the one who asks shows is to be looked at.
    pub secrets_wait_seconds: Option<u64>,
    /// What became of a secret that was shown; to be asked after each request.
    pub secret: Secret,
    /// How long the server's phases take.
    pub phases: &'a Phases,
    /// Room to read messages into, kept from one answer to the next.
    pub scratch: &'a mut Scratch,
    /// The memory that responses are written into.
    pub responses: &'a Responses,
}

/// What became of a secret that a request showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secret {
    /// It opens what it was shown for, or none was shown or looked for.
    #[default]
    Fine,
    /// It is none of ours.
    Wrong,
    /// It was not looked at.
    Unchecked,
}

/// Room to read one message into.
#[derive(Debug)]
pub struct Scratch {
    message: Vec<u8>,
}

impl Scratch {
    /// Takes the room, for messages up to this size.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self { message: Vec::with_capacity(message_bytes_max) }
    }

    /// Reads the first `most` bytes of a message.
    pub(super) fn read(&mut self, store: &Store, message: &Message, most: usize) -> &[u8] {
        store.read_body(message, most, &mut self.message);
        &self.message
    }

    /// What was last read.
    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }
}
