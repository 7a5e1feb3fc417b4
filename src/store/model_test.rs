//! The store beside a plain model of what was given to it: whatever is done, in whatever order,
//! what can be read is what was committed, what is missing is counted, and the invariants hold.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::net::IpAddr;

use proptest::prelude::*;

use super::record::Header;
use super::*;
use crate::clock::Now;
use crate::limits::BODY_INLINE_BYTES_MAX;

const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
const MAILBOXES: u32 = 6;
const MESSAGES_PER_MAILBOX: u32 = 8;
const MESSAGE_BYTES: usize = 40_000;
const MAILBOX_BYTES: usize = 150_000;
const TTL_MS: u64 = 1_000;
const DRAFTS: usize = 3;
/// Lengths that are just within a bound, by themselves or two of them together, or just past it.
const AT_A_BOUND: [usize; 7] = [
    0,
    BODY_INLINE_BYTES_MAX,
    BODY_INLINE_BYTES_MAX + 1,
    MESSAGE_BYTES / 2,
    MESSAGE_BYTES / 2 + 1,
    MESSAGE_BYTES,
    MESSAGE_BYTES + 1,
];

fn demand() -> Demand {
    let mut demand = Demand {
        memory_bytes: 0,
        mailboxes_max: MAILBOXES,
        mailbox_bytes_max: MAILBOX_BYTES,
        mailbox_messages_max: MESSAGES_PER_MAILBOX,
        message_bytes_max: MESSAGE_BYTES,
        ttl_ms: Some(TTL_MS),
    };
    match Capacity::of(&demand) {
        Err(Shortage::Memory { needed_bytes }) => demand.memory_bytes = needed_bytes,
        other => panic!("{other:?}"),
    }
    demand
}

/// A message as the test committed it.
#[derive(Clone, Debug)]
struct Sent {
    id: MessageId,
    name: &'static str,
    body: Vec<u8>,
    /// It was short, and nothing of it had to be kept before its end.
    packed: bool,
    forward_paths: Vec<Vec<u8>>,
    at_ms: u64,
    seen: bool,
    deleted: bool,
    /// It was missing before its time-to-live was over.
    gone_young: bool,
}

#[derive(Debug, Default)]
struct ModelDraft {
    draft: Option<Draft>,
    recipients: Vec<&'static str>,
    body: Vec<u8>,
    /// Some of the message was appended, if only nothing.
    kept: bool,
}

struct World {
    store: Store,
    drafts: [ModelDraft; DRAFTS],
    sent: Vec<Sent>,
    now: Now,
    filler: u8,
    /// Those who are on their way through a mailbox: whose, and which of its messages are ahead.
    readers: Vec<(Cursor, Vec<MessageId>)>,
    /// And those who are on their way through a message, as an index into `sent`, and how much of it is
    /// behind them.
    body_readers: Vec<(Reading, usize, usize)>,
}

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Recipient(usize, usize),
    Append(usize, usize),
    Commit(usize, usize),
    Abandon(usize),
    Deliver(usize, usize),
    Delete(usize),
    Purge(usize),
    Seen(usize),
    Pass(u64),
    Sweep(u32),
    Read(usize, usize),
    ReadOn(usize),
    ReadBody(usize),
    ReadBodyOn(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let draft = || 0..DRAFTS;
    // One mailbox has half of the mail, and so more than it may keep.
    let name = || prop_oneof![Just(0), 0..NAMES.len()];
    let bytes = || {
        prop_oneof![
            4 => 0..3_000usize,
            4 => 3_000..30_000usize,
            3 => 35_000..42_000usize,
            3 => prop::sample::select(&AT_A_BOUND),
        ]
    };
    prop_oneof![
        4 => draft().prop_map(Step::Open),
        8 => (draft(), name()).prop_map(|(draft, name)| Step::Recipient(draft, name)),
        3 => (draft(), bytes()).prop_map(|(draft, n)| Step::Append(draft, n)),
        5 => (draft(), bytes()).prop_map(|(draft, n)| Step::Commit(draft, n)),
        1 => draft().prop_map(Step::Abandon),
        6 => (name(), bytes()).prop_map(|(name, n)| Step::Deliver(name, n)),
        2 => any::<usize>().prop_map(Step::Delete),
        1 => (0..NAMES.len()).prop_map(Step::Purge),
        1 => any::<usize>().prop_map(Step::Seen),
        1 => (0..TTL_MS / 2).prop_map(Step::Pass),
        1 => (0..10u32).prop_map(Step::Sweep),
        1 => (name(), 0..10usize).prop_map(|(name, most)| Step::Read(name, most)),
        3 => any::<usize>().prop_map(Step::ReadOn),
        1 => any::<usize>().prop_map(Step::ReadBody),
        3 => (any::<usize>(), 0..30_000usize).prop_map(|(which, most)| Step::ReadBodyOn(which, most)),
    ]
}

