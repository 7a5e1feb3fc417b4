//! The plain model beside the store: lists of what was acknowledged. After each step it asks the
//! store what is there, and everything that is not as it was has to have its documented reason.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;

use mailfly::clock::Now;
use mailfly::config::Settings;
use mailfly::limits::{ARENA_BYTES, ENVELOPE_BYTES_MAX, TIMER_TICK_MS};
use mailfly::store::{
    Figures, Lost, Mailbox, MailboxName, Message, MessageId, Missing, Naming, Store,
};

use crate::mail::{Mail, NAMES};

/// More than a record needs beside its message: its header, and what it may waste of arenas.
const RECORD_BYTES_MAX: usize = 128 + ENVELOPE_BYTES_MAX;
/// The most arenas that one copy of a message takes of its mailbox's log.
const RECORD_ARENAS_MAX: usize = 4;

pub(crate) struct Model {
    mailboxes: BTreeMap<&'static str, KnownMailbox>,
    /// How much mail there has been, which is also the order in which mailboxes had it.
    order: u64,
    recent_end: u64,
    ttl_ms: Option<u64>,
    mailboxes_max: usize,
    mailbox_messages_max: usize,
    mailbox_arenas_max: usize,
    draft_arenas_max: usize,
    /// Some of those that are gone.
    gone: VecDeque<(&'static str, MessageId)>,
    pub(crate) tally: Tally,
}

#[derive(Default)]
struct KnownMailbox {
    handle: Option<Mailbox>,
    kept: VecDeque<Kept>,
    lost: Lost,
    last_mail: u64,
}

/// One copy of a message that was acknowledged and not removed.
struct Kept {
    id: MessageId,
    mail: Rc<Mail>,
    recipients: Vec<usize>,
    source: IpAddr,
    at: Now,
}

/// What one step has done, as everybody but the store tells it.
pub(crate) struct Deeds {
    /// How the store stood before.
    pub(crate) before: Figures,
    /// Bytes that the server was shown.
    pub(crate) input_bytes: usize,
    pub(crate) replies: usize,
    pub(crate) drafts_full: usize,
    pub(crate) commits: Vec<Commit>,
    /// What somebody asked to be deleted, and was told that it is.
    pub(crate) deleted: Vec<MessageId>,
    pub(crate) purged: Option<&'static str>,
}

pub(crate) struct Commit {
    pub(crate) mail: Rc<Mail>,
    pub(crate) recipients: Vec<usize>,
    pub(crate) id: String,
    pub(crate) source: IpAddr,
}

/// What has happened, over all seeds: that the rare is not too rare.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) messages: u64,
    pub(crate) copies: u64,
    pub(crate) mailbox_full: u64,
    pub(crate) memory_full: u64,
    /// Those among them for which the table of mailboxes cannot have been the reason.
    pub(crate) pool_full: u64,
    pub(crate) expired: u64,
    pub(crate) deleted: u64,
    pub(crate) drafts_full: u64,
}

impl Deeds {
    pub(crate) fn none(store: &Store) -> Self {
        Self {
            before: store.figures(),
            input_bytes: 0,
            replies: 0,
            drafts_full: 0,
            commits: vec![],
            deleted: vec![],
            purged: None,
        }
    }

    /// More arenas than all of it can have asked for.
    fn arenas_asked_max(&self) -> usize {
        let copies: usize = self.commits.iter().map(|commit| commit.recipients.len()).sum();
        // Each command may take an arena, and each message one more than its bytes do.
        self.input_bytes / ARENA_BYTES + 2 * self.replies + RECORD_ARENAS_MAX * (copies + 1) + 2
    }
}

pub(crate) fn mailbox_name(name: &str) -> MailboxName {
    MailboxName::of(name, Naming::Local).expect("a name")
}

