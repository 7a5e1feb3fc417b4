//! The guard's rules, written down plainly: lists of what has happened, counted anew each time. It says
//! what the guard has to find, to the millisecond, and when it has to find nothing.
//!
//! Exact where the guard is: windows have the grain that the guard documents, and a table with one set
//! of places is a list in which the least worth gives way. (With more sets, which of them a source is
//! in is the guard's secret: then there have to be fewer sources than a set has places.) Which networks
//! share a count of a subject is a secret too, and learnt by asking a guard with the same one. Of the
//! rule about bodies only the least is known: how many there were.

use std::net::IpAddr;

use mailfly::clock::Now;
use mailfly::guard::{
    Action, Finding, Guard, Networks, Offence, Rule, Rules, Setting, Sizes, Words,
};
use mailfly::limits::{
    GUARD_CROWD_FACTOR, GUARD_REPEAT_NETWORKS_MIN, GUARD_REPEAT_WINDOW_PARTS, GUARD_WAYS,
    GUARD_WINDOW_PARTS,
};

use crate::subject::{Header, has_word, header, text};

pub(crate) struct Judge {
    rules: Rules,
    trusted: Option<IpAddr>,
    /// IPv4 and IPv6.
    families: [Table<Source, Standing>; 2],
    crowds: [Standing; 2],
    subjects: Table<Vec<u8>, Repeat>,
    networks: SharedCounts,
    /// When messages came.
    texts: Times,
}

/// What is counted as one: an address, or the first 64 bits of one.
type Source = [u8; 8];
/// What speaks with one voice: the first 24 bits of IPv4, 48 of IPv6.
type Network = [u8; 6];

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    source: Source,
    network: Network,
    address: IpAddr,
    family: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Own,
    Crowd,
}

#[derive(Clone, Debug, Default)]
struct Standing {
    connections: Times,
    messages: Times,
    offences: Times,
    open: u32,
    seen_ms: u64,
    ban: Option<Finding>,
}

#[derive(Clone, Debug, Default)]
struct Repeat {
    /// When it came, and by which count of networks.
    came: Vec<(u64, usize)>,
    seen_ms: u64,
    banned_until_ms: u64,
    times: u32,
}

/// A message that is being judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inspection {
    pub(crate) found: Option<Finding>,
    pub(crate) is_counted: bool,
    is_header_over: bool,
    seen: Vec<u8>,
}

impl Judge {
    /// Beside a guard that was made of the same.
    pub(crate) fn new(rules: Rules, trusted: Option<IpAddr>, sizes: Sizes, seed: u128) -> Self {
        Self {
            rules,
            trusted,
            families: [Table::default(), Table::default()],
            crowds: [Standing::default(), Standing::default()],
            subjects: Table::default(),
            networks: SharedCounts::new(sizes, seed),
            texts: Times::default(),
        }
    }

    pub(crate) fn connected(&mut self, address: IpAddr, now: Now) -> (Peer, Option<Finding>) {
        let now_ms = now.monotonic_ms;
        let mut peer = Peer::new(address);
        if self.trusted == Some(address) {
            return (peer, None);
        }
        let rules = &self.rules;
        let worth = |standing: &Standing| standing.worth(rules, now_ms);
        let (place, standing) = match self.families[peer.family].place(peer.source, worth) {
            Some(standing) => (Place::Own, standing),
            None => (Place::Crowd, &mut self.crowds[peer.family]),
        };
        standing.seen_ms = now_ms;
        let at_once = rules.of(Rule::ConnectionsAtOnce).and_then(|setting| {
            let limit = limit(&setting, place);
            let count = standing.open + 1;
            (count > limit).then(|| found(Rule::ConnectionsAtOnce, &setting, count, limit, None))
        });
        let mut finding = harsher(standing.ban(rules, now_ms), at_once);
        if !is_refusal(finding) {
            let charged = standing.charge(Rule::Connections, 1, rules, place, now_ms);
            finding = harsher(finding, charged);
        }
        if !is_refusal(finding) {
            standing.open += 1;
            peer.place = place;
        }
        (peer, finding)
    }

