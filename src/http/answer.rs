//! Does what a route says: reads from the store or changes it, and says so.

use crate::clock::Now;
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_LIST_MESSAGES_MAX};
use crate::store::{Envelope, Mailbox, MailboxName, Message, Missing};

use super::desk::Desk;
use super::gate::{Denied, Passed, Purpose};
use super::held::Full;
use super::listing::Listing;
use super::long::Long;
use super::message::view::View;
use super::request::{Refused, Request};
use super::response::{Images, Response, Status};
use super::route::{Action, Found, query_value};
use super::source::Source;
use super::standing::Standing;
use super::{api, download, letter, link, monitor, pages, standing};

/// What comes of a request.
pub(super) enum Answer {
    /// A response.
    Whole(Response),
    /// One that is still to be made.
    Long(Box<Long>),
}

impl From<Long> for Answer {
    fn from(long: Long) -> Self {
        Self::Long(Box::new(long))
    }
}

/// Answers a request that is whole and allowed.
pub(super) fn answer(
    request: &Request<'_>,
    found: &Found<'_>,
    voice: Voice,
    passed: Passed,
    body: &[u8],
    desk: &mut Desk<'_>,
    now: Now,
) -> Answer {
    let mut errand = Errand { request, found, passed, body, desk, now };
    errand.run().unwrap_or_else(|failure| Answer::Whole(failure.respond(voice)))
}

struct Errand<'a, 'd, 'w> {
    request: &'a Request<'a>,
    found: &'a Found<'a>,
    passed: Passed,
    body: &'a [u8],
    desk: &'d mut Desk<'w>,
    now: Now,
}

