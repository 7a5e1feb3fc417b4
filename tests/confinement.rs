//! What the running program has given up, and what it was given by whoever started it: seen from
//! outside, in `/proc`, in what it says, and by using it. That nothing can be opened is a unit test
//! (`src/sys/sandbox.rs`), since who cannot open files cannot be asked to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as it should be fails the test")]

mod support;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64ct::{Base64, Encoding as _};
use mailfly::sys::identity;
use mailfly::sys::sandbox::Sandbox;
use support::{Client, Daemon, PATIENCE, PROGRAM, request, skipped};

/// The words of a line of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

fn confined(command: &mut Command, flags: &[&str]) -> (Daemon, String) {
    let mut daemon = Daemon::run(command.stderr(Stdio::piped()), flags);
    let mut said = String::new();
    BufReader::new(daemon.stderr().unwrap()).read_line(&mut said).unwrap();
    (daemon, said)
}

#[track_caller]
fn takes_and_shows_mail(smtp: SocketAddr, http: SocketAddr) {
    Client::introduced(smtp).deliver("somebody@example.com", b"Subject: hello\r\n\r\n");
    assert_eq!(request(http, "GET", "/api/v1/mailbox/somebody/latest").0, 200);
    assert_eq!(request(http, "GET", "/metrics").0, 200);
}

#[test]
fn it_serves_without_new_privileges_and_without_files_and_says_so() {
    let (daemon, said) = confined(&mut Command::new(PROGRAM), &[]);
    takes_and_shows_mail(daemon.smtp, daemon.http);
    assert_eq!(status(daemon.pid(), "NoNewPrivs"), ["1"]);
    let told = if identity::is_root() { "still root, for want of --user, " } else { "" };
    let told = format!("mailfly: confined: {told}no capabilities, no new privileges, ");
    assert!(said.starts_with(&told), "{said}");
    match Sandbox::available() {
        Sandbox::None => {
            assert!(said.contains("no Landlock"), "{said}");
            skipped("it_serves_without_files", "this kernel has no Landlock");
        }
        _ => assert!(said.contains(" no files"), "{said}"),
    }
    let plan = Command::new(PROGRAM).env_clear().arg("--plan").output().unwrap().stdout;
    let plan = String::from_utf8(plan).unwrap();
    let planned = plan.lines().last().unwrap().strip_prefix("before it serves: ").unwrap();
    assert_eq!(said.trim_end(), format!("mailfly: confined: {planned}"));
}

#[test]
fn as_root_it_becomes_another_in_no_other_group_and_keeps_what_it_had_read() {
    if !identity::is_root() {
        return skipped("as_root_it_becomes_another", "this is not root");
    }
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut secret, b"for-root-to-read").unwrap();
    fs::set_permissions(secret.path(), fs::Permissions::from_mode(0o400)).unwrap();
    let secret = secret.path().to_str().unwrap();
    let nobody = identity::find("nobody", 1 << 20).unwrap().unwrap();
    for (user, identity) in
        [("nobody", nobody), ("54321:54322", identity::Identity { uid: 54321, gid: 54322 })]
    {
        // It is in groups that it should be in no longer.
        let mut command = Command::new("setpriv");
        command.args(["--groups", "12345,12346", "--", PROGRAM]);
        let flags = ["--user", user, "--http-delete-secret", secret];
        let (daemon, said) = confined(&mut command, &flags);
        takes_and_shows_mail(daemon.smtp, daemon.http);
        assert_eq!(request(daemon.http, "DELETE", "/api/v1/mailbox/somebody").0, 401);
        // Real, effective, saved, and that of the file system.
        assert_eq!(status(daemon.pid(), "Uid"), vec![identity.uid.to_string(); 4]);
        assert_eq!(status(daemon.pid(), "Gid"), vec![identity.gid.to_string(); 4]);
        assert_eq!(status(daemon.pid(), "Groups"), [""; 0]);
        assert_without_capabilities(&daemon);
        assert!(
            said.contains(&format!("user {}, group {}, ", identity.uid, identity.gid)),
            "{said}"
        );
    }
}

