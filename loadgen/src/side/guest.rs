//! A peer that is in the way: it goes in lockstep as far as it should, says its last words there,
//! and then stays, or goes without a good-bye.

use std::io::{self, Read, Write};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::SockRef;

use crate::arguments::IdleStage;
use crate::connection::code_of;
use crate::limits::{
    NEVER_READER_REQUEST_BYTES, REPLY_LINE_BYTES_MAX, RESET_CHUNK_BYTES, SLOW_READER_REQUEST_BYTES,
};

/// What it came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Idle(IdleStage),
    /// A message, one byte at a time.
    SlowWriter,
    /// Many replies, read one byte at a time.
    SlowReader,
    /// Many replies that are never read.
    NeverReader,
    /// The same over HTTP.
    HttpNeverReader,
    /// To be gone when it is heard.
    Reset(ResetStage),
    /// To encrypt, and then to say no more.
    StalledHandshake(Stall),
    /// To be one more.
    Storm,
}

/// How far a connection goes before it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResetStage {
    Connected,
    Banner,
    Ehlo,
    Mail,
    Rcpt,
    /// After the 354.
    Data,
    WithinData,
    WithinChunk,
    /// After the end of a message, whose reply is on its way.
    EndOfData,
    /// After the 220 to STARTTLS.
    Starttls,
    WithinHandshake,
}

impl ResetStage {
    pub(super) const ALL: [Self; 11] = [
        Self::Connected,
        Self::Banner,
        Self::Ehlo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::WithinData,
        Self::WithinChunk,
        Self::EndOfData,
        Self::Starttls,
        Self::WithinHandshake,
    ];
}

/// Where a handshake stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    /// Encrypted from the first byte, or with STARTTLS.
    pub(super) implicit: bool,
    /// With half of a ClientHello, or with nothing.
    pub(super) hello: bool,
}

impl Stall {
    pub(super) const ALL: [Self; 4] = [
        Self { implicit: false, hello: true },
        Self { implicit: true, hello: true },
        Self { implicit: false, hello: false },
        Self { implicit: true, hello: false },
    ];
}

/// What guests say that is not the same in each run.
#[derive(Debug)]
pub(super) struct Words {
    /// The first half of a ClientHello.
    pub(super) hello: Vec<u8>,
    /// A request over HTTP with a long answer.
    pub(super) request: Vec<u8>,
}