impl Errand<'_, '_, '_> {
    fn run(&mut self) -> Result<Answer, Failure> {
        let response = match self.found.route.action {
            Action::Home => pages::home::page(self.desk),
            Action::Style => pages::style(),
            Action::Find => self.find()?,
            Action::MailboxPage => {
                let listing = Listing::page(self.name()?, self.desk, self.now);
                return Ok(Long::Listing(listing).into());
            }
            Action::MailboxPageDelete => {
                let name = self.name()?;
                self.purge(&name);
                Response::see_other(link::mailbox_page(&name, self.desk.naming))
            }
            Action::MessagePage => self.message_page()?,
            Action::MessagePageDelete => {
                let name = self.name()?;
                self.delete(&name)?;
                Response::see_other(link::mailbox_page(&name, self.desk.naming))
            }
            Action::MessageHtml => self.html()?,
            Action::List => return Ok(Long::Listing(self.list()?).into()),
            Action::Purge => {
                let name = self.name()?;
                self.purge(&name);
                api::ok()
            }
            Action::Show => self.show()?,
            Action::Mark => self.mark()?,
            Action::Delete => {
                let name = self.name()?;
                self.delete(&name)?;
                api::ok()
            }
            Action::Source => return Ok(Long::Source(self.source()?).into()),
            Action::Attachment => self.attachment()?,
            Action::Metrics => monitor::metrics(self.desk),
            Action::Status => monitor::status(self.desk),
            Action::StatusPage => pages::status::page(self.desk),
            Action::Refused => standing::respond(&self.standing()),
            Action::RefusedPage => pages::refused::page(&self.standing()),
            Action::Livez => monitor::livez(),
            Action::Readyz => monitor::readyz(self.desk.ready),
        };
        Ok(Answer::Whole(response))
    }

    /// How the one who asks stands; what others sent is mail, and for who may read.
    fn standing(&self) -> Standing {
        let standing = (self.desk.standing)();
        let banned_subjects = standing.banned_subjects.filter(|_| self.passed.reads);
        Standing { banned_subjects, ..standing }
    }

    fn find(&self) -> Result<Response, Failure> {
        let asked = query_value(self.request.query, "name").unwrap_or_default();
        if asked.trim().is_empty() {
            return Ok(Response::see_other("/".to_owned()));
        }
        let name = MailboxName::of(asked.trim(), self.desk.naming);
        let name = name.ok_or(Failure::Name)?;
        Ok(Response::see_other(link::mailbox_page(&name, self.desk.naming)))
    }

    fn list(&self) -> Result<Listing, Failure> {
        let name = self.name()?;
        let asked = query_value(self.request.query, "limit").map(|limit| limit.parse::<usize>());
        let limit = asked.unwrap_or(Ok(HTTP_LIST_MESSAGES_MAX)).map_err(|_| Failure::Limit)?;
        let limit = limit.min(HTTP_LIST_MESSAGES_MAX);
        Ok(Listing::list(name, limit, self.desk, self.now)?)
    }

    fn show(&mut self) -> Result<Response, Failure> {
        let name = self.name()?;
        let (_, message, view) = self.view(&name)?;
        let spelling = link::spelling(&name, self.desk.naming);
        let path = link::attachment(&name, self.desk.naming, message.id);
        let scheme = if self.desk.encrypted { "https" } else { "http" };
        let link = self
            .request
            .host
            .map_or(path.clone(), |host| format!("{scheme}://{}{path}", host.text()));
        Ok(api::show(&spelling, &message, view, &link, self.desk.responses)?)
    }

    fn message_page(&mut self) -> Result<Response, Failure> {
        let name = self.name()?;
        let (mailbox, message, view) = self.view(&name)?;
        let response = pages::message::page(self.desk, &name, &message, &view, self.images());
        // Nor by who may only read, or by a page of another site that leads here.
        let may_mark = self.passed.changes && !self.request.is_foreign();
        if may_mark && !self.request.method.is_head() {
            // It was there a moment ago, and nothing has changed since.
            let _ = self.desk.store.mark_seen(mailbox, message.id, true, self.now);
        }
        Ok(response)
    }

    fn html(&mut self) -> Result<Response, Failure> {
        let name = self.name()?;
        let (_, _, view) = self.view(&name)?;
        let mut html = self.desk.responses.begin()?;
        for piece in letter::without_links(&view.html) {
            html.push(piece.as_bytes())?;
        }
        Ok(Response::letter(html, self.images()))
    }

    /// The images that the reader asks for, and not a page of another site that leads here.
    fn images(&self) -> Images {
        match query_value(self.request.query, link::IMAGES.0).as_deref() {
            Some(value) if value == link::IMAGES.1 && !self.request.is_foreign() => Images::Remote,
            _ => Images::Own,
        }
    }

    fn view(&mut self, name: &MailboxName) -> Result<(Mailbox, Message, View), Failure> {
        let (mailbox, message) = self.message(name)?;
        let envelope = self.read(&message);
        let view = View::of(self.desk.scratch.message(), &envelope);
        Ok((mailbox, message, view))
    }

    fn source(&self) -> Result<Source, Failure> {
        let (_, message) = self.message(&self.name()?)?;
        Source::of(&message, self.desk)
    }

    fn attachment(&mut self) -> Result<Response, Failure> {
        let name = self.name()?;
        let (_, message) = self.message(&name)?;
        self.desk.scratch.read(self.desk.store, &message, usize::MAX);
        let mut file = self.desk.responses.begin()?;
        let mut written = Ok(());
        let attachment =
            View::attachment(self.desk.scratch.message(), self.found.number, |bytes| {
                written = file.push(bytes);
            })
            .ok_or(Failure::NotFound)?;
        written?;
        Ok(Response::download(
            download::safe_type(&attachment.content_type),
            download::disposition(&attachment.filename),
            file,
        ))
    }

    fn mark(&mut self) -> Result<Response, Failure> {
        let name = self.name()?;
        let seen = api::seen(self.body).ok_or(Failure::Body)?;
        let (mailbox, message) = self.message(&name)?;
        if let Some(seen) = seen {
            self.desk.store.mark_seen(mailbox, message.id, seen, self.now)?;
        }
        Ok(api::ok())
    }

    fn delete(&mut self, name: &MailboxName) -> Result<(), Failure> {
        // By id only: the latest may be another by the time that the request is here.
        let id = api::id(self.found.id).ok_or(Failure::NotFound)?;
        let Some(mailbox) = self.desk.store.find(name) else {
            return Err(self.desk.store.why_missing(None, id).into());
        };
        Ok(self.desk.store.delete(mailbox, id, self.now)?)
    }

    fn purge(&mut self, name: &MailboxName) {
        if let Some(mailbox) = self.desk.store.find(name) {
            self.desk.store.purge(mailbox, self.now);
        }
    }

    fn name(&self) -> Result<MailboxName, Failure> {
        MailboxName::of(&self.found.name, self.desk.naming).ok_or(Failure::Name)
    }

    fn message(&self, name: &MailboxName) -> Result<(Mailbox, Message), Failure> {
        let store = &*self.desk.store;
        let mailbox = store.find(name);
        if self.found.id == "latest" {
            let mailbox = mailbox.ok_or(Failure::NotFound)?;
            let message = store.latest(mailbox, self.now).ok_or(Failure::NotFound)?;
            return Ok((mailbox, message));
        }
        let id = api::id(self.found.id).ok_or(Failure::NotFound)?;
        let Some(mailbox) = mailbox else { return Err(store.why_missing(None, id).into()) };
        Ok((mailbox, store.message(mailbox, id, self.now)?))
    }

    /// Reads a message into the scratch.
    fn read(&mut self, message: &Message) -> Envelope {
        self.desk.scratch.read(self.desk.store, message, usize::MAX);
        self.desk.store.read_envelope(message)
    }
}

