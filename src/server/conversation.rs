//! What the server remembers of one connection, and what it came in for. Not here: what happens to it
//! (`service`), how it was let in (`entrance`).

use std::net::IpAddr;

use super::guest::Guest;
use super::patience::Patience;
use crate::guard::Peer;
use crate::http::Exchange;
use crate::smtp::session::Session;
use crate::store::Draft;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// To bring mail.
    Smtp,
    /// To bring mail through TLS.
    Smtps,
    /// To read mail.
    Http,
    /// To read mail through TLS.
    Https,
}

impl Door {
    /// All of them, in the order in which they are opened.
    pub(super) const ALL: [Self; 4] = [Self::Smtp, Self::Http, Self::Smtps, Self::Https];

    /// Whether everything through it is encrypted.
    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Self::Smtps | Self::Https)
    }

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Smtps => "smtps",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What is remembered of one connection.
#[expect(
    clippy::large_enum_variant,
    reason = "its slot has room for the largest; a box would be taken from the heap at accept"
)]
pub enum Conversation {
    /// It brings mail.
    Smtp {
        /// How far it is.
        session: Session<Draft>,
        /// Who it is.
        guest: Guest,
    },
    /// It reads mail.
    Http {
        /// How far it is.
        exchange: Exchange,
        /// Where it came from.
        source: IpAddr,
        /// What the guard knows it by.
        peer: Peer,
        /// How long it may take for what it is at.
        patience: Patience,
        /// It does so through TLS.
        encrypted: bool,
    },
    /// A proxy brings it, and has not said yet whose it is.
    Proxied {
        /// Where it came in.
        door: Door,
        /// The proxy.
        proxy: IpAddr,
        /// When it came in.
        since_ms: u64,
    },
}
