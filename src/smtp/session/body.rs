//! The states that read a message: after DATA up to its end, after BDAT as many bytes as it said.
//!
//! Bytes go to the draft as slices of the read buffer. They are gathered first, so that a message
//! whose end is in the same read is handed over whole, with its commit. The size is checked before
//! that, so a world never sees a byte too many. Where pieces are many and short, a peer has dots to
//! thank for it, and what follows is copied together instead, so that he gains nothing. Once a
//! message is refused its bytes are still read to their true end, and its draft is long given back.

use std::mem;

use super::{Introduction, Session, State, Transaction, Turn, World, sure};
use crate::limits::{BODY_JOINED_BYTES, BODY_PIECE_BYTES_SHORT, BODY_PIECES_MAX};
use crate::smtp::body::{Piece, Scanner};
use crate::smtp::reply::{self, Fault, Refusal};

/// Within the message after DATA.
#[derive(Debug)]
pub(super) struct Data<D> {
    scanner: Scanner,
    message: Result<Transaction<D>, Refusal>,
}

/// Within the chunk after BDAT.
#[derive(Debug)]
pub(super) struct Chunk<D> {
    /// The size that BDAT said, and what is still to come of it.
    bytes: u64,
    bytes_left: u64,
    last: bool,
    message: Result<Transaction<D>, Unwanted>,
}

/// Why a chunk is read and thrown away.
#[derive(Clone, Copy, Debug)]
enum Unwanted {
    Refused(Refusal),
    OutOfOrder,
}

impl<D> Data<D> {
    pub(super) fn new(transaction: Transaction<D>) -> Self {
        Self { scanner: Scanner::new(), message: Ok(transaction) }
    }

    pub(super) fn into_draft(self) -> Option<D> {
        self.message.ok().map(|transaction| transaction.draft)
    }
}

impl<D> Chunk<D> {
    /// A chunk of an open message. One that would make it too large is refused before it comes.
    pub(super) fn new<W: World<Draft = D>>(
        transaction: Transaction<D>,
        bytes: u64,
        last: bool,
        turn: &mut Turn<'_, W>,
    ) -> Self {
        let room = turn.settings.message_bytes_max().saturating_sub(transaction.kept_bytes);
        if bytes > room as u64 {
            turn.world.abandon(transaction.draft);
            return Self::refused(Refusal::MessageTooLarge, bytes, last);
        }
        Self { bytes, bytes_left: bytes, last, message: Ok(transaction) }
    }

    /// A chunk of a message that was refused.
    pub(super) fn refused(refusal: Refusal, bytes: u64, last: bool) -> Self {
        Self { bytes, bytes_left: bytes, last, message: Err(Unwanted::Refused(refusal)) }
    }

    /// A chunk of no message.
    pub(super) fn out_of_order(bytes: u64) -> Self {
        Self { bytes, bytes_left: bytes, last: false, message: Err(Unwanted::OutOfOrder) }
    }

    pub(super) fn into_draft(self) -> Option<D> {
        self.message.ok().map(|transaction| transaction.draft)
    }
}

impl<D> Session<D> {
    /// Reads on in a message: takes all of `rest`, or up to the message's or chunk's end.
    pub(super) fn read_body<W: World<Draft = D>>(
        &mut self,
        rest: &mut &[u8],
        turn: &mut Turn<'_, W>,
    ) {
        match mem::replace(&mut self.state, State::Done) {
            State::Data(data) => self.state = data.read(rest, &self.introduction, turn),
            State::Chunk(mut chunk) => {
                let piece = chunk.read(rest, turn);
                self.state = self.chunk_with(chunk, piece, turn);
            }
            other => self.state = other,
        }
    }

    /// The state that BDAT leads to: an empty chunk is at its end already.
    pub(super) fn chunk<W: World<Draft = D>>(
        &mut self,
        chunk: Chunk<D>,
        turn: &mut Turn<'_, W>,
    ) -> State<D> {
        self.chunk_with(chunk, &[], turn)
    }

