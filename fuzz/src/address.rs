//! Paths as they stand in MAIL and RCPT, and the mailboxes that they mean.

use mailfly::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};
use mailfly::smtp::address::{Address, Path};
use mailfly::store::{MailboxName, Naming};

/// The input is what follows `FROM:` or `TO:`.
pub fn holds(input: &[u8]) {
    let Ok((path, rest)) = Path::parse(input) else { return };
    assert!(input.ends_with(rest));
    assert!(matches!(rest.first(), None | Some(b' ' | b'\t')));
    let bracketed = [b"<", path.text().as_bytes(), b">"].concat();
    assert_eq!(
        Path::parse(&bracketed),
        Ok((path, &b""[..])),
        "a path in brackets is the same path"
    );
    assert!(bracketed.len() <= PATH_BYTES_MAX);
    if let Path::Address(address) = path {
        is_an_address(&address);
    }
}

fn is_an_address(address: &Address<'_>) {
    let text = address.text();
    assert!(!text.chars().any(char::is_control), "{text:?} would break a line of trace");
    assert!(!address.local_part().is_empty());
    match address.domain() {
        Some(domain) => assert_eq!(format!("{}@{domain}", address.local_part()), text),
        None => assert!(text.eq_ignore_ascii_case("postmaster")),
    }
    for naming in [Naming::Local, Naming::Full] {
        let name = MailboxName::of(text, naming);
        let shouted = MailboxName::of(&text.to_ascii_uppercase(), naming);
        assert_eq!(name, shouted, "the case of {text:?} means something");
        if let Some(name) = name {
            assert!((1..=NAME_BYTES_MAX).contains(&name.as_str().len()));
            assert!(!name.as_str().chars().any(char::is_control));
        }
    }
}
