//! The loop: sockets, readiness and time, for the flood and what goes on beside it. What is said
//! is `connection`, what is sent `traffic`, what is counted `measure`.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::clock::{Clock, Nanoseconds};
use crate::connection::{Connection, Fault, Manner, Message, Phase, Step, World};
use crate::desk::Desk;
use crate::dial::Dial;
use crate::ledger::Ledger;
use crate::limits::{
    CONNECTING_MAX, DRAIN_NS, EVENTS_PER_TURN, FAULTS_IN_A_ROW_MAX, LATE_NS, READ_BUFFER_BYTES,
    REST_NS,
};
use crate::measure::Measure;
use crate::pacing::Pacing;
use crate::plan::Plan;
use crate::side::{SIDE_TOKENS, SideLoad};
use crate::sys::{self, Timer};
use crate::timeline::Timeline;
use crate::tls::{Encryption, Tls};
use crate::traffic::{Outgoing, Traffic};

const TIMER: Token = Token(usize::MAX - 1);

/// One run, from its first connection to its last.
pub(crate) struct Flood<'a> {
    plan: &'a Plan,
    clock: Clock,
    poll: Poll,
    timer: Timer,
    /// What the timer is set to, if it is.
    timer_at: Option<Nanoseconds>,
    dial: Dial,
    encryption: Encryption,
    slots: Vec<Slot>,
    /// Connections that a message may start on, the longest free first; entries may be stale.
    free: VecDeque<usize>,
    /// Connections that had a fault, and when they may be opened again.
    resting: VecDeque<(Nanoseconds, usize)>,
    /// How many connections were opened for the first time, and how many of them wait for the banner.
    introduced: usize,
    connecting: usize,
    open: usize,
    side: SideLoad,
    desk: Desk,
    timeline: Timeline,
    buffer: Vec<u8>,
    drain_until: Option<Nanoseconds>,
    /// Somebody wants it to be over.
    told_to_end: Arc<AtomicBool>,
    aborted: bool,
}

/// One of the flood's connections, which may be open or not.
#[derive(Debug)]
struct Slot {
    stream: Option<TcpStream>,
    /// The socket of its last connection, disconnected and registered, for the next one.
    spare: Option<TcpStream>,
    connection: Connection,
    /// What lies between the two, if anything does.
    tls: Option<Tls>,
    /// What the kernel would not take yet.
    outgoing: Option<Outgoing>,
    wants_writable: bool,
    /// Since when a message may start on it.
    free_since: Option<Nanoseconds>,
}

/// All that is left of a run when it is over.
pub(crate) struct Outcome {
    pub(crate) traffic: Traffic,
    pub(crate) measure: Measure,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) timeline: Timeline,
    pub(crate) side: SideLoad,
    /// Messages that were begun, acknowledged or not.
    pub(crate) begun: u64,
    /// It ended before its time, since nothing but faults came.
    pub(crate) aborted: bool,
}

impl<'a> Flood<'a> {
    /// Prepares a run, which also ends when `told_to_end` is set.
    ///
    /// # Errors
    /// The system has no epoll, timer or memory for it.
    pub(crate) fn new(
        plan: &'a Plan,
        traffic: Traffic,
        told_to_end: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new()?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let manner = Manner::of(plan);
        let slot = |_| Slot {
            stream: None,
            spare: None,
            connection: Connection::new(manner),
            tls: None,
            outgoing: None,
            wants_writable: false,
            free_since: None,
        };
        let no_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        // Begun anew when the flood begins, after what goes on beside it is in place.
        let pacing = Pacing::new(plan.rate, 0, 0, 0);
        let measure = Measure::new((0, 0), plan.rate.is_some()).map_err(no_memory)?;
        let ledger = plan.verify.then(Ledger::default);
        let encryption = Encryption::new(plan.smtp.ip()).map_err(io::Error::other)?;
        Ok(Self {
            plan,
            clock: Clock::start(),
            poll,
            timer,
            timer_at: None,
            dial: Dial::new(plan.smtp, plan.sources, plan.sources_from),
            slots: (0..plan.connections).map(slot).collect(),
            free: VecDeque::new(),
            resting: VecDeque::new(),
            introduced: 0,
            connecting: 0,
            open: 0,
            side: SideLoad::new(plan, &encryption)?,
            encryption,
            desk: Desk { traffic, pacing, measure, ledger, in_flight: 0, now: 0 },
            timeline: Timeline::new(plan),
            buffer: vec![0; READ_BUFFER_BYTES],
            drain_until: None,
            told_to_end,
            aborted: false,
        })
    }