    pub(crate) fn disconnected(&mut self, peer: Peer) {
        if let Some(standing) = self.standing(&peer) {
            standing.open -= 1;
        }
    }

    pub(crate) fn offended(&mut self, peer: &Peer, offence: Offence, now: Now) -> Option<Finding> {
        let weight = match offence {
            Offence::Fault => 2,
            Offence::Unfinished | Offence::WrongSecret => 5,
            Offence::EarlyTalk => 10,
        };
        self.charge(peer, Rule::Offences, weight, now)
    }

    /// MAIL.
    pub(crate) fn mail(&mut self, peer: &Peer, is_bounce: bool, now: Now) -> Inspection {
        let rules = self.rules;
        let ban = self.standing(peer).and_then(|standing| standing.ban(&rules, now.monotonic_ms));
        let is_found = is_bounce && !peer.is_exempt();
        let bounce = if is_found { self.once(Rule::Bounces) } else { None };
        Inspection { found: harsher(ban, bounce), ..Inspection::default() }
    }

    /// Bytes of the message; the first count it.
    pub(crate) fn body(
        &mut self,
        peer: &Peer,
        inspection: &mut Inspection,
        bytes: &[u8],
        now: Now,
    ) {
        self.read(peer, inspection, bytes, false, now);
    }

    /// The message is whole.
    pub(crate) fn finished(&mut self, peer: &Peer, inspection: &mut Inspection, now: Now) {
        self.read(peer, inspection, &[], true, now);
    }

    fn read(
        &mut self,
        peer: &Peer,
        inspection: &mut Inspection,
        bytes: &[u8],
        is_end: bool,
        now: Now,
    ) {
        if peer.is_exempt() {
            return;
        }
        if !inspection.is_counted && !is_refusal(inspection.found) {
            inspection.is_counted = true;
            inspection.add(self.charge(peer, Rule::Messages, 1, now));
            self.texts.add(now.monotonic_ms, 1);
        }
        if inspection.is_settled() || inspection.is_header_over {
            return;
        }
        inspection.seen.extend_from_slice(bytes);
        match header(&inspection.seen, is_end) {
            Header::Unfinished => {}
            Header::Over => inspection.is_header_over = true,
            Header::Subject(field) => {
                inspection.is_header_over = true;
                let text = text(&field);
                let words = if has_word(&text) { self.once(Rule::Words) } else { None };
                let repeated = self.repeated(peer, &text, now);
                inspection.add(harsher(words, repeated));
            }
        }
    }

    fn repeated(&mut self, peer: &Peer, text: &[u8], now: Now) -> Option<Finding> {
        let setting = self.rules.of(Rule::Subjects)?;
        let folded = text.to_ascii_lowercase();
        if folded.is_empty() {
            return None;
        }
        let now_ms = now.monotonic_ms;
        let count_of_network = self.networks.of(peer);
        let worth = |repeat: &Repeat| repeat.worth(&setting, now_ms);
        let repeat = self.subjects.place(folded, worth)?;
        repeat.seen_ms = now_ms;
        if repeat.banned_until_ms > now_ms {
            repeat.times += 1;
        } else {
            repeat.came.push((now_ms, count_of_network));
            repeat.times = repeat.count(&setting, now_ms);
            if repeat.times <= setting.count_max {
                return None;
            }
            repeat.came.clear();
            repeat.banned_until_ms = now_ms + setting.ban_ms;
        }
        let (times, until_ms) = (repeat.times, repeat.banned_until_ms);
        Some(found(Rule::Subjects, &setting, times, setting.count_max, Some(until_ms)))
    }

    /// Whether there was enough mail for some text to be found too often.
    pub(crate) fn may_be_a_campaign(&self, now: Now) -> bool {
        self.rules.of(Rule::Bodies).is_some_and(|setting| {
            let parts = GUARD_REPEAT_WINDOW_PARTS as u64;
            self.texts.count(setting.window_ms, parts, now.monotonic_ms) > setting.count_max
        })
    }

