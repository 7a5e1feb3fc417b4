//! What is there. Reading makes nothing, moves nothing, and never shows what has expired.

use std::net::IpAddr;

use super::directory::Slot;
use super::pool::Position;
use super::record::{BODY_FRONT_BYTES, DELETED, Envelope, HEADER_BYTES, Header, Protocol, SEEN};
use super::{Lost, MailboxName, MessageId, Store, StorePool, slots};
use crate::clock::Now;

/// A mailbox that was found: good until its slot is given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mailbox {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Why a message is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It was, and has been removed.
    Gone,
    /// There was never a message of this id in this mailbox.
    Unknown,
}

/// A message that was found: good until the store is next changed.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// When it was committed, by the wall clock, in milliseconds since 1970.
    pub received_unix_ms: u64,
    /// Its length, as it was sent.
    pub body_bytes: usize,
    /// Whether somebody has opened it.
    pub seen: bool,
    /// Where its client connected from.
    pub source: IpAddr,
    /// How its client spoke.
    pub protocol: Protocol,
    pub(super) record: Position,
    envelope_bytes: u32,
    body: Position,
}

impl Store {
    /// The mailbox of a name, if it has had mail. Never makes one.
    #[must_use]
    pub fn find(&self, name: &MailboxName) -> Option<Mailbox> {
        let slot = self.directory.find(slots(&self.pool), name)?;
        Some(Mailbox { slot, generation: self.slot(slot).generation })
    }

    /// The messages of a mailbox, oldest first.
    pub fn messages(&self, mailbox: Mailbox, now: Now) -> impl Iterator<Item = Message> {
        self.headers(mailbox)
            .filter(move |(_, header)| !header.is(DELETED) && !self.has_expired(header, now))
            .map(move |(record, header)| self.found(mailbox, record, &header))
    }

    /// One message of a mailbox.
    ///
    /// # Errors
    /// Whether it is [`Missing`] now or ever was.
    pub fn message(&self, mailbox: Mailbox, id: MessageId, now: Now) -> Result<Message, Missing> {
        self.messages(mailbox, now)
            .take_while(|message| message.id.sequence <= id.sequence)
            .find(|message| message.id == id)
            .ok_or_else(|| self.why_missing(Some(mailbox), id))
    }

    /// Whether a message that is not in a mailbox, or whose mailbox is not there, ever was.
    #[must_use]
    pub fn why_missing(&self, mailbox: Option<Mailbox>, id: MessageId) -> Missing {
        let issued = match self.directory.mailboxes_since(slots(&self.pool), id) {
            // Of a mailbox whose slot has been reused: its name is forgotten.
            Some(1..) => true,
            Some(0) => {
                mailbox.is_some_and(|mailbox| mailbox.slot == id.slot)
                    && id.sequence < self.slot(id.slot).next_sequence
            }
            None => false,
        };
        if issued { Missing::Gone } else { Missing::Unknown }
    }

    /// The newest message of a mailbox.
    #[must_use]
    pub fn latest(&self, mailbox: Mailbox, now: Now) -> Option<Message> {
        self.messages(mailbox, now).last()
    }

    /// The message exactly as it was sent, dots unstuffed, or its first `most` bytes if it is longer;
    /// put into `into` in place of what is there.
    pub fn read_body(&self, message: &Message, most: usize, into: &mut Vec<u8>) {
        let bytes = message.body_bytes.min(most);
        into.clear();
        // At once, or it would be grown by doubling, to up to twice as much.
        into.reserve_exact(bytes);
        for slice in self.pool.slices(message.body, bytes) {
            into.extend_from_slice(slice);
        }
    }

    /// Who a message is from and for.
    #[must_use]
    pub fn read_envelope(&self, message: &Message) -> Envelope {
        let mut envelope = vec![0; message.envelope_bytes as usize];
        self.pool.read(self.pool.skip(message.record, HEADER_BYTES), &mut envelope);
        Envelope::decode(&envelope)
    }

    /// What a mailbox has lost, with what has expired and is only still to be swept.
    #[must_use]
    pub fn lost(&self, mailbox: Mailbox, now: Now) -> Lost {
        let mut lost = self.mailbox_slot(mailbox).map(|slot| slot.lost).unwrap_or_default();
        lost.expired += self
            .headers(mailbox)
            .take_while(|(_, header)| self.has_expired(header, now))
            .filter(|(_, header)| !header.is(DELETED))
            .count() as u64;
        lost
    }

    /// The newest messages over all mailboxes from the `from`th since start on, as far as they are
    /// remembered: each with its number, oldest first, whether or not it is still there.
    pub fn recent(&self, from: u64) -> impl Iterator<Item = (u64, MessageId)> {
        self.recent.since(from)
    }

    /// The number that the next message over all mailboxes will have.
    #[must_use]
    pub fn recent_end(&self) -> u64 {
        self.recent.pushed()
    }

    /// The slot of a mailbox, unless it now holds another.
    pub(super) fn mailbox_slot(&self, mailbox: Mailbox) -> Option<&Slot> {
        Some(self.slot(mailbox.slot)).filter(|slot| slot.generation == mailbox.generation)
    }

    /// The records of a mailbox's log, oldest first, those that wait to be dropped included.
    pub(super) fn headers(&self, mailbox: Mailbox) -> impl Iterator<Item = (Position, Header)> {
        let log = self.mailbox_slot(mailbox).map(|slot| slot.log);
        let mut left = log.map_or(0, |log| StorePool::bytes(&log));
        let mut at = log.map(|log| log.start());
        std::iter::from_fn(move || {
            let record = at.filter(|_| left >= HEADER_BYTES)?;
            let header: Header = self.pool.read_value(record).0;
            left = left.saturating_sub(header.record_bytes as usize);
            at = Some(self.pool.skip(record, header.record_bytes as usize));
            Some((record, header))
        })
    }

    fn found(&self, mailbox: Mailbox, record: Position, header: &Header) -> Message {
        let Mailbox { slot, generation } = mailbox;
        let envelope = self.pool.skip(record, HEADER_BYTES);
        let body = match header.body.is_empty() {
            true => self.pool.skip(envelope, header.envelope_bytes as usize),
            false => self.pool.skip(header.body.start(), BODY_FRONT_BYTES),
        };
        Message {
            id: MessageId { slot, generation, sequence: header.sequence },
            received_unix_ms: header.received_unix_ms,
            body_bytes: header.body_bytes as usize,
            seen: header.is(SEEN),
            source: header.source(),
            protocol: header.protocol(),
            record,
            envelope_bytes: header.envelope_bytes,
            body,
        }
    }
}
