//! A command line's verb and arguments (RFC 5321 section 4.1.1), with the parameters of the
//! extensions that EHLO offers. Whether the command is in order is the session's business.

use memchr::memchr2;

use super::address::{Address, Path, PathFault};
use super::reply::Fault;
use crate::limits::HELO_BYTES_MAX;

/// A command with what it carries, borrowed from its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// HELO and the name that the client gives itself: 1 to [`HELO_BYTES_MAX`] bytes, without
    /// blanks and control bytes, otherwise anything.
    Helo(&'a [u8]),
    /// EHLO and the same.
    Ehlo(&'a [u8]),
    /// MAIL: a transaction begins.
    Mail(Mail<'a>),
    /// RCPT and the forward-path.
    Rcpt(Address<'a>),
    /// DATA: the message follows, up to its end.
    Data,
    /// BDAT: a chunk of the message follows (RFC 3030).
    Bdat {
        /// The size of the chunk, in bytes.
        bytes: u64,
        /// Whether the message ends with it.
        last: bool,
    },
    /// RSET: the transaction is off.
    Rset,
    /// NOOP, whatever stands after it.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY, whatever stands after it.
    Vrfy,
    /// EXPN, whatever stands after it.
    Expn,
    /// HELP, whatever stands after it.
    Help,
    /// STARTTLS (RFC 3207), which is not offered.
    Starttls,
}

/// What MAIL says of the message that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mail<'a> {
    /// Whom it is from.
    pub reverse_path: Path<'a>,
    /// Its size in bytes as the client reckons it (RFC 1870), if it said so. One that is too big
    /// for the type is [`u64::MAX`].
    pub size: Option<u64>,
    /// `BODY=8BITMIME` (RFC 6152).
    pub eight_bit: bool,
    /// `SMTPUTF8` (RFC 6531).
    pub smtputf8: bool,
}

/// The command on a line, whose text is without its line end.
///
/// # Errors
/// [`Fault`]: the client's, to be answered as the policy has it.
pub fn parse(line: &[u8]) -> Result<Command<'_>, Fault> {
    if memchr2(b'\r', b'\0', line).is_some() {
        return Err(Fault::ControlByte);
    }
    let Some((verb, rest)) = Verb::first(line) else {
        let is_http = HTTP_VERSIONS.iter().any(|version| line.ends_with(version));
        return Err(if is_http { Fault::HttpRequest } else { Fault::UnknownVerb });
    };
    let arguments = rest.trim_ascii();
    match verb {
        Verb::Mail => mail(arguments),
        Verb::Rcpt => rcpt(arguments),
        Verb::Data => alone(arguments, Command::Data),
        Verb::Bdat => bdat(arguments),
        Verb::Helo => client_name(arguments).map(Command::Helo),
        Verb::Ehlo => client_name(arguments).map(Command::Ehlo),
        Verb::Rset => alone(arguments, Command::Rset),
        Verb::Quit => alone(arguments, Command::Quit),
        Verb::Noop => Ok(Command::Noop),
        Verb::Vrfy => Ok(Command::Vrfy),
        Verb::Expn => Ok(Command::Expn),
        Verb::Help => Ok(Command::Help),
        Verb::Starttls => alone(arguments, Command::Starttls),
    }
}

/// What browsers put at the end of a request's first line, which begins with no verb of SMTP.
const HTTP_VERSIONS: [&[u8]; 2] = [b" HTTP/1.1", b" HTTP/1.0"];

/// What a line may begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the verbs' names")]
pub enum Verb {
    Mail,
    Rcpt,
    Data,
    Bdat,
    Helo,
    Ehlo,
    Rset,
    Quit,
    Noop,
    Vrfy,
    Expn,
    Help,
    Starttls,
}

impl Verb {
    /// All of them, the busiest first. What is missing here is no verb, so a test that tries each
    /// has tried all.
    pub const ALL: [Self; 13] = [
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Bdat,
        Self::Helo,
        Self::Ehlo,
        Self::Rset,
        Self::Quit,
        Self::Noop,
        Self::Vrfy,
        Self::Expn,
        Self::Help,
        Self::Starttls,
    ];

    /// The verb in capitals, as clients send it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::Helo => "HELO",
            Self::Ehlo => "EHLO",
            Self::Rset => "RSET",
            Self::Quit => "QUIT",
            Self::Noop => "NOOP",
            Self::Vrfy => "VRFY",
            Self::Expn => "EXPN",
            Self::Help => "HELP",
            Self::Starttls => "STARTTLS",
        }
    }

    /// The verb that a line begins with, in any case, and what follows it: nothing, or a blank and
    /// more.
    fn first(line: &[u8]) -> Option<(Self, &[u8])> {
        let (start, rest) = line.split_first_chunk::<4>()?;
        // One comparison a verb. Only a letter's two cases differ in the bit that is cleared, so
        // nothing but a verb compares equal to it.
        let start = u32::from_be_bytes(*start) & FOLD;
        let verb = Self::ALL[Self::STARTS.iter().position(|&of_verb| of_verb == start)?];
        let rest = match verb.as_str().as_bytes().split_at(4).1 {
            [] => rest,
            end => match rest.split_at_checked(end.len()) {
                Some((word, rest)) if word.eq_ignore_ascii_case(end) => rest,
                _ => return None,
            },
        };
        matches!(rest.first(), None | Some(b' ' | b'\t')).then_some((verb, rest))
    }

    /// The first four letters of each, which tell them apart.
    const STARTS: [u32; Self::ALL.len()] = {
        let mut starts = [0; Self::ALL.len()];
        let mut at = 0;
        while at < starts.len() {
            if let Some(letters) = Self::ALL[at].as_str().as_bytes().first_chunk() {
                starts[at] = u32::from_be_bytes(*letters);
            }
            at += 1;
        }
        starts
    };
}

