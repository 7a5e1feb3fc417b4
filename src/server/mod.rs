//! The server: takes everything that it needs, in an order in which a failure harms nobody, then
//! turns the reactor until it is told to stop. Not here: what connections mean (`service`), what
//! memory that takes (`plan`), what the operator chose (`config`).

mod certificate;
mod confinement;
mod conversation;
mod crowd;
mod entrance;
mod guest;
mod mail;
mod parts;
mod patience;
mod plan;
mod secrets;
mod service;
mod share;
mod signals;
mod standing;
mod surroundings;
mod telling;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::clock::Clock;
use crate::config::{Impossible, Settings};
use crate::guard::{self, Guard, Words};
use crate::http::{Gate, Responses};
use crate::limits::{HEAP_TOP_PAD_BYTES, STACK_TOUCHED_BYTES};
use crate::metrics::Metrics;
use crate::net::{Bound, Reactor, Sizes};
use crate::store::Store;
use crate::sys::memory;
use crate::sys::notify::Supervisor;

pub use certificate::CertificateError;
pub use confinement::{Confinement, ConfinementError};
pub use conversation::{Conversation, Door};
pub use guest::Guest;
pub use parts::Parts;
pub use patience::Patience;
pub use plan::{Place, Plan, Term};
pub use service::Service;
use signals::Signals;
pub use surroundings::{Surroundings, SurroundingsError};
use telling::tell;

/// Why the server could not start. Nothing listens then.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be had.
    Address(SocketAddr, io::Error),
    /// A socket that was passed cannot be used.
    Passed(&'static str, io::Error),
    /// The pool cannot be had.
    Memory(io::Error),
    /// There is no certificate to show to peers.
    Certificate(CertificateError),
    /// The secrets cannot be read, or are none.
    Secrets(PathBuf, io::Error),
    /// Something else that the kernel has to give.
    System(&'static str, io::Error),
    /// The settings contradict each other, which reading them should have found.
    Settings(Impossible),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address, error) => {
                write!(formatter, "cannot listen on {address}: {error}")
            }
            Self::Passed(service, error) => {
                write!(formatter, "cannot use the socket that was passed for {service}: {error}")
            }
            Self::Memory(error) => write!(formatter, "cannot take the pool's memory: {error}"),
            Self::Certificate(error) => write!(formatter, "TLS: {error}"),
            Self::Secrets(path, error) => {
                write!(formatter, "cannot take secrets from {}: {error}", path.display())
            }
            Self::System(what, error) => write!(formatter, "cannot have {what}: {error}"),
            Self::Settings(impossible) => impossible.fmt(formatter),
        }
    }
}

impl std::error::Error for StartError {}

/// A server that has everything it needs, and listens.
pub struct Server<'s> {
    reactor: Reactor<Service<'s>>,
    service: Service<'s>,
    settings: &'s Settings,
    /// Where what is offered.
    doors: Vec<(Door, SocketAddr)>,
    supervisor: Supervisor,
}

impl<'s> Server<'s> {
    /// Binds every address, takes all memory, and only then listens.
    ///
    /// # Errors
    /// What could not be had.
    pub fn start(settings: &'s Settings) -> Result<Self, StartError> {
        Self::start_in(Surroundings::default(), settings)
    }

    /// The same where whoever started the program may have sockets for it.
    ///
    /// # Errors
    /// What could not be had.
    pub fn start_in(
        surroundings: Surroundings,
        settings: &'s Settings,
    ) -> Result<Self, StartError> {
        let gate = Gate {
            hosts: settings.http_hosts.clone(),
            read: secrets::load(settings.http_read_secret.as_deref())?,
            change: secrets::load(settings.http_delete_secret.as_deref())?,
        };
        let bound = bind(settings, surroundings.sockets)?;
        let doors: Vec<_> = bound.iter().map(|(door, bound)| (*door, bound.address())).collect();
        let smtp_address = doors.iter().find(|(door, _)| *door == Door::Smtp);
        let capacity = settings.capacity().map_err(StartError::Settings)?;
        // Before everything that is taken from the heap, so that all of it is resident already.
        memory::settle_heap(Plan::of(settings).heap_bytes(), HEAP_TOP_PAD_BYTES)
            .map_err(|error| StartError::System("the heap's memory", io::Error::other(error)))?;
        let seed = random_seed().map_err(|error| StartError::System("random bytes", error))?;
        let sizes = sizes(settings);
        let tls_connections = sizes.tls_connections;
        let parts = Parts {
            store: Store::new(capacity, seed).map_err(StartError::Memory)?,
            guard: Guard::with_sizes(
                guard::Sizes::for_memory(settings.memory_bytes),
                settings.rules,
                settings.trusted.clone(),
                // What is no list of words was refused when it was read.
                Words::parse(&settings.words).unwrap_or_default(),
                // Of its own: who finds out one hash's key has not found the other's.
                random_seed().map_err(|error| StartError::System("random bytes", error))?,
            ),
            gate,
            responses: Responses::new(settings.message_bytes_max),
            doors: doors.iter().map(|(door, _)| *door).collect(),
            tls_connections_max: tls_connections.into(),
            smtp_address: smtp_address.map(|(_, address)| address.to_string()).unwrap_or_default(),
        };
        let service = Service::new(settings, parts).map_err(|error| {
            StartError::System("the histograms", io::Error::other(error.to_string()))
        })?;
        let mut reactor = Reactor::new(Clock::start(), sizes)
            .map_err(|error| StartError::System("the reactor's memory", error))?;
        if tls_connections > 0 {
            reactor.set_identity(certificate::load(settings).map_err(StartError::Certificate)?);
        }
        memory::prefault_program::<STACK_TOUCHED_BYTES>();
        for (_, bound) in bound {
            let address = bound.address();
            reactor.listen(bound).map_err(|error| StartError::Address(address, error))?;
        }
        let supervisor = surroundings.supervisor;
        Ok(Self { reactor, service, settings, doors, supervisor })
    }