/// None that it has, none that it or a program of its could have again.
#[track_caller]
fn assert_without_capabilities(daemon: &Daemon) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(daemon.pid(), set), ["0000000000000000"], "{set}");
    }
}

#[test]
fn root_that_stays_root_keeps_no_capability() {
    if !identity::is_root() {
        return skipped("root_that_stays_root_keeps_no_capability", "this is not root");
    }
    let mut plain = Command::new(PROGRAM);
    // Some that would be handed on, and one less.
    let mut handed_on = Command::new("setpriv");
    let some = "+net_bind_service,+dac_override";
    handed_on.args(["--inh-caps", some, "--ambient-caps", some, "--bounding-set", "-sys_time"]);
    handed_on.args(["--", PROGRAM]);
    for command in [&mut plain, &mut handed_on] {
        let (daemon, said) = confined(command, &[]);
        takes_and_shows_mail(daemon.smtp, daemon.http);
        assert_eq!(status(daemon.pid(), "Uid"), ["0"; 4]);
        assert_without_capabilities(&daemon);
        assert!(said.contains("still root, for want of --user, no capabilities, "), "{said}");
    }
}

#[test]
fn who_is_not_root_keeps_none_that_it_was_handed() {
    const TEST: &str = "who_is_not_root_keeps_none_that_it_was_handed";
    if !identity::is_root() {
        return skipped(TEST, "this is not root, which alone can hand them on");
    }
    if Command::new(PROGRAM).uid(54321).arg("--version").output().is_err() {
        return skipped(TEST, "only root may run what was built here");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "54321", "--regid", "54321", "--clear-groups"]);
    command.args(["--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"]);
    let (daemon, _) = confined(command.args(["--", PROGRAM]), &[]);
    takes_and_shows_mail(daemon.smtp, daemon.http);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(daemon.pid(), set), ["0000000000000000"], "{set}");
    }
}

/// A certificate for this name and its key, in PEM.
fn pair(name: &str) -> [String; 2] {
    let pair = rcgen::generate_simple_self_signed(vec![format!("{name}.test")]).unwrap();
    let pem = |what: &str, der: &[u8]| {
        let mut room = vec![0; 2 * der.len() + 4];
        let text = Base64::encode(der, &mut room).unwrap().as_bytes();
        let lines: Vec<_> = text.chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
    };
    [pem("CERTIFICATE", pair.cert.der()), pem("PRIVATE KEY", &pair.signing_key.serialize_der())]
}

/// certbot keeps all that it ever got in one folder, and in another a link to the newest.
#[test]
fn a_certificate_behind_links_is_read_again_when_they_lead_to_a_new_one() {
    let top = tempfile::tempdir().unwrap();
    let path = |name: &str| top.path().join(name);
    for folder in ["live", "archive", "elsewhere"] {
        fs::create_dir(path(folder)).unwrap();
    }
    // As certbot does it: a new link, moved over the old one.
    let link = |folder: &str, number: u32| {
        for (name, text) in ["fullchain", "privkey"].iter().zip(pair(&format!("number-{number}"))) {
            fs::write(path(&format!("{folder}/{name}{number}.pem")), text).unwrap();
            symlink(format!("../{folder}/{name}{number}.pem"), path("live/new")).unwrap();
            fs::rename(path("live/new"), path(&format!("live/{name}.pem"))).unwrap();
        }
    };
    link("archive", 1);
    let [chain, key] = ["live/fullchain.pem", "live/privkey.pem"].map(path);
    let mut daemon = Daemon::run(
        Command::new(PROGRAM).stderr(Stdio::piped()),
        &["--tls-certificate", chain.to_str().unwrap(), "--tls-key", key.to_str().unwrap()],
    );
    let mut said = BufReader::new(daemon.stderr().unwrap()).lines();
    let confined = said.next().unwrap().unwrap();
    let folders = [path("archive"), path("live")].map(|folder| folder.display().to_string());
    if Sandbox::available() != Sandbox::None {
        let readable = format!("but to read in {}", folders.join(" "));
        assert!(confined.ends_with(&readable), "{confined}");
    }
    let mut told = || {
        daemon.signal("HUP");
        said.next().unwrap().unwrap()
    };
    for number in 2..4 {
        link("archive", number);
        assert_eq!(told(), "mailfly: the certificate was read again");
    }
    if Sandbox::available() == Sandbox::None {
        return skipped("a_certificate_behind_links", "this kernel has no Landlock");
    }
    link("elsewhere", 4);
    let refused = told();
    assert!(refused.starts_with("mailfly: the certificate stays as it was: "), "{refused}");
    assert!(refused.contains("Permission denied"), "{refused}");
    link("archive", 5);
    assert_eq!(told(), "mailfly: the certificate was read again");
}

