//! What sessions may touch, over the store and the guard: the effects of SMTP. A message is judged
//! before its bytes are kept.

use super::guest::Guest;
use crate::clock::Now;
use crate::guard::{Guard, Offence, Rule, Verdict};
use crate::metrics::Metrics;
use crate::phases::Phases;
use crate::smtp::address::Address;
use crate::smtp::command::Mail;
use crate::smtp::reply::{Fault, Refusal};
use crate::smtp::session::{self, World};
use crate::store::{self, Draft, IdText, MailboxName, Naming, Protocol, Store};

/// The world of one session, for one call.
pub(super) struct MailRoom<'a> {
    pub(super) store: &'a mut Store,
    pub(super) metrics: &'a mut Metrics,
    pub(super) phases: &'a mut Phases,
    pub(super) guard: &'a mut Guard,
    pub(super) guest: &'a mut Guest,
    pub(super) naming: Naming,
    /// How many connections may be encrypted.
    pub(super) tls_connections_max: u64,
    pub(super) now: Now,
}

impl World for MailRoom<'_> {
    type Draft = Draft;
    type Id = IdText;

    fn open(&mut self, mail: &Mail<'_>) -> Result<Draft, Refusal> {
        if !self.guest.peer.is_exempt() {
            let is_bounce = mail.reverse_path.text().is_empty();
            let inspection = self.guard.mail(&self.guest.peer, is_bounce, self.now);
            self.guest.begins_message(Some(inspection));
            // What is thrown away is so at its end: until then all goes on as ever.
            self.obey(inspection.verdict()).or_else(or_later)?;
        }
        self.store.open(mail.reverse_path.text().as_bytes(), self.now).map_err(reason)
    }

    fn recipient(&mut self, draft: &mut Draft, path: &Address<'_>) -> Result<(), Refusal> {
        let name = MailboxName::of(path.text(), self.naming).ok_or(Refusal::NameNotAllowed)?;
        self.store.add_recipient(draft, path.text().as_bytes(), &name, self.now).map_err(reason)
    }

    fn append(&mut self, draft: &mut Draft, bytes: &[u8]) -> Result<(), Refusal> {
        self.listen()?;
        self.judge(bytes)?;
        self.store.append(draft, bytes, self.now).map_err(reason)
    }

    fn commit(
        &mut self,
        draft: Draft,
        rest: &[&[u8]],
        client: &session::Client<'_>,
    ) -> Result<IdText, Refusal> {
        if let Err(refusal) = self.judge_last(rest) {
            self.store.abandon(draft);
            return Err(refusal);
        }
        let bytes = draft.body_bytes() + rest.iter().map(|piece| piece.len()).sum::<usize>();
        let client = store::Client {
            helo: client.helo,
            source: self.guest.source,
            protocol: Protocol {
                extended: client.extended,
                utf8: client.smtputf8,
                encrypted: client.encrypted,
            },
        };
        let id = self.store.commit(draft, rest, &client, self.now).map_err(reason)?;
        self.metrics.messages += 1;
        self.metrics.message_bytes += bytes as u64;
        self.phases.message_taken();
        self.guest.brought_mail = true;
        Ok(id.text())
    }

    fn abandon(&mut self, draft: Draft) {
        self.store.abandon(draft);
    }

    fn encrypt(&mut self) -> Result<(), Refusal> {
        match self.metrics.begin_tls(self.tls_connections_max) {
            true => Ok(()),
            false => Err(Refusal::TlsUnavailable),
        }
    }

    fn faulted(&mut self, _fault: Fault) {
        self.metrics.faults += 1;
        self.offended(Offence::Fault);
    }

    fn refused(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::DraftsFull => self.metrics.refused_drafts_full += 1,
            Refusal::TooManyRecipients => self.metrics.refused_too_many_recipients += 1,
            Refusal::MessageTooLarge => self.metrics.refused_message_too_large += 1,
            Refusal::Unwanted(_) => self.metrics.refused_unwanted += 1,
            Refusal::Discarded => self.metrics.messages_discarded += 1,
            Refusal::NameNotAllowed | Refusal::NoRecipients | Refusal::TlsUnavailable => {}
        }
    }
}

impl MailRoom<'_> {
    /// The guest did what honest clients do not.
    pub(super) fn offended(&mut self, offence: Offence) {
        if self.guest.peer.is_exempt() {
            return;
        }
        match self.guard.offended(&self.guest.peer, offence, self.now) {
            Verdict::Refuse(_) => self.guest.banned = true,
            Verdict::Tarpit(_) => self.guest.slow(),
            // What it brings is thrown away: MAIL finds the ban again.
            Verdict::Discard(_) | Verdict::Allow => {}
        }
    }

    /// What a guest brings is looked at, unless all of it is thrown away.
    fn listen(&self) -> Result<(), Refusal> {
        if self.guest.discards { Err(Refusal::Discarded) } else { Ok(()) }
    }

    /// More of the message has come, and nothing of it has been kept yet.
    fn judge(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Some(inspection) = &mut self.guest.inspection else { return Ok(()) };
        let verdict = self.guard.body(&self.guest.peer, inspection, bytes, self.now);
        self.obey(verdict)
    }

    /// The last of the message has come.
    fn judge_last(&mut self, rest: &[&[u8]]) -> Result<(), Refusal> {
        self.listen()?;
        for piece in rest {
            self.judge(piece)?;
        }
        let Some(inspection) = self.guest.inspection.take() else { return Ok(()) };
        let verdict = self.guard.finished(&self.guest.peer, inspection, self.now);
        self.obey(verdict)
    }

    fn obey(&mut self, verdict: Verdict) -> Result<(), Refusal> {
        match verdict {
            Verdict::Allow => Ok(()),
            Verdict::Tarpit(_) => {
                self.guest.slow_message();
                Ok(())
            }
            Verdict::Discard(_) => Err(Refusal::Discarded),
            Verdict::Refuse(finding) => Err(Refusal::Unwanted(unwanted(finding.rule))),
        }
    }
}

fn or_later(refusal: Refusal) -> Result<(), Refusal> {
    if refusal == Refusal::Discarded { Ok(()) } else { Err(refusal) }
}

/// What a message is refused with: the reason of the rule, as a reply (RFC 3463, delivery not
/// authorized).
fn unwanted(rule: Rule) -> &'static [u8] {
    match rule {
        Rule::ConnectionsAtOnce => {
            b"550 5.7.1 Refused: too many connections at once from your network\r\n"
        }
        Rule::Connections => b"550 5.7.1 Refused: too many connections from your network\r\n",
        Rule::Messages => b"550 5.7.1 Refused: too many messages from your network\r\n",
        Rule::Offences => b"550 5.7.1 Refused: too many errors from your network\r\n",
        Rule::Bounces => b"550 5.7.1 Refused: bounces are not wanted here\r\n",
        Rule::Words => b"550 5.7.1 Refused: a word of the subject is not wanted here\r\n",
        Rule::Subjects => b"550 5.7.1 Refused: too many messages with this subject\r\n",
        Rule::Bodies => b"550 5.7.1 Refused: too many messages with much the same text\r\n",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_the_reason_of_the_rule() {
        for rule in Rule::ALL {
            let told = format!("550 5.7.1 Refused: {}\r\n", rule.reason());
            assert_eq!(unwanted(rule), told.as_bytes(), "{rule}");
        }
    }
}
