//! What is known of each source: its connections, messages and offences of late, and whether it is
//! banned. Not here: what messages say (`repeats`, `words`).
//!
//! Two tables of the same size, so that IPv6, where anybody has millions of sources for nothing,
//! leaves IPv4 its own:
//!
//! ```text
//! ipv4   table of standings    crowd [ one more standing for each set ]
//! ipv6   table of standings    crowd [ one more standing for each set ]
//! ```
//!
//! A standing that is banned, or has connections open, stays in its place whatever comes, so no ban
//! is lifted before its end, by nobody. Where all of a set are such, its newcomers are the set's
//! crowd: they share one standing, are allowed [`GUARD_CROWD_FACTOR`] times as much together, and
//! are never banned, since that would be for what others did. So whoever fills the table with
//! banned sources of his own (16,384 of a family, each of which had to earn it) makes newcomers of
//! that family share, and neither keeps them out nor gets past the rules.

use super::offence::Offence;
use super::rule::{Action, Rule, Rules};
use super::source::Source;
use super::table::{Key, Table, Worth};
use super::verdict::{Finding, harsher};
use super::window::Window;
use crate::limits::{GUARD_COUNT_MAX, GUARD_CROWD_FACTOR};

#[derive(Debug)]
pub(super) struct Sources {
    families: [Family; 2],
    /// Bans since start, by rule.
    bans: [u64; Rule::ALL.len()],
}

#[derive(Debug)]
struct Family {
    standings: Table<Standing>,
    /// By set.
    crowds: Vec<Standing>,
}

/// Where a connection is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: it is trusted, or was refused.
    Nowhere,
    /// In its source's standing, which stays as long as the connection is open.
    Own,
    /// In the standing of its set's crowd.
    Crowd,
}

/// What a connection is for. Both kinds are counted, each for itself, so that neither takes the
/// other's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Mail,
    Reading,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    connections: Window,
    messages: Window,
    offences: Window,
    /// Open connections, by [`Purpose`].
    open: [u32; 2],
    seen_ms: u64,
    /// Until when it is banned for its offences, whichever ban is the one that stands.
    offences_until_ms: u64,
    ban: Option<Mark>,
    /// The last time that something was found.
    last: Option<Mark>,
}

/// A finding, for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    rule: Rule,
    count: u32,
    limit: u32,
    since_ms: u64,
    /// 0 if it was about one connection or message only.
    until_ms: u64,
}

/// What is known of a source, or of the crowd that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) crowd: bool,
    pub(super) ban: Option<Finding>,
    /// What was found last, and when.
    pub(super) last: Option<(Finding, u64)>,
    /// What is used up now.
    pub(super) used: [(Rule, u32); 4],
}

const NOBODY: Standing = Standing {
    connections: Window::EMPTY,
    messages: Window::EMPTY,
    offences: Window::EMPTY,
    open: [0; 2],
    seen_ms: 0,
    offences_until_ms: 0,
    ban: None,
    last: None,
};

/// A standing of its own is allowed what is set.
const OWN_FACTOR: u32 = 1;

impl Sources {
    pub(super) const fn memory_bytes(sets: usize) -> usize {
        2 * (Table::<Standing>::memory_bytes(sets) + sets * size_of::<Standing>())
    }

    pub(super) fn new(sets: usize, seed: u128) -> Self {
        let family = |which: u128| Family {
            standings: Table::new(sets, NOBODY, seed ^ which),
            crowds: vec![NOBODY; sets],
        };
        Self { families: [family(0), family(1)], bans: [0; Rule::ALL.len()] }
    }

    /// A connection begins. Counted where it says, until [`disconnected`](Self::disconnected).
    pub(super) fn connected(
        &mut self,
        source: Source,
        purpose: Purpose,
        rules: &Rules,
        now_ms: u64,
    ) -> (Place, Option<Finding>) {
        let (place, standing) = self.newcomer(source, rules, now_ms);
        let before = standing.ban;
        let finding = match purpose {
            Purpose::Mail => standing.connected(rules, factor(place), now_ms),
            Purpose::Reading => standing.at_once(purpose, rules, factor(place)),
        };
        let banned = standing.ban.filter(|ban| ban.is_new(before));
        let refused = finding.is_some_and(|finding| finding.action == Action::Reject);
        standing.open[purpose as usize] += u32::from(!refused);
        self.count_ban(banned);
        (if refused { Place::Nowhere } else { place }, finding)
    }

