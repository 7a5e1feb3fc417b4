//! What is answered, byte for byte (RFC 5321 section 4.2; enhanced status codes, RFC 3463 and
//! 2034). Which answer is due is the session's business.
//!
//! Most replies are constants. The few that name the host or a number are put together from parts;
//! each fits in [`REPLY_BYTES_MAX`](crate::limits::REPLY_BYTES_MAX) bytes.

use crate::output::{Full, Output};

/// The one answer of `--policy curt` to every fault.
pub const NO_SUCH_USER: &[u8] = b"550 No such user\r\n";
/// To RSET and NOOP.
pub const OK: &[u8] = b"250 2.0.0 Ok\r\n";
/// To a MAIL that opened a transaction.
pub const SENDER_OK: &[u8] = b"250 2.1.0 Ok\r\n";
/// To a RCPT that added a recipient.
pub const RECIPIENT_OK: &[u8] = b"250 2.1.5 Ok\r\n";
/// To DATA.
pub const START_MAIL_INPUT: &[u8] = b"354 End data with <CR><LF>.<CR><LF>\r\n";
/// To STARTTLS (RFC 3207 section 4); what follows is the handshake.
pub const START_TLS: &[u8] = b"220 2.0.0 Ready to start TLS\r\n";
/// To VRFY, in `--policy rfc`: every address is taken, and none is looked up.
pub const CANNOT_VERIFY: &[u8] = b"252 2.5.0 Any address is accepted, none is verified\r\n";
/// To HELP, in `--policy rfc`.
pub const HELP: &[u8] =
    b"214 2.0.0 Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP\r\n";

/// What a client did wrong. Under `--policy curt` all of them are answered alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A verb that SMTP does not have.
    UnknownVerb,
    /// The first line of an HTTP request: what follows may be mail that a web page has its visitor's
    /// browser send, so the session cannot go on in any policy.
    HttpRequest,
    /// A verb that SMTP has and this server does not offer.
    UnofferedVerb,
    /// No line end within [`LINE_BYTES_MAX`](crate::limits::LINE_BYTES_MAX) bytes.
    LineTooLong,
    /// A CR or a NUL within a command.
    ControlByte,
    /// Arguments missing, malformed, or where none belong.
    Argument,
    /// MAIL without an address, or with one that is none.
    ReversePath,
    /// RCPT without an address, or with one that is none.
    ForwardPath,
    /// A path of more than [`PATH_BYTES_MAX`](crate::limits::PATH_BYTES_MAX) bytes.
    PathTooLong,
    /// A parameter of MAIL or RCPT that is unknown or not offered.
    UnknownParameter,
    /// A parameter of MAIL whose value is none of its values, or that came twice.
    ParameterValue,
    /// An address that is not ASCII, and no SMTPUTF8 in MAIL (RFC 6531 section 3.5).
    Utf8WithoutSmtputf8,
    /// BDAT without a size that can be read: where the next command begins is unknown, so the
    /// session cannot go on in any policy.
    ChunkSize,
    /// Something behind STARTTLS before the handshake: the peer would have it taken for what came
    /// encrypted (RFC 3207 section 4.2, CVE-2011-0411), so the session cannot go on in any policy.
    BehindStarttls,
    /// A command that the state of the session has no place for.
    BadSequence,
}

impl Fault {
    /// The answer of `--policy rfc`.
    #[must_use]
    pub fn reply(self) -> &'static [u8] {
        match self {
            Self::UnknownVerb => b"500 5.5.1 Command unrecognized\r\n",
            Self::HttpRequest => b"500 5.5.1 This is SMTP, closing\r\n",
            Self::UnofferedVerb => b"502 5.5.1 Command not implemented\r\n",
            Self::LineTooLong => b"500 5.5.2 Line too long\r\n",
            Self::ControlByte => b"500 5.5.2 CR or NUL within a command\r\n",
            Self::Argument => b"501 5.5.4 Syntax error in arguments\r\n",
            Self::ReversePath => b"501 5.1.7 Syntax error in reverse-path\r\n",
            Self::ForwardPath => b"501 5.1.3 Syntax error in forward-path\r\n",
            Self::PathTooLong => b"501 5.5.4 Path too long\r\n",
            Self::UnknownParameter => b"555 5.5.4 Parameter not recognized or not implemented\r\n",
            Self::ParameterValue => b"501 5.5.4 Syntax error in parameter\r\n",
            Self::Utf8WithoutSmtputf8 => b"553 5.6.7 Address needs SMTPUTF8\r\n",
            Self::ChunkSize => b"501 5.5.4 Chunk size not understood, closing\r\n",
            Self::BehindStarttls => b"503 5.5.1 Something behind STARTTLS, closing\r\n",
            Self::BadSequence => b"503 5.5.1 Bad sequence of commands\r\n",
        }
    }
}

