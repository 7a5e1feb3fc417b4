//! What sessions may touch, over the store: the effects of SMTP.

use std::net::IpAddr;

use crate::clock::Now;
use crate::metrics::Metrics;
use crate::phases::Phases;
use crate::smtp::address::Address;
use crate::smtp::command::Mail;
use crate::smtp::reply::{Fault, Refusal};
use crate::smtp::session::{self, World};
use crate::store::{self, Draft, MailboxName, MessageId, Naming, Protocol, Store};

/// The world of one session, for one call.
pub(super) struct MailRoom<'a> {
    pub(super) store: &'a mut Store,
    pub(super) metrics: &'a mut Metrics,
    pub(super) phases: &'a mut Phases,
    pub(super) naming: Naming,
    pub(super) source: IpAddr,
    pub(super) now: Now,
}

impl World for MailRoom<'_> {
    type Draft = Draft;
    type Id = MessageId;

    fn open(&mut self, mail: &Mail<'_>) -> Result<Draft, Refusal> {
        self.store.open(mail.reverse_path.text().as_bytes(), self.now).map_err(reason)
    }

    fn recipient(&mut self, draft: &mut Draft, path: &Address<'_>) -> Result<(), Refusal> {
        let text = path.text().as_bytes();
        let name = MailboxName::of(text, self.naming).ok_or(Refusal::NameNotAllowed)?;
        self.store.add_recipient(draft, text, &name, self.now).map_err(reason)
    }

    fn append(&mut self, draft: &mut Draft, bytes: &[u8]) -> Result<(), Refusal> {
        self.store.append(draft, bytes, self.now).map_err(reason)
    }

    fn commit(
        &mut self,
        draft: Draft,
        rest: &[&[u8]],
        client: &session::Client<'_>,
    ) -> Result<MessageId, Refusal> {
        let bytes = draft.body_bytes() + rest.iter().map(|piece| piece.len()).sum::<usize>();
        let client = store::Client {
            helo: client.helo.as_bytes(),
            source: self.source,
            protocol: Protocol { extended: client.extended, utf8: client.smtputf8 },
        };
        let id = self.store.commit(draft, rest, &client, self.now).map_err(reason)?;
        self.metrics.messages += 1;
        self.metrics.message_bytes += bytes as u64;
        self.phases.message_taken();
        Ok(id)
    }

    fn abandon(&mut self, draft: Draft) {
        self.store.abandon(draft);
    }

    fn faulted(&mut self, _fault: Fault) {
        self.metrics.faults += 1;
    }

    fn refused(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::DraftsFull => self.metrics.refused_drafts_full += 1,
            Refusal::TooManyRecipients => self.metrics.refused_too_many_recipients += 1,
            Refusal::MessageTooLarge => self.metrics.refused_message_too_large += 1,
            Refusal::NameNotAllowed | Refusal::NoRecipients => {}
        }
    }
}

/// The store's reason in the words of SMTP.
fn reason(refusal: store::Refusal) -> Refusal {
    match refusal {
        store::Refusal::DraftsFull => Refusal::DraftsFull,
        store::Refusal::TooManyRecipients => Refusal::TooManyRecipients,
        store::Refusal::NoRecipients => Refusal::NoRecipients,
        store::Refusal::MessageTooLarge => Refusal::MessageTooLarge,
    }
}
