//! One connection's conversation: when is a request whole, what is owed, does the connection live.
//! What is answered is decided elsewhere.
//!
//! The reactor keeps what was not consumed and shows it again, with more. One response is owed at a
//! time: while one waits to be read, nothing more is consumed, so a client that does not read gets
//! no further work done, whatever it sends.

use crate::clock::Now;
use crate::progress::{Progress, Then};

use super::answer::{self, Answer, Failure, Voice};
use super::desk::{Desk, Secret};
use super::gate::{Denied, Passed};
use super::held::{Full, Sending};
use super::long::Long;
use super::request::Request;
use super::response::{Manner, Response};
use super::route::{self, Missed};

/// A connection. While idle it holds no piece of the responses' memory.
#[derive(Debug, Default)]
pub struct Exchange {
    owed: Option<Sending>,
    /// The answer that is being made.
    making: Option<Making>,
    /// `100 Continue` has been said for the request that is coming in.
    continued: bool,
    closing: bool,
}

/// An answer that takes several turns.
#[derive(Debug)]
struct Making {
    long: Box<Long>,
    /// Of its request, which is consumed when it is answered.
    request_bytes: usize,
    manner: Manner,
    voice: Voice,
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Exchange {
    /// Takes a look at all input that is not consumed yet, and does at most one request of it, or a
    /// part of a long one. Call it again when something was consumed, something was sent wholly, more
    /// came, or it yielded.
    pub fn receive(&mut self, input: &[u8], desk: &mut Desk<'_>, now: Now) -> Progress {
        if self.closing {
            return self.progress(input.len());
        }
        if self.owed.is_some() || input.is_empty() {
            return self.progress(0);
        }
        if let Some(making) = self.making.take() {
            return self.go_on(making, desk, now);
        }
        let request = match Request::parse(input) {
            Ok(Some(request)) => request,
            Ok(None) => return self.progress(0),
            Err(refused) => {
                let response = Failure::Refused(refused).respond(Voice::Text);
                return self.refuse(input, response, false, desk, now);
            }
        };
        let voice = Voice::of(request.path);
        if let Err(denied) = desk.gate.is_meant(&request) {
            return self.turn_down(
                input,
                &request,
                Failure::Denied(denied).respond(voice),
                desk,
                now,
            );
        }
        let found = match route::find(request.method, request.path) {
            Ok(found) => found,
            Err(missed) => {
                let failure = match missed {
                    Missed::Spelling => Failure::Spelling,
                    Missed::NotFound => Failure::NotFound,
                    Missed::Method(allow) => Failure::Method(allow),
                };
                return self.turn_down(input, &request, failure.respond(voice), desk, now);
            }
        };
        let admitted = desk.gate.admit(&request, found.route.reach, desk.secrets_wait_seconds);
        desk.secret = match admitted {
            Ok(Passed { guessed: true, .. }) | Err(Denied::WrongSecret(_)) => Secret::Wrong,
            Err(Denied::Unchecked(_)) => Secret::Unchecked,
            _ => Secret::Fine,
        };
        let passed = match admitted {
            Ok(passed) => passed,
            Err(denied) => {
                let response = Failure::Denied(denied).respond(voice);
                return self.turn_down(input, &request, response, desk, now);
            }
        };
        if request.content_length > found.route.body_bytes_max {
            let response = Failure::BodyTooLarge.respond(voice);
            return self.turn_down(input, &request, response, desk, now);
        }
        let end = request.head_bytes.saturating_add(request.content_length);
        let Some(body) = input.get(request.head_bytes..end) else {
            if request.expect_continue && !self.continued {
                self.continued = true;
                let begun = desk.responses.begin();
                self.owe(begun.and_then(|begun| begun.finish(CONTINUE, true)));
            }
            return self.progress(0);
        };
        self.continued = false;
        let manner = Manner::of(&request);
        match answer::answer(&request, &found, voice, passed, body, desk, now) {
            Answer::Whole(response) => {
                self.respond(response, manner, voice, desk, now);
                self.progress(end)
            }
            Answer::Long(long) => {
                self.go_on(Making { long, request_bytes: end, manner, voice }, desk, now)
            }
        }
    }

    /// Makes a turn's share of an answer.
    fn go_on(&mut self, mut making: Making, desk: &mut Desk<'_>, now: Now) -> Progress {
        let went_on = making.long.go_on(desk, now);
        if went_on == Ok(true) {
            self.making = Some(making);
            return self.progress(0);
        }
        let Making { long, request_bytes, manner, voice } = making;
        let made = went_on.and_then(|_| long.respond(desk));
        let response = made.unwrap_or_else(|failure| failure.respond(voice));
        self.respond(response, manner, voice, desk, now);
        self.progress(request_bytes)
    }

    /// The bytes that are to be sent next; none if nothing is owed.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.owed.as_ref().map(Sending::pending).unwrap_or_default()
    }

    /// The first `bytes` of what was pending have been sent.
    pub fn sent(&mut self, bytes: usize) {
        if let Some(owed) = &mut self.owed {
            owed.sent(bytes);
            if owed.pending().is_empty() {
                self.owed = None;
            }
        }
    }

    /// Whether no response is owed or being made: the connection can be closed without anybody missing
    /// anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.owed.is_none() && self.making.is_none()
    }

    /// Whether a response is being made, and not all of it has been yet.
    #[must_use]
    pub fn is_making(&self) -> bool {
        self.making.is_some()
    }

    /// Answers a request whose body, if it has one, is not going to be read.
    fn turn_down(
        &mut self,
        input: &[u8],
        request: &Request<'_>,
        response: Response,
        desk: &mut Desk<'_>,
        now: Now,
    ) -> Progress {
        if request.content_length > 0 {
            return self.refuse(input, response, request.method.is_head(), desk, now);
        }
        self.respond(response, Manner::of(request), Voice::of(request.path), desk, now);
        self.progress(request.head_bytes)
    }

    /// Answers, and is done with the connection: where the next request begins is not known.
    fn refuse(
        &mut self,
        input: &[u8],
        response: Response,
        head_only: bool,
        desk: &Desk<'_>,
        now: Now,
    ) -> Progress {
        self.closing = true;
        let manner = Manner { head_only, keep_alive: false, old: false };
        self.owe(response.render(manner, now.unix_ms, desk.responses));
        self.progress(input.len())
    }

    fn respond(
        &mut self,
        response: Response,
        manner: Manner,
        voice: Voice,
        desk: &Desk<'_>,
        now: Now,
    ) {
        let keep_alive = manner.keep_alive && desk.ready;
        self.closing = !keep_alive;
        let manner = Manner { keep_alive, ..manner };
        let rendered = response.render(manner, now.unix_ms, desk.responses).or_else(|Full| {
            Failure::Busy.respond(voice).render(manner, now.unix_ms, desk.responses)
        });
        self.owe(rendered);
    }

    fn owe(&mut self, rendered: Result<Sending, Full>) {
        self.owed = rendered.ok();
        // Every connection has room for what is short; one that had not could only be closed.
        self.closing |= self.owed.is_none();
    }

    fn progress(&self, consumed: usize) -> Progress {
        let then = match (self.closing, self.is_idle()) {
            (true, _) => Then::Close,
            // What is behind this request is looked at when the response has left, and others had
            // their turn.
            (false, false) => Then::Yield,
            (false, true) => Then::Continue,
        };
        Progress { consumed, then }
    }
}
