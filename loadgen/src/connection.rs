//! One client's conversation: replies in, what to send next out. It sees no socket, no clock and
//! no bytes of messages; those are `flood` and `traffic`.
//!
//! ```text
//!            ┌──────────────── next message ───────────────┐
//! greeting ─► EHLO ─► STARTTLS ─► handshake ─► EHLO, if it is to be encrypted
//! greeting ─► EHLO ─► MAIL ─► RCPT… ─► DATA ─► message ─► QUIT ─► closed      lockstep
//!                     └── one write ────────┘  └───┬───┘                      pipelined
//!                                     with the next envelope                  burst
//!                     └── one write, with BDAT ────┘                          bdat
//! ```

use std::fmt;

use crate::arguments::Shape;
use crate::clock::Nanoseconds;
use crate::limits::REPLY_LINE_BYTES_MAX;
use crate::plan::{Plan, Starttls};
use crate::traffic::{Outgoing, Script, Sequence, Then};

/// What a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Banner,
    Ehlo,
    Starttls,
    /// Of TLS: no reply, but its end.
    Handshake,
    Mail,
    Rcpt,
    Data,
    /// The end of the message.
    Stored,
    Quit,
}

impl Phase {
    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Banner => "connect to banner",
            Self::Ehlo => "EHLO",
            Self::Starttls => "STARTTLS",
            Self::Handshake => "TLS handshake",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Stored => "end of data to 250",
            Self::Quit => "QUIT",
        }
    }

    fn accepts(self, code: u16) -> bool {
        match self {
            Self::Banner | Self::Starttls => code == 220,
            Self::Handshake => false,
            Self::Ehlo | Self::Mail | Self::Stored => code == 250,
            Self::Rcpt => code == 250 || code == 251,
            Self::Data => code == 354,
            Self::Quit => code == 221,
        }
    }
}

/// A message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) sequence: Sequence,
    /// When it should have started.
    pub(crate) scheduled: Nanoseconds,
    /// When it did.
    pub(crate) started: Nanoseconds,
}

/// What conversations may ask of the run, and tell it.
pub(crate) trait World {
    /// The next message that is due, if there is one now.
    fn next(&mut self, now: Nanoseconds) -> Option<Message>;
    /// Whether no more messages will start.
    fn ending(&self) -> bool;
    /// A reply as it should be, so long after what it answers was sent.
    fn replied(&mut self, phase: Phase, after: Nanoseconds);
    /// A message was acknowledged in these words.
    fn stored(&mut self, message: &Message, reply: &[u8], now: Nanoseconds);
}

/// What is to be done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for more replies.
    Wait,
    /// Send this.
    Send(Outgoing),
    /// Shake hands, and tell of the end.
    Encrypt,
    /// It is ready for a message, and none is due.
    Free,
    /// It is done.
    Close,
}

/// Why a conversation cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A reply that does not mean yes.
    Refused(Phase, u16),
    /// A reply that nothing was sent for.
    Unasked,
    /// What came is no reply.
    Garbage(Phase),
    /// The server closed while this was waited for.
    Closed(Phase),
    /// Nothing came in time.
    Timeout(Phase),
    /// The connection was not made, or broke, with this error of the system.
    Broken(Phase, i32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(phase, code) => write!(f, "{}: answered {code}", phase.name()),
            Self::Unasked => write!(f, "a reply to nothing"),
            Self::Garbage(phase) => write!(f, "{}: answered with no reply", phase.name()),
            Self::Closed(phase) => write!(f, "{}: closed by the server", phase.name()),
            Self::Timeout(phase) => write!(f, "{}: no reply in time", phase.name()),
            Self::Broken(phase, error) => {
                let error = std::io::Error::from_raw_os_error(*error);
                write!(f, "{}: {error}", phase.name())
            }
        }
    }
}

/// How all conversations of a run go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) shape: Shape,
    pub(crate) starttls: bool,
    pub(crate) recipients: u16,
    /// 0: without end.
    pub(crate) messages_per_connection: u32,
}

impl Manner {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            shape: plan.shape,
            starttls: plan.starttls == Starttls::Spoken,
            recipients: plan.recipients,
            messages_per_connection: plan.messages_per_connection,
        }
    }
}

