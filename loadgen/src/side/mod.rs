//! What goes on beside the flood: connections held idle at a chosen stage, peers that write or
//! read one byte at a time, and readers over HTTP. They are there to be in the way; only the
//! readers are measured.

mod guest;
mod reader;

use std::io;

use hdrhistogram::CreationError;
use mio::event::Event;
use mio::{Interest, Registry, Token};
use slab::Slab;

use crate::clock::Nanoseconds;
use crate::dial::Dial;
use crate::limits::{CONNECTING_MAX, SLOW_READER_RECEIVE_BYTES};
use crate::measure::{Latencies, latencies};
use crate::plan::Plan;
use crate::side::guest::{Errand, Guest};
use crate::side::reader::{Read, Reader};

/// Tokens from here on are of side connections.
pub(crate) const SIDE_TOKENS: usize = 1 << 32;
/// How long bringing all of them up may take, in nanoseconds.
const SETTLE_NS: Nanoseconds = 60_000_000_000;

/// All side connections.
#[derive(Debug)]
pub(crate) struct SideLoad {
    plan: crate::plan::Side,
    smtp: Dial,
    http: Dial,
    mailboxes: Vec<String>,
    peers: Slab<Peer>,
    /// How many of each kind are still to be opened.
    to_open: [u32; 4],
    settling: usize,
    next_byte: Option<Nanoseconds>,
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
    /// What readers were answered in the window: 200; anything else.
    pub(crate) reads: u64,
    pub(crate) reads_other: u64,
    pub(crate) read_bytes: u64,
    pub(crate) read_latencies: Latencies,
}

#[derive(Debug)]
enum Peer {
    Guest(Guest),
    Reader(Reader),
}

impl SideLoad {
    pub(crate) fn new(plan: &Plan) -> Result<Self, CreationError> {
        let side = plan.side.clone();
        let first = plan.mailboxes.min(1024);
        let name = |mailbox| format!("{}{mailbox:08}", plan.mailbox_prefix);
        Ok(Self {
            smtp: Dial::new(plan.smtp, plan.sources),
            http: Dial::new(plan.http, 0),
            mailboxes: (0..first).map(name).collect(),
            peers: Slab::new(),
            to_open: [side.idle, side.slow_writers, side.slow_readers, side.http_readers],
            settling: 0,
            next_byte: None,
            window: (0, 0),
            figures: Figures {
                settled: 0,
                lost: 0,
                failed: 0,
                reads: 0,
                reads_other: 0,
                read_bytes: 0,
                read_latencies: latencies()?,
            },
            plan: side,
        })
    }

    /// What is read counts within this window.
    pub(crate) fn begin(&mut self, window: (Nanoseconds, Nanoseconds)) {
        self.window = window;
    }

    /// Whether all are in their place, or will not get there.
    pub(crate) fn is_settled(&self, now: Nanoseconds) -> bool {
        self.to_open == [0; 4] && self.settling == 0 || now > SETTLE_NS
    }

    /// How many are still held.
    pub(crate) fn held(&self) -> usize {
        self.peers.len()
    }

    /// When it wants its turn.
    pub(crate) fn next_wake(&self) -> Option<Nanoseconds> {
        self.next_byte
    }

    /// Opens more of them, and lets the slow ones have their next byte.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(crate) fn turn(&mut self, registry: &Registry, now: Nanoseconds) -> io::Result<()> {
        while self.settling < CONNECTING_MAX {
            let Some(kind) = self.to_open.iter().position(|count| *count > 0) else { break };
            self.to_open[kind] -= 1;
            self.open(kind, registry, now)?;
        }
        if self.next_byte.is_some_and(|at| at <= now) {
            self.next_byte = Some(now + self.plan.slow_interval_ns);
            let slow: Vec<usize> =
                self.peers.iter().filter(|(_, peer)| peer.is_slow()).map(|(key, _)| key).collect();
            for key in slow {
                let result = match &mut self.peers[key] {
                    Peer::Guest(guest) => guest.one_byte(),
                    Peer::Reader(_) => Ok(()),
                };
                if result.is_err() {
                    self.remove(key);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, kind: usize, registry: &Registry, now: Nanoseconds) -> io::Result<()> {
        let errand = match kind {
            0 => Some(Errand::Idle(self.plan.idle_stage)),
            1 => Some(Errand::SlowWriter),
            2 => Some(Errand::SlowReader),
            _ => None,
        };
        let slow_reader = kind == 2;
        let opened = match errand {
            Some(_) if slow_reader => {
                self.smtp.connect_with_buffer(Some(SLOW_READER_RECEIVE_BYTES))
            }
            Some(_) => self.smtp.connect(),
            None => self.http.connect(),
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => return Err(error),
            Err(_) => {
                self.figures.failed += 1;
                return Ok(());
            }
        };
        if matches!(errand, Some(Errand::SlowWriter | Errand::SlowReader)) {
            self.next_byte.get_or_insert(now + self.plan.slow_interval_ns);
        }
        let entry = self.peers.vacant_entry();
        let token = Token(SIDE_TOKENS + entry.key());
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.settling += 1;
        entry.insert(match errand {
            Some(errand) => Peer::Guest(Guest::new(stream, errand)),
            None => Peer::Reader(Reader::new(stream, self.plan.http_read, token.0)),
        });
        Ok(())
    }

    /// Something happened to one of them.
    pub(crate) fn ready(
        &mut self,
        _registry: &Registry,
        event: &Event,
        now: Nanoseconds,
        buffer: &mut [u8],
    ) {
        let key = event.token().0 - SIDE_TOKENS;
        let Some(peer) = self.peers.get_mut(key) else { return };
        let was_settled = peer.is_settled();
        let result = match peer {
            Peer::Guest(guest) => guest.ready(buffer),
            Peer::Reader(reader) => {
                let (figures, window) = (&mut self.figures, self.window);
                let mailboxes = &self.mailboxes;
                reader.ready(buffer, now, mailboxes, |read| figures.note(&read, window))
            }
        };
        let settled = peer.is_settled();
        if !was_settled && (settled || result.is_err()) {
            self.settling -= 1;
            if settled { self.figures.settled += 1 } else { self.figures.failed += 1 }
        }
        if result.is_err() {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: usize) {
        if self.peers.remove(key).is_settled() {
            self.figures.lost += 1;
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
        match self {
            Self::Guest(guest) => guest.is_settled(),
            Self::Reader(reader) => reader.is_settled(),
        }
    }

    fn is_slow(&self) -> bool {
        matches!(self, Self::Guest(guest) if guest.is_slow() && guest.is_settled())
    }
}
