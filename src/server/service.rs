//! What the server's connections mean: some speak SMTP and some HTTP, over the same store. Not
//! here: what either says (`smtp`, `http`), or when connections are served (`net`).

use std::mem;
use std::net::{IpAddr, SocketAddr};

use super::guest::Guest;
use super::mail::MailRoom;
use super::patience::{Patience, Stage};
use super::standing;
use crate::clock::Now;
use crate::guard::pressure::Pressure;
use crate::guard::{Guard, Load, Networks, Offence, Rule, Verdict, tarpit};
use crate::http::{Desk, Exchange, Gate, Responses, Scratch};
use crate::limits::{
    BANNER_HOLD_MS, CROWDED_MS, FAULTS_MAX, HTTP_ANSWERS_PER_TURN, HTTP_CALM_MAIL_VISITS,
    HTTP_CONNECTIONS_MAX, HTTP_TURNS_LEFT_OUT_MAX, MAKE_WAY_SILENT_MS, PRESSURE_CRITICAL_PERCENT,
    PROTOCOL_TICK_MS, PROXY_HEADER_MS, SWEEP_MS,
};
use crate::metrics::Metrics;
use crate::net::{Admission, ListenerId, Protocol};
use crate::output::Output;
use crate::phases::Phases;
use crate::progress::{Progress, Then};
use crate::proxy;
use crate::smtp::reply::{self, Goodbye};
use crate::smtp::session::{self, Session};
use crate::store::{Draft, Naming, Store};

/// Everything that connections share. `'s` is how long the settings live.
pub struct Service<'s> {
    pub(super) store: Store,
    pub(super) guard: Guard,
    pub(super) metrics: Metrics,
    pub(super) phases: Phases,
    pub(super) naming: Naming,
    pub(super) session: session::Settings<'s>,
    /// How many mailboxes there may be: what a sweep has to get round.
    pub(super) mailboxes_max: u32,
    /// What each listener is for.
    pub(super) doors: Vec<Door>,
    /// Who says whose connection it brings.
    pub(super) proxies: Networks,
    /// How many connections may be encrypted.
    pub(super) tls_connections_max: u64,
    /// How many sessions there may be: the rest is for readers, who monitor the server too.
    pub(super) smtp_connections_max: u64,
    /// Where mail is taken, for the pages to tell.
    pub(super) smtp_address: String,
    /// Who may ask for what over HTTP.
    pub(super) gate: Gate,
    pub(super) scratch: Scratch,
    pub(super) responses: Responses,
    /// How many readers may still be answered in this turn.
    pub(super) http_answers_left: u32,
    /// How many turns in a row readers were left out of.
    pub(super) http_turns_left_out: u32,
    /// How often clients who bring mail were heard in this turn.
    pub(super) mail_visits: u32,
    pub(super) pressure: Pressure,
    /// Until when it counts that the last place was taken, or that somebody had to make way.
    pub(super) crowded_until_ms: u64,
    /// Pressure has risen since the reactor last asked.
    pub(super) deadlines_came_nearer: bool,
    pub(super) draining: bool,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// To bring mail.
    Smtp,
    /// To bring mail through TLS.
    Smtps,
    /// To read mail.
    Http,
    /// To read mail through TLS.
    Https,
}

impl Door {
    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Smtps => "smtps",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What is remembered of one connection.
#[expect(
    clippy::large_enum_variant,
    reason = "its slot has room for the largest; a box would be taken from the heap at accept"
)]
pub enum Conversation {
    /// It brings mail.
    Smtp {
        /// How far it is.
        session: Session<Draft>,
        /// Who it is.
        guest: Guest,
    },
    /// It reads mail.
    Http {
        /// How far it is.
        exchange: Exchange,
        /// Where it came from.
        source: IpAddr,
        /// How long it may take for what it is at.
        patience: Patience,
        /// It does so through TLS.
        encrypted: bool,
    },
    /// A proxy brings it, and has not said yet whose it is.
    Proxied {
        /// Where it came in.
        door: Door,
        /// The proxy.
        proxy: IpAddr,
        /// When it came in.
        since_ms: u64,
    },
}

