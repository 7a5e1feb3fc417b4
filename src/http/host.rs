//! Whom a request means: the Host field, and the names that this server answers to.
//!
//! A page of any site may make its own name lead to this server's address, at its visitors (DNS
//! rebinding); to their browsers it is then one site with this server, and no rule about origins
//! holds it back. What it cannot change is the name in the Host field. So names have to be listed;
//! an address is nobody's name, and `localhost` nobody else's.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::HTTP_HOST_BYTES_MAX;

/// The Host field of a request (RFC 9112 section 3.2): a name or an address, with a port perhaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    text: &'a str,
    name: &'a str,
    literal: bool,
}

impl<'a> Host<'a> {
    /// Reads a field's value. `None` for what could be read in more than one way: no name, other
    /// characters than names have, more than one port.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            let _: Ipv6Addr = address.parse().ok()?;
            let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            return is_port.then_some(Self { text, name: address, literal: true });
        }
        let (name, port) = text.split_once(':').unwrap_or((text, ""));
        let literal = name.parse::<Ipv4Addr>().is_ok();
        (is_name(name) && is_port(port)).then_some(Self { text, name, literal })
    }

    /// All of it, as it was sent.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.text
    }

    /// Whether it is an address, or this machine's name for itself, which no name server may be
    /// asked about (RFC 6761 section 6.3).
    fn is_nobodys(self) -> bool {
        self.literal || without_root(self.name).eq_ignore_ascii_case("localhost")
    }
}

/// A name that the operator lists.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum AllowedHost {
    /// This one, in lower case.
    Name(String),
    /// Every one; written `*`.
    Any,
}

impl AllowedHost {
    /// Whether a request for this host is meant for us, if these are the names that are listed.
    pub(super) fn admit(listed: &[Self], host: Host<'_>) -> bool {
        host.is_nobodys()
            || listed.iter().any(|allowed| match allowed {
                Self::Any => true,
                Self::Name(name) => without_root(host.name).eq_ignore_ascii_case(name),
            })
    }
}

/// A text is no name to be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedHostError;

impl fmt::Display for AllowedHostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "a name is needed, without a port and in ASCII, such as mail.example; or * for any",
        )
    }
}

impl std::error::Error for AllowedHostError {}

impl FromStr for AllowedHost {
    type Err = AllowedHostError;

    fn from_str(text: &str) -> Result<Self, AllowedHostError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let name = without_root(text);
        is_name(name).then(|| Self::Name(name.to_ascii_lowercase())).ok_or(AllowedHostError)
    }
}

impl TryFrom<String> for AllowedHost {
    type Error = AllowedHostError;

    fn try_from(text: String) -> Result<Self, AllowedHostError> {
        text.parse()
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Name(name) => name,
            Self::Any => "*",
        })
    }
}

impl From<AllowedHost> for String {
    fn from(allowed: AllowedHost) -> Self {
        allowed.to_string()
    }
}

/// A name may be written with the dot of the root behind it, and means the same.
fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= HTTP_HOST_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

/// A port may be left empty (RFC 3986 section 3.2.3).
fn is_port(port: &str) -> bool {
    port.len() <= "65535".len() && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(listed: &[&str], host: &str) -> bool {
        let listed: Vec<_> = listed.iter().map(|name| name.parse().expect(name)).collect();
        AllowedHost::admit(&listed, Host::parse(host).expect(host))
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_one_port_at_most() {
        for host in ["a", "a:", "a.b:80", "A_b-c.", "127.0.0.1:65535", "[::1]", "[::1]:80"] {
            assert_eq!(Host::parse(host).expect(host).text(), host);
        }
        for text in [
            "",
            ":80",
            "a:b",
            "a:80:80",
            "a:123456",
            "a:+1",
            "::1",
            "[::1",
            "[::1]80",
            "[a]",
            "[::1%25lo]",
            "[127.0.0.1]",
            "a/b",
            "a@b",
            "a b",
            "a,b",
            "*",
            "é",
            "a\u{0}",
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
        assert_eq!(Host::parse(&"a".repeat(HTTP_HOST_BYTES_MAX + 1)), None);
    }

    #[test]
    fn law_without_a_list_only_addresses_and_localhost_are_ours() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8025",
            "192.0.2.7",
            "[::1]:8025",
            "[2001:db8::1]",
            "localhost",
            "LocalHost:8025",
            "localhost.",
            "localhost.:80",
        ] {
            assert!(admitted(&[], host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "evil-localhost",
            "127.0.0.1.evil.example",
            "127.0.0.1.",
            "0x7f.1",
            "0177.0.0.1",
            "2130706433",
            "mailfly",
            "localhost..",
            ".",
        ] {
            assert!(!admitted(&[], host), "{host}");
        }
    }

    #[test]
    fn what_is_listed_is_ours_besides_with_any_port_and_in_any_case() {
        for host in ["mail.example", "MAIL.example:443", "mail.example.", "b", "localhost", "[::1]"]
        {
            assert!(admitted(&["Mail.Example.", "b"], host), "{host}");
        }
        for host in ["example", "a.mail.example", "mail.example.evil", "mail_example", "c"] {
            assert!(!admitted(&["Mail.Example.", "b"], host), "{host}");
        }
        assert!(admitted(&["*"], "anything.at.all"));
    }

    #[test]
    fn only_names_can_be_listed() {
        for text in ["", ".", "a:80", "http://a", "*.a", "[::1]", "é", "a b", "a/"] {
            assert_eq!(text.parse::<AllowedHost>(), Err(AllowedHostError), "{text:?}");
        }
    }
}