const FOLD: u32 = 0xDFDF_DFDF;

/// A command that takes no arguments.
fn alone<'a>(arguments: &[u8], command: Command<'a>) -> Result<Command<'a>, Fault> {
    if arguments.is_empty() { Ok(command) } else { Err(Fault::Argument) }
}

/// The name after HELO or EHLO. Clients send anything there, domain or not, and some put further
/// words behind it, which are ignored.
fn client_name(arguments: &[u8]) -> Result<&[u8], Fault> {
    let (name, _) = first_word(arguments);
    let printable = !arguments.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t');
    if (1..=HELO_BYTES_MAX).contains(&name.len()) && printable {
        Ok(name)
    } else {
        Err(Fault::Argument)
    }
}

fn mail(arguments: &[u8]) -> Result<Command<'_>, Fault> {
    let path = after_keyword(arguments, b"FROM:")?;
    let (reverse_path, mut parameters) =
        Path::parse(path).map_err(|fault| path_fault(fault, Fault::ReversePath))?;
    let (mut size, mut body, mut smtputf8) = (None, None, None);
    loop {
        parameters = parameters.trim_ascii_start();
        if parameters.is_empty() {
            break;
        }
        let (parameter, rest) = first_word(parameters);
        parameters = rest;
        let (keyword, value) = match memchr::memchr(b'=', parameter) {
            Some(equals) => (&parameter[..equals], Some(&parameter[equals + 1..])),
            None => (parameter, None),
        };
        let came_before = if keyword.eq_ignore_ascii_case(b"SIZE") {
            size.replace(declared_size(value)?).is_some()
        } else if keyword.eq_ignore_ascii_case(b"BODY") {
            body.replace(eight_bit_body(value)?).is_some()
        } else if keyword.eq_ignore_ascii_case(b"SMTPUTF8") {
            smtputf8.replace(value.is_none().then_some(()).ok_or(Fault::ParameterValue)?).is_some()
        } else {
            return Err(Fault::UnknownParameter);
        };
        if came_before {
            return Err(Fault::ParameterValue);
        }
    }
    let smtputf8 = smtputf8.is_some();
    if !smtputf8 && !reverse_path.is_ascii() {
        return Err(Fault::Utf8WithoutSmtputf8);
    }
    let eight_bit = body.unwrap_or(false);
    Ok(Command::Mail(Mail { reverse_path, size, eight_bit, smtputf8 }))
}

fn declared_size(value: Option<&[u8]>) -> Result<u64, Fault> {
    let value = value.ok_or(Fault::ParameterValue)?;
    let digits = (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    if !digits {
        return Err(Fault::ParameterValue);
    }
    Ok(decimal(value).unwrap_or(u64::MAX))
}

fn eight_bit_body(value: Option<&[u8]>) -> Result<bool, Fault> {
    let value = value.ok_or(Fault::ParameterValue)?;
    if value.eq_ignore_ascii_case(b"8BITMIME") {
        Ok(true)
    } else if value.eq_ignore_ascii_case(b"7BIT") {
        Ok(false)
    } else if value.eq_ignore_ascii_case(b"BINARYMIME") {
        // A value of an extension that EHLO does not offer, rather than of none.
        Err(Fault::UnknownParameter)
    } else {
        Err(Fault::ParameterValue)
    }
}

fn rcpt(arguments: &[u8]) -> Result<Command<'_>, Fault> {
    let path = after_keyword(arguments, b"TO:")?;
    let (forward_path, parameters) =
        Path::parse(path).map_err(|fault| path_fault(fault, Fault::ForwardPath))?;
    match forward_path {
        Path::Null => Err(Fault::ForwardPath),
        Path::Address(_) if !parameters.trim_ascii_start().is_empty() => {
            Err(Fault::UnknownParameter)
        }
        Path::Address(address) => Ok(Command::Rcpt(address)),
    }
}

