//! The door: who comes, who is turned away, and who has to make way.

use std::collections::VecDeque;
use std::net::SocketAddr;

use mailfly::guard::{Action, Load, Rule};
use mailfly::limits::HTTP_CONNECTIONS_RESERVED;
use mailfly::net::{Admission, ListenerId, Protocol, Refused};
use mailfly::tls::TlsId;

use super::link::{Link, Who};
use super::{HTTP, SMTP, World};
use crate::client::Client;
use crate::reader::Reader;
use crate::strangers::Admitted;
use crate::wire::Wire;

impl World<'_> {
    pub(super) fn connect(&mut self) {
        if let Some(guarded) = &mut self.guarded
            && self.operator.is_wide
        {
            guarded.pass_by(&mut self.random, self.now);
        }
        let free = self.links.iter().position(Option::is_none);
        let Some(at) = free.filter(|_| self.clients_left > 0 && !self.is_draining) else { return };
        self.clients_left -= 1;
        let address = self.operator.address(&mut self.random);
        let listener = if self.random.percent(25) { HTTP } else { SMTP };
        let mut known = None;
        if let Some(guarded) = &mut self.guarded
            && listener == SMTP
        {
            known = guarded.connected(address, self.now);
            if known.is_none() {
                return;
            }
        }
        self.service.turn_begins();
        let port = SocketAddr::new(address, 1000);
        let admission = self.service.connected(listener, port, self.now, &mut self.output);
        self.note_pressure();
        let window_bytes = self.random.pick(&[20, 300, 5_000, 1 << 20]);
        let mut wire = Wire::new(window_bytes);
        let admitted = match admission {
            Admission::Accept(_) => Admitted::Yes,
            _ if listener == HTTP => Admitted::TooMany,
            _ => self.turned_away(),
        };
        let mut stranger = None;
        let load = self.load();
        if let Some(strangers) = &mut self.strangers
            && listener == SMTP
        {
            stranger = strangers.connected(address, &admitted, load, self.now);
        }
        let Admission::Accept(conversation) = admission else {
            wire.send(self.output.as_slice());
            self.output.clear();
            if let (Some(guarded), Some(known)) = (&mut self.guarded, known) {
                guarded.disconnected(known);
            }
            if matches!(admission, Admission::Refuse(Refused::NoRoom)) {
                self.make_way_if_wanted(listener);
            }
            return;
        };
        if let (Some(strangers), Some(stranger)) = (&mut self.strangers, &stranger) {
            strangers.holds(stranger, self.service.held_until_ms(&conversation));
        }
        let who = match listener {
            SMTP => {
                let style = self.random.weighted(&self.styles);
                let has_tls = self.operator.tls_connections_max > 0;
                let client = Client::new(&mut self.random, style, self.sizes, has_tls);
                Who::Client(Box::new(client))
            }
            _ => Who::Reader(Reader::new(&mut self.random)),
        };
        let mut link = Link {
            who,
            source: address,
            wire,
            sealed: None,
            tls: TlsId::NONE,
            tls_ended: false,
            conversation,
            kept: vec![],
            is_unseen: false,
            unsent: VecDeque::new(),
            is_held: false,
            is_closing: false,
            told_to_drain: false,
            moved_ms: self.now.monotonic_ms,
            received_bytes: 0,
            known,
            stranger,
        };
        self.said(&mut link);
        self.hold(&mut link);
        let is_open = self.send(&mut link);
        self.settle(at, link, is_open);
        self.make_way_if_wanted(listener);
        self.service.turn_ends(1, 1);
    }

    fn make_way_if_wanted(&mut self, listener: ListenerId) {
        if self.service.wants_way(listener) {
            self.make_way();
        }
    }

    /// Somebody was refused, and told why: there are too many, or a rule that is on.
    fn turned_away(&mut self) -> Admitted {
        let line = str::from_utf8(self.output.as_slice()).expect("replies are text").trim_end();
        if line.starts_with("421 4.3.2 ") {
            return Admitted::TooMany;
        }
        let mut rules = Rule::ALL.into_iter().filter(|rule| line.ends_with(rule.reason()));
        let rule = rules.next().filter(|rule| {
            self.rules.of(*rule).is_some_and(|setting| setting.action == Action::Reject)
        });
        let is_judgement = line.starts_with("554 5.7.1 ") || line.starts_with("421 4.7.0 ");
        assert!(is_judgement && rule.is_some(), "turned away with {line:?}");
        self.turned_away += 1;
        rule.map_or(Admitted::TooMany, Admitted::Refused)
    }

    /// The share of sessions that are open.
    pub(super) fn load(&self) -> Load {
        let most = u64::from(self.settings.connections_max);
        let most = most - HTTP_CONNECTIONS_RESERVED.min(most / 8);
        Load { used: self.service.metrics().smtp_connections_open, most }
    }

    /// Of those who may be asked to, the one goes that has been silent longest.
    pub(super) fn make_way(&mut self) {
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
}
