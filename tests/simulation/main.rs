//! The server without a network: sessions, store, guard and timers between made-up clients and a
//! made-up clock, all of it from one number. Ten thousand such numbers are ten thousand histories that
//! nobody thought of, each checked after every step; one that fails says its number, and happens
//! again with it alone:
//!
//! ```sh
//! MAILFLY_SIMULATION_SEED=42 cargo test --profile simulation --test simulation
//! MAILFLY_SIMULATION_SEEDS=1000000 cargo test --profile simulation --test simulation -- --nocapture
//! ```
//!
//! ```text
//! world ─┬─ random     the number's consequences
//!        ├─ client     scripts of SMTP, and which answers are right      mail   what they send
//!        ├─ reader     scripts of HTTP
//!        ├─ wire       what is under way                                sealed TLS over it
//!        ├─ model      what was acknowledged, beside the store
//!        ├─ strangers  what the server's guard has to say to clients  ┐  judge  its rules, plainly
//!        └─ guarded    a guard beside the server's own                ┘
//! ```
//!
//! In half of the histories the server's own guard trusts everybody, and no mail may be refused or be
//! lost to it; in the others it trusts one source or none, and its rules are tight. In a tenth clients
//! may encrypt.
//!
//! Not here: sockets, epoll, the reactor's own buffers (`tests/loopback.rs`, `tests/echo.rs`), and
//! kernels that fail (`tests/faults.rs`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod client;
mod guarded;
mod judge;
mod mail;
mod model;
mod random;
mod reader;
mod sealed;
mod strangers;
mod subject;
#[path = "../support/tls.rs"]
mod tls;
mod wire;
mod world;

use std::io::{self, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use mailfly::guard::Rule;
use mailfly::http::Responses;
use world::{Operator, Report, World};

/// How many seeds a plain `cargo test` runs, in a debug build; `scripts/test` says more.
const SEEDS: u64 = 200;
/// In so many, each thing that can happen does.
const SEEDS_FOR_ALL: usize = 5_000;

/// The memory for responses is taken once for all seeds, as it takes longer than a seed does.
fn run(seed: u64, responses: &Responses, trace: bool) -> Report {
    let operator = Operator::new(seed);
    if trace {
        eprintln!("{operator:?}");
    }
    World::new(seed, &operator, responses, trace).run()
}

fn responses() -> Responses {
    Responses::new(32 * 1024)
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

#[test]
fn whatever_happens_in_whatever_order_mail_is_kept_and_nothing_leaks() {
    if let Some(seed) = variable("MAILFLY_SIMULATION_SEED") {
        let report = run(seed, &responses(), true);
        eprintln!("seed {seed}: {report:#?}");
        return;
    }
    let seeds = variable("MAILFLY_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let workers: Vec<_> = thread::scope(|scope| {
        let worker = || {
            let responses = responses();
            let mut reports = vec![];
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return Ok(reports);
                }
                let ran = panic::catch_unwind(AssertUnwindSafe(|| run(seed, &responses, false)));
                match ran {
                    Ok(report) => reports.push(report),
                    Err(_) => {
                        next.store(seeds, Ordering::Relaxed);
                        return Err(seed);
                    }
                }
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let failed = workers.iter().filter_map(|worker| worker.as_ref().err()).min();
    if let Some(seed) = failed {
        panic!(
            "a seed failed; it alone: MAILFLY_SIMULATION_SEED={seed} \
             cargo test --profile simulation --test simulation"
        );
    }
    let reports: Vec<Report> = workers.into_iter().filter_map(Result::ok).flatten().collect();
    tell(&reports, started.elapsed().as_secs_f64());
}

/// What it came to, and that what is rare was not too rare to be believed.
fn tell(reports: &[Report], seconds: f64) {
    let sum = |value: fn(&Report) -> u64| reports.iter().map(value).sum::<u64>();
    let simulated_ms = sum(|report| report.simulated_ms);
    let faster = simulated_ms as f64 / 1000.0 / seconds;
    let mut figures = vec![
        ("steps", sum(|report| report.steps)),
        ("messages", sum(|report| report.tally.messages)),
        ("copies", sum(|report| report.tally.copies)),
        ("evicted: mailbox full", sum(|report| report.tally.mailbox_full)),
        ("evicted: memory full", sum(|report| report.tally.memory_full)),
        ("    of them: pool full", sum(|report| report.tally.pool_full)),
        ("expired", sum(|report| report.tally.expired)),
        ("deleted", sum(|report| report.tally.deleted)),
        ("refused: drafts full", sum(|report| report.tally.drafts_full)),
        ("refused at the door", sum(|report| report.refused_at_the_door)),
        ("turned away by a rule", sum(|report| report.turned_away)),
        ("refused by a rule", sum(|report| report.metrics.refused_unwanted)),
        ("discarded", sum(|report| report.metrics.messages_discarded)),
        ("held back", sum(|report| report.holds)),
        ("spoke too early", sum(|report| report.metrics.early_talkers)),
        ("made way", sum(|report| report.metrics.smtp_made_way)),
        ("timed out", sum(|report| report.metrics.smtp_timeouts)),
        ("visits put off", sum(|report| report.put_off)),
        ("TLS handshakes", sum(|report| report.metrics.tls_handshakes)),
        ("STARTTLS refused", sum(|report| report.metrics.tls_connections_refused)),
        ("guards foretold to the end", sum(|report| u64::from(report.is_foretold))),
        ("    their welcomes", sum(|report| report.foretold.welcomes)),
        ("    messages they had to take", sum(|report| report.foretold.taken)),
    ];
    for rule in Rule::ALL.into_iter().filter(|rule| *rule != Rule::Bodies) {
        let found = reports.iter().map(|report| report.foretold.found[rule as usize]).sum();
        figures.push((rule.reason(), found));
    }
    let mut text = format!(
        "{} seeds in {seconds:.1} s, {:.0} a second; {:.1} h simulated, {faster:.0} x real time\n",
        reports.len(),
        reports.len() as f64 / seconds,
        simulated_ms as f64 / 3_600_000.0,
    );
    for (name, value) in &figures {
        text += &format!("    {value:>10} {name}\n");
    }
    // Past the harness, which keeps what passing tests print.
    let _ = io::stderr().write_all(text.as_bytes());
    if reports.len() >= SEEDS_FOR_ALL {
        for (name, value) in figures {
            assert!(value > 0, "{name} never happened");
        }
    }
}

#[test]
fn law_a_seed_is_a_history_and_always_the_same() {
    let responses = responses();
    for seed in 0..60 {
        let [first, second] = [run(seed, &responses, false), run(seed, &responses, false)];
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}");
        assert_eq!(first.steps, second.steps, "seed {seed}");
    }
}
