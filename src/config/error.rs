//! Why there is no configuration, in words that say what to change.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use super::Size;
use super::units::rounded;
use crate::limits::{
    DESCRIPTORS_RESERVED, LISTENERS_MAX, MAILBOXES_MAX, MEMORY_BYTES_MAX, MESSAGE_BYTES_MAX,
};
use crate::sys::available::Available;

/// Why there is no configuration.
#[derive(Debug)]
pub enum Error {
    /// The command line is not understood, or asks for help or the version.
    Arguments(clap::Error),
    /// A variable of the environment is none of ours.
    UnknownVariable {
        /// Its name.
        name: String,
        /// The name of ours that is most like it.
        nearest: String,
    },
    /// A variable of the environment has a value that is not understood.
    Variable {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The file cannot be read.
    Unreadable {
        /// Its path, as it was given.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is not understood.
    File {
        /// Its path, as it was given.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// All is understood, and cannot be had.
    Impossible(Impossible),
}

impl Error {
    /// What the program exits with: 0 after help, 2 for what is not understood, 1 for what cannot
    /// be had.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Arguments(error) if !error.use_stderr() => 0,
            Self::Arguments(_)
            | Self::UnknownVariable { .. }
            | Self::Variable { .. }
            | Self::File { .. } => 2,
            Self::Unreadable { .. } | Self::Impossible(_) => 1,
        })
    }