    /// Bans of sources since start.
    pub(super) fn bans(&self, rule: Rule) -> u64 {
        self.bans[rule as usize]
    }

    /// Bans of sources that stand now, by rule.
    pub(super) fn standing_bans(&self, now_ms: u64) -> [u64; Rule::ALL.len()] {
        let mut bans = [0; Rule::ALL.len()];
        for standing in self.families.iter().flat_map(|family| family.standings.entries()) {
            if let Some(ban) = standing.ban.filter(|ban| ban.until_ms > now_ms) {
                bans[ban.rule as usize] += 1;
            }
        }
        bans
    }

    pub(super) fn disconnected(&mut self, source: Source, place: Place, purpose: Purpose) {
        if let Some(standing) = self.standing_mut(source, place) {
            let open = &mut standing.open[purpose as usize];
            *open = open.saturating_sub(1);
        }
    }

    /// Until when no secret of the source's is to be looked at.
    pub(super) fn secrets_wait_until_ms(
        &self,
        (source, place): (Source, Place),
        rules: &Rules,
        now_ms: u64,
    ) -> Option<u64> {
        self.standing(source, place)?.secrets_wait_until_ms(place, rules, now_ms)
    }

    /// Something happened that [`Rule::Messages`] or [`Rule::Offences`] counts.
    pub(super) fn charge(
        &mut self,
        (source, place): (Source, Place),
        rule: Rule,
        times: u16,
        rules: &Rules,
        now_ms: u64,
    ) -> Option<Finding> {
        let standing = self.standing_mut(source, place)?;
        let before = standing.ban;
        let finding = standing.charge(rule, times, rules, factor(place), now_ms);
        let banned = standing.ban.filter(|ban| ban.is_new(before));
        self.count_ban(banned);
        finding
    }

    /// What the source is banned for.
    pub(super) fn ban(
        &self,
        source: Source,
        place: Place,
        rules: &Rules,
        now_ms: u64,
    ) -> Option<Finding> {
        self.standing(source, place)?.ban(rules, now_ms)
    }

    /// Remembers what was found, for who asks.
    pub(super) fn note(&mut self, source: Source, place: Place, finding: &Finding, now_ms: u64) {
        let noted = match place {
            // Who was refused at the door has a standing too, or is of the crowd.
            Place::Nowhere if self.standing(source, Place::Own).is_none() => Place::Crowd,
            Place::Nowhere => Place::Own,
            place => place,
        };
        if let Some(standing) = self.standing_mut(source, noted) {
            standing.last = Some(Mark::of(finding, now_ms));
        }
    }

    pub(super) fn account(&self, source: Source, rules: &Rules, now_ms: u64) -> Option<Account> {
        let (family, key) = self.family(source);
        let own = family.standings.find(key);
        let crowd = &family.crowds[family.standings.set(key)];
        let crowded = || !family.standings.has_place(key, |known| known.worth(rules, now_ms));
        let standing = own.or_else(|| crowded().then_some(crowd))?;
        Some(standing.account(own.is_none(), rules, now_ms))
    }

    fn count_ban(&mut self, ban: Option<Mark>) {
        if let Some(ban) = ban {
            self.bans[ban.rule as usize] += 1;
        }
    }

    fn newcomer(&mut self, source: Source, rules: &Rules, now_ms: u64) -> (Place, &mut Standing) {
        let (family, key) = self.family_mut(source);
        let set = family.standings.set(key);
        let (place, standing) =
            match family.standings.place(key, |known| known.worth(rules, now_ms)) {
                Some(standing) => (Place::Own, standing),
                None => (Place::Crowd, &mut family.crowds[set]),
            };
        standing.seen_ms = now_ms;
        (place, standing)
    }

    fn standing(&self, source: Source, place: Place) -> Option<&Standing> {
        let (family, key) = self.family(source);
        match place {
            Place::Nowhere => None,
            Place::Own => family.standings.find(key),
            Place::Crowd => family.crowds.get(family.standings.set(key)),
        }
    }

    fn standing_mut(&mut self, source: Source, place: Place) -> Option<&mut Standing> {
        let (family, key) = self.family_mut(source);
        match place {
            Place::Nowhere => None,
            Place::Own => family.standings.find_mut(key),
            Place::Crowd => {
                let set = family.standings.set(key);
                family.crowds.get_mut(set)
            }
        }
    }

