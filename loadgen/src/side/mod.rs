//! What goes on beside the flood: connections held idle at a chosen stage, peers that write or
//! read one byte at a time or not at all, readers over HTTP, and those who come and go: resets,
//! handshakes that stall, a storm of connections. They are there to be in the way; only the
//! readers are measured.

mod guest;
mod reader;

use std::collections::VecDeque;
use std::io;

use mio::event::Event;
use mio::{Interest, Registry, Token};
use slab::Slab;

use crate::clock::Nanoseconds;
use crate::dial::Dial;
use crate::http;
use crate::limits::{
    COME_AGAIN_NS, CONNECTING_MAX, NEVER_READER_LIST_MESSAGES, SIDE_OPENS_PER_TURN, SLOW_GROUPS,
    SLOW_READER_RECEIVE_BYTES, TICK_NS, VISIT_NS_MAX,
};
use crate::measure::{Latencies, latencies};
use crate::plan::Plan;
use crate::side::guest::{Errand, Guest, ResetStage, Stall, Words};
use crate::side::reader::{Read, Reader};
use crate::tls::Encryption;

/// Tokens from here on are of side connections.
pub(crate) const SIDE_TOKENS: usize = 1 << 32;
/// How long bringing all of them up may take, in nanoseconds.
const SETTLE_NS: Nanoseconds = 60_000_000_000;

/// All side connections.
#[derive(Debug)]
pub(crate) struct SideLoad {
    plan: crate::plan::Side,
    smtp: Dial,
    smtps: Option<Dial>,
    http: Dial,
    words: Words,
    mailboxes: Vec<String>,
    peers: Slab<Peer>,
    /// How many of each kind are still to be opened.
    to_open: [u32; Kind::ALL.len()],
    /// How many of each kind have been opened, so that each is unlike the one before.
    opened: [usize; Kind::ALL.len()],
    /// Those that were sent away, and when they come again.
    resting: VecDeque<(Nanoseconds, Kind)>,
    settling: usize,
    /// Whether those who come and go may come.
    has_begun: bool,
    next_byte: Option<Nanoseconds>,
    /// Which of the slow ones have it then.
    slow_group: usize,
    /// When it is looked for visitors who have stayed for too long, if there are any.
    next_look: Option<Nanoseconds>,
    window: (Nanoseconds, Nanoseconds),
    pub(crate) figures: Figures,
}

/// What became of them.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Connections that reached their place, and of them those that the server closed, or that broke.
    pub(crate) settled: u64,
    pub(crate) lost: u64,
    /// Connections that never reached it.
    pub(crate) failed: u64,
    /// Connections that were reset, having reached their place or waited for too long.
    pub(crate) resets: u64,
    /// What readers were answered in the window: 200; anything else.
    pub(crate) reads: u64,
    pub(crate) reads_other: u64,
    pub(crate) read_bytes: u64,
    pub(crate) read_latencies: Latencies,
}

/// What a side connection is for, in the order in which they are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Idle,
    SlowWriter,
    SlowReader,
    NeverReader,
    HttpReader,
    HttpNeverReader,
    StalledHandshake,
    Resetting,
    Storm,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Idle,
        Self::SlowWriter,
        Self::SlowReader,
        Self::NeverReader,
        Self::HttpReader,
        Self::HttpNeverReader,
        Self::StalledHandshake,
        Self::Resetting,
        Self::Storm,
    ];

    /// Whether another comes for each that has gone. The flood does not wait for these.
    fn comes_again(self) -> bool {
        matches!(self, Self::StalledHandshake | Self::Resetting | Self::Storm)
    }

    /// Whether it stays for a moment only.
    fn is_visitor(self) -> bool {
        matches!(self, Self::Resetting | Self::Storm)
    }
}

#[derive(Debug)]
struct Peer {
    kind: Kind,
    opened_at: Nanoseconds,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Guest(Guest),
    Reader(Reader),
}

