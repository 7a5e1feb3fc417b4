//! One polite conversation before the flood: is there a server, and does it offer what the traffic
//! needs. Blocking, and over before anything is measured.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::arguments::Shape;
use crate::limits::{PROBE_SECONDS, REPLY_LINE_BYTES_MAX};
use crate::plan::Plan;

/// Why there can be no run.
#[derive(Debug)]
pub(crate) enum ProbeError {
    Unreachable(io::Error),
    /// It does not greet as a server of mail.
    Greeting(String),
    /// It does not offer this, which the shape needs.
    NotOffered(&'static str, Shape),
}

/// What the server offers that a run can do without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offers {
    pub(crate) starttls: bool,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "no server: {error}"),
            Self::Greeting(line) => write!(f, "it greets with {line:?}"),
            Self::NotOffered(extension, shape) => {
                write!(f, "it does not offer {extension}, which --shape {} needs", shape.name())
            }
        }
    }
}

impl std::error::Error for ProbeError {}

/// Asks the server what it offers.
///
/// # Errors
/// There is none, or it does not offer what `plan` needs.
pub(crate) fn probe(plan: &Plan) -> Result<Offers, ProbeError> {
    let offers = offers(plan)?;
    let is_offered = |extension: &str| {
        offers.iter().any(|line| {
            line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(extension))
        })
    };
    let needed: &[&str] = match plan.shape {
        Shape::Lockstep => &[],
        Shape::Pipelined | Shape::Burst => &["PIPELINING"],
        Shape::Bdat => &["PIPELINING", "CHUNKING"],
    };
    for extension in needed {
        if !is_offered(extension) {
            return Err(ProbeError::NotOffered(extension, plan.shape));
        }
    }
    Ok(Offers { starttls: is_offered("STARTTLS") })
}

fn offers(plan: &Plan) -> Result<Vec<String>, ProbeError> {
    let patience = Duration::from_secs(PROBE_SECONDS);
    let connect = || -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&plan.smtp, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(BufReader::new(stream))
    };
    let mut stream = connect().map_err(ProbeError::Unreachable)?;
    let deadline = Instant::now() + patience;
    reply(&mut stream, "220", deadline)?;
    let mut say = |line: &[u8], code| -> Result<Vec<String>, ProbeError> {
        stream.get_mut().write_all(line).map_err(ProbeError::Unreachable)?;
        reply(&mut stream, code, deadline)
    };
    let offers = say(b"EHLO loadgen.example.org\r\n", "250")?;
    // Some only close.
    let _ = say(b"QUIT\r\n", "221");
    Ok(offers)
}

/// The lines of a reply, without their codes.
fn reply(
    stream: &mut BufReader<TcpStream>,
    code: &str,
    deadline: Instant,
) -> Result<Vec<String>, ProbeError> {
    let mut lines = Vec::new();
    loop {
        let line = line(stream, deadline).map_err(ProbeError::Unreachable)?;
        let text = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        let rest = text.strip_prefix(code).filter(|_| lines.len() < 100);
        let Some(rest) = rest else { return Err(ProbeError::Greeting(text)) };
        let more = rest.starts_with('-');
        lines.push(rest.trim_start_matches(['-', ' ']).to_owned());
        if !more {
            return Ok(lines);
        }
    }
}

/// One line, or what there is of it when the server closes or says too much.
fn line(stream: &mut BufReader<TcpStream>, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') && line.len() < REPLY_LINE_BYTES_MAX {
        // A byte now and then keeps each read patient, and must not keep the whole.
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let come = stream.fill_buf()?;
        if come.is_empty() {
            break;
        }
        let end = memchr::memchr(b'\n', come).map_or(come.len(), |at| at + 1);
        line.extend_from_slice(&come[..end]);
        stream.consume(end);
    }
    Ok(line)
}
