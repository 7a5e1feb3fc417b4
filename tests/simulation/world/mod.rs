//! One simulation: clients, wires, a clock that jumps, and the server's own `Service` between them,
//! driven by weighted chance. It does with the protocol what the reactor does with it, plainly:
//! visits, timers by the same wheel, ticks, replies that are held back, visits that are put off, and
//! the silent making way; without sockets, budgets, spill or lingering.
//!
//! ```text
//! actions  one of: connect, speak, arrive, turn, read, reset, half-close, pass, sleep, jump
//! visits   those that were put off, then those that are ready, in any order ─► timers ─► tick
//! after    the model and the store's invariants, and that counts agree
//! end      nobody is cut off any more: who waits is answered; then all go, and nothing is left
//! ```

mod actions;
mod door;
mod link;
mod operator;
mod timers;
mod visits;

pub(crate) use operator::{Operator, source};

use mailfly::clock::Now;
use mailfly::config::Settings;
use mailfly::guard::Rules;
use mailfly::http::{Gate, Responses};
use mailfly::limits::{
    HTTP_HEAD_BYTES_MAX, OUTPUT_BYTES, PROTOCOL_TICK_MS, READ_BUFFER_BYTES, REPLY_BYTES_MAX,
    SMTP_IDLE_MS, TIMER_TICK_MS,
};
use mailfly::metrics::Metrics;
use mailfly::net::ListenerId;
use mailfly::net::timers::{NEVER, Timers};
use mailfly::output::Output;
use mailfly::server::{Door, Parts, Service};
use mailfly::store::Store;
use mailfly::tls::{Tls, TlsId};

use crate::client::Style;
use crate::guarded::Guarded;
use crate::mail::Sizes;
use crate::model::{Deeds, Model, Tally};
use crate::random::Random;
use crate::sealed;
use crate::strangers::{Foretold, Strangers};
use crate::wire::Wire;
use actions::Action;
use link::{Link, Who};

const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
const SMTP: ListenerId = ListenerId(0);
const HTTP: ListenerId = ListenerId(1);

pub(crate) struct World<'s> {
    random: Random,
    operator: &'s Operator,
    settings: &'s Settings,
    now: Now,
    service: Service<'s>,
    tls: Tls,
    responses: Responses,
    timers: Timers,
    tick_at_ms: u64,
    output: Output,
    read_bytes_max: usize,
    links: Vec<Option<Link>>,
    /// Whose visits the service has put off, the first to be served in the next turn.
    postponed: Vec<usize>,
    /// Turns in a row in which even the first in line was put off.
    first_put_off_turns: u32,
    /// How hard pressed the service was at the last look.
    pressure: u64,
    /// When all deadlines were asked for again after that had risen, or will be.
    rearmed_ms: u64,
    clients_left: usize,
    turned_away: u64,
    /// How often something was held back.
    holds: u64,
    /// Visits that were put off.
    put_off: u64,
    styles: [(usize, Style); 8],
    sizes: Sizes,
    model: Model,
    deeds: Deeds,
    /// Those of the service's own guard.
    rules: Rules,
    /// What that has to say.
    strangers: Option<Strangers>,
    guarded: Option<Guarded>,
    is_draining: bool,
    steps: u64,
    trace: bool,
}

/// What a simulation came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) simulated_ms: u64,
    pub(crate) steps: u64,
    pub(crate) tally: Tally,
    pub(crate) refused_at_the_door: u64,
    pub(crate) put_off: u64,
    /// By the service's own guard.
    pub(crate) turned_away: u64,
    pub(crate) holds: u64,
    pub(crate) metrics: Metrics,
    pub(crate) foretold: Foretold,
    /// Whether all that the service's guard did was.
    pub(crate) is_foretold: bool,
    /// For telling whether two runs were the same.
    pub(crate) fingerprint: u64,
}

