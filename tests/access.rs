//! Who may read and delete, as the operator says it: names to be asked by, and secrets in files.
//! Not here: which routes need what, and what else is refused (`src/http/tests`, for all of
//! them).

#![allow(clippy::unwrap_used, reason = "what is not as it should be fails the test")]

mod support;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use mailfly::sys::writable::is_writable;
use support::{Client, Daemon, PROGRAM};

/// The status of the answer to a request with these fields.
fn status(daemon: &Daemon, method: &str, path: &str, fields: &str) -> u16 {
    let mut client = Client::connect(daemon.http);
    client
        .send(format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n").as_bytes());
    let answer = String::from_utf8(client.rest()).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn a_name_is_answered_to_once_it_is_listed() {
    let unlisted = Daemon::start(&[]);
    let listed = Daemon::start(&["--http-host", "mail.example,b", "--http-host=C"]);
    let any = Daemon::start(&["--http-host", "*"]);
    for (host, when_unlisted, when_listed) in [
        ("localhost:8025", 200, 200),
        ("127.0.0.1", 200, 200),
        ("mail.example:80", 421, 200),
        ("c", 421, 200),
        ("evil.example", 421, 421),
    ] {
        let fields = format!("Host: {host}\r\n");
        assert_eq!(status(&unlisted, "GET", "/", &fields), when_unlisted, "{host}");
        assert_eq!(status(&listed, "GET", "/", &fields), when_listed, "{host}");
        assert_eq!(status(&any, "GET", "/", &fields), 200, "{host}");
    }
}

#[test]
fn secrets_of_files_are_needed_for_what_they_are_for() {
    let (read, delete) = (file("old-secret\nfor-reading\n"), file("for-deleting"));
    let paths = [&read, &delete].map(|file| file.path().to_str().unwrap().to_owned());
    let daemon =
        Daemon::start(&["--http-read-secret", &paths[0], "--http-delete-secret", &paths[1]]);
    let host = "Host: localhost\r\n";
    for (credentials, reads, deletes) in [
        ("", 401, 401),
        ("Authorization: Bearer for-reading\r\n", 200, 401),
        ("Authorization: Bearer old-secret\r\n", 200, 401),
        ("Authorization: Bearer for-deleting\r\n", 200, 200),
        // printf anybody:for-deleting | base64
        ("Authorization: Basic YW55Ym9keTpmb3ItZGVsZXRpbmc=\r\n", 200, 200),
        ("Authorization: Bearer for-nothing\r\n", 401, 401),
    ] {
        let fields = format!("{host}{credentials}");
        let path = "/api/v1/mailbox/somebody";
        assert_eq!(status(&daemon, "GET", path, &fields), reads, "{credentials}");
        assert_eq!(status(&daemon, "DELETE", path, &fields), deletes, "{credentials}");
        assert_eq!(status(&daemon, "GET", "/livez", &fields), 200, "{credentials}");
    }
}

#[test]
fn a_file_without_secrets_ends_the_start_and_its_contents_are_not_said() {
    let short = file("hunter2\n");
    let long = file(&"x\n".repeat(4096));
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
    for (path, reason) in [
        ("/does/not/exist".to_owned(), "No such file"),
        (path(&short), "line 1: a secret has at least 8 bytes"),
        (path(&long), "longer than 4096 bytes"),
        ("/dev/null".to_owned(), "no secret in it"),
        ("/dev/zero".to_owned(), "longer than 4096 bytes"),
    ] {
        for key in ["--http-read-secret", "--http-delete-secret"] {
            let mut command = Command::new("timeout");
            let flags = ["--smtp=127.0.0.1:0", "--http=127.0.0.1:0", key, &path];
            let output = command.env_clear().args(["30", PROGRAM]).args(flags).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{said}");
            assert!(said.contains(&path) && said.contains(reason), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[test]
fn secrets_are_read_again_when_that_is_asked_for_and_what_are_none_change_nothing() {
    let (read, delete) = (file("first-for-reading\n"), file("first-for-deleting\n"));
    let paths = [&read, &delete].map(|file| file.path().to_str().unwrap().to_owned());
    let mut daemon = Daemon::run(
        Command::new(PROGRAM).stderr(Stdio::piped()),
        &["--http-read-secret", &paths[0], "--http-delete-secret", &paths[1]],
    );
    let mut said = BufReader::new(daemon.stderr().unwrap()).lines();
    assert!(said.next().unwrap().unwrap().starts_with("mailfly: confined: "));
    let mut told = |first: Option<&str>| {
        match first {
            Some(text) => fs::write(&paths[0], text).unwrap(),
            None => fs::remove_file(&paths[0]).unwrap(),
        }
        daemon.signal("HUP");
        [0; 2].map(|_| said.next().unwrap().unwrap())
    };
    let mut kept = Client::connect(daemon.http);
    let mut reads = |secret: &str| {
        let fields = format!("Host: localhost\r\nAuthorization: Bearer {secret}\r\n");
        // Over a connection that was there before, too.
        kept.send(format!("HEAD /metrics HTTP/1.1\r\n{fields}\r\n").as_bytes());
        let old = kept.head().split(' ').nth(1).unwrap().parse::<u16>().unwrap();
        assert_eq!(status(&daemon, "GET", "/metrics", &fields), old);
        old
    };
    assert_eq!(reads("first-for-reading"), 200);
    let again = ["reading", "deleting"]
        .map(|purpose| format!("mailfly: the secrets for {purpose} were read again"));
    assert_eq!(told(Some("second-for-reading\n")), again);
    assert_eq!((reads("first-for-reading"), reads("second-for-reading")), (401, 200));
    for (text, reason) in [
        (Some(""), "no secret in it"),
        (Some("hunter2\n"), "line 1: a secret has at least 8 bytes"),
        (None, "No such file"),
    ] {
        let [first, second] = told(text);
        let stays = "mailfly: the secrets for reading stay as they were: cannot take secrets from ";
        assert!(first.starts_with(stays) && first.contains(&paths[0]), "{first}");
        assert!(first.contains(reason) && !first.contains("hunter2"), "{first}");
        assert_eq!(second, again[1]);
        assert_eq!((reads("first-for-reading"), reads("second-for-reading")), (401, 200));
        assert_eq!((reads("hunter2"), reads("")), (401, 401));
    }
    assert_eq!(told(Some("third-for-reading\n")), again);
    assert_eq!((reads("second-for-reading"), reads("third-for-reading")), (401, 200));
}

/// Neither what the secrets are read from nor who reads what is told of it is waited for.
#[test]
fn a_reload_waits_for_nobody() {
    let secrets = file("for-reading\n");
    let path = secrets.path().to_str().unwrap();
    let (_unread, mut told) = io::pipe().unwrap();
    let stderr = told.try_clone().unwrap();
    let daemon = Daemon::run(Command::new(PROGRAM).stderr(stderr), &["--http-read-secret", path]);
    while is_writable(told.as_fd()) {
        told.write_all(&[0; 4096]).unwrap();
    }
    let reads = |secret: &str| {
        let fields = format!("Host: localhost\r\nAuthorization: Bearer {secret}\r\n");
        status(&daemon, "GET", "/metrics", &fields)
    };
    fs::write(path, "second-for-reading\n").unwrap();
    daemon.signal("HUP");
    assert!((0..1000).any(|_| reads("second-for-reading") == 200), "the signal is heard");
    fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    daemon.signal("HUP");
    for _ in 0..100 {
        assert_eq!(reads("second-for-reading"), 200, "it goes on as it was");
    }
}

#[test]
fn no_secret_is_in_what_check_prints() {
    let secret = file("for-reading\n");
    let path = secret.path().to_str().unwrap();
    let mut command = Command::new(PROGRAM);
    command.env_clear().args(["--check", "--http-read-secret", path]);
    let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(printed.contains(path), "{printed}");
    assert!(!printed.contains(fs::read_to_string(path).unwrap().trim()), "{printed}");
}
