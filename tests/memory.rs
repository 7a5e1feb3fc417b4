//! Memory is a number that the operator chose: it is there at the start, within the plan, and does
//! not move, whatever comes. And one thread does it all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::process::Command;

use support::{Browser, Client, Daemon, message, request};

const MIB: u64 = 1024 * 1024;

/// Small enough to be flooded ten times over in a moment.
const FLAGS: [&str; 10] = [
    "--memory",
    "24MiB",
    "--mailboxes",
    "4000",
    "--mailbox-size",
    "1MiB",
    "--message-size",
    "512KiB",
    "--connections",
    "300",
];

/// What `--plan` promises, in bytes.
fn planned_bytes(flags: &[&str]) -> u64 {
    let program = env!("CARGO_BIN_EXE_mailfly");
    let plan = Command::new(program).env_clear().args(flags).arg("--plan").output();
    let plan = String::from_utf8(plan.unwrap().stdout).unwrap();
    let total = plan.lines().find(|line| line.starts_with("total")).expect("a total");
    total.split_whitespace().find_map(|word| word.parse().ok().filter(|n| *n > MIB)).unwrap()
}

/// Ten times the pool's size in new mailboxes, over connections that come and go, with readers in
/// between.
fn flood(daemon: &Daemon, bytes: u64) -> usize {
    let sizes = [200, 1_000, 1_000, 1_000, 5_000, 30_000, 400_000];
    let (mut sent, mut number) = (0, 0);
    while sent < bytes {
        let mut clients: Vec<Client> = (0..20).map(|_| Client::introduced(daemon.smtp)).collect();
        for round in 0..20 {
            for client in &mut clients {
                number += 1;
                let body = message(number, sizes[number % sizes.len()]);
                client.deliver(&format!("user{number}@example.com"), &body);
                sent += body.len() as u64;
            }
            if round == 10 {
                assert_eq!(daemon.tasks(), 1, "one thread, under load");
                let name = format!("/api/v1/mailbox/user{number}");
                assert_eq!(request(daemon.http, "GET", &name).0, 200);
                assert_eq!(request(daemon.http, "GET", &format!("{name}/latest")).0, 200);
                assert_eq!(request(daemon.http, "GET", &format!("{name}/latest/source")).0, 200);
                assert_eq!(request(daemon.http, "GET", &format!("/mailbox/user{number}")).0, 200);
                assert_eq!(request(daemon.http, "GET", "/metrics").0, 200);
            }
        }
    }
    number
}

#[test]
fn resident_memory_is_planned_and_does_not_move() {
    let planned = planned_bytes(&FLAGS);
    let daemon = Daemon::start(&FLAGS);
    let at_start = daemon.resident_bytes();
    assert!(at_start <= planned, "{at_start} bytes at start, {planned} planned");
    flood(&daemon, 240 * MIB);
    let after = daemon.resident_bytes();
    assert!(after <= planned, "{after} bytes after a flood, {planned} planned");
    assert!(
        after.abs_diff(at_start) <= MIB,
        "resident memory moved from {at_start} to {after} bytes"
    );
    let (_, _, metrics) = request(daemon.http, "GET", "/metrics");
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(
        metrics.contains("mailfly_store_lost_total{cause=\"memory_full\"}")
            && !metrics.contains("cause=\"memory_full\"} 0\n"),
        "the flood evicted: {metrics}"
    );
}

#[test]
fn idle_connections_and_half_lines_take_nothing_more() {
    let daemon = Daemon::start(&FLAGS);
    let before = daemon.resident_bytes();
    let clients: Vec<Client> = (0..250)
        .map(|number| {
            let mut client = Client::introduced(daemon.smtp);
            match number % 3 {
                0 => client.send(&[b'x'; 1000]),
                1 => client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: half"),
                _ => {}
            }
            client
        })
        .collect();
    let mut last = Client::introduced(daemon.smtp);
    last.deliver("one@example.com", b"Subject: others go on\r\n\r\n");
    let moved = daemon.resident_bytes().abs_diff(before);
    assert!(moved <= MIB, "{} connections moved {moved} bytes", clients.len());
    let (_, _, list) = request(daemon.http, "GET", "/api/v1/mailbox/b");
    assert_eq!(list, b"[]", "half a message is none");
}