    /// Whether the address has a place of its own.
    pub(crate) fn knows(&mut self, address: IpAddr) -> bool {
        let peer = Peer::new(address);
        self.families[peer.family].find(&peer.source).is_some()
    }

    fn once(&self, rule: Rule) -> Option<Finding> {
        let setting = self.rules.of(rule)?;
        Some(found(rule, &setting, 1, 0, None))
    }

    fn charge(&mut self, peer: &Peer, rule: Rule, times: u32, now: Now) -> Option<Finding> {
        let rules = self.rules;
        let place = peer.place;
        self.standing(peer)?.charge(rule, times, &rules, place, now.monotonic_ms)
    }

    fn standing(&mut self, peer: &Peer) -> Option<&mut Standing> {
        match peer.place {
            Place::Nowhere => None,
            Place::Own => self.families[peer.family].find(&peer.source),
            Place::Crowd => Some(&mut self.crowds[peer.family]),
        }
    }
}

impl Peer {
    fn new(address: IpAddr) -> Self {
        let (mut source, mut network) = ([0; 8], [0; 6]);
        let family = match address {
            IpAddr::V4(address) => {
                source[..4].copy_from_slice(&address.octets());
                network[..3].copy_from_slice(&address.octets()[..3]);
                0
            }
            IpAddr::V6(address) => {
                source.copy_from_slice(&address.octets()[..8]);
                network.copy_from_slice(&address.octets()[..6]);
                1
            }
        };
        Self { source, network, address, family, place: Place::Nowhere }
    }

    /// Whether it is counted for itself.
    pub(crate) fn has_own_place(&self) -> bool {
        self.place == Place::Own
    }

    /// Whether no rule applies to it.
    pub(crate) fn is_exempt(&self) -> bool {
        self.place == Place::Nowhere
    }
}

impl Inspection {
    /// Whether nothing that is found later changes what is done.
    pub(crate) fn is_settled(&self) -> bool {
        self.found.is_some_and(|finding| finding.action != Action::Tarpit)
    }

    /// The harsher of the two; nothing is found twice.
    fn add(&mut self, new: Option<Finding>) {
        let known = self.found.map(|finding| finding.rule);
        self.found = harsher(self.found, new.filter(|new| known != Some(new.rule)));
    }
}

impl Standing {
    /// Counts, unless that would be too much.
    fn charge(
        &mut self,
        rule: Rule,
        times: u32,
        rules: &Rules,
        place: Place,
        now_ms: u64,
    ) -> Option<Finding> {
        let ban = self.ban(rules, now_ms);
        let Some(setting) = rules.of(rule) else { return ban };
        if ban.is_some_and(|ban| ban.rule == rule) {
            return ban;
        }
        let limit = limit(&setting, place);
        let (window_ms, parts) = (setting.window_ms, GUARD_WINDOW_PARTS as u64);
        let happened = self.times(rule);
        let count = happened.count(window_ms, parts, now_ms) + times;
        if count <= limit {
            happened.add(now_ms, times);
            return ban;
        }
        if setting.ban_ms == 0 || place == Place::Crowd {
            let left = limit.saturating_sub(times);
            let until_ms = happened.falls_to_ms(left, window_ms, parts, now_ms);
            return harsher(ban, Some(found(rule, &setting, count, limit, Some(until_ms))));
        }
        *happened = Times::default();
        let new = found(rule, &setting, count, limit, Some(now_ms + setting.ban_ms));
        // Of two the harsher stands, or the longer of such as are alike; until the later end.
        let stands = ban.filter(|old| (old.action, old.until_ms) >= (new.action, new.until_ms));
        let until_ms = new.until_ms.max(ban.and_then(|old| old.until_ms));
        self.ban = Some(Finding { until_ms, ..stands.unwrap_or(new) });
        self.ban
    }

