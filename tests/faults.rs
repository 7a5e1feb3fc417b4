//! A kernel that fails: strace makes the n-th system call of a conversation return an error, for every
//! n and every error that the call can give. Whatever fails, the server does not panic, does not hang,
//! keeps no half message and no slot, and serves the next peer.
//!
//! ```text
//! recorded   accept4 #1, epoll_ctl #4, sendto #1, epoll_wait #2, recvfrom #1 ...     one run without faults
//! pairs      accept4 #1 × EMFILE, accept4 #1 × ECONNABORTED ... recvfrom #1 × ECONNRESET ...
//! each       start; the conversation, as far as it gets; a peer after it; what is kept; SIGTERM
//! ```
//!
//! Some of the pairs, evenly spread, in a plain run; all of them, in some minutes, with
//! MAILFLY_FAULTS=all. Needs strace and leave to use ptrace, and fails without; with
//! MAILFLY_WITHOUT_STRACE in the environment it says that it was skipped instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use support::strace::{self, Call};
use support::tls;
use support::{Browser, Daemon, PATIENCE, PROGRAM, message};

/// How many pairs a plain run tries.
const SAMPLE: usize = 36;
/// How many run at once: each waits for its own strace most of the time.
const AT_ONCE: usize = 4;
/// A peer that comes after the fault may have to come again: the fault may be its own.
const ATTEMPTS: usize = 3;

