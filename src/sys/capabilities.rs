//! The powers of root that the process has one by one (capabilities(7)), and how it gives up all of
//! them: root without them is a user like any other, who happens to own much. Not here: who the
//! process is (`identity`).
//!
//! By hand, since the C library has no function for these calls, and libc not their structures.

use std::io;

/// How many there may be, as the kernel counts them: two words of bits.
const CAPABILITIES_MAX: libc::c_ulong = 64;
/// The third version of the structures (linux/capability.h), of Linux 2.6.26 and later.
const VERSION: u32 = 0x2008_0522;
/// The power to lower the bound that all others have (linux/capability.h).
const SETPCAP: u32 = 8;

/// What of a thread's capabilities is asked for, or set: its own.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// Half of three sets: the lower or the upper 32 bits.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Takes all capabilities out of what the process, or a program that it starts, could ever have
/// again. Only who has the power for it can, and who has not has little: then nothing is done. Call
/// it before [`renounce`], and before becoming another user, which both give up that power.
///
/// # Errors
/// What the kernel says.
pub fn renounce_bounds() -> io::Result<()> {
    let [lower, _] = get()?;
    if lower.effective & 1 << SETPCAP == 0 {
        return Ok(());
    }
    for capability in 0..CAPABILITIES_MAX {
        match control(libc::PR_CAPBSET_READ, capability) {
            Ok(0) => {}
            Ok(_) => drop(control(libc::PR_CAPBSET_DROP, capability)?),
            // There are no more.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives up all capabilities that the process has.
///
/// # Errors
/// What the kernel says.
pub fn renounce() -> io::Result<()> {
    // Those that outlast exec. Before Linux 4.3 there were none.
    let ambient = control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong);
    match ambient {
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
        _ => {}
    }
    // A sandbox around the process may forbid a call that changes nothing.
    if get()? != [Half::default(); 2] { set([Half::default(); 2]) } else { Ok(()) }
}

fn control(option: libc::c_int, argument: libc::c_ulong) -> io::Result<libc::c_int> {
    let unused: libc::c_ulong = 0;
    #[allow(unsafe_code, reason = "prctl has no safe twin in the standard library")]
    // SAFETY: the options above take numbers only; touches no memory of ours.
    let result = unsafe { libc::prctl(option, argument, unused, unused, unused) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn get() -> io::Result<[Half; 2]> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut halves = [Half::default(); 2];
    #[allow(unsafe_code, reason = "the C library has no function for this call")]
    // SAFETY: the kernel reads and may write one header, and with this version writes two halves;
    // both are ours alone and live until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) };
    if result == 0 { Ok(halves) } else { Err(io::Error::last_os_error()) }
}

fn set(halves: [Half; 2]) -> io::Result<()> {
    let mut header = Header { version: VERSION, pid: 0 };
    #[allow(unsafe_code, reason = "the C library has no function for this call")]
    // SAFETY: the kernel reads one header, which it may write to, and with this version two halves;
    // both live until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::*;

    /// What is set of a thread's sets: inheritable, permitted, effective, bounding and ambient.
    fn sets() -> Vec<u64> {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let lines = status.lines().filter(|line| line.starts_with("Cap"));
        lines.map(|line| u64::from_str_radix(line[7..].trim(), 16).unwrap()).collect()
    }

    /// A thread gives up its own, and its harness keeps what it has.
    #[test]
    fn law_what_was_given_up_is_gone_and_giving_up_nothing_is_no_error() {
        let before = sets();
        let [.., bounds, _] = before[..] else { panic!("{before:?}") };
        let may_lower = before[2] & 1 << SETPCAP != 0;
        thread::spawn(move || {
            for _ in 0..2 {
                renounce_bounds().unwrap();
                renounce().unwrap();
                let bounds = if may_lower { 0 } else { bounds };
                assert_eq!(sets(), [0, 0, 0, bounds, 0]);
            }
        })
        .join()
        .unwrap();
        assert_eq!(sets(), before);
    }
}