    /// Tells the operator: on standard error, or on standard output if it is help that was asked
    /// for.
    ///
    /// # Errors
    /// Nobody reads what is written.
    pub fn report(&self) -> io::Result<()> {
        use io::Write as _;
        match self {
            Self::Arguments(error) => error.print(),
            _ => writeln!(io::stderr(), "mailfly: {self}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(error) => write!(formatter, "{error}"),
            Self::UnknownVariable { name, nearest } => {
                write!(
                    formatter,
                    "the environment's {name} is no variable of mailfly; {nearest} is"
                )
            }
            Self::Variable { name, reason } => {
                write!(formatter, "the environment's {name}: {reason}")
            }
            Self::Unreadable { path, error } => write!(formatter, "{}: {error}", path.display()),
            Self::File { path, reason } => write!(formatter, "{}: {reason}", path.display()),
            Self::Impossible(impossible) => impossible.fmt(formatter),
        }
    }
}

impl std::error::Error for Error {}

impl From<clap::Error> for Error {
    fn from(error: clap::Error) -> Self {
        Self::Arguments(error)
    }
}

impl From<Impossible> for Error {
    fn from(impossible: Impossible) -> Self {
        Self::Impossible(impossible)
    }
}

/// What is understood, and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Impossible {
    /// A number that has to be at least 1 is 0.
    Zero(&'static str),
    /// A list of addresses is empty.
    NoAddress(&'static str),
    /// More addresses than can be listened on.
    TooManyAddresses(usize),
    /// An address is named twice.
    AddressTwice(std::net::SocketAddr),
    /// More mailboxes than can be counted.
    TooManyMailboxes(u32),
    /// A pool larger than can be counted.
    TooMuchMemory(Size),
    /// A message longer than can be counted.
    MessageTooLong(Size),
    /// A message that no mailbox has room for.
    MessageOverMailbox {
        /// `--message-size`.
        message: Size,
        /// `--mailbox-size`.
        mailbox: Size,
        /// The least that `--mailbox-size` has to be.
        needed: Size,
    },
    /// A mailbox that the pool has no room for.
    MailboxOverMemory {
        /// `--mailbox-size`.
        mailbox: Size,
        /// `--memory`.
        memory: Size,
        /// What the pool has room for beside its table of mailboxes.
        room: Size,
    },
    /// A pool too small for its table of mailboxes and for messages on their way in.
    MemoryTooSmall {
        /// `--memory`.
        memory: Size,
        /// `--mailboxes`.
        mailboxes: u32,
        /// `--message-size`.
        message: Size,
        /// The least that `--memory` has to be.
        needed: Size,
    },
    /// More memory than there is.
    NotAvailable {
        /// What the plan comes to.
        planned: Size,
        /// What there is.
        available: Available,
    },
    /// More connections than descriptors.
    TooManyConnections {
        /// `--connections`.
        connections: u32,
        /// How many there can be.
        possible: u64,
        /// The limit on descriptors.
        descriptors: u64,
    },
    /// Not even one connection, because of the limit on descriptors.
    NoDescriptors(u64),
    /// A key for no certificate.
    KeyWithoutCertificate,
    /// A list of proxies that is none; why.
    Proxies(String),
    /// A list of whom to trust that is none; why.
    Trust(String),
    /// A rule of the guard that cannot be set so.
    Rule {
        /// Its name.
        rule: &'static str,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Impossible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero(key) => write!(formatter, "--{key} has to be at least 1"),
            Self::NoAddress(key) => write!(formatter, "--{key} needs at least one address"),
            Self::TooManyAddresses(addresses) => write!(
                formatter,
                "--smtp, --http and the like name {addresses} addresses; {LISTENERS_MAX} is the most",
            ),
            Self::AddressTwice(address) => {
                write!(formatter, "--smtp, --http and the like name {address} more than once")
            }
            Self::TooManyMailboxes(mailboxes) => {
                write!(formatter, "--mailboxes {mailboxes}: {MAILBOXES_MAX} is the most")
            }
            Self::TooMuchMemory(size) => {
                write!(formatter, "--memory {size}: {} is the most", Size(MEMORY_BYTES_MAX))
            }
            Self::MessageTooLong(size) => {
                write!(formatter, "--message-size {size}: {} is the most", Size(MESSAGE_BYTES_MAX))
            }
            Self::MessageOverMailbox { message, mailbox, needed } => write!(
                formatter,
                "a message of --message-size {message} and its envelope do not fit a mailbox of \
                 --mailbox-size {mailbox}; make --mailbox-size at least {needed}, or \
                 --message-size smaller",
            ),
            Self::MailboxOverMemory { mailbox, memory, room } => write!(
                formatter,
                "--mailbox-size {mailbox} does not fit --memory {memory}, which has {room} for \
                 mail; make --mailbox-size at most that, or --memory larger",
            ),
            Self::MemoryTooSmall { memory, mailboxes, message, needed } => write!(
                formatter,
                "--memory {memory} is too small for the table of --mailboxes {mailboxes} and for \
                 drafts of --message-size {message}; make --memory at least {needed}, or the \
                 others smaller",
            ),
            Self::NotAvailable { planned, available } => write!(
                formatter,
                "this takes {} of memory (--plan says how it comes to that), and {} are \
                 available ({}); make --memory smaller",
                rounded(planned.0),
                rounded(available.bytes),
                available.bound,
            ),
            Self::TooManyConnections { connections, possible, descriptors } => write!(
                formatter,
                "--connections {connections} needs a descriptor limit of {}, and the hard limit is \
                 {descriptors}; raise it (ulimit -Hn, LimitNOFILE=), or make --connections at most \
                 {possible}",
                u64::from(*connections).saturating_add(DESCRIPTORS_RESERVED),
            ),
            Self::NoDescriptors(descriptors) => write!(
                formatter,
                "the hard limit on descriptors is {descriptors}, and one connection needs {}; \
                 raise it (ulimit -Hn, LimitNOFILE=)",
                DESCRIPTORS_RESERVED + 1,
            ),
            Self::KeyWithoutCertificate => {
                formatter.write_str("--tls-key needs --tls-certificate, which it belongs to")
            }
            Self::Proxies(reason) => write!(formatter, "--proxy-from: {reason}"),
            Self::Trust(reason) => write!(formatter, "--trust: {reason}"),
            Self::Rule { rule, reason } => write!(formatter, "--guard-{rule}: {reason}"),
        }
    }
}

impl std::error::Error for Impossible {}
