//! The keys of the configuration, each with the value it was given or none: once on the command
//! line, once in the environment, once in a file, under the same names everywhere.

use std::net::SocketAddr;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{FileKey, NetworkKey, RuleKey, Size, TimeToLive, User};
use crate::guard::Rule;
use crate::http::AllowedHost;
use crate::smtp::hostname::Hostname;
use crate::smtp::session;
use crate::store;

/// What may be set, and by whom it was not.
///
/// The comments on the fields are what `--help` says, so their blanks and brackets are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Keys {
    /// Take mail at this address; may be repeated. [default: 127.0.0.1:1025]
    ///
    /// IPv4, or IPv6 in brackets, with a port. Port 0 takes any free port.
    #[arg(verbatim_doc_comment, long, value_name = "ADDRESS", value_delimiter = ',', value_parser = address)]
    #[arg(help_heading = LISTENING)]
    pub smtp: Option<Vec<SocketAddr>>,

    /// Show mail at this address; may be repeated. [default: 127.0.0.1:8025]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = address)]
    #[arg(help_heading = LISTENING)]
    pub http: Option<Vec<SocketAddr>>,

    /// Take mail at this address, encrypted from the first byte; may be repeated. [default: none]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = address)]
    #[arg(help_heading = LISTENING)]
    pub smtps: Option<Vec<SocketAddr>>,

    /// Show mail at this address, encrypted; may be repeated. [default: none]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = address)]
    #[arg(help_heading = LISTENING)]
    pub https: Option<Vec<SocketAddr>>,

    /// The certificate and its chain, in PEM; `none`: one is made at start. [default: none]
    ///
    /// Read again at SIGHUP. What cannot be used then is told on standard error, and changes
    /// nothing.
    #[arg(verbatim_doc_comment, long, value_name = "FILE", help_heading = LISTENING)]
    pub tls_certificate: Option<FileKey>,

    /// The certificate's private key, in PEM; `none`: in the same file. [default: none]
    #[arg(long, value_name = "FILE", help_heading = LISTENING)]
    pub tls_key: Option<FileKey>,

    /// Connections encrypted at once; 0: STARTTLS is not offered. [default: 1024]
    ///
    /// Each takes some 25 KiB, set aside at start. Fewer by default if there are fewer
    /// --connections: an eighth of them.
    #[arg(verbatim_doc_comment, long, value_name = "COUNT", value_parser = count, help_heading = LISTENING)]
    pub tls_connections: Option<u32>,

    /// Who says whose connections it brings: PROXY protocol. [default: none]
    ///
    /// Has to say so, in version 1 or 2, at every port; others are not asked. Addresses and
    /// networks such as 10.0.0.0/8 or 2001:db8::/32; may be repeated.
    #[arg(verbatim_doc_comment, long, value_name = "NETWORK", value_delimiter = ',', help_heading = LISTENING)]
    pub proxy_from: Option<Vec<NetworkKey>>,

    /// What the server calls itself. [default: the system's hostname]
    #[arg(long, value_name = "NAME", help_heading = LISTENING)]
    pub hostname: Option<Hostname>,

    /// Connections open at once, SMTP and HTTP together. [default: 16384]
    ///
    /// Fewer by default if the limit on descriptors, raised as far as it goes, allows fewer.
    #[arg(verbatim_doc_comment, long, value_name = "COUNT", value_parser = count, help_heading = LISTENING)]
    pub connections: Option<u32>,

    /// Become this user, having been started as root. [default: none]
    ///
    /// A name of /etc/passwd, or UID:GID in numbers; none: stay who starts it. In no other group.
    #[arg(verbatim_doc_comment, long, value_name = "USER", help_heading = LISTENING)]
    pub user: Option<User>,

    /// Show mail under this name too; may be repeated. [default: localhost alone]
    ///
    /// Under its addresses and as localhost it always is. Any other name has to be listed, since
    /// the page of any site can give this server a name of its own, and read its mail under that.
    /// *: under any name, if what reaches it is no browser, or a secret is needed.
    #[arg(verbatim_doc_comment, long, value_name = "NAME", value_delimiter = ',', help_heading = READING)]
    pub http_host: Option<Vec<AllowedHost>>,

    /// Reading needs a secret of this file; none: it needs none. [default: none]
    ///
    /// One secret a line. It is shown as a Bearer token, or as a password with any name.
    /// Read again at SIGHUP.
    #[arg(verbatim_doc_comment, long, value_name = "FILE", help_heading = READING)]
    pub http_read_secret: Option<FileKey>,

    /// Deleting and marking need a secret of this file. [default: none]
    ///
    /// It will do for reading, too. none: what is needed for reading is needed.
    #[arg(verbatim_doc_comment, long, value_name = "FILE", help_heading = READING)]
    pub http_delete_secret: Option<FileKey>,

    /// How bad requests are answered. [default: curt]
    #[arg(long, value_name = "POLICY", help_heading = MAIL)]
    pub policy: Option<Policy>,

    /// What of an address names its mailbox. [default: local]
    #[arg(long, value_name = "NAMING", help_heading = MAIL)]
    pub naming: Option<Naming>,

    /// The longest message that is taken. [default: 4MiB]
    ///
    /// Less by default in a smaller --memory: a 64th of it.
    #[arg(long, value_name = "SIZE", help_heading = MAIL)]
    pub message_size: Option<Size>,

    /// How long a message is kept; none: as long as there is room. [default: 24h]
    ///
    /// Such as 90s, 10m, 24h or 7days.
    #[arg(long, value_name = "DURATION", help_heading = MAIL)]
    pub ttl: Option<TimeToLive>,

    /// All mail together, its mailboxes' table included. [default: 256MiB]
    ///
    /// Taken at start, and never more. --plan prints what the program takes besides.
    #[arg(long, value_name = "SIZE", help_heading = MEMORY)]
    pub memory: Option<Size>,

    /// How many mailboxes there can be at once. [default: 65536]
    ///
    /// After that a new one takes the place of the one that has gone longest without mail.
    /// Fewer by default in a smaller --memory: the table takes an eighth of it.
    #[arg(verbatim_doc_comment, long, value_name = "COUNT", value_parser = count, help_heading = MEMORY)]
    pub mailboxes: Option<u32>,

    /// What one mailbox keeps; its oldest mail gives way. [default: 16MiB]
    ///
    /// Less by default in a smaller --memory: a 16th of it, or three of the longest messages.
    #[arg(verbatim_doc_comment, long, value_name = "SIZE", help_heading = MEMORY)]
    pub mailbox_size: Option<Size>,

    /// How many messages one mailbox keeps; its oldest gives way. [default: 1000]
    #[arg(long, value_name = "COUNT", value_parser = count, help_heading = MEMORY)]
    pub messages_per_mailbox: Option<u32>,

    /// Believe all of a network; may be repeated. [default: 127.0.0.0/8,::1]
    ///
    /// No rule of the guard applies to it. Addresses and networks such as 10.0.0.0/8 or
    /// 2001:db8::/32; none: nobody.
    #[arg(verbatim_doc_comment, long, value_name = "CIDR", value_delimiter = ',', help_heading = GUARD)]
    pub trust: Option<Vec<NetworkKey>>,

    /// Connections that a source has open, and as many to read. [default: 50 reject]
    ///
    /// A source is an IPv4 address, or the /64 of an IPv6 one. A rule is off, or says what is
    /// allowed and what is done about more: reject (550), discard (250, and nothing is kept) or
    /// tarpit (taken, replies held back while there is room). What it leaves out stays as by
    /// default.
    #[arg(verbatim_doc_comment, long, value_name = "RULE", help_heading = GUARD)]
    pub guard_connections_at_once: Option<RuleKey>,

    /// Connections that a source makes. [default: 100/1m ban none reject]
    #[arg(long, value_name = "RULE", help_heading = GUARD)]
    pub guard_connections: Option<RuleKey>,

    /// Messages that a source sends. [default: 20/2m ban 10m reject]
    #[arg(long, value_name = "RULE", help_heading = GUARD)]
    pub guard_messages: Option<RuleKey>,

    /// What a source's offences weigh. [default: 40/10m ban 10m reject]
    ///
    /// A bad request weighs 2; a message that is never finished, a time-out or a wrong secret 5;
    /// and speaking before the banner 10. While the ban lasts, no secret of its is looked at.
    #[arg(verbatim_doc_comment, long, value_name = "RULE", help_heading = GUARD)]
    pub guard_offences: Option<RuleKey>,

    /// Messages with a null reverse-path. [default: discard]
    #[arg(long, value_name = "RULE", help_heading = GUARD)]
    pub guard_bounces: Option<RuleKey>,

    /// Subjects with a word of --words-file. [default: reject]
    #[arg(long, value_name = "RULE", help_heading = GUARD)]
    pub guard_words: Option<RuleKey>,

    /// The same subject, from many networks. [default: 20/2m ban 1h reject]
    #[arg(long, value_name = "RULE", help_heading = GUARD)]
    pub guard_subjects: Option<RuleKey>,

    /// Much the same text, from many networks. [default: 100/2m ban 10m reject]
    #[arg(long, value_name = "RULE", help_heading = GUARD)]
    pub guard_bodies: Option<RuleKey>,

    /// The words that are not wanted in a subject, one a line. [default: none]
    #[arg(long, value_name = "FILE", help_heading = GUARD)]
    pub words_file: Option<FileKey>,
}

