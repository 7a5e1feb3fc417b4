//! How many files and sockets the process may have open.

use std::io;

/// The limits on open descriptors, as `getrlimit` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many may be open at once.
    pub soft: u64,
    /// How far `soft` may be raised without privilege.
    pub hard: u64,
}

/// Raises the soft limit as far as the hard one, and says what it is now.
///
/// # Errors
/// What the kernel says when the limit can be neither read nor set.
pub fn raise() -> io::Result<Limits> {
    let limits = limits()?;
    if limits.soft == limits.hard {
        return Ok(limits);
    }
    let raised = libc::rlimit { rlim_cur: limits.hard, rlim_max: limits.hard };
    #[allow(unsafe_code, reason = "setrlimit has no safe twin in the standard library")]
    // SAFETY: the kernel reads one `rlimit`, which lives until the call returns.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    self::limits()
}

fn limits() -> io::Result<Limits> {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[allow(unsafe_code, reason = "getrlimit has no safe twin in the standard library")]
    // SAFETY: the kernel writes one `rlimit`, to a place that is one and is ours alone.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Limits { soft: limits.rlim_cur, hard: limits.rlim_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_limits_are_as_far_as_they_go() {
        let limits = raise().unwrap();
        assert_eq!(limits.soft, limits.hard);
        assert_eq!(raise().unwrap(), limits);
    }
}
