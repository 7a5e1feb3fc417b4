//! One simulation: clients, wires, a clock that jumps, and the server's own `Service` between them,
//! driven by weighted chance. It does with the protocol what the reactor does with it, plainly:
//! visits, timers by the same wheel, ticks, replies that are held back, visits that are put off, and
//! the silent making way; without sockets, budgets, spill or lingering.
//!
//! ```text
//! step     one of: connect, speak, arrive, turn, read, reset, half-close, pass, sleep, jump
//! turn     visit those that were put off, then those that are ready, in any order ─► timers ─► tick
//! after    the model and the store's invariants, and that counts agree
//! end      nobody is cut off any more: who waits is answered; then all go, and nothing is left
//! ```

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use mailfly::clock::Now;
use mailfly::config::{Keys, Machine, PolicyKey, Settings, Size, TimeToLive};
use mailfly::guard::{Action as Sanction, Guard, Networks, Offence, Peer, Rule, Rules, Words};
use mailfly::http::{Gate, Responses};
use mailfly::limits::{
    HTTP_HEAD_BYTES_MAX, HTTP_TURNS_LEFT_OUT_MAX, LINE_BYTES_MAX, OUTPUT_BYTES, PROTOCOL_TICK_MS,
    READ_BUFFER_BYTES, REPLY_BYTES_MAX, SMTP_IDLE_MS, TARPIT_MS_MAX, TIMER_TICK_MS,
    TIMERS_PER_TURN,
};
use mailfly::metrics::Metrics;
use mailfly::net::timers::{NEVER, Timers};
use mailfly::net::{Admission, ListenerId, Protocol};
use mailfly::output::Output;
use mailfly::progress::{Progress, Then};
use mailfly::server::{Conversation, Door, Parts, Service};
use mailfly::store::Store;

use crate::client::{Client, Style, Terms};
use crate::guarded::Guarded;
use crate::mail::Sizes;
use crate::model::{Commit, Deeds, Model, Tally};
use crate::random::Random;
use crate::reader::Reader;
use crate::wire::{Received, Wire};

const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
const SMTP: ListenerId = ListenerId(0);
const HTTP: ListenerId = ListenerId(1);

/// What happens in one step.
#[derive(Clone, Copy, Debug)]
enum Action {
    Connect,
    Speak,
    Arrive,
    Turn,
    Read,
    Reset,
    HalfClose,
    /// A little time, in which the server sleeps.
    Pass,
    /// The server sleeps until a timer wakes it, now and then for long.
    Sleep,
    /// The wall clock jumps, and nothing else.
    Jump,
    /// To when the oldest mail expires.
    Expire,
}

enum Who {
    Client(Box<Client>),
    Reader(Reader),
}

/// A connection, both of its ends.
struct Link {
    who: Who,
    source: IpAddr,
    wire: Wire,
    conversation: Conversation,
    /// What the server has received and not consumed.
    kept: Vec<u8>,
    /// It has to be shown what was kept, without any more having come.
    is_unseen: bool,
    unsent: VecDeque<u8>,
    /// What is unsent is held back until its timer fires.
    is_held: bool,
    is_closing: bool,
    told_to_drain: bool,
    moved_ms: u64,
    received_bytes: u64,
    peer: Option<Peer>,
}

/// What the guard is still to be told of a link.
#[derive(Default)]
struct Told {
    faults: usize,
    mails: Vec<std::rc::Rc<crate::mail::Mail>>,
}

pub(crate) struct World<'s> {
    random: Random,
    settings: &'s Settings,
    now: Now,
    service: Service<'s>,
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
    /// For telling whether two runs were the same.
    pub(crate) fingerprint: u64,
}

/// The address of the so-manieth peer.
pub(crate) fn source(number: usize) -> IpAddr {
    match number % 3 {
        0 => IpAddr::from([198, 51, 100, number as u8]),
        1 => IpAddr::from([203, 0, (number * 7) as u8, 9]),
        _ => IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, number as u16, 0, 0, 0, 1)),
    }
}