/// Why something asked for is not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Refused(Refused),
    Spelling,
    NotFound,
    Method(String),
    Denied(Denied),
    BodyTooLarge,
    Body,
    Limit,
    Name,
    Gone,
    Busy,
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Gone => Self::Gone,
            Missing::Unknown => Self::NotFound,
        }
    }
}

impl From<Full> for Failure {
    fn from(Full: Full) -> Self {
        Self::Busy
    }
}

impl Failure {
    /// The answer, as the asker would have it.
    pub(super) fn respond(self, voice: Voice) -> Response {
        let (status, words) = (self.status(), self.words());
        let response = match voice {
            Voice::Json => api::error(status, &words),
            Voice::Html => pages::failure(status, &words),
            Voice::Text => Response::text(status, format!("{words}\n")),
        };
        match self {
            Self::Method(allow) => response.with("Allow", allow),
            Self::Denied(Denied::NoSecret(purpose) | Denied::WrongSecret(purpose)) => {
                challenge(response, purpose)
            }
            Self::Denied(Denied::Unchecked(seconds)) => {
                response.with("Retry-After", seconds.to_string())
            }
            _ => response,
        }
    }

    const fn status(&self) -> Status {
        match self {
            Self::Refused(refused) => refused.status(),
            Self::Spelling | Self::Limit | Self::Name | Self::Body => Status::BAD_REQUEST,
            Self::NotFound => Status::NOT_FOUND,
            Self::Method(_) => Status::METHOD_NOT_ALLOWED,
            Self::Denied(Denied::Misdirected) => Status::MISDIRECTED,
            Self::Denied(Denied::Foreign) => Status::FORBIDDEN,
            Self::Denied(Denied::NoSecret(_) | Denied::WrongSecret(_)) => Status::UNAUTHORIZED,
            Self::Denied(Denied::Unchecked(_)) => Status::TOO_MANY_REQUESTS,
            Self::BodyTooLarge => Status::CONTENT_TOO_LARGE,
            Self::Gone => Status::GONE,
            Self::Busy => Status::UNAVAILABLE,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Refused(Refused::Bad) => "this is not a request that can be understood".into(),
            Self::Refused(Refused::TargetTooLong) => "the address is too long".into(),
            Self::Refused(Refused::HeadTooLarge) => {
                format!("the head of a request may have {HTTP_HEAD_BYTES_MAX} bytes")
            }
            Self::Refused(Refused::MethodUnknown) => "no such method".into(),
            Self::Refused(Refused::TransferEncoding) => {
                "bodies are taken by Content-Length only".into()
            }
            Self::Refused(Refused::Version) => "only HTTP/1.1 and HTTP/1.0 are spoken here".into(),
            Self::Refused(Refused::Expectation) => "that cannot be expected".into(),
            Self::Spelling => "nothing here is spelled like that".into(),
            Self::NotFound => "there is nothing here".into(),
            Self::Method(allow) => format!("only {allow} can be done here"),
            Self::Denied(Denied::Misdirected) => {
                "this server does not answer to that name; --http-host makes it, and addresses \
                 always do"
                    .into()
            }
            Self::Denied(Denied::Foreign) => "another site's page must not do this".into(),
            Self::Denied(Denied::NoSecret(Purpose::Read) | Denied::WrongSecret(Purpose::Read)) => {
                "reading needs a secret".into()
            }
            Self::Denied(
                Denied::NoSecret(Purpose::Change) | Denied::WrongSecret(Purpose::Change),
            ) => "changing anything needs a secret".into(),
            Self::Denied(Denied::Unchecked(_)) => {
                "too many errors from your network: no secret is looked at now, right or wrong"
                    .into()
            }
            Self::BodyTooLarge => {
                format!("a body may have {HTTP_BODY_BYTES_MAX} bytes, where one is taken at all")
            }
            Self::Body => "the body has to be JSON like {\"seen\":true}".into(),
            Self::Limit => "the limit has to be a number".into(),
            Self::Name => "no mailbox can have this name".into(),
            Self::Gone => "gone: this message was here and has been removed".into(),
            Self::Busy => "too many answers are waiting to be read; try again soon".into(),
        }
    }
}

/// Asks for a secret, in both ways that it may be shown (RFC 9110 section 11.6.1).
fn challenge(response: Response, purpose: Purpose) -> Response {
    let realm = match purpose {
        Purpose::Read => "mailfly",
        // Another one, so that a browser that reads with one secret asks for the other.
        Purpose::Change => "mailfly: delete",
    };
    response
        .with("WWW-Authenticate", format!("Basic realm=\"{realm}\""))
        .with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
}

/// How the asker would like to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    Json,
    Html,
    Text,
}

impl Voice {
    /// Programs ask below `/api`, monitors at their own paths, people everywhere else.
    pub(super) fn of(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("api") => Self::Json,
            Some("metrics" | "livez" | "readyz" | "style.css") => Self::Text,
            _ => Self::Html,
        }
    }
}