/// What this server cannot do now, through no fault in the client's manners: answered alike in
/// both policies, and the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The drafts hold all that they may.
    DraftsFull,
    /// More than [`RECIPIENTS_MAX`](crate::limits::RECIPIENTS_MAX).
    TooManyRecipients,
    /// More bytes than a message may have.
    MessageTooLarge,
    /// An address that names no mailbox: nothing is left of its name, or too much for the store.
    NameNotAllowed,
    /// Every recipient was refused, so there is nobody to take a message for.
    NoRecipients,
    /// As many connections are encrypted as there may be (RFC 3207 section 4).
    TlsUnavailable,
    /// A message that the server does not want, for a reason that it has the whole reply for.
    Unwanted(&'static [u8]),
    /// A message that the server does not want and does not say so about: it is acknowledged, and
    /// nothing is kept. The reply does not claim that it is stored.
    Discarded,
}

impl Refusal {
    /// The answer.
    #[must_use]
    pub fn reply(self) -> &'static [u8] {
        match self {
            Self::DraftsFull => b"452 4.3.1 Insufficient storage, try again later\r\n",
            Self::TooManyRecipients => b"452 4.5.3 Too many recipients\r\n",
            Self::MessageTooLarge => b"552 5.3.4 Message too large\r\n",
            Self::NameNotAllowed => b"553 5.1.3 Mailbox name not allowed\r\n",
            Self::NoRecipients => b"554 5.5.1 No valid recipients\r\n",
            Self::TlsUnavailable => b"454 4.7.0 TLS not available now, try again later\r\n",
            Self::Unwanted(reply) => reply,
            Self::Discarded => OK,
        }
    }
}

/// Why the server ends a session of its own accord, with 421.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// The server stops.
    ShuttingDown,
    /// The client was silent, or slow, for too long.
    TimedOut,
    /// There were [`FAULTS_MAX`](crate::limits::FAULTS_MAX) faults.
    TooManyFaults,
    /// There are as many sessions as there may be.
    TooManyConnections,
    /// Its source is banned since a moment ago.
    Banned,
}

impl Goodbye {
    /// Appends the 421.
    ///
    /// # Errors
    /// [`Full`] when it does not fit; then nothing was appended.
    pub fn write(self, hostname: &str, output: &mut Output) -> Result<(), Full> {
        let (code, why): (&[u8], &[u8]) = match self {
            Self::ShuttingDown => (b"421 4.3.2 ", b" Shutting down\r\n"),
            Self::TimedOut => (b"421 4.4.2 ", b" Timed out\r\n"),
            Self::TooManyConnections => (b"421 4.3.2 ", b" Too many connections\r\n"),
            Self::TooManyFaults => (b"421 4.7.0 ", b" Too many errors\r\n"),
            Self::Banned => (b"421 4.7.0 ", b" Too many errors from your network\r\n"),
        };
        whole(output, |output| {
            output.push(code)?;
            output.push(hostname.as_bytes())?;
            output.push(why)
        })
    }
}

/// Appends what a connection gets that is not wanted, instead of a greeting (RFC 5321 section
/// 3.1): 554 if it had better not come back soon, 421 if it may.
///
/// # Errors
/// [`Full`] when it does not fit; then nothing was appended.
pub fn turned_away(
    for_long: bool,
    hostname: &str,
    why: &str,
    output: &mut Output,
) -> Result<(), Full> {
    whole(output, |output| {
        output.push(if for_long { b"554 5.7.1 " } else { b"421 4.7.0 " })?;
        output.push(hostname.as_bytes())?;
        output.push(b" ")?;
        output.push(why.as_bytes())?;
        output.push(b"\r\n")
    })
}

/// Appends the greeting of a new connection.
///
/// # Errors
/// [`Full`] when it does not fit; then nothing was appended. So for the others below.
pub fn greeting(hostname: &str, output: &mut Output) -> Result<(), Full> {
    whole(output, |output| {
        output.push(b"220 ")?;
        output.push(hostname.as_bytes())?;
        output.push(b" ESMTP mailfly\r\n")
    })
}

/// Appends the answer to HELO.
///
/// # Errors
/// [`Full`].
pub fn helo(hostname: &str, output: &mut Output) -> Result<(), Full> {
    whole(output, |output| {
        output.push(b"250 ")?;
        output.push(hostname.as_bytes())?;
        output.push(b"\r\n")
    })
}

/// Appends the answer to EHLO: the extensions, STARTTLS among them or not, and the most bytes of a
/// message (RFC 1870).
///
/// # Errors
/// [`Full`].
pub fn ehlo(
    hostname: &str,
    message_bytes_max: usize,
    starttls: bool,
    output: &mut Output,
) -> Result<(), Full> {
    whole(output, |output| {
        output.push(b"250-")?;
        output.push(hostname.as_bytes())?;
        output.push(b"\r\n250-PIPELINING\r\n250-SIZE ")?;
        decimal(message_bytes_max as u64, output)?;
        output.push(b"\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n")?;
        if starttls {
            output.push(b"250-STARTTLS\r\n")?;
        }
        output.push(b"250 CHUNKING\r\n")
    })
}

