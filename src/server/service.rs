//! What the server's connections mean: some speak SMTP and some HTTP, over the same store. Not
//! here: what either says (`smtp`, `http`), or when connections are served (`net`).

use std::net::{IpAddr, SocketAddr};

use super::mail::MailRoom;
use crate::clock::Now;
use crate::http::{Desk, Exchange, Gate, Responses, Scratch};
use crate::limits::{
    HTTP_ANSWER_WORK_BYTES, HTTP_CONNECTIONS_MAX, HTTP_IDLE_MS, HTTP_STALL_MS,
    HTTP_WORK_BYTES_PER_TURN, PROTOCOL_TICK_MS, SMTP_IDLE_MS, SWEEP_MS,
};
use crate::metrics::Metrics;
use crate::net::{Admission, ListenerId, Protocol};
use crate::output::Output;
use crate::phases::Phases;
use crate::progress::{Progress, Then};
use crate::smtp::reply::Goodbye;
use crate::smtp::session::{self, Session};
use crate::store::{Draft, Naming, Store};

/// Everything that connections share. `'s` is how long the settings live.
pub struct Service<'s> {
    pub(super) store: Store,
    pub(super) metrics: Metrics,
    pub(super) phases: Phases,
    pub(super) naming: Naming,
    pub(super) session: session::Settings<'s>,
    /// How many mailboxes there may be: what a sweep has to get round.
    pub(super) mailboxes_max: u32,
    /// Listeners below this number take mail; those from it on show it.
    pub(super) smtp_listeners: usize,
    /// How many sessions there may be: the rest is for readers, who monitor the server too.
    pub(super) smtp_connections_max: u64,
    /// Where mail is taken, for the pages to tell.
    pub(super) smtp_address: String,
    /// Who may ask for what over HTTP.
    pub(super) gate: Gate,
    pub(super) scratch: Scratch,
    pub(super) responses: Responses,
    /// What answers may still cost in this turn, counted in bytes of mail read.
    pub(super) http_work_left: usize,
    pub(super) draining: bool,
}

/// What is remembered of one connection.
pub enum Conversation {
    /// It brings mail.
    Smtp {
        /// How far it is.
        session: Session<Draft>,
        /// Where it came from.
        source: IpAddr,
    },
    /// It reads mail.
    Http(Exchange),
}

