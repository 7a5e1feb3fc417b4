//! Messages, judged while they come in: whose they are, then the subject, then the text. Not here:
//! connections, or what becomes of a message that was judged.
//!
//! ```text
//! mail()      ban, bounces          at MAIL
//! body()      messages              at the first bytes
//!             words, subjects       when the Subject field is over
//!             bodies                after the first 4 KiB behind the header section
//! finished()  what is still to be   at the end
//! ```
//!
//! Whatever the cuts between the calls of `body`, the same is found.

use super::fingerprint::{Features, Fingerprint};
use super::header_watch::{Event, HeaderWatch};
use super::repeats::{Ban, Seen};
use super::rule::{Rule, Setting};
use super::source::Source;
use super::sources::Place;
use super::subject::SubjectText;
use super::verdict::{Finding, Verdict, harsher};
use super::{Guard, Peer};
use crate::clock::Now;
use crate::limits::{GUARD_BODY_FEATURES, GUARD_BODY_FEATURES_BANNED};

/// How far the guard is with a message. A session keeps it from MAIL to the end of the message.
#[derive(Clone, Copy, Debug)]
pub struct Inspection {
    verdict: Verdict,
    counted: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Headers(HeaderWatch),
    Body(Fingerprint),
    /// Nothing more is looked at.
    Over,
}

impl Inspection {
    /// What has been found up to now.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    fn add(&mut self, finding: Option<Finding>) {
        let worst = harsher(self.verdict.finding(), finding);
        self.verdict = worst.map_or(Verdict::Allow, Verdict::from);
        if self.verdict.is_settled() {
            self.stage = Stage::Over;
        }
    }
}

impl Guard {
    /// A message begins, at MAIL. Its reverse-path is null (RFC 5321 section 4.5.5) if it is a
    /// bounce.
    ///
    /// Only [`Inspection::verdict`] tells what is to be done with it; [`Verdict::Refuse`] can be
    /// said at once.
    #[must_use]
    pub fn mail(&mut self, peer: &Peer, reverse_path_is_null: bool, now: Now) -> Inspection {
        let mut inspection =
            Inspection { verdict: Verdict::Allow, counted: false, stage: self.first_stage() };
        if peer.place == Place::Nowhere {
            inspection.counted = true;
            inspection.stage = Stage::Over;
            return inspection;
        }
        let ban = self.sources.ban(peer.source, peer.place, &self.rules, now.monotonic_ms);
        let bounce = if reverse_path_is_null { self.once(Rule::Bounces) } else { None };
        self.add(peer, &mut inspection, harsher(ban, bounce), now);
        inspection
    }

    /// More bytes of the message, dots already taken out. The first call counts the message.
    pub fn body(
        &mut self,
        peer: &Peer,
        inspection: &mut Inspection,
        bytes: &[u8],
        now: Now,
    ) -> Verdict {
        self.count(peer, inspection, now);
        let mut rest = bytes;
        loop {
            match &mut inspection.stage {
                Stage::Headers(watch) => match watch.next(&mut rest) {
                    None => break,
                    Some(Event::Subject) => {
                        let finding = self.judge_subject(watch.subject(), peer.source, now);
                        self.add(peer, inspection, finding, now);
                    }
                    Some(Event::Over) if self.rules.of(Rule::Bodies).is_some() => {
                        inspection.stage = Stage::Body(Fingerprint::new(self.body_key));
                    }
                    Some(Event::Over) => inspection.stage = Stage::Over,
                },
                Stage::Body(fingerprint) => {
                    fingerprint.read(rest);
                    if fingerprint.is_full() {
                        self.end_body(peer, inspection, now);
                    }
                    break;
                }
                Stage::Over => break,
            }
        }
        inspection.verdict
    }

    /// The message is whole: what is to be done with it.
    pub fn finished(&mut self, peer: &Peer, mut inspection: Inspection, now: Now) -> Verdict {
        self.count(peer, &mut inspection, now);
        if let Stage::Headers(watch) = &mut inspection.stage
            && watch.end().is_some()
        {
            let finding = self.judge_subject(watch.subject(), peer.source, now);
            self.add(peer, &mut inspection, finding, now);
        }
        self.end_body(peer, &mut inspection, now);
        inspection.verdict
    }

    fn first_stage(&self) -> Stage {
        let words = self.rules.of(Rule::Words).is_some() && !self.words.is_empty();
        let on = |rule| self.rules.of(rule).is_some();
        match words || on(Rule::Subjects) || on(Rule::Bodies) {
            true => Stage::Headers(HeaderWatch::new()),
            false => Stage::Over,
        }
    }

    /// Counts the message, once. One that was refused at MAIL is none.
    fn count(&mut self, peer: &Peer, inspection: &mut Inspection, now: Now) {
        if inspection.counted || matches!(inspection.verdict, Verdict::Refuse(_)) {
            return;
        }
        inspection.counted = true;
        let who = (peer.source, peer.place);
        let found = self.sources.charge(who, Rule::Messages, 1, &self.rules, now.monotonic_ms);
        self.add(peer, inspection, found, now);
    }

