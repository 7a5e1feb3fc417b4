//! The course of a run: how much was done in each tick, and what the server's process and this one
//! used for it. What each message took is `measure`.

use crate::clock::Nanoseconds;
use crate::limits::{TICK_NS, TICKS_MAX};
use crate::measure::Measure;
use crate::plan::Plan;
use crate::process::{self, Usage};
use crate::sys::{self, CpuTime};

/// One tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// When it ended, since the flood began.
    pub(crate) at_ns: Nanoseconds,
    /// Messages acknowledged, a second.
    pub(crate) rate: f64,
    /// The longest time that a message acknowledged in it took.
    pub(crate) slowest_ns: Nanoseconds,
    /// Shares of one CPU.
    pub(crate) own_cpu: f64,
    pub(crate) server_cpu: Option<f64>,
    pub(crate) server_resident_bytes: Option<u64>,
}

/// What processes had used at some moment.
#[derive(Clone, Copy, Debug)]
struct Snapshot {
    at: Nanoseconds,
    own: CpuTime,
    own_wait_ns: u64,
    server: Option<Usage>,
    acknowledged: u64,
}

/// What processes used within the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) elapsed_ns: Nanoseconds,
    pub(crate) own_user_ns: u64,
    pub(crate) own_system_ns: u64,
    /// How long this process was kept from running by others.
    pub(crate) own_wait_ns: u64,
    /// How much of its own time it waited in a busy loop.
    pub(crate) own_spun_ns: u64,
    pub(crate) server_cpu_ns: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Timeline {
    pid: Option<u32>,
    interval_ns: Nanoseconds,
    begin: Nanoseconds,
    window: (Nanoseconds, Nanoseconds),
    next_tick: Nanoseconds,
    last: Option<Snapshot>,
    first_in_window: Option<Snapshot>,
    last_in_window: Option<Snapshot>,
    spun_ns: u64,
    points: Vec<Point>,
    acknowledged: u64,
    errors: u64,
}

impl Timeline {
    pub(crate) fn new(plan: &Plan) -> Self {
        let whole = plan.warmup_ns + plan.measure_ns;
        Self {
            pid: plan.pid,
            interval_ns: TICK_NS.max(whole / TICKS_MAX),
            begin: 0,
            window: (0, 0),
            next_tick: 0,
            last: None,
            first_in_window: None,
            last_in_window: None,
            spun_ns: 0,
            points: Vec::new(),
            acknowledged: 0,
            errors: 0,
        }
    }

    pub(crate) fn begin(&mut self, now: Nanoseconds, window: (Nanoseconds, Nanoseconds)) {
        self.begin = now;
        self.window = window;
        self.next_tick = now + self.interval_ns;
        self.last = Some(self.snapshot(now));
    }

    pub(crate) fn next_tick(&self) -> Nanoseconds {
        let first = self.first_in_window.is_none().then_some(self.window.0);
        self.next_tick.min(first.unwrap_or(self.next_tick))
    }

    /// Whether a tick has ended; if so it is written down.
    pub(crate) fn tick(&mut self, now: Nanoseconds, measure: &mut Measure) -> bool {
        if now < self.next_tick() {
            return false;
        }
        self.acknowledged = measure.acknowledged_ever;
        self.errors = measure.errors;
        let snapshot = self.snapshot(now);
        if self.first_in_window.is_none() && now >= self.window.0 {
            self.first_in_window = Some(snapshot);
            self.spun_ns = 0;
        }
        if now < self.next_tick {
            return false;
        }
        self.next_tick = now + self.interval_ns;
        if let Some(last) = self.last.replace(snapshot) {
            self.points.push(self.point(
                &last,
                &snapshot,
                std::mem::take(&mut measure.whole_ns_max),
            ));
        }
        true
    }

    /// The window ends here.
    pub(crate) fn end(&mut self, now: Nanoseconds) {
        if !self.has_ended() {
            self.last_in_window = Some(self.snapshot(now));
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.last_in_window.is_some()
    }

    /// So much time went by in a busy loop with nothing to do.
    pub(crate) fn spun(&mut self, ns: Nanoseconds) {
        self.spun_ns += ns;
    }

    pub(crate) fn points(&self) -> &[Point] {
        &self.points
    }

    /// Acknowledged messages and errors as of the last tick.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.acknowledged, self.errors)
    }

    /// What was used in the window; none if it never began.
    pub(crate) fn used(&self) -> Option<Used> {
        let (first, last) = (self.first_in_window?, self.last_in_window?);
        let server = first.server.zip(last.server);
        Some(Used {
            elapsed_ns: last.at.saturating_sub(first.at),
            own_user_ns: last.own.user_ns.saturating_sub(first.own.user_ns),
            own_system_ns: last.own.system_ns.saturating_sub(first.own.system_ns),
            own_wait_ns: last.own_wait_ns.saturating_sub(first.own_wait_ns),
            own_spun_ns: self.spun_ns,
            server_cpu_ns: server.map(|(first, last)| last.cpu_ns.saturating_sub(first.cpu_ns)),
        })
    }

    fn snapshot(&self, at: Nanoseconds) -> Snapshot {
        Snapshot {
            at,
            own: sys::own_cpu(),
            own_wait_ns: process::own_wait_ns(),
            server: self.pid.and_then(process::usage),
            acknowledged: self.acknowledged,
        }
    }

    fn point(&self, last: &Snapshot, this: &Snapshot, slowest_ns: Nanoseconds) -> Point {
        let elapsed = this.at.saturating_sub(last.at).max(1) as f64;
        let share = |before: u64, after: u64| after.saturating_sub(before) as f64 / elapsed;
        let server = last.server.zip(this.server);
        Point {
            at_ns: this.at.saturating_sub(self.begin),
            rate: share(last.acknowledged, this.acknowledged) * 1e9,
            slowest_ns,
            own_cpu: share(last.own.total_ns(), this.own.total_ns()),
            server_cpu: server.map(|(last, this)| share(last.cpu_ns, this.cpu_ns)),
            server_resident_bytes: this.server.map(|usage| usage.resident_bytes),
        }
    }
}
