//! The signals that end the server: the first is noticed by the loop, the second ends the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What the process has been sent.
pub(super) struct Signals {
    received: signal_hook_mio::v1_0::Signals,
}

impl Signals {
    /// Hears SIGTERM and SIGINT from now on, and is ready for `token` when one has come.
    pub(super) fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let second = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag down, and puts it up.
            flag::register_conditional_default(signal, Arc::clone(&second))?;
            flag::register(signal, Arc::clone(&second))?;
        }
        let mut received = signal_hook_mio::v1_0::Signals::new([SIGTERM, SIGINT])?;
        registry.register(&mut received, token, Interest::READABLE)?;
        Ok(Self { received })
    }

    /// Whether one has come since this was last asked.
    pub(super) fn any(&mut self) -> bool {
        self.received.pending().count() > 0
    }
}