fn mailbox_name(name: &str) -> MailboxName {
    MailboxName::of(name, Naming::Local).unwrap()
}

impl World {
    fn new() -> Self {
        Self {
            store: Store::new(Capacity::of(&demand()).unwrap(), 42).unwrap(),
            drafts: Default::default(),
            sent: Vec::new(),
            now: Now { monotonic_ms: 5, unix_ms: 50 },
            filler: 0,
            readers: Vec::new(),
            body_readers: Vec::new(),
        }
    }

    fn client() -> Client<'static> {
        Client {
            helo: b"helo",
            source: IpAddr::from([127, 0, 0, 1]),
            protocol: Protocol::default(),
        }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        self.filler = self.filler.wrapping_add(1);
        (0..length).map(|index| self.filler.wrapping_add(index as u8)).collect()
    }

    /// One step, and all laws after it.
    fn checked_step(&mut self, step: Step) {
        let before = NAMES.map(|name| self.last_mail_and_evicted(name));
        self.step(step);
        let after = NAMES.map(|name| self.last_mail_and_evicted(name));
        for (victim, evicted) in before.iter().zip(&after) {
            let (Some((last_mail, lost)), Some((still, lost_since))) = (victim, evicted) else {
                continue;
            };
            if lost_since == lost || still != last_mail {
                continue;
            }
            for (other, name) in untouched(&before, &after) {
                let stocked = self
                    .store
                    .find(&mailbox_name(name))
                    .is_some_and(|mailbox| self.store.headers(mailbox).next().is_some());
                assert!(!stocked || other >= *last_mail, "{name} had gone longer without mail");
            }
        }
        self.note_gone();
        self.check();
    }

    fn note_gone(&mut self) {
        let live = self.live();
        for (at, sent) in self.sent.iter_mut().enumerate() {
            let young = self.now.monotonic_ms < sent.at_ms + TTL_MS;
            sent.gone_young |= young && !live.contains(&at);
        }
    }

    /// When a mailbox last had mail, as a number over all mail, and how much memory took of it.
    fn last_mail_and_evicted(&self, name: &str) -> Option<(u64, u64)> {
        let mailbox = self.store.find(&mailbox_name(name))?;
        let last = self.sent.iter().rposition(|sent| sent.name == name)? as u64;
        Some((last, self.store.lost(mailbox, self.now).memory_full))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Open(at) => {
                if self.drafts[at].draft.is_none() {
                    self.drafts[at].draft = self.store.open(b"from@example.com", self.now).ok();
                }
            }
            Step::Recipient(at, name) => self.recipient(at, NAMES[name]),
            Step::Append(at, length) => {
                let bytes = self.bytes(length);
                let model = &mut self.drafts[at];
                let Some(draft) = &mut model.draft else { return };
                match self.store.append(draft, &bytes, self.now) {
                    Ok(()) => {
                        model.body.extend(bytes);
                        assert!(model.body.len() <= MESSAGE_BYTES);
                        assert_eq!(draft.body_bytes(), model.body.len());
                        model.kept = true;
                    }
                    Err(refusal) => assert!(
                        refusal == Refusal::DraftsFull || model.body.len() + length > MESSAGE_BYTES
                    ),
                }
            }
            Step::Commit(at, length) => self.commit(at, length),
            Step::Abandon(at) => {
                let model = std::mem::take(&mut self.drafts[at]);
                model.draft.into_iter().for_each(|draft| self.store.abandon(draft));
            }
            Step::Deliver(name, length) => {
                self.step(Step::Abandon(0));
                self.step(Step::Open(0));
                self.recipient(0, NAMES[name]);
                self.commit(0, length);
            }
            Step::Delete(which) => {
                let live: Vec<usize> = self.live();
                let Some(&which) = live.get(which % live.len().max(1)) else { return };
                let sent = &mut self.sent[which];
                let mailbox = self.store.find(&mailbox_name(sent.name)).unwrap();
                assert_eq!(self.store.delete(mailbox, sent.id, self.now), Ok(()));
                assert_eq!(self.store.delete(mailbox, sent.id, self.now), Err(Missing::Gone));
                sent.deleted = true;
            }
            Step::Purge(name) => {
                if let Some(mailbox) = self.store.find(&mailbox_name(NAMES[name])) {
                    self.store.purge(mailbox, self.now);
                    assert_eq!(self.store.messages(mailbox, self.now).count(), 0);
                }
            }
            Step::Seen(which) => {
                let live: Vec<usize> = self.live();
                let Some(&which) = live.get(which % live.len().max(1)) else { return };
                let sent = &mut self.sent[which];
                sent.seen = !sent.seen;
                let mailbox = self.store.find(&mailbox_name(sent.name)).unwrap();
                // Saying it again changes nothing.
                self.store.mark_seen(mailbox, sent.id, sent.seen, self.now).unwrap();
                self.store.mark_seen(mailbox, sent.id, sent.seen, self.now).unwrap();
            }
            Step::Pass(ms) => self.now.monotonic_ms += ms,
            Step::Sweep(slots) => self.store.sweep(self.now, slots),
            Step::Read(name, most) => {
                if let Some(mailbox) = self.store.find(&mailbox_name(NAMES[name])) {
                    let there: Vec<_> = self.store.messages(mailbox, self.now).collect();
                    let newest = &there[there.len().saturating_sub(most)..];
                    let ahead = newest.iter().map(|message| message.id).collect();
                    self.readers.push((self.store.newest(mailbox, most, self.now), ahead));
                }
            }
            Step::ReadOn(which) => self.read_on(which),
            Step::ReadBody(which) => {
                let live = self.live();
                let Some(&which) = live.get(which % live.len().max(1)) else { return };
                let Sent { id, name, .. } = self.sent[which];
                let mailbox = self.store.find(&mailbox_name(name)).unwrap();
                let message = self.store.message(mailbox, id, self.now).unwrap();
                self.body_readers.push((Reading::of(&message), which, 0));
            }
            Step::ReadBodyOn(which, most) => self.read_body_on(which, most),
        }
    }

    /// A reader sees the next of the messages that it had ahead of it and that is still there.
    fn read_on(&mut self, which: usize) {
        if self.readers.is_empty() {
            return;
        }
        let which = which % self.readers.len();
        let live = self.live();
        let live: HashSet<_> = live.into_iter().map(|sent| self.sent[sent].id).collect();
        let (cursor, ahead) = &mut self.readers[which];
        let expected = ahead.iter().position(|id| live.contains(id));
        let passed = expected.map_or(ahead.len(), |at| at + 1);
        let expected = expected.map(|at| ahead[at]);
        ahead.drain(..passed);
        let seen = self.store.next(cursor, self.now).map(|message| message.id);
        assert_eq!(seen, expected);
    }

    /// A reader of a message sees what is next of it, as long as it is there.
    fn read_body_on(&mut self, which: usize, most: usize) {
        if self.body_readers.is_empty() {
            return;
        }
        let which = which % self.body_readers.len();
        let is_live = self.live().contains(&self.body_readers[which].1);
        let (reading, sent, seen) = &mut self.body_readers[which];
        let pieces = self.store.read_on(reading, most, self.now);
        let piece = pieces.map(|pieces| pieces.collect::<Vec<_>>().concat());
        let ahead = &self.sent[*sent].body[*seen..];
        let next = &ahead[..most.min(ahead.len())];
        assert_eq!(piece.as_deref(), if is_live { Ok(next) } else { Err(&Missing::Gone) });
        if !is_live {
            return;
        }
        *seen += next.len();
        assert_eq!(reading.is_done(), most >= ahead.len());
    }

    fn recipient(&mut self, at: usize, name: &'static str) {
        let model = &mut self.drafts[at];
        let Some(draft) = &mut model.draft else { return };
        let path = format!("{name}@{}.example", model.recipients.len());
        match self.store.add_recipient(draft, path.as_bytes(), &mailbox_name(name), self.now) {
            Ok(()) => model.recipients.push(name),
            Err(Refusal::TooManyRecipients) => {
                assert_eq!(model.recipients.len(), MAILBOXES as usize);
            }
            Err(refusal) => assert_eq!(refusal, Refusal::DraftsFull),
        }
    }

    fn commit(&mut self, at: usize, length: usize) {
        let rest = self.bytes(length);
        let mut model = std::mem::take(&mut self.drafts[at]);
        let Some(draft) = model.draft.take() else { return };
        let before = self.store.recent_end();
        let (one, two) = rest.split_at(length / 3);
        let committed = self.store.commit(draft, &[one, two], &Self::client(), self.now);
        model.body.extend_from_slice(&rest);
        let Ok(first) = committed else {
            let refusal = committed.unwrap_err();
            match refusal {
                Refusal::NoRecipients => assert!(model.recipients.is_empty()),
                Refusal::MessageTooLarge => assert!(model.body.len() > MESSAGE_BYTES),
                other => panic!("a whole message always fits, but: {other:?}"),
            }
            assert_eq!(self.store.recent_end(), before, "to all or to none");
            return;
        };
        let mut distinct = model.recipients.clone();
        let mut seen = Vec::new();
        distinct.retain(|name| {
            !seen.contains(name) && {
                seen.push(name);
                true
            }
        });
        let ids: Vec<MessageId> = self.store.recent(before).map(|(_, id)| id).collect();
        assert_eq!(ids.len(), distinct.len(), "one copy a mailbox");
        assert_eq!(ids[0], first);
        for (name, id) in distinct.into_iter().zip(ids) {
            let forward_paths = model
                .recipients
                .iter()
                .enumerate()
                .filter(|(_, other)| **other == name)
                .map(|(number, name)| format!("{name}@{number}.example").into_bytes())
                .collect();
            self.sent.push(Sent {
                id,
                name,
                body: model.body.clone(),
                packed: !model.kept && model.body.len() <= BODY_INLINE_BYTES_MAX,
                forward_paths,
                at_ms: self.now.monotonic_ms,
                seen: false,
                deleted: false,
                gone_young: false,
            });
            let mailbox = self.store.find(&mailbox_name(name)).unwrap();
            let latest = self.store.latest(mailbox, self.now).unwrap();
            assert_eq!(latest.id, id, "what was acknowledged can be read at once");
            let next = MessageId { sequence: id.sequence + 1, ..id };
            let missing = self.store.message(mailbox, next, self.now).unwrap_err();
            assert_eq!(missing, Missing::Unknown, "what comes next was never there");
        }
    }

    /// Which of the messages sent can be read, as indices into `sent`.
    fn live(&self) -> Vec<usize> {
        let there: HashMap<MessageId, ()> = NAMES
            .iter()
            .filter_map(|name| self.store.find(&mailbox_name(name)))
            .flat_map(|mailbox| self.store.messages(mailbox, self.now).map(|m| (m.id, ())))
            .collect();
        (0..self.sent.len()).filter(|&at| there.contains_key(&self.sent[at].id)).collect()
    }

    fn check(&self) {
        self.check_mail();
        self.check_memory();
    }

    fn check_mail(&self) {
        let by_id: HashMap<MessageId, &Sent> =
            self.sent.iter().map(|sent| (sent.id, sent)).collect();
        assert_eq!(by_id.len(), self.sent.len(), "no id is given twice");
        let mut body = Vec::new();
        for name in NAMES {
            let Some(mailbox) = self.store.find(&mailbox_name(name)) else { continue };
            let messages: Vec<Message> = self.store.messages(mailbox, self.now).collect();
            assert!(messages.len() <= MESSAGES_PER_MAILBOX as usize);
            assert!(messages.is_sorted_by_key(|message| message.id.sequence));
            self.check_newest(mailbox, &messages);
            for message in &messages {
                let sent = by_id[&message.id];
                assert_eq!(sent.name, name, "mail stays in its mailbox");
                assert!(!sent.deleted && self.now.monotonic_ms < sent.at_ms + TTL_MS);
                self.store.read_body(message, usize::MAX, &mut body);
                assert_eq!(body, sent.body, "byte for byte");
                assert_eq!(message.seen, sent.seen);
                let header: Header = self.store.pool.read_value(message.record).0;
                let packed = header.body.is_empty();
                assert_eq!(packed, sent.packed, "short mail is packed, and no other");
                let envelope = self.store.read_envelope(message);
                assert_eq!(envelope.reverse_path, b"from@example.com");
                assert_eq!(envelope.forward_paths, sent.forward_paths);
            }
            // Only from the old end does mail leave unasked.
            if let Some(oldest) = messages.first() {
                let kept = self.sent.iter().filter(|sent| {
                    sent.id.slot == oldest.id.slot
                        && sent.id.generation == oldest.id.generation
                        && sent.id.sequence >= oldest.id.sequence
                        && !sent.deleted
                });
                assert_eq!(kept.count(), messages.len(), "no gap but what was deleted");
            }
        }
        for sent in &self.sent {
            let mailbox = self.store.find(&mailbox_name(sent.name));
            self.check_foreign(sent.id);
            match mailbox {
                Some(mailbox) => {
                    if let Err(missing) = self.store.message(mailbox, sent.id, self.now) {
                        assert_eq!(missing, Missing::Gone);
                    }
                }
                None => assert_eq!(self.store.why_missing(None, sent.id), Missing::Gone),
            }
        }
    }

    /// What is asked for from the newer end, or by an id, is what is found from the older one.
    fn check_newest(&self, mailbox: Mailbox, messages: &[Message]) {
        let store = &self.store;
        let id = |message: &Message| message.id;
        assert_eq!(store.held(mailbox, self.now), messages.len());
        assert_eq!(store.latest(mailbox, self.now).as_ref().map(id), messages.last().map(id));
        for most in 0..=messages.len() + 1 {
            let mut cursor = store.newest(mailbox, most, self.now);
            let newest: Vec<_> =
                iter::from_fn(|| store.next(&mut cursor, self.now)).map(|m| m.id).collect();
            let expected = &messages[messages.len().saturating_sub(most)..];
            assert!(newest.iter().eq(expected.iter().map(|message| &message.id)), "{most}");
        }
        for message in messages {
            assert_eq!(
                store.message(mailbox, message.id, self.now).as_ref().map(id),
                Ok(message.id)
            );
        }
    }

    /// What an id means to a mailbox that is not its own.
    fn check_foreign(&self, id: MessageId) {
        let forgotten = self.store.slot(id.slot).generation != id.generation;
        let expected = if forgotten { Missing::Gone } else { Missing::Unknown };
        for name in [NAMES[0], NAMES[1]] {
            let Some(mailbox) = self.store.find(&mailbox_name(name)) else { continue };
            if mailbox.slot != id.slot {
                let missing = self.store.message(mailbox, id, self.now).unwrap_err();
                assert_eq!(missing, expected, "of another mailbox");
            }
        }
    }

    fn check_memory(&self) {
        let store = &self.store;
        let figures = store.figures();
        assert_eq!(store.check_invariants(), Ok(()));
        let drafts: u32 =
            self.drafts.iter().filter_map(|draft| draft.draft.as_ref()).map(Draft::arenas).sum();
        assert_eq!(figures.arenas_drafts, drafts);
        assert_eq!(store.draft_arenas(), (drafts, store.capacity.draft_arenas_max));
        for name in NAMES {
            let Some(mailbox) = store.find(&mailbox_name(name)) else { continue };
            let lost = store.lost(mailbox, self.now);
            let of_this = |sent: &&Sent| {
                sent.id.slot == mailbox.slot && sent.id.generation == mailbox.generation
            };
            let sent = self.sent.iter().filter(of_this).count() as u64;
            let there = store.messages(mailbox, self.now).count() as u64;
            let bytes: usize = store.messages(mailbox, self.now).map(|m| m.body_bytes).sum();
            assert!(bytes <= MAILBOX_BYTES, "a mailbox keeps within its share");
            assert_eq!(sent, there + lost.total(), "what cannot be read is counted, swept or not");
            let expired =
                |sent: &&Sent| !sent.gone_young && self.now.monotonic_ms >= sent.at_ms + TTL_MS;
            let expired = self.sent.iter().filter(of_this).filter(expired).count() as u64;
            assert_eq!(lost.expired, expired, "what went for its age, and nothing else");
        }
    }
}

