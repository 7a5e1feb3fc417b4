//! What is meant: every value there, none at odds with another.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{FileKey, Impossible, Keys, Machine, NetworkKey, RuleKey, Size, TimeToLive, User};
use crate::guard::{Networks, Rule, Rules};
use crate::http::AllowedHost;
use crate::limits::{
    ADVICE_ROUNDS_MAX, ARENA_BYTES, CONNECTIONS_DEFAULT, KIB, LISTENERS_MAX, MAILBOX_BYTES_DEFAULT,
    MAILBOX_MESSAGES_DEFAULT, MAILBOX_SHARE, MAILBOXES_DEFAULT, MAILBOXES_MAX,
    MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MAX, MESSAGE_BYTES_DEFAULT, MESSAGE_BYTES_DEFAULT_MIN,
    MESSAGE_SHARE, TABLE_SHARE, TLS_CONNECTIONS_DEFAULT, TLS_CONNECTIONS_SHARE, TTL_MS_DEFAULT,
};
use crate::smtp::hostname::Hostname;
use crate::smtp::session::Policy;
use crate::store::{Capacity, Demand, Naming, SLOT_BYTES, Shortage};

/// What the server is to do, resolved and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where mail is taken: one address or more.
    pub smtp: Vec<SocketAddr>,
    /// Where mail is shown: one address or more.
    pub http: Vec<SocketAddr>,
    /// Where mail is taken through TLS only.
    pub smtps: Vec<SocketAddr>,
    /// Where mail is shown through TLS only.
    pub https: Vec<SocketAddr>,
    /// The file of the certificates, if one is not to be made.
    pub tls_certificate: Option<PathBuf>,
    /// The file of the key, if it is not that of the certificates.
    pub tls_key: Option<PathBuf>,
    /// The most connections that are encrypted at once; what is more than `connections_max` is of no
    /// use.
    pub tls_connections_max: u32,
    /// Who says whose connection it brings.
    pub proxies: Networks,
    /// What the server calls itself.
    pub hostname: Hostname,
    /// The most connections at once, SMTP and HTTP together; at least 1, and no more than there
    /// are descriptors for.
    pub connections_max: u32,
    /// Whom the program becomes before it serves.
    pub user: User,
    /// The names under which mail is shown, beside addresses and `localhost`.
    pub http_hosts: Vec<AllowedHost>,
    /// The file of the secrets that reading needs, if it needs any.
    pub http_read_secret: Option<PathBuf>,
    /// The file of the secrets that deleting and marking need.
    pub http_delete_secret: Option<PathBuf>,
    /// How bad requests are answered.
    pub policy: Policy,
    /// What of an address names its mailbox.
    pub naming: Naming,
    /// The longest message that is taken, in bytes; at least 1, at most `mailbox_bytes_max`.
    pub message_bytes_max: usize,
    /// How long a message is kept.
    pub ttl: TimeToLive,
    /// The pool, in bytes: the table of mailboxes and all mail.
    pub memory_bytes: usize,
    /// The most mailboxes at once; at least 1.
    pub mailboxes_max: u32,
    /// The most that a mailbox keeps, in bytes.
    pub mailbox_bytes_max: usize,
    /// The most messages that a mailbox keeps; at least 1.
    pub mailbox_messages_max: u32,
    /// Whom the guard's rules do not apply to.
    pub trusted: Networks,
    /// The guard's rules.
    pub rules: Rules,
    /// Where the words are that are not wanted in a subject.
    pub words_file: Option<PathBuf>,
    /// What stands there, which [`Words::parse`](crate::guard::Words::parse) takes. Empty until
    /// [`read`](super::read) has read it.
    pub words: String,
}

impl Settings {
    /// What keys mean on a machine: what they do not say is as by default, and what they say has
    /// to be possible.
    ///
    /// # Errors
    /// It is not.
    pub fn resolve(keys: Keys, machine: &Machine) -> Result<Self, Impossible> {
        let mut resolved = Self::resolve_once(keys.clone(), machine);
        // More memory brings larger defaults, which need more in turn: what is advised suffices for
        // those too. Each round needs a fraction of what the last one did.
        let mut asked = keys;
        for _ in 0..ADVICE_ROUNDS_MAX {
            let Err(Impossible::MemoryTooSmall { needed, .. }) = &resolved else { break };
            asked.memory = Some(*needed);
            match Self::resolve_once(asked.clone(), machine) {
                Err(Impossible::MemoryTooSmall { needed: more, .. }) => {
                    if let Err(Impossible::MemoryTooSmall { needed, .. }) = &mut resolved {
                        *needed = more;
                    }
                }
                _ => break,
            }
        }
        resolved
    }

