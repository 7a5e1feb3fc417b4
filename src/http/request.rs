//! The head of a request: bytes in, a [`Request`] or the reason for refusing it out.
//!
//! Strict, because whoever sits before us (a proxy, a cache) must never read a request otherwise
//! than we do: CRLF only, one Host, and no other in the target, one Content-Length in plain digits,
//! no Transfer-Encoding.
//! httparse judges the tokens.

use memchr::{memchr_iter, memmem};

use crate::limits::{HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_TARGET_BYTES_MAX};

use super::host::Host;
use super::response::Status;

/// A request's head, as far as anything here asks about it. Borrows from the connection's input.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// The path as it was sent, still encoded, without the query; begins with `/`.
    pub path: &'a str,
    /// The query as it was sent, without the `?`; empty if there is none.
    pub query: &'a str,
    /// The Host field. Only HTTP/1.0 comes without.
    pub host: Option<Host<'a>>,
    /// Whether the connection outlives this request (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether the client speaks HTTP/1.0 and has to be told that the connection lives.
    pub old: bool,
    /// How many bytes of body follow the head.
    pub content_length: usize,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// The Origin field.
    pub origin: Option<&'a str>,
    /// The Sec-Fetch-Site field.
    pub fetch_site: Option<&'a str>,
    /// The Sec-Fetch-Mode field.
    pub fetch_mode: Option<&'a str>,
    /// The Sec-Fetch-Dest field.
    pub fetch_dest: Option<&'a str>,
    /// The Authorization field.
    pub authorization: Option<&'a str>,
    /// The length of the head, its blank line included.
    pub head_bytes: usize,
}

/// The methods that a server is expected to know (RFC 9110 section 9, RFC 5789), whether or not any
/// route has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the methods' names")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Patch,
    Options,
    Trace,
    Connect,
}

impl Method {
    /// All of them, so that a test can try each on each route.
    pub const ALL: [Self; 9] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Delete,
        Self::Patch,
        Self::Options,
        Self::Trace,
        Self::Connect,
    ];

    /// The method's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Connect => "CONNECT",
        }
    }

    /// Whether only the head of the answer is wanted.
    #[must_use]
    pub const fn is_head(self) -> bool {
        matches!(self, Self::Head)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

/// Why a head is refused. The connection closes after each, since where the next request would
/// begin is anybody's guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not HTTP, or a field that must be right is not.
    Bad,
    /// The request target is longer than [`HTTP_TARGET_BYTES_MAX`].
    TargetTooLong,
    /// The head is longer than [`HTTP_HEAD_BYTES_MAX`] or has more than [`HTTP_HEADERS_MAX`] fields.
    HeadTooLarge,
    /// A method that nobody has heard of.
    MethodUnknown,
    /// A Transfer-Encoding; bodies come by Content-Length here.
    TransferEncoding,
    /// Neither HTTP/1.1 nor HTTP/1.0.
    Version,
    /// An Expect that is not `100-continue`.
    Expectation,
}

impl Refused {
    /// The status to answer with.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Bad => Status::BAD_REQUEST,
            Self::TargetTooLong => Status::URI_TOO_LONG,
            Self::HeadTooLarge => Status::HEADERS_TOO_LARGE,
            Self::MethodUnknown | Self::TransferEncoding => Status::NOT_IMPLEMENTED,
            Self::Version => Status::VERSION_NOT_SUPPORTED,
            Self::Expectation => Status::EXPECTATION_FAILED,
        }
    }
}