#[test]
fn who_cannot_become_another_says_so_before_it_listens() {
    let complaint = |command: &mut Command| {
        let output =
            command.env_clear().args(["--smtp=127.0.0.1:0", "--http=127.0.0.1:0"]).output();
        let output = output.unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = complaint(Command::new(PROGRAM).args(["--user", "no_such_user"]));
    assert!(said.contains("--user no_such_user: nobody in /etc/passwd"), "{said}");

    let mut command = Command::new(PROGRAM);
    if identity::is_root() {
        command.uid(54321).gid(54321);
        if Command::new(PROGRAM).uid(54321).arg("--version").output().is_err() {
            return skipped("who_cannot_become_another", "only root may run what was built here");
        }
    }
    let said = complaint(command.args(["--user", "nobody"]));
    assert!(said.contains("--user nobody: only root can become another user"), "{said}");
}

/// The program, started with sockets at its descriptors 3 and 4 as systemd would; killed when
/// dropped.
struct Activated {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Activated {
    /// `names` as in LISTEN_FDNAMES.
    fn start(first: OwnedFd, second: OwnedFd, names: &str, flags: &[&str]) -> Self {
        // The standard streams bring them past exec.
        let script = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=$0 exec \"$@\" \
                      3<&0 4<&2 0</dev/null 2>&1";
        let mut command = Command::new("/bin/sh");
        command.env_clear().args(["-c", script, names, PROGRAM]).args(flags);
        let streams = command.stdin(first).stdout(Stdio::piped()).stderr(second);
        let mut child = streams.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// All lines until the first that has this in it.
    fn lines_until(&mut self, last: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while !lines.last().is_some_and(|line| line.contains(last)) {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "no {last} in {lines:?}");
            lines.push(line);
        }
        lines
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listener() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

#[test]
fn sockets_that_it_is_passed_take_the_place_of_its_own() {
    // Its own would be where nobody may listen.
    let flags = ["--smtp", "192.0.2.1:1", "--http", "192.0.2.1:2"];
    for names in ["smtp:http", "http:smtp"] {
        let ((first, first_address), (second, second_address)) = (listener(), listener());
        let mut activated = Activated::start(first, second, names, &flags);
        let said = activated.lines_until("http listening on").concat();
        let (smtp, http) = match names {
            "smtp:http" => (first_address, second_address),
            _ => (second_address, first_address),
        };
        assert!(said.contains(&format!("smtp listening on {smtp}\n")), "{said}");
        assert!(said.contains(&format!("http listening on {http}\n")), "{said}");
        takes_and_shows_mail(smtp, http);
    }
}

#[test]
fn one_service_may_be_passed_alone_and_twice() {
    let ((first, first_address), (second, second_address)) = (listener(), listener());
    let mut activated = Activated::start(first, second, "smtp:smtp", &["--http", "127.0.0.1:0"]);
    let said = activated.lines_until("http listening on");
    let http = said.last().unwrap().trim_end().rsplit(' ').next().unwrap().parse().unwrap();
    for smtp in [first_address, second_address] {
        takes_and_shows_mail(smtp, http);
    }
}

/// Whether TLS is spoken there from the first byte: what is none is answered with an alert.
fn speaks_tls(address: SocketAddr) -> bool {
    let mut client = Client::connect(address);
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    client.rest().starts_with(&[21, 3])
}

#[test]
fn sockets_may_be_passed_for_what_is_encrypted_from_the_first_byte() {
    let own = ["--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    // Its own would be where nobody may listen.
    let flags = [&own[..], &["--smtps", "192.0.2.1:1", "--https", "192.0.2.1:2"]].concat();
    for names in ["smtps:https", "https:smtps"] {
        let ((first, first_address), (second, second_address)) = (listener(), listener());
        let mut activated = Activated::start(first, second, names, &flags);
        let said = activated.lines_until("https listening on").concat();
        let (smtps, https) = match names {
            "smtps:https" => (first_address, second_address),
            _ => (second_address, first_address),
        };
        assert!(said.contains(&format!("smtps listening on {smtps}\n")), "{said}");
        assert!(said.contains(&format!("https listening on {https}\n")), "{said}");
        assert!(speaks_tls(smtps) && speaks_tls(https));
        let address = |service: &str| -> SocketAddr {
            let line = said.lines().find_map(|line| line.strip_prefix(service)).unwrap();
            line.strip_prefix(" listening on ").unwrap().parse().unwrap()
        };
        assert!(!speaks_tls(address("http")));
        takes_and_shows_mail(address("smtp"), address("http"));
    }
}

#[test]
fn a_socket_that_cannot_be_used_is_named() {
    let file = || OwnedFd::from(File::open("/dev/null").unwrap());
    let datagram = || OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let connected = {
        let (listener, address) = listener();
        let stream = std::net::TcpStream::connect(address).unwrap();
        drop(listener);
        move || OwnedFd::from(stream.try_clone().unwrap())
    };
    for (passed, names, reason) in [
        (file(), "smtp:http", "the socket that was passed for smtp"),
        (datagram(), "smtp:http", "the socket that was passed for smtp"),
        (connected(), "smtp:http", "the socket that was passed for smtp"),
        (
            listener().0,
            "smtp:mailfly.socket",
            "FileDescriptorName= has to be smtp, smtps, http or https",
        ),
        (listener().0, "smtp", "LISTEN_FDNAMES has not as many names"),
    ] {
        let mut activated = Activated::start(passed, listener().0, names, &[]);
        let said = activated.lines_until("mailfly: ").concat();
        assert!(said.contains(reason), "{said}");
        assert_eq!(activated.child.wait().unwrap().code(), Some(1));
    }
    for names in ["smtp:smtps", "https:http"] {
        let flags = ["--tls-connections", "0"];
        let mut activated = Activated::start(listener().0, listener().0, names, &flags);
        let said = activated.lines_until("mailfly: ").concat();
        assert!(said.contains("--tls-connections has to be at least 1"), "{said}");
        assert_eq!(activated.child.wait().unwrap().code(), Some(1));
    }
}

#[test]
fn whoever_supervises_it_is_told_when_it_serves_and_when_it_stops() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let name = format!("mailfly-test-{}", std::process::id());
    let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
    for (told, socket) in [
        (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
        (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{name}")),
    ] {
        told.set_read_timeout(Some(PATIENCE)).unwrap();
        let script = format!("NOTIFY_SOCKET={socket} exec \"$0\" \"$@\"");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, PROGRAM]);
        let mut daemon = Daemon::run(&mut command, &[]);
        let next = || {
            let mut state = [0; 64];
            let bytes = told.recv(&mut state).unwrap();
            String::from_utf8(state[..bytes].to_vec()).unwrap()
        };
        assert_eq!(next(), "READY=1");
        takes_and_shows_mail(daemon.smtp, daemon.http);
        daemon.signal("TERM");
        assert_eq!(next(), "STOPPING=1");
        assert!(daemon.wait().success());
    }
}
