//! The table of all that can be asked of the server, and the one way to spell each path.
//!
//! A path is split at its slashes first and each segment is percent-decoded once, after that, so an
//! encoded slash never makes a new segment. The fixed words of a path match only as they are
//! written here, unencoded: `/%61pi` is not `/api`. So do ids and numbers. Only a mailbox's name may
//! need encoding; it may hold a slash, since a local-part may.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::limits::HTTP_BODY_BYTES_MAX;

use super::request::Method;

/// One thing that can be asked.
#[derive(Debug)]
pub struct Route {
    /// How it is asked. A route for GET answers HEAD too.
    pub method: Method,
    /// The path's segments.
    pub path: &'static [Segment],
    /// How far it reaches, and so who may ask for it.
    pub reach: Reach,
    /// What is done.
    pub action: Action,
    /// The longest body that may come with it.
    pub body_bytes_max: usize,
}

/// One segment of a route's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This word.
    Word(&'static str),
    /// The name of a mailbox, or an address.
    Name,
    /// The id of a message, or `latest`.
    Id,
    /// A number, counted from 0.
    Number,
}

/// How far what a route does reaches. Each has to say it; [`Gate`](super::gate::Gate) goes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It says nothing about mail: for anybody.
    Open,
    /// It says how the one who asks stands: for anybody; and how others do, for who may read.
    Own,
    /// It reads. Other sites may link to it, but not look at the answer.
    Read,
    /// It goes on telling what comes in: pages of other sites must not open it.
    Stream,
    /// It changes something, which pages of other sites must not.
    Change,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table below says it")]
pub enum Action {
    Home,
    Style,
    Find,
    MailboxPage,
    MailboxPageDelete,
    MessagePage,
    MessagePageDelete,
    MessageHtml,
    List,
    Purge,
    Show,
    Mark,
    Delete,
    Source,
    Attachment,
    Metrics,
    Status,
    StatusPage,
    Refused,
    RefusedPage,
    Livez,
    Readyz,
}

use Action as A;
use Method::{Delete, Get, Patch, Post};
use Reach::{Change, Open, Own, Read};
use Segment::{Id, Name, Number, Word};

const fn route(method: Method, path: &'static [Segment], reach: Reach, action: Action) -> Route {
    Route { method, path, reach, action, body_bytes_max: 0 }
}

const API_MAILBOX: &[Segment] = &[Word("api"), Word("v1"), Word("mailbox"), Name];
const API_MESSAGE: &[Segment] = &[Word("api"), Word("v1"), Word("mailbox"), Name, Id];
const API_SOURCE: &[Segment] =
    &[Word("api"), Word("v1"), Word("mailbox"), Name, Id, Word("source")];
const API_ATTACHMENT: &[Segment] =
    &[Word("api"), Word("v1"), Word("mailbox"), Name, Id, Word("attachment"), Number];

/// Every route.
pub const ROUTES: &[Route] = &[
    route(Get, &[], Read, A::Home),
    route(Get, &[Word("style.css")], Open, A::Style),
    route(Get, &[Word("mailbox")], Read, A::Find),
    route(Get, &[Word("mailbox"), Name], Read, A::MailboxPage),
    route(Post, &[Word("mailbox"), Name, Word("delete")], Change, A::MailboxPageDelete),
    route(Get, &[Word("mailbox"), Name, Id], Read, A::MessagePage),
    route(Post, &[Word("mailbox"), Name, Id, Word("delete")], Change, A::MessagePageDelete),
    route(Get, &[Word("mailbox"), Name, Id, Word("html")], Read, A::MessageHtml),
    route(Get, API_MAILBOX, Read, A::List),
    route(Delete, API_MAILBOX, Change, A::Purge),
    route(Get, API_MESSAGE, Read, A::Show),
    Route {
        method: Patch,
        path: API_MESSAGE,
        reach: Change,
        action: A::Mark,
        body_bytes_max: HTTP_BODY_BYTES_MAX,
    },
    route(Delete, API_MESSAGE, Change, A::Delete),
    route(Get, API_SOURCE, Read, A::Source),
    route(Get, API_ATTACHMENT, Read, A::Attachment),
    route(Get, &[Word("api"), Word("v1"), Word("status")], Read, A::Status),
    route(Get, &[Word("status")], Read, A::StatusPage),
    route(Get, &[Word("api"), Word("v1"), Word("refused")], Own, A::Refused),
    route(Get, &[Word("refused")], Own, A::RefusedPage),
    route(Get, &[Word("metrics")], Read, A::Metrics),
    route(Get, &[Word("livez")], Open, A::Livez),
    route(Get, &[Word("readyz")], Open, A::Readyz),
];