    fn family(&self, source: Source) -> (&Family, Key) {
        let family = &self.families[usize::from(matches!(source, Source::Ipv6(_)))];
        (family, family.standings.key(&source.bytes()))
    }

    fn family_mut(&mut self, source: Source) -> (&mut Family, Key) {
        let family = &mut self.families[usize::from(matches!(source, Source::Ipv6(_)))];
        let key = family.standings.key(&source.bytes());
        (family, key)
    }
}

impl Mark {
    fn of(finding: &Finding, now_ms: u64) -> Self {
        let &Finding { rule, count, limit, until_ms, .. } = finding;
        Self { rule, count, limit, since_ms: now_ms, until_ms: until_ms.unwrap_or(0) }
    }

    /// Whether it is another than this one, not the same with another end.
    fn is_new(&self, before: Option<Self>) -> bool {
        before.is_none_or(|before| (before.rule, before.since_ms) != (self.rule, self.since_ms))
    }

    /// With what is set to be done now; `None` if the rule is off.
    fn finding(self, rules: &Rules) -> Option<Finding> {
        let Self { rule, count, limit, until_ms, .. } = self;
        let until_ms = (until_ms > 0).then_some(until_ms);
        Some(Finding { rule, action: rules.of(rule)?.action, count, limit, until_ms })
    }
}

fn factor(place: Place) -> u32 {
    if place == Place::Crowd { GUARD_CROWD_FACTOR } else { OWN_FACTOR }
}

/// What is allowed to a source, or to a crowd, where so much is set.
pub(super) fn limit_of(count_max: u32, crowd: bool) -> u32 {
    limit(count_max, if crowd { GUARD_CROWD_FACTOR } else { OWN_FACTOR })
}

fn limit(count_max: u32, factor: u32) -> u32 {
    count_max.saturating_mul(factor).min(GUARD_COUNT_MAX)
}

impl Standing {
    fn connected(&mut self, rules: &Rules, factor: u32, now_ms: u64) -> Option<Finding> {
        let at_once = self.at_once(Purpose::Mail, rules, factor);
        let found = harsher(self.ban(rules, now_ms), at_once);
        // What is turned away anyway is no connection.
        if found.is_some_and(|finding| finding.action == Action::Reject) {
            return found;
        }
        harsher(found, self.charge(Rule::Connections, 1, rules, factor, now_ms))
    }

    /// Whether one more would be too many at once.
    fn at_once(&self, purpose: Purpose, rules: &Rules, factor: u32) -> Option<Finding> {
        let setting = rules.of(Rule::ConnectionsAtOnce)?;
        let (open, limit) = (self.open[purpose as usize], limit(setting.count_max, factor));
        (open >= limit).then_some(Finding {
            rule: Rule::ConnectionsAtOnce,
            action: setting.action,
            count: open + 1,
            limit,
            until_ms: None,
        })
    }

    /// Counts, unless that would be too much: then it is a finding, and nothing is added, so that
    /// trying again does not make it last longer.
    fn charge(
        &mut self,
        rule: Rule,
        times: u16,
        rules: &Rules,
        factor: u32,
        now_ms: u64,
    ) -> Option<Finding> {
        let ban = self.ban(rules, now_ms);
        let Some(setting) = rules.of(rule) else { return ban };
        if ban.is_some_and(|ban| ban.rule == rule) {
            return ban;
        }
        let (window_ms, limit) = (setting.window_ms, limit(setting.count_max, factor));
        let window = self.window_mut(rule);
        let count = window.count(window_ms, now_ms) + u32::from(times);
        if count <= limit {
            window.add(window_ms, now_ms, times);
            return ban;
        }
        let banned = setting.ban_ms > 0 && factor == OWN_FACTOR;
        let until_ms = if banned {
            // What led to the ban does not count again after it.
            *window = Window::EMPTY;
            now_ms.saturating_add(setting.ban_ms)
        } else {
            window.falls_to_ms(limit.saturating_sub(times.into()), window_ms, now_ms)
        };
        let until_ms = Some(until_ms);
        let finding = Finding { rule, action: setting.action, count, limit, until_ms };
        if banned {
            if rule == Rule::Offences {
                self.offences_until_ms = now_ms.saturating_add(setting.ban_ms);
            }
            self.set_ban(ban, &finding, now_ms);
            return self.ban(rules, now_ms);
        }
        harsher(ban, Some(finding))
    }