    /// Runs to the end. `progress` is called now and then.
    ///
    /// # Errors
    /// The system refuses what the loop itself needs; that peers fail is part of the outcome.
    pub(crate) fn run(mut self, mut progress: impl FnMut(&Timeline)) -> io::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        self.settle_side(&mut events)?;
        self.begin();
        while !self.is_done() {
            self.turn(&mut events)?;
            if self.timeline.tick(self.desk.now, &mut self.desk.measure) {
                self.expire();
                progress(&self.timeline);
            }
        }
        self.give_up();
        Ok(Outcome {
            begun: self.desk.pacing.handed_out(),
            traffic: self.desk.traffic,
            measure: self.desk.measure,
            ledger: self.desk.ledger,
            timeline: self.timeline,
            side: self.side,
            aborted: self.aborted,
        })
    }

    /// Brings up what goes on beside the flood, before it begins.
    fn settle_side(&mut self, events: &mut Events) -> io::Result<()> {
        while !self.side.is_settled(self.clock.now()) && !self.is_told_to_end() {
            self.desk.now = self.clock.now();
            self.side.turn(self.poll.registry(), self.desk.now)?;
            poll(&mut self.poll, events, Some(Duration::from_millis(10)))?;
            for event in &*events {
                self.desk.now = self.clock.now();
                self.side.ready(event, self.desk.now, &mut self.buffer);
            }
        }
        Ok(())
    }

    fn is_told_to_end(&self) -> bool {
        self.told_to_end.load(Ordering::Relaxed)
    }

    fn begin(&mut self) {
        let plan = self.plan;
        let begin = self.clock.now();
        let window = begin + plan.warmup_ns;
        let end = window + plan.measure_ns;
        self.desk.now = begin;
        self.desk.pacing = Pacing::new(plan.rate, begin, end, plan.messages_max);
        self.desk.measure.begin((window, end));
        self.timeline.begin(begin, (window, end));
        self.side.begin((window, end));
        if plan.connection_per_message() && plan.rate.is_some() {
            // They are opened when a message is due.
            self.introduced = self.slots.len();
            for index in 0..self.slots.len() {
                self.set_free(index);
            }
        }
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let started = self.start_due();
        self.side.turn(self.poll.registry(), self.desk.now)?;
        let timeout = self.timeout();
        poll(&mut self.poll, events, timeout)?;
        let before = self.desk.now;
        self.desk.now = self.clock.now();
        if self.plan.spin && !started && events.is_empty() {
            self.timeline.spun(self.desk.now - before);
        }
        for event in &*events {
            match event.token() {
                TIMER => self.timer_at = None,
                Token(token) if token >= SIDE_TOKENS => {
                    self.side.ready(event, self.desk.now, &mut self.buffer);
                }
                Token(index) => self.ready(index, event),
            }
        }
        self.end_if_due();
        Ok(())
    }

    /// Opens and starts whatever should be by now; whether there was anything.
    fn start_due(&mut self) -> bool {
        let mut started = false;
        let now = self.desk.now;
        while self.introduced < self.slots.len() && self.connecting < CONNECTING_MAX {
            let index = self.introduced;
            self.introduced += 1;
            self.connecting += 1;
            self.reopen(index);
            started = true;
        }
        while self.resting.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, index)) = self.resting.pop_front() else { break };
            self.reopen(index);
        }
        if self.plan.rate.is_none() {
            return started;
        }
        while self.desk.pacing.next_due().is_some_and(|due| due <= self.desk.now) {
            let Some((index, since)) = self.take_free() else { break };
            self.desk.now = self.clock.now();
            let Some(message) = self.desk.next(self.desk.now) else {
                self.set_free(index);
                break;
            };
            // Only what neither the schedule nor the server's slowness explains.
            let possible = message.scheduled.max(since);
            if message.started.saturating_sub(possible) > LATE_NS
                && self.desk.measure.is_in_window(message.scheduled)
            {
                self.desk.measure.late += 1;
            }
            self.start(index, message);
            started = true;
        }
        started
    }

    fn start(&mut self, index: usize, message: Message) {
        let (now, ending) = (self.desk.now, self.desk.ending());
        if self.slots[index].stream.is_none() {
            return self.open(index, Some(message));
        }
        let outgoing = self.slots[index].connection.start(message, now, ending);
        self.send(index, outgoing);
    }

    /// How long to sleep: until the next start, deadline or tick.
    fn timeout(&mut self) -> Option<Duration> {
        if self.plan.spin {
            return Some(Duration::ZERO);
        }
        let now = self.desk.now;
        let end = self.drain_until.unwrap_or(self.desk.pacing.end());
        let mut wake = self.timeline.next_tick().min(end);
        if let Some((until, _)) = self.resting.front() {
            wake = wake.min(*until);
        }
        wake = wake.min(self.side.next_wake().unwrap_or(wake));
        if self.plan.rate.is_some() && !self.free.is_empty() {
            // epoll counts in milliseconds, which is too coarse for starts.
            if let Some(due) = self.desk.pacing.next_due().filter(|due| *due < wake) {
                if due <= now {
                    return Some(Duration::ZERO);
                }
                if self.timer_at != Some(due) {
                    self.timer.set(Duration::from_nanos(due - now));
                    self.timer_at = Some(due);
                }
            }
        }
        Some(Duration::from_nanos(wake.saturating_sub(now)))
    }

    fn take_free(&mut self) -> Option<(usize, Nanoseconds)> {
        while let Some(index) = self.free.pop_front() {
            if let Some(since) = self.slots[index].free_since.take() {
                return Some((index, since));
            }
        }
        None
    }

    fn set_free(&mut self, index: usize) {
        self.slots[index].free_since = Some(self.desk.now);
        self.free.push_back(index);
    }

    /// Opens a connection as the run has it: for a message of its own, or to be kept.
    fn reopen(&mut self, index: usize) {
        if self.desk.ending() || self.drain_until.is_some() {
            return;
        }
        if !self.plan.connection_per_message() {
            return self.open(index, None);
        }
        match self.desk.next(self.desk.now) {
            Some(message) => self.open(index, Some(message)),
            None => self.set_free(index),
        }
    }

    fn open(&mut self, index: usize, message: Option<Message>) {
        let slot = &mut self.slots[index];
        slot.connection.open(message, self.desk.now);
        slot.tls = None;
        slot.outgoing = None;
        slot.wants_writable = false;
        self.open += 1;
        let opened = match slot.spare.take() {
            Some(stream) => {
                // Where each source has a socket, all of them are seen all the time.
                let from_next = self.plan.sources > self.plan.connections;
                self.dial.reconnect(&stream, from_next).map(|()| stream)
            }
            None => self.dial.connect().and_then(|mut stream| {
                self.poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
                Ok(stream)
            }),
        };
        match opened {
            Ok(stream) => slot.stream = Some(stream),
            Err(error) => self.fault(index, broken(Phase::Banner, &error)),
        }
    }

    fn ready(&mut self, index: usize, event: &Event) {
        if self.slots.get(index).is_none_or(|slot| slot.stream.is_none()) {
            return;
        }
        if event.is_writable()
            && let Some(outgoing) = self.slots[index].outgoing.take()
        {
            self.send(index, outgoing);
        } else if event.is_writable() {
            self.shake(index);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(index, event.is_read_closed() || event.is_error());
        }
    }

    /// Reads what there is. A read shorter than the buffer means that there is no more, unless the
    /// other side has closed: then there is still its end to be read.
    fn read(&mut self, index: usize, closed: bool) {
        loop {
            let slot = &mut self.slots[index];
            let Some(stream) = &mut slot.stream else { return };
            let length = match stream.read(&mut self.buffer) {
                Ok(0) => return self.closed(index),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let phase = slot.connection.awaited();
                    return self.fault(index, broken(phase, &error));
                }
            };
            // Read after the bytes are here and not once a turn: a turn may serve many.
            self.desk.now = self.clock.now();
            let banner = slot.connection.awaited() == Phase::Banner;
            let plain = match &mut slot.tls {
                None => length,
                Some(tls) => {
                    let was_handshaking = tls.is_handshaking();
                    let plain = match tls.open(&mut self.buffer, length) {
                        Ok(plain) => plain,
                        Err(_) => {
                            let fault = Fault::Garbage(slot.connection.awaited());
                            return self.fault(index, fault);
                        }
                    };
                    if was_handshaking {
                        self.shake(index);
                    }
                    plain
                }
            };
            let slot = &mut self.slots[index];
            let replies = &self.buffer[..plain];
            let step = slot.connection.read(replies, self.desk.now, &mut self.desk);
            if banner && slot.connection.awaited() != Phase::Banner {
                self.connecting = self.connecting.saturating_sub(1);
            }
            match step {
                Ok(Step::Wait) => {}
                Ok(Step::Send(outgoing)) => self.send(index, outgoing),
                Ok(Step::Encrypt) => self.encrypt(index),
                Ok(Step::Free) => self.set_free(index),
                Ok(Step::Close) => return self.close(index),
                Err(fault) => return self.fault(index, fault),
            }
            if length < self.buffer.len() && !closed {
                return;
            }
        }
    }

    /// Begins a handshake.
    fn encrypt(&mut self, index: usize) {
        match self.encryption.begin() {
            Ok(tls) => self.slots[index].tls = Some(tls),
            Err(_) => return self.fault(index, Fault::Broken(Phase::Handshake, 0)),
        }
        self.shake(index);
    }

    /// Sends what a handshake has to say; goes on with the conversation when it is done.
    fn shake(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let (Some(stream), Some(tls)) = (&mut slot.stream, &mut slot.tls) else { return };
        if slot.connection.awaited() != Phase::Handshake {
            return;
        }
        match tls.flush(stream) {
            Ok(()) if tls.is_handshaking() => {}
            Ok(()) => {
                let outgoing = slot.connection.encrypted(self.desk.now, &mut self.desk);
                self.send(index, outgoing);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.want_writable(index),
            // The reading tells why.
            Err(_) => {}
        }
    }

    /// Has the kernel tell when there is room. Asked for only by who needs it: most writes fit.
    fn want_writable(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let Some(stream) = &mut slot.stream else { return };
        if slot.wants_writable {
            return;
        }
        slot.wants_writable = true;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().reregister(stream, Token(index), interest) {
            self.fault(index, broken(Phase::Stored, &error));
        }
    }

    fn send(&mut self, index: usize, mut outgoing: Outgoing) {
        loop {
            let slot = &mut self.slots[index];
            let Some(stream) = &mut slot.stream else { return };
            let bytes = self.desk.traffic.bytes(&outgoing);
            let written = match &mut slot.tls {
                None => stream.write(bytes),
                Some(tls) => tls.write(stream, bytes),
            };
            let left = slot.tls.as_ref().is_some_and(Tls::wants_write);
            let written = match written {
                Ok(written) if written == bytes.len() && !left => return,
                Ok(written) if left => {
                    outgoing.offset += written;
                    slot.outgoing = Some(outgoing);
                    return self.want_writable(index);
                }
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    slot.outgoing = Some(outgoing);
                    return self.want_writable(index);
                }
                // What the server said before it closed is still to be read; the reading tells why.
                Err(_) => return,
            };
            outgoing.offset += written;
        }
    }

    fn closed(&mut self, index: usize) {
        match self.slots[index].connection.closed() {
            Ok(()) => self.close(index),
            Err(fault) => self.fault(index, fault),
        }
    }

    /// A conversation that ended as it should.
    fn close(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        // One that is told when there is room to write would be told so of each connection.
        let spare =
            slot.stream.take_if(|stream| !slot.wants_writable && sys::disconnect(stream).is_ok());
        self.drop_stream(index);
        self.slots[index].spare = spare;
        self.reopen(index);
    }

    fn fault(&mut self, index: usize, fault: Fault) {
        let slot = &mut self.slots[index];
        if slot.connection.awaited() == Phase::Banner {
            self.connecting = self.connecting.saturating_sub(1);
        }
        for message in slot.connection.unfinished() {
            self.desk.in_flight -= 1;
            self.desk.measure.unfinished(&message, self.desk.now);
        }
        self.drop_stream(index);
        self.desk.measure.fault(fault);
        if self.desk.measure.faults_in_a_row > FAULTS_IN_A_ROW_MAX {
            self.aborted = true;
            self.desk.pacing.stop();
        }
        self.resting.push_back((self.desk.now + REST_NS, index));
    }

    fn drop_stream(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        // Closing takes it out of epoll.
        slot.stream = None;
        slot.tls = None;
        slot.outgoing = None;
        slot.free_since = None;
        self.open -= 1;
    }

    /// Gives up connections that have waited too long.
    fn expire(&mut self) {
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let waits = slot.stream.is_some() && slot.free_since.is_none();
            let waited = self.desk.now.saturating_sub(slot.connection.waits_since());
            if waits && waited > self.plan.timeout_ns {
                let phase = slot.connection.awaited();
                self.fault(index, Fault::Timeout(phase));
            }
        }
    }

    /// Once no more messages start, those under way may finish, for a while.
    fn end_if_due(&mut self) {
        let now = self.desk.now;
        let told = self.is_told_to_end();
        let out_of_time = told || now >= self.desk.pacing.end();
        if self.drain_until.is_some() || !out_of_time && !self.desk.pacing.is_over() {
            return;
        }
        if out_of_time {
            // Only what found no connection was not begun.
            self.start_due();
            if told {
                self.desk.measure.end(now);
            }
            for due in self.desk.pacing.overdue(now) {
                self.desk.measure.unstarted(due, now);
            }
            self.timeline.end(now);
        }
        self.desk.pacing.stop();
        self.drain_until = Some(now + DRAIN_NS);
        for index in 0..self.slots.len() {
            if self.slots[index].free_since.take().is_some() && self.slots[index].stream.is_some() {
                let outgoing = self.slots[index].connection.quit(now);
                self.send(index, outgoing);
            }
        }
    }

    fn is_done(&mut self) -> bool {
        let Some(until) = self.drain_until else { return false };
        let done = self.desk.in_flight == 0;
        if done && !self.timeline.has_ended() {
            // All that were to be counted have been.
            self.desk.measure.end(self.desk.now);
            self.timeline.end(self.desk.now);
        }
        done && self.open == 0 || self.desk.now >= until || self.aborted
    }

    /// Whatever is still under way now will not be waited for.
    fn give_up(&mut self) {
        let now = self.clock.now();
        self.desk.measure.end(now);
        self.timeline.end(now);
        for slot in &mut self.slots {
            if slot.stream.is_none() {
                continue;
            }
            let phase = slot.connection.awaited();
            let mut waited_for = false;
            for message in slot.connection.unfinished() {
                waited_for = true;
                self.desk.measure.unfinished(&message, now);
            }
            if waited_for {
                self.desk.measure.fault(Fault::Timeout(phase));
            }
        }
    }
}

fn broken(phase: Phase, error: &io::Error) -> Fault {
    Fault::Broken(phase, error.raw_os_error().unwrap_or(0))
}

fn poll(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        result => result,
    }
}
