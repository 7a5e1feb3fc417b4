//! A world of vectors for sessions to act on, which also keeps account of its drafts.

use mailfly::smtp::address::Address;
use mailfly::smtp::command::Mail;
use mailfly::smtp::reply::{Fault, Refusal};
use mailfly::smtp::session::{Client, World};

use crate::table::Stored;

/// What a draft holds; it cannot be copied, so that a session can give it back only once.
pub(crate) struct Draft {
    message: Stored,
}

/// How many drafts and how much name and body this world takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) drafts_opened_max: usize,
    pub(crate) local_part_bytes_max: usize,
    pub(crate) draft_bytes_max: usize,
    /// What is said to more than that.
    pub(crate) too_long: Refusal,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            drafts_opened_max: usize::MAX,
            local_part_bytes_max: usize::MAX,
            draft_bytes_max: usize::MAX,
            too_long: Refusal::DraftsFull,
        }
    }
}

#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) room: Room,
    pub(crate) stored: Vec<Stored>,
    pub(crate) opened: usize,
    pub(crate) committed: usize,
    pub(crate) abandoned: usize,
    /// How many pieces were handed over, those with a commit included.
    pub(crate) appends: usize,
    pub(crate) faults: Vec<Fault>,
    pub(crate) refusals: Vec<Refusal>,
    /// What the last commit was told of its client: helo, extended, eight_bit, smtputf8.
    pub(crate) client: Option<(String, bool, bool, bool)>,
    /// How many bytes the last commit was handed directly.
    pub(crate) rest_bytes: usize,
    /// Whether the last commit was told that its message came through TLS.
    pub(crate) encrypted: bool,
    /// Whether there is room for TLS, and how often it was taken.
    pub(crate) has_tls: bool,
    pub(crate) begun_tls: usize,
}

impl World for Fake {
    type Draft = Draft;
    type Id = String;

    fn open(&mut self, mail: &Mail<'_>) -> Result<Draft, Refusal> {
        if self.opened == self.room.drafts_opened_max {
            return Err(Refusal::DraftsFull);
        }
        self.opened += 1;
        let reverse_path = mail.reverse_path.text().to_owned();
        Ok(Draft { message: Stored { reverse_path, recipients: vec![], bytes: vec![] } })
    }

    fn recipient(&mut self, draft: &mut Draft, forward_path: &Address<'_>) -> Result<(), Refusal> {
        if forward_path.local_part().len() > self.room.local_part_bytes_max {
            return Err(Refusal::NameNotAllowed);
        }
        draft.message.recipients.push(forward_path.text().to_owned());
        Ok(())
    }

    fn append(&mut self, draft: &mut Draft, bytes: &[u8]) -> Result<(), Refusal> {
        if draft.message.bytes.len() + bytes.len() > self.room.draft_bytes_max {
            return Err(self.room.too_long);
        }
        draft.message.bytes.extend_from_slice(bytes);
        self.appends += 1;
        Ok(())
    }

    fn commit(
        &mut self,
        mut draft: Draft,
        rest: &[&[u8]],
        client: &Client<'_>,
    ) -> Result<String, Refusal> {
        // A draft that cannot be committed counts as abandoned: the session has let go of it.
        let refused = rest.iter().find_map(|bytes| self.append(&mut draft, bytes).err());
        if let Some(refusal) = refused {
            self.abandoned += 1;
            return Err(refusal);
        }
        self.committed += 1;
        self.rest_bytes = rest.concat().len();
        let Client { helo, extended, eight_bit, smtputf8, encrypted } = *client;
        self.encrypted = encrypted;
        self.client =
            Some((String::from_utf8_lossy(helo).into_owned(), extended, eight_bit, smtputf8));
        self.stored.push(draft.message);
        Ok(format!("id-{}", self.committed))
    }

    fn abandon(&mut self, _: Draft) {
        self.abandoned += 1;
    }

    fn encrypt(&mut self) -> Result<(), Refusal> {
        self.begun_tls += usize::from(self.has_tls);
        if self.has_tls { Ok(()) } else { Err(Refusal::TlsUnavailable) }
    }

    fn faulted(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    fn refused(&mut self, refusal: Refusal) {
        self.refusals.push(refusal);
    }
}
