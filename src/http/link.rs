//! Paths to what is here, spelled so that they come back to it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::response::Images;
use crate::store::{MailboxName, MessageId, Naming};

/// Everything but what never needs encoding (RFC 3986 section 2.3), and `@` and `+`, which addresses
/// are full of.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b'+');

/// What a query says, field and value, to have the images of a message's HTML fetched.
pub(super) const IMAGES: (&str, &str) = ("images", "remote");

/// The page of a mailbox.
pub(super) fn mailbox_page(name: &MailboxName, naming: Naming) -> String {
    format!("/mailbox/{}", segment(name, naming))
}

/// The page of a message.
pub(super) fn message_page(name: &MailboxName, naming: Naming, id: MessageId) -> String {
    format!("/mailbox/{}/{id}", segment(name, naming))
}

/// The query for these images; empty if it needs none.
pub(super) fn images(images: Images) -> String {
    match images {
        Images::Own => String::new(),
        Images::Remote => format!("?{}={}", IMAGES.0, IMAGES.1),
    }
}

/// The source of a message.
pub(super) fn source(name: &MailboxName, naming: Naming, id: MessageId) -> String {
    format!("/api/v1/mailbox/{}/{id}/source", segment(name, naming))
}

/// The attachments of a message; a number is still to follow.
pub(super) fn attachment(name: &MailboxName, naming: Naming, id: MessageId) -> String {
    format!("/api/v1/mailbox/{}/{id}/attachment/", segment(name, naming))
}

/// A name as it has to be asked for, and so as the API tells it. Some names read as another's
/// address (the mailbox of `"a@b"@example.com` is called `a@b`), and a segment of dots only is taken
/// for a step in the path, encoded or not; those are asked for in quotes.
pub(super) fn spelling(name: &MailboxName, naming: Naming) -> String {
    let reads_as_itself = MailboxName::of(name.as_str(), naming).as_ref() == Some(name);
    if reads_as_itself && !matches!(name.as_str(), "." | "..") {
        name.to_string()
    } else {
        quoted(name)
    }
}

fn segment(name: &MailboxName, naming: Naming) -> String {
    utf8_percent_encode(&spelling(name, naming), ENCODED).to_string()
}

fn quoted(name: &MailboxName) -> String {
    let mut quoted = String::from("\"");
    for character in name.as_str().chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::request::Method;
    use crate::http::route;

    fn comes_back(address: &str, naming: Naming) -> Result<(), TestCaseError> {
        let Some(name) = MailboxName::of(address, naming) else { return Ok(()) };
        let path = mailbox_page(&name, naming);
        let found = route::find(Method::Get, &path).expect("a path of our own");
        prop_assert_eq!(MailboxName::of(&found.name, naming), Some(name), "{} {:?}", path, naming);
        Ok(())
    }

    #[test]
    fn names_with_a_story_come_back() {
        for naming in [Naming::Local, Naming::Full] {
            for address in [
                "a",
                "a/b@c",
                "\"a@b\"@c",
                "\"\\\"x\\\"\"@c",
                ".",
                "..",
                "\"..\"@x",
                "+t@x",
                "%41@x",
                "a b",
                "é@x",
                "a?b#c@x",
                "\"a\\\\b\"@x",
                "\"\\\"a\"",
                "a\"@b",
            ] {
                comes_back(address, naming).expect(address);
            }
        }
    }

    proptest! {
        #[test]
        fn law_a_link_leads_to_its_mailbox(
            address in "(\"[a-z@.+\\\\\"/ é]{0,6}\"|[a-z.+/%\"@]{0,6})(@[a-z.\"]{0,4})?",
        ) {
            comes_back(&address, Naming::Local)?;
            comes_back(&address, Naming::Full)?;
        }
    }
}