    /// The state after bytes of a chunk: the chunk's, or after its end what is answered then.
    fn chunk_with<W: World<Draft = D>>(
        &mut self,
        chunk: Chunk<D>,
        piece: &[u8],
        turn: &mut Turn<'_, W>,
    ) -> State<D> {
        let at_end = chunk.bytes_left == 0;
        match chunk.message {
            _ if !at_end => State::Chunk(chunk),
            Ok(transaction) if chunk.last => {
                let pieces: &[&[u8]] = if piece.is_empty() { &[] } else { &[piece] };
                turn.commit(transaction, pieces, &self.introduction);
                State::Helo
            }
            Ok(transaction) => {
                sure(reply::chunk_taken(chunk.bytes, turn.output));
                State::Bdat(transaction)
            }
            Err(Unwanted::Refused(refusal)) => {
                turn.refuse(refusal);
                // After the last chunk the client has no more of this message to send.
                if chunk.last { State::Helo } else { State::Refused(refusal) }
            }
            Err(Unwanted::OutOfOrder) => {
                self.state = self.introduction.state();
                self.fault(Fault::BadSequence, turn);
                mem::replace(&mut self.state, State::Done)
            }
        }
    }
}

impl<D> Data<D> {
    /// Reads up to the end of data, or all there is.
    fn read<W: World<Draft = D>>(
        mut self,
        rest: &mut &[u8],
        introduction: &Introduction,
        turn: &mut Turn<'_, W>,
    ) -> State<D> {
        let mut gathered = Gathered::new();
        loop {
            let ended = if self.message.is_ok() && gathered.is_full_of_short_pieces() {
                self.join(rest, &mut gathered, turn)
            } else {
                match self.scanner.next(rest) {
                    Some(Piece::Bytes(bytes)) => {
                        if let Ok(transaction) = &mut self.message
                            && let Err(refusal) = gathered.add(bytes, transaction, turn)
                        {
                            self.refuse(refusal, turn);
                        }
                        false
                    }
                    Some(Piece::End) => true,
                    None => break,
                }
            };
            if ended {
                match self.message {
                    Ok(transaction) => turn.commit(transaction, gathered.pieces(), introduction),
                    Err(refusal) => turn.refuse(refusal),
                }
                return State::Helo;
            }
        }
        if let Ok(transaction) = &mut self.message
            && let Err(refusal) = gathered.append(transaction, turn)
        {
            self.refuse(refusal, turn);
        }
        State::Data(self)
    }

    /// Reads on by copying, as long as the pieces would be short. Whether the message ended.
    fn join<W: World<Draft = D>>(
        &mut self,
        rest: &mut &[u8],
        gathered: &mut Gathered<'_>,
        turn: &mut Turn<'_, W>,
    ) -> bool {
        let mut room = [0; BODY_JOINED_BYTES];
        loop {
            let joined = self.scanner.join(rest, &mut room);
            if joined.ended && joined.bytes.is_empty() {
                // What was gathered before is the end of the message.
                return true;
            }
            if let Ok(transaction) = &mut self.message
                && let Err(refusal) = gathered.append_with(joined.bytes, transaction, turn)
            {
                self.refuse(refusal, turn);
            }
            if joined.ended || !joined.short {
                return joined.ended;
            }
        }
    }

    /// Gives the draft back now; the client is told at the end of its message.
    fn refuse<W: World<Draft = D>>(&mut self, refusal: Refusal, turn: &mut Turn<'_, W>) {
        if let Ok(transaction) = mem::replace(&mut self.message, Err(refusal)) {
            turn.world.abandon(transaction.draft);
        }
    }
}

