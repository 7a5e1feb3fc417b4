//! What comes again and again, from wherever: a subject, or a feature of a text, each known by a
//! keyed hash. Not here: how subjects and texts are read (`subject`, `fingerprint`).
//!
//! Nobody shall be able to have another's subject banned by sending it often. So a repeat is not
//! one count but a few, over which networks are spread by keyed hash, and of each no more is added
//! up than its share of the limit:
//!
//! ```text
//! counts  [ 1 | 0 | 93 | 0 | 2 | ... ]   sixteen, each in a window of four parts
//!           1 + 0 +  6 + 0 + 2           of a limit of 20 no network has more than 6
//! ```
//!
//! The share is the limit by one less than [`GUARD_REPEAT_NETWORKS_MIN`], so fewer networks than
//! that never get past it. (A limit that is less than that needs as many networks as messages.)
//! Networks that fall on one count share it, which errs on the side of letting mail in.

use super::rule::Setting;
use super::source::Source;
use super::table::{Table, Worth};
use super::window::Ring;
use crate::limits::{
    GUARD_REPEAT_NETWORK_COUNTS, GUARD_REPEAT_NETWORKS_MIN, GUARD_REPEAT_WINDOW_PARTS,
};

type Counts = [u8; GUARD_REPEAT_NETWORK_COUNTS];

const NOTHING: Counts = [0; GUARD_REPEAT_NETWORK_COUNTS];

#[derive(Debug)]
pub(super) struct Repeats {
    table: Table<Repeat>,
}

#[derive(Clone, Copy, Debug)]
struct Repeat {
    counts: Ring<Counts, GUARD_REPEAT_WINDOW_PARTS>,
    seen_ms: u64,
    banned_until_ms: u64,
    /// How often it has come, at the ban and since.
    times: u32,
}

/// What is known of something that came once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It may come: it has been counted so often.
    Counted(u32),
    /// It has been banned just now.
    Banned(Ban),
    /// It had been banned before.
    StillBanned(Ban),
    /// All that it shares a set with is banned: nothing is known of it.
    NoPlace,
}

/// Until when something is banned, and how often it has come: at the ban and since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ban {
    /// What it is known by, among others of its table.
    pub(super) hash: u64,
    pub(super) until_ms: u64,
    pub(super) times: u32,
}

impl Repeats {
    pub(super) const fn memory_bytes(sets: usize) -> usize {
        Table::<Repeat>::memory_bytes(sets)
    }

    pub(super) fn new(sets: usize, seed: u128) -> Self {
        let empty = Repeat { counts: Ring::new(NOTHING), seen_ms: 0, banned_until_ms: 0, times: 0 };
        Self { table: Table::new(sets, empty, seed) }
    }

    /// How many are banned now.
    pub(super) fn standing_bans(&self, now_ms: u64) -> u64 {
        self.table.entries().filter(|repeat| repeat.banned_until_ms > now_ms).count() as u64
    }

    /// It came once more. What is known by `bytes` is the same if they are.
    pub(super) fn seen(
        &mut self,
        bytes: &[u8],
        source: Source,
        setting: &Setting,
        now_ms: u64,
    ) -> Seen {
        let key = self.table.key(bytes);
        // Other networks share a count in each set, so that two that do so once do not always.
        let mut spread = [0; 16];
        spread[..8].copy_from_slice(&source.network());
        spread[8..].copy_from_slice(&(self.table.set(key) as u64).to_le_bytes());
        let count = self.table.key(&spread).one_of(GUARD_REPEAT_NETWORK_COUNTS);
        let worth = |repeat: &Repeat| repeat.worth(setting, now_ms);
        match self.table.place(key, worth) {
            Some(repeat) => repeat.seen(key.hash(), count, setting, now_ms),
            None => Seen::NoPlace,
        }
    }
}

