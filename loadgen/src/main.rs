//! `loadgen`: mailfly's load generator. It floods a server of SMTP from one thread, measures
//! latency from the moment that messages should have started, and reads back what was acknowledged.
//!
//! From the bottom up; a file uses only what is above it here:
//!
//! ```text
//! limits  clock  sys  choice          bounds, time, the system, unequal choice
//! arguments  plan                     as typed; as meant
//! traffic  connection  pacing         what is sent; a conversation, sans-IO; when messages start
//! measure  ledger  desk               what is counted
//! process  timeline                   and over time
//! dial  tls  side  flood  probe  http  verify    sockets
//! report  gate  main                  what it came to
//! ```
//!
//! With --starttls `tls` lies between `flood` and `connection`, which sees only the bytes of replies.

mod arguments;
mod choice;
mod clock;
mod connection;
mod desk;
mod dial;
mod flood;
mod gate;
mod http;
mod ledger;
mod limits;
mod measure;
mod pacing;
mod plan;
mod probe;
mod process;
mod report;
mod side;
mod sys;
mod timeline;
mod tls;
mod traffic;
mod verify;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::arguments::Arguments;
use crate::choice::scramble;
use crate::flood::{Flood, Outcome};
use crate::gate::Ending;
use crate::limits::DESCRIPTORS_RESERVED;
use crate::plan::{Plan, Starttls};
use crate::report::{Summary, hgrm, html, json, table};
use crate::timeline::Timeline;
use crate::traffic::Traffic;

fn main() -> ExitCode {
    let mut plan = match Plan::of(Arguments::parse()) {
        Ok(plan) => plan,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(2);
        }
    };
    match run(&mut plan) {
        Ok(ending) => ending.into(),
        Err(error) => {
            complain(&error.to_string());
            Ending::Nothing.into()
        }
    }
}

fn run(plan: &mut Plan) -> Result<Ending, Box<dyn Error>> {
    raise_descriptors(plan)?;
    let offers = probe::probe(plan).map_err(|error| format!("{}: {error}", plan.smtp))?;
    if plan.starttls == Starttls::Spoken && !offers.starttls {
        plan.starttls = Starttls::NotOffered;
    }
    let plan = &*plan;
    let removed_before = if plan.verify { verify::removed(plan) } else { None };
    let traffic = Traffic::new(plan, run_number());
    let progress = progress(plan);
    let flood = Flood::new(plan, traffic, told_to_end()?)?;
    let mut outcome = flood.run(|timeline| show(&progress, timeline))?;
    let mut summary = Summary::of(plan, &outcome);
    if let Some(ledger) = outcome.ledger.take() {
        progress.set_message("reading back");
        let begun = outcome.begun;
        summary.verify =
            Some(verify::verify(plan, &outcome.traffic, &ledger, begun, removed_before));
    }
    progress.finish_and_clear();
    summary.checks = gate::checks(plan, &summary);
    write_files(plan, &summary, &outcome)?;
    let report = if plan.json { json::render(&summary) } else { table::render(&summary) };
    writeln!(io::stdout(), "{}", report.trim_end())?;
    Ok(gate::ending(&summary))
}

/// Set when a signal comes that asks for the end; the second ends it there.
fn told_to_end() -> io::Result<Arc<AtomicBool>> {
    let told = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&told))?;
        flag::register(signal, Arc::clone(&told))?;
    }
    Ok(told)
}

fn raise_descriptors(plan: &Plan) -> Result<(), Box<dyn Error>> {
    let limit = sys::raise_descriptors()?;
    let side = plan.side.connections();
    let needed = u64::from(plan.connections) + u64::from(side) + DESCRIPTORS_RESERVED;
    if needed > limit {
        return Err(format!("this needs {needed} descriptors, and the limit is {limit}").into());
    }
    Ok(())
}

/// Tells this run's messages from those of others.
fn run_number() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    scramble(now.as_nanos() as u64 ^ (u64::from(std::process::id()) << 40)) as u32
}

fn progress(plan: &Plan) -> ProgressBar {
    if plan.quiet {
        return ProgressBar::hidden();
    }
    // Hidden by itself where nobody looks.
    let bar = ProgressBar::new((plan.warmup_ns + plan.measure_ns) / 1_000_000);
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{bar:20} {elapsed} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(progress: &ProgressBar, timeline: &Timeline) {
    let Some(point) = timeline.points().last() else { return };
    let (acknowledged, errors) = timeline.counts();
    progress.set_position(Duration::from_nanos(point.at_ns).as_millis() as u64);
    progress.set_message(format!(
        "{acknowledged} messages, {:.0}/s, slowest {} ms, {errors} errors",
        point.rate,
        point.slowest_ns / 1_000_000
    ));
}

fn write_files(plan: &Plan, summary: &Summary, outcome: &Outcome) -> Result<(), Box<dyn Error>> {
    let measure = &outcome.measure;
    let write = |path: &Path, text: String| {
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    if let Some(path) = &plan.hgrm {
        write(path, hgrm::render(&measure.whole))?;
        if plan.rate.is_some() {
            write(&uncorrected(path), hgrm::render(&measure.uncorrected))?;
        }
    }
    if let Some(path) = &plan.report {
        write(path, html::render(summary, measure)?)?;
    }
    Ok(())
}

/// `run.hgrm` has `run-uncorrected.hgrm` beside it.
fn uncorrected(path: &Path) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let (stem, extension) = (part(path.file_stem()), part(path.extension()));
    let dot = if extension.is_empty() { "" } else { "." };
    path.with_file_name(format!("{stem}-uncorrected{dot}{extension}"))
}

fn complain(words: &str) {
    // When there is no one to read it there is nothing else to do.
    let _ = writeln!(io::stderr(), "loadgen: {words}");
}
