//! A reader over HTTP: it lists a mailbox, reads its latest message, or only one of the two, and
//! goes on to the next one, over one connection, as fast as it is answered.

use std::io::{self, Read as _, Write};

use mio::net::TcpStream;

use crate::arguments::HttpRead;
use crate::clock::Nanoseconds;
use crate::http;
use crate::limits::READER_LIST_MESSAGES;

/// One answer.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) at: Nanoseconds,
    pub(super) status: u16,
    pub(super) bytes: usize,
    pub(super) latency_ns: Nanoseconds,
}

#[derive(Debug)]
pub(super) struct Reader {
    stream: TcpStream,
    wanted: HttpRead,
    asked_at: Option<Nanoseconds>,
    /// How many questions were asked; they differ from reader to reader.
    questions: usize,
    unsent: Vec<u8>,
    /// What came of a head.
    head: Vec<u8>,
    /// After the head: the status, the body's length, and how much of it is missing.
    body: Option<(u16, usize, usize)>,
    settled: bool,
}

impl Reader {
    pub(super) fn new(stream: TcpStream, wanted: HttpRead, first_question: usize) -> Self {
        Self {
            stream,
            wanted,
            asked_at: None,
            questions: first_question.wrapping_mul(14),
            unsent: Vec::new(),
            head: Vec::new(),
            body: None,
            settled: false,
        }
    }

    /// Whether it was answered once.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn ready(
        &mut self,
        buffer: &mut [u8],
        now: Nanoseconds,
        mailboxes: &[String],
        mut done: impl FnMut(Read),
    ) -> io::Result<()> {
        if self.asked_at.is_none() {
            self.ask(now, mailboxes);
        }
        self.flush()?;
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            };
            if let Some((status, bytes)) = self.answer(&buffer[..length])? {
                self.settled = true;
                let latency_ns = now.saturating_sub(self.asked_at.unwrap_or(now));
                done(Read { at: now, status, bytes, latency_ns });
                self.ask(now, mailboxes);
                self.flush()?;
            }
        }
    }

    fn ask(&mut self, now: Nanoseconds, mailboxes: &[String]) {
        let path = path(self.wanted, self.questions, mailboxes);
        self.unsent = http::request(&path);
        self.questions = self.questions.wrapping_add(1);
        self.asked_at = Some(now);
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes bytes; the status and length of the answer once it is whole.
    fn answer(&mut self, bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
        let mut came = bytes.len();
        if self.body.is_none() {
            self.head.extend_from_slice(bytes);
            let Some(head) = http::head(&self.head)? else { return Ok(None) };
            came = self.head.len() - head.bytes;
            self.body = Some((head.status, head.body_bytes, head.body_bytes));
            self.head.clear();
        }
        let Some((status, length, missing)) = &mut self.body else { return Ok(None) };
        // Nothing was asked besides, so nothing else can come.
        *missing = missing.checked_sub(came).ok_or(io::ErrorKind::InvalidData)?;
        let answer = (*status, *length);
        if *missing > 0 {
            return Ok(None);
        }
        self.body = None;
        Ok(Some(answer))
    }
}

/// What a reader's question is, after so many.
fn path(wanted: HttpRead, questions: usize, mailboxes: &[String]) -> String {
    let (turn, is_list) = match wanted {
        HttpRead::Both => (questions / 2, questions.is_multiple_of(2)),
        HttpRead::List => (questions, true),
        HttpRead::Source => (questions, false),
    };
    let mailbox = &mailboxes[turn % mailboxes.len()];
    if is_list {
        format!("/api/v1/mailbox/{mailbox}?limit={READER_LIST_MESSAGES}")
    } else {
        format!("/api/v1/mailbox/{mailbox}/latest/source")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_ask_each_mailbox_in_turn_for_what_they_want() {
        let mailboxes = ["a", "b"].map(str::to_owned);
        let asked = |wanted, questions| path(wanted, questions, &mailboxes);
        let (list, source) = ("?limit=20", "/latest/source");
        for (wanted, expected) in [
            (HttpRead::Both, [("a", list), ("a", source), ("b", list), ("b", source)]),
            (HttpRead::List, [("a", list), ("b", list), ("a", list), ("b", list)]),
            (HttpRead::Source, [("a", source), ("b", source), ("a", source), ("b", source)]),
        ] {
            for (questions, (mailbox, tail)) in expected.into_iter().enumerate() {
                assert_eq!(asked(wanted, questions), format!("/api/v1/mailbox/{mailbox}{tail}"));
            }
        }
    }
}