impl<D> Chunk<D> {
    /// Takes what there is of the chunk. What completes a message is returned, to be committed with
    /// it; what does not has gone to the draft.
    fn read<'a, W: World<Draft = D>>(
        &mut self,
        rest: &mut &'a [u8],
        turn: &mut Turn<'_, W>,
    ) -> &'a [u8] {
        let length =
            usize::try_from(self.bytes_left).map_or(rest.len(), |left| left.min(rest.len()));
        let (bytes, after) = rest.split_at(length);
        *rest = after;
        self.bytes_left -= length as u64;
        let Ok(transaction) = &mut self.message else { return &[] };
        // `new` made sure that the whole chunk is within the message's bound.
        transaction.kept_bytes += length;
        if self.last && self.bytes_left == 0 {
            return bytes;
        }
        if let Err(refusal) = turn.world.append(&mut transaction.draft, bytes) {
            let unwanted = Err(Unwanted::Refused(refusal));
            if let Ok(transaction) = mem::replace(&mut self.message, unwanted) {
                turn.world.abandon(transaction.draft);
            }
        }
        &[]
    }
}

impl<W: World> Turn<'_, W> {
    fn commit(
        &mut self,
        transaction: Transaction<W::Draft>,
        rest: &[&[u8]],
        introduction: &Introduction,
    ) {
        let client = transaction.client(introduction, self.encrypted);
        match self.world.commit(transaction.draft, rest, &client) {
            Ok(id) => sure(reply::stored(id.as_ref(), self.output)),
            Err(refusal) => self.refuse(refusal),
        }
    }
}

/// The pieces of a message that one read brought.
struct Gathered<'a> {
    pieces: [&'a [u8]; BODY_PIECES_MAX],
    count: usize,
}

impl<'a> Gathered<'a> {
    fn new() -> Self {
        Self { pieces: [&[]; BODY_PIECES_MAX], count: 0 }
    }

    fn pieces(&self) -> &[&'a [u8]] {
        &self.pieces[..self.count]
    }

    /// Whether one more piece needs room, and these were hardly worth being pieces.
    fn is_full_of_short_pieces(&self) -> bool {
        let bytes = || self.pieces.iter().map(|piece| piece.len()).sum::<usize>();
        self.count == BODY_PIECES_MAX && bytes() < BODY_PIECES_MAX * BODY_PIECE_BYTES_SHORT
    }

    /// Takes one more piece, if the message may still have it.
    fn add<W: World>(
        &mut self,
        bytes: &'a [u8],
        transaction: &mut Transaction<W::Draft>,
        turn: &mut Turn<'_, W>,
    ) -> Result<(), Refusal> {
        let room = turn.settings.message_bytes_max().saturating_sub(transaction.kept_bytes);
        if bytes.len() > room {
            return Err(Refusal::MessageTooLarge);
        }
        if self.count == BODY_PIECES_MAX {
            self.append(transaction, turn)?;
        }
        transaction.kept_bytes += bytes.len();
        self.pieces[self.count] = bytes;
        self.count += 1;
        Ok(())
    }

    /// Hands everything gathered to the draft, and `bytes` behind it, if the message may still have
    /// them.
    fn append_with<W: World>(
        &mut self,
        bytes: &[u8],
        transaction: &mut Transaction<W::Draft>,
        turn: &mut Turn<'_, W>,
    ) -> Result<(), Refusal> {
        let room = turn.settings.message_bytes_max().saturating_sub(transaction.kept_bytes);
        if bytes.len() > room {
            return Err(Refusal::MessageTooLarge);
        }
        self.append(transaction, turn)?;
        if !bytes.is_empty() {
            transaction.kept_bytes += bytes.len();
            turn.world.append(&mut transaction.draft, bytes)?;
        }
        Ok(())
    }

    /// Hands everything gathered to the draft.
    fn append<W: World>(
        &mut self,
        transaction: &mut Transaction<W::Draft>,
        turn: &mut Turn<'_, W>,
    ) -> Result<(), Refusal> {
        for piece in &self.pieces[..self.count] {
            turn.world.append(&mut transaction.draft, piece)?;
        }
        self.count = 0;
        Ok(())
    }
}
