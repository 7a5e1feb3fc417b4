//! A second guard, beside the server, as a library: it is told what happens to each session, refuses
//! at the door, and is held to what it promises. The server's own is within the service, where its
//! verdicts are only seen in what clients are told.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mailfly::clock::Now;
use mailfly::guard::{Guard, Network, Networks, Offence, Peer, Rule, Rules, Sizes, Verdict, Words};
use mailfly::limits::{GUARD_BAN_MS_MAX, GUARD_WINDOW_MS_MAX};

use crate::mail::Mail;
use crate::random::Random;

pub(crate) struct Guarded {
    guard: Guard,
    rules: Rules,
    trusted: Option<IpAddr>,
    /// Until when each source was told that it is banned, the latest.
    banned: BTreeMap<IpAddr, u64>,
    open: BTreeMap<IpAddr, u32>,
    pub(crate) refused: u64,
    pub(crate) bans: u64,
}

impl Guarded {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut rules = Rules::default();
        // Tight enough to be met within minutes by a dozen peers.
        for (rule, count_max) in
            [(Rule::Messages, 9), (Rule::Connections, 12), (Rule::Offences, 20)]
        {
            if let Some(mut setting) = rules.of(rule) {
                setting.count_max = random.between(1, count_max) as u32;
                rules.set(rule, Some(setting)).expect("a setting");
            }
        }
        let trusted = random.percent(50).then(|| crate::world::source(0));
        let network = trusted.map(|address| address.to_string().parse::<Network>());
        let networks: Vec<Network> =
            network.into_iter().map(|one| one.expect("an address")).collect();
        let trusted_networks = Networks::new(&networks).expect("a few");
        let words = Words::parse("subject").expect("a word");
        // One set of each, which a dozen sources and their mail can fill.
        let sets = random.pick(&[[1, 1, 1], [2, 4, 2], [8, 8, 8]]);
        let seed = u128::from(random.next());
        let guard = Guard::with_sizes(Sizes::of_sets(sets), rules, trusted_networks, words, seed);
        let (banned, open) = (BTreeMap::new(), BTreeMap::new());
        Self { guard, rules, trusted, banned, open, refused: 0, bans: 0 }
    }

    /// Whether it may come in.
    pub(crate) fn connected(&mut self, address: IpAddr, now: Now) -> Option<Peer> {
        let (peer, verdict) = self.guard.connected(address, now);
        self.note(address, verdict, now);
        if let Some(until_ms) = self.banned.get(&address)
            && *until_ms > now.monotonic_ms
        {
            assert!(matches!(verdict, Verdict::Refuse(_)), "a ban ends when it was said to");
        }
        if let Verdict::Refuse(_) = verdict {
            assert_ne!(Some(address), self.trusted, "who is trusted is not refused");
            self.refused += 1;
            return None;
        }
        *self.open.entry(address).or_default() += 1;
        Some(peer)
    }

    /// A message has come, in pieces.
    pub(crate) fn message(
        &mut self,
        random: &mut Random,
        peer: &Peer,
        address: IpAddr,
        mail: &Mail,
        now: Now,
    ) {
        let mut inspection = self.guard.mail(peer, mail.reverse_path.is_empty(), now);
        let mut rest = &mail.body[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.between(1, rest.len()));
            self.guard.body(peer, &mut inspection, piece, now);
            rest = after;
        }
        let verdict = self.guard.finished(peer, inspection, now);
        self.note(address, verdict, now);
    }

    pub(crate) fn offended(&mut self, peer: &Peer, address: IpAddr, offence: Offence, now: Now) {
        let verdict = self.guard.offended(peer, offence, now);
        self.note(address, verdict, now);
    }

    pub(crate) fn disconnected(&mut self, peer: Peer, address: IpAddr) {
        *self.open.get_mut(&address).expect("it was let in") -= 1;
        self.guard.disconnected(peer);
    }

    /// What it says now, `explain` says too; a ban of a source is remembered here as well.
    fn note(&mut self, address: IpAddr, verdict: Verdict, now: Now) {
        let Some(finding) = verdict.finding() else { return };
        assert!(self.rules.of(finding.rule).is_some(), "a rule that is on");
        let explanation = self.guard.explain(address, now);
        assert!(explanation.last.is_some(), "whoever was found at fault can learn why");
        let Some(until_ms) = finding.until_ms else { return };
        assert!(until_ms <= now.monotonic_ms + GUARD_BAN_MS_MAX, "no ban is for ever");
        if let Some(ban) = explanation.ban
            && let Some(until_ms) = ban.until_ms
        {
            self.bans += 1;
            let known = self.banned.entry(address).or_default();
            *known = until_ms.max(*known);
        }
    }

    /// Everybody has gone, and a day passes: then everybody is welcome, as often as at the start.
    pub(crate) fn check_end(&mut self, mut now: Now) {
        assert!(self.open.values().all(|open| *open == 0), "{:?}", self.open);
        now.monotonic_ms += GUARD_BAN_MS_MAX + GUARD_WINDOW_MS_MAX;
        let at_once = self.rules.of(Rule::ConnectionsAtOnce).map_or(8, |setting| setting.count_max);
        let window = self.rules.of(Rule::Connections).map_or(u32::MAX, |setting| setting.count_max);
        for address in self.open.keys().copied().collect::<Vec<_>>() {
            let mut peers = vec![];
            for _ in 0..at_once.min(window).min(8) {
                let (peer, verdict) = self.guard.connected(address, now);
                assert_eq!(
                    verdict,
                    Verdict::Allow,
                    "{address} left nothing open and no ban for ever"
                );
                peers.push(peer);
            }
            peers.into_iter().for_each(|peer| self.guard.disconnected(peer));
        }
    }
}
