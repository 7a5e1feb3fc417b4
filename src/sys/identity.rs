//! Who the process is, and how it becomes somebody who may less, for good.
//!
//! Names are looked up in `/etc/passwd` alone: asking the C library would load whatever the system
//! has configured for it into this process, as root.

use std::fs::File;
use std::io::{self, Read as _};

/// A user and its group, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's.
    pub uid: u32,
    /// The group's.
    pub gid: u32,
}

/// The user with a name, looked for in the first `bytes_max` of the list. `None` if there is none.
///
/// # Errors
/// The list of users cannot be read.
pub fn find(name: &str, bytes_max: u64) -> io::Result<Option<Identity>> {
    let mut text = Vec::new();
    File::open("/etc/passwd")?.take(bytes_max).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).lines().find_map(|line| named(line, name)))
}

/// Of a line `name:password:uid:gid:…`, if it is this name's.
fn named(line: &str, name: &str) -> Option<Identity> {
    let mut fields = line.split(':');
    if fields.next()? != name {
        return None;
    }
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Identity { uid, gid })
}

/// Whether the process is root, and so may become another.
#[must_use]
pub fn is_root() -> bool {
    #[allow(unsafe_code, reason = "geteuid has no safe twin in the standard library")]
    // SAFETY: takes nothing, returns a number, and never fails.
    let uid = unsafe { libc::geteuid() };
    uid == 0
}

/// Becomes this user, in this group and no other, with no way back.
///
/// # Errors
/// The process is not root, or could come back after all. It may have lost its groups then: end it.
pub fn assume(identity: Identity) -> io::Result<()> {
    let Identity { uid, gid } = identity;
    // In this order, since only root may change groups.
    #[allow(unsafe_code, reason = "setgroups has no safe twin in the standard library")]
    // SAFETY: a list of no groups: nothing is read from the pointer. There are no other threads,
    // for all of which the C library would do it.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    #[allow(unsafe_code, reason = "setresgid has no safe twin in the standard library")]
    // SAFETY: takes three numbers; touches no memory of ours.
    check(unsafe { libc::setresgid(gid, gid, gid) })?;
    #[allow(unsafe_code, reason = "setresuid has no safe twin in the standard library")]
    // SAFETY: takes three numbers; touches no memory of ours.
    check(unsafe { libc::setresuid(uid, uid, uid) })?;
    if uid != 0 {
        #[allow(unsafe_code, reason = "setresuid has no safe twin in the standard library")]
        // SAFETY: as above.
        let back = unsafe { libc::setresuid(0, 0, 0) };
        if back == 0 {
            return Err(io::Error::other("the way back to root is open"));
        }
    }
    Ok(())
}

/// No program that this one could start gets to be more than it is, set-user-id or not.
///
/// # Errors
/// What the kernel says; none since Linux 3.5.
pub fn renounce_new_privileges() -> io::Result<()> {
    let (on, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
    #[allow(unsafe_code, reason = "prctl has no safe twin in the standard library")]
    // SAFETY: this option takes numbers only; touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, unused, unused, unused) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list_of_users_is_its_names() {
        let line = "nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin";
        assert_eq!(named(line, "nobody"), Some(Identity { uid: 65534, gid: 65533 }));
        for (line, name) in [
            (line, "nobod"),
            (line, "x"),
            ("nobody", "nobody"),
            ("nobody:x:many:1", "nobody"),
            ("nobody:x:1", "nobody"),
            ("", ""),
        ] {
            assert_eq!(named(line, name), None, "{line}");
        }
    }

    #[test]
    fn root_is_on_the_list_and_nonsense_is_not() {
        assert_eq!(find("root", 1 << 20).unwrap(), Some(Identity { uid: 0, gid: 0 }));
        assert_eq!(find("no such user", 1 << 20).unwrap(), None);
    }
}
