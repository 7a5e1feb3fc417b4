//! The reactor, driven over loopback by a protocol that is not SMTP: an echo, with a few letters
//! that make it do what protocols do. Each test is a law of the reactor.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mailfly::clock::{Clock, Now};
use mailfly::limits::{
    BYTES_PER_VISIT, LINGER_BYTES_MAX, OUTPUT_BYTES, READ_BUFFER_BYTES, REVISITS_PER_TURN,
};
use mailfly::net::{Admission, Bound, ListenerId, Protocol, Reactor, Refused, Sizes, timers};
use mailfly::output::Output;
use mailfly::progress::{Progress, Then};
use mio::Waker;

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(30);

const BANNER: &[u8] = b"echo\n";
const FAREWELL: &[u8] = b"too long\n";
const CLOSING: &[u8] = b"closing\n";
const FULL: &[u8] = b"full\n";

/// Echoes what it gets, in whole lines only if it is told so. In whole lines, `#N` asks for `N`
/// bytes that the protocol holds itself, and `!N` for the same and the end; a line that begins with
/// `~` takes long, so that a turn does one of them, whoever sent it, when as many as `long_talkers`
/// have sent one. Otherwise `!` is echoed and closes, whatever comes after it.
#[derive(Debug)]
struct Echo {
    whole_lines: bool,
    idle_ms: u64,
    welcome: usize,
    connected: usize,
    disconnected: usize,
    most: usize,
    ticks: usize,
    draining: bool,
    long_talkers: usize,
    /// Who had a long line done, in that order.
    long_lines: Vec<usize>,
    long_lines_in_turn: usize,
    /// What was said and has not been told to be sent: it is timed if it has the letter `*`.
    timed_unsent: usize,
    timed_sent: usize,
    turns: Vec<(usize, u64)>,
    turn_ns: u64,
}

#[derive(Debug, Default)]
struct Talk {
    held: Vec<u8>,
    held_sent: usize,
    mid_line: bool,
    /// Its number among all, once it has sent something that takes long.
    long_talker: Option<usize>,
}

impl Echo {
    fn new() -> Self {
        Self {
            whole_lines: false,
            idle_ms: timers::NEVER,
            welcome: usize::MAX,
            connected: 0,
            disconnected: 0,
            most: 0,
            ticks: 0,
            draining: false,
            long_talkers: 0,
            long_lines: vec![],
            long_lines_in_turn: 0,
            timed_unsent: 0,
            timed_sent: 0,
            turns: vec![],
            turn_ns: 0,
        }
    }

    fn in_whole_lines() -> Self {
        Self { whole_lines: true, ..Self::new() }
    }
}

impl Protocol for Echo {
    type Connection = Talk;

    fn connected(
        &mut self,
        _: ListenerId,
        _: SocketAddr,
        _: Now,
        output: &mut Output,
    ) -> Admission<Talk> {
        if self.connected == self.welcome {
            output.push(FULL).unwrap();
            return Admission::Refuse(Refused::Unwanted);
        }
        self.connected += 1;
        self.most = self.most.max(self.connected - self.disconnected);
        output.push(BANNER).unwrap();
        Admission::Accept(Talk::default())
    }

    fn received(&mut self, talk: &mut Talk, input: &[u8], _: Now, output: &mut Output) -> Progress {
        assert_eq!(self.timed_unsent, 0, "what was sent is told before anything else is said");
        assert!(!input.is_empty() && output.is_empty() && talk.held_sent == talk.held.len());
        if !self.whole_lines {
            let wanted =
                input.iter().position(|&byte| byte == b'!').map_or(input.len(), |at| at + 1);
            let consumed = wanted.min(output.room());
            output.push(&input[..consumed]).unwrap();
            self.timed_unsent += input[..consumed].iter().filter(|&&byte| byte == b'*').count();
            let then = match input[consumed - 1] {
                b'!' => Then::Close,
                _ if consumed < input.len() => Then::Flush,
                _ => Then::Continue,
            };
            return Progress { consumed, then };
        }
        let mut consumed = 0;
        while let Some(end) = input[consumed..].iter().position(|&byte| byte == b'\n') {
            let line = &input[consumed..=consumed + end];
            let takes_long = line.starts_with(b"~");
            if output.push(line).is_err() {
                return Progress { consumed, then: Then::Flush };
            }
            consumed += line.len();
            if takes_long {
                let newest = self.long_lines.iter().max().map_or(0, |newest| newest + 1);
                self.long_lines.push(*talk.long_talker.get_or_insert(newest));
                self.long_lines_in_turn += 1;
                return Progress { consumed, then: Then::Yield };
            }
            if let [letter @ (b'#' | b'!'), bytes @ ..] = line {
                let bytes = std::str::from_utf8(bytes).unwrap().trim().parse().unwrap();
                (talk.held, talk.held_sent) = (pattern(bytes), 0);
                let then = if *letter == b'!' { Then::Close } else { Then::Flush };
                return Progress { consumed, then };
            }
        }
        talk.mid_line = consumed < input.len();
        let then = if self.draining && consumed > 0 { Then::Close } else { Then::Continue };
        Progress { consumed, then }
    }