impl Protocol for Service<'_> {
    type Connection = Conversation;

    fn connected(
        &mut self,
        listener: ListenerId,
        peer: SocketAddr,
        now: Now,
        output: &mut Output,
    ) -> Admission<Conversation> {
        let Some(&door) = self.doors.get(listener.0) else { return Admission::Refuse };
        if self.proxies.contains(peer.ip()) {
            let (proxy, since_ms) = (peer.ip(), now.monotonic_ms);
            return Admission::Accept(Conversation::Proxied { door, proxy, since_ms });
        }
        self.welcome(door, peer.ip(), now, output)
    }

    fn is_crowded(&self, listener: ListenerId, now: Now) -> bool {
        // A place that is free for a moment is no room.
        let mail_is = self.metrics.smtp_connections_open >= self.smtp_connections_max
            || now.monotonic_ms < self.crowded_until_ms;
        let readers_are = self.metrics.http_connections_open >= HTTP_CONNECTIONS_MAX;
        let tls_is = self.metrics.tls_connections_open >= self.tls_connections_max;
        match self.doors.get(listener.0) {
            Some(Door::Smtp) => mail_is,
            Some(Door::Smtps) => mail_is || tls_is,
            Some(Door::Http) => readers_are,
            Some(Door::Https) => readers_are || tls_is,
            None => true,
        }
    }

    fn encrypted(&mut self, connection: &mut Conversation, _now: Now, output: &mut Output) {
        self.metrics.tls_handshakes += 1;
        if let Conversation::Smtp { session, .. } = connection
            && !session.handshake_done()
        {
            session.greeting(&self.session, output);
        }
    }

    fn received(
        &mut self,
        connection: &mut Conversation,
        input: &[u8],
        now: Now,
        output: &mut Output,
    ) -> Progress {
        match connection {
            Conversation::Smtp { session, guest } => {
                self.mail_visits += 1;
                let faults_max = self.pressure_on(guest).faults_max(FAULTS_MAX);
                let settings = self.session.with_faults_max(faults_max);
                let draining = self.draining;
                let mut world = self.mail_room(guest, now);
                let progress = session.receive(&settings, input, &mut world, output);
                let within_message = session.is_within_message();
                world.guest.got_on(within_message, progress.consumed, now.monotonic_ms);
                if world.guest.banned && progress.then != Then::Close {
                    session.dismiss(Goodbye::Banned, &settings, &mut world, output);
                    return Progress { then: Then::Close, ..progress };
                }
                if guest.is_slowed() && !output.is_empty() && !draining {
                    let delay_ms = tarpit::delay_ms(self.load());
                    guest.hold(now.monotonic_ms + delay_ms);
                    self.metrics.replies_held += u64::from(delay_ms > 0);
                }
                if draining && progress.then == Then::Continue && session.is_idle() {
                    let mut world = self.mail_room(guest, now);
                    session.dismiss(Goodbye::ShuttingDown, &settings, &mut world, output);
                    return Progress { then: Then::Close, ..progress };
                }
                progress
            }
            Conversation::Http { exchange, source, patience, .. } => {
                let progress = self.answer(exchange, *source, input, now);
                match progress {
                    Progress { then: Then::Yield, consumed: 0 } => {}
                    // Within a request, which it may have been asked to go on with.
                    Progress { consumed: 0, .. } => {
                        patience.enter(Stage::Request, now.monotonic_ms);
                    }
                    _ => patience.begin(Stage::Response, now.monotonic_ms),
                }
                progress
            }
            Conversation::Proxied { door, proxy, .. } => {
                let (door, proxy) = (*door, *proxy);
                self.introduced(door, proxy, connection, input, now, output)
            }
        }
    }

    fn deadline_ms(&self, connection: &Conversation, moved_ms: u64) -> u64 {
        match connection {
            Conversation::Smtp { guest, .. } => {
                guest.patience.deadline_ms(moved_ms, self.pressure_on(guest))
            }
            Conversation::Http { exchange, patience, .. } => {
                let mut patience = *patience;
                if exchange.is_idle() && patience.stage() == Stage::Response {
                    patience.begin(Stage::Idle, moved_ms);
                }
                patience.deadline_ms(moved_ms, self.pressure)
            }
            Conversation::Proxied { since_ms, .. } => since_ms + PROXY_HEADER_MS,
        }
    }

    fn expired(&mut self, connection: &mut Conversation, now: Now, output: &mut Output) -> Then {
        if let Conversation::Smtp { session, guest } = connection {
            let goodbye = if self.draining { Goodbye::ShuttingDown } else { Goodbye::TimedOut };
            self.metrics.smtp_timeouts += u64::from(!self.draining);
            let (settings, draining) = (self.session, self.draining);
            let mut world = self.mail_room(guest, now);
            if !draining {
                world.offended(Offence::Unfinished);
            }
            session.dismiss(goodbye, &settings, &mut world, output);
        }
        Then::Close
    }

    fn disconnected(&mut self, connection: Conversation, now: Now) {
        match connection {
            Conversation::Smtp { mut session, mut guest } => {
                let draining = self.draining;
                let mut world = self.mail_room(&mut guest, now);
                if !session.is_idle() && !draining {
                    world.offended(Offence::Unfinished);
                }
                session.closed(&mut world);
                self.guard.disconnected(guest.peer);
                self.metrics.smtp_connections_open -= 1;
                self.metrics.tls_connections_open -= u64::from(session.is_encrypted());
            }
            Conversation::Http { encrypted, .. } => {
                self.metrics.http_connections_open -= 1;
                self.metrics.tls_connections_open -= u64::from(encrypted);
            }
            Conversation::Proxied { .. } => {}
        }
    }

    fn held_output<'a>(&'a self, connection: &'a Conversation) -> &'a [u8] {
        match connection {
            Conversation::Smtp { .. } | Conversation::Proxied { .. } => &[],
            Conversation::Http { exchange, .. } => exchange.pending(),
        }
    }

    fn held_output_sent(&mut self, connection: &mut Conversation, bytes: usize) {
        if let Conversation::Http { exchange, patience, .. } = connection {
            patience.moved(bytes);
            exchange.sent(bytes);
        }
    }

    fn draining(&mut self, connection: &mut Conversation, now: Now, output: &mut Output) -> Then {
        match connection {
            Conversation::Smtp { session, guest } if session.is_idle() => {
                let (goodbye, settings) = (Goodbye::ShuttingDown, self.session);
                session.dismiss(goodbye, &settings, &mut self.mail_room(guest, now), output);
                Then::Close
            }
            Conversation::Http { exchange, .. } if exchange.is_idle() => Then::Close,
            Conversation::Proxied { .. } => Then::Close,
            _ => Then::Continue,
        }
    }

    fn held_until_ms(&self, connection: &Conversation) -> u64 {
        match connection {
            Conversation::Smtp { guest, .. } => guest.held_until_ms(),
            Conversation::Http { .. } | Conversation::Proxied { .. } => 0,
        }
    }

    fn hold_ended(&mut self, connection: &mut Conversation, spoke: bool, now: Now) -> Then {
        let Conversation::Smtp { guest, .. } = connection else { return Then::Continue };
        if guest.hold_ended() && spoke {
            self.metrics.early_talkers += 1;
            self.mail_room(guest, now).offended(Offence::EarlyTalk);
        }
        if guest.banned { Then::Close } else { Then::Continue }
    }

    fn wants_way(&self) -> bool {
        // Who is silent holds no draft: where only those are scarce, nothing would be won.
        self.pressure.closes_idle() && self.load().reaches(PRESSURE_CRITICAL_PERCENT[0])
    }

    fn may_make_way(&self, connection: &Conversation, moved_ms: u64, now: Now) -> bool {
        match connection {
            Conversation::Smtp { session, guest } => {
                self.pressure_on(guest).closes_idle()
                    && session.is_idle()
                    && moved_ms.saturating_add(MAKE_WAY_SILENT_MS) <= now.monotonic_ms
            }
            Conversation::Http { .. } | Conversation::Proxied { .. } => false,
        }
    }

    fn makes_way(&mut self, connection: &mut Conversation, now: Now, output: &mut Output) {
        let Conversation::Smtp { session, guest } = connection else { return };
        self.metrics.smtp_made_way += 1;
        self.crowded_until_ms = now.monotonic_ms + CROWDED_MS;
        let (goodbye, settings) = (Goodbye::TooManyConnections, self.session);
        session.dismiss(goodbye, &settings, &mut self.mail_room(guest, now), output);
    }

    fn deadlines_came_nearer(&mut self) -> bool {
        std::mem::take(&mut self.deadlines_came_nearer)
    }

    fn turn_begins(&mut self) {
        let is_calm = mem::take(&mut self.mail_visits) <= HTTP_CALM_MAIL_VISITS;
        if is_calm || self.http_turns_left_out == HTTP_TURNS_LEFT_OUT_MAX {
            (self.http_answers_left, self.http_turns_left_out) = (HTTP_ANSWERS_PER_TURN, 0);
        } else {
            self.http_answers_left = 0;
            self.http_turns_left_out += 1;
        }
    }

    fn has_time(&self, connection: &Conversation) -> bool {
        match connection {
            Conversation::Smtp { .. } | Conversation::Proxied { .. } => true,
            // What is owed has been made, and only has to be sent.
            Conversation::Http { exchange, .. } => {
                self.http_answers_left > 0 || !exchange.is_idle()
            }
        }
    }

    fn is_timed(&self) -> bool {
        self.phases.is_waiting()
    }

    fn sent(&mut self, turn_ns: u64) {
        self.phases.sent(turn_ns);
    }

    fn turn_ends(&mut self, connections: usize, turn_ns: u64) {
        self.phases.turn_ended(connections, turn_ns);
    }

    fn tick(&mut self, now: Now) {
        self.feel_pressure();
        // All mailboxes within SWEEP_MS, a few each time.
        let ticks = u32::try_from(SWEEP_MS / PROTOCOL_TICK_MS).unwrap_or(1);
        self.store.sweep(now, self.mailboxes_max.div_ceil(ticks));
    }
}