/// The mailboxes that had no mail in between, and when they last had.
fn untouched<'a>(
    before: &'a [Option<(u64, u64)>],
    after: &'a [Option<(u64, u64)>],
) -> impl Iterator<Item = (u64, &'static str)> + 'a {
    before.iter().zip(after).zip(NAMES).filter_map(|((before, after), name)| {
        let (before, after) = ((*before)?.0, (*after)?.0);
        (before == after).then_some((after, name))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn the_store_does_what_the_plain_model_does(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.checked_step(step);
        }
    }
}

#[test]
fn a_flood_of_new_mailboxes_evicts_by_both_rules_and_the_model_agrees() {
    let mut world = World::new();
    for round in 0..200 {
        world.checked_step(Step::Deliver(round % 6, 4_000 * (round % 9)));
        world.checked_step(Step::Deliver(1, MESSAGE_BYTES));
    }
    let lost = world.store.figures().lost;
    assert!(lost.memory_full > 0 && lost.mailbox_full > 0, "{lost:?}");
}

#[test]
fn drafts_keep_to_their_share_and_mail_gives_way_to_no_more() {
    let mut world = World::new();
    for name in 0..6 {
        world.checked_step(Step::Deliver(name, 3_000));
    }
    for draft in 0..DRAFTS {
        world.checked_step(Step::Open(draft));
        world.checked_step(Step::Recipient(draft, draft));
        // In pieces of less than an arena, so that the share is full to its last one.
        for _ in 0..MESSAGE_BYTES / 1_000 {
            world.checked_step(Step::Append(draft, 1_000));
        }
    }
    let (owned, share) = world.store.draft_arenas();
    assert_eq!(owned, share, "three of the longest are more than the share");
    assert_eq!(world.store.figures().lost.total(), 0, "and it was free");
    for draft in 0..DRAFTS {
        world.checked_step(Step::Commit(draft, 0));
    }
}