impl Model {
    pub(crate) fn new(settings: &Settings, store: &Store) -> Self {
        Self {
            mailboxes: NAMES.iter().map(|&name| (name, KnownMailbox::default())).collect(),
            order: 0,
            recent_end: store.recent_end(),
            ttl_ms: settings.ttl.ms(),
            mailboxes_max: settings.mailboxes_max as usize,
            mailbox_messages_max: settings.mailbox_messages_max as usize,
            mailbox_arenas_max: settings.mailbox_bytes_max / ARENA_BYTES,
            draft_arenas_max: store.figures().arenas as usize
                / mailfly::limits::DRAFTS_SHARE as usize,
            gone: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Holds the store against what is known of it after a step.
    pub(crate) fn check(&mut self, store: &Store, now: Now, deeds: &Deeds) {
        if let Err(law) = store.check_invariants() {
            panic!("it does not hold that {law}");
        }
        let touched = self.commit(store, now, deeds);
        let order_before = self.order - touched.len() as u64;
        let asked = deeds.arenas_asked_max();
        if deeds.drafts_full > 0 {
            self.tally.drafts_full += deeds.drafts_full as u64;
            let most = deeds.before.arenas_drafts.max(store.figures().arenas_drafts) as usize;
            let least_free = deeds.before.arenas_free as usize;
            assert!(
                most + asked > self.draft_arenas_max || least_free < asked,
                "452 while drafts have room: {most} + {asked} of {}",
                self.draft_arenas_max
            );
        }
        let mut victims = vec![];
        let mut seen = 0;
        for name in NAMES {
            let removed = self.check_mailbox(store, name, now, deeds, &touched);
            if removed.memory_full > 0 && !touched.contains(&name) {
                victims.push(name);
            }
            if removed.memory_full > 0 {
                let stocked = deeds.before.mailboxes as usize + touched.len();
                if stocked <= self.mailboxes_max {
                    self.tally.pool_full += removed.memory_full;
                }
                assert!(
                    (deeds.before.arenas_free as usize) < asked || stocked > self.mailboxes_max,
                    "{name} gave way though memory was not full: {} free, {asked} asked",
                    deeds.before.arenas_free
                );
            }
            seen += self.mailboxes[name].kept.len() as u64;
        }
        for name in victims {
            let last_mail = self.mailboxes[name].last_mail;
            for (other, mailbox) in &self.mailboxes {
                assert!(
                    mailbox.kept.is_empty()
                        || mailbox.last_mail >= last_mail
                        || mailbox.last_mail > order_before,
                    "{name} gave way, and {other} has gone longer without mail"
                );
            }
        }
        let unswept = store.figures().messages - seen;
        assert!(self.ttl_ms.is_some() || unswept == 0, "nothing is there that nobody sent");
    }

    /// Takes note of what was acknowledged: just that is new, under the ids that were told.
    fn commit(&mut self, store: &Store, now: Now, deeds: &Deeds) -> Vec<&'static str> {
        let new: Vec<MessageId> = store.recent(self.recent_end).map(|(_, id)| id).collect();
        self.recent_end = store.recent_end();
        let mut ids = new.iter().copied();
        let mut touched = vec![];
        for commit in &deeds.commits {
            let mut names: Vec<&'static str> = vec![];
            for &recipient in &commit.recipients {
                let name = commit.mail.recipients[recipient].name;
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            self.tally.messages += 1;
            for (index, &name) in names.iter().enumerate() {
                let id = ids.next().expect("a copy for each mailbox");
                assert!(index > 0 || id.to_string() == commit.id, "the id that was told");
                let of_this = |&recipient: &usize| commit.mail.recipients[recipient].name == name;
                self.order += 1;
                self.tally.copies += 1;
                let mailbox = self.mailboxes.get_mut(name).expect("a known name");
                mailbox.last_mail = self.order;
                mailbox.kept.push_back(Kept {
                    id,
                    mail: Rc::clone(&commit.mail),
                    recipients: commit.recipients.iter().copied().filter(of_this).collect(),
                    source: commit.source,
                    at: now,
                });
                touched.push(name);
            }
        }
        assert_eq!(ids.next(), None, "nothing is stored that was not acknowledged");
        touched
    }

    /// One mailbox: what is there was sent and is whole, what is gone had to go.
    fn check_mailbox(
        &mut self,
        store: &Store,
        name: &'static str,
        now: Now,
        deeds: &Deeds,
        touched: &[&'static str],
    ) -> Lost {
        let ttl_ms = self.ttl_ms;
        let known = self.mailboxes.get_mut(name).expect("a known name");
        let handle = store.find(&mailbox_name(name));
        let there: Vec<Message> =
            handle.iter().flat_map(|&handle| store.messages(handle, now)).collect();
        let new = touched.iter().filter(|touched| **touched == name).count();
        let had = known.kept.len();
        let most_arenas: usize = known.kept.iter().map(Kept::arenas_max).sum();
        let mut expected = there.iter().peekable();
        let mut removed = vec![];
        let mut oldest_kept = None;
        for (at, kept) in std::mem::take(&mut known.kept).into_iter().enumerate() {
            if expected.next_if(|message| message.id == kept.id).is_none() {
                removed.push((at, kept));
                continue;
            }
            oldest_kept.get_or_insert(at);
            assert!(!kept.has_expired(ttl_ms, now), "what has expired is not shown");
            // New mail is read at once, byte for byte.
            if at + new >= had {
                kept.check(store, handle, now);
            }
            known.kept.push_back(kept);
        }
        if let Some(message) = expected.next() {
            panic!("{name} holds {}, which nobody was told of", message.id);
        }

        let lost = handle.map(|handle| store.lost(handle, now)).unwrap_or_default();
        // One that came and went within the step has left nothing to ask.
        let is_new = handle != known.handle || handle.is_none();
        assert!(
            handle == known.handle || !deeds.commits.is_empty(),
            "a mailbox is made or forgotten only for mail"
        );
        let before = if is_new { Lost::default() } else { known.lost };
        known.handle = handle;
        known.lost = lost;
        let difference = Lost {
            mailbox_full: lost.mailbox_full - before.mailbox_full,
            memory_full: lost.memory_full - before.memory_full,
            expired: lost.expired - before.expired,
            deleted: lost.deleted - before.deleted,
        };
        let expired = removed.iter().filter(|(_, kept)| kept.has_expired(ttl_ms, now)).count();
        let asked_for =
            |kept: &Kept| deeds.deleted.contains(&kept.id) || deeds.purged == Some(name);
        let deleted = removed
            .iter()
            .filter(|(_, kept)| asked_for(kept) && !kept.has_expired(ttl_ms, now))
            .count();
        let evicted = removed.len() - expired - deleted;
        for (at, kept) in &removed {
            if !kept.has_expired(ttl_ms, now) && !asked_for(kept) {
                assert!(
                    oldest_kept.is_none_or(|oldest| at < &oldest),
                    "{name} lost {}, and kept what is older",
                    kept.id
                );
            }
        }
        if !is_new {
            assert_eq!(difference.total(), removed.len() as u64, "{name} counts what it has lost");
            assert_eq!(difference.expired, expired as u64, "{name} counts what has expired");
            assert_eq!(difference.deleted, deleted as u64, "{name} counts what was deleted");
        }
        if difference.mailbox_full > 0 {
            assert!(new > 0, "{name} was full, and had no new mail");
            assert!(
                had > self.mailbox_messages_max
                    || most_arenas + 2 * RECORD_ARENAS_MAX > self.mailbox_arenas_max,
                "{name} was not full: {had} messages, {most_arenas} arenas"
            );
        }
        let tally = &mut self.tally;
        tally.mailbox_full += difference.mailbox_full;
        tally.memory_full += evicted as u64 - difference.mailbox_full.min(evicted as u64);
        tally.expired += expired as u64;
        tally.deleted += deleted as u64;
        for (_, kept) in removed {
            if let Some(handle) = handle.filter(|_| !is_new) {
                assert_eq!(store.message(handle, kept.id, now).err(), Some(Missing::Gone));
            }
            self.gone.push_back((name, kept.id));
        }
        difference
    }

    /// Everything that is there, byte for byte, and nothing that is gone.
    pub(crate) fn check_all(&mut self, store: &Store, now: Now) {
        for known in self.mailboxes.values() {
            for kept in &known.kept {
                kept.check(store, known.handle, now);
            }
        }
        for (name, id) in self.gone.drain(..) {
            let mailbox = store.find(&mailbox_name(name));
            match mailbox {
                Some(mailbox) => {
                    assert_eq!(store.message(mailbox, id, now).err(), Some(Missing::Gone));
                }
                None => assert_eq!(store.why_missing(None, id), Missing::Gone),
            }
        }
    }

    /// What a mailbox holds: ids, and what was sent.
    pub(crate) fn list(&self, name: &str) -> Vec<(MessageId, Rc<Mail>)> {
        let kept = self.mailboxes[name].kept.iter();
        kept.map(|kept| (kept.id, Rc::clone(&kept.mail))).collect()
    }

    /// When the oldest mail of all will have expired, for a world that likes to look just then.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        let ttl_ms = self.ttl_ms?;
        let oldest = self.mailboxes.values().filter_map(|known| known.kept.front());
        oldest.map(|kept| kept.at.monotonic_ms + ttl_ms).min().map(|ms| ms + TIMER_TICK_MS / 4)
    }
}

impl Kept {
    fn has_expired(&self, ttl_ms: Option<u64>, now: Now) -> bool {
        ttl_ms.is_some_and(|ttl_ms| now.monotonic_ms - self.at.monotonic_ms >= ttl_ms)
    }

    /// Not fewer arenas than it takes.
    fn arenas_max(&self) -> usize {
        (RECORD_BYTES_MAX + self.mail.body.len()).div_ceil(ARENA_BYTES) + 2
    }

    fn check(&self, store: &Store, mailbox: Option<Mailbox>, now: Now) {
        let mailbox = mailbox.expect("its mailbox is there");
        let message = store.message(mailbox, self.id, now).expect("what was acknowledged is there");
        let mut body = Vec::new();
        store.read_body(&message, usize::MAX, &mut body);
        assert!(body == self.mail.body, "{} is as it was sent, byte for byte", self.id);
        assert_eq!(message.received_unix_ms, self.at.unix_ms);
        assert_eq!(message.source, self.source);
        let envelope = store.read_envelope(&message);
        assert_eq!(envelope.reverse_path, self.mail.reverse_path.as_bytes());
        let mut paths: Vec<&[u8]> = vec![];
        for &recipient in &self.recipients {
            let path = self.mail.recipients[recipient].forward_path.as_bytes();
            // The same one twice is kept once.
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        // The last of very many are left out.
        assert!(!envelope.forward_paths.is_empty() || paths.is_empty());
        assert_eq!(envelope.forward_paths, paths[..envelope.forward_paths.len()]);
    }
}