impl Repeat {
    fn seen(&mut self, hash: u64, count: usize, setting: &Setting, now_ms: u64) -> Seen {
        self.seen_ms = now_ms;
        if self.banned_until_ms > now_ms {
            self.times = self.times.saturating_add(1);
            return Seen::StillBanned(self.ban(hash));
        }
        let part = self.counts.now_mut(setting.window_ms, now_ms, NOTHING);
        part[count] = part[count].saturating_add(1);
        let times = self.times(setting, now_ms);
        if times <= setting.count_max {
            return Seen::Counted(times);
        }
        // What led to the ban does not count again after it.
        self.counts = Ring::new(NOTHING);
        self.banned_until_ms = now_ms.saturating_add(setting.ban_ms);
        self.times = times;
        Seen::Banned(self.ban(hash))
    }

    fn ban(&self, hash: u64) -> Ban {
        Ban { hash, until_ms: self.banned_until_ms, times: self.times }
    }

    /// How often it came within the window, no network counted for more than its share.
    fn times(&self, setting: &Setting, now_ms: u64) -> u32 {
        let share = (setting.count_max / (GUARD_REPEAT_NETWORKS_MIN - 1)).max(1);
        let mut sums = [0_u32; GUARD_REPEAT_NETWORK_COUNTS];
        for (part, _) in self.counts.counts(setting.window_ms, now_ms) {
            for (sum, count) in sums.iter_mut().zip(part) {
                *sum += u32::from(count);
            }
        }
        sums.iter().map(|sum| (*sum).min(share)).sum()
    }