/// One conversation.
#[derive(Debug)]
pub(crate) struct Connection {
    manner: Manner,
    /// What was sent and is being answered.
    script: Script,
    /// How many of its replies are in.
    replies: u16,
    sent_at: Nanoseconds,
    encrypted: bool,
    /// The message under way, and the one whose envelope went out with it.
    message: Option<Message>,
    following: Option<Message>,
    /// Messages that this connection has carried.
    carried: u32,
    /// A line that has not come whole.
    partial: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(manner: Manner) -> Self {
        Self {
            manner,
            script: Script::Greeting,
            replies: 0,
            sent_at: 0,
            encrypted: false,
            message: None,
            following: None,
            carried: 0,
            partial: Vec::new(),
        }
    }

    /// A new connection, opened for this message if it is opened for one.
    pub(crate) fn open(&mut self, message: Option<Message>, now: Nanoseconds) {
        self.script = Script::Greeting;
        self.replies = 0;
        self.sent_at = now;
        self.encrypted = false;
        self.message = message;
        self.following = None;
        self.carried = 0;
        self.partial.clear();
    }

    /// Begins a message on a connection that is free for it.
    pub(crate) fn start(&mut self, message: Message, now: Nanoseconds, ending: bool) -> Outgoing {
        self.message = Some(message);
        let script = match self.manner.shape {
            Shape::Lockstep => Script::Mail,
            Shape::Pipelined | Shape::Burst => Script::Envelope,
            Shape::Bdat if self.is_last(ending) => Script::Chunk(Then::Quit),
            Shape::Bdat => Script::Chunk(Then::Nothing),
        };
        self.send(script, now)
    }