impl Protocol for Service<'_> {
    type Connection = Conversation;

    fn connected(
        &mut self,
        listener: ListenerId,
        peer: SocketAddr,
        _now: Now,
        output: &mut Output,
    ) -> Admission<Conversation> {
        if listener.0 < self.smtp_listeners {
            if self.metrics.smtp_connections_open >= self.smtp_connections_max {
                self.metrics.smtp_connections_refused += 1;
                // A fresh output has room for it.
                let _ = Goodbye::TooManyConnections.write(self.session.hostname(), output);
                return Admission::Refuse;
            }
            let session = Session::new();
            session.greeting(&self.session, output);
            self.phases.banner_said();
            self.metrics.smtp_connections += 1;
            self.metrics.smtp_connections_open += 1;
            return Admission::Accept(Conversation::Smtp { session, source: peer.ip() });
        }
        if self.metrics.http_connections_open >= HTTP_CONNECTIONS_MAX {
            self.metrics.http_connections_refused += 1;
            return Admission::Refuse;
        }
        self.metrics.http_connections += 1;
        self.metrics.http_connections_open += 1;
        Admission::Accept(Conversation::Http(Exchange::default()))
    }

    fn received(
        &mut self,
        connection: &mut Conversation,
        input: &[u8],
        now: Now,
        output: &mut Output,
    ) -> Progress {
        match connection {
            Conversation::Smtp { session, source } => {
                let (settings, draining) = (self.session, self.draining);
                let mut world = self.mail_room(*source, now);
                let progress = session.receive(&settings, input, &mut world, output);
                if draining && progress.then == Then::Continue && session.is_idle() {
                    session.dismiss(Goodbye::ShuttingDown, &settings, &mut world, output);
                    return Progress { then: Then::Close, ..progress };
                }
                progress
            }
            Conversation::Http(exchange) => self.answer(exchange, input, now),
        }
    }

    fn deadline_ms(&self, connection: &Conversation, moved_ms: u64) -> u64 {
        match connection {
            Conversation::Smtp { .. } => moved_ms + SMTP_IDLE_MS,
            Conversation::Http(exchange) if exchange.is_idle() => moved_ms + HTTP_IDLE_MS,
            // What is owed is held in memory that others wait for.
            Conversation::Http(_) => moved_ms + HTTP_STALL_MS,
        }
    }

    fn expired(&mut self, connection: &mut Conversation, now: Now, output: &mut Output) -> Then {
        if let Conversation::Smtp { session, source } = connection {
            let goodbye = if self.draining { Goodbye::ShuttingDown } else { Goodbye::TimedOut };
            self.metrics.smtp_timeouts += u64::from(!self.draining);
            let settings = self.session;
            session.dismiss(goodbye, &settings, &mut self.mail_room(*source, now), output);
        }
        Then::Close
    }

    fn disconnected(&mut self, connection: Conversation, now: Now) {
        match connection {
            Conversation::Smtp { mut session, source } => {
                session.closed(&mut self.mail_room(source, now));
                self.metrics.smtp_connections_open -= 1;
            }
            Conversation::Http(_) => self.metrics.http_connections_open -= 1,
        }
    }

    fn held_output<'a>(&'a self, connection: &'a Conversation) -> &'a [u8] {
        match connection {
            Conversation::Smtp { .. } => &[],
            Conversation::Http(exchange) => exchange.pending(),
        }
    }

    fn held_output_sent(&mut self, connection: &mut Conversation, bytes: usize) {
        if let Conversation::Http(exchange) = connection {
            exchange.sent(bytes);
        }
    }

    fn draining(&mut self, connection: &mut Conversation, now: Now, output: &mut Output) -> Then {
        match connection {
            Conversation::Smtp { session, source } if session.is_idle() => {
                let (goodbye, settings) = (Goodbye::ShuttingDown, self.session);
                session.dismiss(goodbye, &settings, &mut self.mail_room(*source, now), output);
                Then::Close
            }
            Conversation::Http(exchange) if exchange.is_idle() => Then::Close,
            _ => Then::Continue,
        }
    }

    fn turn_begins(&mut self) {
        self.http_work_left = HTTP_WORK_BYTES_PER_TURN;
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
        // All mailboxes within SWEEP_MS, a few each time.
        let ticks = u32::try_from(SWEEP_MS / PROTOCOL_TICK_MS).unwrap_or(1);
        self.store.sweep(now, self.mailboxes_max.div_ceil(ticks));
    }
}

impl Service<'_> {
    fn answer(&mut self, exchange: &mut Exchange, input: &[u8], now: Now) -> Progress {
        if self.http_work_left == 0 {
            return Progress { consumed: 0, then: Then::Yield };
        }
        let metrics = self.metrics;
        let mut desk = Desk {
            store: &mut self.store,
            naming: self.naming,
            gate: &self.gate,
            hostname: self.session.hostname(),
            smtp: &self.smtp_address,
            ready: !self.draining,
            samples: &|store| [metrics.samples(), store.figures().samples()].concat(),
            phases: &self.phases,
            scratch: &mut self.scratch,
            responses: &self.responses,
        };
        let progress = exchange.receive(input, &mut desk, now);
        if progress.consumed > 0 {
            let work = HTTP_ANSWER_WORK_BYTES + self.scratch.take_read_bytes();
            self.http_work_left = self.http_work_left.saturating_sub(work);
        }
        progress
    }

    fn mail_room(&mut self, source: IpAddr, now: Now) -> MailRoom<'_> {
        let Self { store, metrics, phases, naming, .. } = self;
        MailRoom { store, metrics, phases, naming: *naming, source, now }
    }
}
