//! What the configuration has to know of the machine that it is for.

use super::{Impossible, Size};
use crate::limits::DESCRIPTORS_RESERVED;
use crate::smtp::hostname::Hostname;
use crate::sys::available::{self, Available};
use crate::sys::{self, descriptors};

/// What the machine has to offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What it calls itself.
    pub hostname: Hostname,
    /// How many descriptors the process may have open.
    pub descriptors: u64,
    /// How much memory it may take; `None` if that cannot be known.
    pub available: Option<Available>,
}

impl Machine {
    /// Looks at the machine that the process runs on, and raises its limit on descriptors as far
    /// as it goes.
    #[must_use]
    pub fn look() -> Self {
        let named = sys::hostname().and_then(|name| name.parse().ok());
        Self {
            hostname: named.unwrap_or_else(Hostname::localhost),
            // A system that knows no such limit sets none.
            descriptors: descriptors::raise().map_or(u64::MAX, |limits| limits.soft),
            available: available::look(),
        }
    }

    /// How many connections can be open at once.
    #[must_use]
    pub fn connections_max(&self) -> u64 {
        self.descriptors.saturating_sub(DESCRIPTORS_RESERVED)
    }

    /// Whether so much memory can be had.
    ///
    /// # Errors
    /// It cannot.
    pub fn holds(&self, planned_bytes: usize) -> Result<(), Impossible> {
        match self.available {
            Some(available) if planned_bytes > available.bytes => {
                Err(Impossible::NotAvailable { planned: Size(planned_bytes), available })
            }
            _ => Ok(()),
        }
    }
}