impl SideLoad {
    /// # Errors
    /// There is no memory for the histograms, or no encryption.
    pub(crate) fn new(plan: &Plan, encryption: &Encryption) -> io::Result<Self> {
        let side = plan.side.clone();
        let first = plan.mailboxes.min(1024);
        let name = |mailbox| format!("{}{mailbox:08}", plan.mailbox_prefix);
        let mailboxes: Vec<String> = (0..first).map(name).collect();
        let path = format!("/api/v1/mailbox/{}?limit={NEVER_READER_LIST_MESSAGES}", mailboxes[0]);
        let hello = encryption.hello()?;
        let dial = |target| Dial::new(target, plan.sources, plan.sources_from);
        let http_sources = if plan.http.is_ipv4() { plan.sources } else { 0 };
        Ok(Self {
            smtp: dial(plan.smtp),
            smtps: plan.smtps.map(dial),
            http: Dial::new(plan.http, http_sources, plan.sources_from),
            words: Words {
                hello: hello[..hello.len() / 2].to_vec(),
                request: http::request(&path),
            },
            mailboxes,
            peers: Slab::new(),
            to_open: Kind::ALL.map(|kind| match kind {
                Kind::Idle => side.idle,
                Kind::SlowWriter => side.slow_writers,
                Kind::SlowReader => side.slow_readers,
                Kind::NeverReader => side.never_readers,
                Kind::HttpReader => side.http_readers,
                Kind::HttpNeverReader => side.http_never_readers,
                Kind::StalledHandshake => side.stalled_handshakes,
                Kind::Resetting => side.resetting,
                Kind::Storm => side.storm,
            }),
            opened: [0; Kind::ALL.len()],
            resting: VecDeque::new(),
            settling: 0,
            has_begun: false,
            next_byte: None,
            slow_group: 0,
            next_look: (side.resetting + side.storm > 0).then_some(TICK_NS),
            window: (0, 0),
            figures: Figures {
                settled: 0,
                lost: 0,
                failed: 0,
                resets: 0,
                reads: 0,
                reads_other: 0,
                read_bytes: 0,
                read_latencies: latencies()
                    .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?,
            },
            plan: side,
        })
    }

    /// What is read counts within this window.
    pub(crate) fn begin(&mut self, window: (Nanoseconds, Nanoseconds)) {
        self.window = window;
    }

    /// Whether all that stay are in their place, or will not get there.
    pub(crate) fn is_settled(&self, now: Nanoseconds) -> bool {
        let waits = |kind: &Kind| !kind.comes_again() && self.to_open[*kind as usize] > 0;
        !Kind::ALL.iter().any(waits) && self.settling == 0 || now > SETTLE_NS
    }

    /// How many are still held.
    pub(crate) fn held(&self) -> usize {
        self.peers.len()
    }

    /// When it wants its turn.
    pub(crate) fn next_wake(&self) -> Option<Nanoseconds> {
        let comes = |kind: &Kind| kind.comes_again() && self.to_open[*kind as usize] > 0;
        if self.has_begun && Kind::ALL.iter().any(comes) {
            return Some(0);
        }
        let rested = self.resting.front().map(|(until, _)| *until);
        [self.next_byte, self.next_look, rested].into_iter().flatten().min()
    }

