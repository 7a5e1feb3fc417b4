//! Whether a descriptor takes bytes now, so that nobody who does not read holds the writer up.

use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Asks the kernel, without waiting. What takes bytes takes `PIPE_BUF` of them (pipe(7)), if nobody
/// else writes in between.
#[must_use]
pub fn is_writable(descriptor: BorrowedFd<'_>) -> bool {
    let mut asked = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    #[allow(unsafe_code, reason = "poll has no safe twin in the standard library")]
    // SAFETY: it is one entry, which is this function's own and outlives the call.
    let found = unsafe { libc::poll(&raw mut asked, 1, 0) };
    found == 1 && asked.revents & libc::POLLOUT != 0
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_pipe_takes_bytes_until_it_is_full_and_again_once_it_is_read() -> io::Result<()> {
        let (mut reader, mut writer) = io::pipe()?;
        let mut page = [0; 4096];
        let mut written = 0;
        while is_writable(writer.as_fd()) {
            writer.write_all(&page)?;
            written += 1;
            assert!(written < 10_000, "it has an end");
        }
        assert!(written > 0);
        reader.read_exact(&mut page)?;
        assert!(is_writable(writer.as_fd()));
        drop(reader);
        Ok(())
    }
}