impl<'a> Request<'a> {
    /// Reads the head at the beginning of `input`; `None` while it is not there wholly.
    ///
    /// # Errors
    /// When no further byte could make it a head that is answered.
    pub fn parse(input: &'a [u8]) -> Result<Option<Self>, Refused> {
        let window = input.get(..HTTP_HEAD_BYTES_MAX).unwrap_or(input);
        let mut fields = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
        let mut head = httparse::Request::new(&mut fields);
        let head_bytes = match head.parse(window) {
            Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
            Ok(httparse::Status::Partial) => return Self::partial(input),
            Err(httparse::Error::TooManyHeaders) => return Err(Refused::HeadTooLarge),
            Err(httparse::Error::Version) => return Err(Refused::Version),
            Err(_) => return Err(Refused::Bad),
        };
        if window.get(..head_bytes).is_none_or(has_bare_lf) {
            return Err(Refused::Bad);
        }
        let old = match head.version {
            Some(1) => false,
            Some(0) => true,
            _ => return Err(Refused::Version),
        };
        let (Some(method), Some(target)) = (head.method, head.path) else {
            return Err(Refused::Bad);
        };
        if target.len() > HTTP_TARGET_BYTES_MAX {
            return Err(Refused::TargetTooLong);
        }
        let method = Method::named(method).ok_or(Refused::MethodUnknown)?;
        let (authority, target) = origin_form(target).ok_or(Refused::Bad)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method,
            path,
            query,
            host: None,
            keep_alive: !old,
            old,
            content_length: 0,
            expect_continue: false,
            origin: None,
            fetch_site: None,
            fetch_mode: None,
            fetch_dest: None,
            authorization: None,
            head_bytes,
        };
        request.read_fields(head.headers)?;
        request.name_host(authority)?;
        Ok(Some(request))
    }

    fn partial(input: &[u8]) -> Result<Option<Self>, Refused> {
        if input.len() < HTTP_HEAD_BYTES_MAX {
            return Ok(None);
        }
        let window = input.get(..HTTP_HEAD_BYTES_MAX).unwrap_or(input);
        // Blank lines before a request line are skipped (RFC 9112 section 2.2), so look past them.
        let start = window.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        let line = start.and_then(|start| window.get(start..)).unwrap_or_default();
        Err(match memmem::find(line, b"\r\n") {
            None if !line.is_empty() => Refused::TargetTooLong,
            _ => Refused::HeadTooLarge,
        })
    }

    fn read_fields(&mut self, fields: &[httparse::Header<'a>]) -> Result<(), Refused> {
        let mut content_length = None;
        let mut transfer_encoding = false;
        for field in fields {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let length = decimal(field.value).ok_or(Refused::Bad)?;
                if content_length.replace(length).is_some() {
                    return Err(Refused::Bad);
                }
            } else if is("transfer-encoding") {
                transfer_encoding = true;
            } else if is("host") {
                let host = Host::parse(text(field)?).ok_or(Refused::Bad)?;
                if self.host.replace(host).is_some() {
                    return Err(Refused::Bad);
                }
            } else if is("connection") {
                self.read_connection(text(field)?);
            } else if is("expect") {
                if !text(field)?.eq_ignore_ascii_case("100-continue") {
                    return Err(Refused::Expectation);
                }
                // An HTTP/1.0 client cannot have meant it (RFC 9110 section 10.1.1).
                self.expect_continue = !self.old;
            } else if is("origin") {
                // Two of them are as good as a foreign one.
                self.origin = Some(if self.origin.is_some() { "" } else { text(field)? });
            } else if is("sec-fetch-site") {
                self.fetch_site = Some(if self.fetch_site.is_some() { "" } else { text(field)? });
            } else if is("sec-fetch-mode") {
                self.fetch_mode = Some(if self.fetch_mode.is_some() { "" } else { text(field)? });
            } else if is("sec-fetch-dest") {
                self.fetch_dest = Some(if self.fetch_dest.is_some() { "" } else { text(field)? });
            } else if is("authorization") {
                let second = self.authorization.is_some();
                self.authorization = Some(if second { "" } else { text(field)? });
            }
        }
        match (transfer_encoding, content_length) {
            (true, Some(_)) => return Err(Refused::Bad),
            (true, None) => return Err(Refused::TransferEncoding),
            (false, length) => self.content_length = length.unwrap_or(0),
        }
        if self.host.is_none() && !self.old {
            return Err(Refused::Bad);
        }
        Ok(())
    }

    /// A target that names a host has to name the same (RFC 9112 section 3.2.2 has it overrule the
    /// field; who looks at the field, though, must not see another).
    fn name_host(&mut self, authority: Option<&'a str>) -> Result<(), Refused> {
        let Some(authority) = authority else { return Ok(()) };
        let named = Host::parse(authority).ok_or(Refused::Bad)?;
        let host = *self.host.get_or_insert(named);
        if host.text().eq_ignore_ascii_case(named.text()) { Ok(()) } else { Err(Refused::Bad) }
    }

    fn read_connection(&mut self, value: &str) {
        for option in value.split(',').map(str::trim) {
            if option.eq_ignore_ascii_case("close") {
                self.keep_alive = false;
                return;
            }
            if self.old && option.eq_ignore_ascii_case("keep-alive") {
                self.keep_alive = true;
            }
        }
    }

    /// Whether a page of some other site sent this request.
    ///
    /// A browser says so itself in Sec-Fetch-Site, but only to servers that it holds trustworthy
    /// (HTTPS, loopback); to others, and in older ones, the Origin has to be ours. Programs send
    /// neither.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.fetch_site.map_or(self.has_foreign_origin(), |site| !is_ours(site))
    }

    /// Whether a page of some other site has this fetched for itself: as an image, a script, a frame,
    /// and not because somebody follows a link there. It is never shown the answer, but could have
    /// the work done again and again, and tell one answer from another by how long they take.
    #[must_use]
    pub fn is_embedded_elsewhere(&self) -> bool {
        // The oldest browsers that say the site say no more than that.
        let is_link = self.fetch_mode.is_none_or(|mode| mode == "navigate")
            && self.fetch_dest.is_none_or(|dest| dest == "document");
        self.fetch_site.is_some_and(|site| !is_ours(site)) && !is_link
    }

    /// Whether a page of some other site sent this request, and the browser says which: it does
    /// wherever the page would learn the answer, and whenever it opens a stream or sends a form.
    #[must_use]
    pub fn has_foreign_origin(&self) -> bool {
        let Some(origin) = self.origin else { return false };
        let host = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .unwrap_or_default();
        // A form of our own pages may come from `null`; the browser then says better whose it is.
        !self.host.is_some_and(|own| own.text().eq_ignore_ascii_case(host))
            && !self.fetch_site.is_some_and(is_ours)
    }
}