/// Messages of nearly 4 MiB, each hostile in another way, and one that is not.
fn long_messages() -> Vec<Vec<u8>> {
    const BYTES: usize = 39 * 1024 * 1024 / 10;
    let filled = |head: &str, filler: &[u8]| {
        let mut message = head.as_bytes().to_vec();
        message.extend(filler.iter().cycle().take(BYTES - head.len()));
        message
    };
    let typed = |kind: &str, encoding: &str| {
        format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n")
    };
    let both = "Content-Type: multipart/alternative; boundary=b\r\n\r\n\
                --b\r\nContent-Type: text/html\r\n\r\n";
    // A text and HTML, each as long as is shown.
    let mut alternative = filled(both, b"\x01");
    let middle = alternative.len() / 2;
    let between = b"\r\n--b\r\n\r\n";
    alternative[middle..middle + between.len()].copy_from_slice(between);
    let attached = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: ";
    vec![
        filled("\r\n", b"\x01"),
        alternative,
        filled(&typed("text/html", "8bit"), b"\""),
        filled("\r\n", b"\xff"),
        filled(&typed("text/plain; charset=windows-1252", "8bit"), b"\x80"),
        filled(&typed("text/plain; charset=gb18030", "8bit"), b"\x81\x30\x81\x30"),
        filled(&typed("text/plain; charset=utf-7", "8bit"), b"+AGEAYQ-"),
        filled(&typed("text/plain; charset=utf-16", "base64"), b"AAECAwQF\r\n"),
        filled(&typed("image/png", "base64"), b"////"),
        filled(&typed("image/png", "quoted-printable"), b"\r\n\n\n\n\n\n\n\n"),
        filled(&typed("image/png", "quoted-printable"), b"=41"),
        filled("Subject: ", b"\"<&\r\n "),
        filled("Subject: x\r\n", b"To: a,a,a,a,a,a,a,\"\",a\r\n"),
        filled("To: ", b"a,"),
        filled(attached, b"a/b;name=\"'\"\r\n\r\n\r\n--b\r\nContent-Type: "),
        message(1, BYTES),
    ]
}

/// Every way to read a mailbox, and a message of it.
fn reading_paths(mailbox: &str) -> Vec<String> {
    let latest = format!("/api/v1/mailbox/{mailbox}/latest");
    vec![
        format!("/api/v1/mailbox/{mailbox}"),
        format!("{latest}/source"),
        format!("{latest}/attachment/0"),
        format!("/mailbox/{mailbox}"),
        format!("/mailbox/{mailbox}/latest"),
        format!("/mailbox/{mailbox}/latest/html"),
        latest,
    ]
}

/// Where a promise about memory was broken: reading a message of 3.9 MiB of control characters, and
/// not reading the answer, took up to 50 MiB more than was planned.
#[test]
fn reading_moves_no_memory_whatever_is_read_and_whoever_does_not_read_on() {
    let flags = ["--memory", "96MiB", "--message-size", "4MiB", "--mailbox-size", "8MiB"];
    let planned = planned_bytes(&flags);
    let daemon = Daemon::start(&flags);
    let at_start = daemon.resident_bytes();
    let check = |after: &str| {
        let now = daemon.resident_bytes();
        assert!(now <= planned, "{now} bytes after {after}, {planned} planned");
        let moved = now.abs_diff(at_start);
        assert!(moved <= MIB, "{after} moved resident memory from {at_start} to {now} bytes");
    };
    check("the start");
    let mut sender = Client::introduced(daemon.smtp);
    let messages = long_messages();
    for (number, message) in messages.iter().enumerate() {
        sender.deliver(&format!("long{number}@example.com"), message);
    }
    // A list of the most messages, as long as can be.
    let many: String = ["Subject", "To", "From"]
        .map(|field| format!("{field}: {}\r\n", "\"a\x7f\"@b,".repeat(250)))
        .concat();
    for _ in 0..1000 {
        sender.deliver("many@example.com", many.as_bytes());
    }
    check("mail");
    let mailboxes: Vec<String> =
        (0..messages.len()).map(|number| format!("long{number}")).collect();
    let paths: Vec<String> =
        mailboxes.iter().map(String::as_str).chain(["many"]).flat_map(reading_paths).collect();
    let mut reader = Browser::connect(daemon.http);
    for path in &paths {
        let answer = reader.get(path);
        assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.head);
        check(path);
    }
    for round in 0..2 {
        // They ask and do not read; in between somebody gives up, and what he held is another's.
        let mut lazy: Vec<(Browser, &String)> = Vec::new();
        for (number, path) in paths.iter().cycle().skip(round * 10).step_by(3).enumerate() {
            let mut browser = Browser::over(Client::narrow(daemon.http));
            browser.ask("GET", path);
            lazy.push((browser, path));
            if number % 3 == 0 {
                lazy.swap_remove(number / 3 % lazy.len());
            }
            // Short answers can be given whatever they hold, longer ones until they hold it all.
            assert_eq!(reader.get("/livez").status, 200);
            check(path);
            if number >= 20 && reader.get("/api/v1/mailbox/long0/latest/source").status == 503 {
                break;
            }
            assert!(number < 1000, "readers hold no memory");
        }
        drop(lazy);
        // They may still have to be found gone.
        let mut all_of = |path: &str| loop {
            let answer = reader.get(path);
            if answer.status != 503 {
                return answer;
            }
        };
        for (mailbox, message) in mailboxes.iter().zip(&messages) {
            let latest = format!("/api/v1/mailbox/{mailbox}/latest");
            let source = all_of(&format!("{latest}/source"));
            assert!(source.body.ends_with(message), "the source of {mailbox} is what was sent");
        }
        assert_eq!(all_of("/api/v1/mailbox/long1/latest").status, 200);
        check("everything");
    }
}