// What asks with another method than GET changes something, and nothing else does.
const _: () = {
    let mut at = 0;
    while at < ROUTES.len() {
        let route = &ROUTES[at];
        assert!(matches!(route.method, Get) != matches!(route.reach, Change));
        at += 1;
    }
};

/// The most segments that a route has.
const SEGMENTS_MAX: usize = 7;

impl Route {
    fn matches(&self, path: &[Piece<'_>]) -> bool {
        self.path.len() == path.len()
            && self.path.iter().zip(path).all(|(segment, piece)| match segment {
                Word(word) => piece.raw == *word,
                Name => true,
                Id => piece.raw == piece.text,
                Number => number(piece.raw).is_some(),
            })
    }

    /// How many of its segments are words; of two routes that match, the one with more is meant.
    fn words(&self) -> usize {
        self.path.iter().filter(|segment| matches!(segment, Word(_))).count()
    }
}

/// A route, and what its path's open segments were filled with.
#[derive(Debug)]
pub struct Found<'a> {
    /// The route.
    pub route: &'static Route,
    /// The mailbox's name, as it was asked for.
    pub name: Cow<'a, str>,
    /// The message's id, as it was asked for.
    pub id: &'a str,
    /// The number.
    pub number: usize,
}

/// Why a path leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub enum Missed {
    /// It is spelled in a way that nothing here is.
    Spelling,
    /// There is nothing.
    NotFound,
    /// There is something, but not for this method; the ones it has, for the Allow field.
    Method(String),
}

/// Finds the route for a method and a path, which is still encoded.
///
/// # Errors
/// If there is none.
pub fn find(method: Method, path: &str) -> Result<Found<'_>, Missed> {
    let pieces = split(path)?;
    let best = ROUTES
        .iter()
        .filter(|route| route.matches(&pieces))
        .map(Route::words)
        .max()
        .ok_or(Missed::NotFound)?;
    let here = ROUTES.iter().filter(|route| route.words() == best && route.matches(&pieces));
    let asked = if method == Method::Head { Get } else { method };
    let Some(route) = here.clone().find(|route| route.method == asked) else {
        let mut allow = Vec::new();
        for route in here {
            allow.push(route.method.as_str());
            if route.method == Get {
                allow.push(Method::Head.as_str());
            }
        }
        return Err(Missed::Method(allow.join(", ")));
    };
    let mut found = Found { route, name: Cow::default(), id: "", number: 0 };
    for (segment, piece) in route.path.iter().zip(pieces) {
        match segment {
            Word(_) => {}
            Name => found.name = piece.text,
            Id => found.id = piece.raw,
            Number => found.number = number(piece.raw).unwrap_or(0),
        }
    }
    Ok(found)
}

struct Piece<'a> {
    raw: &'a str,
    text: Cow<'a, str>,
}

fn split(path: &str) -> Result<Vec<Piece<'_>>, Missed> {
    let Some(rest) = path.strip_prefix('/') else { return Err(Missed::Spelling) };
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let mut pieces = Vec::with_capacity(SEGMENTS_MAX);
    for raw in rest.split('/') {
        let text = decoded(raw).ok_or(Missed::Spelling)?;
        if matches!(&*text, "." | "..") {
            return Err(Missed::Spelling);
        }
        if text.is_empty() || pieces.len() == SEGMENTS_MAX {
            return Err(Missed::NotFound);
        }
        pieces.push(Piece { raw, text });
    }
    Ok(pieces)
}

/// Decodes percent signs once. `None` for what is not text without control characters.
fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    let bytes = raw.as_bytes();
    let whole = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        bytes
            .get(at.saturating_add(1)..at.saturating_add(3))
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if !whole {
        return None;
    }
    let text = percent_decode_str(raw).decode_utf8().ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// The value of a field of a query, as a form sends it. `None` if it is not there or not text.
