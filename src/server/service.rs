//! What the server's connections mean: some speak SMTP and some HTTP, over the same store. Not
//! here: what either says (`smtp`, `http`), who is let in (`entrance`), when connections are served
//! (`net`).

use std::mem;
use std::net::{IpAddr, SocketAddr};

use super::conversation::{Conversation, Door};
use super::crowd::Crowd;
use super::guest::Guest;
use super::mail::MailRoom;
use super::patience::Stage;
use super::share::Share;
use super::standing;
use crate::clock::Now;
use crate::guard::pressure::Pressure;
use crate::guard::{Guard, Load, Networks, Offence, Peer, tarpit};
use crate::http::{Desk, Exchange, Gate, Responses, Scratch, Secret};
use crate::limits::{
    FAULTS_MAX, HTTP_CONNECTIONS_MAX, MAKE_WAY_SILENT_MS, PRESSURE_CRITICAL_PERCENT,
    PROTOCOL_TICK_MS, PROXY_HEADER_MS, SWEEP_MS,
};
use crate::metrics::Metrics;
use crate::net::{Admission, ListenerId, Protocol, Refused};
use crate::output::Output;
use crate::phases::Phases;
use crate::progress::{Progress, Then};
use crate::smtp::reply::Goodbye;
use crate::smtp::session;
use crate::store::{Naming, Store};

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
    pub(super) share: Share,
    pub(super) pressure: Pressure,
    pub(super) crowd: Crowd,
    /// Pressure has risen since the reactor last asked.
    pub(super) deadlines_came_nearer: bool,
    pub(super) draining: bool,
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
        let Some(&door) = self.doors.get(listener.0) else {
            return Admission::Refuse(Refused::Unwanted);
        };
        if self.proxies.contains(peer.ip()) {
            let (proxy, since_ms) = (peer.ip(), now.monotonic_ms);
            return Admission::Accept(Conversation::Proxied { door, proxy, since_ms });
        }
        self.welcome(door, peer.ip(), now, output)
    }

    fn is_crowded(&self, listener: ListenerId, now: Now) -> bool {
        let mail_is_full = self.metrics.smtp_connections_open >= self.smtp_connections_max;
        let mail_is = self.crowd.is_felt(mail_is_full, now);
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
                self.share.mail_visited();
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
            Conversation::Http { exchange, source, peer, patience, encrypted } => {
                let progress = self.answer(exchange, (*source, peer), *encrypted, input, now);
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
                if guest.brought_mail {
                    self.crowd.made_room(self.smtp_connections_max);
                }
                self.metrics.smtp_connections_open -= 1;
                self.metrics.tls_connections_open -= u64::from(session.is_encrypted());
            }
            Conversation::Http { exchange, peer, encrypted, .. } => {
                if exchange.is_making() {
                    self.share.left();
                }
                self.guard.disconnected(peer);
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

    fn wants_way(&self, listener: ListenerId) -> bool {
        let brings_mail = matches!(self.doors.get(listener.0), Some(Door::Smtp | Door::Smtps));
        // Who is silent holds no draft: where only those are scarce, nothing would be won.
        brings_mail
            && self.pressure.closes_idle()
            && self.load().reaches(PRESSURE_CRITICAL_PERCENT[0])
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
        self.crowd.grows(now);
        let (goodbye, settings) = (Goodbye::TooManyConnections, self.session);
        session.dismiss(goodbye, &settings, &mut self.mail_room(guest, now), output);
    }

    fn deadlines_came_nearer(&mut self) -> bool {
        mem::take(&mut self.deadlines_came_nearer)
    }

    fn turn_begins(&mut self) {
        self.share.turn_begins();
    }

    fn has_time(&self, connection: &Conversation) -> bool {
        match connection {
            Conversation::Smtp { .. } | Conversation::Proxied { .. } => true,
            // What has been made only has to be sent.
            Conversation::Http { exchange, .. } => {
                !exchange.pending().is_empty() || self.share.has_answer(exchange.is_making())
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
    /// How hard pressed the server is, as far as this guest has to feel it: whoever is trusted is
    /// waited for as ever.
    fn pressure_on(&self, guest: &Guest) -> Pressure {
        if guest.peer.is_exempt() { Pressure::Calm } else { self.pressure }
    }

    /// Looks at what is left, and asks of clients accordingly.
    pub(super) fn feel_pressure(&mut self) {
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
    pub(super) fn load(&self) -> Load {
        Load { used: self.metrics.smtp_connections_open, most: self.smtp_connections_max }
    }

    fn answer(
        &mut self,
        exchange: &mut Exchange,
        (source, peer): (IpAddr, &Peer),
        encrypted: bool,
        input: &[u8],
        now: Now,
    ) -> Progress {
        // Its last response has just left.
        if !self.share.has_answer(exchange.is_making()) {
            return Progress { consumed: 0, then: Then::Yield };
        }
        let (metrics, guard) = (self.metrics, &self.guard);
        let mut desk = Desk {
            store: &mut self.store,
            naming: self.naming,
            gate: &self.gate,
            hostname: self.session.hostname(),
            smtp: &self.smtp_address,
            encrypted,
            ready: !self.draining,
            samples: &|store| {
                let guarded = guard.figures().samples(guard.standing_bans(now));
                [metrics.samples(), store.figures().samples(), guarded].concat()
            },
            standing: &|| standing::of(guard, source, now),
            secrets_wait_seconds: guard.secrets_wait_seconds(peer, now),
            secret: Secret::Fine,
            phases: &self.phases,
            scratch: &mut self.scratch,
            responses: &self.responses,
        };
        let progress = exchange.receive(input, &mut desk, now);
        match desk.secret {
            Secret::Fine => {}
            Secret::Wrong => {
                self.metrics.http_secrets_wrong += 1;
                if !peer.is_exempt() {
                    self.guard.offended(peer, Offence::WrongSecret, now);
                }
            }
            Secret::Unchecked => self.metrics.http_secrets_unchecked += 1,
        }
        if progress.consumed > 0 || exchange.is_making() {
            self.share.answered(exchange.is_making());
        }
        progress
    }

    fn mail_room<'a>(&'a mut self, guest: &'a mut Guest, now: Now) -> MailRoom<'a> {
        let Self { store, guard, metrics, phases, .. } = self;
        let (naming, tls_connections_max) = (self.naming, self.tls_connections_max);
        MailRoom { store, metrics, phases, guard, guest, naming, tls_connections_max, now }
    }
}
