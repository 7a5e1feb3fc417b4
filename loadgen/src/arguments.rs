//! The flags, as they are typed. What they come to, and whether they go together, is `plan`.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::limits::VERIFY_SECONDS_DEFAULT;

/// Floods an SMTP server, measures its latency honestly, and reads back every message that it
/// acknowledged.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, after_help = AFTER)]
pub(crate) struct Arguments {
    /// Send mail to this address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1025", help_heading = TARGET)]
    pub(crate) smtp: String,
    /// Read it back, and let readers read, at this address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8025", help_heading = TARGET)]
    pub(crate) http: String,
    /// Where connections are encrypted from their first byte; some of --stalled-handshakes go there.
    #[arg(long, value_name = "ADDRESS", help_heading = TARGET)]
    pub(crate) smtps: Option<String>,
    /// Flood an address that is not loopback: the server there is yours.
    #[arg(long, help_heading = TARGET)]
    pub(crate) i_own_the_target: bool,
    /// The server's process on this machine: its CPU time and memory are reported.
    #[arg(long, value_name = "PID", help_heading = TARGET)]
    pub(crate) pid: Option<u32>,

    /// What is sent without waiting for replies.
    #[arg(long, value_enum, default_value = "lockstep", help_heading = TRAFFIC)]
    pub(crate) shape: Shape,
    /// Encrypt each connection with STARTTLS, if the server offers it.
    ///
    /// Any certificate is trusted. If it is not offered, the report says so, and everything is sent
    /// in the clear.
    #[arg(long, help_heading = TRAFFIC)]
    pub(crate) starttls: bool,
    /// Connections at once; 0: none, and only what goes on beside the flood.
    #[arg(long, value_name = "COUNT", default_value_t = 64, help_heading = TRAFFIC)]
    pub(crate) connections: u32,
    /// Messages on one connection, which is closed after them. [default: without end]
    ///
    /// With 1, a connection per message, connecting is part of each message's time.
    #[arg(long, value_name = "COUNT", help_heading = TRAFFIC)]
    pub(crate) messages_per_connection: Option<u32>,
    /// Recipients of each message, each in a mailbox of its own.
    #[arg(long, value_name = "COUNT", default_value_t = 1, help_heading = TRAFFIC)]
    pub(crate) recipients: u16,
    /// Size of the messages, or sizes with their weights: 1KiB:80,10KiB:15,100KiB:5.
    ///
    /// Header fields included; at least 256 bytes.
    #[arg(long, value_name = "MIX", default_value = "1KiB", help_heading = TRAFFIC)]
    pub(crate) size: String,
    /// Mailboxes that mail is sent to.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, help_heading = TRAFFIC)]
    pub(crate) mailboxes: u32,
    /// Choose mailboxes by Zipf's law with this exponent, such as 1. [default: one after another]
    #[arg(long, value_name = "EXPONENT", help_heading = TRAFFIC)]
    pub(crate) zipf: Option<f64>,
    /// What mailboxes' names begin with; eight digits follow.
    #[arg(long, value_name = "TEXT", default_value = "load", help_heading = TRAFFIC)]
    pub(crate) mailbox_prefix: String,
    /// Domain of the recipients.
    #[arg(long, value_name = "NAME", default_value = "example.com", help_heading = TRAFFIC)]
    pub(crate) domain: String,
    /// Connect from so many addresses in turn. 0: the system's choice. [default: 64 when there are
    /// many connections or they are not kept, else 0]
    #[arg(long, value_name = "COUNT", help_heading = TRAFFIC)]
    pub(crate) sources: Option<u32>,
    /// The first of those addresses.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.2", help_heading = TRAFFIC)]
    pub(crate) sources_from: Ipv4Addr,
    /// Put lines that begin with a dot into the messages.
    #[arg(long, help_heading = TRAFFIC)]
    pub(crate) dots: bool,

    /// Open loop: start so many messages a second, whatever the server does. [default: closed
    /// loop, each connection as fast as it goes]
    #[arg(long, value_name = "PER_SECOND", help_heading = RUN)]
    pub(crate) rate: Option<f64>,
    /// Measure for so long.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration, help_heading = RUN)]
    pub(crate) time: Duration,
    /// Flood for so long before that, unmeasured. [default: 500ms, or 0s with --messages]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = RUN)]
    pub(crate) warmup: Option<Duration>,
    /// End after so many messages, if that is sooner. [default: 10000000]
    #[arg(long, value_name = "COUNT", help_heading = RUN)]
    pub(crate) messages: Option<u64>,
    /// Give up a connection that waits so long for a reply.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration, help_heading = RUN)]
    pub(crate) timeout: Duration,
    /// With --rate: wait for the next start in a busy loop instead of sleeping, which is exact but
    /// takes a whole CPU.
    #[arg(long, requires = "rate", help_heading = RUN)]
    pub(crate) spin: bool,

