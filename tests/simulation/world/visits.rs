//! What the reactor does with the protocol: connections are visited when they are ready, are sent what
//! waits, and go.

use std::rc::Rc;

use mailfly::guard::{Offence, Rules};
use mailfly::limits::{HTTP_TURNS_LEFT_OUT_MAX, LINE_BYTES_MAX, TARPIT_MS_MAX};
use mailfly::net::Protocol;
use mailfly::progress::{Progress, Then};
use mailfly::server::Conversation;
use mailfly::tls::TlsId;

use super::World;
use super::link::{Link, Who};
use crate::client::{Event, Said, Terms};
use crate::model::Commit;
use crate::sealed;
use crate::wire::Received;

impl World<'_> {
    /// A turn of the loop: whoever is ready, in any order, some not at all yet; then the timers.
    pub(super) fn turn(&mut self) {
        // Time has passed, and mail may have expired.
        self.check_store();
        self.service.turn_begins();
        self.tls.turn_begins();
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
    pub(super) fn visit(&mut self, at: usize) {
        let Some(mut link) = self.links[at].take() else { return };
        let is_open = self.converse(&mut link);
        self.settle(at, link, is_open);
    }

    /// Returns whether the connection stays.
    pub(super) fn converse(&mut self, link: &mut Link) -> bool {
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
                if link.tls != TlsId::NONE {
                    match self.receive_sealed(link, most) {
                        Some(true) => {}
                        Some(false) => return self.send(link),
                        None => return false,
                    }
                } else {
                    match link.wire.receive(&mut link.kept, most) {
                        Received::Bytes(bytes) => {
                            link.received_bytes += bytes as u64;
                            link.moved_ms = self.now.monotonic_ms;
                        }
                        Received::Nothing => return true,
                        Received::End => return false,
                    }
                }
            }
            self.show(link);
        }
        self.send(link)
    }

    /// Shows the protocol what it has not consumed, and notes what it says.
    pub(super) fn show(&mut self, link: &mut Link) {
        let faults = self.service.metrics().faults;
        let Progress { consumed, then } =
            self.service.received(&mut link.conversation, &link.kept, self.now, &mut self.output);
        assert!(consumed <= link.kept.len(), "no more is consumed than was shown");
        self.deeds.input_bytes += link.kept.len();
        let got_on = consumed > 0 || !self.output.is_empty();
        link.kept.drain(..consumed);
        let is_answered = consumed > 0 || !self.service.held_output(&link.conversation).is_empty();
        let faults = self.service.metrics().faults - faults;
        let output = self.output.as_slice().to_vec();
        let events = self.said(link);
        self.judge(link, &events, faults, (&output, then == Then::Close));
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
            Then::Encrypt => {
                assert!(link.kept.is_empty(), "nothing is behind it");
                link.tls = self.tls.begin(self.now.monotonic_ms);
                assert_ne!(link.tls, TlsId::NONE, "there was room");
            }
        }
        self.hold(link);
        self.check_store();
    }

    /// What the guard had to say to that, and has said.
    fn judge(&mut self, link: &mut Link, events: &[Event], faults: u64, said: (&[u8], bool)) {
        let load = self.load();
        let (Some(strangers), Some(stranger)) = (&mut self.strangers, &mut link.stranger) else {
            return;
        };
        let Who::Client(client) = &link.who else { return };
        strangers.heard(stranger, &client.mails, events, faults, self.now);
        if !self.is_draining {
            let held_until_ms = self.service.held_until_ms(&link.conversation);
            strangers.said(stranger, said, load, held_until_ms, self.now);
        }
    }

    /// Keeps back what has just been said, if the service wants it and there is room for it, which is
    /// a matter of chance.
    pub(super) fn hold(&mut self, link: &mut Link) {
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
    pub(super) fn said(&mut self, link: &mut Link) -> Vec<Event> {
        if self.trace && !self.output.is_empty() {
            eprintln!("{:>30} < {}", link.source, self.output.as_slice().escape_ascii());
        }
        let mut said = Said::default();
        let mut mails = vec![];
        if let Who::Client(client) = &mut link.who {
            let terms = Terms {
                policy: self.settings.policy,
                message_bytes_max: self.settings.message_bytes_max,
                rules: &self.rules,
            };
            let used_bytes = link.received_bytes - link.kept.len() as u64;
            let so_far = (link.received_bytes, used_bytes);
            said = client.answered(self.output.as_slice(), so_far, terms);
            self.deeds.replies += said.replies;
            self.deeds.drafts_full += said.drafts_full;
            for stored in said.stored {
                mails.push(Rc::clone(&stored.mail));
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
        self.leaves(link);
        if let (Some(guarded), Some(known)) = (&mut self.guarded, &link.known) {
            for mail in &mails {
                guarded.message(&mut self.random, known, mail, self.now);
            }
            for _ in 0..said.faults {
                guarded.offended(known, Offence::Fault, self.now);
            }
        }
        said.events
    }

    /// What is in the output is on its way: through TLS, if that has begun.
    fn leaves(&mut self, link: &mut Link) {
        if !self.output.is_empty() && link.tls != TlsId::NONE {
            if self.tls.seal(link.tls, self.output.as_slice(), b"").is_err() {
                // Who has to make way within a handshake goes without a word.
                assert!(self.tls.handshaking_since_ms(link.tls).is_some(), "hands were shaken");
                link.is_closing = true;
            }
            link.unsent.extend(self.tls.take_outgoing(link.tls));
        } else {
            link.unsent.extend(self.output.as_slice());
        }
        self.output.clear();
    }

    /// Reads through TLS: whether anything plain came; `None` if there is no more to come.
    fn receive_sealed(&mut self, link: &mut Link, most: usize) -> Option<bool> {
        let before = link.kept.len();
        let into = (&mut link.kept, most);
        let opened = sealed::receive(&mut self.tls, link.tls, &mut link.wire, into);
        link.unsent.extend(self.tls.take_outgoing(link.tls));
        link.tls_ended = self.tls.is_ended(link.tls);
        let Some(opened) = opened.ok()? else { return Some(false) };
        link.moved_ms = self.now.monotonic_ms;
        link.received_bytes += (link.kept.len() - before) as u64;
        if opened.established {
            self.service.encrypted(&mut link.conversation, self.now, &mut self.output);
            assert!(self.output.is_empty(), "the client speaks first");
        }
        Some(opened.bytes > 0)
    }

    /// Sends what waits, as far as the window allows; returns whether the peer is still there.
    pub(super) fn send(&mut self, link: &mut Link) -> bool {
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
    pub(super) fn settle(&mut self, at: usize, mut link: Link, mut is_open: bool) {
        let key = at as u32;
        if self.is_draining && link.is_held {
            // Nobody is kept waiting on purpose any more.
            link.is_held = false;
            is_open &= self.send(&mut link);
        }
        let is_handshaking = self.tls.handshaking_since_ms(link.tls).is_some();
        let is_told = link.told_to_drain || link.is_owed(&self.service) || is_handshaking;
        if is_open && self.is_draining && !is_told {
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
            let deadline_ms = link.deadline_ms(&self.service, &self.tls);
            if deadline_ms < self.timers.deadline_ms(key) {
                self.timers.set(key, deadline_ms);
            }
            self.links[at] = Some(link);
            return;
        }
        self.timers.cancel(key);
        if link.tls != TlsId::NONE {
            if link.unsent.is_empty() && self.tls.close(link.tls).is_ok() {
                link.wire.send(self.tls.take_outgoing(link.tls));
            }
            self.tls.end(link.tls);
        }
        let Link { conversation, known, stranger, who, .. } = link;
        if let (Some(strangers), Some(mut stranger)) = (&mut self.strangers, stranger) {
            let is_idle = match &conversation {
                Conversation::Smtp { session, .. } => session.is_idle(),
                _ => true,
            };
            if !is_idle && !self.is_draining {
                strangers.left_unfinished(&mut stranger, self.now);
            }
            strangers.disconnected(stranger);
        }
        self.service.disconnected(conversation, self.now);
        if let (Some(guarded), Some(known)) = (&mut self.guarded, known) {
            if let Who::Client(client) = who
                && !client.has_all_answers()
            {
                guarded.offended(&known, Offence::Unfinished, self.now);
            }
            guarded.disconnected(known);
        }
    }
}
