//! The memory that responses are written into and wait in, over all connections. It is taken once,
//! in pieces of two sizes, and goes round: nothing is made for a response, so nothing can be made
//! past the bound, and no response leaves a hole behind it.
//!
//! ```text
//! small piece   the head's room | the beginning of the body     one for every connection
//! large piece   more of the body                                shared by all
//! ```
//!
//! So what is short can always be said. What is long is written until the large pieces run out.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use crate::limits::{
    HTTP_CONNECTIONS_MAX, HTTP_RESPONSE_HEAD_BYTES_MAX, HTTP_RESPONSE_PIECE_BYTES,
    HTTP_RESPONSE_SMALL_BYTES, HTTP_RESPONSES_BYTES_MAX, MIB,
};

/// The pieces that no response holds.
///
/// Shared and not a store that the reactor hands around, because a response can end in many ways
/// (sent, reset, timed out, dropped with its connection), and a forgotten one would shrink the
/// bound for ever. Whatever way it ends, its pieces come back when it is dropped.
#[derive(Clone, Debug)]
pub struct Responses(Rc<Pool>);

/// There is no piece left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

#[derive(Default)]
struct Pool {
    small: Cell<Chain>,
    large: Cell<Chain>,
    held_bytes: Cell<usize>,
}

/// Pieces, one behind the other. They are linked through themselves, so that a chain takes no
/// memory of its own.
type Chain = Option<Box<Piece>>;

#[derive(Debug)]
struct Piece {
    /// Never grows past the capacity that it was made with.
    bytes: Vec<u8>,
    size: Size,
    next: Chain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

impl Size {
    const fn bytes(self) -> usize {
        match self {
            Self::Small => HTTP_RESPONSE_SMALL_BYTES,
            Self::Large => HTTP_RESPONSE_PIECE_BYTES,
        }
    }

    /// What a piece takes of the heap, with what an allocator puts before each of its two parts.
    const fn heap_bytes(self) -> usize {
        self.bytes() + size_of::<Piece>() + 4 * size_of::<usize>()
    }
}

impl Responses {
    /// Takes the memory, for messages up to this size.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        let pool = Pool::default();
        let pieces = |size, pieces| std::iter::repeat_n(size, pieces);
        for size in pieces(Size::Small, Self::small_pieces())
            .chain(pieces(Size::Large, Self::large_pieces(message_bytes_max)))
        {
            let bytes = Vec::with_capacity(size.bytes());
            pool.add(Box::new(Piece { bytes, size, next: None }));
        }
        Self(Rc::new(pool))
    }

    /// What [`new`](Self::new) takes of the heap, in bytes.
    #[must_use]
    pub fn heap_bytes(message_bytes_max: usize) -> usize {
        let large = Self::large_pieces(message_bytes_max).saturating_mul(Size::Large.heap_bytes());
        large.saturating_add(Self::small_pieces() * Size::Small.heap_bytes())
    }

    fn small_pieces() -> usize {
        usize::try_from(HTTP_CONNECTIONS_MAX).unwrap_or(usize::MAX)
    }

    /// The source of the longest message, with its trace, always has room in all of them.
    fn large_pieces(message_bytes_max: usize) -> usize {
        let longest = message_bytes_max.saturating_add(MIB);
        HTTP_RESPONSES_BYTES_MAX.max(longest).div_ceil(HTTP_RESPONSE_PIECE_BYTES)
    }

    /// The bytes of the pieces that are held now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.held_bytes.get()
    }

    /// Begins a response with its body.
    ///
    /// # Errors
    /// [`Full`] if more responses are held than there may be connections.
    pub fn begin(&self) -> Result<Writing, Full> {
        let mut first = self.0.take(Size::Small)?;
        first.bytes.resize(HTTP_RESPONSE_HEAD_BYTES_MAX, 0);
        Ok(Writing { held: Held { pool: self.clone(), chain: Some(first) }, body_bytes: 0 })
    }
}

impl Pool {
    fn chain(&self, size: Size) -> &Cell<Chain> {
        match size {
            Size::Small => &self.small,
            Size::Large => &self.large,
        }
    }

    fn take(&self, size: Size) -> Result<Box<Piece>, Full> {
        let mut piece = self.chain(size).take().ok_or(Full)?;
        self.chain(size).set(piece.next.take());
        self.held_bytes.set(self.held_bytes.get().saturating_add(size.bytes()));
        Ok(piece)
    }

    fn give_back(&self, piece: Box<Piece>) {
        self.held_bytes.set(self.held_bytes.get().saturating_sub(piece.size.bytes()));
        self.add(piece);
    }

    fn add(&self, mut piece: Box<Piece>) {
        piece.bytes.clear();
        let chain = self.chain(piece.size);
        piece.next = chain.take();
        chain.set(Some(piece));
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").field("held_bytes", &self.held_bytes).finish_non_exhaustive()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // One after the other: left to itself, a chain is dropped as deep as it is long.
        for chain in [self.small.get_mut(), self.large.get_mut()] {
            while let Some(piece) = chain.take() {
                *chain = piece.next;
            }
        }
    }
}

/// A chain that comes back to the pool, whatever becomes of it.
#[derive(Debug)]
struct Held {
    pool: Responses,
    chain: Chain,
}

impl Held {
    fn push(&mut self, mut piece: Box<Piece>) {
        piece.next = self.chain.take();
        self.chain = Some(piece);
    }

    fn pop(&mut self) -> Chain {
        let mut piece = self.chain.take()?;
        self.chain = piece.next.take();
        Some(piece)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        while let Some(piece) = self.pop() {
            self.pool.0.give_back(piece);
        }
    }
}

