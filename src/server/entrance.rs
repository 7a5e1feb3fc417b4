//! Letting in: who may stay as what, and what those are told who may not. Not here: what is said
//! afterwards (`service`), the judgement about a source (`guard`).

use std::net::IpAddr;

use super::conversation::{Conversation, Door};
use super::guest::Guest;
use super::patience::{Patience, Stage};
use super::service::Service;
use crate::clock::Now;
use crate::guard::{Rule, Verdict, tarpit};
use crate::http::Exchange;
use crate::limits::{BANNER_HOLD_MS, HTTP_CONNECTIONS_MAX};
use crate::net::{Admission, Refused};
use crate::output::Output;
use crate::progress::{Progress, Then};
use crate::proxy;
use crate::smtp::reply::{self, Goodbye};
use crate::smtp::session::Session;

impl Service<'_> {
    /// A proxy says whose connection it brings.
    pub(super) fn introduced(
        &mut self,
        door: Door,
        proxy: IpAddr,
        connection: &mut Conversation,
        input: &[u8],
        now: Now,
        output: &mut Output,
    ) -> Progress {
        let header = match proxy::parse(input) {
            Ok(Some(header)) => header,
            Ok(None) => return Progress { consumed: 0, then: Then::Continue },
            Err(proxy::NoHeader) => {
                self.metrics.proxy_headers_refused += 1;
                return Progress { consumed: 0, then: Then::Close };
            }
        };
        // What the proxy asks for itself, to see whether the server is there, comes from the proxy.
        let source = header.source.unwrap_or(proxy);
        let (conversation, then) = match self.welcome(door, source, now, output) {
            Admission::Accept(conversation) => (conversation, Then::Flush),
            Admission::Encrypt(conversation) => (conversation, Then::Encrypt),
            Admission::Refuse(_) => {
                return Progress { consumed: header.bytes, then: Then::Close };
            }
        };
        *connection = conversation;
        Progress { consumed: header.bytes, then }
    }

    /// One whose address is known is let in, or told why not.
    pub(super) fn welcome(
        &mut self,
        door: Door,
        source: IpAddr,
        now: Now,
        output: &mut Output,
    ) -> Admission<Conversation> {
        match door {
            Door::Smtp => {
                let mut guest = match self.admit(source, now, output) {
                    Ok(guest) => guest,
                    Err(refused) => return Admission::Refuse(refused),
                };
                if let Some(delay_ms) = self.banner_delay_ms(&guest) {
                    guest.hold_banner(now.monotonic_ms + delay_ms);
                }
                let session = Session::new();
                session.greeting(&self.session, output);
                self.phases.banner_said();
                Admission::Accept(Conversation::Smtp { session, guest })
            }
            Door::Http => self
                .admit_reader(door, source, now)
                .map_or_else(Admission::Refuse, Admission::Accept),
            Door::Smtps => self.admit_encrypted(|service| {
                let admitted = service.admit(source, now, output);
                // Whoever is sent away is told nothing: it would not be understood.
                output.clear();
                let session = Session::within_tls();
                admitted.map(|guest| Conversation::Smtp { session, guest })
            }),
            Door::Https => self.admit_encrypted(|service| service.admit_reader(door, source, now)),
        }
    }

    fn admit_encrypted(
        &mut self,
        admit: impl FnOnce(&mut Self) -> Result<Conversation, Refused>,
    ) -> Admission<Conversation> {
        if !self.metrics.begin_tls(self.tls_connections_max) {
            return Admission::Refuse(Refused::NoRoom);
        }
        match admit(self) {
            Ok(conversation) => Admission::Encrypt(conversation),
            Err(refused) => {
                self.metrics.tls_connections_open -= 1;
                Admission::Refuse(refused)
            }
        }
    }

    /// One who reads mail may stay, or not.
    fn admit_reader(
        &mut self,
        door: Door,
        source: IpAddr,
        now: Now,
    ) -> Result<Conversation, Refused> {
        if self.metrics.http_connections_open >= HTTP_CONNECTIONS_MAX {
            self.metrics.http_connections_refused += 1;
            return Err(Refused::NoRoom);
        }
        let (peer, verdict) = self.guard.reader_connected(source, now);
        if matches!(verdict, Verdict::Refuse(_)) {
            return Err(Refused::Unwanted);
        }
        self.metrics.http_connections += 1;
        self.metrics.http_connections_open += 1;
        let patience = Patience::new(Stage::Idle, now.monotonic_ms);
        let (exchange, encrypted) = (Exchange::default(), door == Door::Https);
        Ok(Conversation::Http { exchange, source, peer, patience, encrypted })
    }

    /// One who brings mail may stay, or is told why not.
    fn admit(&mut self, source: IpAddr, now: Now, output: &mut Output) -> Result<Guest, Refused> {
        self.crowd.let_in();
        // A fresh output has room for whatever is said.
        let (peer, verdict) = self.guard.connected(source, now);
        if let Verdict::Refuse(finding) = verdict {
            let for_long = !matches!(finding.rule, Rule::ConnectionsAtOnce | Rule::Connections);
            let (hostname, why) = (self.session.hostname(), finding.rule.reason());
            let _ = reply::turned_away(for_long, hostname, why, output);
            return Err(Refused::Unwanted);
        }
        if self.metrics.smtp_connections_open >= self.smtp_connections_max {
            self.guard.disconnected(peer);
            self.metrics.smtp_connections_refused += 1;
            let _ = Goodbye::TooManyConnections.write(self.session.hostname(), output);
            return Err(Refused::NoRoom);
        }
        self.metrics.smtp_connections += 1;
        self.metrics.smtp_connections_open += 1;
        if self.metrics.smtp_connections_open >= self.smtp_connections_max {
            self.crowd.grows(now);
        }
        self.feel_pressure();
        Ok(Guest::new(source, peer, verdict, now.monotonic_ms))
    }

    /// How long a banner is held back: for those who are slowed down, and a moment for all who are
    /// not trusted, to see who speaks before it.
    fn banner_delay_ms(&self, guest: &Guest) -> Option<u64> {
        if guest.peer.is_exempt() {
            return None;
        }
        let delay_ms = tarpit::delay_ms(self.load());
        if guest.is_slowed() {
            return Some(delay_ms);
        }
        let watches = self.guard.rules().of(Rule::Offences).is_some();
        watches.then_some(delay_ms.min(BANNER_HOLD_MS))
    }
}
