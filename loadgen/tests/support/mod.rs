//! A small sink for the tests: it takes mail over SMTP and shows it over HTTP, and does wrong what
//! it is told to do wrong. And the generator, run against it.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the sink does with one message that it acknowledges, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Forgets it.
    Lose(u64),
    /// Forgets it, says that it is gone, and has no rule that says why.
    Vanish(u64),
    /// Removes it, says that it is gone, and counts it.
    Evict(u64),
    /// Keeps it twice.
    Double(u64),
    /// Changes one byte of it.
    Corrupt(u64),
    /// Keeps all of it but the last line.
    Shorten(u64),
    /// Says no.
    Refuse(u64),
    /// Keeps everybody waiting for so long, before it answers.
    Stall(u64, Duration),
    /// Offers neither PIPELINING nor CHUNKING.
    OfferNothing,
    Nothing,
}

#[derive(Default)]
struct Mailbox {
    messages: Vec<(String, Vec<u8>)>,
    gone: Vec<String>,
    evicted: u64,
}

#[derive(Default)]
struct State {
    taken: u64,
    mailboxes: HashMap<String, Mailbox>,
    /// Who came to bring mail.
    sources: BTreeSet<IpAddr>,
    /// The last verbs of conversations that were cut off.
    cut_off_at: BTreeSet<String>,
}

/// A sink, listening for as long as the test runs.
pub(crate) struct Sink {
    pub(crate) smtp: SocketAddr,
    pub(crate) http: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Sink {
    pub(crate) fn start(wrong: Wrong) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let serve = |service: fn(TcpStream, &Mutex<State>, Wrong) -> Option<()>| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let state = Arc::clone(&state);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let (stream, state) = (stream.unwrap(), Arc::clone(&state));
                    thread::spawn(move || service(stream, &state, wrong));
                }
            });
            address
        };
        let (smtp, http) = (serve(mail), serve(web));
        Self { smtp, http, state }
    }

    pub(crate) fn taken(&self) -> u64 {
        self.state.lock().unwrap().taken
    }

    /// Who came to bring mail.
    pub(crate) fn sources(&self) -> BTreeSet<IpAddr> {
        self.state.lock().unwrap().sources.clone()
    }

    /// The last verbs of the conversations that ended without QUIT; nothing if there was none.
    pub(crate) fn cut_off_at(&self) -> BTreeSet<String> {
        self.state.lock().unwrap().cut_off_at.clone()
    }

    /// Starts the generator against this sink, with --json.
    pub(crate) fn spawn(&self, flags: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(["--smtp", &self.smtp.to_string(), "--json"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs the generator against this sink, with --json; its exit status and what it reported.
    pub(crate) fn flood(&self, flags: &[&str]) -> (i32, serde_json::Value, String) {
        let (smtp, http) = (self.smtp.to_string(), self.http.to_string());
        let flags = [&["--smtp", &smtp, "--http", &http, "--json"], flags].concat();
        let (status, out, err) = loadgen(&flags);
        (status, serde_json::from_str(&out).unwrap_or_default(), err)
    }
}

/// Runs the generator: its exit status, and what it wrote.
pub(crate) fn loadgen(flags: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// One SMTP conversation; ends with the connection.
fn mail(stream: TcpStream, state: &Mutex<State>, wrong: Wrong) -> Option<()> {
    if let Ok(peer) = stream.peer_addr() {
        state.lock().unwrap().sources.insert(peer.ip());
    }
    let mut verb = String::new();
    converse(stream, state, wrong, &mut verb);
    if verb != "QUIT" {
        state.lock().unwrap().cut_off_at.insert(verb);
    }
    None
}

fn converse(
    stream: TcpStream,
    state: &Mutex<State>,
    wrong: Wrong,
    verb: &mut String,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut output = stream.try_clone().ok()?;
    let mut input = BufReader::new(stream);
    let mut recipients = Vec::new();
    output.write_all(b"220 sink\r\n").ok()?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        *verb = line.split([' ', '\r']).next()?.to_owned();
        let reply = match verb.as_str() {
            "EHLO" if wrong == Wrong::OfferNothing => "250 sink\r\n".to_owned(),
            "EHLO" => "250-sink\r\n250-PIPELINING\r\n250 CHUNKING\r\n".to_owned(),
            "MAIL" => "250 sender\r\n".to_owned(),
            "RCPT" => {
                let path = line.split_once('<')?.1;
                recipients.push(path.split_once('@')?.0.to_owned());
                "250 recipient\r\n".to_owned()
            }
            "DATA" => {
                output.write_all(b"354 go on\r\n").ok()?;
                let message = data(&mut input)?;
                keep(state, &std::mem::take(&mut recipients), &message, wrong)
            }
            "BDAT" => {
                let mut message = vec![0; line.split(' ').nth(1)?.parse().ok()?];
                input.read_exact(&mut message).ok()?;
                keep(state, &std::mem::take(&mut recipients), &message, wrong)
            }
            "STARTTLS" => "220 go on\r\n".to_owned(),
            "QUIT" => {
                output.write_all(b"221 bye\r\n").ok()?;
                return None;
            }
            _ => "500 what?\r\n".to_owned(),
        };
        output.write_all(reply.as_bytes()).ok()?;
    }
}

fn data(input: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(message);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

fn keep(state: &Mutex<State>, recipients: &[String], message: &[u8], wrong: Wrong) -> String {
    let mut state = state.lock().unwrap();
    let number = state.taken;
    if wrong == Wrong::Refuse(number) {
        // Once is enough; the numbers go on.
        state.taken += 1;
        return "452 full\r\n".to_owned();
    }
    if let Wrong::Stall(at, time) = wrong
        && at == number
    {
        // With the lock held: everybody waits.
        thread::sleep(time);
    }
    state.taken += 1;
    for (place, recipient) in recipients.iter().enumerate() {
        let mailbox = state.mailboxes.entry(recipient.clone()).or_default();
        let id = format!("{number}-{place}");
        let mut kept = message.to_vec();
        match wrong {
            Wrong::Lose(at) if at == number => continue,
            Wrong::Vanish(at) if at == number => {
                mailbox.gone.push(id);
                continue;
            }
            Wrong::Evict(at) if at == number => {
                mailbox.gone.push(id);
                mailbox.evicted += 1;
                continue;
            }
            Wrong::Double(at) if at == number => {
                mailbox.messages.push((format!("{id}-again"), kept.clone()));
            }
            Wrong::Corrupt(at) if at == number => kept[200] ^= 1,
            Wrong::Shorten(at) if at == number => kept.truncate(kept.len() - 66),
            _ => {}
        }
        mailbox.messages.push((id, kept));
    }
    format!("250 stored as {number}-0\r\n")
}

/// One kept HTTP connection.
fn web(stream: TcpStream, state: &Mutex<State>, _wrong: Wrong) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut output = stream.try_clone().ok()?;
    let mut input = BufReader::new(stream);
    loop {
        let mut path = String::new();
        loop {
            let mut line = String::new();
            if input.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1)?.to_owned();
            }
            if line == "\r\n" {
                break;
            }
        }
        let (status, fields, body) = answer(&path, &state.lock().unwrap());
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
        output.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    }
}

