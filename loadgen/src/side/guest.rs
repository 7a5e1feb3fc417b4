//! A peer over SMTP that is in the way: it goes in lockstep as far as it should, and then stays.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::arguments::IdleStage;
use crate::connection::code_of;
use crate::limits::{REPLY_LINE_BYTES_MAX, SLOW_READER_REQUEST_BYTES};

/// What it came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Idle(IdleStage),
    /// A message, one byte at a time.
    SlowWriter,
    /// Many replies, read one byte at a time.
    SlowReader,
}

/// What is said once each reply is in, and the reply that is wanted for it.
const STEPS: [(&[u8], u16); 5] = [
    (b"", 220),
    (b"EHLO guest.example.org\r\n", 250),
    (b"MAIL FROM:<guest@example.org>\r\n", 250),
    (b"RCPT TO:<guest@example.com>\r\n", 250),
    (b"DATA\r\n", 354),
];
/// The beginning of a message whose rest does not come.
const BEGINNING: &[u8] = b"Subject: more to come\r\n\r\nThis is the beginning of a long\r\n";
/// What a slow writer writes over and over.
const LINE: &[u8] = b"Every byte of this line comes by itself, and none of them in a hurry.\r\n";

#[derive(Debug)]
pub(super) struct Guest {
    stream: TcpStream,
    errand: Errand,
    /// How many replies are in.
    step: usize,
    line: Vec<u8>,
    unsent: Vec<u8>,
    settled: bool,
    written: usize,
}

impl Guest {
    pub(super) fn new(stream: TcpStream, errand: Errand) -> Self {
        Self {
            stream,
            errand,
            step: 0,
            line: Vec::new(),
            unsent: Vec::new(),
            settled: false,
            written: 0,
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn is_slow(&self) -> bool {
        matches!(self.errand, Errand::SlowReader | Errand::SlowWriter)
    }

    /// The socket may be read or written again.
    pub(super) fn ready(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.flush()?;
        // A slow reader's replies are left where they are, until its next byte is due.
        while !(self.settled && self.errand == Errand::SlowReader) {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for byte in &buffer[..length] {
                self.line.push(*byte);
                if *byte == b'\n' {
                    self.reply()?;
                    self.line.clear();
                } else if self.line.len() > REPLY_LINE_BYTES_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        Ok(())
    }

    /// The next byte of a slow one.
    pub(super) fn one_byte(&mut self) -> io::Result<()> {
        let result = match self.errand {
            Errand::Idle(_) => return Ok(()),
            Errand::SlowWriter => {
                let byte = LINE[self.written % LINE.len()];
                self.stream.write(&[byte]).inspect(|count| self.written += count)
            }
            Errand::SlowReader => match self.stream.read(&mut [0]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                result => result,
            },
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    fn reply(&mut self) -> io::Result<()> {
        if self.line.get(3) == Some(&b'-') {
            return Ok(());
        }
        let wanted = STEPS.get(self.step).map(|(_, code)| *code);
        if self.settled || code_of(&self.line) != wanted {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.step += 1;
        if self.step < self.steps() {
            self.unsent.extend_from_slice(STEPS[self.step].0);
        } else {
            self.settled = true;
            self.settle();
        }
        self.flush()
    }

    /// How many replies it wants before it stays.
    fn steps(&self) -> usize {
        match self.errand {
            Errand::Idle(IdleStage::Banner) => 1,
            Errand::Idle(IdleStage::Ehlo) | Errand::SlowReader => 2,
            Errand::Idle(IdleStage::Mail) => 3,
            Errand::Idle(IdleStage::Rcpt) => 4,
            Errand::Idle(IdleStage::Data) | Errand::SlowWriter => 5,
        }
    }

    fn settle(&mut self) {
        match self.errand {
            Errand::Idle(IdleStage::Data) => self.unsent.extend_from_slice(BEGINNING),
            // Long replies to short questions; some will not fit on the way and have to wait.
            Errand::SlowReader => {
                let question = STEPS[1].0;
                let times = SLOW_READER_REQUEST_BYTES / question.len();
                self.unsent.extend_from_slice(&question.repeat(times));
            }
            Errand::Idle(_) | Errand::SlowWriter => {}
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It is not connected yet: there will be an event when it is.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        // Thousands of guests stay for the whole run.
        self.unsent = Vec::new();
        Ok(())
    }
}
