//! A second guard, beside the server, as a library: it is told what happens to each session, refuses
//! at the door, and is held to what the plain rules (`judge`) say, each time and to the millisecond. The
//! server's own is within the service, where its verdicts are only seen in what clients are told
//! (`strangers`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use mailfly::clock::Now;
use mailfly::guard::{
    Action, Finding, Guard, Network, Networks, Offence, Peer, Rule, Rules, Sizes, Verdict, Words,
};
use mailfly::limits::{GUARD_BAN_MS_MAX, GUARD_WINDOW_MS_MAX};

use crate::judge::{self, Judge};
use crate::mail::Mail;
use crate::random::Random;
use crate::subject::WORDS;

pub(crate) struct Guarded {
    guard: Guard,
    judge: Judge,
    rules: Rules,
    open: BTreeMap<IpAddr, u32>,
    /// Who came by, and is nobody to the server.
    passers_by: Vec<Known>,
    pub(crate) refused: u64,
}

/// Who is at the other end, to both.
pub(crate) struct Known {
    peer: Peer,
    judged: judge::Peer,
    address: IpAddr,
}

impl Guarded {
    /// `sets`: of its tables.
    pub(crate) fn new(random: &mut Random, sets: [usize; 3]) -> Self {
        let mut rules = Rules::default();
        // Tight enough to be met within minutes by a dozen peers.
        for (rule, count_max) in [
            (Rule::ConnectionsAtOnce, 6),
            (Rule::Messages, 9),
            (Rule::Connections, 12),
            (Rule::Offences, 20),
            (Rule::Subjects, 6),
        ] {
            if let Some(mut setting) = rules.of(rule) {
                setting.count_max = random.between(1, count_max) as u32;
                setting.action = random.pick(&[Action::Tarpit, Action::Discard, Action::Reject]);
                if setting.ban_ms > 0 {
                    setting.ban_ms = random.pick(&[1_000, 30_000, setting.ban_ms]);
                }
                rules.set(rule, Some(setting)).expect("a setting");
            }
        }
        let trusted = random.percent(50).then(|| crate::world::source(0));
        let sizes = Sizes::of_sets(sets);
        let seed = u128::from(random.next());
        let guard = Guard::with_sizes(sizes, rules, networks(trusted), words(), seed);
        let judge = Judge::new(rules, trusted, sizes, seed);
        Self { guard, judge, rules, open: BTreeMap::new(), passers_by: vec![], refused: 0 }
    }

    /// Whether it may come in.
    pub(crate) fn connected(&mut self, address: IpAddr, now: Now) -> Option<Known> {
        let (peer, verdict) = self.guard.connected(address, now);
        let (judged, expected) = self.judge.connected(address, now);
        self.hold(address, None, verdict, expected, now);
        if let Verdict::Refuse(_) = verdict {
            self.refused += 1;
            return None;
        }
        *self.open.entry(address).or_default() += 1;
        Some(Known { peer, judged, address })
    }

    /// A message has come, in pieces.
    pub(crate) fn message(&mut self, random: &mut Random, known: &Known, mail: &Mail, now: Now) {
        let Known { peer, judged, address } = known;
        let is_bounce = mail.reverse_path.is_empty();
        let mut inspection = self.guard.mail(peer, is_bounce, now);
        let mut expected = self.judge.mail(judged, is_bounce, now);
        self.hold(*address, Some(judged), inspection.verdict(), expected.found, now);
        let mut rest = &mail.body[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.between(1, rest.len()));
            let verdict = self.guard.body(peer, &mut inspection, piece, now);
            self.judge.body(judged, &mut expected, piece, now);
            self.hold_message(known, verdict, &expected, now);
            rest = after;
        }
        let verdict = self.guard.finished(peer, inspection, now);
        self.judge.finished(judged, &mut expected, now);
        self.hold_message(known, verdict, &expected, now);
    }

    pub(crate) fn offended(&mut self, known: &Known, offence: Offence, now: Now) {
        let verdict = self.guard.offended(&known.peer, offence, now);
        let expected = self.judge.offended(&known.judged, offence, now);
        self.hold(known.address, Some(&known.judged), verdict, expected, now);
    }

    pub(crate) fn disconnected(&mut self, known: Known) {
        *self.open.get_mut(&known.address).expect("it was let in") -= 1;
        self.guard.disconnected(known.peer);
        self.judge.disconnected(known.judged);
    }

    /// Others come and go, or stay for a while, from more addresses than its tables have places.
    pub(crate) fn pass_by(&mut self, random: &mut Random, now: Now) {
        for _ in 0..random.below(9) {
            let address = crate::world::source(random.below(60));
            let Some(known) = self.connected(address, now) else { continue };
            if random.percent(30) {
                self.offended(&known, Offence::EarlyTalk, now);
            }
            self.passers_by.push(known);
        }
        let stay = random.below(40);
        while self.passers_by.len() > stay {
            let at = random.below(self.passers_by.len());
            let known = self.passers_by.swap_remove(at);
            self.disconnected(known);
        }
    }

    /// What is found in bodies is not foretold, but that there were enough of them.
    fn hold_message(
        &mut self,
        known: &Known,
        verdict: Verdict,
        expected: &judge::Inspection,
        now: Now,
    ) {
        match verdict.finding() {
            Some(Finding { rule: Rule::Bodies, action, .. }) => {
                assert!(self.judge.may_be_a_campaign(now), "much the same as what?");
                let before = expected.found.map(|finding| finding.action);
                assert!(
                    before.is_none_or(|before| before < action),
                    "{expected:?}, not {action:?}"
                );
            }
            _ => self.hold(known.address, Some(&known.judged), verdict, expected.found, now),
        }
    }

    /// What it says is what the rules say, and `explain` says it too.
    fn hold(
        &mut self,
        address: IpAddr,
        judged: Option<&judge::Peer>,
        verdict: Verdict,
        expected: Option<Finding>,
        now: Now,
    ) {
        let found = verdict.finding();
        assert_eq!(found, expected, "{address} at {} ms", now.monotonic_ms);
        assert_eq!(verdict, expected.map_or(Verdict::Allow, Verdict::from));
        let Some(finding) = found else { return };
        assert!(self.rules.of(finding.rule).is_some(), "a rule that is on");
        let explanation = self.guard.explain(address, now);
        // One of a crowd cannot any more, once there is room for a standing of its own.
        let is_known = judged.map_or_else(|| self.judge.knows(address), judge::Peer::has_own_place);
        assert!(explanation.last.is_some() || !is_known, "who was found at fault can learn why");
        let latest_ms = now.monotonic_ms + GUARD_BAN_MS_MAX;
        assert!(finding.until_ms.is_none_or(|until_ms| until_ms <= latest_ms), "none is for ever");
    }

    /// Everybody has gone, and a day passes: then everybody is welcome, as often as at the start.
    pub(crate) fn check_end(&mut self, mut now: Now) {
        for known in std::mem::take(&mut self.passers_by) {
            self.disconnected(known);
        }
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

/// This address, if any.
pub(crate) fn networks(trusted: Option<IpAddr>) -> Networks {
    let network = trusted.map(|address| address.to_string().parse::<Network>());
    let networks: Vec<Network> = network.into_iter().map(|one| one.expect("an address")).collect();
    Networks::new(&networks).expect("a few")
}

/// What the judge searches subjects for.
pub(crate) fn words() -> Words {
    Words::parse(&WORDS.join("\n")).expect("words")
}
