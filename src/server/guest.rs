//! What is remembered of one who brings mail, beside the conversation: where it comes from, what the
//! guard knows it by, and how far it is with judging its message. Not here: judging (`guard`), what
//! a verdict comes to (`mail`).

use std::net::IpAddr;

use crate::guard::{Inspection, Peer, Verdict};

/// One who brings mail.
pub struct Guest {
    pub(super) source: IpAddr,
    pub(super) peer: Peer,
    /// Of the message that is coming in, unless nobody has to ask.
    pub(super) inspection: Option<Inspection>,
    /// Everything that is said to it is held back: a rule about connections says so.
    slowed: bool,
    /// The same for the replies to the message that is coming in.
    message_slowed: bool,
    /// Its source has been banned while it was here.
    pub(super) banned: bool,
}

impl Guest {
    /// A peer that was let in, with this verdict.
    pub(super) fn new(source: IpAddr, peer: Peer, verdict: Verdict) -> Self {
        let slowed = matches!(verdict, Verdict::Tarpit(_));
        Self { source, peer, inspection: None, slowed, message_slowed: false, banned: false }
    }

    /// A message begins.
    pub(super) fn begins_message(&mut self, inspection: Option<Inspection>) {
        self.inspection = inspection;
        self.message_slowed = false;
    }

    /// The replies to this message are to be held back.
    pub(super) fn slow_message(&mut self) {
        self.message_slowed = true;
    }

    /// All replies are to be held back from now on.
    pub(super) fn slow(&mut self) {
        self.slowed = true;
    }

    /// Whether replies are to be held back now.
    #[expect(dead_code, reason = "nothing is held back yet")]
    pub(super) fn is_slowed(&self) -> bool {
        self.slowed || self.message_slowed
    }
}