    /// Opens more of them, and lets the slow ones have their next byte.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(crate) fn turn(&mut self, registry: &Registry, now: Nanoseconds) -> io::Result<()> {
        while self.resting.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, kind)) = self.resting.pop_front() else { break };
            self.to_open[kind as usize] += 1;
        }
        // Those who come and go find those who stay in their place.
        self.has_begun |= self.is_settled(now);
        let mut opens = SIDE_OPENS_PER_TURN;
        for kind in Kind::ALL {
            if kind.comes_again() && !self.has_begun {
                continue;
            }
            let most = if kind.comes_again() { usize::MAX } else { CONNECTING_MAX };
            while self.to_open[kind as usize] > 0 && self.settling < most && opens > 0 {
                self.to_open[kind as usize] -= 1;
                opens -= 1;
                self.open(kind, registry, now)?;
            }
        }
        if self.next_look.is_some_and(|at| at <= now) {
            self.next_look = Some(now + TICK_NS);
            let overstays =
                |peer: &Peer| peer.kind.is_visitor() && peer.opened_at + VISIT_NS_MAX <= now;
            for key in self.keys(overstays) {
                self.reset(key);
            }
        }
        if self.next_byte.is_some_and(|at| at <= now) {
            self.next_byte = Some(now + self.plan.slow_interval_ns / SLOW_GROUPS as u64);
            self.slow_group = (self.slow_group + 1) % SLOW_GROUPS;
            for key in self.keys(Peer::is_slow) {
                if key % SLOW_GROUPS != self.slow_group {
                    continue;
                }
                let result = match &mut self.peers[key].role {
                    Role::Guest(guest) => guest.one_byte(),
                    Role::Reader(_) => Ok(()),
                };
                if result.is_err() {
                    self.remove(key, now);
                }
            }
        }
        Ok(())
    }

    fn keys(&self, wanted: impl Fn(&Peer) -> bool) -> Vec<usize> {
        self.peers.iter().filter(|(_, peer)| wanted(peer)).map(|(key, _)| key).collect()
    }

    fn open(&mut self, kind: Kind, registry: &Registry, now: Nanoseconds) -> io::Result<()> {
        let number = self.opened[kind as usize];
        self.opened[kind as usize] += 1;
        let errand = match kind {
            Kind::Idle => Some(Errand::Idle(self.plan.idle_stage)),
            Kind::SlowWriter => Some(Errand::SlowWriter),
            Kind::SlowReader => Some(Errand::SlowReader),
            Kind::NeverReader => Some(Errand::NeverReader),
            Kind::HttpReader => None,
            Kind::HttpNeverReader => Some(Errand::HttpNeverReader),
            Kind::StalledHandshake => Some(Errand::StalledHandshake(self.stall(number))),
            Kind::Resetting => Some(Errand::Reset(ResetStage::ALL[number % ResetStage::ALL.len()])),
            Kind::Storm => Some(Errand::Storm),
        };
        let dial = match (errand, &mut self.smtps) {
            (None | Some(Errand::HttpNeverReader), _) => &mut self.http,
            (Some(Errand::StalledHandshake(Stall { implicit: true, .. })), Some(smtps)) => smtps,
            _ => &mut self.smtp,
        };
        let narrow = matches!(kind, Kind::SlowReader | Kind::NeverReader | Kind::HttpNeverReader);
        let mut stream = match dial.connect_with_buffer(narrow.then_some(SLOW_READER_RECEIVE_BYTES))
        {
            Ok(stream) => stream,
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => return Err(error),
            Err(_) => {
                self.figures.failed += 1;
                self.come_again(kind, now + COME_AGAIN_NS);
                return Ok(());
            }
        };
        if matches!(kind, Kind::SlowWriter | Kind::SlowReader) {
            self.next_byte.get_or_insert(now + self.plan.slow_interval_ns);
        }
        let entry = self.peers.vacant_entry();
        let token = Token(SIDE_TOKENS + entry.key());
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.settling += usize::from(!kind.comes_again());
        let role = match errand {
            Some(errand) => Role::Guest(Guest::new(stream, errand)),
            None => Role::Reader(Reader::new(stream, self.plan.http_read, token.0)),
        };
        entry.insert(Peer { kind, opened_at: now, role });
        Ok(())
    }

    /// Where the handshake of the one with this number stalls.
    fn stall(&self, number: usize) -> Stall {
        let stall = Stall::ALL[number % Stall::ALL.len()];
        Stall { implicit: stall.implicit && self.smtps.is_some(), ..stall }
    }

    /// Something happened to one of them.
    pub(crate) fn ready(&mut self, event: &Event, now: Nanoseconds, buffer: &mut [u8]) {
        let key = event.token().0 - SIDE_TOKENS;
        let Some(peer) = self.peers.get_mut(key) else { return };
        let was_settled = peer.is_settled();
        let result = match &mut peer.role {
            Role::Guest(guest) => {
                guest.ready(buffer, &self.words, event.is_read_closed() || event.is_error())
            }
            Role::Reader(reader) => {
                let (figures, window) = (&mut self.figures, self.window);
                let mailboxes = &self.mailboxes;
                reader.ready(buffer, now, mailboxes, |read| figures.note(&read, window))
            }
        };
        let settled = peer.is_settled();
        if !was_settled && (settled || result.is_err()) {
            self.settling -= usize::from(!peer.kind.comes_again());
            if settled { self.figures.settled += 1 } else { self.figures.failed += 1 }
        }
        let is_done = matches!(&peer.role, Role::Guest(guest) if guest.is_done());
        if is_done {
            self.reset(key);
        } else if result.is_err() {
            self.remove(key, now);
        }
    }

    /// Ends one with a reset, and has another come.
    fn reset(&mut self, key: usize) {
        let peer = self.peers.remove(key);
        self.figures.resets += 1;
        self.come_again(peer.kind, 0);
        if let Role::Guest(guest) = peer.role {
            guest.reset();
        }
    }

    fn remove(&mut self, key: usize, now: Nanoseconds) {
        let peer = self.peers.remove(key);
        if peer.is_settled() {
            self.figures.lost += 1;
        }
        // A storm knows no rest.
        self.come_again(peer.kind, if peer.kind.is_visitor() { 0 } else { now + COME_AGAIN_NS });
    }

    fn come_again(&mut self, kind: Kind, at: Nanoseconds) {
        match (kind.comes_again(), at) {
            (false, _) => {}
            (true, 0) => self.to_open[kind as usize] += 1,
            (true, at) => self.resting.push_back((at, kind)),
        }
    }
}

impl Figures {
    fn note(&mut self, read: &Read, window: (Nanoseconds, Nanoseconds)) {
        if !(window.0..window.1).contains(&read.at) {
            return;
        }
        if read.status == 200 {
            self.reads += 1
        } else {
            self.reads_other += 1
        }
        self.read_bytes += read.bytes as u64;
        self.read_latencies.saturating_record(read.latency_ns);
    }
}

impl Peer {
    fn is_settled(&self) -> bool {
        match &self.role {
            Role::Guest(guest) => guest.is_settled(),
            Role::Reader(reader) => reader.is_settled(),
        }
    }

    fn is_slow(&self) -> bool {
        matches!(&self.role, Role::Guest(guest) if guest.is_slow() && guest.is_settled())
    }
}