    fn resolve_once(keys: Keys, machine: &Machine) -> Result<Self, Impossible> {
        let local = |port| vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        let bytes = |size: Option<Size>, default| size.map_or(default, |size: Size| size.0);
        // What is not said fits what is: a small pool holds small things, and a mailbox more
        // than one of the longest messages.
        let memory_bytes = bytes(keys.memory, MEMORY_BYTES_DEFAULT);
        let message_bytes = share(memory_bytes, MESSAGE_SHARE)
            .clamp(MESSAGE_BYTES_DEFAULT_MIN, MESSAGE_BYTES_DEFAULT);
        let message_bytes_max = bytes(keys.message_size, message_bytes);
        let mailbox_bytes = MAILBOX_BYTES_DEFAULT.min(share(memory_bytes, MAILBOX_SHARE));
        let mailbox_bytes_max =
            bytes(keys.mailbox_size, mailbox_bytes.max(message_bytes_max.saturating_mul(3)));
        let trusted = keys.trust.as_deref().map_or(Ok(Networks::loopback()), NetworkKey::networks);
        let trusted = trusted.map_err(Impossible::Trust)?;
        let rules = rules(&keys)?;
        let mailboxes = u32::try_from(memory_bytes / TABLE_SHARE / SLOT_BYTES).unwrap_or(u32::MAX);
        let proxies =
            keys.proxy_from.as_deref().map_or(Ok(Networks::default()), NetworkKey::networks);
        let proxies = proxies.map_err(Impossible::Proxies)?;
        let connections_max = connections(keys.connections, machine)?;
        let file = |key: Option<FileKey>| key.and_then(|file| file.path().map(PathBuf::from));
        let settings = Self {
            smtp: keys.smtp.unwrap_or_else(|| local(1025)),
            http: keys.http.unwrap_or_else(|| local(8025)),
            hostname: keys.hostname.unwrap_or_else(|| machine.hostname.clone()),
            smtps: keys.smtps.unwrap_or_default(),
            https: keys.https.unwrap_or_default(),
            tls_certificate: file(keys.tls_certificate),
            tls_key: file(keys.tls_key),
            tls_connections_max: keys.tls_connections.unwrap_or_else(|| {
                TLS_CONNECTIONS_DEFAULT.min(connections_max.div_ceil(TLS_CONNECTIONS_SHARE))
            }),
            proxies,
            connections_max,
            user: keys.user.unwrap_or_default(),
            http_hosts: keys.http_host.unwrap_or_default(),
            http_read_secret: file(keys.http_read_secret),
            http_delete_secret: file(keys.http_delete_secret),
            policy: keys.policy.map_or(Policy::Curt, Policy::from),
            naming: keys.naming.map_or(Naming::Local, Naming::from),
            message_bytes_max,
            ttl: keys.ttl.unwrap_or(TimeToLive::Milliseconds(TTL_MS_DEFAULT)),
            memory_bytes,
            mailboxes_max: keys.mailboxes.unwrap_or(MAILBOXES_DEFAULT.min(mailboxes).max(1)),
            mailbox_bytes_max,
            mailbox_messages_max: keys.messages_per_mailbox.unwrap_or(MAILBOX_MESSAGES_DEFAULT),
            trusted,
            rules,
            words_file: file(keys.words_file),
            words: String::new(),
        };
        settings.check_addresses()?;
        settings.check_numbers()?;
        settings.capacity()?;
        Ok(settings)
    }

