//! What is to be written to a peer: a gather buffer whose capacity is reserved once and never
//! grows. Conversations (floor 3) append replies to it and the reactor (floor 4) writes it out, so
//! it lives below both. It is not a queue of partial writes: whoever writes keeps their own mark
//! and clears the buffer when all of it has left.

use std::fmt;

/// A bounded buffer of bytes on their way to a peer.
///
/// Nothing here allocates after [`with_capacity`](Self::with_capacity). What does not fit is
/// refused whole, so a peer never sees half a reply; who appends asks [`room`](Self::room) first.
#[derive(Debug)]
pub struct Output {
    bytes: Vec<u8>,
    /// Kept apart from `Vec::capacity`, which an allocator may round up: the bound is the one that
    /// was asked for.
    capacity: usize,
}

/// The bytes did not fit, and none of them were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the output has no room for these bytes")
    }
}

impl std::error::Error for Full {}

impl Output {
    /// An empty buffer for at most `bytes` bytes: the only allocation it ever makes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), capacity: bytes }
    }

    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// [`Full`] when they are more than [`room`](Self::room); then nothing was appended.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if bytes.len() > self.room() {
            return Err(Full);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// How many more bytes fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    /// The bytes gathered so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes were gathered so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets the bytes, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Forgets everything after the first `length` bytes: how a reply that turned out not to fit
    /// half way is taken back.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_whole_and_the_memory_never_moves() {
        let mut output = Output::with_capacity(8);
        let address = output.as_slice().as_ptr();
        assert_eq!(output.push(b"12345"), Ok(()));
        assert_eq!(output.push(b"6789"), Err(Full));
        assert_eq!(output.as_slice(), b"12345");
        assert_eq!(output.push(b"678"), Ok(()));
        assert_eq!((output.len(), output.room()), (8, 0));
        assert_eq!(output.push(b"9"), Err(Full));
        output.clear();
        assert!(output.is_empty());
        assert_eq!((output.room(), output.as_slice().as_ptr()), (8, address));
    }

    #[test]
    fn a_reply_that_stopped_half_way_can_be_taken_back() {
        let mut output = Output::with_capacity(12);
        assert_eq!(output.push(b"250 1"), Ok(()));
        let before = output.len();
        assert_eq!(output.push(b"12"), Ok(()));
        assert_eq!(output.push(b" then 34567"), Err(Full));
        output.truncate(before);
        assert_eq!(output.as_slice(), b"250 1");
    }
}
