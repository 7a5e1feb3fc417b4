//! A file that the operator names: read whole, and never more of it than it may hold. It is not
//! waited for: while the server serves, nothing is.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The bytes of a file of at most `bytes_max`.
///
/// # Errors
/// It cannot be read, is longer, which is found without reading on, or is a pipe, which could not be
/// read again, and whose bytes may be long in coming.
pub fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    // Or opening a pipe waits for somebody to write to it.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("a pipe, where a file is needed"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        let reason = format!("longer than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// The same, of a file of text.
///
/// # Errors
/// As above, or it is no UTF-8.
pub fn read_text(path: &Path, bytes_max: usize) -> io::Result<String> {
    String::from_utf8(read(path, bytes_max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn no_more_is_read_than_it_may_hold() {
        let kind =
            |path: &str, bytes_max| read(Path::new(path), bytes_max).map_err(|error| error.kind());
        assert_eq!(kind("/dev/null", 0), Ok(vec![]));
        assert_eq!(kind("/dev/zero", 10), Err(io::ErrorKind::FileTooLarge));
        assert_eq!(kind("/nowhere", 10), Err(io::ErrorKind::NotFound));
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let whole = std::fs::read(manifest).unwrap();
        assert_eq!(kind(manifest, whole.len()), Ok(whole.clone()));
        assert_eq!(kind(manifest, whole.len() - 1), Err(io::ErrorKind::FileTooLarge));
        assert_eq!(read_text(Path::new(manifest), whole.len()).unwrap().into_bytes(), whole);
    }

    #[test]
    fn nobody_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(read(&path, 10).unwrap_err().to_string(), "a pipe, where a file is needed");
    }
}
