//! A message as it was sent, behind its trace: an answer that is copied a piece a turn, so that mail
//! does not wait for all of a long message.

use crate::clock::Now;
use crate::limits::HTTP_COPIED_PER_TURN_BYTES;
use crate::store::{Message, Reading};

use super::answer::Failure;
use super::desk::Desk;
use super::held::Writing;
use super::response::{Response, Status};
use super::trace::Trace;

/// A source that is being copied.
#[derive(Debug)]
pub(super) struct Source {
    reading: Reading,
    written: Writing,
}

impl Source {
    /// The source of a message.
    ///
    /// # Errors
    /// [`Failure::Busy`] if not even its beginning has room.
    pub(super) fn of(message: &Message, desk: &Desk<'_>) -> Result<Self, Failure> {
        let envelope = desk.store.read_envelope(message);
        let trace = Trace {
            helo: &envelope.helo,
            source: message.source,
            protocol: message.protocol.keyword(),
            reverse_path: &envelope.reverse_path,
            forward_paths: &envelope.forward_paths,
            hostname: desk.hostname,
            id: &message.id.to_string(),
            received_unix_ms: message.received_unix_ms,
        };
        let mut written = desk.responses.begin()?;
        written.push(trace.lines().as_bytes())?;
        Ok(Self { reading: Reading::of(message), written })
    }

    /// Copies a turn's share more, and says whether there is more than that.
    ///
    /// # Errors
    /// [`Failure::Gone`] if the message has gone meanwhile, and [`Failure::Busy`] if there is no room.
    pub(super) fn go_on(&mut self, desk: &Desk<'_>, now: Now) -> Result<bool, Failure> {
        for piece in desk.store.read_on(&mut self.reading, HTTP_COPIED_PER_TURN_BYTES, now)? {
            self.written.push(piece)?;
        }
        Ok(!self.reading.is_done())
    }

    /// The answer, with what has been copied.
    pub(super) fn respond(self) -> Response {
        Response::text(Status::OK, self.written)
    }
}