const LISTENING: &str = "Listening";
const READING: &str = "Who may read and delete";
const MAIL: &str = "Mail";
const MEMORY: &str = "Memory";
const GUARD: &str = "The guard";

/// How bad requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// With "550 No such user", and the connection is closed
    Curt,
    /// With the code that RFC 5321 gives each fault; closed after ten
    Rfc,
}

impl From<Policy> for session::Policy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Curt => Self::Curt,
            Policy::Rfc => Self::Rfc,
        }
    }
}

impl From<session::Policy> for Policy {
    fn from(policy: session::Policy) -> Self {
        match policy {
            session::Policy::Curt => Self::Curt,
            session::Policy::Rfc => Self::Rfc,
        }
    }
}

/// What of an address names its mailbox, as it is typed; what is meant is `store::Naming`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// The local-part in lower case without its +tag, whatever the domain
    Local,
    /// The whole address
    Full,
}

impl From<Naming> for store::Naming {
    fn from(naming: Naming) -> Self {
        match naming {
            Naming::Local => Self::Local,
            Naming::Full => Self::Full,
        }
    }
}

impl From<store::Naming> for Naming {
    fn from(naming: store::Naming) -> Self {
        match naming {
            store::Naming::Local => Self::Local,
            store::Naming::Full => Self::Full,
        }
    }
}

