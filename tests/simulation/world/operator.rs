//! What the operator of a seed's server wants: little of everything, and in half of the seeds a guard
//! with tight rules.

use std::net::{IpAddr, Ipv6Addr};

use mailfly::config::{Keys, Machine, PolicyKey, Settings, Size, TimeToLive};
use mailfly::guard::{Action, Guard, Networks, Rule, Rules, Sizes};
use mailfly::limits::{ARENA_BYTES, DRAFTS_SHARE, ENVELOPE_BYTES_MAX, KIB};

use crate::guarded;
use crate::judge::Judge;
use crate::random::Random;
use crate::strangers::Strangers;

/// The address of the so-manieth peer.
pub(crate) fn source(number: usize) -> IpAddr {
    match number % 3 {
        0 => IpAddr::from([198, 51, 100, number as u8]),
        1 => IpAddr::from([203, 0, (number * 7) as u8, 9]),
        _ => IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, number as u16, 0, 0, 0, 1)),
    }
}

/// Little of everything.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(super) settings: Settings,
    pub(super) rules: Rules,
    /// With rules: the only one to whom they do not apply.
    trusted: Option<IpAddr>,
    /// Of the guards' tables.
    pub(super) sets: [usize; 3],
    /// Peers come from more addresses than the tables have places.
    pub(super) is_wide: bool,
    /// There is room for all that clients can send at once, so that no message is refused for want of
    /// it, and all that the guard does can be foretold.
    has_room: bool,
    /// How many connections may be encrypted.
    pub(super) tls_connections_max: u32,
}

impl Operator {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x0053_6574_7469_6e67);
        let rules = rules(&mut random);
        let has_room = rules != Rules::off() && random.percent(80);
        let is_wide = random.percent(20);
        Self {
            settings: settings(&mut random, has_room),
            rules,
            trusted: random.percent(30).then(|| source(0)),
            // With one set of sources which of them gives way is no secret.
            sets: if is_wide { [1, 1, 4] } else { random.pick(&[[1, 1, 1], [4, 1, 2], [8, 1, 8]]) },
            is_wide,
            has_room,
            tls_connections_max: if random.percent(10) { random.pick(&[1, 3, 16]) } else { 0 },
        }
    }

    /// A guard of these rules, and what it has to say if that is known; with no rule on, nobody is a
    /// stranger to it.
    pub(super) fn guard(&self, random: &mut Random) -> (Guard, Option<Strangers>) {
        let Self { settings, rules, trusted, .. } = self;
        let all = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("a network"));
        let is_on = *rules != Rules::off();
        let networks = match is_on {
            true => guarded::networks(*trusted),
            false => Networks::new(&all).expect("a few"),
        };
        let sizes = Sizes::of_sets(self.sets);
        let seed = u128::from(random.next());
        let guard = Guard::with_sizes(sizes, *rules, networks, guarded::words(), seed);
        let judge = Judge::new(*rules, *trusted, sizes, seed);
        let bytes_max = settings.message_bytes_max;
        let strangers = Strangers::new(judge, *rules, bytes_max);
        (guard, (is_on && self.has_room).then_some(strangers))
    }

    /// Somebody's address.
    pub(super) fn address(&self, random: &mut Random) -> IpAddr {
        match self.is_wide {
            true => source(random.pick(&[5, 60]) * random.below(60) / 60),
            false => {
                source(random.pick(&[0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) * random.between(1, 3))
            }
        }
    }
}

fn settings(random: &mut Random, has_room: bool) -> Settings {
    let message = random.pick(if has_room { &[600, 9_000] } else { &[600, 9_000, 20_000, 40_000] });
    let connections = random.pick(&[1, 3, 8, 16]);
    let drafts_bytes = connections as usize * (message + ENVELOPE_BYTES_MAX + 4 * ARENA_BYTES);
    let room_bytes = if has_room { DRAFTS_SHARE as usize * drafts_bytes } else { 0 };
    let keys = Keys {
        hostname: Some("mail.test".parse().expect("a hostname")),
        connections: Some(connections),
        policy: Some(random.pick(&[PolicyKey::Curt, PolicyKey::Rfc])),
        message_size: Some(Size(message)),
        ttl: Some(match random.below(3) {
            0 => TimeToLive::Unlimited,
            _ => TimeToLive::Milliseconds(random.pick(&[1_000, 90_000, 3_600_000])),
        }),
        memory: Some(Size(random.pick(&[1, 1, 1, 200]) * KIB + room_bytes)),
        mailboxes: Some(random.pick(&[1, 4, 9, 16, 16, 16])),
        mailbox_size: Some(Size(random.between(message + 12_000, 6 * message + 30_000))),
        messages_per_mailbox: Some(random.pick(&[1, 3, 40, 40])),
        ..Keys::default()
    };
    let machine = Machine {
        hostname: "mail.test".parse().expect("a hostname"),
        descriptors: 1000,
        available: None,
    };
    // What does not fit says what would: the least that does is what is wanted.
    let asked = keys.memory.map_or(0, |size| size.0);
    match Settings::resolve(keys.clone(), &machine) {
        Err(mailfly::config::Impossible::MemoryTooSmall { needed, .. }) => {
            let memory = Some(Size(needed.0 + asked));
            Settings::resolve(Keys { memory, ..keys }, &machine).expect("what was advised")
        }
        settings => settings.expect("settings that fit each other"),
    }
}

/// What the service's own guard looks at: in half of the seeds nothing, since everybody is trusted, so
/// that no mail is lost to it; in the others hardly anybody is, and a few rules are tight enough to be
/// met.
fn rules(random: &mut Random) -> Rules {
    let mut rules = Rules::off();
    if random.percent(50) {
        return rules;
    }
    for rule in Rule::ALL {
        let Some(mut setting) = Rules::default().of(rule).filter(|_| random.percent(50)) else {
            continue;
        };
        setting.action = match rule {
            // What is found in bodies is not foretold, so it has to show.
            Rule::Bodies => random.pick(&[Action::Discard, Action::Reject]),
            _ => random.pick(&[Action::Tarpit, Action::Discard, Action::Reject]),
        };
        setting.count_max = match rule {
            Rule::Offences => random.between(5, 40),
            Rule::Subjects | Rule::ConnectionsAtOnce => random.between(1, 5),
            _ => random.between(1, 12),
        } as u32;
        setting.window_ms = random.pick(&[1_000, 20_000, setting.window_ms.max(1_000)]);
        if setting.ban_ms > 0 {
            setting.ban_ms = random.pick(&[1_000, 30_000, setting.ban_ms]);
        }
        rules.set(rule, Some(setting)).expect("a setting");
    }
    rules
}