/// Appends the answer to QUIT.
///
/// # Errors
/// [`Full`].
pub fn closing(hostname: &str, output: &mut Output) -> Result<(), Full> {
    whole(output, |output| {
        output.push(b"221 2.0.0 ")?;
        output.push(hostname.as_bytes())?;
        output.push(b" Bye\r\n")
    })
}

/// Appends the answer to a chunk that was not the last (RFC 3030 section 2).
///
/// # Errors
/// [`Full`].
pub fn chunk_taken(bytes: u64, output: &mut Output) -> Result<(), Full> {
    whole(output, |output| {
        output.push(b"250 2.0.0 ")?;
        decimal(bytes, output)?;
        output.push(b" octets received\r\n")
    })
}

/// Appends the answer to a message that was stored; its id is the last word. An id too long for the
/// output is left out, because the message is stored all the same.
///
/// # Errors
/// [`Full`].
pub fn stored(id: &[u8], output: &mut Output) -> Result<(), Full> {
    whole(output, |output| {
        output.push(b"250 2.0.0 Ok: stored as ")?;
        output.push(id)?;
        output.push(b"\r\n")
    })
    .or_else(|Full| output.push(b"250 2.0.0 Ok: stored\r\n"))
}

/// Appends all of a reply or, when a part does not fit, nothing.
fn whole(
    output: &mut Output,
    append: impl FnOnce(&mut Output) -> Result<(), Full>,
) -> Result<(), Full> {
    let before = output.len();
    append(output).inspect_err(|Full| output.truncate(before))
}

/// Appends a number in decimal.
fn decimal(mut number: u64, output: &mut Output) -> Result<(), Full> {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return output.push(&digits[start..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{HOSTNAME_BYTES_MAX, REPLY_BYTES_MAX};
    use proptest::prelude::*;

    fn written(append: impl FnOnce(&mut Output) -> Result<(), Full>) -> String {
        let mut output = Output::with_capacity(REPLY_BYTES_MAX);
        append(&mut output).unwrap();
        String::from_utf8(output.as_slice().to_vec()).unwrap()
    }

    #[test]
    fn every_reply_fits_with_the_longest_hostname_and_a_fault_with_its_goodbye() {
        let hostname = "h".repeat(HOSTNAME_BYTES_MAX);
        let longest = written(|output| {
            output.push(Fault::UnknownParameter.reply())?;
            Goodbye::TooManyFaults.write(&hostname, output)
        });
        assert!(longest.ends_with(" Too many errors\r\n"));
        written(|output| ehlo(&hostname, usize::MAX, true, output));
        written(|output| greeting(&hostname, output));
        written(|output| closing(&hostname, output));
        written(|output| chunk_taken(u64::MAX, output));
    }

    #[test]
    fn ehlo_offers_what_is_kept() {
        assert_eq!(
            written(|output| ehlo("mx.test", 1_048_576, false, output)),
            "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1048576\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
             250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n"
        );
    }

    #[test]
    fn ehlo_offers_starttls_where_it_is() {
        let without = written(|output| ehlo("mx.test", 1, false, output));
        let with = written(|output| ehlo("mx.test", 1, true, output));
        assert_eq!(with.replace("250-STARTTLS\r\n", ""), without);
        assert_ne!(with, without);
    }

    #[test]
    fn the_id_is_the_last_word_and_gives_way_when_it_does_not_fit() {
        assert_eq!(written(|output| stored(b"17-4", output)), "250 2.0.0 Ok: stored as 17-4\r\n");
        let endless = "x".repeat(REPLY_BYTES_MAX);
        assert_eq!(
            written(|output| stored(endless.as_bytes(), output)),
            "250 2.0.0 Ok: stored\r\n"
        );
    }

    #[test]
    fn who_is_turned_away_is_told_whether_to_come_back_and_why() {
        let told = |for_long| {
            written(|output| turned_away(for_long, "mx.test", "Too many connections", output))
        };
        assert_eq!(told(true), "554 5.7.1 mx.test Too many connections\r\n");
        assert_eq!(told(false), "421 4.7.0 mx.test Too many connections\r\n");
    }

    #[test]
    fn a_reply_that_does_not_fit_leaves_nothing() {
        let mut output = Output::with_capacity(20);
        assert_eq!(ehlo("mx.test", 1, true, &mut output), Err(Full));
        assert_eq!(greeting("mx.test", &mut output), Err(Full));
        assert!(output.is_empty());
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_the_library_writes_them(number: u64) {
            prop_assert_eq!(written(|output| decimal(number, output)), number.to_string());
        }
    }
}
