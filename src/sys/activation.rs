//! Sockets that whoever started the program already has for it: systemd's socket activation
//! (sd_listen_fds(3)). They are descriptors from 3 on; `LISTEN_FDS` says how many, `LISTEN_PID` for
//! whom, and `LISTEN_FDNAMES` what they are for.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// A socket, and what it is for.
#[derive(Debug)]
pub struct Passed {
    /// `FileDescriptorName=` of the socket's unit, or the unit's own name.
    pub name: String,
    /// The socket; not yet looked at.
    pub socket: OwnedFd,
}

/// What was said of sockets cannot be so.
#[derive(Debug)]
pub enum ActivationError {
    /// A variable of the environment is no number, or not text, or too much.
    Variable(&'static str),
    /// There are not as many names as sockets.
    Names,
    /// This descriptor is not open.
    Descriptor(RawFd, io::Error),
}

impl fmt::Display for ActivationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => {
                write!(formatter, "the environment's {name} is not what socket activation says")
            }
            Self::Names => formatter.write_str(
                "the environment's LISTEN_FDNAMES has not as many names as LISTEN_FDS says; \
                 give each socket unit a FileDescriptorName=",
            ),
            Self::Descriptor(number, error) => {
                write!(formatter, "descriptor {number}, of which LISTEN_FDS tells: {error}")
            }
        }
    }
}

impl std::error::Error for ActivationError {}

/// The first descriptor that is passed.
const FIRST: RawFd = 3;

/// Takes the sockets that the environment tells of, `sockets_max` at most, if it means this process.
/// Call it once, before anything else opens descriptors.
///
/// # Errors
/// What the environment says cannot be so.
pub fn take(
    variable: impl Fn(&str) -> Option<OsString>,
    sockets_max: usize,
) -> Result<Vec<Passed>, ActivationError> {
    let text = |name: &'static str| match variable(name).as_deref().map(OsStr::to_str) {
        None => Ok(None),
        Some(Some(text)) => Ok(Some(text.to_owned())),
        Some(None) => Err(ActivationError::Variable(name)),
    };
    // They may have been meant for who started whoever started us.
    if text("LISTEN_PID")? != Some(std::process::id().to_string()) {
        return Ok(Vec::new());
    }
    let count = text("LISTEN_FDS")?.and_then(|count| count.parse::<usize>().ok());
    let count = count.filter(|count| *count <= sockets_max);
    let count = count.ok_or(ActivationError::Variable("LISTEN_FDS"))?;
    let names = text("LISTEN_FDNAMES")?.unwrap_or_default();
    let names: Vec<_> = names.split(':').filter(|name| !name.is_empty()).collect();
    if names.len() != count {
        return Err(ActivationError::Names);
    }
    let numbered = (FIRST..).zip(names);
    numbered
        .map(|(number, name)| Ok(Passed { name: name.to_owned(), socket: own(number)? }))
        .collect()
}

/// Takes a descriptor that was open when the program began.
fn own(number: RawFd) -> Result<OwnedFd, ActivationError> {
    #[allow(unsafe_code, reason = "fcntl has no safe twin for a descriptor that nobody owns")]
    // SAFETY: changes a flag of a descriptor, if it is open: that programs which this one starts do
    // not get it. Touches no memory of ours.
    let result = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if result == -1 {
        return Err(ActivationError::Descriptor(number, io::Error::last_os_error()));
    }
    #[allow(unsafe_code, reason = "that nobody owns it is known from the protocol alone")]
    // SAFETY: it is open, as was just seen. Who started the program has put it there to be taken,
    // and it is taken once: `take` is called once, and comes here once for each number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(variables: &[(&str, &str)]) -> Result<usize, String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        take(|name| find(name).map(|(_, value)| OsString::from(value)), 16)
            .map(|passed| passed.len())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_meant_for_another_process_is_left_alone() {
        assert_eq!(taken(&[]), Ok(0));
        assert_eq!(taken(&[("LISTEN_FDS", "1")]), Ok(0));
        assert_eq!(taken(&[("LISTEN_PID", "1"), ("LISTEN_FDS", "1")]), Ok(0));
    }

    #[test]
    fn what_cannot_be_so_is_named() {
        let own = std::process::id().to_string();
        for (count, names, said) in [
            ("", "", "LISTEN_FDS"),
            ("-1", "", "LISTEN_FDS"),
            ("17", "", "LISTEN_FDS"),
            ("1", "", "LISTEN_FDNAMES"),
            ("1", "a:b", "LISTEN_FDNAMES"),
        ] {
            let variables =
                [("LISTEN_PID", &*own), ("LISTEN_FDS", count), ("LISTEN_FDNAMES", names)];
            let error = taken(&variables).expect_err(count);
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(taken(&[("LISTEN_PID", &own), ("LISTEN_FDS", "0")]), Ok(0));
    }
}
