//! The generator against a small sink: every shape arrives whole, and whatever the sink does wrong
//! is found and is in the exit status.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::time::Duration;

use support::{Sink, Wrong, loadgen};

const SHAPES: [&str; 4] = ["lockstep", "pipelined", "burst", "bdat"];
/// Few messages, and never more than a few seconds.
const SHORT: [&str; 8] =
    ["--messages", "300", "--time", "20s", "--connections", "4", "--mailboxes", "10"];

fn short(more: &[&str]) -> Vec<String> {
    SHORT.iter().chain(more).map(|flag| (*flag).to_owned()).collect()
}

fn flood(sink: &Sink, more: &[&str]) -> (i32, serde_json::Value) {
    let flags = short(more);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (status, report, _) = sink.flood(&flags);
    (status, report)
}

fn verdict(report: &serde_json::Value) -> [u64; 5] {
    ["stored", "evicted", "lost", "doubled", "corrupted"]
        .map(|field| report["verify"][field].as_u64().unwrap())
}

#[test]
fn every_shape_arrives_whole_and_is_read_back() {
    for shape in SHAPES {
        for more in [
            &["--dots"][..],
            &["--messages-per-connection", "1", "--sources", "3"],
            &["--messages-per-connection", "7"],
            &["--recipients", "3", "--zipf", "1.1"],
            &["--size", "300:5,2KiB:3,200KiB:1"],
            &["--rate", "3000"],
            &["--rate", "3000", "--messages-per-connection", "1"],
        ] {
            let sink = Sink::start(Wrong::Nothing);
            let flags = [&["--shape", shape, "--verify"], more].concat();
            let (status, report) = flood(&sink, &flags);
            let copies = if more.contains(&"--recipients") { 900 } else { 300 };
            assert_eq!(verdict(&report), [copies, 0, 0, 0, 0], "{flags:?}");
            assert_eq!(report["messages"]["acknowledged"], 300, "{flags:?}");
            assert_eq!(report["errors"]["total"], 0, "{flags:?}");
            assert_eq!((status, sink.taken()), (0, 300), "{flags:?}");
        }
    }
}

#[test]
fn a_message_that_no_socket_takes_at_once_arrives_whole() {
    for shape in SHAPES {
        let sink = Sink::start(Wrong::Nothing);
        let flags = ["--messages", "6", "--connections", "2", "--size", "12MiB", "--shape", shape];
        let (status, report, _) = sink.flood(&[&flags[..], &["--verify"]].concat());
        assert_eq!((status, verdict(&report)), (0, [6, 0, 0, 0, 0]), "{shape}");
    }
}

#[test]
fn a_generator_that_was_stopped_says_that_it_fell_behind() {
    let sink = Sink::start(Wrong::Nothing);
    let child = sink.spawn(&["--rate", "500", "--time", "1s", "--connections", "8"]);
    // Stopped in the middle of its schedule, for some 100 messages of it.
    while sink.taken() < 400 {
        std::thread::yield_now();
    }
    let signal = |name: &str| {
        let pid = child.id().to_string();
        let kill = std::process::Command::new("kill").args(["-s", name, &pid]).status();
        assert!(kill.unwrap().success());
    };
    signal("STOP");
    std::thread::sleep(Duration::from_millis(200));
    signal("CONT");
    let output = child.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["generator"]["late_starts"].as_u64().unwrap() > 0, "{report:#}");
    assert!(report["warnings"].to_string().contains("fell behind"), "{report:#}");
    assert!(report["latency"]["whole"]["max"].as_f64().unwrap() > 190_000.0, "{report:#}");
}

#[test]
fn what_the_sink_does_to_one_message_is_found() {
    for (wrong, found, status) in [
        (Wrong::Nothing, [300, 0, 0, 0, 0], 0),
        (Wrong::Lose(77), [299, 0, 1, 0, 0], 4),
        (Wrong::Vanish(77), [299, 0, 1, 0, 0], 4),
        (Wrong::Evict(77), [299, 1, 0, 0, 0], 0),
        (Wrong::Double(77), [300, 0, 0, 1, 0], 4),
        (Wrong::Corrupt(77), [299, 0, 0, 0, 1], 4),
        (Wrong::Shorten(77), [299, 0, 0, 0, 1], 4),
    ] {
        let sink = Sink::start(wrong);
        let (ended, report) = flood(&sink, &["--verify"]);
        assert_eq!(verdict(&report), found, "{wrong:?}");
        assert_eq!(ended, status, "{wrong:?}");
    }
}

