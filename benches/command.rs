//! The price of reading command lines: finding their ends and parsing them, typical ones and the
//! worst that a client can send. In bytes of input per second.
//!
//! Beside it a naive parser, which copies to upper case and splits, and the `smtp-proto` crate. All
//! three get the same bytes and have to find the same meaning, which is asserted. Their work is the
//! same but for this: mailfly looks for CR and NUL within the line, checks domains and address
//! literals, and divides the address; `smtp-proto` knows 40 more parameters and verbs, and takes the
//! quotes out of a quoted local-part, so it is not measured on one.

#![allow(clippy::panic, clippy::unwrap_used, reason = "an input that is not what it says fails")]

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use mailfly::limits::LINE_BYTES_MAX;
use mailfly::smtp::command::{self, Command};
use mailfly::smtp::line::{self, Line};
use smtp_proto::{MAIL_BODY_8BITMIME, Request};

/// What a line means, in words that all parsers can say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    Hello(String),
    Mail { from: String, size: u64, eight_bit: bool },
    Rcpt(String),
    Data,
    Bdat { bytes: u64, last: bool },
    Noop,
    Refused,
}

struct Input {
    name: &'static str,
    lines: String,
    meanings: Vec<Meaning>,
    /// Whether the `smtp-proto` crate finds the same.
    comparable: bool,
}

fn inputs() -> Vec<Input> {
    let input = |name, lines: &str, meanings| Input {
        name,
        lines: lines.to_owned(),
        meanings,
        comparable: true,
    };
    let mail = |from: &str, size, eight_bit| Meaning::Mail { from: from.into(), size, eight_bit };
    let rcpt = |to: &str| Meaning::Rcpt(to.into());
    let longest_path = format!("{}@example.org", "a".repeat(242));
    let quoted = format!("\"{}\"@example.org", "\\\"".repeat(120));
    let route = "@relay.example,".repeat(64) + "@last.example:";
    let filler = |used: usize| LINE_BYTES_MAX - used;
    vec![
        input(
            "EHLO",
            "EHLO client.example.org\r\n",
            vec![Meaning::Hello("client.example.org".into())],
        ),
        input("MAIL", "MAIL FROM:<me@example.org>\r\n", vec![mail("me@example.org", 0, false)]),
        input(
            "MAIL with parameters",
            "MAIL FROM:<list+bob=example.com@example.org> SIZE=10240 BODY=8BITMIME\r\n",
            vec![mail("list+bob=example.com@example.org", 10240, true)],
        ),
        input("RCPT", "RCPT TO:<bob@example.com>\r\n", vec![rcpt("bob@example.com")]),
        input("BDAT", "BDAT 10240 LAST\r\n", vec![Meaning::Bdat { bytes: 10240, last: true }]),
        input(
            "pipelined envelope",
            "MAIL FROM:<me@example.org>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n",
            vec![mail("me@example.org", 0, false), rcpt("bob@example.com"), Meaning::Data],
        ),
        input(
            "the longest path",
            &format!("RCPT TO:<{longest_path}>\r\n"),
            vec![rcpt(&longest_path)],
        ),
        Input {
            comparable: false,
            ..input("a path of escapes", &format!("RCPT TO:<{quoted}>\r\n"), vec![rcpt(&quoted)])
        },
        input(
            "a route of 65 hops",
            &format!("RCPT TO:<{route}bob@example.com>\r\n"),
            vec![rcpt("bob@example.com")],
        ),
        input(
            "blanks before the path",
            &format!("RCPT TO:{}<bob@example.com>\r\n", " ".repeat(filler(27))),
            vec![rcpt("bob@example.com")],
        ),
        input(
            "the longest NOOP",
            &format!("NOOP {}\r\n", "x".repeat(filler(7))),
            vec![Meaning::Noop],
        ),
        input(
            "the longest line of no verb",
            &format!("{}\r\n", "x".repeat(filler(2))),
            vec![Meaning::Refused],
        ),
        input("empty lines", &"\r\n".repeat(512), vec![Meaning::Refused; 512]),
    ]
}

fn main() {
    let mut criterion = support::criterion();
    bench(&mut criterion);
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion) {
    for Input { name, lines, meanings, comparable } in inputs() {
        let input = lines.as_bytes();
        let mut found = Vec::new();
        mailfly(input, |command| found.push(meaning(command)));
        assert_eq!(found, meanings, "mailfly: {name}");
        found.clear();
        naive(input, |meaning| found.push(meaning));
        assert_eq!(found, meanings, "naive: {name}");

        let mut group = criterion.benchmark_group(format!("command/{name}"));
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function("mailfly", |bencher| {
            bencher.iter(|| mailfly(black_box(input), |command| _ = black_box(command)));
        });
        group.bench_function("naive", |bencher| {
            bencher.iter(|| naive(black_box(input), |meaning| _ = black_box(meaning)));
        });
        if comparable {
            found.clear();
            smtp_proto(input, |request| found.push(smtp_proto_meaning(request)));
            assert_eq!(found, meanings, "smtp-proto: {name}");
            group.bench_function("smtp-proto", |bencher| {
                bencher.iter(|| smtp_proto(black_box(input), |request| _ = black_box(request)));
            });
        }
        group.finish();
    }
}