    /// What to do after these bytes of replies.
    ///
    /// # Errors
    /// The conversation did not go as it should; the connection is of no more use.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        now: Nanoseconds,
        world: &mut impl World,
    ) -> Result<Step, Fault> {
        let mut step = Step::Wait;
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            // Whatever is to be sent next was not sent yet: nothing can be an answer to it.
            if step != Step::Wait {
                return Err(Fault::Unasked);
            }
            step = if self.partial.is_empty() {
                self.line(line, now, world)?
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                let step = self.line(&whole, now, world);
                whole.clear();
                self.partial = whole;
                step?
            };
        }
        if self.partial.len() + rest.len() > REPLY_LINE_BYTES_MAX {
            return Err(Fault::Garbage(self.awaited()));
        }
        // Nor can anything in the clear be meant for what is encrypted.
        if step == Step::Encrypt && !rest.is_empty() {
            return Err(Fault::Unasked);
        }
        self.partial.extend_from_slice(rest);
        Ok(step)
    }

    /// The handshake is done: what is said next.
    pub(crate) fn encrypted(&mut self, now: Nanoseconds, world: &mut impl World) -> Outgoing {
        world.replied(Phase::Handshake, now.saturating_sub(self.sent_at));
        self.encrypted = true;
        self.send(Script::Ehlo, now)
    }

    /// The server has closed.
    ///
    /// # Errors
    /// That was not what it should do now.
    pub(crate) fn closed(&self) -> Result<(), Fault> {
        // Everything has been said; not everybody answers QUIT.
        if self.awaited() == Phase::Quit { Ok(()) } else { Err(Fault::Closed(self.awaited())) }
    }

    /// What it waits for.
    pub(crate) fn awaited(&self) -> Phase {
        if self.script == Script::Starttls && self.replies > 0 {
            return Phase::Handshake;
        }
        // While it is free it waits for nothing; what is noticed then belongs to the next MAIL.
        self.expected(self.replies).unwrap_or(Phase::Mail)
    }

    /// Since when it waits.
    pub(crate) fn waits_since(&self) -> Nanoseconds {
        self.sent_at
    }

    /// The messages that were begun here and not acknowledged; asked when the connection is given up.
    pub(crate) fn unfinished(&mut self) -> impl Iterator<Item = Message> {
        [self.message.take(), self.following.take()].into_iter().flatten()
    }

    fn line(
        &mut self,
        line: &[u8],
        now: Nanoseconds,
        world: &mut impl World,
    ) -> Result<Step, Fault> {
        let Some(phase) = self.expected(self.replies) else { return Err(Fault::Unasked) };
        let code = code_of(line).ok_or(Fault::Garbage(phase))?;
        if line[3] == b'-' {
            return Ok(Step::Wait);
        }
        if !phase.accepts(code) {
            return Err(Fault::Refused(phase, code));
        }
        world.replied(phase, now.saturating_sub(self.sent_at));
        self.replies += 1;
        if phase == Phase::Stored {
            self.carried += 1;
            if let Some(message) = self.message.take() {
                world.stored(&message, line, now);
            }
            self.message = self.following.take();
        }
        if self.expected(self.replies).is_some() {
            Ok(Step::Wait)
        } else {
            Ok(self.next(now, world))
        }
    }

    /// What the reply at this place, counted from 0, to what was sent last is about.
    fn expected(&self, place: u16) -> Option<Phase> {
        let recipients = self.manner.recipients;
        let envelope = |place: u16| match place {
            0 => Some(Phase::Mail),
            place if place <= recipients => Some(Phase::Rcpt),
            place if place == recipients + 1 => Some(Phase::Data),
            _ => None,
        };
        let only = |phase| (place == 0).then_some(phase);
        match self.script {
            Script::Greeting => only(Phase::Banner),
            Script::Ehlo => only(Phase::Ehlo),
            Script::Starttls => only(Phase::Starttls),
            Script::Mail => only(Phase::Mail),
            Script::Recipient(_) => only(Phase::Rcpt),
            Script::Data => only(Phase::Data),
            Script::Quit => only(Phase::Quit),
            Script::Envelope => envelope(place),
            Script::Body(then) => match (place, then) {
                (0, _) => Some(Phase::Stored),
                (1, Then::Quit) => Some(Phase::Quit),
                (place, Then::Envelope) => envelope(place - 1),
                _ => None,
            },
            Script::Chunk(then) => match place {
                place if place <= recipients => envelope(place),
                place if place == recipients + 1 => Some(Phase::Stored),
                place if place == recipients + 2 && then == Then::Quit => Some(Phase::Quit),
                _ => None,
            },
        }
    }

    /// After all replies to what was sent last.
    fn next(&mut self, now: Nanoseconds, world: &mut impl World) -> Step {
        let script = match self.script {
            Script::Greeting => Script::Ehlo,
            Script::Ehlo if self.manner.starttls && !self.encrypted => Script::Starttls,
            Script::Starttls => {
                self.sent_at = now;
                return Step::Encrypt;
            }
            Script::Ehlo => match self.message {
                Some(message) => return Step::Send(self.start(message, now, world.ending())),
                None => return self.next_message(now, world),
            },
            Script::Mail => Script::Recipient(0),
            Script::Recipient(place) if place + 1 < self.manner.recipients => {
                Script::Recipient(place + 1)
            }
            Script::Recipient(_) => Script::Data,
            Script::Data | Script::Envelope | Script::Body(Then::Envelope) => {
                let then = self.then(now, world);
                Script::Body(then)
            }
            Script::Body(Then::Nothing) | Script::Chunk(Then::Nothing | Then::Envelope) => {
                if self.carried == self.manner.messages_per_connection {
                    Script::Quit
                } else {
                    return self.next_message(now, world);
                }
            }
            Script::Body(Then::Quit) | Script::Chunk(Then::Quit) | Script::Quit => {
                return Step::Close;
            }
        };
        Step::Send(self.send(script, now))
    }

    /// What goes out with a message that is about to be sent.
    fn then(&mut self, now: Nanoseconds, world: &mut impl World) -> Then {
        match self.manner.shape {
            Shape::Lockstep | Shape::Bdat => Then::Nothing,
            Shape::Pipelined | Shape::Burst if self.is_last(world.ending()) => Then::Quit,
            Shape::Pipelined => Then::Nothing,
            Shape::Burst => {
                self.following = world.next(now);
                if self.following.is_some() { Then::Envelope } else { Then::Nothing }
            }
        }
    }

    fn next_message(&mut self, now: Nanoseconds, world: &mut impl World) -> Step {
        match world.next(now) {
            Some(message) => Step::Send(self.start(message, now, world.ending())),
            None if world.ending() => Step::Send(self.send(Script::Quit, now)),
            None => Step::Free,
        }
    }

    /// Whether the message under way is the last on this connection.
    fn is_last(&self, ending: bool) -> bool {
        ending || self.carried + 1 == self.manner.messages_per_connection
    }

    fn send(&mut self, script: Script, now: Nanoseconds) -> Outgoing {
        self.script = script;
        self.replies = 0;
        self.sent_at = now;
        let sequence = |message: Option<Message>| message.map_or(0, |message| message.sequence);
        Outgoing {
            script,
            sequence: sequence(self.message),
            following: sequence(self.following),
            offset: 0,
        }
    }

    /// Says good-bye on a connection that is free.
    pub(crate) fn quit(&mut self, now: Nanoseconds) -> Outgoing {
        self.send(Script::Quit, now)
    }
}

/// The code of a reply's line: three digits, then a space, a hyphen or the end.
pub(crate) fn code_of(line: &[u8]) -> Option<u16> {
    let digits = line.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !b" -\r\n".contains(line.get(3)?) {
        return None;
    }
    Some(digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
