//! Telling the operator, on standard error, while the server serves: whoever does not read it holds
//! nobody up.

use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use crate::limits::TOLD_BYTES_MAX;
use crate::sys::writable::is_writable;

/// Says a line, or its first [`TOLD_BYTES_MAX`], if it is taken at once.
pub(super) fn tell(told: &impl fmt::Display) {
    let mut line = format!("mailfly: {told}").into_bytes();
    line.truncate(TOLD_BYTES_MAX - 1);
    line.push(b'\n');
    let mut stderr = io::stderr().lock();
    if is_writable(stderr.as_fd()) {
        // Whether or not anybody reads it.
        let _ = stderr.write_all(&line);
    }
}
