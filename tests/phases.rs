//! How long the server's own phases take, as it tells monitors and people: each message that was
//! acknowledged counts once, and each peer that was greeted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod support;

use support::{Browser, Client, Daemon, message};

const BANNERS: &str = "mailfly_smtp_accept_to_banner_seconds";
const MESSAGES: &str = "mailfly_smtp_end_of_data_to_reply_seconds";
const TURNS: &str = "mailfly_loop_turn_seconds";
const TURN_CONNECTIONS: &str = "mailfly_loop_turn_connections";

/// One histogram of the text form.
struct Histogram {
    buckets: Vec<(f64, u64)>,
    count: u64,
    sum: f64,
}

impl Histogram {
    /// Reads it, and checks what is true of every histogram (OpenMetrics 1.0).
    #[track_caller]
    fn read(browser: &mut Browser, name: &str) -> Self {
        Self::of(&metrics(browser), name)
    }

    #[track_caller]
    fn of(text: &str, name: &str) -> Self {
        let value = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
        let only = |start: String| {
            let mut lines = text.lines().filter(|line| line.starts_with(&start));
            let line = lines.next().unwrap_or_else(|| panic!("no {start} in {text}"));
            assert_eq!(lines.next(), None, "{start} comes once");
            line
        };
        only(format!("# TYPE {name} histogram"));
        only(format!("# HELP {name} "));
        if name.ends_with("_seconds") {
            only(format!("# UNIT {name} seconds"));
        }
        let bucket = |line: &str| {
            let rest = line.strip_prefix(&format!("{name}_bucket{{le=\""))?;
            Some((rest.split_once('"').unwrap().0.parse::<f64>().unwrap(), value(line) as u64))
        };
        let histogram = Self {
            buckets: text.lines().filter_map(bucket).collect(),
            count: value(only(format!("{name}_count "))) as u64,
            sum: value(only(format!("{name}_sum "))),
        };
        let bounds: Vec<f64> = histogram.buckets.iter().map(|(bound, _)| *bound).collect();
        let counts: Vec<u64> = histogram.buckets.iter().map(|(_, count)| *count).collect();
        assert!(bounds.is_sorted_by(|one, next| one < next), "{name}: {bounds:?}");
        assert!(counts.is_sorted(), "{name} is cumulative: {counts:?}");
        assert_eq!(histogram.buckets.last(), Some(&(f64::INFINITY, histogram.count)), "{name}");
        histogram
    }
}

fn metrics(browser: &mut Browser) -> String {
    String::from_utf8(browser.get("/metrics").body).unwrap()
}

#[test]
fn law_there_are_as_many_values_as_messages_acknowledged_and_peers_greeted() {
    let daemon = Daemon::start(&["--memory", "2MiB", "--message-size", "16KiB", "--policy", "rfc"]);
    let mut browser = Browser::connect(daemon.http);
    assert_eq!(Histogram::read(&mut browser, BANNERS).count, 0, "readers have no banner");
    let mut client = Client::introduced(daemon.smtp);
    let mut acknowledged = 0;
    let check = |browser: &mut Browser, acknowledged: u64, why: &str| {
        let histogram = Histogram::read(browser, MESSAGES);
        assert_eq!(histogram.count, acknowledged, "{why}");
        assert_eq!(browser.metric("mailfly_smtp_messages_total"), acknowledged, "{why}");
        assert_eq!(histogram.sum > 0.0, acknowledged > 0, "{why}");
    };
    check(&mut browser, 0, "nothing came");
    for number in 0..3 {
        client.deliver("b@example.com", &message(number, 1000));
        acknowledged += 1;
    }
    check(&mut browser, acknowledged, "one at a time");

    let several =
        b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\n\
                    BDAT 3 LAST\r\nx\r\n"
            .repeat(50);
    client.send(&several);
    for _ in 0..50 * 4 {
        client.expect("250");
    }
    acknowledged += 50;
    check(&mut browser, acknowledged, "a pipelined group, each once, whoever it was for");

    // Too long; without recipients; out of order; given up.
    let too_long = message(1, 20_000);
    client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    for code in ["250", "250", "354"] {
        client.expect(code);
    }
    client.send(&[&too_long, &b"\r\n.\r\n"[..]].concat());
    client.expect("552");
    client
        .send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<>\r\nDATA\r\nRSET\r\nBDAT 2\r\nx\nRSET\r\n");
    client.expect("250");
    for _ in 0..4 {
        client.reply();
    }
    client.expect("250");
    check(&mut browser, acknowledged, "refused messages count nowhere");

    for _ in 0..10 {
        Client::introduced(daemon.smtp);
    }
    let banners = Histogram::read(&mut browser, BANNERS);
    assert_eq!(banners.count, 11);
    assert_eq!(browser.metric("mailfly_connections_total{service=\"smtp\"}"), banners.count);
    check(&mut browser, acknowledged, "connections are no messages");
    let text = metrics(&mut browser);
    let turns = Histogram::of(&text, TURNS);
    let served = Histogram::of(&text, TURN_CONNECTIONS);
    assert!(turns.count > 0 && turns.sum > 0.0);
    assert_eq!(served.count, turns.count, "each turn is told to both");
    assert!(served.sum >= 12.0 + 10.0, "those accepted, and their EHLOs: {}", served.sum);
}

#[test]
fn peers_that_are_turned_away_have_no_banner() {
    let daemon = Daemon::start(&["--memory", "2MiB", "--connections", "8"]);
    let inside: Vec<Client> = (0..7).map(|_| Client::introduced(daemon.smtp)).collect();
    Client::connect(daemon.smtp).expect("421");
    let mut browser = Browser::connect(daemon.http);
    assert_eq!(browser.metric("mailfly_connections_refused_total{service=\"smtp\"}"), 1);
    assert_eq!(Histogram::read(&mut browser, BANNERS).count, inside.len() as u64);
}

#[test]
fn the_status_tells_the_same_as_json_and_as_a_page() {
    let daemon = Daemon::start(&["--memory", "2MiB"]);
    let mut browser = Browser::connect(daemon.http);
    for number in 0..20 {
        Client::introduced(daemon.smtp).deliver("b@example.com", &message(number, 1000));
    }
    let status = browser.get("/api/v1/status");
    let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!(status["ready"], true);
    assert_eq!(status["metrics"]["mailfly_smtp_messages_total"], 20);
    assert_eq!(status["metrics"]["mailfly_connections_total{service=\"smtp\"}"], 20);
    for name in [BANNERS, MESSAGES, TURNS, TURN_CONNECTIONS] {
        let phase = &status["phases"][name];
        let told =
            ["p50", "p90", "p99", "p99.9", "max"].map(|value| phase[value].as_f64().unwrap());
        assert!(told.is_sorted() && told[4] > 0.0, "{name}: {told:?}");
        let count = phase["count"].as_u64().unwrap();
        assert!(count >= 20, "{name}: {count}");
        if name.starts_with("mailfly_smtp") {
            assert_eq!(count, 20, "{name}");
            let sum = Histogram::read(&mut browser, name).sum;
            assert!(told[4] <= sum * 1.01 && sum <= told[4] * 20.0, "{name}: {told:?}, {sum}");
        }
    }
    let page = browser.get("/status");
    assert_eq!(page.status, 200);
    let page = String::from_utf8(page.body).unwrap();
    let figures = status["metrics"].as_object().unwrap().len();
    assert_eq!(page.matches("<tr>").count(), 1 + 4 + figures, "a row for each figure");
    let text = metrics(&mut browser);
    let described = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    for (name, help) in described {
        assert!(page.contains(help), "{name} is on the page");
    }
}