#[test]
fn mail_that_is_already_there_is_not_this_runs() {
    let sink = Sink::start(Wrong::Nothing);
    flood(&sink, &[]);
    let (status, report) = flood(&sink, &["--verify"]);
    assert_eq!(verdict(&report), [300, 0, 0, 0, 0]);
    assert_eq!((status, report["verify"]["foreign"].as_u64()), (0, Some(300)));
}

#[test]
fn a_stall_is_in_the_corrected_latency_and_hardly_in_the_other() {
    // One connection and 200 messages in a second: all that come due in the 400 ms wait.
    let sink = Sink::start(Wrong::Stall(60, Duration::from_millis(400)));
    let flags = ["--rate", "200", "--time", "1s", "--warmup", "0s", "--connections", "1"];
    let (status, report, _) = sink.flood(&flags);
    assert_eq!(status, 0);
    let p90 = |which: &str| report["latency"][which]["p90"].as_f64().unwrap();
    assert!(p90("whole") > 200_000.0, "{report:#}");
    assert!(p90("uncorrected") < 100_000.0, "{report:#}");
    let longest = report["latency"]["uncorrected"]["max"].as_f64().unwrap();
    assert!(longest > 390_000.0, "the one message that was under way has it");
}

#[test]
fn a_refusal_is_an_error_with_its_cause_and_not_a_loss() {
    let sink = Sink::start(Wrong::Refuse(5));
    let (status, report) = flood(&sink, &["--verify"]);
    assert_eq!(verdict(&report), [299, 0, 0, 0, 0]);
    assert_eq!(status, 0, "unless a threshold says otherwise");
    let cause = serde_json::json!([["end of data to 250: answered 452", 1]]);
    assert_eq!(report["errors"]["by_cause"], cause);
}

#[test]
fn thresholds_are_in_the_exit_status() {
    for (wrong, flags, status) in [
        (Wrong::Nothing, &["--max-p99", "1h", "--min-rate", "0.1", "--max-errors", "0"][..], 0),
        (Wrong::Nothing, &["--max-p99", "1us"], 3),
        (Wrong::Nothing, &["--min-rate", "1000000000"], 3),
        (Wrong::Refuse(5), &["--max-errors", "0"], 3),
        (Wrong::Refuse(5), &["--max-errors", "1"], 0),
        // What is lost is worse than what is slow.
        (Wrong::Lose(5), &["--max-p99", "1us", "--verify"], 4),
    ] {
        let sink = Sink::start(wrong);
        let (ended, report) = flood(&sink, flags);
        assert_eq!(ended, status, "{wrong:?} {flags:?} {report:#}");
    }
}

#[test]
fn foreign_targets_are_refused_before_anything_is_sent() {
    // Addresses that are set aside for documentation: nobody is there.
    for flag in ["--smtp", "--http"] {
        let (status, out, err) = loadgen(&[flag, "192.0.2.1:25"]);
        assert_eq!((status, out.as_str()), (2, ""));
        assert!(err.contains("--i-own-the-target"), "{err}");
    }
}

#[test]
fn no_server_and_a_lesser_one_are_said_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (status, _, err) = loadgen(&["--smtp", &nobody]);
    assert!(status == 1 && err.contains("no server"), "{err}");

    let sink = Sink::start(Wrong::OfferNothing);
    let (status, _, err) = sink.flood(&["--shape", "bdat"]);
    assert!(status == 1 && err.contains("PIPELINING"), "{err}");
    assert_eq!(flood(&sink, &[]).0, 0, "lockstep needs nothing");
}

