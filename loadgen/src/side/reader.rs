//! A reader over HTTP: it lists a mailbox, reads its latest message, and goes on to the next one,
//! over one connection, as fast as it is answered.

use std::io::{self, Read as _, Write};

use mio::net::TcpStream;

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
    pub(super) fn new(stream: TcpStream, first_question: usize) -> Self {
        Self {
            stream,
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
        let mailbox = &mailboxes[(self.questions / 2) % mailboxes.len()];
        let path = if self.questions.is_multiple_of(2) {
            format!("/api/v1/mailbox/{mailbox}?limit={READER_LIST_MESSAGES}")
        } else {
            format!("/api/v1/mailbox/{mailbox}/latest/source")
        };
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