    fn ban(&self, rules: &Rules, now_ms: u64) -> Option<Finding> {
        self.ban.filter(|ban| ban.until_ms > Some(now_ms) && rules.of(ban.rule).is_some())
    }

    fn times(&mut self, rule: Rule) -> &mut Times {
        match rule {
            Rule::Connections => &mut self.connections,
            Rule::Messages => &mut self.messages,
            _ => &mut self.offences,
        }
    }

    fn worth(&self, rules: &Rules, now_ms: u64) -> Option<(u32, u64)> {
        if self.open > 0 || self.ban.is_some_and(|ban| ban.until_ms > Some(now_ms)) {
            return None;
        }
        let all = [
            (Rule::Connections, &self.connections),
            (Rule::Messages, &self.messages),
            (Rule::Offences, &self.offences),
        ];
        let used = all.map(|(rule, times)| {
            let parts = GUARD_WINDOW_PARTS as u64;
            rules.of(rule).map_or(0, |setting| times.count(setting.window_ms, parts, now_ms))
        });
        Some((used.iter().sum(), self.seen_ms))
    }
}

impl Repeat {
    /// How often it came lately, no count of networks added up to more than its share.
    fn count(&self, setting: &Setting, now_ms: u64) -> u32 {
        let share = (setting.count_max / (GUARD_REPEAT_NETWORKS_MIN - 1)).max(1);
        let counts = self.came.iter().map(|(_, count)| *count).max().map_or(0, |last| last + 1);
        let of = |count: usize| {
            let came = self.came.iter().filter(|(_, other)| *other == count);
            let times = Times(came.map(|(at_ms, _)| (*at_ms, 1)).collect());
            times.count(setting.window_ms, GUARD_REPEAT_WINDOW_PARTS as u64, now_ms).min(share)
        };
        (0..counts).map(of).sum()
    }

    fn worth(&self, setting: &Setting, now_ms: u64) -> Option<(u32, u64)> {
        let is_banned = self.banned_until_ms > now_ms;
        (!is_banned).then(|| (self.count(setting, now_ms), self.seen_ms))
    }
}

/// When something happened, and how much it weighed.
#[derive(Clone, Debug, Default)]
struct Times(Vec<(u64, u32)>);

impl Times {
    fn add(&mut self, now_ms: u64, times: u32) {
        self.0.push((now_ms, times));
    }

    /// What has not slid out, each with when it will: with the part of the window that it is in.
    fn lately(&self, window_ms: u64, parts: u64, now_ms: u64) -> Vec<(u64, u32)> {
        let grain_ms = window_ms.div_ceil(parts - 1);
        let out_ms = |at_ms: u64| (at_ms / grain_ms + parts) * grain_ms;
        let all = self.0.iter().map(|(at_ms, times)| (out_ms(*at_ms), *times));
        all.filter(|(out_ms, _)| *out_ms > now_ms).collect()
    }

    fn count(&self, window_ms: u64, parts: u64, now_ms: u64) -> u32 {
        self.lately(window_ms, parts, now_ms).iter().map(|(_, times)| times).sum()
    }

    /// When no more than this will be left.
    fn falls_to_ms(&self, limit: u32, window_ms: u64, parts: u64, now_ms: u64) -> u64 {
        let lately = self.lately(window_ms, parts, now_ms);
        let left = |at_ms: u64| -> u32 {
            lately.iter().filter(|(out_ms, _)| *out_ms > at_ms).map(|(_, times)| times).sum()
        };
        let ends = std::iter::once(now_ms).chain(lately.iter().map(|(out_ms, _)| *out_ms));
        let mut ends: Vec<u64> = ends.collect();
        ends.sort_unstable();
        ends.into_iter().find(|end_ms| left(*end_ms) <= limit).unwrap_or(now_ms)
    }
}

/// A set of places, in which the least worth gives way, and none that has no worth to compare.
#[derive(Clone, Debug)]
struct Table<K, E>(Vec<(K, E)>);