    /// Of two bans the harsher stands, until the later end of the two: a source must not be able to
    /// end a ban by earning another.
    fn set_ban(&mut self, standing: Option<Finding>, new: &Finding, now_ms: u64) {
        let until_ms = new.until_ms.max(standing.and_then(|old| old.until_ms));
        let yields = standing.is_none_or(|old| {
            new.action > old.action || new.action == old.action && new.until_ms > old.until_ms
        });
        if yields {
            self.ban = Some(Mark::of(&Finding { until_ms, ..*new }, now_ms));
        } else if let Some(ban) = &mut self.ban {
            ban.until_ms = until_ms.unwrap_or(ban.until_ms);
        }
    }

    /// A crowd, which is never banned, waits until there is room for one more wrong secret.
    fn secrets_wait_until_ms(&self, place: Place, rules: &Rules, now_ms: u64) -> Option<u64> {
        let setting = rules.of(Rule::Offences)?;
        let until_ms = match place {
            Place::Crowd => {
                let room = limit(setting.count_max, factor(place))
                    .saturating_sub(Offence::WrongSecret.weight().into());
                self.offences.falls_to_ms(room, setting.window_ms, now_ms)
            }
            _ => self.offences_until_ms,
        };
        (until_ms > now_ms).then_some(until_ms)
    }

    fn ban(&self, rules: &Rules, now_ms: u64) -> Option<Finding> {
        self.ban.filter(|ban| ban.until_ms > now_ms)?.finding(rules)
    }

    fn worth(&self, rules: &Rules, now_ms: u64) -> Worth {
        let is_banned = self.ban.is_some_and(|ban| ban.until_ms > now_ms);
        if self.open != [0; 2] || is_banned {
            return Worth::Kept;
        }
        let count = [Rule::Connections, Rule::Messages, Rule::Offences]
            .map(|rule| self.used(rule, rules, now_ms))
            .iter()
            .sum();
        Worth::Counted { count, seen_ms: self.seen_ms }
    }

    fn account(&self, crowd: bool, rules: &Rules, now_ms: u64) -> Account {
        let last = self.last.and_then(|mark| Some((mark.finding(rules)?, mark.since_ms)));
        let used = [Rule::ConnectionsAtOnce, Rule::Connections, Rule::Messages, Rule::Offences]
            .map(|rule| (rule, self.used(rule, rules, now_ms)));
        Account { crowd, ban: self.ban(rules, now_ms), last, used }
    }

    fn used(&self, rule: Rule, rules: &Rules, now_ms: u64) -> u32 {
        let window = match rule {
            // Those that there are more of, since what is allowed holds for each kind.
            Rule::ConnectionsAtOnce => return self.open[0].max(self.open[1]),
            Rule::Connections => &self.connections,
            Rule::Messages => &self.messages,
            _ => &self.offences,
        };
        rules.of(rule).map_or(0, |setting| window.count(setting.window_ms, now_ms))
    }