/// `BDAT size [LAST]`. Whatever else stands there, the chunk cannot be told from commands.
fn bdat(arguments: &[u8]) -> Result<Command<'_>, Fault> {
    let (size, rest) = first_word(arguments);
    let bytes = decimal(size).ok_or(Fault::ChunkSize)?;
    let rest = rest.trim_ascii_start();
    let last = rest.eq_ignore_ascii_case(b"LAST");
    if last || rest.is_empty() { Ok(Command::Bdat { bytes, last }) } else { Err(Fault::ChunkSize) }
}

/// The number that the digits mean; `None` if they are none, or too many.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn after_keyword<'a>(arguments: &'a [u8], keyword: &[u8]) -> Result<&'a [u8], Fault> {
    match arguments.split_at_checked(keyword.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(keyword) => Ok(rest),
        _ => Err(Fault::Argument),
    }
}

/// The bytes up to the first blank, and those from there.
fn first_word(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(memchr2(b' ', b'\t', bytes).unwrap_or(bytes.len()))
}

fn path_fault(fault: PathFault, malformed: Fault) -> Fault {
    match fault {
        PathFault::Malformed => malformed,
        PathFault::TooLong => Fault::PathTooLong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mail_of(line: &str) -> Result<(&str, Option<u64>, bool, bool), Fault> {
        match parse(line.as_bytes())? {
            Command::Mail(mail) => {
                Ok((mail.reverse_path.text(), mail.size, mail.eight_bit, mail.smtputf8))
            }
            other => unreachable!("{line} is no {other:?}"),
        }
    }

    fn fault(line: &str) -> Fault {
        parse(line.as_bytes()).expect_err(line)
    }

    #[test]
    fn verbs_are_known_in_any_case_and_nothing_else_is_one() {
        for (line, command) in [
            ("DATA", Command::Data),
            ("data  ", Command::Data),
            ("rSeT", Command::Rset),
            ("QUIT", Command::Quit),
            ("NOOP", Command::Noop),
            ("noop what ever", Command::Noop),
            ("VRFY bob", Command::Vrfy),
            ("EXPN list", Command::Expn),
            ("HELP", Command::Help),
            ("StartTLS", Command::Starttls),
            ("HELO there", Command::Helo(b"there")),
            ("EHLO [192.0.2.1] and more", Command::Ehlo(b"[192.0.2.1]")),
            ("ehlo\tunder_score\t", Command::Ehlo(b"under_score")),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(command), "{line}");
        }
        for line in ["", "NOO", "NOOPS", " NOOP", "HELO,x", "STARTTLSX", "STAR", "GET / HTTP/2"] {
            assert_eq!(fault(line), Fault::UnknownVerb, "{line}");
        }
        for line in ["GET / HTTP/1.1", "POST /a?b HTTP/1.0", "x HTTP/1.1"] {
            assert_eq!(fault(line), Fault::HttpRequest, "{line}");
        }
        assert_eq!(parse(b"NOOP HTTP/1.1"), Ok(Command::Noop), "a verb is a verb");
        for byte in 0..=u8::MAX {
            let line = [byte, b'A', b'T', b'A'];
            assert_eq!(parse(&line) == Ok(Command::Data), matches!(byte, b'D' | b'd'), "{byte}");
        }
    }

    #[test]
    fn every_verb_is_found_by_its_name_and_by_nothing_else() {
        for verb in Verb::ALL {
            let name = verb.as_str().as_bytes();
            assert_eq!(Verb::first(name), Some((verb, &b""[..])));
            assert_eq!(Verb::first(&name.to_ascii_lowercase()), Some((verb, &b""[..])));
            assert_eq!(Verb::first(&[name, b"\tx"].concat()), Some((verb, &b"\tx"[..])));
            for length in 0..name.len() {
                assert_eq!(Verb::first(&name[..length]), None, "{verb:?}");
            }
            assert_eq!(Verb::first(&[name, b"X"].concat()), None, "{verb:?}");
            for at in 0..name.len() {
                // A letter that no verb has.
                let mut other = name.to_vec();
                other[at] = b'Z';
                assert_eq!(Verb::first(&other), None, "{verb:?} at {at}");
            }
        }
    }

    #[test]
    fn a_cr_or_a_nul_within_a_command_is_a_fault() {
        for line in ["NO\rOP", "NOOP\r", "NOOP \0", "MAIL FROM:<a@b>\rRCPT TO:<c@d>"] {
            assert_eq!(fault(line), Fault::ControlByte, "{line:?}");
        }
    }

    #[test]
    fn mail_takes_the_parameters_that_are_offered() {
        assert_eq!(mail_of("MAIL FROM:<>"), Ok(("", None, false, false)));
        assert_eq!(mail_of("mail from: a@b"), Ok(("a@b", None, false, false)));
        assert_eq!(
            mail_of("MAIL FROM:<a@b> size=42 Body=8bitmime smtputf8 "),
            Ok(("a@b", Some(42), true, true))
        );
        assert_eq!(mail_of("MAIL FROM:<a@b> BODY=7BIT"), Ok(("a@b", None, false, false)));
        assert_eq!(mail_of("MAIL FROM:<é@b> SMTPUTF8"), Ok(("é@b", None, false, true)));
        let endless = "MAIL FROM:<a@b> SIZE=99999999999999999999";
        assert_eq!(mail_of(endless), Ok(("a@b", Some(u64::MAX), false, false)));
    }

    #[test]
    fn faults_name_their_cause() {
        for (line, expected) in [
            ("MAIL", Fault::Argument),
            ("MAIL <a@b>", Fault::Argument),
            ("MAIL FROM<a@b>", Fault::Argument),
            ("MAIL TO:<a@b>", Fault::Argument),
            ("MAIL FROM:", Fault::ReversePath),
            ("MAIL FROM:<bob>", Fault::ReversePath),
            ("MAIL FROM:<a@b>SIZE=1", Fault::ReversePath),
            ("MAIL FROM:<a@b> SIZE", Fault::ParameterValue),
            ("MAIL FROM:<a@b> SIZE=", Fault::ParameterValue),
            ("MAIL FROM:<a@b> SIZE=-1", Fault::ParameterValue),
            ("MAIL FROM:<a@b> SIZE=1 SIZE=2", Fault::ParameterValue),
            ("MAIL FROM:<a@b> BODY=9BIT", Fault::ParameterValue),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", Fault::UnknownParameter),
            ("MAIL FROM:<a@b> SMTPUTF8=1", Fault::ParameterValue),
            ("MAIL FROM:<a@b> RET=FULL", Fault::UnknownParameter),
            ("MAIL FROM:<é@b>", Fault::Utf8WithoutSmtputf8),
            ("RCPT TO:<>", Fault::ForwardPath),
            ("RCPT TO:bob", Fault::ForwardPath),
            ("RCPT FROM:<a@b>", Fault::Argument),
            ("RCPT TO:<a@b> NOTIFY=NEVER", Fault::UnknownParameter),
            ("DATA now", Fault::Argument),
            ("RSET x", Fault::Argument),
            ("STARTTLS x", Fault::Argument),
            ("QUIT x", Fault::Argument),
            ("HELO", Fault::Argument),
            ("EHLO  ", Fault::Argument),
            ("EHLO a\x1bb", Fault::Argument),
            ("BDAT", Fault::ChunkSize),
            ("BDAT LAST", Fault::ChunkSize),
            ("BDAT -1", Fault::ChunkSize),
            ("BDAT +1", Fault::ChunkSize),
            ("BDAT 0x10", Fault::ChunkSize),
            ("BDAT 18446744073709551616", Fault::ChunkSize),
            ("BDAT 1 LAST x", Fault::ChunkSize),
            ("BDAT 1 FIRST", Fault::ChunkSize),
        ] {
            assert_eq!(fault(line), expected, "{line}");
        }
        let long = format!("RCPT TO:<{}@b>", "a".repeat(300));
        assert_eq!(fault(&long), Fault::PathTooLong);
        assert_eq!(fault(&format!("EHLO {}", "a".repeat(HELO_BYTES_MAX + 1))), Fault::Argument);
    }

    #[test]
    fn bdat_has_a_size_and_perhaps_a_last() {
        for (line, bytes, last) in [
            ("BDAT 0 LAST", 0, true),
            ("bdat 18446744073709551615", u64::MAX, false),
            ("BDAT 0007  last", 7, true),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(Command::Bdat { bytes, last }), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(
            verb in "(MAIL FROM:|RCPT TO:|BDAT |EHLO |STARTTLS)?",
            rest in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = parse(&[verb.as_bytes(), &rest].concat());
        }
    }
}
