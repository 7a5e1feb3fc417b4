//! Which mailbox an address means. Not here: whether an address is well formed (`smtp::address`).

use std::fmt;

use crate::limits::NAME_BYTES_MAX;

/// How addresses are turned into the names of mailboxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// One mailbox for each lower-cased local-part with its `+tag` cut, whatever the domain.
    #[default]
    Local,
    /// One mailbox for each lower-cased whole address.
    Full,
}

/// The canonical name of a mailbox: UTF-8 without control characters, 1 to [`NAME_BYTES_MAX`]
/// bytes. It lives in place, so that naming a mailbox allocates nothing.
#[derive(Clone, Copy)]
pub struct MailboxName {
    bytes: [u8; NAME_BYTES_MAX],
    len: usize,
}

impl MailboxName {
    /// The mailbox that `text` means: a whole address as it stood between `<` and `>` or, when it
    /// has no `@`, a local-part by itself.
    ///
    /// `None` if nothing is left of it, if it holds control characters, or if the name would be
    /// longer than [`NAME_BYTES_MAX`].
    #[must_use]
    pub fn of(text: &str, naming: Naming) -> Option<Self> {
        // A domain holds no '@', and a quoted local-part may: the last one divides.
        let (local_part, domain) = match memchr::memrchr(b'@', text.as_bytes()) {
            Some(at) if !text.ends_with('"') => (&text[..at], Some(&text[at + 1..])),
            _ => (text, None),
        };
        let mut name = Self { bytes: [0; NAME_BYTES_MAX], len: 0 };
        name.push_local_part(local_part)?;
        match naming {
            Naming::Local => name.cut_tag(),
            Naming::Full => {
                if let Some(domain) = domain {
                    name.push('@')?;
                    name.push_lower_case(domain.strip_suffix('.').unwrap_or(domain))?;
                }
            }
        }
        (name.len > 0).then_some(name)
    }

    /// The name of exactly these bytes, which were the bytes of a name before.
    pub(crate) fn from_stored(stored: &[u8]) -> Self {
        let len = stored.len().min(NAME_BYTES_MAX);
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..len].copy_from_slice(&stored[..len]);
        Self { bytes, len }
    }

    /// The name as bytes of UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Without its quotes and backslashes (RFC 5321 section 4.1.2: the quoted form and the plain
    /// one mean the same), and in lower case.
    fn push_local_part(&mut self, local_part: &str) -> Option<()> {
        let quoted = local_part.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let Some(quoted) = quoted else { return self.push_lower_case(local_part) };
        let mut characters = quoted.chars();
        while let Some(character) = characters.next() {
            let meant = if character == '\\' { characters.next()? } else { character };
            self.push_lower_case(meant.encode_utf8(&mut [0; 4]))?;
        }
        Some(())
    }

    fn push_lower_case(&mut self, text: &str) -> Option<()> {
        // Nearly all names, in a third of the time.
        if text.is_ascii() {
            let end = self.len + text.len();
            let room = self.bytes.get_mut(self.len..end)?;
            room.copy_from_slice(text.as_bytes());
            room.make_ascii_lowercase();
            self.len = end;
            return (!text.bytes().any(|byte| byte.is_ascii_control())).then_some(());
        }
        text.chars().flat_map(char::to_lowercase).try_for_each(|character| self.push(character))
    }

    fn push(&mut self, character: char) -> Option<()> {
        if character.is_control() {
            return None;
        }
        let end = self.len + character.len_utf8();
        character.encode_utf8(self.bytes.get_mut(self.len..end)?);
        self.len = end;
        Some(())
    }

    /// A tag needs something in front of it: `+1@example.com` keeps its plus.
    fn cut_tag(&mut self) {
        if let Some(plus) = memchr::memchr(b'+', self.as_bytes()).filter(|&plus| plus > 0) {
            self.len = plus;
        }
    }
}

impl PartialEq for MailboxName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for MailboxName {}

