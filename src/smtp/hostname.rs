//! What the server calls itself. Not for the names that clients give themselves, which may be
//! anything: see [`command`](super::command).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::HOSTNAME_BYTES_MAX;

/// A name to greet with and to put in trace lines: ASCII letters, digits, and `.`, `-`, `_`, or
/// an address literal such as `[127.0.0.1]` (RFC 5321 section 4.1.3). So it can be written
/// anywhere in a reply, a header or a file without being quoted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

impl Hostname {
    /// The name of a host that does not know its own.
    #[must_use]
    pub fn localhost() -> Self {
        Self("localhost".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no hostname.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostnameError {
    /// It is empty.
    Empty,
    /// It is longer than a name may be.
    TooLong,
    /// It has a character that a name may not have.
    Character(char),
}

impl fmt::Display for HostnameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("a hostname is not empty"),
            Self::TooLong => write!(formatter, "a hostname has at most {HOSTNAME_BYTES_MAX} bytes"),
            Self::Character(character) if character.is_ascii() => {
                write!(formatter, "a hostname has no {character:?}")
            }
            Self::Character(character) => {
                write!(formatter, "a hostname has no {character:?}; write its ASCII form, xn--…")
            }
        }
    }
}

impl std::error::Error for HostnameError {}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, HostnameError> {
        if text.is_empty() {
            return Err(HostnameError::Empty);
        }
        if text.len() > HOSTNAME_BYTES_MAX {
            return Err(HostnameError::TooLong);
        }
        let allowed = |character: &char| {
            character.is_ascii_alphanumeric()
                || matches!(character, '.' | '-' | '_' | ':' | '[' | ']')
        };
        match text.chars().find(|character| !allowed(character)) {
            Some(character) => Err(HostnameError::Character(character)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Hostname {
    type Error = HostnameError;

    fn try_from(text: String) -> Result<Self, HostnameError> {
        text.parse()
    }
}

impl From<Hostname> for String {
    fn from(hostname: Hostname) -> Self {
        hostname.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_hostname_is_told_why() {
        let why = |text: &str| text.parse::<Hostname>().unwrap_err().to_string();
        assert_eq!(why(""), "a hostname is not empty");
        assert_eq!(why(&"a".repeat(256)), "a hostname has at most 255 bytes");
        assert_eq!(why("a b"), "a hostname has no ' '");
        assert!(why("bücher.example").ends_with("xn--…"), "and what to write instead");
        assert_eq!("mx.test".parse::<Hostname>().unwrap().to_string(), "mx.test");
    }

    #[test]
    fn a_hostname_needs_no_quotes_anywhere() {
        for text in ["mx.example.org", "localhost", "build_7", "[127.0.0.1]", "[IPv6:::1]"] {
            assert_eq!(text.parse::<Hostname>().map(String::from), Ok(text.to_owned()));
        }
        assert!("a".repeat(255).parse::<Hostname>().is_ok());
        assert_eq!("a".repeat(256).parse::<Hostname>(), Err(HostnameError::TooLong));
        assert_eq!("".parse::<Hostname>(), Err(HostnameError::Empty));
        for (text, character) in
            [("a b", ' '), ("a\r\n", '\r'), ("a\0", '\0'), ("a\"", '"'), ("bücher.example", 'ü')]
        {
            assert_eq!(text.parse::<Hostname>(), Err(HostnameError::Character(character)));
        }
    }
}