impl Keys {
    /// The names of all keys, in the order of the fields.
    pub const NAMES: [&str; 32] = [
        "smtp",
        "http",
        "smtps",
        "https",
        "tls-certificate",
        "tls-key",
        "tls-connections",
        "proxy-from",
        "hostname",
        "connections",
        "user",
        "http-host",
        "http-read-secret",
        "http-delete-secret",
        "policy",
        "naming",
        "message-size",
        "ttl",
        "memory",
        "mailboxes",
        "mailbox-size",
        "messages-per-mailbox",
        "trust",
        "guard-connections-at-once",
        "guard-connections",
        "guard-messages",
        "guard-offences",
        "guard-bounces",
        "guard-words",
        "guard-subjects",
        "guard-bodies",
        "words-file",
    ];

    /// What is said about a rule of the guard.
    #[must_use]
    pub fn rule(&self, rule: Rule) -> Option<RuleKey> {
        match rule {
            Rule::ConnectionsAtOnce => self.guard_connections_at_once,
            Rule::Connections => self.guard_connections,
            Rule::Messages => self.guard_messages,
            Rule::Offences => self.guard_offences,
            Rule::Bounces => self.guard_bounces,
            Rule::Words => self.guard_words,
            Rule::Subjects => self.guard_subjects,
            Rule::Bodies => self.guard_bodies,
        }
    }