    /// The keys that mean these settings, every one said.
    #[must_use]
    pub fn keys(&self) -> Keys {
        let rule = |rule| Some(RuleKey::of(rule, self.rules.of(rule)));
        Keys {
            smtp: Some(self.smtp.clone()),
            http: Some(self.http.clone()),
            hostname: Some(self.hostname.clone()),
            smtps: Some(self.smtps.clone()),
            https: Some(self.https.clone()),
            tls_certificate: Some(FileKey::of(self.tls_certificate.as_deref())),
            tls_key: Some(FileKey::of(self.tls_key.as_deref())),
            tls_connections: Some(self.tls_connections_max),
            proxy_from: Some(NetworkKey::list(&self.proxies)),
            connections: Some(self.connections_max),
            user: Some(self.user.clone()),
            http_host: Some(self.http_hosts.clone()),
            http_read_secret: Some(FileKey::of(self.http_read_secret.as_deref())),
            http_delete_secret: Some(FileKey::of(self.http_delete_secret.as_deref())),
            policy: Some(self.policy.into()),
            naming: Some(self.naming.into()),
            message_size: Some(Size(self.message_bytes_max)),
            ttl: Some(self.ttl),
            memory: Some(Size(self.memory_bytes)),
            mailboxes: Some(self.mailboxes_max),
            mailbox_size: Some(Size(self.mailbox_bytes_max)),
            messages_per_mailbox: Some(self.mailbox_messages_max),
            trust: Some(NetworkKey::list(&self.trusted)),
            guard_connections_at_once: rule(Rule::ConnectionsAtOnce),
            guard_connections: rule(Rule::Connections),
            guard_messages: rule(Rule::Messages),
            guard_offences: rule(Rule::Offences),
            guard_bounces: rule(Rule::Bounces),
            guard_words: rule(Rule::Words),
            guard_subjects: rule(Rule::Subjects),
            guard_bodies: rule(Rule::Bodies),
            words_file: Some(FileKey::of(self.words_file.as_deref())),
        }
    }