fn answer(path: &str, state: &State) -> (u16, String, Vec<u8>) {
    let nothing = || (404, String::new(), Vec::new());
    let path = path.split('?').next().unwrap();
    let Some(rest) = path.strip_prefix("/api/v1/mailbox/") else { return nothing() };
    let mut parts = rest.split('/');
    let empty = Mailbox::default();
    let mailbox = state.mailboxes.get(parts.next().unwrap()).unwrap_or(&empty);
    let Some(id) = parts.next() else {
        let ids: Vec<String> =
            mailbox.messages.iter().map(|(id, _)| format!("{{\"id\":\"{id}\"}}")).collect();
        let fields = format!(
            "Mailfly-Messages: {}\r\nMailfly-Lost: full={}, memory=0, expired=0, deleted=0\r\n",
            ids.len(),
            mailbox.evicted
        );
        return (200, fields, format!("[{}]", ids.join(",")).into_bytes());
    };
    let found = match id {
        "latest" => mailbox.messages.last(),
        _ => mailbox.messages.iter().find(|(known, _)| known == id),
    };
    match found {
        Some((_, message)) => {
            (200, String::new(), [b"Received: by sink\r\n", &message[..]].concat())
        }
        None if mailbox.gone.iter().any(|gone| gone == id) => (410, String::new(), Vec::new()),
        None => nothing(),
    }
}
