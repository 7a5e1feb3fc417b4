//! A file that the operator names: read whole, and never more of it than it may hold.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The bytes of a file of at most `bytes_max`.
///
/// # Errors
/// It cannot be read, or is longer, which is found without reading on.
pub fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
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
}
