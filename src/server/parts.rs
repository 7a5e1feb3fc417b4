//! What a service is made of, and the making of it: for the server, and for whoever drives one without
//! sockets. Not here: what it does (`service`), or where its parts come from.

use hdrhistogram::CreationError;

use super::conversation::Door;
use super::crowd::Crowd;
use super::service::Service;
use super::share::Share;
use crate::config::Settings;
use crate::guard::Guard;
use crate::guard::pressure::Pressure;
use crate::http::{Gate, Responses, Scratch};
use crate::limits::HTTP_CONNECTIONS_RESERVED;
use crate::metrics::Metrics;
use crate::phases::Phases;
use crate::smtp::session;
use crate::store::Store;

/// What a [`Service`] is made of, beside the settings that all of it was made for.
pub struct Parts {
    /// Where mail is kept.
    pub store: Store,
    /// Who is listened to.
    pub guard: Guard,
    /// Who may ask for what over HTTP.
    pub gate: Gate,
    /// Memory for responses.
    pub responses: Responses,
    /// What each listener is for.
    pub doors: Vec<Door>,
    /// How many connections may be encrypted; with 0 nobody is offered it.
    pub tls_connections_max: u64,
    /// Where mail is taken, for the pages to tell.
    pub smtp_address: String,
}

impl<'s> Service<'s> {
    /// What connections share.
    ///
    /// # Errors
    /// The bounds of the histograms make no sense.
    pub fn new(settings: &'s Settings, parts: Parts) -> Result<Self, CreationError> {
        let Parts { store, guard, gate, responses, doors, tls_connections_max, smtp_address } =
            parts;
        let connections_max = u64::from(settings.connections_max);
        Ok(Self {
            store,
            guard,
            metrics: Metrics::default(),
            phases: Phases::new()?,
            naming: settings.naming,
            session: session::Settings::new(
                &settings.hostname,
                settings.policy,
                settings.message_bytes_max,
            )
            .with_starttls(tls_connections_max > 0),
            mailboxes_max: settings.mailboxes_max,
            doors,
            proxies: settings.proxies.clone(),
            tls_connections_max,
            smtp_connections_max: connections_max
                - HTTP_CONNECTIONS_RESERVED.min(connections_max / 8),
            smtp_address,
            gate,
            scratch: Scratch::new(settings.message_bytes_max),
            responses,
            share: Share::default(),
            pressure: Pressure::Calm,
            crowd: Crowd::default(),
            deadlines_came_nearer: false,
            draining: false,
        })
    }

    /// The mail.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What has been counted so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics
    }

    /// From now on conversations end as soon as nothing is under way in them.
    pub fn drain(&mut self) {
        self.draining = true;
    }
}
