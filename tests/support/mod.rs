//! What tests over real sockets share: the running program, and a client that speaks as it is told.
//! Not here: what is asserted.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]

pub(crate) mod strace;
pub(crate) mod tls;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tls::TlsStream;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mailfly");
/// Longer than anything on loopback takes: what waits for so long hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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
        Self::run(&mut Command::new(PROGRAM), flags)
    }

    /// Starts the program by this command, which becomes the program.
    pub(crate) fn run(command: &mut Command, flags: &[&str]) -> Self {
        let mut child = command
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

    /// What it writes to its standard error, if that was to be a pipe.
    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
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
pub(crate) struct Client<S = TcpStream> {
    stream: BufReader<S>,
}

impl Client {
    /// Connects without waiting for a banner.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        Self::of(stream)
    }

    /// Connects from an address of its own, any of 127.0.0.0/8.
    pub(crate) fn from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::of(socket.into())
    }

    /// Connects with as little room as the kernel allows for what the server sends: segments as
    /// small as over a network, so that the server's side does not keep megabytes either.
    pub(crate) fn narrow(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_tcp_mss(536).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::of(socket.into())
    }

    /// The same connection once more, for a thread that only writes.
    pub(crate) fn twin(&self) -> Self {
        Self { stream: BufReader::new(self.stream.get_ref().try_clone().unwrap()) }
    }

    fn of(stream: TcpStream) -> Self {
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

    /// The same, with TLS from STARTTLS on.
    pub(crate) fn encrypted(address: SocketAddr) -> Client<TlsStream> {
        let mut client = Self::introduced(address);
        client.send(b"STARTTLS\r\n");
        client.expect("220");
        let stream = tls::shake_hands(client.stream.into_inner()).unwrap();
        let mut client = Client { stream: BufReader::new(stream) };
        client.send(b"EHLO client.example\r\n");
        client.expect("250");
        client
    }

    /// Whether nothing has come that was not read yet, not even the end.
    pub(crate) fn is_quiet(&mut self) -> bool {
        if !self.stream.buffer().is_empty() {
            return false;
        }
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).unwrap();
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end(&mut self) {
        // The server may have closed already.
        let _ = self.stream.get_ref().shutdown(std::net::Shutdown::Write);
    }
}

impl<S: Read + Write> Client<S> {
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

    /// Waits until more has come, and gives as much of it as there is; nothing at the end.
    pub(crate) fn some(&mut self) -> Vec<u8> {
        // A reset ends it as well.
        let some = self.stream.fill_buf().unwrap_or_default().to_vec();
        self.stream.consume(some.len());
        some
    }

    /// Reads a head, to its blank line.
    pub(crate) fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut head).unwrap();
            assert!(read > 0, "the server closed: {head:?}");
        }
        head
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

/// A client of the API that keeps its connection.
pub(crate) struct Browser {
    client: Client,
}

/// A response, read whole.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Browser {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(Client::connect(address))
    }

    pub(crate) fn over(client: Client) -> Self {
        Self { client }
    }

    /// Asks without waiting for the answer.
    pub(crate) fn ask(&mut self, method: &str, path: &str) {
        self.client.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    }

    /// Reads the answer to what was asked.
    pub(crate) fn answer(&mut self) -> Response {
        let head = self.client.head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response { status, head, body: vec![] };
        response.body.resize(response.field("Content-Length").parse().unwrap(), 0);
        self.client.stream.read_exact(&mut response.body).unwrap();
        response
    }

    pub(crate) fn request(&mut self, method: &str, path: &str) -> Response {
        self.ask(method, path);
        self.answer()
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.request("GET", path)
    }

    /// The ids of the messages in a mailbox, oldest first.
    #[track_caller]
    pub(crate) fn ids(&mut self, mailbox: &str) -> Vec<String> {
        let list = self.get(&format!("/api/v1/mailbox/{mailbox}"));
        assert_eq!(list.status, 200);
        let list: Vec<serde_json::Value> = serde_json::from_slice(&list.body).unwrap();
        list.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    }

    /// A message's source.
    #[track_caller]
    pub(crate) fn source(&mut self, mailbox: &str, id: &str) -> Source {
        let source = self.get(&format!("/api/v1/mailbox/{mailbox}/{id}/source"));
        assert_eq!(source.status, 200);
        Source::parse(&source.body)
    }

    /// The value of a metric, labels and all: `mailfly_store_lost_total{cause="deleted"}`.
    #[track_caller]
    pub(crate) fn metric(&mut self, name: &str) -> u64 {
        let metrics = String::from_utf8(self.get("/metrics").body).unwrap();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
    }
}

impl Response {
    /// The value of a header field.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let field = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }
}

/// A message's source, taken apart: what was put before it, and what was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) return_path: String,
    pub(crate) delivered_to: Vec<String>,
    pub(crate) sent: Vec<u8>,
}

impl Source {
    #[track_caller]
    fn parse(source: &[u8]) -> Self {
        let mut rest = source;
        let mut line = || {
            let end = rest.windows(2).position(|end| end == b"\r\n").expect("a line of trace");
            let line = str::from_utf8(&rest[..end]).unwrap().to_owned();
            rest = &rest[end + 2..];
            line
        };
        let first = line();
        let path = first.strip_prefix("Return-Path: <").and_then(|path| path.strip_suffix('>'));
        let return_path = path.unwrap_or_else(|| panic!("{first}")).to_owned();
        let mut delivered_to = vec![];
        let mut received = loop {
            let line = line();
            match line.strip_prefix("Delivered-To: ") {
                Some(path) => delivered_to.push(path.to_owned()),
                None => break line,
            }
        };
        assert!(received.starts_with("Received: from "), "{received}");
        // A semicolon ends all of it but the date.
        while !received.ends_with(';') {
            received = line();
            assert!(received.starts_with('\t'), "{received}");
        }
        assert!(line().starts_with('\t'));
        Self { return_path, delivered_to, sent: rest.to_vec() }
    }
}

/// Says, past the harness that keeps what passing tests print, that a test did not do all of its work.
pub(crate) fn skipped(test: &str, why: &str) {
    let _ = writeln!(io::stderr(), "{test} ... skipped {why}");
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
