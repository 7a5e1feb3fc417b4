//! The price of a path: of MAIL or RCPT, from its bytes to an address (`address`), and from there
//! to the name of the mailbox that it means (`name`). In bytes of input per second.
//!
//! Beside each a naive twin: the same rules by `char` and `String`, which has to find the same
//! address and the same name, and that is asserted.

mod support;

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use criterion::{Criterion, Throughput};
use mailfly::limits::{LINE_BYTES_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};
use mailfly::smtp::address::Path;
use mailfly::store::{MailboxName, Naming};

/// A path by its name, and the address in it; `None` if it is none.
fn paths() -> Vec<(&'static str, String, Option<String>)> {
    let good =
        |name, before: &str, text: &str| (name, format!("<{before}{text}>"), Some(text.to_owned()));
    let longest = "a".repeat(PATH_BYTES_MAX - 14) + "@example.org";
    let escapes = format!("\"{}\"@example.org", "\\\"".repeat(120));
    let line = LINE_BYTES_MAX - "RCPT TO:\r\n".len();
    vec![
        good("short", "", "bob@example.com"),
        good("tagged", "", "bob.smith+newsletter-2024@mail.example.co.uk"),
        good("IPv6 literal", "", "bob@[IPv6:2001:db8::dead:beef]"),
        good("UTF-8", "", "пошта@приклад.укр"),
        good("the longest", "", &longest),
        good("the longest of UTF-8", "", &("ж".repeat(120) + "@example.org")),
        good("escapes", "", &escapes),
        good("a route", &("@relay.example,".repeat(64) + "@last.example:"), "bob@example.com"),
        ("no @ in a whole line", "a".repeat(line), None),
        ("an open quote in a whole line", format!("<\"{}", "\\\"".repeat(line / 2 - 1)), None),
    ]
}

/// An address by its name, and the mailbox that it means.
fn names() -> Vec<(&'static str, String, Option<String>)> {
    let good =
        |name, address: &str, means: &str| (name, address.to_owned(), Some(means.to_owned()));
    let dotted = "\u{130}".repeat(NAME_BYTES_MAX / 2);
    vec![
        good("short", "Bob@example.com", "bob"),
        good("tagged", "Bob.Smith+Newsletter-2024@mail.example.co.uk", "bob.smith"),
        good("UTF-8", "Пошта@приклад.укр", "пошта"),
        good("the longest", &("A".repeat(242) + "@example.org"), &"a".repeat(242)),
        good("escapes", &format!("\"{}\"@example.org", "\\\"".repeat(120)), &"\"".repeat(120)),
        ("a lower case that is too long", dotted, None),
    ]
}

fn main() {
    let mut criterion = support::criterion();
    bench_paths(&mut criterion);
    bench_names(&mut criterion);
    criterion.final_summary();
}

fn bench_paths(criterion: &mut Criterion) {
    for (name, input, expected) in paths() {
        let found = Path::parse(input.as_bytes()).ok().map(|(path, _)| path.text().to_owned());
        assert_eq!(found, expected, "mailfly: {name}");
        assert_eq!(naive_address(input.as_bytes()), expected, "naive: {name}");

        let mut group = criterion.benchmark_group(format!("address/{name}"));
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function("mailfly", |bencher| {
            bencher.iter(|| Path::parse(black_box(input.as_bytes())).is_ok());
        });
        group.bench_function("naive", |bencher| {
            bencher.iter(|| naive_address(black_box(input.as_bytes())));
        });
        group.finish();
    }
}

fn bench_names(criterion: &mut Criterion) {
    for (name, input, expected) in names() {
        let found = MailboxName::of(&input, Naming::Local);
        assert_eq!(found.map(|name| name.to_string()), expected, "mailfly: {name}");
        assert_eq!(naive_name(input.as_bytes()), expected, "naive: {name}");

        let mut group = criterion.benchmark_group(format!("name/{name}"));
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function("mailfly", |bencher| {
            bencher.iter(|| MailboxName::of(black_box(&input), Naming::Local));
        });
        group.bench_function("naive", |bencher| {
            bencher.iter(|| naive_name(black_box(input.as_bytes())));
        });
        group.finish();
    }
}

/// The path's address by whole strings: each rule is a pass of its own.
fn naive_address(input: &[u8]) -> Option<String> {
    let text = String::from_utf8(input.to_vec()).ok()?;
    let text = text.trim_start_matches([' ', '\t']);
    let path = match text.strip_prefix('<') {
        Some(inner) => inner.strip_suffix('>')?,
        None => text,
    };
    let address = match path.starts_with('@') {
        true => {
            let (route, address) = path.split_once(':')?;
            let hops = route.split(',').map(|hop| hop.strip_prefix('@'));
            hops.map(|hop| is_domain(hop?).then_some(())).collect::<Option<Vec<()>>>()?;
            address
        }
        false => path,
    };
    let (local_part, domain) = address.rsplit_once('@')?;
    let well_formed = is_local_part(local_part)
        && is_domain(domain)
        && address.len() <= PATH_BYTES_MAX - 2
        && !address.chars().any(char::is_control);
    well_formed.then(|| address.to_owned())
}

fn is_local_part(text: &str) -> bool {
    let atext =
        |c: char| !c.is_ascii() || c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let Some(quoted) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return !text.is_empty() && text.chars().all(atext);
    };
    let mut escaped = false;
    for character in quoted.chars() {
        if !escaped && character == '"' {
            return false;
        }
        escaped = !escaped && character == '\\';
    }
    !escaped && !quoted.is_empty()
}

fn is_domain(text: &str) -> bool {
    if let Some(literal) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return match literal.to_lowercase().strip_prefix("ipv6:") {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => literal.parse::<Ipv4Addr>().is_ok(),
        };
    }
    let letters = |c: char| !c.is_ascii() || c.is_alphanumeric() || c == '-' || c == '_';
    let text = text.strip_suffix('.').unwrap_or(text);
    text.split('.').all(|label| !label.is_empty() && label.chars().all(letters))
}

/// The mailbox's name by whole strings.
fn naive_name(address: &[u8]) -> Option<String> {
    let text = String::from_utf8(address.to_vec()).ok()?;
    let local_part = match text.rsplit_once('@') {
        Some((local_part, domain)) if !domain.ends_with('"') => local_part.to_owned(),
        _ => text,
    };
    let plain = match local_part.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(quoted) => {
            let mut plain = String::new();
            let mut characters = quoted.chars();
            while let Some(character) = characters.next() {
                plain.push(if character == '\\' { characters.next()? } else { character });
            }
            plain
        }
        None => local_part,
    };
    let lower = plain.to_lowercase();
    let name = match lower.find('+') {
        Some(plus) if plus > 0 => lower[..plus].to_owned(),
        _ => lower,
    };
    (!name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control))
        .then_some(name)
}