impl<'s> World<'s> {
    pub(crate) fn new(
        seed: u64,
        operator: &'s Operator,
        responses: &Responses,
        trace: bool,
    ) -> Self {
        let mut random = Random::new(seed);
        let settings = &operator.settings;
        let store = Store::new(
            settings.capacity().expect("a capacity"),
            u128::from(random.next()) << 64 | u128::from(random.next()),
        );
        let store = store.expect("memory");
        let model = Model::new(settings, &store);
        let deeds = Deeds::none(&store);
        let (guard, strangers) = operator.guard(&mut random);
        let parts = Parts {
            store,
            guard,
            gate: Gate::default(),
            responses: responses.clone(),
            doors: vec![Door::Smtp, Door::Http],
            tls_connections_max: u64::from(operator.tls_connections_max),
            smtp_address: "127.0.0.1:25".to_owned(),
        };
        let service = Service::new(settings, parts);
        let output_bytes = random.pick(&[REPLY_BYTES_MAX, 2 * REPLY_BYTES_MAX, OUTPUT_BYTES]);
        let read_bytes_max =
            random.pick(&[HTTP_HEAD_BYTES_MAX, 2 * HTTP_HEAD_BYTES_MAX, READ_BUFFER_BYTES]);
        let connections = settings.connections_max as usize;
        let monotonic_ms = random.pick(&[0, 1, 5, YEAR_MS]);
        let mut styles = [
            (3, Style::Lockstep),
            (3, Style::Pipelined),
            (3, Style::Burst),
            (3, Style::Chunks),
            (1, Style::Rude),
            (2, Style::Garbage),
            (2, Style::Hog),
            (1, Style::Silent),
        ];
        let favourite = random.below(styles.len());
        styles[favourite].0 *= 5;
        let sizes = Sizes { bytes_max: settings.message_bytes_max, heavy: random.percent(40) };
        let guarded = random.percent(50).then(|| Guarded::new(&mut random, operator.sets));
        Self {
            operator,
            settings,
            now: Now { monotonic_ms, unix_ms: 50 * YEAR_MS },
            service: service.expect("histograms"),
            tls: sealed::machine(operator.tls_connections_max),
            responses: responses.clone(),
            timers: Timers::new(connections),
            tick_at_ms: monotonic_ms + PROTOCOL_TICK_MS,
            output: Output::with_capacity(output_bytes),
            read_bytes_max,
            links: (0..connections).map(|_| None).collect(),
            postponed: vec![],
            first_put_off_turns: 0,
            pressure: 0,
            rearmed_ms: 0,
            clients_left: random.between(1, if operator.is_wide { 200 } else { 60 }),
            turned_away: 0,
            holds: 0,
            put_off: 0,
            styles,
            sizes,
            model,
            deeds,
            rules: operator.rules,
            strangers,
            guarded,
            is_draining: false,
            steps: 0,
            trace,
            random,
        }
    }

    /// All of it, from the first peer to the last.
    pub(crate) fn run(mut self) -> Report {
        let started_ms = self.now.monotonic_ms;
        let steps = self.random.pick(&[60, 150, 300]);
        // Each seed has something that it does more of.
        let mut weights = [
            (16, Action::Connect),
            (25, Action::Speak),
            (25, Action::Arrive),
            (25, Action::Turn),
            (12, Action::Read),
            (1, Action::Reset),
            (1, Action::HalfClose),
            (6, Action::Pass),
            (1, Action::Sleep),
            (1, Action::Jump),
            (1, Action::Expire),
        ];
        let favourite = self.random.below(weights.len());
        weights[favourite].0 *= 3;
        if self.operator.is_wide {
            weights[0].0 *= 4;
        }
        for _ in 0..steps {
            let action = self.random.weighted(&weights);
            self.step(action);
        }
        self.come_to_rest();
        self.end();
        let fingerprint = self.random.next() ^ self.now.monotonic_ms;
        let guarded = self.guarded.as_ref();
        Report {
            simulated_ms: self.now.monotonic_ms - started_ms,
            steps: self.steps,
            tally: self.model.tally,
            refused_at_the_door: guarded.map_or(0, |guarded| guarded.refused),
            put_off: self.put_off,
            turned_away: self.turned_away,
            holds: self.holds,
            metrics: self.service.metrics(),
            foretold: self.strangers.as_ref().map_or_else(Foretold::default, |it| it.foretold),
            is_foretold: self.strangers.is_some_and(|strangers| strangers.is_certain),
            fingerprint,
        }
    }