    fn deadline_ms(&self, _: &Talk, moved_ms: u64) -> u64 {
        moved_ms.saturating_add(self.idle_ms)
    }

    fn expired(&mut self, _: &mut Talk, _: Now, output: &mut Output) -> Then {
        output.push(FAREWELL).unwrap();
        Then::Close
    }

    fn disconnected(&mut self, _: Talk, _: Now) {
        self.disconnected += 1;
    }

    fn held_output<'a>(&'a self, talk: &'a Talk) -> &'a [u8] {
        &talk.held[talk.held_sent..]
    }

    fn held_output_sent(&mut self, talk: &mut Talk, bytes: usize) {
        talk.held_sent += bytes;
    }

    fn draining(&mut self, talk: &mut Talk, _: Now, output: &mut Output) -> Then {
        self.draining = true;
        if talk.mid_line {
            return Then::Continue;
        }
        output.push(CLOSING).unwrap();
        Then::Close
    }

    fn turn_begins(&mut self) {
        self.long_lines_in_turn = 0;
        self.turn_ns = 0;
    }

    fn has_time(&self, talk: &Talk) -> bool {
        let all_are_here = self.long_lines.len() >= self.long_talkers;
        talk.long_talker.is_none() || (all_are_here && self.long_lines_in_turn == 0)
    }

    fn is_timed(&self) -> bool {
        self.timed_unsent > 0
    }

    fn sent(&mut self, turn_ns: u64) {
        assert!(self.timed_unsent > 0, "only what is timed is told");
        assert!(self.turn_ns <= turn_ns, "time goes on within a turn");
        self.timed_sent += std::mem::take(&mut self.timed_unsent);
        self.turn_ns = turn_ns;
    }

    fn turn_ends(&mut self, connections: usize, turn_ns: u64) {
        assert!(self.turn_ns <= turn_ns, "a turn is as long as anything in it");
        self.turns.push((connections, turn_ns));
    }

    fn tick(&mut self, _: Now) {
        self.ticks += 1;
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(letter).collect()
}

/// A period that no buffer's size is a multiple of, and none of the letters that mean something.
fn letter(at: usize) -> u8 {
    b'A' + (at % 23) as u8
}

/// A reactor in a thread of its own.
struct Server {
    address: SocketAddr,
    waker: Arc<Waker>,
    end: Arc<AtomicBool>,
    thread: JoinHandle<Echo>,
}

impl Server {
    fn start(echo: Echo) -> Self {
        Self::with_sizes(echo, Sizes::for_connections(1000))
    }

    fn with_sizes(mut echo: Echo, sizes: Sizes) -> Self {
        let mut reactor = Reactor::<Echo>::new(Clock::start(), sizes).unwrap();
        let bound = Bound::new((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = bound.address();
        reactor.listen(bound).unwrap();
        let token = Reactor::<Echo>::foreign_token(3);
        let waker = Arc::new(Waker::new(reactor.registry(), token).unwrap());
        let end = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            while !reactor.is_drained() {
                assert!(started.elapsed() < 2 * PATIENCE, "the test left the reactor running");
                if reactor.turn(&mut echo).unwrap().is_ready(3) && is_over.load(Ordering::Acquire) {
                    reactor.drain(&mut echo);
                }
            }
            assert_eq!(reactor.connections(), 0);
            echo
        });
        Self { address, waker, end, thread }
    }

    /// A client that has been greeted.
    fn connect(&self) -> TcpStream {
        let mut client = self.connect_only();
        expect(&mut client, BANNER);
        client
    }

    fn connect_only(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client
    }

    fn drain(&self) {
        self.end.store(true, Ordering::Release);
        self.waker.wake().unwrap();
    }

    fn stop(self) -> Echo {
        self.drain();
        let echo = self.thread.join().unwrap();
        assert_eq!(echo.connected, echo.disconnected, "each connection ends exactly once");
        echo
    }
}

fn expect(client: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == expected, "{:?}", String::from_utf8_lossy(&got[..got.len().min(200)]));
}

