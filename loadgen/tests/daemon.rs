//! The generator against mailfly itself. Ignored unless MAILFLY_BINARY names its program
//! (see `build.rs`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The daemon, on ports of its own; killed when dropped.
struct Daemon {
    child: Child,
    smtp: String,
    http: String,
}

impl Daemon {
    fn start(flags: &[&str]) -> Self {
        let program = std::env::var_os("MAILFLY_BINARY").unwrap();
        let mut child = Command::new(program)
            .args(["--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(flags)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = || lines.next().unwrap().unwrap().rsplit(' ').next().unwrap().to_owned();
        let (smtp, http) = (address(), address());
        Self { child, smtp, http }
    }

    fn flood(&self, flags: &[&str]) -> serde_json::Value {
        let pid = self.child.id().to_string();
        let own = ["--smtp", &self.smtp, "--http", &self.http, "--pid", &pid];
        let bounds = ["--json", "--messages", "5000", "--time", "30s", "--verify"];
        let (status, out, err) = support::loadgen(&[&own[..], &bounds, flags].concat());
        assert_eq!(status, 0, "{flags:?} {out} {err}");
        serde_json::from_str(&out).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[cfg_attr(not(with_daemon), ignore = "needs MAILFLY_BINARY")]
fn whatever_mailfly_acknowledges_is_there() {
    for shape in ["lockstep", "pipelined", "burst", "bdat"] {
        for more in [&[][..], &["--messages-per-connection", "1"], &["--recipients", "4", "--dots"]]
        {
            // A new one for each, so that earlier mail need not be read again.
            let daemon = Daemon::start(&["--memory", "64MiB"]);
            let report = daemon.flood(&[&["--shape", shape], more].concat());
            assert_eq!(report["verify"]["lost"], 0);
            assert!(report["verify"]["stored"].as_u64().unwrap() >= 5000, "{report:#}");
            assert!(report["server"]["cpu_us_per_message"].as_f64().unwrap() > 0.0);
        }
    }
}

#[test]
#[cfg_attr(not(with_daemon), ignore = "needs MAILFLY_BINARY")]
fn what_is_encrypted_is_there_too_and_the_handshake_is_a_phase() {
    for shape in ["lockstep", "pipelined", "burst", "bdat"] {
        let daemon = Daemon::start(&["--memory", "64MiB"]);
        let flags = ["--starttls", "--shape", shape, "--size", "1KiB:9,100KiB:1", "--warmup", "0s"];
        let kept = daemon.flood(&[&flags[..], &["--messages-per-connection", "50"]].concat());
        assert_eq!(kept["verify"]["lost"], 0);
        assert!(kept.to_string().contains("TLS handshake"), "{kept:#}");
        assert!(!kept.to_string().contains("not offered"), "{kept:#}");
    }
    let daemon = Daemon::start(&["--memory", "64MiB", "--tls-connections", "0"]);
    let report = daemon.flood(&["--starttls"]);
    assert!(report.to_string().contains("STARTTLS is not offered"), "{report:#}");
}

#[test]
#[cfg_attr(not(with_daemon), ignore = "needs MAILFLY_BINARY")]
fn what_mailfly_evicts_it_answers_for() {
    let tight = ["--memory", "4MiB", "--mailboxes", "64", "--messages-per-mailbox", "20"];
    for flags in [
        // Each mailbox is full again and again.
        &["--mailboxes", "10"][..],
        // There are more names than mailboxes: whole mailboxes give way.
        &["--mailboxes", "1000", "--zipf", "0.8"],
        &["--mailboxes", "100", "--recipients", "3", "--shape", "burst"],
    ] {
        let daemon = Daemon::start(&tight);
        let report = daemon.flood(flags);
        assert!(report["verify"]["evicted"].as_u64().unwrap() > 1000, "{report:#}");
    }
}