    /// These, and where they say nothing, those below.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            smtp: self.smtp.or(below.smtp),
            http: self.http.or(below.http),
            smtps: self.smtps.or(below.smtps),
            https: self.https.or(below.https),
            tls_certificate: self.tls_certificate.or(below.tls_certificate),
            tls_key: self.tls_key.or(below.tls_key),
            tls_connections: self.tls_connections.or(below.tls_connections),
            proxy_from: self.proxy_from.or(below.proxy_from),
            hostname: self.hostname.or(below.hostname),
            connections: self.connections.or(below.connections),
            user: self.user.or(below.user),
            http_host: self.http_host.or(below.http_host),
            http_read_secret: self.http_read_secret.or(below.http_read_secret),
            http_delete_secret: self.http_delete_secret.or(below.http_delete_secret),
            policy: self.policy.or(below.policy),
            naming: self.naming.or(below.naming),
            message_size: self.message_size.or(below.message_size),
            ttl: self.ttl.or(below.ttl),
            memory: self.memory.or(below.memory),
            mailboxes: self.mailboxes.or(below.mailboxes),
            mailbox_size: self.mailbox_size.or(below.mailbox_size),
            messages_per_mailbox: self.messages_per_mailbox.or(below.messages_per_mailbox),
            trust: self.trust.or(below.trust),
            guard_connections_at_once: self
                .guard_connections_at_once
                .or(below.guard_connections_at_once),
            guard_connections: self.guard_connections.or(below.guard_connections),
            guard_messages: self.guard_messages.or(below.guard_messages),
            guard_offences: self.guard_offences.or(below.guard_offences),
            guard_bounces: self.guard_bounces.or(below.guard_bounces),
            guard_words: self.guard_words.or(below.guard_words),
            guard_subjects: self.guard_subjects.or(below.guard_subjects),
            guard_bodies: self.guard_bodies.or(below.guard_bodies),
            words_file: self.words_file.or(below.words_file),
        }
    }

    /// Sets one of [`Self::NAMES`] from text.
    ///
    /// # Errors
    /// The text is no value for that key, or there is no such key; why, in words.
    pub(super) fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "smtp" => self.smtp = Some(addresses(text)?),
            "http" => self.http = Some(addresses(text)?),
            "smtps" => self.smtps = Some(addresses(text)?),
            "https" => self.https = Some(addresses(text)?),
            "tls-certificate" => self.tls_certificate = Some(parsed(text)?),
            "tls-key" => self.tls_key = Some(parsed(text)?),
            "tls-connections" => self.tls_connections = Some(count(text)?),
            "proxy-from" => self.proxy_from = Some(list(text)?),
            "hostname" => self.hostname = Some(parsed(text)?),
            "connections" => self.connections = Some(count(text)?),
            "user" => self.user = Some(parsed(text)?),
            "http-host" => self.http_host = Some(list(text)?),
            "http-read-secret" => self.http_read_secret = Some(parsed(text)?),
            "http-delete-secret" => self.http_delete_secret = Some(parsed(text)?),
            "policy" => self.policy = Some(chosen(text)?),
            "naming" => self.naming = Some(chosen(text)?),
            "message-size" => self.message_size = Some(parsed(text)?),
            "ttl" => self.ttl = Some(parsed(text)?),
            "memory" => self.memory = Some(parsed(text)?),
            "mailboxes" => self.mailboxes = Some(count(text)?),
            "mailbox-size" => self.mailbox_size = Some(parsed(text)?),
            "messages-per-mailbox" => self.messages_per_mailbox = Some(count(text)?),
            "trust" => self.trust = Some(list(text)?),
            "guard-connections-at-once" => self.guard_connections_at_once = Some(parsed(text)?),
            "guard-connections" => self.guard_connections = Some(parsed(text)?),
            "guard-messages" => self.guard_messages = Some(parsed(text)?),
            "guard-offences" => self.guard_offences = Some(parsed(text)?),
            "guard-bounces" => self.guard_bounces = Some(parsed(text)?),
            "guard-words" => self.guard_words = Some(parsed(text)?),
            "guard-subjects" => self.guard_subjects = Some(parsed(text)?),
            "guard-bodies" => self.guard_bodies = Some(parsed(text)?),
            "words-file" => self.words_file = Some(parsed(text)?),
            _ => return Err("there is no such key".to_owned()),
        }
        Ok(())
    }
}