    /// After each step that the server sees: what the model says, and what can be counted.
    fn check(&mut self) {
        self.check_store();
        let metrics = self.service.metrics();
        let open = self.links.iter().flatten();
        let (clients, readers): (Vec<&Link>, Vec<&Link>) =
            open.partition(|link| matches!(link.who, Who::Client(_)));
        assert_eq!(metrics.smtp_connections_open, clients.len() as u64, "sessions are counted");
        assert_eq!(metrics.http_connections_open, readers.len() as u64, "readers are counted");
        let sealed = clients.iter().filter(|link| link.tls != TlsId::NONE).count();
        assert_eq!(metrics.tls_connections_open, sealed as u64, "those with TLS are counted");
        assert_eq!(self.tls.connections(), sealed, "no keys without a connection");
        assert_eq!(metrics.messages, self.model.tally.messages, "messages are counted");
        if self.links.iter().all(Option::is_none) {
            let figures = self.service.store().figures();
            assert_eq!(figures.arenas_drafts, 0, "no draft without a session");
            assert_eq!(self.responses.bytes(), 0, "no response without a reader");
        }
        for (key, link) in self.links.iter().enumerate() {
            let deadline_ms = self.timers.deadline_ms(key as u32);
            assert_eq!(link.is_some(), deadline_ms != NEVER, "who is there has a timer");
        }
    }

    /// After all that may change the store: nothing else has changed.
    fn check_store(&mut self) {
        let store = self.service.store();
        self.model.check(store, self.now, &self.deeds);
        self.deeds = Deeds::none(store);
    }

    /// From here on the world is kind: all that was sent arrives and is read, in time. So everybody
    /// gets the answers that they wait for.
    fn come_to_rest(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.wire.widen();
        }
        for _ in 0..3_000 {
            let mut is_quiet = true;
            for at in 0..self.links.len() {
                self.speak(at);
                if let Some(link) = &mut self.links[at] {
                    is_quiet &= !(link.wire.is_under_way() || link.wire.is_to_be_read());
                    link.wire.arrive(&mut self.random);
                    is_quiet &= !link.has_work() && !link.is_held;
                }
                self.read(at);
            }
            self.turn();
            self.check();
            if is_quiet {
                break;
            }
            // Whoever is kept waiting is waited for.
            let held = self.links.iter().flatten().filter(|link| link.is_held);
            let until_ms = held.map(|link| link.deadline_ms(&self.service, &self.tls)).min();
            let now_ms = self.now.monotonic_ms;
            self.pass(until_ms.map_or(1, |until_ms| until_ms.saturating_sub(now_ms).max(1)));
        }
        for link in self.links.iter().flatten() {
            assert!(!link.has_work(), "it comes to rest");
            match &link.who {
                Who::Client(client) if client.is_derailed || client.is_dismissed => {}
                Who::Client(client) => {
                    assert!(link.is_ended() || client.has_all_answers(), "no answer, no end");
                    assert!(link.is_ended() || client.has_said_all(), "it waits in vain");
                }
                Who::Reader(reader) if reader.is_dismissed => {}
                Who::Reader(reader) => {
                    assert!(link.is_ended() || reader.has_all_answers(), "no answer, no end");
                    assert!(link.is_ended() || reader.has_said_all(), "it waits in vain");
                }
            }
        }
    }

    /// Everybody goes, of their own accord or not, and nothing is left but the mail.
    fn end(&mut self) {
        match self.random.below(3) {
            0 => {
                self.is_draining = true;
                self.service.drain();
                for at in 0..self.links.len() {
                    if let Some(link) = self.links[at].take() {
                        self.settle(at, link, true);
                    }
                }
            }
            1 => {
                for at in 0..self.links.len() {
                    self.with_wire(at, Wire::reset);
                }
            }
            _ => {}
        }
        self.sleep(SMTP_IDLE_MS + 10 * TIMER_TICK_MS);
        self.sleep(PROTOCOL_TICK_MS);
        self.sleep(SMTP_IDLE_MS);
        self.check();
        assert!(self.links.iter().all(Option::is_none), "no slot is left");
        assert_eq!(self.timers.next_ms(), None, "no timer is left");
        self.model.check_all(self.service.store(), self.now);
        if let Some(guarded) = &mut self.guarded {
            guarded.check_end(self.now);
        }
    }
}