/// Whether the browser says that one of our own pages, or the user, made the request.
fn is_ours(fetch_site: &str) -> bool {
    matches!(fetch_site, "same-origin" | "none")
}

/// The path and query of a target, and the host before it: a client may send a whole URL (RFC 9112
/// section 3.2.2).
fn origin_form(target: &str) -> Option<(Option<&str>, &str)> {
    if target.starts_with('/') {
        return Some((None, target));
    }
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"))?;
    let (authority, path) = rest.split_at_checked(rest.find('/')?)?;
    Some((Some(authority), path))
}

fn has_bare_lf(head: &[u8]) -> bool {
    memchr_iter(b'\n', head)
        .any(|at| at.checked_sub(1).and_then(|before| head.get(before)) != Some(&b'\r'))
}

/// Digits and nothing else: no sign, no blank, no list.
fn decimal(value: &[u8]) -> Option<usize> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn text<'a>(field: &httparse::Header<'a>) -> Result<&'a str, Refused> {
    std::str::from_utf8(field.value).map(str::trim).map_err(|_| Refused::Bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(head: &str) -> Refused {
        Request::parse(head.as_bytes()).expect_err("refused")
    }

    fn request(head: &str) -> Request<'_> {
        Request::parse(head.as_bytes()).expect("taken").expect("whole")
    }

    #[test]
    fn a_head_is_read() {
        let request = request("GET /mailbox?name=a HTTP/1.1\r\nHost: [::1]:8025\r\n\r\nrest");
        assert_eq!((request.path, request.query), ("/mailbox", "name=a"));
        assert_eq!(request.host.map(Host::text), Some("[::1]:8025"));
        assert!(request.keep_alive && !request.expect_continue);
        assert_eq!(request.head_bytes, 50);
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        for (fields, why) in [
            ("Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", Refused::Bad),
            ("Host: a\r\nTransfer-Encoding: chunked\r\n", Refused::TransferEncoding),
            ("Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n", Refused::Bad),
            ("Host: a\r\nContent-Length: +1\r\n", Refused::Bad),
            ("Host: a\r\nContent-Length: 1, 1\r\n", Refused::Bad),
            ("Host: a\r\nContent-Length: \r\n", Refused::Bad),
            ("Host: a\r\nContent-Length: 99999999999999999999999\r\n", Refused::Bad),
            ("Host: a\r\nHost: a\r\n", Refused::Bad),
            ("Host: a/b\r\n", Refused::Bad),
            ("Host: a@b\r\n", Refused::Bad),
            ("Host:\r\n", Refused::Bad),
            ("Host: a:80:80\r\n", Refused::Bad),
            ("Host: a, b\r\n", Refused::Bad),
            ("", Refused::Bad),
            ("Host : a\r\n", Refused::Bad),
            ("Host: a\r\n X: folded\r\n", Refused::Bad),
            ("Host: a\nX: y\r\n", Refused::Bad),
            ("Host: a\r\nExpect: 200-ok\r\n", Refused::Expectation),
        ] {
            assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{fields}\r\n")), why, "{fields:?}");
        }
    }

    #[test]
    fn what_is_no_request_line_is_refused() {
        for (line, why) in [
            ("GET / HTTP/2.0", Refused::Version),
            ("PRI * HTTP/2.0", Refused::Version),
            ("BREW / HTTP/1.1", Refused::MethodUnknown),
            ("get / HTTP/1.1", Refused::MethodUnknown),
            ("GET * HTTP/1.1", Refused::Bad),
            ("GET mailbox HTTP/1.1", Refused::Bad),
            ("GET /\u{0} HTTP/1.1", Refused::Bad),
            ("EHLO there", Refused::Bad),
        ] {
            assert_eq!(refused(&format!("{line}\r\nHost: a\r\n\r\n")), why, "{line:?}");
        }
    }

    #[test]
    fn a_whole_url_is_a_path() {
        assert_eq!(request("GET http://A:1/x?y HTTP/1.1\r\nHost: a:1\r\n\r\n").path, "/x");
        let old = request("GET http://a/x HTTP/1.0\r\n\r\n");
        assert_eq!((old.path, old.host.map(Host::text)), ("/x", Some("a")));
        for target in ["http://b/x", "http://a:1/x", "http:///x", "http://u@a/x", "http://a?x/"] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(refused(&head), Refused::Bad, "{target}");
        }
    }

    #[test]
    fn heads_are_bounded() {
        let long = "a".repeat(HTTP_HEAD_BYTES_MAX);
        assert_eq!(refused(&format!("GET /{long}")), Refused::TargetTooLong);
        assert_eq!(
            refused(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}")),
            Refused::HeadTooLarge
        );
        let target = "a".repeat(HTTP_TARGET_BYTES_MAX);
        assert_eq!(
            refused(&format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")),
            Refused::TargetTooLong
        );
        let many = "X: y\r\n".repeat(HTTP_HEADERS_MAX + 1);
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{many}\r\n")), Refused::HeadTooLarge);
        assert_eq!(refused(&"\r\n".repeat(HTTP_HEAD_BYTES_MAX)), Refused::HeadTooLarge);
    }

    #[test]
    fn connections_live_as_their_version_says() {
        for (version, connection, lives) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: Upgrade, Close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
            assert_eq!(request(&head).keep_alive, lives, "{head}");
        }
    }

    #[test]
    fn a_foreign_page_is_known_by_what_its_browser_says() {
        for (fields, foreign) in [
            ("", false),
            ("Sec-Fetch-Site: same-origin\r\nOrigin: null\r\n", false),
            ("Sec-Fetch-Site: none\r\n", false),
            ("Sec-Fetch-Site: same-site\r\nOrigin: http://a:1\r\n", true),
            ("Sec-Fetch-Site: cross-site\r\n", true),
            ("Sec-Fetch-Site: none\r\nSec-Fetch-Site: none\r\n", true),
            ("Origin: http://a:1\r\n", false),
            ("Origin: https://A:1\r\n", false),
            ("Origin: http://a:1\r\nOrigin: http://a:1\r\n", true),
            ("Origin: http://a:2\r\n", true),
            ("Origin: http://b\r\n", true),
            ("Origin: null\r\n", true),
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: a:1\r\n{fields}\r\n");
            assert_eq!(request(&head).is_foreign(), foreign, "{fields:?}");
        }
    }
}