#[must_use]
pub fn query_value(query: &str, field: &str) -> Option<String> {
    let raw = query
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == field))
        .map(|(_, value)| value.replace('+', " "))?;
    decoded(&raw).map(Cow::into_owned)
}

/// One way to spell a number, too: no sign, no zeros before it.
fn number(text: &str) -> Option<usize> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let short = text == "0" || !text.starts_with('0');
    (plain && short).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_no_two_routes_are_the_same() {
        for (at, route) in ROUTES.iter().enumerate() {
            assert!(route.path.len() <= SEGMENTS_MAX);
            for other in ROUTES.iter().skip(at + 1) {
                assert!(
                    (route.method, route.path) != (other.method, other.path)
                        && route.action != other.action,
                    "{route:?} and {other:?}"
                );
            }
        }
    }

    #[test]
    fn law_only_these_routes_need_no_secret_for_reading() {
        for route in ROUTES {
            let expected = match route.action {
                A::Style | A::Livez | A::Readyz => Open,
                A::Refused | A::RefusedPage => Own,
                _ if route.method == Get => Read,
                _ => Change,
            };
            assert_eq!(route.reach, expected, "{route:?}");
        }
    }

    #[test]
    fn law_only_the_route_with_a_reason_takes_a_body() {
        for route in ROUTES {
            assert_eq!(route.body_bytes_max > 0, route.method == Patch, "{route:?}");
        }
    }

    #[test]
    fn there_is_one_way_to_spell_a_path() {
        for path in [
            "/%61pi/v1/mailbox/a",
            "/api/v1/mailbox/a/",
            "//api/v1/mailbox/a",
            "/api//v1/mailbox/a",
            "/api/v1%2Fmailbox/a",
            "/API/v1/mailbox/a",
            "/api/v1/mailbox/a/b/sourc%65",
            "/api/v1/mailbox/a/%6catest",
            "/mailbox/a/latest%20",
            "/api/v1/mailbox/a/b/attachment/%30",
            "/api/v1/mailbox/a/b/attachment/01",
            "/api/v1/mailbox/a/b/attachment/+1",
            "/api/v1/mailbox/a/b/attachment/99999999999999999999999",
            "/style%2Ecss",
            "/a/b/c/d/e/f/g/h/i",
        ] {
            assert_eq!(find(Get, path).expect_err(path), Missed::NotFound, "{path}");
        }
        for path in [
            "/mailbox/%00",
            "/mailbox/a%0D%0Ab",
            "/mailbox/%",
            "/mailbox/%4",
            "/mailbox/%4g",
            "/mailbox/%FF",
            "/mailbox/%C0%AF",
            "/mailbox/%ED%A0%80",
            "/mailbox/../livez",
            "/mailbox/%2e%2E/livez",
            "/./livez",
            "/mailbox/%C2%85",
            "",
        ] {
            assert_eq!(find(Get, path).expect_err(path), Missed::Spelling, "{path}");
        }
    }

    #[test]
    fn names_are_decoded_once() {
        for (path, name) in [
            ("/mailbox/a", "a"),
            ("/mailbox/a%2Fb@c", "a/b@c"),
            ("/mailbox/a+b", "a+b"),
            ("/mailbox/a%2Bb", "a+b"),
            ("/mailbox/%2541", "%41"),
            ("/mailbox/%C3%A9", "é"),
        ] {
            assert_eq!(find(Get, path).expect(path).name, name);
        }
    }

    #[test]
    fn a_mailbox_may_be_called_delete() {
        assert_eq!(find(Get, "/mailbox/delete").expect("page").route.action, A::MailboxPage);
        assert_eq!(find(Get, "/mailbox/delete/1").expect("page").route.action, A::MessagePage);
        assert_eq!(
            find(Get, "/mailbox/a/delete").expect_err("a form's target"),
            Missed::Method("POST".to_owned())
        );
    }

    #[test]
    fn queries_are_read_as_forms_send_them() {
        assert_eq!(query_value("x=1&name=a%2Bb+c%40d", "name").as_deref(), Some("a+b c@d"));
        assert_eq!(query_value("name=%00", "name"), None);
        assert_eq!(query_value("names=a", "name"), None);
        assert_eq!(query_value("", "name"), None);
    }
}
