//! What the program asks of the system it runs on that no library asks safely: the only place
//! with `unsafe`. Not here: sockets and polling (`net`), the time (`clock`).

pub mod activation;
pub mod available;
pub mod capabilities;
pub mod descriptors;
pub mod identity;
pub mod memory;
pub mod notify;
pub mod sandbox;
pub mod stream;
pub mod writable;

use std::fs;

/// The name that the system calls itself, as it is, unchecked; `None` if it does not say.
#[must_use]
pub fn hostname() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim_end().to_owned())
}