    fn worth(&self, setting: &Setting, now_ms: u64) -> Worth {
        if self.banned_until_ms > now_ms {
            return Worth::Kept;
        }
        Worth::Counted { count: self.times(setting, now_ms), seen_ms: self.seen_ms }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::guard::rule::Action;
    use crate::limits::GUARD_REPEAT_COUNT_MAX;

    const SETTING: Setting =
        Setting { action: Action::Reject, count_max: 20, window_ms: 120_000, ban_ms: 3_600_000 };

    /// A source of the network with this number.
    fn source(network: u16, host: u8) -> Source {
        let [first, second] = network.to_be_bytes();
        Source::from(IpAddr::V4(Ipv4Addr::new(10, first, second, host)))
    }

    fn is_banned(seen: Seen) -> bool {
        matches!(seen, Seen::Banned(_) | Seen::StillBanned(_))
    }

    #[test]
    fn as_many_networks_as_it_takes_get_a_subject_banned_where_they_do_not_share_a_count() {
        let mut banned = 0;
        for seed in 0..100 {
            let mut repeats = Repeats::new(1, seed);
            for network in 0..GUARD_REPEAT_NETWORKS_MIN as u16 {
                for _ in 0..SETTING.count_max {
                    let seen = repeats.seen(b"subject", source(network, 1), &SETTING, 0);
                    banned += u32::from(matches!(seen, Seen::Banned(_)));
                }
            }
        }
        // Four networks fall on four of sixteen counts in two of three cases.
        assert!((50..85).contains(&banned), "{banned} of 100");
    }

    proptest! {
        #[test]
        fn fewer_networks_than_it_takes_never_get_anything_banned(
            seed in any::<u128>(), count_max in 3_u32..=GUARD_REPEAT_COUNT_MAX,
            sends in prop::collection::vec(
                (0..GUARD_REPEAT_NETWORKS_MIN as u16 - 1, any::<u8>(), 0_u64..50), 1..800,
            ),
        ) {
            let setting = Setting { count_max, ..SETTING };
            let mut repeats = Repeats::new(1, seed);
            let mut now = 0;
            for (network, host, step) in sends {
                now += step;
                let seen = repeats.seen(b"victim", source(network, host), &setting, now);
                prop_assert!(!is_banned(seen));
            }
        }

        #[test]
        fn nothing_is_banned_that_came_no_more_often_than_its_limit(
            seed in any::<u128>(), count_max in 1_u32..30,
            sends in prop::collection::vec((any::<u16>(), 0_u64..40_000), 1..200),
        ) {
            let setting = Setting { count_max, ..SETTING };
            let span = Ring::<Counts, GUARD_REPEAT_WINDOW_PARTS>::span_ms(setting.window_ms);
            let mut repeats = Repeats::new(1, seed);
            let mut times = Vec::new();
            let mut now = 0;
            for (network, step) in sends {
                now += step;
                times.push(now);
                let lately = times.iter().filter(|at| **at + span > now).count();
                match repeats.seen(b"subject", source(network, 1), &setting, now) {
                    Seen::Counted(counted) => prop_assert!(counted as usize <= lately),
                    _ => {
                        prop_assert!(lately as u32 > count_max);
                        break;
                    }
                }
            }
        }

        #[test]
        fn what_comes_from_many_networks_is_banned_for_its_time_and_no_longer(
            seed in any::<u128>(), start in 0_u64..1 << 40, step in 0_u64..1000,
        ) {
            let mut repeats = Repeats::new(1, seed);
            let mut now = start;
            let mut sent = 0;
            let until = loop {
                sent += 1;
                // Twice as many as would do if no two shared a count.
                prop_assert!(sent <= 2 * u64::from(SETTING.count_max + 1));
                match repeats.seen(b"spam", source(sent as u16, 1), &SETTING, now) {
                    Seen::Banned(ban) => break ban.until_ms,
                    Seen::Counted(_) => now += step,
                    other => return Err(TestCaseError::fail(format!("{other:?}"))),
                }
            };
            prop_assert!(sent > u64::from(SETTING.count_max));
            prop_assert_eq!(until, now + SETTING.ban_ms);
            let again =
                |repeats: &mut Repeats, at| repeats.seen(b"spam", source(9, 9), &SETTING, at);
            prop_assert!(is_banned(again(&mut repeats, until - 1)));
            prop_assert_eq!(again(&mut repeats, until), Seen::Counted(1));
        }
    }

    #[test]
    fn a_flood_of_others_lifts_no_ban_and_forgets_no_count_above_its_own() {
        let mut repeats = Repeats::new(1, 5);
        let setting = Setting { count_max: 3, ..SETTING };
        let mut bans = 0;
        for network in 0..200 {
            if let Seen::Banned(_) = repeats.seen(b"spam", source(network, 1), &setting, 0) {
                bans += 1;
            }
        }
        assert_eq!(bans, 1);
        for network in 0..2 {
            repeats.seen(b"twice", source(network, 1), &setting, 0);
        }
        for other in 0..100_000_u32 {
            let seen = repeats.seen(&other.to_le_bytes(), source(other as u16, 2), &setting, 1);
            assert_eq!(seen, Seen::Counted(1));
        }
        assert!(is_banned(repeats.seen(b"spam", source(0, 1), &setting, 2)));
        let counted =
            (0..50).map(|network| repeats.seen(b"twice", source(network, 3), &setting, 2));
        let first = counted.take(1).next().unwrap();
        assert!(matches!(first, Seen::Counted(2..)), "{first:?}");
    }

    #[test]
    fn they_take_what_is_counted_for_them() {
        assert_eq!(Repeats::memory_bytes(8), Table::<Repeat>::memory_bytes(8));
        assert!(Repeats::memory_bytes(8) > 8 * 16 * size_of::<Repeat>());
    }

    #[test]
    fn what_led_to_a_ban_does_not_count_again_after_it() {
        let setting = Setting { count_max: 3, ban_ms: 1000, ..SETTING };
        let mut repeats = Repeats::new(1, 5);
        let mut networks = 0..100;
        assert!(networks.any(|from| is_banned(repeats.seen(b"a", source(from, 1), &setting, 0))));
        assert_eq!(repeats.seen(b"a", source(1, 1), &setting, 1000), Seen::Counted(1));
    }

    #[test]
    fn where_all_is_banned_a_newcomer_is_let_in_uncounted() {
        let mut repeats = Repeats::new(1, 5);
        let setting = Setting { count_max: 1, ..SETTING };
        for subject in 0..16_u8 {
            let banned = (0..100).any(|network| {
                is_banned(repeats.seen(&[subject], source(network, 1), &setting, 0))
            });
            assert!(banned);
        }
        for network in 0..100 {
            assert_eq!(repeats.seen(&[16], source(network, 1), &setting, 1), Seen::NoPlace);
        }
        let after = setting.ban_ms;
        assert_eq!(repeats.seen(&[16], source(1, 1), &setting, after), Seen::Counted(1));
    }
}
