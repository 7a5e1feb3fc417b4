//! Who may ask for what: the one place that a request has to pass, whatever it asks for.
//!
//! ```text
//! is it meant for us     every request, before its path is looked at      421
//! does a foreign page    every route: a foreign Origin                    403
//! ask                    changes and streams: also Sec-Fetch-Site
//! who is it              as the route's reach says                        401
//! ```

use super::host::AllowedHost;
use super::request::Request;
use super::route::Reach;
use super::secret::Secrets;

/// What the operator has chosen of this.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// The names by which the server may be asked, beside addresses and `localhost`.
    pub hosts: Vec<AllowedHost>,
    /// One of these, or of those below, is needed for reading, if there are any.
    pub read: Secrets,
    /// One of these is needed for deleting and marking; if there are none, what reading needs is.
    pub change: Secrets,
}

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It names a host that this server is not.
    Misdirected,
    /// A page of another site made it.
    Foreign,
    /// Reading needs a secret, which it does not show.
    ReadSecret,
    /// Changing does.
    ChangeSecret,
}

impl Gate {
    /// Whether a request is meant for this server. One without a Host comes from no browser.
    ///
    /// # Errors
    /// [`Denied::Misdirected`].
    pub fn is_meant(&self, request: &Request<'_>) -> Result<(), Denied> {
        match request.host {
            Some(host) if !AllowedHost::admit(&self.hosts, host) => Err(Denied::Misdirected),
            _ => Ok(()),
        }
    }

    /// Whether a request may do what its route does.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, request: &Request<'_>, reach: Reach) -> Result<(), Denied> {
        // No foreign page may read an answer of ours anyway. So this costs no honest one anything,
        // and holds for what is yet to come: a browser says the origin of whoever opens a stream.
        if request.has_foreign_origin() {
            return Err(Denied::Foreign);
        }
        // Other sites may link to what is only read.
        if matches!(reach, Reach::Stream | Reach::Change) && request.is_foreign() {
            return Err(Denied::Foreign);
        }
        let shows = |secrets: &Secrets| {
            request.authorization.is_some_and(|authorization| secrets.shown_by(authorization))
        };
        // Whoever may change may read: a browser has one secret at a time.
        let reads = self.read.is_empty() || shows(&self.read) || shows(&self.change);
        let changes = if self.change.is_empty() { reads } else { shows(&self.change) };
        match reach {
            Reach::Read | Reach::Stream if !reads => Err(Denied::ReadSecret),
            Reach::Change if !changes => Err(Denied::ChangeSecret),
            Reach::Open | Reach::Read | Reach::Stream | Reach::Change => Ok(()),
        }
    }

    /// Whether not everybody may read.
    #[must_use]
    pub fn reading_needs_a_secret(&self) -> bool {
        !self.read.is_empty()
    }

    /// Whether not everybody may delete.
    #[must_use]
    pub fn changing_needs_a_secret(&self) -> bool {
        !self.change.is_empty() || self.reading_needs_a_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACHES: [Reach; 4] = [Reach::Open, Reach::Read, Reach::Stream, Reach::Change];

    fn gate(read: &str, change: &str) -> Gate {
        Gate {
            hosts: Vec::new(),
            read: read.parse().unwrap_or_default(),
            change: change.parse().unwrap_or_default(),
        }
    }

    /// What becomes of a request with these fields, for each reach.
    fn passes(gate: &Gate, fields: &str) -> [Option<Denied>; 4] {
        let head = format!("GET / HTTP/1.1\r\nHost: h:1\r\n{fields}\r\n");
        let request = Request::parse(head.as_bytes()).expect("taken").expect("whole");
        REACHES.map(|reach| gate.admit(&request, reach).err())
    }

    #[test]
    fn law_a_foreign_page_opens_no_stream_and_changes_nothing() {
        let foreign = Some(Denied::Foreign);
        for (fields, passed) in [
            ("", [None; 4]),
            ("Origin: http://h:1\r\nSec-Fetch-Site: same-origin\r\n", [None; 4]),
            ("Origin: http://x\r\n", [foreign; 4]),
            ("Origin: null\r\n", [foreign; 4]),
            ("Origin: http://x\r\nSec-Fetch-Site: cross-site\r\n", [foreign; 4]),
            ("Origin: http://h:2\r\nSec-Fetch-Site: same-site\r\n", [foreign; 4]),
            // A link from another site.
            ("Sec-Fetch-Site: cross-site\r\n", [None, None, foreign, foreign]),
        ] {
            assert_eq!(passes(&gate("", ""), fields), passed, "{fields}");
        }
    }

    #[test]
    fn law_each_secret_opens_what_it_is_for() {
        let (reads, changes) = (Some(Denied::ReadSecret), Some(Denied::ChangeSecret));
        let (reader, deleter) =
            ("Authorization: Bearer reader-1\r\n", "Authorization: Bearer deleter\r\n");
        for (read, change, fields, passed) in [
            ("", "", "", [None; 4]),
            ("", "", reader, [None; 4]),
            ("reader-1", "", "", [None, reads, reads, changes]),
            ("reader-1", "", reader, [None; 4]),
            ("reader-1", "", deleter, [None, reads, reads, changes]),
            ("", "deleter1", "", [None, None, None, changes]),
            ("", "deleter1", reader, [None, None, None, changes]),
            ("reader-1", "deleter1", "", [None, reads, reads, changes]),
            ("reader-1", "deleter1", reader, [None, None, None, changes]),
            ("reader-1", "deleter1", "Authorization: Bearer deleter1\r\n", [None; 4]),
            (
                "reader-1",
                "deleter1",
                "Authorization: Bearer deleter1\r\nAuthorization: Bearer deleter1\r\n",
                [None, reads, reads, changes],
            ),
        ] {
            assert_eq!(passes(&gate(read, change), fields), passed, "{read} {change} {fields}");
        }
    }

    #[test]
    fn law_a_secret_does_not_make_a_foreign_page_ours() {
        let fields = "Authorization: Bearer deleter1\r\nOrigin: http://x\r\n";
        assert_eq!(passes(&gate("", "deleter1"), fields), [Some(Denied::Foreign); 4]);
    }
}