fn mailfly<'a>(mut input: &'a [u8], mut each: impl FnMut(Option<Command<'a>>)) {
    while let Line::Whole { text, consumed } = line::next(input) {
        each(command::parse(text).ok());
        input = &input[consumed..];
    }
}

fn meaning(command: Option<Command<'_>>) -> Meaning {
    match command {
        Some(Command::Ehlo(name)) => Meaning::Hello(String::from_utf8_lossy(name).into_owned()),
        Some(Command::Mail(mail)) => Meaning::Mail {
            from: mail.reverse_path.text().to_owned(),
            size: mail.size.unwrap_or(0),
            eight_bit: mail.eight_bit,
        },
        Some(Command::Rcpt(address)) => Meaning::Rcpt(address.text().to_owned()),
        Some(Command::Data) => Meaning::Data,
        Some(Command::Bdat { bytes, last }) => Meaning::Bdat { bytes, last },
        Some(Command::Noop) => Meaning::Noop,
        Some(other) => panic!("no input has {other:?}"),
        None => Meaning::Refused,
    }
}

type SmtpProto<'a> = Request<std::borrow::Cow<'a, str>>;

fn smtp_proto<'a>(input: &'a [u8], mut each: impl FnMut(Option<SmtpProto<'a>>)) {
    let mut bytes = input.iter();
    while !bytes.as_slice().is_empty() {
        each(Request::parse(&mut bytes).ok());
    }
}

fn smtp_proto_meaning(request: Option<SmtpProto<'_>>) -> Meaning {
    match request {
        Some(Request::Ehlo { host }) => Meaning::Hello(host.into_owned()),
        Some(Request::Mail { from }) => Meaning::Mail {
            from: from.address.into_owned(),
            size: from.size as u64,
            eight_bit: from.flags & MAIL_BODY_8BITMIME != 0,
        },
        Some(Request::Rcpt { to }) => Meaning::Rcpt(to.address.into_owned()),
        Some(Request::Data) => Meaning::Data,
        Some(Request::Bdat { chunk_size, is_last }) => {
            Meaning::Bdat { bytes: chunk_size as u64, last: is_last }
        }
        Some(Request::Noop { .. }) => Meaning::Noop,
        Some(other) => panic!("no input has {other:?}"),
        None => Meaning::Refused,
    }
}

/// As one would write it on the first day: a copy in upper case, words, and strings to keep.
fn naive(input: &[u8], mut each: impl FnMut(Meaning)) {
    for line in input.split_inclusive(|&byte| byte == b'\n') {
        each(naive_line(line).unwrap_or(Meaning::Refused));
    }
}

fn naive_line(line: &[u8]) -> Option<Meaning> {
    let line = String::from_utf8(line.to_vec()).ok()?;
    let line = line.trim_end();
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    match verb.to_uppercase().as_str() {
        "EHLO" => rest.split_whitespace().next().map(|name| Meaning::Hello(name.to_owned())),
        "MAIL" => {
            let (from, parameters) = naive_path(rest, "FROM:")?;
            let (mut size, mut eight_bit) = (0, false);
            for parameter in parameters.to_uppercase().split_whitespace() {
                match parameter.split_once('=')? {
                    ("SIZE", digits) => size = digits.parse().ok()?,
                    ("BODY", value) => eight_bit = value == "8BITMIME",
                    _ => return None,
                }
            }
            Some(Meaning::Mail { from, size, eight_bit })
        }
        "RCPT" => naive_path(rest, "TO:").map(|(to, _)| Meaning::Rcpt(to)),
        "DATA" => Some(Meaning::Data),
        "BDAT" => {
            let words: Vec<String> = rest.split_whitespace().map(str::to_uppercase).collect();
            let last = words.get(1).is_some_and(|word| word == "LAST");
            Some(Meaning::Bdat { bytes: words.first()?.parse().ok()?, last })
        }
        "NOOP" => Some(Meaning::Noop),
        _ => None,
    }
}

fn naive_path(arguments: &str, keyword: &str) -> Option<(String, String)> {
    if !arguments.to_uppercase().starts_with(keyword) {
        return None;
    }
    let path = arguments[keyword.len()..].trim().strip_prefix('<')?;
    let (path, parameters) = path.rsplit_once('>')?;
    let path = match path.starts_with('@') {
        true => path.split_once(':')?.1,
        false => path,
    };
    let (local_part, domain) = path.rsplit_once('@')?;
    let quoted = local_part.starts_with('"') && local_part.ends_with('"');
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let well_formed = (quoted || local_part.chars().all(allowed))
        && domain.split('.').all(|label| !label.is_empty() && label.chars().all(allowed));
    (well_formed && path.len() <= 254).then(|| (path.to_owned(), parameters.to_owned()))
}
