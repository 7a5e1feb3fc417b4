//! Who may ask for what: the one place that a request has to pass, whatever it asks for.
//!
//! ```text
//! is it meant for us     every request, before its path is looked at      421
//! does a foreign page    every route: a foreign Origin, or as part of it   403
//! ask                    changes and streams: also Sec-Fetch-Site
//! who is it              as the route's reach says                        401
//!                        after too many wrong secrets, none is looked at  429
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
    /// It needs a secret for this, and shows none.
    NoSecret(Purpose),
    /// What it shows is none of the secrets at all.
    WrongSecret(Purpose),
    /// Its source has shown so many that none is looked at for so many seconds.
    Unchecked(u64),
}

/// What a secret is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To read.
    Read,
    /// To delete or mark.
    Change,
}

/// What a request that passes, or would if it needed nothing, has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Nothing, or nothing that anybody looks at.
    Nothing,
    /// What opens what reading does.
    Read,
    /// What opens all.
    Change,
    /// What opens nothing.
    Wrong,
    /// It was not looked at, and is not for so many seconds.
    Unchecked(u64),
}

/// How far a request that passes may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// It may see what concerns others, too.
    pub reads: bool,
    /// It may change what is here, as far as anybody has looked.
    pub changes: bool,
    /// It showed a wrong secret where none was needed to pass.
    pub guessed: bool,
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

    /// Whether a request may do what its route does. `wait_seconds`: for so long no secret of its
    /// source's is to be looked at, right or wrong.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(
        &self,
        request: &Request<'_>,
        reach: Reach,
        wait_seconds: Option<u64>,
    ) -> Result<Passed, Denied> {
        // No foreign page may read an answer of ours anyway. So this costs no honest one anything,
        // and holds for what is yet to come: a browser says the origin of whoever opens a stream.
        if request.has_foreign_origin() || request.is_embedded_elsewhere() {
            return Err(Denied::Foreign);
        }
        // Other sites may link to what is only read.
        if matches!(reach, Reach::Stream | Reach::Change) && request.is_foreign() {
            return Err(Denied::Foreign);
        }
        // What is not needed is not looked at, or it could be tried where nobody counts.
        let needed = match reach {
            Reach::Open => false,
            Reach::Own | Reach::Read | Reach::Stream => self.reading_needs_a_secret(),
            Reach::Change => self.changing_needs_a_secret(),
        };
        let shown = if needed { self.shown(request, wait_seconds) } else { Shown::Nothing };
        // Whoever may change may read: a browser has one secret at a time.
        let reads = self.read.is_empty() || matches!(shown, Shown::Read | Shown::Change);
        let changes = if self.change.is_empty() { reads } else { shown == Shown::Change };
        let (passes, purpose) = match reach {
            Reach::Open | Reach::Own => (true, Purpose::Read),
            Reach::Read | Reach::Stream => (reads, Purpose::Read),
            Reach::Change => (changes, Purpose::Change),
        };
        match shown {
            _ if passes => Ok(Passed { reads, changes, guessed: shown == Shown::Wrong }),
            Shown::Wrong => Err(Denied::WrongSecret(purpose)),
            Shown::Unchecked(seconds) => Err(Denied::Unchecked(seconds)),
            // Who reads with one secret is asked for the other, and has guessed at nothing.
            Shown::Nothing | Shown::Read | Shown::Change => Err(Denied::NoSecret(purpose)),
        }
    }

    fn shown(&self, request: &Request<'_>, wait_seconds: Option<u64>) -> Shown {
        let Some(authorization) = request.authorization else { return Shown::Nothing };
        if let Some(seconds) = wait_seconds {
            return Shown::Unchecked(seconds);
        }
        // Both are compared, whichever it is.
        let (reads, changes) =
            (self.read.shown_by(authorization), self.change.shown_by(authorization));
        match (reads, changes) {
            (_, true) => Shown::Change,
            (true, false) => Shown::Read,
            (false, false) => Shown::Wrong,
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
    const WAIT_SECONDS: u64 = 7;

    fn gate(read: &str, change: &str) -> Gate {
        Gate {
            hosts: Vec::new(),
            read: read.parse().unwrap_or_default(),
            change: change.parse().unwrap_or_default(),
        }
    }

    /// What becomes of a request with these fields, for each reach.
    fn passes(gate: &Gate, fields: &str) -> [Option<Denied>; 4] {
        passes_after(gate, fields, None)
    }

    /// The same when no secret is looked at for so many seconds.
    fn passes_after(gate: &Gate, fields: &str, wait_seconds: Option<u64>) -> [Option<Denied>; 4] {
        REACHES.map(|reach| asked(gate, fields, reach, wait_seconds).err())
    }

    fn asked(
        gate: &Gate,
        fields: &str,
        reach: Reach,
        wait_seconds: Option<u64>,
    ) -> Result<Passed, Denied> {
        let head = format!("GET / HTTP/1.1\r\nHost: h:1\r\n{fields}\r\n");
        let request = Request::parse(head.as_bytes()).expect("taken").expect("whole");
        gate.admit(&request, reach, wait_seconds)
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
            (
                "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\
                 Sec-Fetch-Dest: document\r\n",
                [None, None, foreign, foreign],
            ),
            // What is no link.
            (
                "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n",
                [foreign; 4],
            ),
            (
                "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\
                 Sec-Fetch-Dest: iframe\r\n",
                [foreign; 4],
            ),
            // Parts of our own pages.
            (
                "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n\
                 Sec-Fetch-Dest: iframe\r\n",
                [None; 4],
            ),
        ] {
            assert_eq!(passes(&gate("", ""), fields), passed, "{fields}");
        }
    }

    #[test]
    fn law_each_secret_opens_what_it_is_for() {
        let (reads, changes) =
            (Some(Denied::NoSecret(Purpose::Read)), Some(Denied::NoSecret(Purpose::Change)));
        let (wrong, wrong_change) =
            (Some(Denied::WrongSecret(Purpose::Read)), Some(Denied::WrongSecret(Purpose::Change)));
        let (reader, deleter) =
            ("Authorization: Bearer reader-1\r\n", "Authorization: Bearer deleter\r\n");
        for (read, change, fields, passed) in [
            ("", "", "", [None; 4]),
            ("", "", reader, [None; 4]),
            ("reader-1", "", "", [None, reads, reads, changes]),
            ("reader-1", "", reader, [None; 4]),
            ("reader-1", "", deleter, [None, wrong, wrong, wrong_change]),
            ("", "deleter1", "", [None, None, None, changes]),
            ("", "deleter1", reader, [None, None, None, wrong_change]),
            ("reader-1", "deleter1", "", [None, reads, reads, changes]),
            // It knows a secret, and guesses at none.
            ("reader-1", "deleter1", reader, [None, None, None, changes]),
            ("reader-1", "deleter1", "Authorization: Bearer deleter1\r\n", [None; 4]),
            (
                "reader-1",
                "deleter1",
                "Authorization: Bearer deleter1\r\nAuthorization: Bearer deleter1\r\n",
                [None, wrong, wrong, wrong_change],
            ),
        ] {
            assert_eq!(passes(&gate(read, change), fields), passed, "{read} {change} {fields}");
        }
    }

    #[test]
    fn law_what_is_not_to_be_looked_at_says_nothing_right_or_wrong() {
        let unchecked = Some(Denied::Unchecked(WAIT_SECONDS));
        for (read, change, passed) in [
            ("reader-1", "", [None, unchecked, unchecked, unchecked]),
            ("", "deleter1", [None, None, None, unchecked]),
            ("reader-1", "deleter1", [None, unchecked, unchecked, unchecked]),
            ("", "", [None; 4]),
        ] {
            let gate = gate(read, change);
            for secret in ["reader-1", "deleter1", "neither1"] {
                let fields = format!("Authorization: Bearer {secret}\r\n");
                let after = passes_after(&gate, &fields, Some(WAIT_SECONDS));
                assert_eq!(after, passed, "{read} {change} {secret}");
            }
            // Who shows none is asked for it as ever.
            assert_eq!(passes_after(&gate, "", Some(WAIT_SECONDS)), passes(&gate, ""));
        }
    }

    #[test]
    fn law_what_is_ones_own_needs_no_secret_and_what_is_others_does() {
        let passed = |reads, guessed| Ok(Passed { reads, changes: reads, guessed });
        let right = "Authorization: Bearer reader-1\r\n";
        let wrong = "Authorization: Bearer reader-2\r\n";
        for (read, fields, wait_seconds, expected) in [
            ("", "", None, passed(true, false)),
            ("", wrong, None, passed(true, false)),
            ("reader-1", "", None, passed(false, false)),
            ("reader-1", right, None, passed(true, false)),
            // Nor is it a place to guess at leisure.
            ("reader-1", wrong, None, passed(false, true)),
            ("reader-1", right, Some(WAIT_SECONDS), passed(false, false)),
            ("reader-1", wrong, Some(WAIT_SECONDS), passed(false, false)),
            ("reader-1", "Origin: http://x\r\n", None, Err(Denied::Foreign)),
        ] {
            let found = asked(&gate(read, ""), fields, Reach::Own, wait_seconds);
            assert_eq!(found, expected, "{read} {fields} {wait_seconds:?}");
        }
    }

    #[test]
    fn law_who_may_only_read_is_known_where_it_reads() {
        let (reader, deleter) =
            ("Authorization: Bearer reader-1\r\n", "Authorization: Bearer deleter1\r\n");
        for (read, change, fields, changes) in [
            ("", "", "", true),
            ("reader-1", "", reader, true),
            ("", "deleter1", "", false),
            ("", "deleter1", reader, false),
            ("reader-1", "deleter1", reader, false),
            ("reader-1", "deleter1", deleter, true),
        ] {
            let passed = asked(&gate(read, change), fields, Reach::Read, None);
            let expected = Passed { reads: true, changes, guessed: false };
            assert_eq!(passed, Ok(expected), "{read} {change} {fields}");
        }
    }

    #[test]
    fn law_a_secret_does_not_make_a_foreign_page_ours() {
        let fields = "Authorization: Bearer deleter1\r\nOrigin: http://x\r\n";
        assert_eq!(passes(&gate("", "deleter1"), fields), [Some(Denied::Foreign); 4]);
    }
}
