//! What tests over real sockets share: the running program, and a client that speaks as it is told.
//! Not here: what is asserted.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Longer than anything on loopback takes: what waits for so long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, running with ports of its own. It is killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    /// Where it takes mail.
    pub(crate) smtp: SocketAddr,
    /// Where it shows mail.
    pub(crate) http: SocketAddr,
}

impl Daemon {
    /// Starts the program and waits until it says where it listens.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mailfly"))
            .args(["--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(flags)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = |service: &str| {
            let line = lines.next().expect("it says where it listens").unwrap();
            let address = line.strip_prefix(&format!("{service} listening on "));
            address.unwrap_or_else(|| panic!("{line}")).parse().unwrap()
        };
        let (smtp, http) = (address("smtp"), address("http"));
        Self { child, smtp, http }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the program a signal, as `kill` names it.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// Waits for the program's end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = self.proc_status();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// How many threads it has.
    pub(crate) fn tasks(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().count()
    }

    fn proc_status(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client's connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects without waiting for a banner.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Connects, reads the banner and says EHLO.
    pub(crate) fn introduced(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.expect("220");
        client.send(b"EHLO client.example\r\n");
        client.expect("250");
        client
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends as far as the server still takes it.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one reply, of however many lines, and returns its last.
    pub(crate) fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Reads one reply, which must begin with this.
    #[track_caller]
    pub(crate) fn expect(&mut self, code: &str) -> String {
        let reply = self.reply();
        assert!(reply.starts_with(code), "wanted {code}, got {reply:?}");
        reply
    }

    /// Everything that comes until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset ends it as well.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }

    /// Delivers one message in as few writes as pipelining allows; returns its id.
    #[track_caller]
    pub(crate) fn deliver(&mut self, recipient: &str, body: &[u8]) -> String {
        let envelope = format!(
            "MAIL FROM:<sender@example.org>\r\nRCPT TO:<{recipient}>\r\nBDAT {} LAST\r\n",
            body.len()
        );
        self.send(&[envelope.as_bytes(), body].concat());
        self.expect("250");
        self.expect("250");
        let reply = self.expect("250");
        reply.rsplit(' ').next().unwrap_or_default().to_owned()
    }
}

/// One request over a connection of its own: status, head, and body.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String, Vec<u8>) {
    let mut client = Client::connect(address);
    client.send(
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    );
    let answer = client.rest();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

/// A message of exactly `bytes` bytes, which depends on `number`.
pub(crate) fn message(number: usize, bytes: usize) -> Vec<u8> {
    let mut text = format!("Subject: message {number}\r\n\r\n").into_bytes();
    let line = b"The quick brown fox jumps over the lazy dog and is not seen again.\r\n";
    while text.len() < bytes {
        text.extend_from_slice(line);
    }
    text.truncate(bytes);
    text
}