    fn window_mut(&mut self, rule: Rule) -> &mut Window {
        match rule {
            Rule::Connections => &mut self.connections,
            Rule::Messages => &mut self.messages,
            _ => &mut self.offences,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::guard::rule::Setting;

    const MINUTE: u64 = 60_000;

    fn ipv4(number: u32) -> Source {
        Source::from(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    fn ipv6(number: u64) -> Source {
        Source::from(IpAddr::V6(Ipv6Addr::from_bits(u128::from(number) << 64)))
    }

    fn only(rule: Rule, setting: Setting) -> Rules {
        let mut rules = Rules::off();
        rules.set(rule, Some(setting)).unwrap();
        rules
    }

    fn setting(count_max: u32, window_ms: u64, ban_ms: u64) -> Setting {
        Setting { action: Action::Reject, count_max, window_ms, ban_ms }
    }

    /// A source connects, sends so many messages, and goes.
    fn send(sources: &mut Sources, source: Source, messages: u32, rules: &Rules, now: u64) -> bool {
        let (place, found) = sources.connected(source, Purpose::Mail, rules, now);
        let mut refused = found.is_some();
        for _ in 0..messages {
            let charged = sources.charge((source, place), Rule::Messages, 1, rules, now);
            refused |= charged.is_some();
        }
        sources.disconnected(source, place, Purpose::Mail);
        refused
    }

    proptest! {
        #[test]
        fn connections_at_once_are_counted_exactly_and_mail_apart_from_reading(
            seed in any::<u128>(), limit in 1_u32..5,
            steps in prop::collection::vec((0_u32..40, any::<bool>(), any::<bool>()), 1..300),
        ) {
            let rules = only(Rule::ConnectionsAtOnce, setting(limit, 0, 0));
            let mut sources = Sources::new(1, seed);
            let mut open: Vec<(u32, Place, Purpose)> = Vec::new();
            for (number, reads, opens) in steps {
                let purpose = if reads { Purpose::Reading } else { Purpose::Mail };
                if opens {
                    let (place, found) = sources.connected(ipv4(number), purpose, &rules, 0);
                    let in_crowd = |(_, at, of): &&(u32, Place, Purpose)| {
                        *at == Place::Crowd && *of == purpose
                    };
                    let alone = |(other, at, of): &&(u32, Place, Purpose)| {
                        *other == number && *at == Place::Own && *of == purpose
                    };
                    match found {
                        None => {
                            let before = match place {
                                Place::Crowd => open.iter().filter(in_crowd).count(),
                                _ => open.iter().filter(alone).count(),
                            };
                            let most = limit * factor(place);
                            prop_assert!(place != Place::Nowhere && (before as u32) < most);
                            open.push((number, place, purpose));
                        }
                        Some(found) => {
                            prop_assert_eq!(place, Place::Nowhere);
                            prop_assert_eq!(found.count, found.limit + 1);
                            let before = match found.limit == limit {
                                true => open.iter().filter(alone).count(),
                                false => open.iter().filter(in_crowd).count(),
                            };
                            prop_assert_eq!(before as u32, found.limit);
                        }
                    }
                } else if let Some(at) = open.iter().position(|(other, _, of)| {
                    *other == number && *of == purpose
                }) {
                    let (number, place, purpose) = open.remove(at);
                    sources.disconnected(ipv4(number), place, purpose);
                }
            }
            for (number, place, purpose) in open {
                sources.disconnected(ipv4(number), place, purpose);
            }
            let family = &sources.families[0];
            let mut all = family.standings.entries().chain(&family.crowds);
            prop_assert!(all.all(|one| one.open == [0; 2]));
        }

        #[test]
        fn more_than_the_limit_in_a_window_is_always_found_and_no_more_than_it_in_a_span_never(
            seed in any::<u128>(), limit in 1_u32..20,
            steps in prop::collection::vec(0_u64..30_000, 1..200),
        ) {
            let rules = only(Rule::Messages, setting(limit, 2 * MINUTE, 0));
            let mut sources = Sources::new(1, seed);
            let (place, _) = sources.connected(ipv4(1), Purpose::Mail, &rules, 0);
            let mut taken: Vec<u64> = Vec::new();
            let mut now = 0;
            for step in steps {
                now += step;
                let lately = |within| taken.iter().filter(|at| **at + within > now).count() as u32;
                let found = sources.charge((ipv4(1), place), Rule::Messages, 1, &rules, now);
                match found {
                    None => {
                        prop_assert!(lately(2 * MINUTE) < limit);
                        taken.push(now);
                    }
                    Some(found) => {
                        prop_assert!(lately(Window::span_ms(2 * MINUTE)) >= limit);
                        let until = found.until_ms.unwrap();
                        prop_assert!(until > now && until <= now + Window::span_ms(2 * MINUTE));
                    }
                }
            }
        }

        #[test]
        fn a_ban_lasts_as_long_as_is_set_whatever_is_tried_meanwhile(
            seed in any::<u128>(), start in 0_u64..1 << 40,
            tries in prop::collection::vec(0_u64..10 * MINUTE, 0..50),
        ) {
            let rules = Rules::default();
            let mut sources = Sources::new(1, seed);
            prop_assert!(!send(&mut sources, ipv4(1), 20, &rules, start));
            prop_assert!(send(&mut sources, ipv4(1), 1, &rules, start));
            for after in tries {
                prop_assert!(send(&mut sources, ipv4(1), 1, &rules, start + after));
            }
            prop_assert!(!send(&mut sources, ipv4(1), 20, &rules, start + 10 * MINUTE));
            prop_assert_eq!(sources.bans(Rule::Messages), 1);
        }
    }

    #[test]
    fn a_million_sources_lift_no_ban_and_take_no_memory() {
        let rules = Rules::default();
        let mut sources = Sources::new(64, 9);
        assert!(send(&mut sources, ipv6(0), 21, &rules, 0));
        assert!(send(&mut sources, ipv4(0), 21, &rules, 0));
        let (place, _) = sources.connected(ipv6(1), Purpose::Mail, &rules, 0);
        let rooms = |sources: &Sources| {
            sources
                .families
                .each_ref()
                .map(|family| (family.standings.entries().count() <= 64 * 16, family.crowds.len()))
        };
        for number in 2..1_000_000 {
            sources.connected(ipv6(number), Purpose::Mail, &rules, 1 + number / 100_000);
            // Those that stay take up room for good: a table full of them is the worst there is.
            if number % 100 != 0 {
                sources.disconnected(ipv6(number), Place::Own, Purpose::Mail);
            }
        }
        assert_eq!(rooms(&sources), [(true, 64); 2]);
        assert!(send(&mut sources, ipv6(0), 1, &rules, MINUTE), "a ban stands");
        assert!(send(&mut sources, ipv4(0), 1, &rules, MINUTE), "a ban stands");
        let ban = sources.ban(ipv6(0), Place::Own, &rules, MINUTE).unwrap();
        assert_eq!(ban.until_ms, Some(10 * MINUTE));
        assert!(!send(&mut sources, ipv4(1), 20, &rules, MINUTE), "IPv4 has room of its own");
        let (_, found) = sources.connected(ipv6(1), Purpose::Mail, &rules, MINUTE);
        assert!(found.is_none() && place == Place::Own);
        let one = sources.account(ipv6(1), &rules, MINUTE).unwrap();
        assert_eq!(one.used[0], (Rule::ConnectionsAtOnce, 2), "who is connected is known");
    }

    #[test]
    fn a_flood_of_newcomers_makes_nobodys_count_forgotten() {
        let rules = Rules::default();
        let mut sources = Sources::new(4, 9);
        assert!(!send(&mut sources, ipv4(0), 19, &rules, 0));
        for number in 1..100_000 {
            send(&mut sources, ipv4(number), 1, &rules, 1000);
        }
        assert!(!send(&mut sources, ipv4(0), 1, &rules, 2000));
        assert!(send(&mut sources, ipv4(0), 1, &rules, 2000), "the 21st");
    }

    #[test]
    fn a_crowd_shares_what_it_may_and_is_never_banned() {
        let rules = Rules::default();
        let mut sources = Sources::new(1, 9);
        for number in 0..16 {
            assert!(send(&mut sources, ipv4(number), 21, &rules, 0));
        }
        let limit = 20 * GUARD_CROWD_FACTOR;
        for number in 0..limit {
            assert!(
                !send(&mut sources, ipv4(1000 + number), 1, &rules, u64::from(number)),
                "{number}"
            );
        }
        assert!(send(&mut sources, ipv4(5000), 1, &rules, 1000));
        let account = sources.account(ipv4(5000), &rules, 1000).unwrap();
        assert!(account.crowd && account.ban.is_none());
        assert_eq!(account.used[2], (Rule::Messages, limit));
        let finding = Finding {
            rule: Rule::Words,
            action: Action::Reject,
            count: 1,
            limit: 0,
            until_ms: None,
        };
        sources.note(ipv4(6000), Place::Nowhere, &finding, 1000);
        let last = sources.account(ipv4(6000), &rules, 1000).unwrap().last;
        assert_eq!(last, Some((finding, 1000)), "who was refused at the door is told");
        let after = 1000 + Window::span_ms(2 * MINUTE);
        assert!(!send(&mut sources, ipv4(5000), 1, &rules, after), "it is not a ban");
        for number in 0..16 {
            assert!(send(&mut sources, ipv4(number), 1, &rules, after), "a ban stands");
        }
        let room = 10 * MINUTE;
        assert_eq!(sources.connected(ipv4(5000), Purpose::Mail, &rules, room).0, Place::Own);
    }

    #[test]
    fn they_take_what_is_counted_for_them() {
        let sources = Sources::new(8, 9);
        let crowds = sources.families.iter().map(|family| size_of_val(&family.crowds[..]));
        let tables = 2 * Table::<Standing>::memory_bytes(8);
        assert_eq!(Sources::memory_bytes(8), tables + crowds.sum::<usize>());
    }

    #[test]
    fn no_limit_is_more_than_a_part_of_a_window_can_count() {
        assert_eq!(limit_of(20, true), 20 * GUARD_CROWD_FACTOR);
        assert_eq!(limit_of(GUARD_COUNT_MAX, true), GUARD_COUNT_MAX);
        assert_eq!(limit_of(20, false), 20);
    }

    #[test]
    fn what_is_turned_away_is_no_connection() {
        let rules = Rules::default();
        let mut sources = Sources::new(1, 9);
        for _ in 0..500 {
            sources.connected(ipv4(1), Purpose::Mail, &rules, 0);
        }
        let account = sources.account(ipv4(1), &rules, 0).unwrap();
        assert_eq!(account.used[..2], [(Rule::ConnectionsAtOnce, 50), (Rule::Connections, 50)]);
    }

    #[test]
    fn what_led_to_a_ban_does_not_count_again_after_it() {
        let rules = only(Rule::Messages, setting(5, 10 * MINUTE, MINUTE));
        let mut sources = Sources::new(1, 9);
        assert!(send(&mut sources, ipv4(1), 6, &rules, 0));
        assert!(send(&mut sources, ipv4(1), 1, &rules, MINUTE - 1));
        assert!(!send(&mut sources, ipv4(1), 5, &rules, MINUTE));
        assert!(send(&mut sources, ipv4(1), 1, &rules, MINUTE));
    }

    #[test]
    fn of_two_bans_the_harsher_stands_until_the_later_end() {
        let mut rules = Rules::default();
        let tarpit = Setting { action: Action::Tarpit, ..setting(2, MINUTE, 5 * MINUTE) };
        rules.set(Rule::Messages, Some(tarpit)).unwrap();
        rules.set(Rule::Offences, Some(setting(2, MINUTE, 2 * MINUTE))).unwrap();
        let mut sources = Sources::new(1, 9);
        let (place, _) = sources.connected(ipv4(1), Purpose::Mail, &rules, 0);
        let mut charge = |rule, times, now| {
            let found = sources.charge((ipv4(1), place), rule, times, &rules, now);
            found.map(|found| (found.rule, found.until_ms))
        };
        assert_eq!(charge(Rule::Messages, 3, 0), Some((Rule::Messages, Some(5 * MINUTE))));
        assert_eq!(charge(Rule::Offences, 1, 0), Some((Rule::Messages, Some(5 * MINUTE))));
        assert_eq!(charge(Rule::Offences, 2, 0), Some((Rule::Offences, Some(5 * MINUTE))));
        assert_eq!(charge(Rule::Messages, 9, 0), Some((Rule::Offences, Some(5 * MINUTE))));
        assert_eq!(charge(Rule::Messages, 1, 5 * MINUTE), None);
        // The other way round: the weaker comes later, and ends later.
        assert_eq!(
            charge(Rule::Offences, 3, 9 * MINUTE),
            Some((Rule::Offences, Some(11 * MINUTE)))
        );
        assert_eq!(
            charge(Rule::Messages, 3, 9 * MINUTE),
            Some((Rule::Offences, Some(14 * MINUTE)))
        );
        assert_eq!(charge(Rule::Messages, 1, 14 * MINUTE), None);
        assert_eq!((sources.bans(Rule::Messages), sources.bans(Rule::Offences)), (1, 2));
    }

    /// A wrong secret, unless none is looked at.
    fn guess(sources: &mut Sources, who: (Source, Place), rules: &Rules, now: u64) -> bool {
        if sources.secrets_wait_until_ms(who, rules, now).is_some() {
            return false;
        }
        let weight = Offence::WrongSecret.weight();
        sources.charge(who, Rule::Offences, weight, rules, now);
        true
    }

    #[test]
    fn who_guesses_gets_so_many_looks_in_a_window_and_none_while_it_is_banned() {
        let rules = only(Rule::Offences, setting(20, 10 * MINUTE, 10 * MINUTE));
        let mut sources = Sources::new(1, 9);
        let reads = Purpose::Reading;
        let (place, _) = sources.connected(ipv4(1), reads, &rules, 0);
        let looks = |sources: &mut Sources, now| {
            (0..100).filter(|_| guess(sources, (ipv4(1), place), &rules, now)).count()
        };
        assert_eq!(looks(&mut sources, 0), 5, "the fifth is one too many");
        assert_eq!(looks(&mut sources, 10 * MINUTE - 1), 0);
        assert_eq!(looks(&mut sources, 10 * MINUTE), 5);
        assert_eq!(sources.bans(Rule::Offences), 2);
        let (other, _) = sources.connected(ipv4(2), reads, &rules, 0);
        assert_eq!(sources.secrets_wait_until_ms((ipv4(2), other), &rules, MINUTE), None);
        assert_eq!(
            sources.secrets_wait_until_ms((ipv4(1), place), &Rules::off(), 10 * MINUTE),
            None
        );
    }

    /// Whoever is banned for longer for something else is not free to guess.
    #[test]
    fn no_other_ban_hides_the_one_for_offences() {
        for (action, ban_ms, hides) in [
            (Action::Reject, 60 * MINUTE, true),
            (Action::Tarpit, 60 * MINUTE, true),
            (Action::Reject, 5 * MINUTE, false),
            // Harsher, and over sooner.
            (Action::Tarpit, 5 * MINUTE, true),
        ] {
            let mut rules = only(Rule::Messages, setting(1, MINUTE, ban_ms));
            // What led to it is forgotten long before it ends.
            let offences = Setting { action, ..setting(20, MINUTE, 10 * MINUTE) };
            rules.set(Rule::Offences, Some(offences)).unwrap();
            let mut sources = Sources::new(1, 9);
            assert!(send(&mut sources, ipv4(1), 2, &rules, 0));
            let (place, found) = sources.connected(ipv4(1), Purpose::Reading, &rules, 0);
            assert!(found.is_none(), "it may read all the same");
            let who = (ipv4(1), place);
            assert_eq!(sources.secrets_wait_until_ms(who, &rules, 0), None, "and show a secret");
            let looks = (0..100).filter(|_| guess(&mut sources, who, &rules, 0)).count();
            assert_eq!(looks, 5, "{action:?}");
            let ban = sources.ban(ipv4(1), place, &rules, MINUTE).unwrap();
            assert_eq!(ban.rule == Rule::Messages, hides);
            // Also when its connection is over, and the place is wanted by others.
            sources.disconnected(ipv4(1), place, Purpose::Reading);
            for number in 2..1000 {
                let (place, _) =
                    sources.connected(ipv4(number), Purpose::Reading, &rules, 6 * MINUTE);
                sources.disconnected(ipv4(number), place, Purpose::Reading);
            }
            let (place, _) = sources.connected(ipv4(1), Purpose::Reading, &rules, 7 * MINUTE);
            let until_ms = sources.secrets_wait_until_ms((ipv4(1), place), &rules, 7 * MINUTE);
            assert_eq!(until_ms, Some(10 * MINUTE));
        }
    }

    #[test]
    fn a_crowd_guesses_no_more_than_it_may_together() {
        let rules = only(Rule::Offences, setting(20, 10 * MINUTE, 10 * MINUTE));
        let mut sources = Sources::new(1, 9);
        for number in 0..16 {
            sources.connected(ipv4(number), Purpose::Mail, &rules, 0);
        }
        let mut looks = 0;
        for number in 1000..2000 {
            let (place, _) = sources.connected(ipv4(number), Purpose::Reading, &rules, 0);
            assert_eq!(place, Place::Crowd);
            looks += u32::from(guess(&mut sources, (ipv4(number), place), &rules, 0));
        }
        assert_eq!(looks, 20 * GUARD_CROWD_FACTOR / 5);
        let who = (ipv4(1000), Place::Crowd);
        let until_ms = sources.secrets_wait_until_ms(who, &rules, 0).unwrap();
        assert!(until_ms > 10 * MINUTE && until_ms <= Window::span_ms(10 * MINUTE));
        assert!(guess(&mut sources, who, &rules, until_ms));
    }

    #[test]
    fn of_two_bans_that_are_as_harsh_the_longer_one_stands() {
        for (offences_ms, stands) in [
            (2 * MINUTE, Rule::Messages),
            (5 * MINUTE, Rule::Messages),
            (8 * MINUTE, Rule::Offences),
        ] {
            let mut rules = Rules::default();
            rules.set(Rule::Messages, Some(setting(2, MINUTE, 5 * MINUTE))).unwrap();
            rules.set(Rule::Offences, Some(setting(2, MINUTE, offences_ms))).unwrap();
            let mut sources = Sources::new(1, 9);
            let (place, _) = sources.connected(ipv4(1), Purpose::Mail, &rules, 0);
            for rule in [Rule::Messages, Rule::Offences] {
                sources.charge((ipv4(1), place), rule, 3, &rules, 0);
            }
            let ban = sources.ban(ipv4(1), place, &rules, 0).unwrap();
            assert_eq!((ban.rule, ban.until_ms), (stands, Some(offences_ms.max(5 * MINUTE))));
        }
    }
}
