//! One connection: its socket, what is known of its readiness, and a visit to it. Not here: when
//! it is visited (`reactor`), where its leftovers are kept (`spill`), what its bytes mean
//! ([`Protocol`]).

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::{Event, Source};
use mio::net::TcpStream;

use super::Protocol;
use super::spill::{Spill, Spilled};
use crate::clock::{Now, Stopwatch};
use crate::limits::{BYTES_PER_VISIT, LINGER_BYTES_MAX, OUTPUT_BYTES, READ_BUFFER_BYTES};
use crate::output::Output;
use crate::progress::{Progress, Then};

/// The buffers that all visits share.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) spill: Spill,
    input: Box<[u8]>,
    /// Empty between visits.
    pub(super) output: Output,
    /// Runs since the turn began.
    pub(super) stopwatch: Stopwatch,
}

/// One entry of the reactor's table.
#[derive(Debug)]
pub(super) struct Slot<C> {
    /// When a byte last moved, either way.
    moved_ms: u64,
    spilled: Spilled,
    stream: TcpStream,
    linger_bytes_left: u32,
    stage: Stage,
    /// There may be input in the kernel. An edge comes once, so this stays until a read is short.
    readable: bool,
    /// The kernel may have room for output. Stays until a write is short.
    writable: bool,
    /// The peer has sent its last byte: a short read does not mean that nothing is left to see.
    peer_closed: bool,
    /// Replies are unsent, in the spill or held by the protocol.
    sending: bool,
    /// They are held back until a timer fires.
    held: bool,
    told_to_drain: bool,
    /// It is in the reactor's queue.
    pub(super) queued: bool,
    /// Taken when the connection is over, which may be before its socket is closed.
    conversation: Option<C>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Talking,
    /// Closes when what is unsent has left.
    Closing,
    /// Over; what the peer still says is thrown away, so that the last reply survives.
    Lingering,
    /// Over; the slot is freed at the end of the turn.
    Closed,
}

/// What the reactor has to do with a slot next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Stay,
    /// The conversation is over, the socket is not.
    Linger,
    Close,
}

enum Sent {
    All,
    Part,
    Failed,
}

enum Received {
    Bytes(usize),
    Nothing,
    End,
}

impl Workspace {
    pub(super) fn new(spill: Spill, stopwatch: Stopwatch) -> Self {
        Self {
            spill,
            input: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            output: Output::with_capacity(OUTPUT_BYTES),
            stopwatch,
        }
    }
}

impl<C> Slot<C> {
    pub(super) fn new(stream: TcpStream, conversation: C, now: Now) -> Self {
        Self {
            moved_ms: now.monotonic_ms,
            spilled: Spilled::NOTHING,
            stream,
            linger_bytes_left: 0,
            stage: Stage::Talking,
            readable: false,
            writable: true,
            peer_closed: false,
            sending: false,
            held: false,
            told_to_drain: false,
            queued: false,
            conversation: Some(conversation),
        }
    }

    pub(super) fn source(&mut self) -> &mut impl Source {
        &mut self.stream
    }

    /// Remembers what the kernel said.
    pub(super) fn note(&mut self, event: &Event) {
        // An error shows itself to whatever is tried next.
        let failed = event.is_error();
        self.readable |= event.is_readable() || event.is_read_closed() || failed;
        self.writable |= event.is_writable() || event.is_write_closed() || failed;
        self.peer_closed |= event.is_read_closed();
    }

    /// Whether a visit would get anywhere.
    pub(super) fn has_work(&self) -> bool {
        match self.stage {
            Stage::Talking | Stage::Closing if self.held => false,
            Stage::Talking | Stage::Closing if self.sending => self.writable,
            Stage::Talking | Stage::Lingering => self.readable,
            Stage::Closing | Stage::Closed => false,
        }
    }