    /// A configuration file that means these settings.
    ///
    /// # Errors
    /// None that is known of: every value has a form in TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&self.keys())
    }

    /// The files that are read again while the program serves; all others are read before, and can
    /// be opened no longer.
    pub fn read_again(&self) -> impl Iterator<Item = &Path> {
        let secrets = [&self.http_read_secret, &self.http_delete_secret];
        let files = [&self.tls_certificate, &self.tls_key].into_iter().chain(secrets);
        files.flatten().map(PathBuf::as_path)
    }

    /// The shape of the store that these settings ask for.
    ///
    /// # Errors
    /// The sizes do not fit each other. What [`resolve`](Self::resolve) returned has none.
    pub fn capacity(&self) -> Result<Capacity, Impossible> {
        let (memory, mailbox) = (Size(self.memory_bytes), Size(self.mailbox_bytes_max));
        let message = Size(self.message_bytes_max);
        // What has to be typed anew is easier to type in KiB.
        let whole = |bytes: usize| Size(bytes.checked_next_multiple_of(KIB).unwrap_or(bytes));
        let capacity = Capacity::of(&Demand {
            memory_bytes: self.memory_bytes,
            mailboxes_max: self.mailboxes_max,
            mailbox_bytes_max: self.mailbox_bytes_max,
            mailbox_messages_max: self.mailbox_messages_max,
            message_bytes_max: self.message_bytes_max,
            ttl_ms: self.ttl.ms(),
        })
        .map_err(|shortage| match shortage {
            Shortage::Zero(key) => Impossible::Zero(key),
            Shortage::Message => Impossible::MessageTooLong(message),
            Shortage::Mailbox { needed_bytes } => {
                Impossible::MessageOverMailbox { message, mailbox, needed: whole(needed_bytes) }
            }
            Shortage::Memory { needed_bytes } => Impossible::MemoryTooSmall {
                memory,
                mailboxes: self.mailboxes_max,
                message,
                needed: whole(needed_bytes),
            },
        })?;
        let room = Size(capacity.arenas() as usize * ARENA_BYTES);
        if mailbox > room {
            return Err(Impossible::MailboxOverMemory { mailbox, memory, room });
        }
        Ok(capacity)
    }

    fn check_addresses(&self) -> Result<(), Impossible> {
        for (key, addresses) in [("smtp", &self.smtp), ("http", &self.http)] {
            if addresses.is_empty() {
                return Err(Impossible::NoAddress(key));
            }
        }
        if self.tls_certificate.is_none() && self.tls_key.is_some() {
            return Err(Impossible::KeyWithoutCertificate);
        }
        if self.tls_connections_max == 0 && !(self.smtps.is_empty() && self.https.is_empty()) {
            return Err(Impossible::Zero("tls-connections"));
        }
        let all = [&self.smtp, &self.http, &self.smtps, &self.https];
        let addresses = all.iter().map(|addresses| addresses.len()).sum();
        if addresses > LISTENERS_MAX {
            return Err(Impossible::TooManyAddresses(addresses));
        }
        let mut seen = BTreeSet::new();
        // Port 0 is another port each time.
        let fixed = all.into_iter().flatten().filter(|address| address.port() != 0);
        match fixed.copied().find(|address| !seen.insert(*address)) {
            Some(address) => Err(Impossible::AddressTwice(address)),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<(), Impossible> {
        let numbers = [
            ("message-size", self.message_bytes_max),
            ("memory", self.memory_bytes),
            ("mailboxes", self.mailboxes_max as usize),
            ("mailbox-size", self.mailbox_bytes_max),
            ("messages-per-mailbox", self.mailbox_messages_max as usize),
        ];
        if let Some((key, _)) = numbers.iter().find(|(_, number)| *number == 0) {
            return Err(Impossible::Zero(key));
        }
        if self.mailboxes_max > MAILBOXES_MAX {
            return Err(Impossible::TooManyMailboxes(self.mailboxes_max));
        }
        if self.memory_bytes > MEMORY_BYTES_MAX {
            return Err(Impossible::TooMuchMemory(Size(self.memory_bytes)));
        }
        Ok(())
    }
}

/// The rules, as far as keys change them.
fn rules(keys: &Keys) -> Result<Rules, Impossible> {
    let mut rules = Rules::default();
    for rule in Rule::ALL {
        if let Some(key) = keys.rule(rule) {
            key.apply(rule, &mut rules)
                .map_err(|reason| Impossible::Rule { rule: rule.name(), reason })?;
        }
    }
    Ok(rules)
}

/// One part in so many of the pool, in whole KiB, since sizes are shown to people.
fn share(memory_bytes: usize, parts: usize) -> usize {
    (memory_bytes / parts / KIB).max(1) * KIB
}

/// What was asked for has to be possible; what was not is only as many as are.
fn connections(asked: Option<u32>, machine: &Machine) -> Result<u32, Impossible> {
    let (possible, descriptors) = (machine.connections_max(), machine.descriptors);
    if possible == 0 {
        return Err(Impossible::NoDescriptors(descriptors));
    }
    match asked {
        Some(0) => Err(Impossible::Zero("connections")),
        Some(connections) if u64::from(connections) > possible => {
            Err(Impossible::TooManyConnections { connections, possible, descriptors })
        }
        Some(connections) => Ok(connections),
        None => Ok(u32::try_from(possible)
            .map_or(CONNECTIONS_DEFAULT, |possible| possible.min(CONNECTIONS_DEFAULT))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::file;
    use super::super::{NamingKey, PolicyKey};
    use super::*;
    use crate::limits::{GUARD_COUNT_MAX, MIB, TTL_MS_MAX};

    fn machine(descriptors: u64) -> Machine {
        Machine { hostname: Hostname::localhost(), descriptors, available: None }
    }

    /// Any keys that can be had on a machine with descriptors enough.
    fn possible() -> impl Strategy<Value = Keys> {
        let addresses = || {
            prop::collection::btree_set(any::<SocketAddr>(), 1..LISTENERS_MAX / 2).prop_filter_map(
                "a scope, or a flow label, is no part of an address as typed",
                |addresses| {
                    let plain = |address: SocketAddr| SocketAddr::new(address.ip(), address.port());
                    let plain: BTreeSet<_> = addresses.into_iter().map(plain).collect();
                    Some(plain.into_iter().collect::<Vec<_>>())
                },
            )
        };
        let ttl = prop_oneof![
            Just(TimeToLive::Unlimited),
            (1..=TTL_MS_MAX).prop_map(TimeToLive::Milliseconds),
        ];
        let user = "none|[a-z_][a-z0-9_-]{0,9}|[0-9]{1,9}:[0-9]{1,9}"
            .prop_map(|text: String| text.parse::<User>().unwrap());
        let places = (addresses(), addresses(), "[a-zA-Z0-9._-]{1,255}", 1_u32..1_000_000, user);
        let secret =
            || "none|[a-zA-Z0-9/._ -]{1,40}".prop_map(|path: String| path.parse().unwrap());
        let hosts = prop::collection::vec(r"\*|[a-z0-9_-]{1,9}(\.[a-z0-9_-]{1,9})?", 0..4)
            .prop_map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        let reading = (hosts, secret(), secret());
        let policy = prop_oneof![Just(PolicyKey::Curt), Just(PolicyKey::Rfc)];
        let naming = prop_oneof![Just(NamingKey::Local), Just(NamingKey::Full)];
        let sizes = (1_usize..=1 << 30, 0_usize..1 << 34, 0_usize..1 << 40);
        let counts = (1_u32..1 << 20, 1_u32..);
        let trust = prop_oneof![
            Just(vec![NetworkKey::Nobody]),
            any::<std::net::Ipv6Addr>()
                .prop_map(|address| vec![address.to_string().parse().unwrap()]),
        ];
        let guard = (trust, 1_u32..GUARD_COUNT_MAX, any::<bool>());
        (places, reading, (policy, naming, ttl), sizes, counts, guard).prop_map(
            |(
                (smtp, http, hostname, connections, user),
                (hosts, read_secret, delete_secret),
                (policy, naming, ttl),
                sizes,
                counts,
                (trust, messages, bounces),
            )| {
                let default = Settings::resolve(Keys::default(), &machine(1000)).unwrap().keys();
                let (message, mailbox_more, memory_more) = sizes;
                let mailbox = message + MIB + mailbox_more;
                // Drafts have a quarter; and a table: more than is needed of either.
                let memory = 2 * mailbox + 4 * message + (1 << 30) + memory_more;
                Keys {
                    smtp: Some(smtp),
                    http: Some(http),
                    hostname: hostname.parse().ok(),
                    connections: Some(connections),
                    user: Some(user),
                    http_host: Some(hosts),
                    http_read_secret: Some(read_secret),
                    http_delete_secret: Some(delete_secret),
                    policy: Some(policy),
                    naming: Some(naming),
                    message_size: Some(Size(message)),
                    ttl: Some(ttl),
                    memory: Some(Size(memory)),
                    mailboxes: Some(counts.0),
                    mailbox_size: Some(Size(mailbox)),
                    messages_per_mailbox: Some(counts.1),
                    trust: Some(trust),
                    guard_messages: format!("{messages}/7s ban none tarpit").parse().ok(),
                    guard_bounces: if bounces { Some(RuleKey::Off) } else { default.guard_bounces },
                    ..default
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_not_said_fits_any_pool(memory in 2 * MIB..1 << 40) {
            let keys = Keys { memory: Some(Size(memory)), ..Keys::default() };
            prop_assert!(Settings::resolve(keys, &machine(65_536)).is_ok());
        }

        #[test]
        fn the_memory_that_is_advised_suffices(memory in 1_usize..2 * MIB) {
            let keys = |memory| Keys { memory: Some(memory), ..Keys::default() };
            match Settings::resolve(keys(Size(memory)), &machine(65_536)) {
                Ok(_) => {}
                Err(Impossible::MemoryTooSmall { needed, .. }) => {
                    prop_assert!(Settings::resolve(keys(needed), &machine(65_536)).is_ok());
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }

        #[test]
        fn what_is_not_said_fits_any_message(message in 1_usize..MESSAGE_BYTES_DEFAULT * 2) {
            let keys = Keys { message_size: Some(Size(message)), ..Keys::default() };
            prop_assert!(Settings::resolve(keys, &machine(65_536)).is_ok());
        }

        #[test]
        fn settings_written_as_a_file_are_read_as_the_same_settings(keys in possible()) {
            let machine = machine(u64::MAX);
            let settings = Settings::resolve(keys.clone(), &machine).unwrap();
            prop_assert_eq!(settings.keys(), keys);
            let read = file::parse(&settings.to_toml().unwrap()).unwrap();
            prop_assert_eq!(Settings::resolve(read, &machine), Ok(settings));
        }
    }

    #[test]
    fn fewer_descriptors_mean_fewer_connections_unless_they_were_asked_for() {
        let connections = |connections, descriptors| {
            let keys = Keys { connections, ..Keys::default() };
            Settings::resolve(keys, &machine(descriptors)).map(|settings| settings.connections_max)
        };
        assert_eq!(connections(None, 1 << 20), Ok(CONNECTIONS_DEFAULT));
        assert_eq!(connections(None, u64::MAX), Ok(CONNECTIONS_DEFAULT));
        assert_eq!(connections(None, 1024), Ok(960));
        assert_eq!(connections(Some(960), 1024), Ok(960));
        assert_eq!(
            connections(Some(961), 1024),
            Err(Impossible::TooManyConnections {
                connections: 961,
                possible: 960,
                descriptors: 1024
            })
        );
        assert_eq!(connections(None, 65), Ok(1));
        assert_eq!(connections(None, 64), Err(Impossible::NoDescriptors(64)));
        assert_eq!(connections(Some(0), 1024), Err(Impossible::Zero("connections")));
    }
}