    /// Read everything back afterwards; lost, doubled and corrupted messages fail the run.
    #[arg(long, help_heading = CHECKS)]
    pub(crate) verify: bool,
    /// Give up reading back after so long, which fails the run.
    #[arg(long, value_name = "SECONDS", default_value_t = VERIFY_SECONDS_DEFAULT, help_heading = CHECKS)]
    pub(crate) verify_seconds: u64,
    /// Fail if the 99th percentile of the whole messages' latency is above this.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = CHECKS)]
    pub(crate) max_p99: Option<Duration>,
    /// Fail if fewer messages a second were acknowledged.
    #[arg(long, value_name = "PER_SECOND", help_heading = CHECKS)]
    pub(crate) min_rate: Option<f64>,
    /// Fail if there were more errors.
    #[arg(long, value_name = "COUNT", help_heading = CHECKS)]
    pub(crate) max_errors: Option<u64>,

    /// Hold so many idle connections besides.
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = SIDE)]
    pub(crate) idle: u32,
    /// How far the idle ones go before they fall silent.
    #[arg(long, value_enum, default_value = "ehlo", help_heading = SIDE)]
    pub(crate) idle_stage: IdleStage,
    /// So many connections that send a message one byte at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = SIDE)]
    pub(crate) slow_writers: u32,
    /// So many connections that ask for much and read one byte at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = SIDE)]
    pub(crate) slow_readers: u32,
    /// So many connections that ask for much and read nothing.
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = SIDE)]
    pub(crate) never_readers: u32,
    /// The time between two bytes of the slow ones.
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = humantime::parse_duration, help_heading = SIDE)]
    pub(crate) slow_interval: Duration,
    /// So many HTTP connections that list mailboxes and read messages, as fast as they go.
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = SIDE)]
    pub(crate) http_readers: u32,
    /// What the HTTP connections ask for.
    #[arg(long, value_enum, default_value = "both", help_heading = SIDE)]
    pub(crate) http_read: HttpRead,
    /// So many HTTP connections that ask for long lists and read nothing.
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = SIDE)]
    pub(crate) http_never_readers: u32,
    /// So many connections that begin to encrypt and go no further; those that are closed come
    /// again.
    ///
    /// With STARTTLS, and at --smtps from the first byte; with half of a ClientHello, or nothing.
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = SIDE)]
    pub(crate) stalled_handshakes: u32,
    /// So many connections at a time that are reset, each at the next stage, as fast as they go.
    ///
    /// From the first packet to the end of a message; within DATA, BDAT and a TLS handshake, too.
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = SIDE)]
    pub(crate) resetting: u32,
    /// So many connections at a time that are reset as soon as they are greeted, or after a second
    /// without that, as fast as they go.
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = SIDE)]
    pub(crate) storm: u32,

    /// Print the report as JSON instead of the table.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) json: bool,
    /// Write the whole messages' latencies in HdrHistogram's percentile format; with --rate the
    /// uncorrected ones too, beside it, with "-uncorrected" in the name.
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub(crate) hgrm: Option<PathBuf>,
    /// Write a page with the curves: latency, throughput, and with --pid the server's CPU and
    /// memory.
    #[arg(long, value_name = "FILE.html", help_heading = OUTPUT)]
    pub(crate) report: Option<PathBuf>,
    /// No progress line.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) quiet: bool,
}

const TARGET: &str = "Target";
const TRAFFIC: &str = "Traffic";
const RUN: &str = "Run";
const CHECKS: &str = "Checks";
const SIDE: &str = "Beside the flood";
const OUTPUT: &str = "Output";

/// How much is sent before a reply is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// One command, one reply.
    Lockstep,
    /// MAIL, RCPT and DATA in one write, the message in another (RFC 2920).
    Pipelined,
    /// As pipelined, with the next message's MAIL, RCPT and DATA in the write of this one's end.
    Burst,
    /// MAIL, RCPT, BDAT and the message in one write (RFC 3030).
    Bdat,
}

impl Shape {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lockstep => "lockstep",
            Self::Pipelined => "pipelined",
            Self::Burst => "burst",
            Self::Bdat => "bdat",
        }
    }
}

/// Where an idle connection stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum IdleStage {
    /// Connected, and the banner read.
    Banner,
    /// After the reply to EHLO.
    Ehlo,
    /// After the reply to MAIL.
    Mail,
    /// After the reply to RCPT.
    Rcpt,
    /// In the middle of a message.
    Data,
}

/// What a reader over HTTP asks of each mailbox in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HttpRead {
    /// A list, then the latest message as it was sent.
    Both,
    /// The list of its newest messages.
    List,
    /// Its latest message as it was sent.
    Source,
}

const AFTER: &str = "\
Latency is counted from the moment a message should have started. With --rate that is its place in
the schedule (corrected), and the time from when it really started stands beside it (uncorrected).

Without --starttls everything is sent in the clear, whatever the server offers; so is what goes on
beside the flood.

Told to end (SIGINT, SIGTERM), it ends as if its time were over, and reports; told twice, at once.

Exit codes: 0 all is well; 1 something cannot be had, or nothing was acknowledged; 2 something is
not understood; 3 a threshold was missed; 4 a message was lost, doubled or corrupted, or not all
could be read back.";