    /// Where mail is taken, with the real ports.
    #[must_use]
    pub fn smtp_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(Door::Smtp)
    }

    /// Where mail is shown, with the real ports.
    #[must_use]
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(Door::Http)
    }

    /// Where this is offered, with the real ports.
    #[must_use]
    pub fn addresses(&self, door: Door) -> Vec<SocketAddr> {
        let doors = self.doors.iter().filter(|(other, _)| *other == door);
        doors.map(|(_, address)| *address).collect()
    }

    /// What the server has counted so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.service.metrics()
    }

    /// The mail.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.service.store()
    }

    /// Serves for one turn of the reactor.
    ///
    /// # Errors
    /// Polling failed.
    pub fn turn(&mut self) -> io::Result<()> {
        self.reactor.turn(&mut self.service).map(drop)
    }

    /// Says where it listens, a line an address, and serves until SIGTERM or SIGINT; then stops
    /// accepting, lets transactions that are under way finish for a few seconds, and returns. A
    /// second signal ends the process at once.
    ///
    /// # Errors
    /// Signals cannot be had, or polling failed.
    pub fn run(mut self, mut out: impl Write) -> io::Result<()> {
        let token = Reactor::<Service<'s>>::foreign_token(SIGNALS);
        let mut signals = Signals::register(self.reactor.registry(), token)?;
        for (door, address) in &self.doors {
            writeln!(out, "{} listening on {address}", door.name())?;
        }
        out.flush()?;
        drop(out);
        self.supervisor.ready();
        while !self.reactor.is_drained() {
            let turn = self.reactor.turn(&mut self.service)?;
            if !turn.is_ready(SIGNALS) {
                continue;
            }
            let come = signals.come();
            if come.reload {
                self.reload();
            }
            if come.stop {
                self.supervisor.stopping();
                self.service.drain();
                self.reactor.drain(&mut self.service);
            }
        }
        Ok(())
    }

    /// Reads the files of the certificate and of the secrets again, where there are any. What cannot be
    /// used changes nothing. Connections that are encrypted already, or about to be, go on as they
    /// are; the next request needs a secret that is one now.
    fn reload(&mut self) {
        if self.settings.tls_certificate.is_some() {
            match certificate::load(self.settings) {
                Ok(identity) => {
                    self.reactor.set_identity(identity);
                    tell(&"the certificate was read again");
                }
                Err(error) => tell(&format_args!("the certificate stays as it was: {error}")),
            }
        }
        let Gate { read, change, .. } = &mut self.service.gate;
        for (purpose, file, secrets) in [
            ("reading", &self.settings.http_read_secret, read),
            ("deleting", &self.settings.http_delete_secret, change),
        ] {
            let Some(path) = file else { continue };
            match secrets::load(Some(path)) {
                Ok(found) => {
                    *secrets = found;
                    tell(&format_args!("the secrets for {purpose} were read again"));
                }
                Err(error) => {
                    tell(&format_args!("the secrets for {purpose} stay as they were: {error}"));
                }
            }
        }
    }
}

/// The number of the signals among the reactor's foreign sources.
const SIGNALS: u8 = 0;

/// What the reactor holds.
fn sizes(settings: &Settings) -> Sizes {
    let tls_connections = settings.tls_connections_max.min(settings.connections_max);
    Sizes::for_connections(settings.connections_max).with_tls(tls_connections)
}

/// The sockets of every door. Those that were passed for a door stand for its addresses.
fn bind(
    settings: &Settings,
    mut passed: Vec<(Door, OwnedFd)>,
) -> Result<Vec<(Door, Bound)>, StartError> {
    if settings.tls_connections_max == 0 && passed.iter().any(|(door, _)| door.is_encrypted()) {
        return Err(StartError::Settings(Impossible::Zero("tls-connections")));
    }
    let mut all = vec![];
    for door in Door::ALL {
        let sockets = passed.extract_if(.., |(other, _)| *other == door);
        let sockets = sockets.map(|(_, socket)| socket).collect();
        let addresses = match door {
            Door::Smtp => &settings.smtp,
            Door::Smtps => &settings.smtps,
            Door::Http => &settings.http,
            Door::Https => &settings.https,
        };
        let bound = bind_door(door, sockets, addresses)?;
        all.extend(bound.into_iter().map(|bound| match door {
            Door::Smtp | Door::Smtps => (door, bound.says_little()),
            Door::Http | Door::Https => (door, bound),
        }));
    }
    Ok(all)
}

/// The sockets that were passed for a door; if none were, sockets at its addresses.
fn bind_door(
    door: Door,
    passed: Vec<OwnedFd>,
    addresses: &[SocketAddr],
) -> Result<Vec<Bound>, StartError> {
    if !passed.is_empty() {
        let inherit =
            |socket| Bound::inherited(socket).map_err(|e| StartError::Passed(door.name(), e));
        return passed.into_iter().map(inherit).collect();
    }
    let bind = |&address| Bound::new(address).map_err(|error| StartError::Address(address, error));
    addresses.iter().map(bind).collect()
}

fn random_seed() -> io::Result<u128> {
    let mut seed = [0; size_of::<u128>()];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(u128::from_ne_bytes(seed))
}