    /// Whether a visit has to wait for another turn, by the protocol's word.
    pub(super) fn is_postponed<P>(&self, protocol: &P) -> bool
    where
        P: Protocol<Connection = C>,
    {
        self.conversation.as_ref().is_some_and(|conversation| !protocol.has_time(conversation))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// When it will have waited too long, by the protocol's word; `None` if it has nothing to say
    /// any more.
    pub(super) fn deadline_ms<P>(&self, protocol: &P) -> Option<u64>
    where
        P: Protocol<Connection = C>,
    {
        let conversation = self.conversation.as_ref()?;
        if self.held {
            return Some(protocol.held_until_ms(conversation));
        }
        Some(protocol.deadline_ms(conversation, self.moved_ms))
    }

    /// Ends the conversation, if it has not ended yet: forgets what it kept, and returns it.
    pub(super) fn hang_up(&mut self, spill: &mut Spill) -> Option<C> {
        spill.release(&mut self.spilled);
        self.conversation.take()
    }

    /// Marks the slot as free at the end of the turn.
    pub(super) fn close(&mut self) {
        self.stage = Stage::Closed;
    }

    /// Sends what waits, then reads and converses until the peer has no more to say, takes no
    /// more, or has had its share of the turn.
    pub(super) fn visit<P>(&mut self, protocol: &mut P, space: &mut Workspace, now: Now) -> After
    where
        P: Protocol<Connection = C>,
    {
        let mut budget = BYTES_PER_VISIT;
        if self.held {
            return After::Stay;
        }
        if self.stage == Stage::Lingering {
            return self.discard(&mut space.input);
        }
        let was_sending = self.sending;
        if was_sending {
            match self.resume_sending(protocol, space, &mut budget, now) {
                Sent::Failed => return After::Close,
                Sent::Part => return After::Stay,
                // The peer has kept us waiting, so it is likely to be ahead.
                Sent::All if self.stage == Stage::Closing => return self.finish(true),
                Sent::All => {}
            }
        }
        let mut filled = space.spill.take_input(&mut self.spilled, &mut space.input);
        // What the protocol left when its output was full has not been looked at to its end.
        let mut is_unseen = was_sending && filled > 0;
        loop {
            if !is_unseen {
                if !self.readable || budget == 0 {
                    break;
                }
                if filled == space.input.len() {
                    return self.finish(true);
                }
                match self.receive(&mut space.input[filled..]) {
                    Ok(Received::Bytes(bytes)) => {
                        self.moved_ms = now.monotonic_ms;
                        budget = budget.saturating_sub(bytes);
                        filled += bytes;
                    }
                    Ok(Received::Nothing) => break,
                    Ok(Received::End) | Err(_) => return After::Close,
                }
            }
            is_unseen = false;
            match self.converse(protocol, space, filled, &mut budget, now) {
                Ok(consumed) if consumed == filled => filled = 0,
                Ok(consumed) => {
                    space.input.copy_within(consumed..filled, 0);
                    filled -= consumed;
                }
                Err(after) => return after,
            }
        }
        self.keep_input(space, 0..filled)
    }

    /// Last words to a peer that said nothing for too long.
    pub(super) fn expire<P>(&mut self, protocol: &mut P, space: &mut Workspace, now: Now) -> After
    where
        P: Protocol<Connection = C>,
    {
        if self.sending {
            return After::Close;
        }
        let Some(conversation) = &mut self.conversation else { return After::Close };
        let then = protocol.expired(conversation, now, &mut space.output);
        self.speak(protocol, space, then, now)
    }

    /// When a byte last moved, if it may be asked to make way.
    pub(super) fn silent_since_ms<P>(&self, protocol: &P, now: Now) -> Option<u64>
    where
        P: Protocol<Connection = C>,
    {
        let is_busy = self.stage != Stage::Talking || self.sending || self.queued;
        let conversation = self.conversation.as_ref().filter(|_| !is_busy)?;
        protocol.may_make_way(conversation, self.moved_ms, now).then_some(self.moved_ms)
    }

    /// Has it say its last words for another's sake.
    pub(super) fn make_way<P>(&mut self, protocol: &mut P, space: &mut Workspace, now: Now) -> After
    where
        P: Protocol<Connection = C>,
    {
        let Some(conversation) = &mut self.conversation else { return After::Close };
        protocol.makes_way(conversation, now, &mut space.output);
        self.speak(protocol, space, Then::Close, now)
    }

    /// Whether what was said is held back.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// What was held back may leave now.
    pub(super) fn end_hold<P>(&mut self, protocol: &mut P, now: Now) -> After
    where
        P: Protocol<Connection = C>,
    {
        self.held = false;
        let Some(conversation) = &mut self.conversation else { return After::Close };
        // Nothing was read, so that an edge since then is still noted.
        let spoke = self.readable && !self.peer_closed;
        match protocol.hold_ended(conversation, spoke, now) {
            Then::Close => After::Close,
            _ => After::Stay,
        }
    }

    /// Keeps the output for later, if the protocol holds it back and there is room for it. The
    /// output is empty then.
    fn hold<P>(&mut self, protocol: &mut P, space: &mut Workspace, now: Now) -> bool
    where
        P: Protocol<Connection = C>,
    {
        let Some(conversation) = &self.conversation else { return false };
        if protocol.held_until_ms(conversation) <= now.monotonic_ms
            || space.output.is_empty()
            || space.spill.keep_unsent(&mut self.spilled, space.output.as_slice()).is_err()
        {
            return false;
        }
        // What is timed is the server's own work, which is done.
        if protocol.is_timed() {
            protocol.sent(space.stopwatch.elapsed_ns());
        }
        space.output.clear();
        (self.sending, self.held) = (true, true);
        true
    }

    /// Tells the connection once that the server shuts down, as soon as nothing is unsent.
    pub(super) fn drain<P>(&mut self, protocol: &mut P, space: &mut Workspace, now: Now) -> After
    where
        P: Protocol<Connection = C>,
    {
        // Nobody is kept waiting on purpose any more.
        self.held = false;
        if self.told_to_drain || self.sending {
            return After::Stay;
        }
        let Some(conversation) = &mut self.conversation else { return After::Stay };
        self.told_to_drain = true;
        let then = protocol.draining(conversation, now, &mut space.output);
        self.speak(protocol, space, then, now)
    }

    /// Sends what was said unasked.
    fn speak<P>(&mut self, protocol: &mut P, space: &mut Workspace, then: Then, now: Now) -> After
    where
        P: Protocol<Connection = C>,
    {
        let mut budget = BYTES_PER_VISIT;
        match self.send(protocol, space, &mut budget, now) {
            Sent::Failed => After::Close,
            Sent::All if then == Then::Close => self.finish(false),
            Sent::All => After::Stay,
            Sent::Part => {
                if then == Then::Close {
                    self.stage = Stage::Closing;
                }
                After::Stay
            }
        }
    }

    /// Sends the banner, before anybody listens for events.
    pub(super) fn greet<P>(&mut self, protocol: &mut P, space: &mut Workspace, now: Now) -> After
    where
        P: Protocol<Connection = C>,
    {
        if self.hold(protocol, space, now) {
            return After::Stay;
        }
        self.speak(protocol, space, Then::Continue, now)
    }

    /// Shows the first `filled` bytes of input to the protocol and sends what it says, until it
    /// has seen all of them; returns how many it consumed. Or says what happens when it is
    /// stopped; then the input has been kept.
    fn converse<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        filled: usize,
        budget: &mut usize,
        now: Now,
    ) -> Result<usize, After>
    where
        P: Protocol<Connection = C>,
    {
        let mut start = 0;
        loop {
            let Some(conversation) = &mut self.conversation else { return Err(After::Close) };
            let input = &space.input[start..filled];
            let Progress { consumed, then } =
                protocol.received(conversation, input, now, &mut space.output);
            let consumed = consumed.min(input.len());
            let is_stuck = consumed == 0
                && space.output.is_empty()
                && protocol.held_output(conversation).is_empty();
            start += consumed;
            if self.hold(protocol, space, now) {
                if then == Then::Close {
                    self.stage = Stage::Closing;
                    return Err(After::Stay);
                }
                return Err(self.keep_input(space, start..filled));
            }
            match (then, self.send(protocol, space, budget, now)) {
                (_, Sent::Failed) => return Err(After::Close),
                (Then::Continue, Sent::All) => return Ok(start),
                (Then::Flush, Sent::All) if start == filled => return Ok(start),
                (Then::Flush, Sent::All) if is_stuck => return Err(self.finish(true)),
                (Then::Flush, Sent::All) if *budget > 0 => {}
                (Then::Flush | Then::Yield, Sent::All) => {
                    // Others come first. Resuming to send nothing is how the rest is seen then.
                    self.sending = start < filled;
                    return Err(self.keep_input(space, start..filled));
                }
                (Then::Close, Sent::All) => return Err(self.finish(start < filled)),
                (Then::Close, Sent::Part) => {
                    self.stage = Stage::Closing;
                    return Err(After::Stay);
                }
                (Then::Continue | Then::Flush | Then::Yield, Sent::Part) => {
                    return Err(self.keep_input(space, start..filled));
                }
            }
        }
    }