    fn end_body(&mut self, peer: &Peer, inspection: &mut Inspection, now: Now) {
        if let Stage::Body(fingerprint) = inspection.stage {
            inspection.stage = Stage::Over;
            if let Some(features) = fingerprint.features() {
                let finding = self.judge_features(&features, peer.source, now);
                self.add(peer, inspection, finding, now);
            }
        }
    }

    fn add(&mut self, peer: &Peer, inspection: &mut Inspection, new: Option<Finding>, now: Now) {
        // A ban that was found at MAIL is found again when the message is counted.
        let same =
            |new: &Finding| inspection.verdict.finding().is_some_and(|old| old.rule == new.rule);
        if let Some(new) = new.filter(|new| !same(new)) {
            self.found(peer, &new, now);
            inspection.add(Some(new));
        }
    }

    /// What a rule that does not count finds.
    fn once(&self, rule: Rule) -> Option<Finding> {
        let action = self.rules.of(rule)?.action;
        Some(Finding { rule, action, count: 1, limit: 0, until_ms: None })
    }

    fn judge_subject(
        &mut self,
        subject: &SubjectText,
        source: Source,
        now: Now,
    ) -> Option<Finding> {
        let unwanted = self.words.found_in(subject.as_bytes());
        let words = if unwanted { self.once(Rule::Words) } else { None };
        let repeated = self.rules.of(Rule::Subjects).and_then(|setting| {
            let folded = subject.folded();
            // Mail without a subject has nothing else in common.
            if folded.as_bytes().is_empty() {
                return None;
            }
            let now_ms = now.monotonic_ms;
            let ban = match self.subjects.seen(folded.as_bytes(), source, &setting, now_ms) {
                Seen::Counted(_) => return None,
                Seen::NoPlace => {
                    self.figures.repeats_uncounted += 1;
                    return None;
                }
                Seen::Banned(ban) => {
                    self.figures.bans[Rule::Subjects as usize] += 1;
                    self.banned_subjects.add(subject.as_bytes(), &ban, now_ms);
                    ban
                }
                Seen::StillBanned(ban) => {
                    self.banned_subjects.came_again(&ban);
                    ban
                }
            };
            Some(repeated(Rule::Subjects, &setting, ban.times, ban.until_ms))
        });
        harsher(words, repeated)
    }

    /// A text is banned as long as enough of its features are.
    fn judge_features(&mut self, features: &Features, source: Source, now: Now) -> Option<Finding> {
        let setting = self.rules.of(Rule::Bodies)?;
        let mut bans: [Option<Ban>; GUARD_BODY_FEATURES] = [None; GUARD_BODY_FEATURES];
        let mut banned_before = 0;
        for (ban, feature) in bans.iter_mut().zip(features) {
            let Some(feature) = feature else { continue };
            match self.bodies.seen(feature, source, &setting, now.monotonic_ms) {
                Seen::Counted(_) => {}
                Seen::NoPlace => self.figures.repeats_uncounted += 1,
                Seen::Banned(new) => *ban = Some(new),
                Seen::StillBanned(old) => {
                    banned_before += 1;
                    *ban = Some(old);
                }
            }
        }
        // The longest first: the ban is over when too few are left.
        bans.sort_unstable_by_key(|ban| std::cmp::Reverse(ban.map(|ban| ban.until_ms)));
        let last = bans[GUARD_BODY_FEATURES_BANNED - 1]?;
        let is_new = banned_before < GUARD_BODY_FEATURES_BANNED;
        self.figures.bans[Rule::Bodies as usize] += u64::from(is_new);
        Some(repeated(Rule::Bodies, &setting, last.times, last.until_ms))
    }
}

fn repeated(rule: Rule, setting: &Setting, count: u32, until_ms: u64) -> Finding {
    let &Setting { action, count_max: limit, .. } = setting;
    Finding { rule, action, count, limit, until_ms: Some(until_ms) }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::{Networks, Rules, Words};
    use super::*;

    /// The features with these eight numbers.
    fn features(first: usize) -> Features {
        std::array::from_fn(|index| Some([(first + index) as u8; 8]))
    }

    #[test]
    fn law_a_text_is_found_if_enough_of_its_features_are_banned() {
        let mut rules = Rules::off();
        let bodies = Rules::default().of(Rule::Bodies).unwrap();
        rules.set(Rule::Bodies, Some(Setting { count_max: 3, ..bodies })).unwrap();
        let mut guard = Guard::new(rules, Networks::loopback(), Words::default(), 7);
        let now = Now { monotonic_ms: 0, unix_ms: 0 };
        let mut judge = |features: &Features, network: u8| {
            let source = Source::from(IpAddr::from([198, 51, network, 1]));
            guard.judge_features(features, source, now)
        };
        // From so many networks that each of the eight is banned.
        let banned = (0..100).filter_map(|network| judge(&features(0), network)).last().unwrap();
        assert_eq!((banned.rule, banned.limit), (Rule::Bodies, 3));
        for shared in 0..=GUARD_BODY_FEATURES {
            let found = judge(&features(GUARD_BODY_FEATURES - shared), 1).is_some();
            assert_eq!(found, shared >= GUARD_BODY_FEATURES_BANNED, "{shared} in common");
        }
    }
}