fn expect_end(client: &mut TcpStream) {
    assert_eq!(client.read(&mut [0; 100]).unwrap(), 0);
}

/// Sends what `stream` says, from its first byte on, without reading any answer, until the server
/// takes no more: then everything between is full, and the rest of the answers in its spill. How
/// long to wait for that only decides how sure it is. Returns how many bytes were sent.
fn stuff(client: &mut TcpStream, stream: impl Fn(usize) -> u8) -> usize {
    const FAR_TOO_MUCH: usize = 1 << 30;
    let buffers = socket2::SockRef::from(&*client);
    buffers.set_recv_buffer_size(128 << 10).unwrap();
    buffers.set_send_buffer_size(128 << 10).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut sent = 0;
    while sent < FAR_TOO_MUCH {
        let piece: Vec<u8> = (sent..sent + (64 << 10)).map(&stream).collect();
        match client.write(&piece) {
            Ok(bytes) => sent += bytes,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "nothing but the timeout");
                break;
            }
        }
    }
    assert!(sent < FAR_TOO_MUCH, "the server keeps more than its spill");
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    sent
}

/// Reads answers in small pieces.
fn expect_stream(client: &mut TcpStream, bytes: usize, stream: impl Fn(usize) -> u8) {
    for start in (0..bytes).step_by(3000) {
        let piece: Vec<u8> = (start..bytes.min(start + 3000)).map(&stream).collect();
        expect(client, &piece);
    }
}

/// Lets the reactor make at least so many turns.
fn pass_turns(other: &mut TcpStream, turns: usize) {
    for _ in 0..turns {
        other.write_all(b"meanwhile\n").unwrap();
        expect(other, b"meanwhile\n");
    }
}

