//! What a run is to be, as it is meant: everything checked, resolved and in units. As it is typed
//! is `arguments`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use crate::arguments::{Arguments, HttpRead, IdleStage, Shape};
use crate::clock::Nanoseconds;
use crate::limits::{
    CONNECTIONS_MAX, MAILBOXES_MAX, MAILBOXES_ZIPF_MAX, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MIN,
    MESSAGES_DEFAULT, MESSAGES_MAX, RATE_MAX, RECIPIENTS_MAX, SECONDS_MAX, SIZES_MAX,
    SOURCES_DEFAULT, SOURCES_MAX, WARMUP_DEFAULT,
};

/// A whole run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) smtp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) smtps: Option<SocketAddr>,
    pub(crate) pid: Option<u32>,
    pub(crate) shape: Shape,
    pub(crate) starttls: Starttls,
    pub(crate) connections: u32,
    /// 0: without end.
    pub(crate) messages_per_connection: u32,
    pub(crate) recipients: u16,
    /// Sizes in bytes, and their weights.
    pub(crate) sizes: Vec<(usize, f64)>,
    pub(crate) mailboxes: u32,
    pub(crate) zipf: Option<f64>,
    pub(crate) mailbox_prefix: String,
    pub(crate) domain: String,
    /// 0: the system's choice.
    pub(crate) sources: u32,
    pub(crate) sources_from: Ipv4Addr,
    pub(crate) dots: bool,
    /// Messages a second; none: closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) spin: bool,
    pub(crate) warmup_ns: Nanoseconds,
    pub(crate) measure_ns: Nanoseconds,
    pub(crate) messages_max: u64,
    pub(crate) timeout_ns: Nanoseconds,
    pub(crate) verify: bool,
    pub(crate) verify_seconds: u64,
    pub(crate) p99_ns_max: Option<Nanoseconds>,
    pub(crate) rate_min: Option<f64>,
    pub(crate) errors_max: Option<u64>,
    pub(crate) side: Side,
    pub(crate) json: bool,
    pub(crate) hgrm: Option<PathBuf>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) quiet: bool,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starttls {
    NotAskedFor,
    Spoken,
    /// It was asked for, and the server does not offer it.
    NotOffered,
}

/// What goes on beside the flood.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) idle: u32,
    pub(crate) idle_stage: IdleStage,
    pub(crate) slow_writers: u32,
    pub(crate) slow_readers: u32,
    pub(crate) never_readers: u32,
    pub(crate) slow_interval_ns: Nanoseconds,
    pub(crate) http_readers: u32,
    pub(crate) http_read: HttpRead,
    pub(crate) http_never_readers: u32,
    pub(crate) stalled_handshakes: u32,
    pub(crate) resetting: u32,
    pub(crate) storm: u32,
}

impl Side {
    /// How many connections there are beside the flood at a time.
    pub(crate) fn connections(&self) -> u32 {
        let readers = self.slow_readers + self.never_readers;
        let http = self.http_readers + self.http_never_readers;
        let come_again = self.stalled_handshakes + self.resetting + self.storm;
        self.idle + self.slow_writers + readers + http + come_again
    }
}