#[test]
fn reports_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (hgrm, page) = (path("run.hgrm"), path("run.html"));
    let sink = Sink::start(Wrong::Nothing);
    let pid = std::process::id().to_string();
    let flags = ["--rate", "1000", "--hgrm", &hgrm, "--report", &page, "--pid", &pid];
    let (status, report) = flood(&sink, &flags);
    assert_eq!(status, 0, "{report:#}");
    for hgrm in [hgrm, path("run-uncorrected.hgrm")] {
        let text = std::fs::read_to_string(hgrm).unwrap();
        assert!(text.contains("1.000000000000        300"), "{text}");
    }
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert!(page.matches("<svg").count() >= 3);
    for outside in ["src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "self-contained: {outside}");
    }
    assert!(report["server"]["cpu_us_per_message"].as_f64().unwrap() > 0.0);
}

#[test]
fn connections_are_reset_at_every_stage_and_none_of_the_mail_beside_them_is_lost() {
    let sink = Sink::start(Wrong::Nothing);
    let flags = [
        &["--resetting", "22", "--storm", "3", "--stalled-handshakes", "4", "--rate", "300"][..],
        &["--never-readers", "2", "--http-never-readers", "2", "--verify"],
    ]
    .concat();
    let (status, report) = flood(&sink, &flags);
    assert_eq!((status, verdict(&report)), (0, [300, 0, 0, 0, 0]), "{report:#}");
    assert!(report["side"]["resets"].as_u64().unwrap() >= 22, "{report:#}");
    let cut_off_at = sink.cut_off_at();
    for stage in ["", "EHLO", "MAIL", "RCPT", "DATA", "BDAT", "STARTTLS"] {
        assert!(cut_off_at.contains(stage), "{stage}: {cut_off_at:?}");
    }
}

#[test]
fn they_come_from_the_addresses_that_they_are_told_to_come_from() {
    let sink = Sink::start(Wrong::Nothing);
    let flags = ["--sources", "2", "--sources-from", "127.3.0.9", "--idle", "4"];
    assert_eq!(flood(&sink, &flags).0, 0);
    let probe = "127.0.0.1";
    let expected = [probe, "127.3.0.9", "127.3.0.10"].map(|address| address.parse().unwrap());
    assert_eq!(sink.sources(), expected.into());
}

#[test]
fn without_connections_there_is_what_goes_on_beside_and_no_flood() {
    let sink = Sink::start(Wrong::Nothing);
    let flags = ["--connections", "0", "--idle", "5", "--time", "100ms", "--warmup", "0s"];
    let (status, report, _) = sink.flood(&flags);
    assert_eq!((status, sink.taken()), (0, 0), "{report:#}");
    assert_eq!(report["side"]["held_at_end"], 5, "{report:#}");
    let (status, _, errors) = sink.flood(&["--connections", "0"]);
    assert_eq!(status, 2, "{errors}");
}

#[test]
fn told_to_end_it_ends_and_reports() {
    let sink = Sink::start(Wrong::Nothing);
    let child = sink.spawn(&["--rate", "200", "--time", "10m", "--connections", "8"]);
    while sink.taken() < 150 {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(
        std::process::Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success()
    );
    let output = child.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["messages"]["unfinished"], 0, "{report:#}");
    assert!(report["seconds"].as_f64().unwrap() < 600.0, "{report:#}");
}

#[test]
fn side_loads_come_up_stay_and_are_reported() {
    for stage in ["banner", "ehlo", "mail", "rcpt", "data"] {
        let sink = Sink::start(Wrong::Nothing);
        let flags = [
            &["--idle", "20", "--idle-stage", stage, "--slow-writers", "2"][..],
            &["--slow-readers", "2", "--slow-interval", "5ms", "--http-readers", "2", "--verify"],
        ]
        .concat();
        let (status, report) = flood(&sink, &flags);
        assert_eq!((status, verdict(&report)), (0, [300, 0, 0, 0, 0]), "{stage} {report:#}");
        let side = |field: &str| report["side"][field].as_u64().unwrap();
        assert_eq!((side("settled"), side("failed"), side("lost")), (26, 0, 0), "{stage}");
        assert!(side("reads") > 0, "{stage}");
    }
}
