//! Laws over all routes: who may ask, in which spelling, and what no answer gives away.

use super::{Answer, World};
use crate::http::request::Method;
use crate::http::route::{ROUTES, Reach, Route, Segment};
use crate::http::standing::BannedSubject;
use crate::http::{Gate, Secret};

/// A path that the route has, for a message of bob's.
fn path_of(route: &Route, id: &str) -> String {
    let pieces = route.path.iter().map(|segment| match segment {
        Segment::Word(word) => (*word).to_owned(),
        Segment::Name => "bob".to_owned(),
        Segment::Id => id.to_owned(),
        Segment::Number => "0".to_owned(),
    });
    format!("/{}", pieces.collect::<Vec<_>>().join("/"))
}

#[test]
fn law_every_route_answers_every_method_sensibly_and_guarded() {
    for route in ROUTES {
        for method in Method::ALL {
            let (mut world, id) = World::with_mail();
            let path = path_of(route, &id.to_string());
            let offered: Vec<_> = ROUTES
                .iter()
                .filter(|other| other.path == route.path)
                .map(|other| other.method)
                .collect();
            let answer = world.ask(method.as_str(), &path);
            answer.assert_guarded();
            let asked = if method == Method::Head { Method::Get } else { method };
            let expected: &[u16] = if offered.contains(&asked) { &[200, 303] } else { &[405] };
            assert!(expected.contains(&answer.status), "{} {path}: {answer:?}", method.as_str());
            if answer.status == 405 {
                let allow = answer.field("Allow");
                assert!(offered.iter().all(|method| allow.contains(method.as_str())), "{allow}");
                assert_eq!(allow.contains("HEAD"), allow.contains("GET"), "{allow}");
            }
        }
    }
}

/// Every route with every method, whether or not it has that, each in a world of its own.
fn every_request(mut ask: impl FnMut(&mut World, &Route, Method, &str)) {
    for route in ROUTES {
        for method in Method::ALL {
            let (mut world, id) = World::with_mail();
            ask(&mut world, route, method, &path_of(route, &id.to_string()));
        }
    }
}

/// A page that browsers call cross-site, or same-site because a neighbour has it, or whose origin
/// they say, or keep to themselves.
const FOREIGN: [&str; 6] = [
    "Origin: http://x\r\n",
    "Origin: null\r\n",
    "Origin: http://h:8026\r\n",
    "Origin: http://h:8025.x\r\n",
    "Sec-Fetch-Site: cross-site\r\n",
    "Origin: http://h:8026\r\nSec-Fetch-Site: same-site\r\n",
];

#[test]
fn law_a_foreign_page_changes_nothing() {
    every_request(|world, route, method, path| {
        for fields in FOREIGN {
            let changes = ROUTES.iter().any(|other| {
                other.path == route.path
                    && other.method == method
                    && matches!(other.reach, Reach::Change | Reach::Stream)
            });
            let answer = world.ask_with(method.as_str(), path, fields, "");
            let allowed: &[u16] = match (changes, fields.starts_with("Origin")) {
                (true, _) => &[403],
                (false, true) => &[403, 405],
                // Links from other sites.
                (false, false) => &[200, 303, 405],
            };
            assert!(allowed.contains(&answer.status), "{fields} {path}: {answer:?}");
            world.assert_untouched();
        }
    });
}

/// A page of another site may neither have what is here as a part of it, nor make the visitor's
/// browser ask for it again and again, which would have it rendered each time.
#[test]
fn law_no_route_is_part_of_a_page_of_another_site() {
    every_request(|world, route, method, path| {
        for site in ["cross-site", "same-site", "whatever"] {
            for (mode, dest) in [
                ("no-cors", "image"),
                ("no-cors", "script"),
                ("no-cors", "style"),
                ("no-cors", "empty"),
                ("cors", "empty"),
                ("websocket", "websocket"),
                ("navigate", "iframe"),
                ("navigate", "object"),
                ("navigate", "embed"),
                ("", ""),
            ] {
                let fields = format!(
                    "Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\nSec-Fetch-Dest: {dest}\r\n"
                );
                let answer = world.ask_with(method.as_str(), path, &fields, "");
                assert!(matches!(answer.status, 403 | 405), "{fields} {path}: {answer:?}");
                world.assert_untouched();
            }
        }
        // Whoever follows a link from there reads it, and our own pages have what they consist of.
        let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
        let own =
            "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n";
        if method == Method::Get && route.method == Method::Get {
            for fields in [link, own] {
                let answer = world.ask_with("GET", path, fields, "");
                assert!(matches!(answer.status, 200 | 303), "{fields} {path}: {answer:?}");
            }
        }
    });
}

