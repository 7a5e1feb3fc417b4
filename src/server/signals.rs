//! The signals: of those that end the server the first is noticed by the loop, and the second ends
//! the process; SIGHUP has files read again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// What the process has been sent.
pub(super) struct Signals {
    received: signal_hook_mio::v1_0::Signals,
}

/// What the process is asked to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Come {
    pub(super) stop: bool,
    pub(super) reload: bool,
}

impl Signals {
    /// Hears SIGTERM, SIGINT and SIGHUP from now on, and is ready for `token` when one has come.
    pub(super) fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let second = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag down, and puts it up.
            flag::register_conditional_default(signal, Arc::clone(&second))?;
            flag::register(signal, Arc::clone(&second))?;
        }
        let mut received = signal_hook_mio::v1_0::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        registry.register(&mut received, token, Interest::READABLE)?;
        Ok(Self { received })
    }

    /// What has come since this was last asked.
    pub(super) fn come(&mut self) -> Come {
        let mut come = Come::default();
        for signal in self.received.pending() {
            match signal {
                SIGHUP => come.reload = true,
                _ => come.stop = true,
            }
        }
        come
    }
}
