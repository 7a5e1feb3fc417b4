//! What whoever started the program has for it: sockets, and an ear for how it does.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use super::conversation::Door;
use crate::limits::LISTENERS_MAX;
use crate::sys::activation::{self, ActivationError, Passed};
use crate::sys::notify::Supervisor;

/// What the program finds when it starts; by default nothing.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Sockets, each with the door that it is for. They take the place of the door's addresses.
    pub(super) sockets: Vec<(Door, OwnedFd)>,
    /// Who is told when the program serves, and when it stops.
    pub(super) supervisor: Supervisor,
}

/// Why the surroundings are not as they say.
#[derive(Debug)]
pub enum SurroundingsError {
    /// What is said of sockets cannot be so.
    Activation(ActivationError),
    /// A socket is for nothing that this program does.
    Unknown(String),
    /// The supervisor cannot be reached.
    Supervisor(io::Error),
}

impl fmt::Display for SurroundingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Activation(error) => error.fmt(formatter),
            Self::Unknown(name) => write!(
                formatter,
                "a socket was passed for {name:?}; FileDescriptorName= has to be smtp, smtps, http or \
                 https",
            ),
            Self::Supervisor(error) => write!(formatter, "cannot reach NOTIFY_SOCKET: {error}"),
        }
    }
}

impl std::error::Error for SurroundingsError {}

impl Surroundings {
    /// Takes what the environment tells of; see [`activation::take`] for when.
    ///
    /// # Errors
    /// It is not there, or makes no sense.
    pub fn take(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, SurroundingsError> {
        let mut taken = Self::default();
        for Passed { name, socket } in
            activation::take(&variable, LISTENERS_MAX).map_err(SurroundingsError::Activation)?
        {
            let Some(door) = Door::ALL.into_iter().find(|door| door.name() == name) else {
                return Err(SurroundingsError::Unknown(name));
            };
            taken.sockets.push((door, socket));
        }
        taken.supervisor = Supervisor::at(variable("NOTIFY_SOCKET").as_deref())
            .map_err(SurroundingsError::Supervisor)?;
        Ok(taken)
    }
}