#[test]
fn law_under_a_name_that_is_not_ours_nothing_is_said_and_nothing_changes() {
    every_request(|world, _, method, path| {
        for host in ["evil.example", "evil.example:8025", "h.evil.example", "hh", "127.1"] {
            let (answer, closed) = world.ask_host(host, method.as_str(), path, "", "");
            assert_eq!((answer.status, closed), (421, false), "{host} {path}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("bob"), "{path}");
            world.assert_untouched();
        }
    });
    // Also where there is nothing, and for who says that it is ours.
    let mut world = World::new();
    let ours = "Origin: http://evil.example\r\nSec-Fetch-Site: same-origin\r\n";
    for path in ["/nothing", "/mailbox/%00", "/mailbox/bob"] {
        assert_eq!(world.ask_host("evil.example", "GET", path, ours, "").0.status, 421, "{path}");
    }
    for host in ["localhost:8025", "127.0.0.1:8025", "[::1]:8025", "192.0.2.1", "H:1", "h."] {
        assert_eq!(world.ask_host(host, "GET", "/mailbox/bob", "", "").0.status, 200, "{host}");
    }
}

#[test]
fn law_every_route_asks_for_the_secret_that_its_reach_needs() {
    let gate = |read: &str, change: &str| Gate {
        hosts: vec!["h".parse().expect("a name")],
        read: read.parse().unwrap_or_default(),
        change: change.parse().unwrap_or_default(),
    };
    let (read, change) =
        ("Authorization: Bearer for-reading\r\n", "Authorization: Bearer for-deleting\r\n");
    for route in ROUTES {
        let (reads, changes) = match route.reach {
            Reach::Open | Reach::Own => (false, false),
            Reach::Read | Reach::Stream => (true, false),
            Reach::Change => (false, true),
        };
        for (gate, fields, refused) in [
            (gate("for-reading", "for-deleting"), "", reads || changes),
            (gate("for-reading", "for-deleting"), read, changes),
            (gate("for-reading", "for-deleting"), change, false),
            (
                gate("for-reading", "for-deleting"),
                "Authorization: Bearer wrong-one\r\n",
                reads || changes,
            ),
            (gate("for-reading", ""), "", reads || changes),
            (gate("for-reading", ""), read, false),
            (gate("", "for-deleting"), "", changes),
            (gate("", "for-deleting"), change, false),
        ] {
            let (mut world, id) = World::with_mail();
            world.gate = gate;
            let path = path_of(route, &id.to_string());
            let answer = world.ask_with(route.method.as_str(), &path, fields, "");
            assert_eq!(answer.status == 401, refused, "{fields} {path}: {answer:?}");
            assert_eq!(answer.field("WWW-Authenticate").starts_with("Basic realm="), refused);
            assert_eq!(answer.head.contains("WWW-Authenticate: Bearer realm="), refused);
            if refused {
                world.assert_untouched();
            }
        }
    }
}

#[test]
fn law_on_every_route_a_wrong_secret_is_told_and_after_too_many_none_is_looked_at() {
    for route in ROUTES {
        for (secret, is_right) in [("for-deleting", true), ("wrong-one", false)] {
            let (mut world, id) = World::with_mail();
            world.gate.read = "for-reading".parse().expect("a secret");
            world.gate.change = "for-deleting".parse().expect("a secret");
            let path = path_of(route, &id.to_string());
            let fields = format!("Authorization: Bearer {secret}\r\n");
            let is_open = matches!(route.reach, Reach::Open | Reach::Own);
            world.secrets_wait_seconds = Some(599);
            let answer = world.ask_with(route.method.as_str(), &path, &fields, "");
            assert_eq!(answer.status == 429, !is_open, "{path}: {answer:?}");
            assert_eq!(answer.field("Retry-After"), if is_open { "" } else { "599" });
            let unchecked = if is_open { vec![] } else { vec![Secret::Unchecked] };
            assert_eq!(std::mem::take(&mut world.secrets), unchecked, "{path}");
            world.assert_untouched();
            // Who shows none is asked for one, and may try when it is over.
            let answer = world.ask(route.method.as_str(), &path);
            assert_eq!(answer.status == 401, !is_open, "{path}: {answer:?}");
            world.secrets_wait_seconds = None;
            world.ask_with(route.method.as_str(), &path, &fields, "");
            let is_told = !is_right && route.reach != Reach::Open;
            assert_eq!(world.secrets, vec![Secret::Wrong; usize::from(is_told)], "{path}");
        }
    }
}

#[test]
fn law_of_what_others_sent_nothing_is_said_without_the_secret_on_any_route() {
    for route in ROUTES {
        for fields in ["", "Authorization: Bearer wrong-one\r\n"] {
            let (mut world, id) = World::with_mail();
            world.gate.read = "for-reading".parse().expect("a secret");
            world.standing.source = "192.0.2.7".into();
            world.standing.banned_subjects = Some(vec![BannedSubject {
                subject: "bob@d.example wins".into(),
                messages: 21,
                seconds_ago: 5,
                seconds_left: 3595,
            }]);
            let path = path_of(route, &id.to_string());
            let answer = world.ask_with(route.method.as_str(), &path, fields, "");
            let body = String::from_utf8_lossy(&answer.body);
            assert!(!body.contains("d.example") && !body.contains("text &"), "{path}: {body}");
            assert_eq!(body.contains("192.0.2.7"), route.reach == Reach::Own, "{path}: {body}");
            if route.reach == Reach::Own {
                let right = "Authorization: Bearer for-reading\r\n";
                let answer = world.ask_with(route.method.as_str(), &path, right, "");
                assert!(answer.text().contains("bob@d.example wins"), "{answer:?}");
            }
        }
    }
}

#[test]
fn law_every_route_caps_its_body() {
    every_request(|world, route, method, path| {
        let asked = if method == Method::Head { Method::Get } else { method };
        let most = ROUTES
            .iter()
            .find(|other| other.path == route.path && other.method == asked)
            .map(|other| other.body_bytes_max);
        let expected = if most.is_some() { 413 } else { 405 };
        for length in [most.unwrap_or(0).saturating_add(1), usize::MAX] {
            for expect in ["", "Expect: 100-continue\r\n"] {
                let fields = format!("Content-Length: {length}\r\n{expect}");
                let (answer, closed) = world.ask_host("h", method.as_str(), path, &fields, "");
                assert_eq!((answer.status, closed), (expected, true), "{path}");
                assert_eq!(answer.field("Connection"), "close");
                world.assert_untouched();
            }
        }
    });
}

#[test]
fn law_no_route_takes_a_body_whose_length_is_said_otherwise_or_twice() {
    every_request(|world, _, method, path| {
        for (fields, status) in [
            ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: 2\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: 2, 2\r\n", 400),
            ("Transfer-Encoding: chunked\r\n", 501),
            ("Transfer-Encoding: identity\r\n", 501),
        ] {
            // What is refused is no request: whether it was for a HEAD is nobody's business.
            let request =
                format!("{} {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n{{}}", method.as_str());
            let (output, closed) = world.converse(&[request.as_bytes()]);
            let answer = Answer::read(&output, false);
            answer.assert_guarded();
            assert_eq!((answer.status, closed), (status, true), "{fields} {path}");
            world.assert_untouched();
        }
    });
}

/// Regression, of Mailpit's: CVE-2026-22689 let pages of other sites open a stream, and
/// GHSA-8r62-w5wh-fc5m did so again where the path was spelled `/%61pi/…`, since the rule knew only
/// one spelling of it and what routed knew more.
#[test]
fn law_no_other_spelling_of_a_path_leads_anywhere() {
    for route in ROUTES {
        let (mut world, id) = World::with_mail();
        let path = path_of(route, &id.to_string());
        let words = route.path.iter().filter_map(|segment| match segment {
            Segment::Word(word) => Some(*word),
            _ => None,
        });
        let mut spellings = vec![format!("/{path}"), format!("{path}/"), format!("/.{path}")];
        for word in words.clone() {
            for (at, letter) in word.char_indices() {
                for encoded in [
                    format!("%{:02x}", u32::from(letter)),
                    format!("%{:02X}", u32::from(letter)),
                    format!("%25{:02x}", u32::from(letter)),
                ] {
                    let respelled = [&word[..at], &encoded, &word[at + 1..]].concat();
                    spellings.push(path.replacen(word, &respelled, 1));
                }
            }
            spellings.push(path.replacen(word, &word.to_uppercase(), 1));
            spellings.push(path.replacen(&format!("/{word}"), &format!("%2f{word}"), 1));
            spellings.push(path.replacen(&format!("/{word}"), &format!("/{word};a=b"), 1));
            spellings.push(path.replacen(&format!("/{word}"), &format!("/x/..%2f{word}"), 1));
        }
        for spelling in spellings.iter().filter(|spelling| **spelling != path) {
            for fields in ["", FOREIGN[0]] {
                let answer = world.ask_with(route.method.as_str(), spelling, fields, "");
                // What is left of a path may be another's, whose words it has and whose rules it
                // keeps to: a message called `sourc%65`, which there is not.
                let known = matches!(answer.status, 404 | 400 | 405);
                let refused = !fields.is_empty() && answer.status == 403;
                assert!(known || refused, "{spelling} for {path}: {answer:?}");
                world.assert_untouched();
            }
        }
    }
}

#[test]
fn law_every_route_survives_names_and_ids_that_are_none() {
    for route in ROUTES {
        for (name, id) in [("%22%22", "1-0-0"), ("nobody", "1-0-0"), ("bob", "x"), ("bob", "0-0-0")]
        {
            let (mut world, _) = World::with_mail();
            let path = path_of(route, id).replace("bob", name);
            let answer = world.ask(route.method.as_str(), &path);
            answer.assert_guarded();
            assert!(matches!(answer.status, 200 | 303 | 400 | 404 | 410), "{path}: {answer:?}");
        }
    }
}

#[test]
fn reading_an_unknown_mailbox_makes_nothing() {
    let mut world = World::new();
    for route in ROUTES {
        for id in ["latest", "1-0-0"] {
            world.ask(route.method.as_str(), &path_of(route, id));
        }
    }
    assert_eq!(world.store.figures().mailboxes, 0);
    let answer = world.ask("GET", "/api/v1/mailbox/nobody");
    assert_eq!((answer.status, answer.text()), (200, "[]"));
    assert_eq!(answer.field("Mailfly-Lost"), "full=0, memory=0, expired=0, deleted=0");
}
