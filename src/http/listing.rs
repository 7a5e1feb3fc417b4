//! An answer that lists messages, made a few of them a turn: mail does not wait for all of a long
//! one. Not here: which messages (`newest`), how they are written (`api`, `pages`).

use maud::Markup;

use crate::clock::Now;
use crate::limits::HTTP_PAGE_MESSAGES_MAX;
use crate::store::MailboxName;

use super::desk::Desk;
use super::held::Full;
use super::newest::Newest;
use super::response::Response;
use super::{api, link, pages};

/// A list that is being made.
#[derive(Debug)]
pub(super) struct Listing {
    name: MailboxName,
    newest: Newest,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// The API's, and the mailbox as it spells it.
    List(api::List, String),
    /// The rows of the mailbox's page.
    Page(Vec<Markup>),
}

impl Listing {
    /// The API's list of a mailbox's newest messages, at most `limit`.
    ///
    /// # Errors
    /// [`Full`] if not even its beginning has room.
    pub(super) fn list(
        name: MailboxName,
        limit: usize,
        desk: &Desk<'_>,
        now: Now,
    ) -> Result<Self, Full> {
        let newest = Newest::of(&name, limit, desk.store, now);
        let spelling = link::spelling(&name, desk.naming);
        let shape = Shape::List(api::List::begin(desk.responses)?, spelling);
        Ok(Self { name, newest, shape })
    }

    /// A mailbox's page.
    pub(super) fn page(name: MailboxName, desk: &Desk<'_>, now: Now) -> Self {
        let newest = Newest::of(&name, HTTP_PAGE_MESSAGES_MAX, desk.store, now);
        Self { name, newest, shape: Shape::Page(Vec::new()) }
    }

    /// Lists a turn's share more, and says whether there may be more than that.
    ///
    /// # Errors
    /// [`Full`] if it has no room.
    pub(super) fn go_on(&mut self, desk: &mut Desk<'_>, now: Now) -> Result<bool, Full> {
        let Self { name, newest, shape } = self;
        let naming = desk.naming;
        newest.show(desk, now, |message, summary| match shape {
            Shape::List(list, spelling) => list.push(&api::Entry::of(spelling, &message, summary)),
            Shape::Page(rows) => {
                rows.push(pages::mailbox::row(name, naming, &message, &summary));
                Ok(())
            }
        })
    }

    /// The answer, with what has been listed.
    ///
    /// # Errors
    /// [`Full`] if its end has no room.
    pub(super) fn respond(self, desk: &Desk<'_>) -> Result<Response, Full> {
        match self.shape {
            Shape::List(list, _) => list.respond(&self.newest),
            Shape::Page(rows) => Ok(pages::mailbox::page(desk, &self.name, &rows, &self.newest)),
        }
    }
}