/// Waits for the end, however abrupt.
fn is_cut_off(client: &mut TcpStream) -> bool {
    match client.read(&mut [0; 100]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// Writes from another thread, so that the caller can read.
fn write_in_background(
    client: &TcpStream,
    bytes: Vec<u8>,
    then: Option<Shutdown>,
) -> JoinHandle<()> {
    let mut client = client.try_clone().unwrap();
    std::thread::spawn(move || {
        client.write_all(&bytes).unwrap();
        if let Some(how) = then {
            client.shutdown(how).unwrap();
        }
    })
}

#[test]
fn what_takes_long_is_done_a_turn_at_a_time_and_all_of_it() {
    const CLIENTS: usize = 6;
    let server = Server::start(Echo { long_talkers: CLIENTS, ..Echo::in_whole_lines() });
    let lines: Vec<u8> = (0..60).flat_map(|number| format!("~{number}\n").into_bytes()).collect();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(&lines).unwrap();
    }
    let mut quick = server.connect();
    quick.write_all(b"quick\n").unwrap();
    expect(&mut quick, b"quick\n");
    for client in &mut clients {
        expect(client, &lines);
    }
    let served = server.stop().long_lines;
    assert_eq!(served.len(), CLIENTS * 60);
    for round in served.chunks(CLIENTS) {
        assert!((0..CLIENTS).all(|client| round.contains(&client)), "each in turn: {round:?}");
    }
}

#[test]
fn what_is_timed_is_told_once_it_was_sent_and_each_turn_at_its_end() {
    let server = Server::start(Echo::new());
    let started = Instant::now();
    let mut clients: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
    for round in 0..10 {
        for client in &mut clients {
            client.write_all(b"*a**b").unwrap();
            expect(client, b"*a**b");
            client.write_all(b"untimed").unwrap();
            expect(client, b"untimed");
        }
        // One is gone before it has read its answer.
        let mut hasty = server.connect();
        hasty.write_all(&[b'*'; 50][..=round]).unwrap();
        expect(&mut hasty, b"*");
    }
    let lasted = started.elapsed().as_nanos() as u64;
    let echo = server.stop();
    assert_eq!(echo.timed_sent, 3 * 10 * 3 + (1..=10).sum::<usize>());
    let served: usize = echo.turns.iter().map(|(connections, _)| connections).sum();
    assert!(served >= 13 + 10 * (2 * 3 + 1), "those accepted, and each visit: {served}");
    let longest = echo.turns.iter().map(|(_, ns)| *ns).max();
    assert!(longest > Some(0) && longest <= Some(lasted + PATIENCE.as_nanos() as u64));
}

#[test]
fn what_is_sent_comes_back() {
    let server = Server::start(Echo::new());
    let mut client = server.connect();
    for length in [1, 2, 1000, 5000, 3] {
        client.write_all(&pattern(length)).unwrap();
        expect(&mut client, &pattern(length));
    }
    server.stop();
}

#[test]
fn it_listens_at_several_addresses_of_both_families() {
    let mut echo = Echo::new();
    let mut reactor = Reactor::<Echo>::new(Clock::start(), Sizes::for_connections(2)).unwrap();
    let four = Bound::new((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let six = Bound::new((Ipv6Addr::LOCALHOST, 0).into()).unwrap();
    let addresses = [four.address(), six.address()];
    assert!(addresses.iter().all(|address| TcpStream::connect(address).is_err()), "not yet");
    assert_eq!(reactor.listen(four).unwrap(), ListenerId(0));
    assert_eq!(reactor.listen(six).unwrap(), ListenerId(1));
    let mut clients = addresses.map(|address| TcpStream::connect(address).unwrap());
    while echo.connected < 2 {
        reactor.turn(&mut echo).unwrap();
    }
    clients.iter_mut().for_each(|client| expect(client, BANNER));
}

#[test]
fn nothing_is_lost_when_the_peer_does_not_read() {
    let server = Server::start(Echo::new());
    let mut client = server.connect();
    let mut other = server.connect();
    for _ in 0..2 {
        let sent = stuff(&mut client, letter);
        pass_turns(&mut other, 3);
        expect_stream(&mut client, sent, letter);
    }
    server.stop();
}

#[test]
fn no_line_is_lost_when_the_peer_does_not_read() {
    let server = Server::start(Echo::in_whole_lines());
    let mut client = server.connect();
    let lines = |at: usize| if at % 777 == 90 { b'\n' } else { letter(at) };
    let sent = stuff(&mut client, lines);
    let last = write_in_background(&client, b"\n".to_vec(), None);
    expect_stream(&mut client, sent, lines);
    expect(&mut client, b"\n");
    last.join().unwrap();
    server.stop();
}

#[test]
fn a_half_closed_peer_gets_the_rest_and_then_the_end() {
    let server = Server::start(Echo::new());
    for length in [0, 1, 100, READ_BUFFER_BYTES, 3 << 20] {
        let mut client = server.connect();
        let writer = write_in_background(&client, pattern(length), Some(Shutdown::Write));
        expect(&mut client, &pattern(length));
        expect_end(&mut client);
        writer.join().unwrap();
    }
    server.stop();
}

#[test]
fn a_line_is_kept_until_it_is_whole() {
    let server = Server::start(Echo::in_whole_lines());
    let mut waiting = server.connect();
    let mut other = server.connect();
    for byte in b"in small pieces\n" {
        waiting.write_all(&[*byte]).unwrap();
        pass_turns(&mut other, 1);
    }
    expect(&mut waiting, b"in small pieces\n");
    server.stop();
}

#[test]
fn many_connections_do_not_mix() {
    let server = Server::start(Echo::new());
    let mut clients: Vec<TcpStream> = (0..300).map(|_| server.connect_only()).collect();
    clients.iter_mut().for_each(|client| expect(client, BANNER));
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            write!(client, "{round} of {number:04}").unwrap();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            expect(client, format!("{round} of {number:04}").as_bytes());
        }
        // Some leave, so that their slots are used again.
        clients.drain(..40);
        clients.extend((0..40).map(|_| server.connect()));
    }
    let echo = server.stop();
    assert_eq!(echo.connected, 500);
}

#[test]
fn at_the_cap_peers_wait_until_somebody_leaves() {
    let server = Server::with_sizes(Echo::new(), Sizes::for_connections(4));
    let mut inside: Vec<TcpStream> = (0..4).map(|_| server.connect()).collect();
    let waiting: Vec<TcpStream> = (0..8).map(|_| server.connect_only()).collect();
    for mut next in waiting {
        inside.remove(0).shutdown(Shutdown::Both).unwrap();
        expect(&mut next, BANNER);
        next.write_all(b"in").unwrap();
        expect(&mut next, b"in");
        inside.push(next);
    }
    let echo = server.stop();
    assert_eq!((echo.connected, echo.most), (12, 4));
}

#[test]
fn who_is_refused_is_told_so() {
    let server = Server::start(Echo { welcome: 1, ..Echo::new() });
    let mut first = server.connect();
    for _ in 0..3 {
        let mut client = server.connect_only();
        expect(&mut client, FULL);
        expect_end(&mut client);
    }
    first.write_all(b"here").unwrap();
    expect(&mut first, b"here");
    let echo = server.stop();
    assert_eq!(echo.connected, 1);
}

#[test]
fn who_says_nothing_for_too_long_is_told_and_closed() {
    let server = Server::start(Echo { idle_ms: 20, ..Echo::new() });
    let mut clients: Vec<TcpStream> = (0..20).map(|_| server.connect_only()).collect();
    for client in &mut clients {
        expect(client, BANNER);
        expect(client, FAREWELL);
        expect_end(client);
    }
    server.stop();
}

#[test]
fn who_never_reads_is_closed_too() {
    let server = Server::start(Echo { idle_ms: 300, ..Echo::new() });
    let mut client = server.connect();
    let piece = pattern(1 << 16);
    // Writing fails once the server has hung up.
    while client.write_all(&piece).is_ok() {}
    let echo = server.stop();
    assert_eq!(echo.disconnected, 1);
}

#[test]
fn the_last_reply_survives_unread_input() {
    let server = Server::start(Echo::new());
    for behind in [0, 1, READ_BUFFER_BYTES, LINGER_BYTES_MAX / 2] {
        let mut client = server.connect();
        let sent = [b"last!".to_vec(), pattern(behind)].concat();
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        expect(&mut client, b"last!");
        expect_end(&mut client);
    }
    server.stop();
}

#[test]
fn what_is_unsent_at_the_end_is_sent_before_it() {
    let server = Server::start(Echo::in_whole_lines());
    let mut client = server.connect();
    let mut other = server.connect();
    client.write_all(b"!12000000\nmore\n").unwrap();
    // More than the kernel's buffers take, however large a part of it leaves each turn.
    pass_turns(&mut other, 100);
    expect(&mut client, b"!12000000\n");
    expect_stream(&mut client, 12_000_000, letter);
    expect_end(&mut client);
    server.stop();
}

#[test]
fn lingering_ends_if_the_peer_does_not() {
    // Whoever lingers has the only slot.
    let server = Server::with_sizes(Echo::new(), Sizes::for_connections(1));
    let mut talker = server.connect();
    talker.write_all(b"!").unwrap();
    let piece = pattern(1 << 16);
    let mut heard = 0;
    while talker.write_all(&piece).is_ok() {
        heard += piece.len();
        assert!(heard < 200 << 20, "far more than the limit and all buffers on the way");
    }
    let mut mute = server.connect();
    mute.write_all(b"!and more").unwrap();
    expect(&mut mute, b"!");
    expect_end(&mut mute);
    drop(server.connect());
    let echo = server.stop();
    assert_eq!(echo.connected, 3);
}

#[test]
fn what_a_protocol_holds_leaves_in_order_between_its_output() {
    let server = Server::start(Echo::in_whole_lines());
    let mut client = server.connect();
    let mut other = server.connect();
    let sizes = [1, 0, 100, 100_000, 12_000_000, 7];
    let lines = sizes.map(|bytes| format!("before\n#{bytes}\n"));
    client.write_all(lines.concat().as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    pass_turns(&mut other, 100);
    for (bytes, line) in sizes.into_iter().zip(lines) {
        expect(&mut client, line.as_bytes());
        expect_stream(&mut client, bytes, letter);
    }
    expect_end(&mut client);
    server.stop();
}

#[test]
fn who_had_a_share_or_has_left_comes_after_the_others_a_few_a_turn() {
    const MANY: usize = 100;
    let sizes = Sizes::for_connections(2 * MANY as u32);
    let mut reactor = Reactor::<Echo>::new(Clock::start(), sizes).unwrap();
    let bound = Bound::new((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = bound.address();
    reactor.listen(bound).unwrap();
    let mut echo = Echo::new();
    let mut clients: Vec<TcpStream> =
        (0..=MANY).map(|_| TcpStream::connect(address).unwrap()).collect();
    while echo.connected <= MANY {
        reactor.turn(&mut echo).unwrap();
    }
    // More than one output, so that each has something left.
    let much = vec![b'x'; OUTPUT_BYTES + OUTPUT_BYTES / 2];
    for client in &mut clients[1..] {
        expect(client, BANNER);
        client.write_all(&much).unwrap();
    }
    let visited = |echo: &Echo| echo.turns.last().map_or(0, |(connections, _)| *connections);
    while visited(&echo) < MANY {
        reactor.turn(&mut echo).unwrap();
    }
    let little = &mut clients[0];
    little.write_all(b"little").unwrap();
    reactor.turn(&mut echo).unwrap();
    assert_eq!(visited(&echo), 1 + REVISITS_PER_TURN);
    little.set_read_timeout(Some(PATIENCE)).unwrap();
    expect(little, &[BANNER, b"little"].concat());
    for _ in 0..MANY.div_ceil(REVISITS_PER_TURN) {
        reactor.turn(&mut echo).unwrap();
        assert!(visited(&echo) <= REVISITS_PER_TURN);
    }
    for client in &mut clients[1..] {
        expect(client, &much);
    }
    // All of them at once.
    drop(clients);
    while reactor.connections() > 0 {
        reactor.turn(&mut echo).unwrap();
        assert!(visited(&echo) <= REVISITS_PER_TURN);
    }
}

#[test]
fn whoever_wants_more_than_a_visit_may_move_gets_it_later() {
    let server = Server::start(Echo::in_whole_lines());
    let mut client = server.connect();
    let asked = BYTES_PER_VISIT / 10_000 * 4;
    client.write_all("#10000\n".repeat(asked).as_bytes()).unwrap();
    for _ in 0..asked {
        expect(&mut client, b"#10000\n");
        expect_stream(&mut client, 10_000, letter);
    }
    server.stop();
}

#[test]
fn input_that_never_makes_sense_is_cut_off() {
    let server = Server::start(Echo::in_whole_lines());
    let mut client = server.connect();
    let endless = pattern(READ_BUFFER_BYTES + 1);
    client.write_all(&endless).unwrap();
    assert!(is_cut_off(&mut client));
    server.stop();
}

#[test]
fn who_wants_more_spill_than_there_is_goes_alone() {
    let sizes = Sizes { connections: 10, spill_surplus_arenas: 8, tls_connections: 0 };
    let server = Server::with_sizes(Echo::in_whole_lines(), sizes);
    let mut before = server.connect();
    let line = [pattern(1000), b"\n".to_vec()].concat();
    before.write_all(&line[..990]).unwrap();
    for _ in 0..3 {
        let mut greedy = server.connect();
        greedy.write_all(&pattern(20_000)).unwrap();
        assert!(is_cut_off(&mut greedy));
    }
    let mut after = server.connect();
    after.write_all(&line[..990]).unwrap();
    for mut modest in [before, after] {
        modest.write_all(&line[990..]).unwrap();
        expect(&mut modest, &line);
    }
    let echo = server.stop();
    assert_eq!(echo.connected, 5);
}

#[test]
fn a_drain_tells_the_idle_and_lets_the_busy_finish() {
    let server = Server::start(Echo::in_whole_lines());
    let mut idle = server.connect();
    let mut busy = server.connect();
    let mut forgetful = server.connect();
    for client in [&mut busy, &mut forgetful] {
        // The first line's answer says that the beginning of the second has arrived.
        client.write_all(b"one\ntw").unwrap();
        expect(client, b"one\n");
    }
    server.drain();
    expect(&mut idle, CLOSING);
    expect_end(&mut idle);
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
    busy.write_all(b"o\n").unwrap();
    expect(&mut busy, b"two\n");
    expect_end(&mut busy);
    // Only the end of the drain ends this one.
    expect(&mut forgetful, FAREWELL);
    expect_end(&mut forgetful);
    let echo = server.stop();
    assert!(echo.ticks > 0, "the protocol was told the time meanwhile");
}

/// The body of the next test, which needs a process of its own.
#[test]
#[ignore = "run by running_out_of_descriptors_only_delays_newcomers, with few descriptors"]
fn with_few_descriptors() {
    let server = Server::start(Echo::new());
    let mut inside = server.connect();
    let mut hoard: Vec<std::fs::File> =
        std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).take(10_000).collect();
    assert!(hoard.len() < 10_000, "the limit is low");
    hoard.pop();
    // Takes the last descriptor, so that there is none for the server's end.
    let mut newcomer = server.connect_only();
    for _ in 0..10 {
        inside.write_all(b"meanwhile").unwrap();
        expect(&mut inside, b"meanwhile");
    }
    drop(hoard);
    expect(&mut newcomer, BANNER);
    newcomer.write_all(b"in").unwrap();
    expect(&mut newcomer, b"in");
    server.stop();
}

#[test]
fn running_out_of_descriptors_only_delays_newcomers() {
    let test = std::env::current_exe().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", r#"ulimit -n 64 && exec "$0" --exact with_few_descriptors --ignored"#])
        .arg(test)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