impl fmt::Display for MailboxName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MailboxName({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::smtp::address::Path;

    fn named(text: &str, naming: Naming) -> Option<String> {
        MailboxName::of(text, naming).map(|name| name.to_string())
    }

    #[test]
    fn names_are_the_same_if_their_bytes_are() {
        let [bob, again, other] =
            ["bob", "Bob+tag@x", "bobby"].map(|text| MailboxName::of(text, Naming::Local).unwrap());
        assert!(bob == again && bob != other);
    }

    #[test]
    fn a_name_shows_itself() {
        let name = MailboxName::of("Bob@example.com", Naming::Local).unwrap();
        assert_eq!(
            (name.to_string(), format!("{name:?}")),
            ("bob".into(), "MailboxName(\"bob\")".into())
        );
    }

    #[test]
    fn local_naming_folds_case_cuts_the_tag_and_forgets_the_domain() {
        for (text, name) in [
            ("bob", Some("bob")),
            ("Bob@Example.com", Some("bob")),
            ("bob+tag@example.com", Some("bob")),
            ("bob+a+b", Some("bob")),
            ("+tag@example.com", Some("+tag")),
            ("\"Bob Smith\"@example.com", Some("bob smith")),
            ("\"a\\\"b\"@example.com", Some("a\"b")),
            ("\"a@b\"@example.com", Some("a@b")),
            ("\"a@b\"", Some("a@b")),
            ("\"b\\ob\"@x", Some("bob")),
            ("\"a b\"@x", Some("a b")),
            ("\"\\\\\\\"\"@x", Some("\\\"")),
            ("\"\\\"@\"@x", Some("\"@")),
            ("\"bob\"@[127.0.0.1]", Some("bob")),
            ("JÖRG@example.com", Some("jörg")),
            ("\"\"@example.com", None),
            ("@example.com", None),
            ("", None),
            ("a\rb@example.com", None),
        ] {
            assert_eq!(named(text, Naming::Local).as_deref(), name, "{text:?}");
        }
    }

    #[test]
    fn full_naming_keeps_the_whole_address() {
        for (text, name) in [
            ("Bob+Tag@Example.COM", Some("bob+tag@example.com")),
            ("bob@example.com.", Some("bob@example.com")),
            ("\"a@b\"@example.com", Some("a@b@example.com")),
            ("postmaster", Some("postmaster")),
        ] {
            assert_eq!(named(text, Naming::Full).as_deref(), name, "{text:?}");
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_none() {
        assert!(MailboxName::of(&"a".repeat(NAME_BYTES_MAX), Naming::Local).is_some());
        assert!(MailboxName::of(&"a".repeat(NAME_BYTES_MAX + 1), Naming::Local).is_none());
        // Lower case can be longer: U+0130 takes two bytes, and its lower case three.
        let grows = "\u{130}".repeat(NAME_BYTES_MAX / 2);
        assert!(MailboxName::of(&grows, Naming::Local).is_none());
    }

    proptest! {
        #[test]
        fn any_text_names_a_mailbox_or_none(text in any::<String>()) {
            for naming in [Naming::Local, Naming::Full] {
                if let Some(name) = MailboxName::of(&text, naming) {
                    prop_assert!(!name.as_str().is_empty());
                    prop_assert!(!name.as_str().chars().any(char::is_control));
                }
            }
        }

        #[test]
        fn every_address_that_mail_may_be_for_names_a_mailbox(
            input in "<(@[a-c.]{1,5}:)?[a-c\".\\\\ +@]{1,6}@[a-c.\\[\\]1]{1,8}>",
        ) {
            if let Ok((Path::Address(address), _)) = Path::parse(input.as_bytes()) {
                for naming in [Naming::Local, Naming::Full] {
                    prop_assert!(MailboxName::of(address.text(), naming).is_some());
                }
            }
        }

        #[test]
        fn a_name_of_ascii_is_what_a_copy_in_lower_case_says(text in "[A-Za-z0-9.!#_ \\x00-\\x1f\\x7f]{0,300}") {
            let lower = text.to_lowercase();
            let allowed = !lower.is_empty()
                && lower.len() <= NAME_BYTES_MAX
                && !lower.chars().any(char::is_control);
            prop_assert_eq!(named(&text, Naming::Local), allowed.then_some(lower));
        }

        #[test]
        fn ascii_letters_are_named_alike_beside_others_and_alone(text in "[A-Za-z0-9.!#_ ]{0,200}") {
            let beside = named(&format!("{text}é"), Naming::Local);
            prop_assert_eq!(named(&text, Naming::Local).unwrap_or_default() + "é", beside.unwrap());
        }

        #[test]
        fn quoting_changes_no_name(local_part in "[a-zA-Z0-9.]{1,20}(\\+[a-z]{1,5})?") {
            for naming in [Naming::Local, Naming::Full] {
                let plain = named(&format!("{local_part}@example.com"), naming);
                let quoted = named(&format!("\"{local_part}\"@example.com"), naming);
                prop_assert_eq!(plain, quoted);
            }
        }
    }
}
