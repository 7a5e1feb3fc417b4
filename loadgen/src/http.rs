//! As much of an HTTP/1.1 client as reading mail back takes: GET over one kept connection, several
//! requests at once. Blocking, since by then the flood is over.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::limits::{
    HTTP_BODY_BYTES_MAX, HTTP_FIELDS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_TRIES_MAX, REQUESTS_AT_ONCE,
};

/// A request for this path, which is plain.
pub(crate) fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// The head of a response.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Its own length.
    pub(crate) bytes: usize,
    pub(crate) body_bytes: usize,
    /// What mailfly says that a mailbox holds, and has lost.
    pub(crate) messages: Option<u64>,
    pub(crate) lost: Option<u64>,
    closes: bool,
}

/// Reads a head, if it has come whole.
///
/// # Errors
/// It is none, is too long, or does not say how long its body is.
pub(crate) fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; HTTP_FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    let httparse::Status::Complete(length) = parsed else {
        if bytes.len() > HTTP_HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        return Ok(None);
    };
    let mut head = Head { status: response.code.unwrap_or(0), bytes: length, ..Head::default() };
    let mut said_length = false;
    for field in &*response.headers {
        let value = std::str::from_utf8(field.value).unwrap_or_default().trim();
        if field.name.eq_ignore_ascii_case("content-length") {
            head.body_bytes = value.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            said_length = true;
        } else if field.name.eq_ignore_ascii_case("connection") {
            head.closes = value.eq_ignore_ascii_case("close");
        } else if field.name.eq_ignore_ascii_case("mailfly-messages") {
            head.messages = value.parse().ok();
        } else if field.name.eq_ignore_ascii_case("mailfly-lost") {
            head.lost = sum_of_lost(value);
        }
    }
    if !said_length || head.body_bytes > HTTP_BODY_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some(head))
}

/// The sum of `full=2, memory=0, expired=1, deleted=0`.
fn sum_of_lost(value: &str) -> Option<u64> {
    value.split(',').map(|part| part.split_once('=')?.1.trim().parse::<u64>().ok()).sum()
}

/// One connection to a server, opened again when it has to be.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    patience: Duration,
    /// Nothing is asked after this, however often something comes.
    deadline: Instant,
    stream: Option<TcpStream>,
    /// What has come and was not looked at.
    input: Vec<u8>,
    chunk: Box<[u8]>,
}

impl Client {
    /// A client that waits so long for each answer, and gives up altogether at `deadline`.
    pub(crate) fn new(address: SocketAddr, patience: Duration, deadline: Instant) -> Self {
        let chunk = vec![0; 64 * 1024].into_boxed_slice();
        Self { address, patience, deadline, stream: None, input: Vec::new(), chunk }
    }

    /// Asks for each path, in order, and hands each answer on. What is answered 503 is asked again.
    ///
    /// # Errors
    /// The server cannot be reached, does not answer, or answers something else than HTTP.
    pub(crate) fn fetch(
        &mut self,
        paths: &[String],
        mut answered: impl FnMut(usize, &Head, &[u8]),
    ) -> io::Result<()> {
        let mut done = 0;
        let mut tries = 0;
        while done < paths.len() {
            let until = paths.len().min(done + REQUESTS_AT_ONCE);
            let before = done;
            let result = self.fetch_some(&paths[done..until], |head, body| {
                answered(done, head, body);
                done += 1;
            });
            if done > before {
                tries = 0;
            }
            match result {
                Ok(()) => {}
                Err(error) => {
                    self.stream = None;
                    tries += 1;
                    if tries >= HTTP_TRIES_MAX || Instant::now() > self.deadline {
                        return Err(error);
                    }
                    // Full at the moment, or a kept connection that was closed.
                    std::thread::sleep(Duration::from_millis(20) * tries * tries);
                }
            }
        }
        Ok(())
    }

    fn fetch_some(
        &mut self,
        paths: &[String],
        mut answered: impl FnMut(&Head, &[u8]),
    ) -> io::Result<()> {
        let requests: Vec<u8> = paths.iter().flat_map(|path| request(path)).collect();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        stream.write_all(&requests)?;
        for _ in paths {
            let head = loop {
                if let Some(head) = head(&self.input)? {
                    break head;
                }
                self.more(&mut stream)?;
            };
            let end = head.bytes + head.body_bytes;
            while self.input.len() < end {
                self.more(&mut stream)?;
            }
            if head.status == 503 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            answered(&head, &self.input[head.bytes..end]);
            self.input.drain(..end);
            if head.closes {
                return Ok(());
            }
        }
        self.stream = Some(stream);
        Ok(())
    }

    fn connect(&mut self) -> io::Result<TcpStream> {
        self.input.clear();
        let stream = TcpStream::connect_timeout(&self.address, self.patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        Ok(stream)
    }

    fn more(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        if Instant::now() > self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match stream.read(&mut self.chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.input.extend_from_slice(&self.chunk[..length]);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_at_every_cut() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nMailfly-Messages: 9\r\n\
                     Mailfly-Lost: full=2, memory=1, expired=0, deleted=4\r\n\r\n[]";
        for cut in 0..text.len() - 2 {
            assert!(head(&text[..cut]).unwrap().is_none(), "{cut}");
        }
        let head = head(text).unwrap().unwrap();
        assert_eq!((head.status, head.body_bytes, head.bytes), (200, 2, text.len() - 2));
        assert_eq!((head.messages, head.lost), (Some(9), Some(7)));
    }

    #[test]
    fn a_body_without_a_length_is_refused() {
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").is_err());
        assert!(head(b"220 smtp\r\n\r\n").is_err());
    }
}