/// What the operator of this seed's server wants: little of everything.
pub(crate) fn settings(seed: u64) -> Settings {
    let mut random = Random::new(seed ^ 0x0053_6574_7469_6e67);
    let message = random.pick(&[600, 9_000, 20_000, 40_000]);
    let keys = Keys {
        hostname: Some("mail.test".parse().expect("a hostname")),
        connections: Some(random.pick(&[1, 3, 8, 16])),
        policy: Some(random.pick(&[PolicyKey::Curt, PolicyKey::Rfc])),
        message_size: Some(Size(message)),
        ttl: Some(match random.below(3) {
            0 => TimeToLive::Unlimited,
            _ => TimeToLive::Milliseconds(random.pick(&[1_000, 90_000, 3_600_000])),
        }),
        memory: Some(Size(random.pick(&[1, 1, 1, 200]) * 1024)),
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
/// that no mail is lost to it; in the others nobody is, and a few rules are tight enough to be met.
fn rules(random: &mut Random) -> Rules {
    let mut rules = Rules::off();
    if random.percent(50) {
        return rules;
    }
    for rule in Rule::ALL {
        let Some(mut setting) = Rules::default().of(rule).filter(|_| random.percent(50)) else {
            continue;
        };
        setting.action = random.pick(&[Sanction::Tarpit, Sanction::Discard, Sanction::Reject]);
        setting.count_max = match rule {
            Rule::Offences => random.between(5, 40),
            _ => random.between(1, 12),
        } as u32;
        rules.set(rule, Some(setting)).expect("a setting");
    }
    rules
}

/// A guard of these rules; with none of them on, nobody is a stranger to it.
fn guard(random: &mut Random, rules: Rules) -> Guard {
    let all = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("a network"));
    let trusted = if rules == Rules::off() { &all[..] } else { &[] };
    let sizes = random.pick(&[[1, 1, 1], [2, 4, 2], [8, 8, 8]]);
    Guard::with_sizes(
        mailfly::guard::Sizes::of_sets(sizes),
        rules,
        Networks::new(trusted).expect("a few"),
        Words::parse("subject").expect("a word"),
        u128::from(random.next()),
    )
}

impl<'s> World<'s> {
    pub(crate) fn new(
        seed: u64,
        settings: &'s Settings,
        responses: &Responses,
        trace: bool,
    ) -> Self {
        let mut random = Random::new(seed);
        let store = Store::new(
            settings.capacity().expect("a capacity"),
            u128::from(random.next()) << 64 | u128::from(random.next()),
        );
        let store = store.expect("memory");
        let model = Model::new(settings, &store);
        let deeds = Deeds::none(&store);
        let rules = rules(&mut random);
        let parts = Parts {
            store,
            guard: guard(&mut random, rules),
            gate: Gate::default(),
            responses: responses.clone(),
            doors: vec![Door::Smtp, Door::Http],
            tls_connections_max: 0,
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
        let guarded = random.percent(50).then(|| Guarded::new(&mut random));
        Self {
            settings,
            now: Now { monotonic_ms, unix_ms: 50 * YEAR_MS },
            service: service.expect("histograms"),
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
            clients_left: random.between(1, 60),
            turned_away: 0,
            holds: 0,
            put_off: 0,
            styles,
            sizes,
            model,
            deeds,
            rules,
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
            fingerprint,
        }
    }

    fn step(&mut self, action: Action) {
        let there: Vec<usize> =
            (0..self.links.len()).filter(|&at| self.links[at].is_some()).collect();
        let which = if there.is_empty() { 0 } else { self.random.pick(&there) };
        // Now and then it happens to all of them at once.
        let all = matches!(action, Action::Speak | Action::Arrive | Action::Read)
            && self.random.percent(60);
        if self.trace {
            let which = if all { "all".to_owned() } else { which.to_string() };
            eprintln!("{:6} {:>10} ms  {action:?} {which}", self.steps, self.now.monotonic_ms);
        }
        self.steps += 1;
        // What happens at the client's end, or under way, is nothing to the server yet.
        let is_seen = !matches!(
            action,
            Action::Speak | Action::Arrive | Action::Read | Action::Reset | Action::HalfClose
        );
        match action {
            Action::Connect => self.connect(),
            Action::Speak if all => there.into_iter().for_each(|at| self.speak(at)),
            Action::Arrive if all => there.into_iter().for_each(|at| self.arrive(at)),
            Action::Read if all => there.into_iter().for_each(|at| self.read(at)),
            Action::Speak => self.speak(which),
            Action::Arrive => self.arrive(which),
            Action::Turn => self.turn(),
            Action::Read => self.read(which),
            Action::Reset => self.with_wire(which, Wire::reset),
            Action::HalfClose => self.with_wire(which, Wire::end),
            Action::Pass => {
                let ms = self.random.pick(&[0, 1, 15, 16, 40, 900]);
                self.pass(ms);
                self.turn();
            }
            Action::Sleep => {
                let ms = self.random.pick(&[1_000, 1_000, 11_000, 61_000, SMTP_IDLE_MS + 20]);
                self.sleep(ms);
            }
            Action::Jump => {
                let years = self.random.pick(&[0, 40, 50, 60]);
                self.now.unix_ms = years * YEAR_MS + self.random.next() % YEAR_MS;
            }
            Action::Expire => {
                if let Some(ms) = self.model.next_expiry_ms() {
                    self.sleep(ms.saturating_sub(self.now.monotonic_ms).min(3_600_000));
                }
            }
        }
        if is_seen {
            self.check();
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

    fn with_wire(&mut self, which: usize, act: impl FnOnce(&mut Wire)) {
        if let Some(link) = &mut self.links[which] {
            act(&mut link.wire);
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
    }

    /// The server sleeps for so long, but for what its timers have it do.
    fn sleep(&mut self, ms: u64) {
        let until_ms = self.now.monotonic_ms + ms;
        while self.now.monotonic_ms < until_ms {
            let next_ms = self.timers.next_ms().unwrap_or(NEVER).min(self.tick_at_ms);
            let next_ms = next_ms.clamp(self.now.monotonic_ms, until_ms);
            self.pass(next_ms - self.now.monotonic_ms);
            self.fire();
        }
        self.turn();
    }

    fn connect(&mut self) {
        let free = self.links.iter().position(Option::is_none);
        let Some(at) = free.filter(|_| self.clients_left > 0 && !self.is_draining) else { return };
        self.clients_left -= 1;
        let number =
            self.random.pick(&[0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) * self.random.between(1, 3);
        let address = source(number);
        let listener = if self.random.percent(25) { HTTP } else { SMTP };
        let mut peer = None;
        if let Some(guarded) = &mut self.guarded
            && listener == SMTP
        {
            peer = guarded.connected(address, self.now);
            if peer.is_none() {
                return;
            }
        }
        self.service.turn_begins();
        let port = SocketAddr::new(address, 1000);
        let admission = self.service.connected(listener, port, self.now, &mut self.output);
        self.note_pressure();
        let window_bytes = self.random.pick(&[20, 300, 5_000, 1 << 20]);
        let mut wire = Wire::new(window_bytes);
        let Admission::Accept(conversation) = admission else {
            self.turned_away(listener);
            wire.send(self.output.as_slice());
            self.output.clear();
            if let (Some(guarded), Some(peer)) = (&mut self.guarded, peer) {
                guarded.disconnected(peer, address);
            }
            return;
        };
        let who = match listener {
            SMTP => {
                let style = self.random.weighted(&self.styles);
                Who::Client(Box::new(Client::new(&mut self.random, style, self.sizes)))
            }
            _ => Who::Reader(Reader::new(&mut self.random)),
        };
        let mut link = Link {
            who,
            source: address,
            wire,
            conversation,
            kept: vec![],
            is_unseen: false,
            unsent: VecDeque::new(),
            is_held: false,
            is_closing: false,
            told_to_drain: false,
            moved_ms: self.now.monotonic_ms,
            received_bytes: 0,
            peer,
        };
        self.said(&mut link);
        self.hold(&mut link);
        let is_open = self.send(&mut link);
        self.settle(at, link, is_open);
        if self.service.wants_way() {
            self.make_way();
        }
        self.service.turn_ends(1, 1);
    }

    /// Somebody was refused, and told why: there are too many, or a rule that is on.
    fn turned_away(&mut self, listener: ListenerId) {
        if listener == HTTP {
            return;
        }
        let line = str::from_utf8(self.output.as_slice()).expect("replies are text").trim_end();
        let mut rules = Rule::ALL.iter().filter(|rule| line.ends_with(rule.reason()));
        let rejects = |rule: &Rule| {
            self.rules.of(*rule).is_some_and(|setting| setting.action == Sanction::Reject)
        };
        let is_judgement = line.starts_with("554 5.7.1 ") || line.starts_with("421 4.7.0 ");
        assert!(
            line.starts_with("421 4.3.2 ") || is_judgement && rules.any(rejects),
            "turned away with {line:?}"
        );
        self.turned_away += u64::from(is_judgement);
    }

    /// Of those who may be asked to, the one goes that has been silent longest.
    fn make_way(&mut self) {
        let may = |link: &Link| {
            let is_busy = link.is_closing || link.has_work() || link.is_owed(&self.service);
            !is_busy && self.service.may_make_way(&link.conversation, link.moved_ms, self.now)
        };
        let silent = self.links.iter().enumerate().filter_map(|(at, link)| {
            link.as_ref().filter(|link| may(link)).map(|link| (link.moved_ms, at))
        });
        let Some((_, at)) = silent.min() else { return };
        let Some(mut link) = self.links[at].take() else { return };
        self.service.makes_way(&mut link.conversation, self.now, &mut self.output);
        self.said(&mut link);
        link.is_closing = true;
        let is_open = self.send(&mut link);
        self.settle(at, link, is_open);
    }

    fn speak(&mut self, which: usize) {
        let Some(link) = &mut self.links[which] else { return };
        let said = match &mut link.who {
            Who::Client(client) => client.speak(self.random.pick(&[1, 1, 3, 100])),
            Who::Reader(reader) => reader.speak(&mut self.random, &self.model),
        };
        link.wire.write(&said);
    }

    fn arrive(&mut self, which: usize) {
        if let Some(link) = &mut self.links[which] {
            link.wire.arrive(&mut self.random);
        }
    }

    fn read(&mut self, which: usize) {
        let Some(link) = &mut self.links[which] else { return };
        let most = self.random.pick(&[1, 50, 1 << 20, 1 << 20]);
        let heard = link.wire.read(most);
        match &mut link.who {
            Who::Client(client) => client.hear(&heard),
            Who::Reader(reader) => reader.hear(&heard),
        }
    }

    /// A turn of the loop: whoever is ready, in any order, some not at all yet; then the timers.
    fn turn(&mut self) {
        // Time has passed, and mail may have expired.
        self.check_store();
        self.service.turn_begins();
        let mut ready: Vec<usize> = (0..self.links.len())
            .filter(|&at| self.links[at].as_ref().is_some_and(Link::has_work))
            .collect();
        self.random.shuffle(&mut ready);
        let all = self.random.percent(70);
        ready.truncate(if all { ready.len() } else { ready.len().div_ceil(2) });
        let before = std::mem::take(&mut self.postponed);
        ready.retain(|at| !before.contains(at));
        let mut visited = 0;
        let mut is_first = true;
        let first_put_off_turns = std::mem::take(&mut self.first_put_off_turns);
        for at in before.iter().copied().chain(ready) {
            let Some(link) = self.links[at].as_ref().filter(|link| link.has_work()) else {
                continue;
            };
            if self.service.has_time(&link.conversation) {
                visited += 1;
                self.visit(at);
            } else {
                assert!(matches!(link.who, Who::Reader(_)), "mail is never put off");
                if is_first {
                    self.first_put_off_turns = first_put_off_turns + 1;
                    assert!(self.first_put_off_turns <= HTTP_TURNS_LEFT_OUT_MAX);
                }
                self.put_off += 1;
                self.postponed.push(at);
            }
            is_first = false;
        }
        self.fire();
        self.service.turn_ends(visited, 1);
    }

    /// One connection: sends what waits, then reads and converses until there is no more to read,
    /// or the peer takes no more.
    fn visit(&mut self, at: usize) {
        let Some(mut link) = self.links[at].take() else { return };
        let is_open = self.converse(&mut link);
        self.settle(at, link, is_open);
    }

    /// Returns whether the connection stays.
    fn converse(&mut self, link: &mut Link) -> bool {
        // How many reads a visit has is a matter of chance, as it is with a budget.
        for _ in 0..self.random.between(1, 4) {
            if !self.send(link) {
                return false;
            }
            if link.is_held || link.is_owed(&self.service) {
                return true;
            }
            if link.is_closing {
                return false;
            }
            if !link.is_unseen {
                let room = self.read_bytes_max - link.kept.len();
                let most =
                    if self.random.percent(80) { room } else { self.random.between(1, room) };
                match link.wire.receive(&mut link.kept, most) {
                    Received::Bytes(bytes) => {
                        link.received_bytes += bytes as u64;
                        link.moved_ms = self.now.monotonic_ms;
                    }
                    Received::Nothing => return true,
                    Received::End => return false,
                }
            }
            self.show(link);
        }
        self.send(link)
    }

    /// Shows the protocol what it has not consumed, and notes what it says.
    fn show(&mut self, link: &mut Link) {
        let Progress { consumed, then } =
            self.service.received(&mut link.conversation, &link.kept, self.now, &mut self.output);
        assert!(consumed <= link.kept.len(), "no more is consumed than was shown");
        self.deeds.input_bytes += link.kept.len();
        let got_on = consumed > 0 || !self.output.is_empty();
        link.kept.drain(..consumed);
        let is_answered = consumed > 0 || !self.service.held_output(&link.conversation).is_empty();
        self.said(link);
        if let Who::Reader(reader) = &mut link.who
            && is_answered
            && !reader.has_all_answers()
        {
            let response = self.service.held_output(&link.conversation);
            reader.answered(response, &self.model, &mut self.deeds);
        }
        link.is_unseen = false;
        match then {
            Then::Continue => {
                let most = match link.who {
                    Who::Client(_) => LINE_BYTES_MAX,
                    Who::Reader(_) => self.read_bytes_max,
                };
                assert!(link.kept.len() < most, "what is left is the beginning of something");
            }
            Then::Flush => {
                assert!(got_on, "it gets on");
                link.is_unseen = !link.kept.is_empty();
            }
            Then::Yield => link.is_unseen = !link.kept.is_empty(),
            Then::Close => link.is_closing = true,
            Then::Encrypt => panic!("nobody has asked for that"),
        }
        self.hold(link);
        self.check_store();
    }

    /// Keeps back what has just been said, if the service wants it and there is room for it, which is
    /// a matter of chance.
    fn hold(&mut self, link: &mut Link) {
        let until_ms = self.service.held_until_ms(&link.conversation);
        if until_ms <= self.now.monotonic_ms || link.unsent.is_empty() || self.random.percent(3) {
            return;
        }
        let most_ms = self.now.monotonic_ms + TARPIT_MS_MAX;
        assert!(until_ms <= most_ms, "nobody is kept waiting for long");
        assert_ne!(self.rules, Rules::off(), "who is trusted is not kept waiting");
        self.holds += 1;
        link.is_held = true;
        // It is shown again what was left, as one who has kept the server waiting.
        link.is_unseen = !link.kept.is_empty() && !link.is_closing;
    }

    /// What is in the output has been said: to the client's own account, to the model's, and on its
    /// way.
    fn said(&mut self, link: &mut Link) {
        if self.trace && !self.output.is_empty() {
            eprintln!("{:>30} < {}", link.source, self.output.as_slice().escape_ascii());
        }
        let mut told = Told::default();
        if let Who::Client(client) = &mut link.who {
            let terms = Terms {
                policy: self.settings.policy,
                message_bytes_max: self.settings.message_bytes_max,
                rules: &self.rules,
            };
            let said = client.answered(self.output.as_slice(), link.received_bytes, terms);
            self.deeds.replies += said.replies;
            self.deeds.drafts_full += said.drafts_full;
            told.faults = said.faults;
            for stored in said.stored {
                told.mails.push(std::rc::Rc::clone(&stored.mail));
                self.deeds.commits.push(Commit {
                    mail: stored.mail,
                    recipients: stored.recipients,
                    id: stored.id,
                    source: link.source,
                });
            }
        }
        if self.service.is_timed() {
            self.service.sent(1);
        }
        link.unsent.extend(self.output.as_slice());
        self.output.clear();
        if let (Some(guarded), Some(peer)) = (&mut self.guarded, &link.peer) {
            for mail in &told.mails {
                guarded.message(&mut self.random, peer, link.source, mail, self.now);
            }
            for _ in 0..told.faults {
                guarded.offended(peer, link.source, Offence::Fault, self.now);
            }
        }
    }

    /// Sends what waits, as far as the window allows; returns whether the peer is still there.
    fn send(&mut self, link: &mut Link) -> bool {
        if link.is_held {
            return true;
        }
        while !link.unsent.is_empty() {
            let Some(sent) = link.wire.send(link.unsent.make_contiguous()) else { return false };
            if sent == 0 {
                return true;
            }
            link.unsent.drain(..sent);
            link.moved_ms = self.now.monotonic_ms;
        }
        loop {
            let held = self.service.held_output(&link.conversation);
            if held.is_empty() {
                return true;
            }
            let Some(sent) = link.wire.send(held) else { return false };
            if sent == 0 {
                return true;
            }
            link.moved_ms = self.now.monotonic_ms;
            self.service.held_output_sent(&mut link.conversation, sent);
        }
    }

    /// Puts a connection back, or ends it.
    fn settle(&mut self, at: usize, mut link: Link, mut is_open: bool) {
        let key = at as u32;
        if self.is_draining && link.is_held {
            // Nobody is kept waiting on purpose any more.
            link.is_held = false;
            is_open &= self.send(&mut link);
        }
        if is_open && self.is_draining && !link.told_to_drain && !link.is_owed(&self.service) {
            link.told_to_drain = true;
            let then = self.service.draining(&mut link.conversation, self.now, &mut self.output);
            self.said(&mut link);
            is_open = self.send(&mut link);
            link.is_closing |= then == Then::Close;
        }
        if link.is_closing && !link.is_owed(&self.service) {
            is_open = false;
        }
        if is_open {
            let deadline_ms = link.deadline_ms(&self.service);
            if deadline_ms < self.timers.deadline_ms(key) {
                self.timers.set(key, deadline_ms);
            }
            self.links[at] = Some(link);
            return;
        }
        self.timers.cancel(key);
        let Link { conversation, peer, source, who, .. } = link;
        self.service.disconnected(conversation, self.now);
        if let (Some(guarded), Some(peer)) = (&mut self.guarded, peer) {
            if let Who::Client(client) = who
                && !client.has_all_answers()
            {
                guarded.offended(&peer, source, Offence::Unfinished, self.now);
            }
            guarded.disconnected(peer, source);
        }
    }

    fn fire(&mut self) {
        let now_ms = self.now.monotonic_ms;
        if self.tick_at_ms <= now_ms {
            self.tick_at_ms = now_ms + PROTOCOL_TICK_MS;
            self.service.tick(self.now);
            self.pressure = self.service.metrics().pressure;
            if self.service.deadlines_came_nearer() {
                self.rearmed_ms = now_ms;
                self.rearm();
            }
        }
        // Few at a time; but nobody's deadline may pass unseen for good.
        let mut moves = self.random.pick(&[2, TIMERS_PER_TURN, TIMERS_PER_TURN]);
        while let Some(key) = self.timers.fire(now_ms, &mut moves) {
            self.expire(key as usize);
        }
        if moves > 0 {
            for (at, link) in self.links.iter().enumerate() {
                let Some(link) = link else { continue };
                // A tick for the wheel's grain, and one before anybody is asked again.
                let slack_ms = 2 * TIMER_TICK_MS;
                let armed_ms = self.timers.deadline_ms(at as u32);
                assert!(armed_ms + slack_ms > now_ms, "who is due is asked");
                let latest_ms = link.deadline_ms(&self.service).max(now_ms) + slack_ms;
                let is_armed = armed_ms <= latest_ms || self.rearmed_ms > now_ms;
                assert!(is_armed, "nobody sleeps past a deadline");
            }
        }
    }

    fn note_pressure(&mut self) {
        let before = std::mem::replace(&mut self.pressure, self.service.metrics().pressure);
        if self.pressure > before {
            self.rearmed_ms = self.tick_at_ms;
        }
    }

    /// Asks for all deadlines again, since some are earlier than their timers.
    fn rearm(&mut self) {
        for (at, link) in self.links.iter().enumerate() {
            if let Some(link) = link {
                let deadline_ms = link.deadline_ms(&self.service);
                if deadline_ms < self.timers.deadline_ms(at as u32) {
                    self.timers.set(at as u32, deadline_ms);
                }
            }
        }
    }

    fn expire(&mut self, at: usize) {
        let mut link = self.links[at].take().expect("only who is there has a timer");
        let has_passed = link.deadline_ms(&self.service) <= self.now.monotonic_ms;
        let mut is_open = true;
        if has_passed && link.is_held {
            link.is_held = false;
            let spoke = link.wire.has_spoken();
            let then = self.service.hold_ended(&mut link.conversation, spoke, self.now);
            is_open = then != Then::Close && self.send(&mut link);
        } else if has_passed {
            is_open = false;
            if !link.is_owed(&self.service) {
                let then = self.service.expired(&mut link.conversation, self.now, &mut self.output);
                self.said(&mut link);
                is_open = self.send(&mut link) && (then != Then::Close || !link.unsent.is_empty());
                link.is_closing |= then == Then::Close;
            }
        }
        self.settle(at, link, is_open);
        let earliest_ms = self.now.monotonic_ms + TIMER_TICK_MS;
        if self.links[at].is_some() && self.timers.deadline_ms(at as u32) < earliest_ms {
            self.timers.set(at as u32, earliest_ms);
        }
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
            let until_ms = held.map(|link| link.deadline_ms(&self.service)).min();
            let now_ms = self.now.monotonic_ms;
            self.pass(until_ms.map_or(1, |until_ms| until_ms.saturating_sub(now_ms).max(1)));
        }
        for link in self.links.iter().flatten() {
            assert!(!link.has_work(), "it comes to rest");
            match &link.who {
                Who::Client(client) if client.is_derailed || client.is_dismissed => {}
                Who::Client(client) => {
                    assert!(link.wire.is_ended() || client.has_all_answers(), "no answer, no end");
                    assert!(link.wire.is_ended() || client.has_said_all(), "it waits in vain");
                }
                Who::Reader(reader) if reader.is_dismissed => {}
                Who::Reader(reader) => {
                    assert!(link.wire.is_ended() || reader.has_all_answers(), "no answer, no end");
                    assert!(link.wire.is_ended() || reader.has_said_all(), "it waits in vain");
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

impl Link {
    fn has_work(&self) -> bool {
        match self.is_sending() {
            _ if self.is_held => false,
            true => self.wire.is_writable(),
            false => self.is_unseen || self.wire.is_readable(),
        }
    }

    fn is_sending(&self) -> bool {
        !self.unsent.is_empty()
            || matches!(&self.conversation, Conversation::Http { exchange, .. } if !exchange.is_idle())
    }

    /// When it will have waited too long, or what it is owed may leave.
    fn deadline_ms(&self, service: &Service<'_>) -> u64 {
        match self.is_held {
            true => service.held_until_ms(&self.conversation),
            false => service.deadline_ms(&self.conversation, self.moved_ms),
        }
    }

    /// Whether something is unsent.
    fn is_owed(&self, service: &Service<'_>) -> bool {
        !self.unsent.is_empty() || !service.held_output(&self.conversation).is_empty()
    }
}
