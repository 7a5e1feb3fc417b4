//! What is asked of the system that no library here asks safely: CPU clocks, the limit on
//! descriptors, and a timer that is finer than epoll's milliseconds. The only `unsafe`.
#![allow(unsafe_code, reason = "these calls have no safe twins; each block says why it is sound")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// CPU time of this process, user and system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
}

impl CpuTime {
    pub(crate) fn total_ns(self) -> u64 {
        self.user_ns + self.system_ns
    }
}

/// CPU time that this process has used.
pub(crate) fn own_cpu() -> CpuTime {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills one `rusage`, to a place that is one and is ours alone.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if result != 0 {
        return CpuTime::default();
    }
    // SAFETY: zeroed before and filled now; a struct of integers.
    let usage = unsafe { usage.assume_init() };
    let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000;
    CpuTime { user_ns: ns(usage.ru_utime), system_ns: ns(usage.ru_stime) }
}

/// CPU time that another process has used, in nanoseconds, all of its threads together; `None` if
/// there is no such process.
pub(crate) fn cpu_ns(pid: u32) -> Option<u64> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the kernel's clock id is written to a place that is one.
    if unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) } != 0 {
        return None;
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to a place that is one.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Raises the limit on open descriptors as far as it goes, and returns it.
pub(crate) fn raise_descriptors() -> io::Result<u64> {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit`, to a place that is one.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limits.rlim_cur = limits.rlim_max;
    // SAFETY: the kernel reads one `rlimit`, which lives until the call returns.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limits.rlim_cur)
}

/// A timer with the grain of nanoseconds, which epoll's timeout does not have.
#[derive(Debug)]
pub(crate) struct Timer {
    descriptor: OwnedFd,
}

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes two integers; what it returns is checked before it is owned.
        let descriptor = unsafe {
            libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that the kernel has just made, and that nobody else knows.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }

    /// Readable once, so long from now, instead of what was set before.
    pub(crate) fn set(&self, after: Duration) {
        let after = after.max(Duration::from_nanos(1));
        let setting = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: after.as_secs() as libc::time_t,
                tv_nsec: i64::from(after.subsec_nanos()),
            },
        };
        // SAFETY: the kernel reads one `itimerspec`, which lives until the call returns; the
        // previous setting is not asked for. It cannot fail with a setting in range.
        unsafe {
            libc::timerfd_settime(
                self.descriptor.as_raw_fd(),
                0,
                &raw const setting,
                std::ptr::null_mut(),
            );
        }
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

/// Has the system choose a socket's port only when it connects, when it knows both ends: binding to
/// many source addresses would otherwise use up the ports of each.
#[cfg(target_os = "linux")]
pub(crate) fn bind_address_no_port(socket: &impl AsRawFd) {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads one integer, which lives until the call returns. If it refuses,
    // ports are chosen early, which is only worse.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}

/// Ends a connection with a reset and leaves its socket as if it were new, but for its options and
/// its place in epoll: `connect(2)` with `AF_UNSPEC`.
///
/// # Errors
/// The kernel will not have it; then the socket is of no more use.
pub(crate) fn disconnect(socket: &impl AsRawFd) -> io::Result<()> {
    let nobody =
        libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    // SAFETY: the kernel reads one `sockaddr`, which lives until the call returns.
    let result = unsafe {
        libc::connect(
            socket.as_raw_fd(),
            &raw const nobody,
            size_of::<libc::sockaddr>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
