//! What is counted: plain numbers that one thread adds to, so that counting costs next to nothing,
//! and the form in which they are shown. Not here: how they are written out (`http`), or what the
//! store counts of itself (`store::Figures`), or how long things take (`phases`).

/// One line of the metrics. Samples of one name stand next to each other in a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The metric's name, `mailfly_…`; a counter's gets its `_total` when it is written.
    pub name: &'static str,
    /// What it counts, in a few words.
    pub help: &'static str,
    /// Whether it can go down.
    pub kind: Kind,
    /// What tells this sample from others of the same name: a label's name and its value.
    pub label: Option<(&'static str, &'static str)>,
    /// The value now.
    pub value: u64,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// What the server has done since it started, and what it has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// SMTP sessions that were begun.
    pub smtp_connections: u64,
    /// SMTP sessions that are open.
    pub smtp_connections_open: u64,
    /// SMTP connections that were refused because there were too many.
    pub smtp_connections_refused: u64,
    /// SMTP sessions that were closed because their peer said nothing for too long.
    pub smtp_timeouts: u64,
    /// Messages that were acknowledged, each once, whoever it was for.
    pub messages: u64,
    /// The bytes of those messages, as they were sent.
    pub message_bytes: u64,
    /// Refusals because drafts held all that they may.
    pub refused_drafts_full: u64,
    /// Recipients past the most that a message may have.
    pub refused_too_many_recipients: u64,
    /// Messages longer than the longest.
    pub refused_message_too_large: u64,
    /// SMTP sessions that were closed to make way for another.
    pub smtp_made_way: u64,
    /// How hard pressed the server is: 0 calm, 1 high, 2 critical.
    pub pressure: u64,
    /// Clients that spoke before the banner.
    pub early_talkers: u64,
    /// Answers that were held back from those who are slowed down.
    pub replies_held: u64,
    /// Messages that the guard's rules refused, at MAIL or at their end, and what clients had sent
    /// on behind them.
    pub refused_unwanted: u64,
    /// Messages, or chunks of them, that were acknowledged and thrown away, as a rule says.
    pub messages_discarded: u64,
    /// Commands that were answered as bad requests.
    pub faults: u64,
    /// HTTP connections that were begun.
    pub http_connections: u64,
    /// HTTP connections that are open.
    pub http_connections_open: u64,
    /// HTTP connections that were refused because there were too many.
    pub http_connections_refused: u64,
    /// Requests that showed a secret which is none.
    pub http_secrets_wrong: u64,
    /// Requests whose secret was not looked at, after too many wrong ones of their source.
    pub http_secrets_unchecked: u64,
    /// Connections that were to be encrypted.
    pub tls_connections: u64,
    /// Connections that are encrypted, or about to be.
    pub tls_connections_open: u64,
    /// Connections that could not be encrypted because there were too many that are.
    pub tls_connections_refused: u64,
    /// Handshakes that were finished.
    pub tls_handshakes: u64,
    /// Connections of proxies that did not say whose they are.
    pub proxy_headers_refused: u64,
}

impl Metrics {
    /// Counts a connection that is to be encrypted from now on, unless there are so many already;
    /// says whether there are not.
    pub fn begin_tls(&mut self, connections_max: u64) -> bool {
        let has_room = self.tls_connections_open < connections_max;
        match has_room {
            true => {
                self.tls_connections += 1;
                self.tls_connections_open += 1;
            }
            false => self.tls_connections_refused += 1,
        }
        has_room
    }

    /// All of them, to be shown.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let refused = |reason, value| {
            Sample::counter("mailfly_smtp_refusals", "What was refused, by the reason.", value)
                .labelled("reason", reason)
        };
        let connections = |service, value| {
            Sample::counter("mailfly_connections", "Connections that were accepted.", value)
                .labelled("service", service)
        };
        let open = |service, value| {
            Sample::gauge("mailfly_connections_open", "Connections that are open.", value)
                .labelled("service", service)
        };
        let connections_refused = |service, value| {
            let help = "Connections that were refused because there were too many.";
            Sample::counter("mailfly_connections_refused", help, value).labelled("service", service)
        };
        let secrets = |reason, value| {
            let help = "Secrets that did not open what they were shown for, by the reason.";
            Sample::counter("mailfly_http_secrets_refused", help, value).labelled("reason", reason)
        };
        vec![
            connections("smtp", self.smtp_connections),
            connections("http", self.http_connections),
            connections("tls", self.tls_connections),
            open("smtp", self.smtp_connections_open),
            open("http", self.http_connections_open),
            open("tls", self.tls_connections_open),
            connections_refused("smtp", self.smtp_connections_refused),
            connections_refused("http", self.http_connections_refused),
            connections_refused("tls", self.tls_connections_refused),
            secrets("wrong", self.http_secrets_wrong),
            secrets("unchecked", self.http_secrets_unchecked),
            Sample::counter(
                "mailfly_tls_handshakes",
                "TLS handshakes that were finished.",
                self.tls_handshakes,
            ),
            Sample::counter(
                "mailfly_proxy_headers_refused",
                "Connections of proxies that did not say whose they are.",
                self.proxy_headers_refused,
            ),
            Sample::counter(
                "mailfly_smtp_timeouts",
                "Sessions that were closed because their peer said nothing for too long.",
                self.smtp_timeouts,
            ),
            Sample::counter(
                "mailfly_smtp_made_way",
                "Sessions that were closed to make way for another.",
                self.smtp_made_way,
            ),
            Sample::gauge(
                "mailfly_pressure",
                "How hard pressed it is: 0 calm, 1 high, 2 critical.",
                self.pressure,
            ),
            Sample::counter("mailfly_smtp_messages", "Messages acknowledged.", self.messages),
            Sample::counter(
                "mailfly_smtp_message_bytes",
                "Bytes of the messages acknowledged.",
                self.message_bytes,
            ),
            Sample::counter(
                "mailfly_smtp_discarded",
                "Messages acknowledged and thrown away, as a rule of the guard says.",
                self.messages_discarded,
            ),
            Sample::counter(
                "mailfly_smtp_early_talkers",
                "Clients that spoke before the banner.",
                self.early_talkers,
            ),
            Sample::counter(
                "mailfly_smtp_replies_held",
                "Answers held back from clients that a rule of the guard slows down.",
                self.replies_held,
            ),
            Sample::counter("mailfly_smtp_faults", "Bad requests.", self.faults),
            refused("drafts_full", self.refused_drafts_full),
            refused("too_many_recipients", self.refused_too_many_recipients),
            refused("message_too_long", self.refused_message_too_large),
            refused("unwanted", self.refused_unwanted),
        ]
    }
}

impl Sample {
    /// A number that only grows.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: Kind::Counter, label: None, value }
    }

    /// A number that goes up and down.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { kind: Kind::Gauge, ..Self::counter(name, help, value) }
    }

    /// The same with a label.
    #[must_use]
    pub fn labelled(self, name: &'static str, value: &'static str) -> Self {
        Self { label: Some((name, value)), ..self }
    }
}