impl Service<'_> {
    /// A proxy says whose connection it brings.
    fn introduced(
        &mut self,
        door: Door,
        proxy: IpAddr,
        connection: &mut Conversation,
        input: &[u8],
        now: Now,
        output: &mut Output,
    ) -> Progress {
        let header = match proxy::parse(input) {
            Ok(Some(header)) => header,
            Ok(None) => return Progress { consumed: 0, then: Then::Continue },
            Err(proxy::NoHeader) => {
                self.metrics.proxy_headers_refused += 1;
                return Progress { consumed: 0, then: Then::Close };
            }
        };
        // What the proxy asks for itself, to see whether the server is there, comes from the proxy.
        let source = header.source.unwrap_or(proxy);
        let (conversation, then) = match self.welcome(door, source, now, output) {
            Admission::Accept(conversation) => (conversation, Then::Flush),
            Admission::Encrypt(conversation) => (conversation, Then::Encrypt),
            Admission::Refuse => return Progress { consumed: header.bytes, then: Then::Close },
        };
        *connection = conversation;
        Progress { consumed: header.bytes, then }
    }

    /// One whose address is known is let in, or told why not.
    fn welcome(
        &mut self,
        door: Door,
        source: IpAddr,
        now: Now,
        output: &mut Output,
    ) -> Admission<Conversation> {
        match door {
            Door::Smtp => self.admit(source, now, output).map_or(Admission::Refuse, |mut guest| {
                if let Some(delay_ms) = self.banner_delay_ms(&guest) {
                    guest.hold_banner(now.monotonic_ms + delay_ms);
                }
                let session = Session::new();
                session.greeting(&self.session, output);
                self.phases.banner_said();
                Admission::Accept(Conversation::Smtp { session, guest })
            }),
            Door::Http => {
                self.admit_reader(door, source, now).map_or(Admission::Refuse, Admission::Accept)
            }
            Door::Smtps => self.admit_encrypted(|service| {
                let admitted = service.admit(source, now, output);
                // Whoever is sent away is told nothing: it would not be understood.
                output.clear();
                let session = Session::within_tls();
                admitted.map(|guest| Conversation::Smtp { session, guest })
            }),
            Door::Https => self.admit_encrypted(|service| service.admit_reader(door, source, now)),
        }
    }

    fn admit_encrypted(
        &mut self,
        admit: impl FnOnce(&mut Self) -> Option<Conversation>,
    ) -> Admission<Conversation> {
        if !self.metrics.begin_tls(self.tls_connections_max) {
            return Admission::Refuse;
        }
        match admit(self) {
            Some(conversation) => Admission::Encrypt(conversation),
            None => {
                self.metrics.tls_connections_open -= 1;
                Admission::Refuse
            }
        }
    }

    /// One who reads mail may stay, or not.
    fn admit_reader(&mut self, door: Door, source: IpAddr, now: Now) -> Option<Conversation> {
        if self.metrics.http_connections_open >= HTTP_CONNECTIONS_MAX {
            self.metrics.http_connections_refused += 1;
            return None;
        }
        self.metrics.http_connections += 1;
        self.metrics.http_connections_open += 1;
        let patience = Patience::new(Stage::Idle, now.monotonic_ms);
        let (exchange, encrypted) = (Exchange::default(), door == Door::Https);
        Some(Conversation::Http { exchange, source, patience, encrypted })
    }

    /// One who brings mail may stay, or is told why not.
    fn admit(&mut self, source: IpAddr, now: Now, output: &mut Output) -> Option<Guest> {
        // A fresh output has room for whatever is said.
        let (peer, verdict) = self.guard.connected(source, now);
        if let Verdict::Refuse(finding) = verdict {
            let for_long = !matches!(finding.rule, Rule::ConnectionsAtOnce | Rule::Connections);
            let (hostname, why) = (self.session.hostname(), finding.rule.reason());
            let _ = reply::turned_away(for_long, hostname, why, output);
            return None;
        }
        if self.metrics.smtp_connections_open >= self.smtp_connections_max {
            self.guard.disconnected(peer);
            self.metrics.smtp_connections_refused += 1;
            let _ = Goodbye::TooManyConnections.write(self.session.hostname(), output);
            return None;
        }
        self.metrics.smtp_connections += 1;
        self.metrics.smtp_connections_open += 1;
        if self.metrics.smtp_connections_open >= self.smtp_connections_max {
            self.crowded_until_ms = now.monotonic_ms + CROWDED_MS;
        }
        self.feel_pressure();
        Some(Guest::new(source, peer, verdict, now.monotonic_ms))
    }

    /// How long a banner is held back: for those who are slowed down, and a moment for all who are
    /// not trusted, to see who speaks before it.
    fn banner_delay_ms(&self, guest: &Guest) -> Option<u64> {
        if guest.peer.is_exempt() {
            return None;
        }
        let delay_ms = tarpit::delay_ms(self.load());
        if guest.is_slowed() {
            return Some(delay_ms);
        }
        let watches = self.guard.rules().of(Rule::Offences).is_some();
        watches.then_some(delay_ms.min(BANNER_HOLD_MS))
    }

    /// How hard pressed the server is, as far as this guest has to feel it: whoever is trusted is
    /// waited for as ever.
    fn pressure_on(&self, guest: &Guest) -> Pressure {
        if guest.peer.is_exempt() { Pressure::Calm } else { self.pressure }
    }

    /// Looks at what is left, and asks of clients accordingly.
    fn feel_pressure(&mut self) {
        let (used, most) = self.store.draft_arenas();
        let drafts = Load { used: used.into(), most: most.into() };
        let before = self.pressure;
        self.pressure = before.next(self.load(), drafts);
        if self.pressure != before {
            self.deadlines_came_nearer |= self.pressure > before;
            self.metrics.pressure = self.pressure as u64;
        }
    }

    /// The share of sessions that are open.
    fn load(&self) -> Load {
        Load { used: self.metrics.smtp_connections_open, most: self.smtp_connections_max }
    }

    fn answer(
        &mut self,
        exchange: &mut Exchange,
        source: IpAddr,
        input: &[u8],
        now: Now,
    ) -> Progress {
        // Its last response has just left.
        if self.http_answers_left == 0 {
            return Progress { consumed: 0, then: Then::Yield };
        }
        let (metrics, guard) = (self.metrics, &self.guard);
        let mut desk = Desk {
            store: &mut self.store,
            naming: self.naming,
            gate: &self.gate,
            hostname: self.session.hostname(),
            smtp: &self.smtp_address,
            ready: !self.draining,
            samples: &|store| {
                let guarded = guard.figures().samples(guard.standing_bans(now));
                [metrics.samples(), store.figures().samples(), guarded].concat()
            },
            standing: &|| standing::of(guard, source, now),
            phases: &self.phases,
            scratch: &mut self.scratch,
            responses: &self.responses,
        };
        let progress = exchange.receive(input, &mut desk, now);
        if progress.consumed > 0 {
            self.http_answers_left -= 1;
        }
        progress
    }

    fn mail_room<'a>(&'a mut self, guest: &'a mut Guest, now: Now) -> MailRoom<'a> {
        let Self { store, guard, metrics, phases, .. } = self;
        let (naming, tls_connections_max) = (self.naming, self.tls_connections_max);
        MailRoom { store, metrics, phases, guard, guest, naming, tls_connections_max, now }
    }
}
