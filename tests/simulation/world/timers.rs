//! Time: how it passes, what is due, and who has waited too long.

use mailfly::limits::{PROTOCOL_TICK_MS, TIMER_TICK_MS, TIMERS_PER_TURN};
use mailfly::net::Protocol;
use mailfly::net::timers::NEVER;
use mailfly::progress::Then;

use super::World;

impl World<'_> {
    pub(super) fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
    }

    /// The server sleeps for so long, but for what its timers have it do.
    pub(super) fn sleep(&mut self, ms: u64) {
        let until_ms = self.now.monotonic_ms + ms;
        while self.now.monotonic_ms < until_ms {
            let next_ms = self.timers.next_ms().unwrap_or(NEVER).min(self.tick_at_ms);
            let next_ms = next_ms.clamp(self.now.monotonic_ms, until_ms);
            self.pass(next_ms - self.now.monotonic_ms);
            self.fire();
        }
        self.turn();
    }

    pub(super) fn fire(&mut self) {
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
                let latest_ms = link.deadline_ms(&self.service, &self.tls).max(now_ms) + slack_ms;
                let is_armed = armed_ms <= latest_ms || self.rearmed_ms > now_ms;
                assert!(is_armed, "nobody sleeps past a deadline");
            }
        }
    }

    pub(super) fn note_pressure(&mut self) {
        let before = std::mem::replace(&mut self.pressure, self.service.metrics().pressure);
        if self.pressure > before {
            self.rearmed_ms = self.tick_at_ms;
        }
    }

    /// Asks for all deadlines again, since some are earlier than their timers.
    pub(super) fn rearm(&mut self) {
        for (at, link) in self.links.iter().enumerate() {
            if let Some(link) = link {
                let deadline_ms = link.deadline_ms(&self.service, &self.tls);
                if deadline_ms < self.timers.deadline_ms(at as u32) {
                    self.timers.set(at as u32, deadline_ms);
                }
            }
        }
    }

    pub(super) fn expire(&mut self, at: usize) {
        let mut link = self.links[at].take().expect("only who is there has a timer");
        let has_passed = link.deadline_ms(&self.service, &self.tls) <= self.now.monotonic_ms;
        let mut is_open = true;
        if has_passed && link.is_held {
            link.is_held = false;
            let spoke = link.wire.has_spoken();
            let then = self.service.hold_ended(&mut link.conversation, spoke, self.now);
            if let (Some(strangers), Some(stranger)) = (&mut self.strangers, &mut link.stranger) {
                let has_to_go = strangers.hold_ended(stranger, spoke, self.now);
                strangers.expect((then == Then::Close) == has_to_go, "who spoke early", None);
            }
            is_open = then != Then::Close && self.send(&mut link);
        } else if has_passed {
            is_open = false;
            let is_handshaking = self.tls.handshaking_since_ms(link.tls).is_some();
            let hears_nothing = link.is_owed(&self.service) || is_handshaking;
            if let (Some(strangers), Some(stranger)) = (&mut self.strangers, &mut link.stranger)
                && !self.is_draining
            {
                strangers.left_unfinished(stranger, self.now);
            }
            let then = self.service.expired(&mut link.conversation, self.now, &mut self.output);
            if hears_nothing {
                self.output.clear();
            } else {
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
}