/// What each call can say when it fails, as its manual has it and as far as a server can meet it.
/// EAGAIN is not among them: the kernel says that only when it is so, and an edge comes later.
const ERRORS: &[(&str, &[&str])] = &[
    (
        "accept4",
        &[
            "ECONNABORTED",
            "EMFILE",
            "ENFILE",
            "ENOBUFS",
            "ENOMEM",
            "EPROTO",
            "EPERM",
            "EINTR",
            "ENETDOWN",
            "EHOSTUNREACH",
        ],
    ),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("epoll_wait", &["EINTR"]),
    ("recvfrom", &["ECONNRESET", "ETIMEDOUT", "ECONNREFUSED", "EHOSTUNREACH", "ENOMEM", "EINTR"]),
    ("sendto", &["ECONNRESET", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH", "ENOBUFS", "ENOMEM", "EINTR"]),
    ("writev", &["ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOBUFS", "ENOMEM", "EINTR"]),
    ("sendmsg", &["ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOBUFS", "ENOMEM", "EINTR"]),
    ("shutdown", &["ENOTCONN"]),
    ("close", &["EIO", "EINTR"]),
];
/// Reading the clock, where that is a call at all, does not fail, nor does asking for a few random
/// bytes.
const NEVER_FAIL: &[&str] = &["clock_gettime", "getrandom"];

const MAILBOX: &str = "victim";
const MEMORY: &[&str] = &["--memory", "4MiB", "--connections", "8"];

/// The n-th call of this name since the program began, and what it says.
#[derive(Clone, Debug)]
struct Fault {
    call: String,
    nth: usize,
    error: &'static str,
}

#[test]
fn whichever_system_call_fails_mail_is_whole_and_the_next_peer_is_served() {
    let Some(strace) = strace::usable("faults") else { return };
    let all = faults(&recorded(Command::new(&strace)));
    let every = std::env::var("MAILFLY_FAULTS").is_ok_and(|value| value == "all");
    let chosen: Vec<Fault> = match every {
        true => all.clone(),
        // From the middle of as many equal parts.
        false => (0..SAMPLE.min(all.len()))
            .map(|at| all[(2 * at + 1) * all.len() / (2 * SAMPLE.min(all.len()))].clone())
            .collect(),
    };
    let next = AtomicUsize::new(0);
    let failures: Vec<String> = thread::scope(|scope| {
        let worker = || {
            let mut failures = vec![];
            while let Some(fault) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                let tried = std::panic::catch_unwind(|| attempt(Command::new(&strace), fault));
                if let Err(why) = tried {
                    let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
                    failures.push(format!("{fault:?}: {why}"));
                }
            }
            failures
        };
        let handles: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    let _ = writeln!(io::stderr(), "{} of {} faults tried", chosen.len(), all.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The conversation's calls, each with how many of its name the program had made with it.
fn recorded(mut strace: Command) -> Vec<(String, usize)> {
    strace.args(["-D", "-q", "-s", "200", "--", PROGRAM]).stderr(Stdio::piped());
    let mut daemon = Daemon::run(&mut strace, MEMORY);
    let mut stderr = daemon.stderr().unwrap();
    let trace = thread::spawn(move || {
        let mut trace = String::new();
        stderr.read_to_string(&mut trace).unwrap();
        trace
    });
    let said = converse(daemon.smtp, daemon.http);
    assert!(said.is_all(), "nothing fails of itself");
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let trace = trace.join().unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut calls = vec![];
    let mut listening = false;
    for line in trace.lines() {
        // The program was told to end: what follows is no conversation's.
        if line.starts_with("--- SIGTERM") {
            break;
        }
        let Some(call) = Call::parse(line) else { continue };
        let count = counts.entry(call.name.clone()).or_default();
        *count += 1;
        if listening {
            calls.push((call.name, *count));
        }
        listening |= line.contains("http listening on");
    }
    assert!(calls.len() > 20, "the conversation was seen: {trace}");
    calls
}

fn faults(calls: &[(String, usize)]) -> Vec<Fault> {
    let mut faults = vec![];
    for (call, nth) in calls.iter().filter(|(call, _)| !NEVER_FAIL.contains(&call.as_str())) {
        let known = ERRORS.iter().find(|(name, _)| name == call);
        let (_, errors) = known.unwrap_or_else(|| panic!("how can {call} fail?"));
        for error in *errors {
            faults.push(Fault { call: call.clone(), nth: *nth, error });
        }
    }
    faults
}

/// One server, one fault, and what has to be so afterwards.
fn attempt(mut strace: Command, fault: &Fault) {
    let Fault { call, nth, error } = fault;
    strace
        .args(["-D", "-q", "-o", "/dev/null", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:error={error}:when={nth}"), "--", PROGRAM])
        .stderr(Stdio::piped());
    let mut daemon = Daemon::run(&mut strace, MEMORY);
    let mut stderr = daemon.stderr().unwrap();
    let said = converse(daemon.smtp, daemon.http);

    let probe = (0..ATTEMPTS).map(|_| converse(daemon.smtp, daemon.http));
    let probe = probe.into_iter().find(Said::is_all);
    assert!(probe.is_some(), "nobody is served afterwards");

    let mut browser = Browser::connect(daemon.http);
    let ids = browser.ids(MAILBOX);
    for id in said.stored.iter().chain(&probe.unwrap().stored) {
        assert!(ids.contains(id), "{id} was acknowledged");
    }
    for id in &ids {
        let sent = browser.source(MAILBOX, id).sent;
        assert!(messages().contains(&sent), "{id} is whole");
    }
    // The server may have more to hear of a peer that has gone.
    let is_settled = || {
        let mut browser = Browser::connect(daemon.http);
        browser.metric("mailfly_connections_open{service=\"smtp\"}") == 0
            && browser.metric("mailfly_connections_open{service=\"tls\"}") == 0
            && browser.metric("mailfly_store_arenas{owner=\"drafts\"}") == 0
    };
    let patience = std::time::Instant::now();
    while !is_settled() {
        assert!(patience.elapsed() < PATIENCE, "a slot or a draft is left");
    }
    drop(browser);
    daemon.signal("TERM");
    assert!(daemon.wait().success(), "it ends as it is told");
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert!(!said.contains("panicked"), "{said}");
}

fn messages() -> [Vec<u8>; 3] {
    let mut short = message(1, 1000);
    short.extend_from_slice(b"\r\n");
    [short, message(2, 20_000), message(3, 20_000)]
}

/// What a conversation came to.
#[derive(Default)]
struct Said {
    /// The ids of the messages that were acknowledged.
    stored: Vec<String>,
    /// Whole responses of HTTP.
    responses: usize,
}

impl Said {
    fn is_all(&self) -> bool {
        (self.stored.len(), self.responses) == (3, 2)
    }
}

/// A message by DATA in lockstep, one by BDAT at once, one through TLS from STARTTLS on, and two requests
/// over a kept connection; each peer as far as it gets.
fn converse(smtp: SocketAddr, http: SocketAddr) -> Said {
    let mut said = Said::default();
    let _ = send_mail(smtp, &mut said);
    let _ = send_sealed_mail(smtp, &mut said);
    let _ = read_mail(http, &mut said);
    said
}

fn send_mail(address: SocketAddr, said: &mut Said) -> io::Result<()> {
    let mut client = Tolerant::connect(address)?;
    let [short, long, _] = messages();
    let rcpt = format!("RCPT TO:<{MAILBOX}@example.com>\r\n");
    client.expect("220")?;
    client.ask(b"EHLO client.example\r\n", "250")?;
    client.ask(b"MAIL FROM:<a@example.org>\r\n", "250")?;
    client.ask(rcpt.as_bytes(), "250")?;
    client.ask(b"DATA\r\n", "354")?;
    let stored = client.ask(&[&short[..], b".\r\n"].concat(), "250")?;
    said.stored.push(stored);
    let chunk = format!("MAIL FROM:<a@example.org>\r\n{rcpt}BDAT {} LAST\r\n", long.len());
    client.ask(&[chunk.as_bytes(), &long].concat(), "250")?;
    client.expect("250")?;
    said.stored.push(client.expect("250")?);
    client.ask(b"QUIT\r\n", "221")?;
    client.end()
}

fn send_sealed_mail(address: SocketAddr, said: &mut Said) -> io::Result<()> {
    let mut client = Tolerant::connect(address)?;
    client.expect("220")?;
    client.ask(b"EHLO client.example\r\n", "250")?;
    client.ask(b"STARTTLS\r\n", "220")?;
    let stream = tls::shake_hands(client.stream.into_inner())?;
    let mut client = Tolerant { stream: BufReader::new(stream) };
    client.ask(b"EHLO client.example\r\n", "250")?;
    client.ask(b"MAIL FROM:<a@example.org>\r\n", "250")?;
    client.ask(format!("RCPT TO:<{MAILBOX}@example.com>\r\n").as_bytes(), "250")?;
    let [.., sealed] = messages();
    let chunk = format!("BDAT {} LAST\r\n", sealed.len());
    said.stored.push(client.ask(&[chunk.as_bytes(), &sealed].concat(), "250")?);
    client.ask(b"QUIT\r\n", "221")?;
    client.end()
}

fn read_mail(address: SocketAddr, said: &mut Said) -> io::Result<()> {
    let mut client = Tolerant::connect(address)?;
    for path in [format!("/api/v1/mailbox/{MAILBOX}"), "/api/v1/status".to_owned()] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.stream.get_mut().write_all(request.as_bytes())?;
        client.response()?;
        said.responses += 1;
    }
    Ok(())
}

/// A client to whom anything may happen but waiting for ever.
struct Tolerant<S> {
    stream: BufReader<S>,
}

impl Tolerant<TcpStream> {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }
}

impl<S: Read + Write> Tolerant<S> {
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("it hangs"),
            read => read.map(|_| line.trim_end().to_owned()),
        }
    }

    /// The last word of a reply that begins like this.
    fn expect(&mut self, code: &str) -> io::Result<String> {
        let mut line = self.line()?;
        while line.as_bytes().get(3) == Some(&b'-') {
            line = self.line()?;
        }
        assert!(line.starts_with(code), "wanted {code}, got {line:?}");
        Ok(line.rsplit(' ').next().unwrap_or_default().to_owned())
    }

    fn ask(&mut self, bytes: &[u8], code: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(bytes)?;
        self.expect(code)
    }

    fn response(&mut self) -> io::Result<()> {
        let mut length = 0;
        loop {
            let line = self.line()?.to_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().expect("a length");
            }
            if line.is_empty() {
                break;
            }
        }
        self.stream.read_exact(&mut vec![0; length])
    }

    fn end(&mut self) -> io::Result<()> {
        self.stream.read_to_end(&mut vec![]).map(drop)
    }
}
