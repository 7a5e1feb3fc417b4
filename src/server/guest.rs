//! What is remembered of one who brings mail, beside the conversation: where it comes from, what the
//! guard knows it by, and how far it is with judging its message. Not here: judging (`guard`), what
//! a verdict comes to (`mail`).

use std::net::IpAddr;

use super::patience::{Patience, Stage};
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
    /// Whatever it brings is thrown away: a rule about connections says so.
    pub(super) discards: bool,
    /// A message of it was kept.
    pub(super) brought_mail: bool,
    /// Its source has been banned while it was here.
    pub(super) banned: bool,
    /// The banner is held back, and whoever speaks meanwhile speaks too early.
    awaits_banner: bool,
    /// Until when what was said last is held back.
    held_until_ms: u64,
    /// How long it may take for what it is at.
    pub(super) patience: Patience,
}

impl Guest {
    /// A peer that was let in, with this verdict.
    pub(super) fn new(source: IpAddr, peer: Peer, verdict: Verdict, now_ms: u64) -> Self {
        let slowed = matches!(verdict, Verdict::Tarpit(_));
        let discards = matches!(verdict, Verdict::Discard(_));
        Self {
            source,
            peer,
            inspection: None,
            slowed,
            message_slowed: false,
            discards,
            brought_mail: false,
            banned: false,
            awaits_banner: false,
            held_until_ms: 0,
            patience: Patience::new(Stage::FirstCommand, now_ms),
        }
    }

    /// The banner is held back until then.
    pub(super) fn hold_banner(&mut self, until_ms: u64) {
        self.awaits_banner = true;
        self.hold(until_ms);
    }

    /// What is said now is held back until then.
    pub(super) fn hold(&mut self, until_ms: u64) {
        self.held_until_ms = until_ms;
        self.patience.wait_until(until_ms);
    }

    /// So many bytes of it were used, after which it is within a message or not.
    pub(super) fn got_on(&mut self, within_message: bool, bytes: usize, now_ms: u64) {
        // Nobody is heard while anything is held back, so the banner has left: at once, if there
        // was no room to hold it back.
        self.awaits_banner = false;
        match (within_message, bytes) {
            (true, bytes) => {
                self.patience.enter(Stage::Message, now_ms);
                self.patience.moved(bytes);
            }
            // Less than a command.
            (false, 0) => {}
            (false, _) => self.patience.begin(Stage::Command, now_ms),
        }
    }

    /// Until when what was said last is held back.
    pub(super) fn held_until_ms(&self) -> u64 {
        self.held_until_ms
    }

    /// What was held back leaves. Whether that is the banner.
    pub(super) fn hold_ended(&mut self) -> bool {
        std::mem::take(&mut self.awaits_banner)
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
    pub(super) fn is_slowed(&self) -> bool {
        self.slowed || self.message_slowed
    }
}