/// What is said, and the reply that is wanted for it.
type Step = (&'static [u8], u16);

const STEPS: [Step; 5] = [
    (b"", 220),
    (b"EHLO guest.example.org\r\n", 250),
    (b"MAIL FROM:<guest@example.org>\r\n", 250),
    (b"RCPT TO:<guest@example.com>\r\n", 250),
    (b"DATA\r\n", 354),
];
const TLS_STEPS: [Step; 3] = [STEPS[0], STEPS[1], (b"STARTTLS\r\n", 220)];
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

    /// Whether it has done what it came for, and should be reset.
    pub(super) fn is_done(&self) -> bool {
        let goes = matches!(self.errand, Errand::Reset(_) | Errand::Storm);
        goes && self.settled && self.unsent.is_empty()
    }

    /// Ends it with a reset.
    pub(super) fn reset(self) {
        // If that cannot be had, it ends as others do.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Whether it leaves what it is sent where it is.
    fn is_deaf(&self) -> bool {
        let never_reads = matches!(
            self.errand,
            Errand::SlowReader | Errand::NeverReader | Errand::HttpNeverReader
        );
        self.settled && never_reads
    }

    /// The socket may be read or written again; or the server has closed it.
    pub(super) fn ready(
        &mut self,
        buffer: &mut [u8],
        words: &Words,
        closed: bool,
    ) -> io::Result<()> {
        if !self.settled && self.steps().is_empty() {
            self.settle(words);
        }
        self.flush()?;
        // A slow reader's replies are left until its next byte is due.
        while !self.is_deaf() {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // It is not connected yet: there will be an event when it is.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            };
            for byte in &buffer[..length] {
                self.line.push(*byte);
                if *byte == b'\n' {
                    self.reply(words)?;
                    self.line.clear();
                } else if self.line.len() > REPLY_LINE_BYTES_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        if closed && !self.is_slow() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The next byte of a slow one.
    pub(super) fn one_byte(&mut self) -> io::Result<()> {
        let result = match self.errand {
            Errand::SlowWriter => {
                let byte = LINE[self.written % LINE.len()];
                self.stream.write(&[byte]).inspect(|count| self.written += count)
            }
            Errand::SlowReader => match self.stream.read(&mut [0]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                result => result,
            },
            _ => return Ok(()),
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    fn reply(&mut self, words: &Words) -> io::Result<()> {
        if self.line.get(3) == Some(&b'-') {
            return Ok(());
        }
        let wanted = self.steps().get(self.step).map(|(_, code)| *code);
        if self.settled || code_of(&self.line) != wanted {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.step += 1;
        match self.steps().get(self.step) {
            Some((command, _)) => self.unsent.extend_from_slice(command),
            None => self.settle(words),
        }
        self.flush()
    }

    /// What it goes through before it stays, or goes.
    fn steps(&self) -> &'static [Step] {
        match self.errand {
            Errand::Reset(ResetStage::Connected) | Errand::HttpNeverReader => &[],
            Errand::StalledHandshake(Stall { implicit: true, .. }) => &[],
            Errand::Idle(IdleStage::Banner) | Errand::Storm => &STEPS[..1],
            Errand::Reset(ResetStage::Banner) => &STEPS[..1],
            Errand::Idle(IdleStage::Ehlo) | Errand::SlowReader | Errand::NeverReader => &STEPS[..2],
            Errand::Reset(ResetStage::Ehlo) => &STEPS[..2],
            Errand::Idle(IdleStage::Mail) | Errand::Reset(ResetStage::Mail) => &STEPS[..3],
            Errand::Idle(IdleStage::Rcpt) => &STEPS[..4],
            Errand::Reset(ResetStage::Rcpt | ResetStage::WithinChunk) => &STEPS[..4],
            Errand::Idle(IdleStage::Data) | Errand::SlowWriter => &STEPS,
            Errand::Reset(ResetStage::Data | ResetStage::WithinData | ResetStage::EndOfData) => {
                &STEPS
            }
            Errand::Reset(ResetStage::Starttls | ResetStage::WithinHandshake) => &TLS_STEPS,
            Errand::StalledHandshake(_) => &TLS_STEPS,
        }
    }

    /// It is where it should be, and says its last words.
    fn settle(&mut self, words: &Words) {
        self.settled = true;
        let repeated = |what: &[u8], bytes: usize| what.repeat(bytes / what.len().max(1));
        self.unsent = match self.errand {
            Errand::Idle(IdleStage::Data) | Errand::Reset(ResetStage::WithinData) => {
                BEGINNING.to_vec()
            }
            Errand::Reset(ResetStage::EndOfData) => [BEGINNING, b".\r\n"].concat(),
            Errand::Reset(ResetStage::WithinChunk) => {
                [format!("BDAT {RESET_CHUNK_BYTES}\r\n").as_bytes(), BEGINNING].concat()
            }
            Errand::Reset(ResetStage::WithinHandshake)
            | Errand::StalledHandshake(Stall { hello: true, .. }) => words.hello.clone(),
            // Long replies to short questions; some will not fit on the way and have to wait.
            Errand::SlowReader => repeated(STEPS[1].0, SLOW_READER_REQUEST_BYTES),
            Errand::NeverReader => repeated(STEPS[1].0, NEVER_READER_REQUEST_BYTES),
            Errand::HttpNeverReader => repeated(&words.request, NEVER_READER_REQUEST_BYTES),
            Errand::Idle(_)
            | Errand::SlowWriter
            | Errand::Reset(_)
            | Errand::StalledHandshake(_)
            | Errand::Storm => Vec::new(),
        };
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