impl<K, E> Default for Table<K, E> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<K: PartialEq, E: Default> Table<K, E> {
    fn find(&mut self, key: &K) -> Option<&mut E> {
        self.0.iter_mut().find(|(other, _)| other == key).map(|(_, entry)| entry)
    }

    fn place(&mut self, key: K, worth: impl Fn(&E) -> Option<(u32, u64)>) -> Option<&mut E> {
        let known = self.0.iter().position(|(other, _)| *other == key);
        let at = match known {
            Some(at) => at,
            None if self.0.len() < GUARD_WAYS => {
                self.0.push((key, E::default()));
                self.0.len() - 1
            }
            None => {
                let worths = self.0.iter().map(|(_, entry)| worth(entry)).enumerate();
                let known = worths.filter_map(|(at, worth)| Some((worth?, at)));
                let (_, at) = known.min()?;
                self.0[at] = (key, E::default());
                at
            }
        };
        Some(&mut self.0[at].1)
    }
}

/// Which networks share a count of a subject: asked of a guard with the same seed, which bans what came
/// twice unless it was by one count.
struct SharedCounts {
    guard: Guard,
    now: Now,
    /// Of each network the number of its count, and an address in it.
    known: Vec<(Network, usize, IpAddr)>,
}

impl SharedCounts {
    fn new(sizes: Sizes, seed: u128) -> Self {
        let mut rules = Rules::off();
        let setting =
            Setting { action: Action::Reject, count_max: 1, window_ms: 1000, ban_ms: 1000 };
        rules.set(Rule::Subjects, Some(setting)).expect("a setting");
        let nobody = Networks::new(&[]).expect("none");
        let guard = Guard::with_sizes(sizes, rules, nobody, Words::default(), seed);
        Self { guard, now: Now { monotonic_ms: 0, unix_ms: 0 }, known: vec![] }
    }

    fn of(&mut self, peer: &Peer) -> usize {
        let known = self.known.iter().find(|(network, ..)| *network == peer.network);
        if let Some((_, count, _)) = known {
            return *count;
        }
        let others: Vec<(usize, IpAddr)> =
            self.known.iter().map(|(_, count, address)| (*count, *address)).collect();
        let shared = others.iter().find(|(_, other)| self.share(*other, peer.address));
        let next = others.iter().map(|(count, _)| count + 1).max().unwrap_or(0);
        let count = shared.map_or(next, |(count, _)| *count);
        self.known.push((peer.network, count, peer.address));
        // Sixteen counts, and a chance of 1 in 16^5 that six networks have but one of them.
        assert!(self.known.len() < 6 || self.known.iter().any(|(_, count, _)| *count > 0));
        count
    }

    fn share(&mut self, one: IpAddr, other: IpAddr) -> bool {
        self.now.monotonic_ms += 10_000;
        self.send(one);
        !self.send(other)
    }

    /// Whether its subject is banned then.
    fn send(&mut self, address: IpAddr) -> bool {
        let (peer, _) = self.guard.connected(address, self.now);
        let mut inspection = self.guard.mail(&peer, false, self.now);
        let verdict = self.guard.body(&peer, &mut inspection, b"Subject: x\n\n", self.now);
        self.guard.disconnected(peer);
        verdict.finding().is_some()
    }
}

fn limit(setting: &Setting, place: Place) -> u32 {
    setting.count_max * if place == Place::Crowd { GUARD_CROWD_FACTOR } else { 1 }
}

fn found(rule: Rule, setting: &Setting, count: u32, limit: u32, until_ms: Option<u64>) -> Finding {
    Finding { rule, action: setting.action, count, limit, until_ms }
}

pub(crate) fn is_refusal(finding: Option<Finding>) -> bool {
    finding.is_some_and(|finding| finding.action == Action::Reject)
}

/// The one that does more; the first, if they do the same.
fn harsher(first: Option<Finding>, second: Option<Finding>) -> Option<Finding> {
    match (first, second) {
        (Some(one), Some(other)) if other.action > one.action => second,
        (None, second) => second,
        (first, _) => first,
    }
}