    fn keep_input(&mut self, space: &mut Workspace, range: std::ops::Range<usize>) -> After {
        if range.is_empty() {
            return After::Stay;
        }
        match space.spill.keep_input(&mut self.spilled, &space.input[range]) {
            Ok(()) => After::Stay,
            Err(_) => After::Close,
        }
    }

    /// Sends the output and what the protocol holds, together if it can be; what does not leave
    /// of the output goes to the spill. The output is empty afterwards.
    fn send<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        budget: &mut usize,
        now: Now,
    ) -> Sent
    where
        P: Protocol<Connection = C>,
    {
        let Some(conversation) = &mut self.conversation else { return Sent::Failed };
        if !space.output.is_empty() {
            let output = space.output.as_slice();
            let held = protocol.held_output(conversation);
            let written = match held.is_empty() {
                true => write(&self.stream, output),
                false => write_both(&self.stream, output, held),
            };
            let to_write = output.len() + held.len();
            if protocol.is_timed() {
                protocol.sent(space.stopwatch.elapsed_ns());
            }
            let Ok(written) = written else {
                space.output.clear();
                return Sent::Failed;
            };
            self.writable = written == to_write;
            if written > 0 {
                self.moved_ms = now.monotonic_ms;
            }
            *budget = budget.saturating_sub(written);
            let unsent = output.get(written..).unwrap_or_default();
            let kept = match unsent.is_empty() {
                true => Ok(()),
                false => space.spill.keep_unsent(&mut self.spilled, unsent),
            };
            let held_written = written.saturating_sub(output.len());
            space.output.clear();
            if kept.is_err() {
                return Sent::Failed;
            }
            if held_written > 0 {
                protocol.held_output_sent(conversation, held_written);
            }
            if !self.writable {
                self.sending = true;
                return Sent::Part;
            }
        }
        self.send_held(protocol, budget, now)
    }

    /// Sends what was unsent before.
    fn resume_sending<P>(
        &mut self,
        protocol: &mut P,
        space: &mut Workspace,
        budget: &mut usize,
        now: Now,
    ) -> Sent
    where
        P: Protocol<Connection = C>,
    {
        if self.spilled.unsent_bytes() > 0 {
            let unsent = space.spill.read_unsent(&self.spilled, &mut space.input);
            let Ok(written) = write(&self.stream, unsent) else { return Sent::Failed };
            if written > 0 {
                self.moved_ms = now.monotonic_ms;
            }
            self.writable = written == unsent.len();
            *budget = budget.saturating_sub(written);
            space.spill.drop_sent(&mut self.spilled, written);
            if !self.writable {
                return Sent::Part;
            }
        }
        self.send_held(protocol, budget, now)
    }

    /// Sends what the protocol holds, as far as the kernel and the budget allow.
    fn send_held<P>(&mut self, protocol: &mut P, budget: &mut usize, now: Now) -> Sent
    where
        P: Protocol<Connection = C>,
    {
        let Some(conversation) = &mut self.conversation else { return Sent::Failed };
        loop {
            let held = protocol.held_output(conversation);
            self.sending = !held.is_empty();
            if !self.sending {
                return Sent::All;
            }
            if *budget == 0 {
                return Sent::Part;
            }
            let Ok(written) = write(&self.stream, held) else { return Sent::Failed };
            self.writable = written == held.len();
            if written > 0 {
                self.moved_ms = now.monotonic_ms;
                *budget = budget.saturating_sub(written);
                protocol.held_output_sent(conversation, written);
            }
            if !self.writable {
                return Sent::Part;
            }
        }
    }

    /// One recv. A short one means that the kernel has no more.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Received> {
        loop {
            match (&self.stream).read(into) {
                Ok(0) => return Ok(Received::End),
                Ok(bytes) => {
                    self.readable = bytes == into.len() || self.peer_closed;
                    return Ok(Received::Bytes(bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(Received::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Everything that had to be said has been handed to the kernel. If there may be input that
    /// nobody read, or more on its way, closing now would reset the connection and take the last
    /// reply away from the peer.
    fn finish(&mut self, peer_is_ahead: bool) -> After {
        if !(self.readable || peer_is_ahead) || self.stream.shutdown(Shutdown::Write).is_err() {
            return After::Close;
        }
        self.stage = Stage::Lingering;
        self.linger_bytes_left = LINGER_BYTES_MAX as u32;
        After::Linger
    }

    /// Throws away what arrives after the end.
    fn discard(&mut self, buffer: &mut [u8]) -> After {
        let mut budget = BYTES_PER_VISIT as u32;
        while self.readable && budget > 0 {
            match self.receive(buffer) {
                Ok(Received::Bytes(bytes)) => {
                    let bytes = bytes as u32;
                    budget = budget.saturating_sub(bytes);
                    self.linger_bytes_left = self.linger_bytes_left.saturating_sub(bytes);
                    if self.linger_bytes_left == 0 {
                        return After::Close;
                    }
                }
                Ok(Received::Nothing) => {}
                Ok(Received::End) | Err(_) => return After::Close,
            }
        }
        After::Stay
    }
}

/// How many bytes the kernel took: fewer than there are, or none, when it has no room.
fn write(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    taken(|mut stream: &TcpStream| stream.write(bytes), stream)
}

fn write_both(stream: &TcpStream, first: &[u8], second: &[u8]) -> io::Result<usize> {
    let both = [IoSlice::new(first), IoSlice::new(second)];
    taken(|mut stream: &TcpStream| stream.write_vectored(&both), stream)
}

fn taken(write: impl Fn(&TcpStream) -> io::Result<usize>, stream: &TcpStream) -> io::Result<usize> {
    loop {
        match write(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_holds_little() {
        // In debug builds mio keeps a note of its own beside each socket.
        let debug_bytes = if cfg!(debug_assertions) { 16 } else { 0 };
        assert!(size_of::<Slot<std::num::NonZeroU8>>() <= 48 + debug_bytes);
    }
}