/// Why arguments are no plan.
#[derive(Debug, PartialEq)]
pub(crate) enum PlanError {
    Unresolved(String),
    NotLoopback(SocketAddr),
    Range { flag: &'static str, from: u64, to: u64 },
    Size(String),
    Word(&'static str),
    MoreRecipientsThanMailboxes,
    Sources,
    SourcesFrom,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(address) => {
                write!(f, "{address} is no address with a port, such as 127.0.0.1:1025")
            }
            Self::NotLoopback(address) => write!(
                f,
                "{address} is not loopback, and flooding other people's servers is an attack; \
                 if it is yours, say --i-own-the-target"
            ),
            Self::Range { flag, from, to } => write!(f, "{flag} is from {from} to {to}"),
            Self::Size(text) => write!(
                f,
                "\"{text}\" is no size; sizes are {MESSAGE_BYTES_MIN} to {MESSAGE_BYTES_MAX} bytes, \
                 written 1000, 10KiB or 1MiB, and a mix of up to {SIZES_MAX} is 1KiB:80,10KiB:20"
            ),
            Self::Word(flag) => {
                write!(f, "{flag} is one or more letters, digits, hyphens and dots, at most 40")
            }
            Self::MoreRecipientsThanMailboxes => {
                write!(f, "each recipient of a message has a mailbox: --mailboxes is too few")
            }
            Self::Sources => write!(f, "--sources needs an IPv4 loopback target"),
            Self::SourcesFrom => {
                write!(f, "--sources are addresses of 127.0.0.0/8, from --sources-from on")
            }
        }
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// The plan that these arguments mean.
    ///
    /// # Errors
    /// Something is out of bounds, does not go together, or is not loopback and nobody said that it
    /// may be flooded.
    pub(crate) fn of(typed: Arguments) -> Result<Self, PlanError> {
        let smtp = target(&typed.smtp, typed.i_own_the_target)?;
        let http = target(&typed.http, typed.i_own_the_target)?;
        check(&typed)?;
        let smtps = match &typed.smtps {
            Some(text) => Some(target(text, typed.i_own_the_target)?),
            None => None,
        };
        let sizes = mix(&typed.size)?;
        let per_connection = typed.messages_per_connection.unwrap_or(0);
        let can_choose_source = smtp.is_ipv4() && smtp.ip().is_loopback();
        if typed.sources.unwrap_or(0) > 0 && !can_choose_source {
            return Err(PlanError::Sources);
        }
        let side = side(&typed);
        let many = per_connection != 0 || side.connections() + typed.connections > 1000;
        let warmup = warmup(&typed);
        let sources =
            typed.sources.unwrap_or(if many && can_choose_source { SOURCES_DEFAULT } else { 0 });
        Ok(Self {
            smtp,
            http,
            smtps,
            pid: typed.pid,
            shape: typed.shape,
            starttls: if typed.starttls { Starttls::Spoken } else { Starttls::NotAskedFor },
            connections: typed.connections,
            messages_per_connection: per_connection,
            recipients: typed.recipients,
            sizes,
            mailboxes: typed.mailboxes,
            zipf: typed.zipf,
            mailbox_prefix: typed.mailbox_prefix,
            domain: typed.domain,
            sources,
            sources_from: typed.sources_from,
            dots: typed.dots,
            rate: typed.rate,
            spin: typed.spin,
            warmup_ns: warmup.as_nanos() as u64,
            measure_ns: typed.time.as_nanos() as u64,
            messages_max: typed.messages.unwrap_or(MESSAGES_DEFAULT),
            timeout_ns: typed.timeout.as_nanos() as u64,
            verify: typed.verify,
            verify_seconds: typed.verify_seconds,
            p99_ns_max: typed.max_p99.map(|latency| latency.as_nanos() as u64),
            rate_min: typed.min_rate,
            errors_max: typed.max_errors,
            side,
            json: typed.json,
            hgrm: typed.hgrm,
            report: typed.report,
            quiet: typed.quiet,
        })
    }

    /// Whether each message has a connection to itself, so that connecting is part of it.
    pub(crate) fn connection_per_message(&self) -> bool {
        self.messages_per_connection == 1
    }
}

fn side(typed: &Arguments) -> Side {
    Side {
        idle: typed.idle,
        idle_stage: typed.idle_stage,
        slow_writers: typed.slow_writers,
        slow_readers: typed.slow_readers,
        never_readers: typed.never_readers,
        slow_interval_ns: typed.slow_interval.as_nanos() as u64,
        http_readers: typed.http_readers,
        http_read: typed.http_read,
        http_never_readers: typed.http_never_readers,
        stalled_handshakes: typed.stalled_handshakes,
        resetting: typed.resetting,
        storm: typed.storm,
    }
}

/// Who counts messages wants each of them measured.
fn warmup(typed: &Arguments) -> Duration {
    let unless_counted = if typed.messages.is_some() { Duration::ZERO } else { WARMUP_DEFAULT };
    typed.warmup.unwrap_or(unless_counted)
}

/// An address to connect to, which is loopback unless told otherwise. Every address of a name is
/// looked at, since any of them might be taken.
fn target(text: &str, owned: bool) -> Result<SocketAddr, PlanError> {
    let unresolved = || PlanError::Unresolved(text.to_owned());
    let addresses: Vec<SocketAddr> = text.to_socket_addrs().map_err(|_| unresolved())?.collect();
    if let Some(foreign) = addresses.iter().find(|address| !is_loopback(address) && !owned) {
        return Err(PlanError::NotLoopback(*foreign));
    }
    addresses.first().copied().ok_or_else(unresolved)
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn check(typed: &Arguments) -> Result<(), PlanError> {
    let side = [
        typed.idle,
        typed.slow_writers,
        typed.slow_readers,
        typed.never_readers,
        typed.http_readers,
        typed.http_never_readers,
        typed.stalled_handshakes,
        typed.resetting,
        typed.storm,
    ];
    // Who floods with nothing has to do something else.
    let connections_min = u64::from(side.iter().all(|count| *count == 0));
    let mailboxes_max = if typed.zipf.is_some() { MAILBOXES_ZIPF_MAX } else { MAILBOXES_MAX };
    let millis = |duration: Duration| duration.as_millis() as u64;
    let milli = SECONDS_MAX * 1000;
    let ranges = [
        (
            "--connections",
            u64::from(typed.connections),
            connections_min,
            u64::from(CONNECTIONS_MAX),
        ),
        (
            "--idle and others beside",
            u64::from(side.into_iter().max().unwrap_or(0)),
            0,
            u64::from(CONNECTIONS_MAX),
        ),
        (
            "--messages-per-connection",
            u64::from(typed.messages_per_connection.unwrap_or(1)),
            1,
            u64::from(u32::MAX),
        ),
        ("--recipients", u64::from(typed.recipients), 1, u64::from(RECIPIENTS_MAX)),
        ("--mailboxes", u64::from(typed.mailboxes), 1, u64::from(mailboxes_max)),
        ("--sources", u64::from(typed.sources.unwrap_or(0)), 0, u64::from(SOURCES_MAX)),
        ("--messages", typed.messages.unwrap_or(1), 1, MESSAGES_MAX),
        ("--time, in milliseconds,", millis(typed.time), 1, milli),
        ("--warmup, in milliseconds,", millis(warmup(typed)), 0, milli),
        ("--timeout, in milliseconds,", millis(typed.timeout), 1, milli),
        ("--slow-interval, in milliseconds,", millis(typed.slow_interval), 1, milli),
        ("--verify-seconds", typed.verify_seconds, 1, SECONDS_MAX),
    ];
    for (flag, value, from, to) in ranges {
        if !(from..=to).contains(&value) {
            return Err(PlanError::Range { flag, from, to });
        }
    }
    if typed.rate.is_some_and(|rate| !(0.001..=RATE_MAX).contains(&rate)) {
        return Err(PlanError::Range { flag: "--rate", from: 0, to: RATE_MAX as u64 });
    }
    if typed.zipf.is_some_and(|exponent| !(0.0..=10.0).contains(&exponent)) {
        return Err(PlanError::Range { flag: "--zipf", from: 0, to: 10 });
    }
    for (flag, word) in [("--mailbox-prefix", &typed.mailbox_prefix), ("--domain", &typed.domain)] {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        if word.is_empty() || word.len() > 40 || !word.bytes().all(fits) {
            return Err(PlanError::Word(flag));
        }
    }
    let sources = typed.sources.unwrap_or(SOURCES_DEFAULT);
    let last = u32::from(typed.sources_from).checked_add(sources);
    let is_loopback = |address: Ipv4Addr| address.is_loopback();
    if !is_loopback(typed.sources_from) || !last.is_some_and(|last| is_loopback(last.into())) {
        return Err(PlanError::SourcesFrom);
    }
    if u32::from(typed.recipients) > typed.mailboxes {
        return Err(PlanError::MoreRecipientsThanMailboxes);
    }
    Ok(())
}

/// One size, or several with weights.
fn mix(text: &str) -> Result<Vec<(usize, f64)>, PlanError> {
    let error = || PlanError::Size(text.to_owned());
    let sizes: Vec<(usize, f64)> = text
        .split(',')
        .map(|part| {
            let (size, weight) = part.split_once(':').unwrap_or((part, "1"));
            let weight: f64 = weight.trim().parse().ok()?;
            let bytes = bytes(size.trim())?;
            let fits = (MESSAGE_BYTES_MIN..=MESSAGE_BYTES_MAX).contains(&bytes);
            (fits && weight > 0.0 && weight < 1e9).then_some((bytes, weight))
        })
        .collect::<Option<_>>()
        .ok_or_else(error)?;
    if sizes.len() > SIZES_MAX { Err(error()) } else { Ok(sizes) }
}

fn bytes(text: &str) -> Option<usize> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn plan(flags: &[&str]) -> Result<Plan, PlanError> {
        let all = ["loadgen"].iter().chain(flags);
        Plan::of(Arguments::try_parse_from(all).unwrap())
    }

    #[test]
    fn a_target_that_is_not_loopback_needs_an_owner() {
        for foreign in ["192.0.2.1:25", "[2001:db8::1]:25", "0.0.0.0:25", "[::ffff:192.0.2.1]:25"] {
            for flag in ["--smtp", "--http"] {
                let refused = plan(&[flag, foreign]).unwrap_err();
                assert!(matches!(refused, PlanError::NotLoopback(_)), "{flag} {foreign}");
                assert!(plan(&[flag, foreign, "--i-own-the-target"]).is_ok());
            }
        }
        for own in ["127.0.0.1:25", "127.9.9.9:25", "[::1]:25", "[::ffff:127.0.0.1]:25"] {
            assert!(plan(&["--smtp", own]).is_ok(), "{own}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_weights() {
        let sizes = plan(&["--size", "1KiB:80,10KiB:15,100KiB:5"]).unwrap().sizes;
        assert_eq!(sizes, [(1024, 80.0), (10240, 15.0), (102_400, 5.0)]);
        for wrong in ["", "1K", "1KiB:", "1KiB:0", "1KiB,,2KiB", "100", "1GiB", "1KiB:-1"] {
            assert!(matches!(plan(&["--size", wrong]), Err(PlanError::Size(_))), "{wrong}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_no_plan() {
        for wrong in [
            ["--connections", "0"],
            ["--messages", "0"],
            ["--messages", "1000000001"],
            ["--time", "2days"],
            ["--time", "0s"],
            ["--rate", "0"],
            ["--rate", "NaN"],
            ["--zipf", "-1"],
            ["--recipients", "101"],
            ["--mailboxes", "0"],
            ["--mailbox-prefix", "a b"],
            ["--domain", "x>\r\nRSET"],
            ["--sources-from", "10.0.0.1"],
            ["--sources-from", "127.255.255.250"],
            ["--storm", "1000001"],
        ] {
            let flag = format!("{}={}", wrong[0], wrong[1]);
            assert!(plan(&[&flag]).is_err(), "{wrong:?}");
        }
    }
}
