//! What happens in one step, and how often: to the clients, to what is under way, to time.

use mailfly::limits::SMTP_IDLE_MS;

use super::link::Who;
use super::{World, YEAR_MS};
use crate::sealed::Sealed;
use crate::wire::Wire;

/// What happens in one step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
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

impl World<'_> {
    pub(super) fn step(&mut self, action: Action) {
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
            Action::HalfClose => {
                let says_so = self.random.percent(60);
                let goes = self.random.percent(70);
                if let Some(link) = &mut self.links[which] {
                    match &mut link.sealed {
                        Some(sealed) if says_so => sealed.say_goodbye(&mut link.wire),
                        _ => link.wire.end(),
                    }
                    if goes {
                        link.wire.end();
                    }
                }
            }
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

    pub(super) fn with_wire(&mut self, which: usize, act: impl FnOnce(&mut Wire)) {
        if let Some(link) = &mut self.links[which] {
            act(&mut link.wire);
        }
    }

    pub(super) fn speak(&mut self, which: usize) {
        let Some(link) = &mut self.links[which] else { return };
        if link.sealed.as_ref().is_some_and(|sealed| !sealed.is_ready()) {
            return;
        }
        let said = match &mut link.who {
            Who::Client(client) => client.speak(self.random.pick(&[1, 1, 3, 100])),
            Who::Reader(reader) => reader.speak(&mut self.random, &self.model),
        };
        match &mut link.sealed {
            Some(sealed) => sealed.write(&said, &mut link.wire),
            None => link.wire.write(&said),
        }
    }

    pub(super) fn arrive(&mut self, which: usize) {
        if let Some(link) = &mut self.links[which] {
            link.wire.arrive(&mut self.random);
        }
    }

    pub(super) fn read(&mut self, which: usize) {
        let Some(link) = &mut self.links[which] else { return };
        let most = self.random.pick(&[1, 50, 1 << 20, 1 << 20]);
        let mut heard = link.wire.read(most);
        if let Some(sealed) = &mut link.sealed {
            heard = sealed.hear(&heard, &mut link.wire);
        }
        match &mut link.who {
            Who::Client(client) => {
                client.hear(&heard);
                if client.wants_tls && link.sealed.is_none() {
                    link.sealed = Some(Sealed::new(&mut self.random, &mut link.wire));
                }
            }
            Who::Reader(reader) => reader.hear(&heard),
        }
    }
}