fn parsed<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn list<T: FromStr<Err: ToString>>(text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(|text| parsed(text.trim())).collect()
}

fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("a whole number up to {} is needed", u32::MAX))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let example = "an IP address and a port are needed, such as 127.0.0.1:1025 or [::1]:1025";
    text.parse().map_err(|_| example.to_owned())
}

fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    text.split(',').map(|text| address(text.trim())).collect()
}

fn chosen<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<_> = values.map(|value| value.get_name().to_owned()).collect();
        format!("one of {} is needed", names.join(", "))
    })
}

/// Which of the names is most like one that is none of them.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> &'a str {
    let likeness = |known: &&str| strsim::jaro_winkler(name, known);
    names.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::Arguments;
    use super::*;

    /// A value for each key.
    fn all() -> Keys {
        let mut keys = Keys::default();
        for name in Keys::NAMES {
            let text = match name {
                "smtp" | "http" | "smtps" | "https" => "127.0.0.1:0",
                "http-host" => "mail.example",
                "policy" => "rfc",
                "naming" => "full",
                "ttl" => "1h",
                "trust" | "proxy-from" => "none",
                "user" => "nobody",
                _ => "7",
            };
            assert_eq!(keys.set(name, text), Ok(()), "{name}");
        }
        keys
    }

    #[test]
    fn every_key_has_one_name_everywhere() {
        let written = toml::Table::try_from(all()).unwrap();
        let mut names: Vec<_> = written.keys().map(String::as_str).collect();
        let command = Arguments::command();
        let mut flags: Vec<_> = command
            .get_arguments()
            .filter_map(|argument| argument.get_long())
            .filter(|name| !["config", "check", "plan", "help", "version"].contains(name))
            .collect();
        let mut expected = Keys::NAMES;
        expected.sort_unstable();
        names.sort_unstable();
        flags.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(flags, expected);
        assert!(Keys::default().set("config", "x").is_err());
    }

    #[test]
    fn what_is_over_wins_and_what_is_below_fills() {
        assert_eq!(all().over(Keys::default()), all());
        assert_eq!(Keys::default().over(all()), all());
        let above = Keys { mailboxes: Some(8), ..Keys::default() };
        assert_eq!(above.over(all()), Keys { mailboxes: Some(8), ..all() });
    }

    #[test]
    fn the_nearest_name_is_the_one_meant() {
        for (typed, meant) in [
            ("memroy", "memory"),
            ("mem", "memory"),
            ("mailbox", "mailboxes"),
            ("max-message-size", "message-size"),
            ("host", "hostname"),
            ("messages_per_mailbox", "messages-per-mailbox"),
            ("htpp", "http"),
        ] {
            assert_eq!(nearest(typed, Keys::NAMES), meant, "{typed}");
        }
    }
}
