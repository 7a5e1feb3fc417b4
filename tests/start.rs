//! How the program starts: all that it needs is had before anything listens, or it says what is
//! missing and ends; and it says where it listens. Not here: what a configuration is (`config`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use mailfly::net::Bound;
use support::{Client, request};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mailfly");

/// Runs the program, which has to end with 1 and print nothing but what it complains of.
#[track_caller]
fn complaint(flags: &[&str]) -> String {
    // One that serves when it should complain fails the test, rather than holding it up.
    let mut command = Command::new("timeout");
    let output = command.env_clear().args(["30", PROGRAM]).args(flags).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{errors}");
    assert!(errors.starts_with("mailfly: ") && errors.lines().count() == 1, "{errors}");
    errors
}

/// The program, running, with the lines that it says. It is killed when dropped.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(flags: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        let mut child = command
            .env_clear()
            .args(flags)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line, which has to be of this service.
    #[track_caller]
    fn address(&mut self, service: &str) -> SocketAddr {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let address =
            line.strip_prefix(service).and_then(|rest| rest.strip_prefix(" listening on "));
        address.unwrap_or_else(|| panic!("{line:?}")).trim_end().parse().unwrap()
    }

    /// Ends it; what it had said besides.
    fn rest(mut self) -> String {
        self.child.kill().unwrap();
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn takes_mail(address: SocketAddr) {
    Client::introduced(address).deliver("somebody@example.com", b"Subject: hello\r\n\r\n");
}

#[track_caller]
fn shows_mail(address: SocketAddr) {
    assert_eq!(request(address, "GET", "/api/v1/mailbox/somebody/latest").0, 200);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = held.local_addr().unwrap().to_string();
    for flags in
        [["--smtp", &held, "--http", "127.0.0.1:0"], ["--smtp", "127.0.0.1:0", "--http", &held]]
    {
        let message = complaint(&flags);
        assert!(
            message.contains(&format!("cannot listen on {held}: Address already in use")),
            "{message}"
        );
    }
}

#[test]
fn an_address_of_another_machine_is_named() {
    // From the block for documentation (RFC 5737): nobody has it.
    let message = complaint(&["--smtp", "127.0.0.1:0", "--http", "192.0.2.1:0"]);
    assert!(message.contains("cannot listen on 192.0.2.1:0: Cannot assign"), "{message}");
}

#[test]
fn more_memory_than_there_is_is_named() {
    let message =
        complaint(&["--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--memory", "3TiB"]);
    assert!(message.contains("3.0 TiB") && message.contains("--memory smaller"), "{message}");
}

#[test]
fn more_connections_than_descriptors_are_named() {
    let flags = ["--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--connections", "4000000000"];
    let message = complaint(&flags);
    assert!(message.contains("--connections 4000000000 needs"), "{message}");
}

#[test]
fn none_is_left_listening_when_the_last_cannot_be_had() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = holder.local_addr().unwrap();
    // Nobody else listens at these addresses of the loopback, whatever the port.
    let others: Vec<SocketAddr> =
        (2..5).map(|host| SocketAddr::from(([127, 0, 25, host], held.port()))).collect();
    let texts: Vec<String> = others.iter().chain([&held]).map(SocketAddr::to_string).collect();
    let [first, second, third, last] = &texts[..] else { panic!("four of them") };
    for order in [
        ["--smtp", first, "--smtp", second, "--http", third, "--http", last],
        ["--http", first, "--http", second, "--smtp", third, "--smtp", last],
    ] {
        let message = complaint(&order);
        assert!(message.contains(&format!("cannot listen on {last}: ")), "{message}");
        for other in &others {
            assert!(TcpStream::connect(other).is_err(), "{other}");
        }
    }
    // What stood in the way was the last one alone.
    drop(holder);
    let mut running = Running::start(&["--smtp", first, "--smtp", second, "--http", third]);
    for (service, address) in ["smtp", "smtp", "http"].into_iter().zip(&others) {
        assert_eq!(running.address(service), *address);
    }
}

/// Regression: two sockets of ours could share a port until the first of them listened, so that the
/// second was only refused when that one already took peers.
#[test]
fn an_address_is_held_from_the_moment_that_it_is_bound() {
    let bound = Bound::new("127.0.0.1:0".parse().unwrap()).unwrap();
    let wildcard = SocketAddr::from(([0, 0, 0, 0], bound.address().port()));
    for overlapping in [bound.address(), wildcard] {
        let error = Bound::new(overlapping).expect_err("nobody listens, but it is held");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
    assert!(TcpStream::connect(bound.address()).is_err(), "held is not listening");
}

#[test]
fn a_restart_does_not_wait_for_old_connections() {
    let mut running = Running::start(&["--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let smtp = running.address("smtp");
    let mut client = Client::introduced(smtp);
    client.send(b"QUIT\r\n");
    client.expect("221");
    // Who closes first keeps the connection in TIME_WAIT; that is the server.
    assert_eq!(client.rest(), b"");
    let open = Client::introduced(smtp);
    drop(running);
    let mut running = Running::start(&["--smtp", &smtp.to_string(), "--http", "127.0.0.1:0"]);
    assert_eq!(running.address("smtp"), smtp);
    drop(open);
}

#[test]
fn each_listener_has_one_line_with_its_real_address() {
    let mut flags = vec!["--smtp", "127.0.0.1:0", "--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    if has_ipv6 {
        flags.extend(["--smtp", "[::1]:0", "--http", "[::1]:0"]);
    } else {
        eprintln!("SKIPPED: this machine has no [::1], so nothing listens there");
    }
    let mut running = Running::start(&flags);
    let services = match has_ipv6 {
        true => &["smtp", "smtp", "smtp", "http", "http"][..],
        false => &["smtp", "smtp", "http"][..],
    };
    let mut addresses = vec![];
    for service in services {
        let address = running.address(service);
        assert!(address.ip().is_loopback() && address.port() != 0, "{address}");
        addresses.push(address);
    }
    assert_eq!(addresses.iter().filter(|address| address.is_ipv6()).count(), services.len() - 3);
    for (service, address) in services.iter().zip(&addresses) {
        match *service {
            "smtp" => takes_mail(*address),
            _ => shows_mail(*address),
        }
    }
    assert_eq!(running.rest(), "", "no more lines than listeners");
}

#[test]
fn without_a_configuration_it_listens_where_applications_look() {
    let ports = [1025, 8025].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    if let Some(taken) = ports.iter().find(|port| TcpListener::bind(port).is_err()) {
        eprintln!("SKIPPED: {taken} is taken, so nothing was seen of the defaults");
        return;
    }
    let mut running = Running::start(&[]);
    assert_eq!([running.address("smtp"), running.address("http")], ports);
    takes_mail(ports[0]);
    shows_mail(ports[1]);
    assert_eq!(running.rest(), "");
}
