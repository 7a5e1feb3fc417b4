//! The slow twin of the scanner, for tests, benches and fuzzing: the definition of the end of data,
//! written down over a whole stream instead of being found in its parts. The daemon never runs it.

/// The message that `stream` begins with, its added dots taken out, and how many bytes follow its
/// end; `None` while the stream holds no end.
#[doc(hidden)]
#[must_use]
pub fn message(stream: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut message = Vec::new();
    for (index, &byte) in stream.iter().enumerate() {
        let line_start = index == 0 || stream[..index].ends_with(b"\r\n");
        if line_start && stream[index..].starts_with(b".\r\n") {
            return Some((message, stream.len() - index - 3));
        }
        if !(line_start && byte == b'.') {
            message.push(byte);
        }
    }
    None
}