/// A body that is being written.
#[derive(Debug)]
pub struct Writing {
    /// The newest piece first.
    held: Held,
    body_bytes: usize,
}

impl Writing {
    /// Appends to the body.
    ///
    /// # Errors
    /// [`Full`] if there is no room for all of it. Some of it may be there.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Full> {
        while !bytes.is_empty() {
            let full = |piece: &Piece| piece.bytes.len() >= piece.size.bytes();
            if self.held.chain.as_deref().is_none_or(full) {
                let piece = self.held.pool.0.take(Size::Large)?;
                self.held.push(piece);
            }
            let Some(piece) = self.held.chain.as_deref_mut() else { return Err(Full) };
            let room = piece.size.bytes().saturating_sub(piece.bytes.len());
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            piece.bytes.extend_from_slice(fits);
            self.body_bytes += fits.len();
            bytes = rest;
        }
        Ok(())
    }

    /// The length of the body.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// Puts the head before the body, which is left out if only the head is wanted.
    ///
    /// # Errors
    /// [`Full`] if the head is longer than [`HTTP_RESPONSE_HEAD_BYTES_MAX`].
    pub fn finish(mut self, head: &[u8], head_only: bool) -> Result<Sending, Full> {
        let sent = HTTP_RESPONSE_HEAD_BYTES_MAX.checked_sub(head.len()).ok_or(Full)?;
        let pool = self.held.pool.clone();
        let mut held = Held { pool: pool.clone(), chain: None };
        while let Some(mut piece) = self.held.pop() {
            let is_first = piece.size == Size::Small;
            if is_first {
                let room = piece.bytes.get_mut(sent..HTTP_RESPONSE_HEAD_BYTES_MAX).ok_or(Full)?;
                room.copy_from_slice(head);
            }
            if !head_only {
                held.push(piece);
            } else if is_first {
                piece.bytes.truncate(HTTP_RESPONSE_HEAD_BYTES_MAX);
                held.push(piece);
            } else {
                pool.0.give_back(piece);
            }
        }
        Ok(Sending { held, sent })
    }
}

/// For serializers.
impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(|Full| io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A response on its way. Each piece goes back as soon as it has left.
#[derive(Debug)]
pub struct Sending {
    held: Held,
    /// How much of the first piece has left.
    sent: usize,
}

impl Sending {
    /// The bytes that are to be sent next; none if all have been.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        let first = self.held.chain.as_deref();
        first.and_then(|piece| piece.bytes.get(self.sent..)).unwrap_or_default()
    }

    /// The first `bytes` of what was pending have been sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
        while self.held.chain.as_deref().is_some_and(|piece| self.sent >= piece.bytes.len()) {
            if let Some(piece) = self.held.pop() {
                self.held.pool.0.give_back(piece);
            }
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(mut sending: Sending, step: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while !sending.pending().is_empty() {
            let some = &sending.pending()[..step.min(sending.pending().len())];
            read.extend_from_slice(some);
            let bytes = some.len();
            sending.sent(bytes);
        }
        assert_eq!(sending.held.pool.bytes(), 0, "what was sent is given back");
        read
    }

    proptest! {
        #[test]
        fn law_what_is_written_is_sent(
            head in proptest::collection::vec(any::<u8>(), 1..300),
            pushes in proptest::collection::vec((any::<u8>(), 0_usize..90_000), 0..6),
            step in 1_usize..100_000,
            head_only: bool,
        ) {
            let responses = Responses::new(0);
            let mut writing = responses.begin().expect("a piece");
            let mut expected = head.clone();
            for (byte, bytes) in pushes {
                let some = vec![byte; bytes];
                writing.push(&some).expect("room");
                if !head_only {
                    expected.extend_from_slice(&some);
                }
            }
            let sending = writing.finish(&head, head_only).expect("a short head");
            prop_assert!(read(sending, step) == expected);
        }
    }

    #[test]
    fn law_past_the_bound_only_what_is_short_is_taken_and_all_comes_back() {
        let responses = Responses::new(0);
        let mut long = responses.begin().expect("a piece");
        let some = vec![1; HTTP_RESPONSE_PIECE_BYTES];
        while long.push(&some).is_ok() {}
        let room = HTTP_RESPONSE_SMALL_BYTES - HTTP_RESPONSE_HEAD_BYTES_MAX;
        assert_eq!(long.body_bytes(), HTTP_RESPONSES_BYTES_MAX + room);
        let mut others: Vec<_> = (1..HTTP_CONNECTIONS_MAX)
            .map(|_| {
                let mut short = responses.begin().expect("everybody has a small piece");
                short.push(&some[..room]).expect("room");
                short
            })
            .collect();
        assert_eq!(others[0].push(b"x"), Err(Full));
        assert!(responses.begin().is_err());
        drop(long);
        assert_eq!(others[0].push(b"x"), Ok(()));
        drop(others);
        assert_eq!(responses.bytes(), 0);
    }

    #[test]
    fn the_longest_source_has_room() {
        let message_bytes_max = 3 * HTTP_RESPONSES_BYTES_MAX;
        let responses = Responses::new(message_bytes_max);
        let mut writing = responses.begin().expect("a piece");
        let some = vec![0; MIB];
        for _ in 0..message_bytes_max / MIB {
            writing.push(&some).expect("room");
        }
    }

    #[test]
    fn a_head_that_is_too_long_is_refused() {
        let responses = Responses::new(0);
        let writing = responses.begin().expect("a piece");
        assert!(writing.finish(&[b'x'; HTTP_RESPONSE_HEAD_BYTES_MAX + 1], false).is_err());
        assert_eq!(responses.bytes(), 0);
    }
}
