//! A response, and the one place that writes a response's head: date, length, and the headers that
//! keep a browser from doing more with it than show it.

use crate::limits::HTTP_RETRY_AFTER_SECONDS;

use super::date::imf_fixdate;
use super::held::{Full, Responses, Sending, Writing};
use super::request::Request;

/// What is to be said, before it is known to whom.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: Status,
    content_type: &'static str,
    policy: Policy,
    cached: bool,
    fields: Vec<(&'static str, String)>,
    body: Body,
}

/// A body, wherever it is.
#[derive(Debug)]
pub enum Body {
    /// Made on the heap; for what is short, and for pages.
    Made(Vec<u8>),
    /// Written into the memory that responses wait in; for what may be long.
    Written(Writing),
}

impl From<Vec<u8>> for Body {
    fn from(made: Vec<u8>) -> Self {
        Self::Made(made)
    }
}

impl From<String> for Body {
    fn from(made: String) -> Self {
        Self::Made(made.into_bytes())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::Made(text.into())
    }
}

impl From<Writing> for Body {
    fn from(written: Writing) -> Self {
        Self::Written(written)
    }
}

/// How the client wants it: what of the request the head depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The body is only described (HEAD).
    pub head_only: bool,
    /// The connection lives on.
    pub keep_alive: bool,
    /// The client speaks HTTP/1.0.
    pub old: bool,
}

impl Manner {
    /// As a request asks for it.
    #[must_use]
    pub(super) fn of(request: &Request<'_>) -> Self {
        let &Request { keep_alive, old, .. } = request;
        Self { head_only: request.method.is_head(), keep_alive, old }
    }
}

/// Which images of a message's HTML are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Those within it.
    Own,
    /// Those that it would fetch from anywhere too, which tells whoever is there that the message
    /// was opened, when, and from where: only if the reader asks.
    Remote,
}

/// What a browser may do with the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// Our own page: our style sheet, our frames, forms that go to us. No script.
    Page,
    /// A message's HTML: shown, and nothing else; in a frame of ours only.
    Letter(Images),
    /// Data: nothing at all.
    Data,
}

impl Policy {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Page => {
                "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; \
                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
            }
            Self::Letter(Images::Own) => {
                "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                 form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
            }
            Self::Letter(Images::Remote) => {
                "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: http: https:; \
                 form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
            }
            Self::Data => "sandbox; default-src 'none'; frame-ancestors 'none'",
        }
    }

    /// To other sites nothing is ever said. Our own pages tell ourselves, because without that a
    /// browser sends `Origin: null` with their forms, and over plain HTTP nothing else would tell
    /// our own forms from foreign ones.
    const fn referrer(self) -> &'static str {
        match self {
            Self::Page => "same-origin",
            Self::Letter(_) | Self::Data => "no-referrer",
        }
    }
}

impl Response {
    /// One of our pages.
    #[must_use]
    pub fn page(status: Status, html: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", Policy::Page, html.into())
    }

    /// The HTML of a message, for the frame in its page.
    #[must_use]
    pub fn letter(html: Writing, images: Images) -> Self {
        Self::new(Status::OK, "text/html; charset=utf-8", Policy::Letter(images), html.into())
    }

    /// JSON.
    #[must_use]
    pub fn json(status: Status, body: impl Into<Body>) -> Self {
        Self::new(status, "application/json", Policy::Data, body.into())
    }

    /// Plain text, or the bytes of a message as such.
    #[must_use]
    pub fn text(status: Status, body: impl Into<Body>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", Policy::Data, body.into())
    }

    /// Metrics.
    #[must_use]
    pub fn openmetrics(text: String) -> Self {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Self::new(Status::OK, content_type, Policy::Data, text.into())
    }

    /// Bytes of any kind, which a browser saves and does not show.
    #[must_use]
    pub fn download(content_type: &'static str, disposition: String, body: Writing) -> Self {
        Self::new(Status::OK, content_type, Policy::Data, body.into())
            .with("Content-Disposition", disposition)
    }

    /// Something of the program's own that stays as it is for an hour.
    #[must_use]
    pub fn asset(content_type: &'static str, body: &'static str) -> Self {
        let response = Self::new(Status::OK, content_type, Policy::Data, body.into());
        Self { cached: true, ..response }
    }

    /// Go and look there (303).
    #[must_use]
    pub fn see_other(location: String) -> Self {
        Self::text(Status::SEE_OTHER, "See other\n").with("Location", location)
    }

    /// The same, with one more field. A value keeps only printable ASCII, so that nothing in it can
    /// end the line.
    #[must_use]
    pub fn with(mut self, name: &'static str, mut value: String) -> Self {
        value.retain(|character| matches!(character, ' '..='~'));
        self.fields.push((name, value));
        self
    }

    fn new(status: Status, content_type: &'static str, policy: Policy, body: Body) -> Self {
        Self { status, content_type, policy, cached: false, fields: Vec::new(), body }
    }

    /// The bytes on the wire, head and body.
    ///
    /// # Errors
    /// [`Full`] if there is no room for them now.
    pub fn render(
        self,
        manner: Manner,
        unix_ms: u64,
        responses: &Responses,
    ) -> Result<Sending, Full> {
        let body = match self.body {
            Body::Written(writing) => writing,
            Body::Made(made) => {
                let mut writing = responses.begin()?;
                writing.push(&made)?;
                writing
            }
        };
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            self.status.0,
            self.status.reason(),
            imf_fixdate(unix_ms),
            self.content_type,
            body.body_bytes(),
        );
        let fixed = [
            ("Cache-Control", if self.cached { "max-age=3600" } else { "no-store" }),
            ("Content-Security-Policy", self.policy.as_str()),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", self.policy.referrer()),
            ("X-Content-Type-Options", "nosniff"),
            // No policy above keeps a browser from looking up the names that links lead to, and a
            // name of its own for each letter tells its sender who has opened it.
            ("X-DNS-Prefetch-Control", "off"),
        ];
        // Who opened our page in a window keeps no hold on it, or could count its frames and so tell what
        // is in it. A browser shows nothing that has both this and a sandbox, which is as good.
        let opener =
            (self.policy == Policy::Page).then_some(("Cross-Origin-Opener-Policy", "same-origin"));
        let own = self.fields.iter().map(|(name, value)| (*name, value.as_str()));
        let connection = match (manner.keep_alive, manner.old) {
            (false, _) => Some(("Connection", "close")),
            (true, true) => Some(("Connection", "keep-alive")),
            (true, false) => None,
        };
        let retry = HTTP_RETRY_AFTER_SECONDS.to_string();
        let retry = (self.status == Status::UNAVAILABLE).then_some(("Retry-After", retry.as_str()));
        for (name, value) in
            fixed.into_iter().chain(opener).chain(own).chain(connection).chain(retry)
        {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        body.finish(head.as_bytes(), manner.head_only)
    }
}

/// A status code (RFC 9110 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(u16);

#[allow(missing_docs, reason = "the constants are the RFC's phrases")]
impl Status {
    pub const OK: Self = Self(200);
    pub const SEE_OTHER: Self = Self(303);
    pub const BAD_REQUEST: Self = Self(400);
    pub const UNAUTHORIZED: Self = Self(401);
    pub const FORBIDDEN: Self = Self(403);
    pub const NOT_FOUND: Self = Self(404);
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    pub const GONE: Self = Self(410);
    pub const CONTENT_TOO_LARGE: Self = Self(413);
    pub const URI_TOO_LONG: Self = Self(414);
    pub const EXPECTATION_FAILED: Self = Self(417);
    pub const MISDIRECTED: Self = Self(421);
    pub const TOO_MANY_REQUESTS: Self = Self(429);
    pub const HEADERS_TOO_LARGE: Self = Self(431);
    pub const NOT_IMPLEMENTED: Self = Self(501);
    pub const UNAVAILABLE: Self = Self(503);
    pub const VERSION_NOT_SUPPORTED: Self = Self(505);

    /// The RFC's phrase.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self.0 {
            200 => "OK",
            303 => "See Other",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            410 => "Gone",
            413 => "Content Too Large",
            414 => "URI Too Long",
            417 => "Expectation Failed",
            421 => "Misdirected Request",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MIME_FILE_NAME_CHARACTERS_MAX, PATH_BYTES_MAX};

    const MANNER: Manner = Manner { head_only: false, keep_alive: true, old: false };

    fn rendered(response: Response, manner: Manner) -> String {
        let sending = response.render(manner, 0, &Responses::new(0)).expect("room");
        String::from_utf8(sending.pending().to_vec()).expect("text")
    }

    #[test]
    fn the_longest_fields_have_room_in_a_head() {
        let path = "%5C%22".repeat(PATH_BYTES_MAX) + "/mailbox/";
        assert!(rendered(Response::see_other(path.clone()), MANNER).contains(&path));
        let name = "\u{10ffff}".repeat(MIME_FILE_NAME_CHARACTERS_MAX);
        let disposition = crate::http::download::disposition(&name);
        let response = Response::text(Status::OK, "").with("Content-Disposition", disposition);
        assert!(rendered(response, MANNER).contains("filename="));
    }

    #[test]
    fn law_no_value_ends_its_line() {
        let response = Response::text(Status::OK, "x")
            .with("Location", "/a\r\nSet-Cookie: b\n\u{0}\u{85}é".to_owned());
        let bytes = rendered(response, MANNER);
        assert!(bytes.contains("Location: /aSet-Cookie: b\r\n"), "{bytes}");
    }

    #[test]
    fn head_describes_the_body_and_keeps_it() {
        let manner = Manner { head_only: true, ..MANNER };
        let text = rendered(Response::text(Status::OK, "12345"), manner);
        assert!(text.contains("Content-Length: 5\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn the_connection_is_named_where_it_is_not_as_the_version_says() {
        for (keep_alive, old, says) in [
            (true, false, None),
            (false, false, Some("Connection: close\r\n")),
            (true, true, Some("Connection: keep-alive\r\n")),
            (false, true, Some("Connection: close\r\n")),
        ] {
            let manner = Manner { head_only: false, keep_alive, old };
            let text = rendered(Response::text(Status::OK, ""), manner);
            match says {
                None => assert!(!text.contains("Connection:"), "{text}"),
                Some(field) => assert!(text.contains(field), "{text}"),
            }
        }
    }
}
