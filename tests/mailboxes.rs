//! What a 250 promises and by which rules a message goes, as a client sees it: eviction, ttl,
//! deletion, ids, and which mailbox an address means. Not here: what is refused (`refusals`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

mod support;

use std::thread;
use std::time::Duration;

use support::{Browser, Client, Daemon, Response, message};

const NONE_LOST: &str = "full=0, memory=0, expired=0, deleted=0";

struct House {
    daemon: Daemon,
    client: Client,
    browser: Browser,
}

impl House {
    fn open(flags: &[&str]) -> Self {
        let daemon = Daemon::start(&[&["--memory", "8MiB"], flags].concat());
        let (client, browser) = (Client::introduced(daemon.smtp), Browser::connect(daemon.http));
        Self { daemon, client, browser }
    }

    #[track_caller]
    fn deliver(&mut self, recipient: &str) -> String {
        self.client.deliver(recipient, format!("To: {recipient}\r\n\r\n").as_bytes())
    }

    fn message(&mut self, method: &str, mailbox: &str, id: &str) -> Response {
        self.browser.request(method, &format!("/api/v1/mailbox/{mailbox}/{id}"))
    }

    /// How a message is answered for, whichever way it is asked for.
    #[track_caller]
    fn status(&mut self, mailbox: &str, id: &str) -> u16 {
        let status = self.message("GET", mailbox, id).status;
        for path in [
            format!("/api/v1/mailbox/{mailbox}/{id}/source"),
            format!("/mailbox/{mailbox}/{id}"),
            format!("/mailbox/{mailbox}/{id}/html"),
        ] {
            assert_eq!(self.browser.get(&path).status, status, "{path}");
        }
        status
    }

    fn lost(&mut self, mailbox: &str) -> String {
        let list = self.browser.get(&format!("/api/v1/mailbox/{mailbox}"));
        list.field("Mailfly-Lost").to_owned()
    }

    fn lost_of_all(&mut self, cause: &str) -> u64 {
        self.browser.metric(&format!("mailfly_store_lost_total{{cause=\"{cause}\"}}"))
    }
}

/// Looks until it is so. There is a pause between looks so that they are bounded in number as well
/// as in time; nothing depends on its length.
#[track_caller]
fn eventually(mut is_so: impl FnMut() -> bool) {
    let seen = (0..1000).any(|_| {
        let so = is_so();
        if !so {
            thread::sleep(Duration::from_millis(20));
        }
        so
    });
    assert!(seen, "it does not come to be");
}

#[test]
fn the_id_in_the_reply_opens_the_message() {
    let mut house = House::open(&[]);
    for bytes in [0, 1, 1_000, 10_000, 100_000] {
        let body = message(bytes, bytes);
        let id = house.client.deliver("b@example.com", &body);
        let source = house.browser.source("b", &id);
        assert_eq!(source.return_path, "sender@example.org");
        assert_eq!(source.delivered_to, ["b@example.com"]);
        assert_eq!(source.sent, body);
        assert_eq!(house.browser.source("b", "latest"), source);
        assert_eq!(house.browser.ids("b").last(), Some(&id));
        assert_eq!(house.status("b", &id), 200);
    }
}

#[test]
fn a_flood_to_one_mailbox_evicts_only_its_own_oldest_and_says_so() {
    for (flags, kept) in [
        (&["--messages-per-mailbox", "3"][..], Some(3)),
        (&["--message-size", "16KiB", "--mailbox-size", "64KiB"][..], None),
    ] {
        let mut house = House::open(flags);
        let before: Vec<String> =
            ["calm@x", "calm@x", "other@x"].map(|recipient| house.deliver(recipient)).into();
        // Other mailboxes get theirs before the flood, while it runs, and behind it.
        let (mut flood, mut between) = (vec![], vec![]);
        for number in 0..50 {
            flood.push(house.client.deliver("flood@x", &message(number, 10_000)));
            if number % 10 == 0 {
                between.push(house.deliver(&format!("between{number}@x")));
            }
        }
        let left = house.browser.ids("flood");
        assert!(kept.is_none_or(|kept| left.len() == kept) && left.len() > 1, "{left:?}");
        let (evicted, newest) = flood.split_at(flood.len() - left.len());
        assert_eq!(left, newest, "the newest stay, in their order");
        for (number, id) in newest.iter().enumerate() {
            let sent = message(evicted.len() + number, 10_000);
            assert_eq!(house.browser.source("flood", id).sent, sent);
        }
        for id in evicted {
            assert_eq!(house.status("flood", id), 410);
        }
        let evicted = evicted.len();
        assert!(evicted > 40, "a mailbox of a few messages keeps {}", left.len());
        let told = format!("full={evicted}, memory=0, expired=0, deleted=0");
        assert_eq!(house.lost("flood"), told);
        assert_eq!(house.lost_of_all("mailbox_full"), evicted as u64);
        assert_eq!(house.lost_of_all("memory_full"), 0);
        assert_eq!(house.browser.ids("calm"), before[..2]);
        assert_eq!(house.browser.ids("other"), before[2..]);
        for (number, id) in between.iter().enumerate() {
            assert_eq!(
                house.browser.ids(&format!("between{}", number * 10)),
                std::slice::from_ref(id)
            );
        }
        assert_eq!(house.lost("calm"), NONE_LOST);
    }
}

#[test]
fn a_full_pool_takes_from_the_mailbox_that_has_gone_longest_without_mail() {
    let mut house = House::open(&["--mailbox-size", "2MiB", "--message-size", "512KiB"]);
    let oldest = house.client.deliver("oldest@x", &message(1, 400_000));
    let fresh = house.client.deliver("fresh@x", &message(2, 400_000));
    let mut number = 2;
    while house.lost_of_all("memory_full") == 0 {
        // So that this one is never the one that has gone longest.
        house.deliver("fresh@x");
        number += 1;
        assert!(number < 100, "the pool is never full");
        house.client.deliver(&format!("user{number}@x"), &message(number, 400_000));
    }
    assert_eq!(house.status("oldest", &oldest), 410);
    assert_eq!(house.lost("oldest"), "full=0, memory=1, expired=0, deleted=0");
    assert_eq!(house.browser.source("fresh", &fresh).sent, message(2, 400_000));
    assert_eq!(house.lost("fresh"), NONE_LOST);
    assert_eq!(house.lost_of_all("mailbox_full"), 0);
}

#[test]
fn what_is_past_its_time_is_gone_and_counted() {
    let mut house = House::open(&["--ttl", "1s"]);
    let id = house.deliver("b@x");
    eventually(|| {
        let status = house.message("GET", "b", &id).status;
        assert!(matches!(status, 200 | 410), "{status}");
        status == 410
    });
    assert_eq!(house.status("b", &id), 410);
    assert_eq!(house.browser.ids("b"), [""; 0]);
    assert_eq!(house.message("GET", "b", "latest").status, 404);
    assert_eq!(house.message("DELETE", "b", &id).status, 410);
    assert_eq!(house.lost("b"), "full=0, memory=0, expired=1, deleted=0");
    // Over all mailboxes it is counted when the sweep comes by.
    eventually(|| house.lost_of_all("expired") == 1);
    assert_eq!(house.lost_of_all("deleted"), 0);
    assert_eq!(house.browser.metric("mailfly_store_messages"), 0);
    // A mailbox whose mail expired takes mail as before, and its old ids stay gone.
    let next = house.deliver("b@x");
    assert_ne!(next, id);
    assert_eq!(house.status("b", &id), 410);
}

#[test]
fn what_is_deleted_is_gone_and_counted() {
    let mut house = House::open(&[]);
    let ids: Vec<String> = (0..4).map(|_| house.deliver("b@x")).collect();
    let elsewhere = house.deliver("c@x");
    // From the middle, so that it cannot be taken for eviction.
    assert_eq!(house.message("DELETE", "b", &ids[1]).status, 200);
    assert_eq!(house.status("b", &ids[1]), 410);
    assert_eq!(house.message("DELETE", "b", &ids[1]).status, 410);
    assert_eq!(house.browser.ids("b"), [&ids[..1], &ids[2..]].concat());
    assert_eq!(house.lost("b"), "full=0, memory=0, expired=0, deleted=1");
    assert_eq!(house.browser.request("DELETE", "/api/v1/mailbox/b").status, 200);
    assert_eq!(house.browser.ids("b"), [""; 0]);
    for id in &ids {
        assert_eq!(house.status("b", id), 410);
    }
    assert_eq!(house.lost("b"), "full=0, memory=0, expired=0, deleted=4");
    assert_eq!(house.lost_of_all("deleted"), 4);
    assert_eq!(house.browser.metric("mailfly_store_messages"), 1);
    assert_eq!(house.browser.ids("c"), [elsewhere]);
    let next = house.deliver("b@x");
    assert_eq!(house.browser.ids("b"), [next]);
}

#[test]
fn an_id_is_410_once_it_was_and_404_if_it_never_was() {
    let mut house = House::open(&["--mailboxes", "2"]);
    let first = house.deliver("a@x");
    let second = house.deliver("b@x");
    for (mailbox, id) in [
        ("a", second.as_str()), // another mailbox's
        ("b", &first),
        ("a", "ffffff-0-0"),
        ("a", "0-0"),
        ("a", "Latest"),
        ("a", "-1"),
        ("nobody", "latest"),
        ("nobody", "0-0-0"),
        ("nobody", &first),
    ] {
        assert_eq!(house.status(mailbox, id), 404, "{mailbox} {id}");
        assert_eq!(house.message("DELETE", mailbox, id).status, 404, "{mailbox} {id}");
    }
    assert_eq!(house.status("a", &first), 200);
    // A third mailbox takes the place of the one that has gone longest without mail: who holds its
    // id is told so, whatever mailbox he asks by, and never shown the newcomer's.
    let third = house.deliver("c@x");
    assert_eq!(house.browser.ids("c"), std::slice::from_ref(&third));
    assert_ne!(third, first);
    for mailbox in ["a", "c"] {
        assert_eq!(house.status(mailbox, &first), 410, "{mailbox}");
    }
    assert_eq!(house.status("b", &second), 200);
}

#[test]
fn reading_makes_no_mailbox() {
    let mut house = House::open(&["--mailboxes", "4"]);
    let id = house.deliver("known@x");
    for number in 0..200 {
        let name = format!("unknown{number}");
        let path = format!("/api/v1/mailbox/{name}");
        assert_eq!(house.browser.get(&path).body, b"[]");
        assert_eq!(house.browser.get(&format!("/mailbox/{name}")).status, 200);
        assert_eq!(house.status(&name, "latest"), 404);
        assert_eq!(house.browser.request("DELETE", &path).status, 200);
        assert_eq!(house.message("DELETE", &name, &id).status, 404);
    }
    assert_eq!(house.browser.metric("mailfly_store_mailboxes"), 1);
    // With room for four, any of the two hundred would have pushed this one out.
    assert_eq!(house.status("known", &id), 200);
    assert_eq!(house.lost_of_all("memory_full"), 0);
}

#[test]
fn by_local_naming_a_mailbox_is_the_local_part_without_its_tag() {
    let mut house = House::open(&["--naming", "local"]);
    let addresses = ["bob@x.example", "BOB@y.example", "Bob+tag@x.example", "\"bob\"@[192.0.2.1]"];
    let ids: Vec<String> = addresses.map(|address| house.deliver(address)).into();
    let other = house.deliver("robert@x.example");
    for name in ["bob", "BOB", "bob@never.example", "bob+other", "%22bob%22%40x"] {
        assert_eq!(house.browser.ids(name), ids, "{name}");
    }
    assert_eq!(house.browser.ids("robert"), [other]);
    assert_eq!(house.browser.metric("mailfly_store_mailboxes"), 2);
}

#[test]
fn by_full_naming_a_mailbox_is_the_whole_address() {
    let mut house = House::open(&["--naming", "full"]);
    let here = house.deliver("Bob@X.example");
    let there = house.deliver("bob@y.example");
    let tagged = house.deliver("bob+tag@x.example");
    let plain = house.deliver("postmaster");
    for (name, ids) in [
        ("bob@x.example", vec![here]),
        ("BOB%40Y.EXAMPLE", vec![there]),
        ("bob+tag@x.example", vec![tagged]),
        ("bob", vec![]),
        ("postmaster", vec![plain]),
    ] {
        assert_eq!(house.browser.ids(name), ids, "{name}");
    }
    assert_eq!(house.browser.metric("mailfly_store_mailboxes"), 4);
}

#[test]
fn recipients_that_mean_one_mailbox_share_one_copy() {
    let mut house = House::open(&[]);
    for body in [message(1, 500), message(2, 50_000)] {
        let copies = house.browser.metric("mailfly_store_messages");
        house.client.send(b"MAIL FROM:<a@x>\r\n");
        let recipients = ["bob@x", "carol@x", "BOB@y", "bob+tag@x"];
        for recipient in recipients {
            house.client.send(format!("RCPT TO:<{recipient}>\r\n").as_bytes());
        }
        house.client.send(&[format!("BDAT {} LAST\r\n", body.len()).as_bytes(), &body].concat());
        for _ in 0..=recipients.len() {
            house.client.expect("250");
        }
        let reply = house.client.expect("250 2.0.0 Ok: stored as ");
        let id = reply.rsplit(' ').next().unwrap();
        assert_eq!(house.browser.metric("mailfly_store_messages"), copies + 2);
        let source = house.browser.source("bob", id);
        assert_eq!(source.delivered_to, ["bob@x", "BOB@y", "bob+tag@x"]);
        assert_eq!(source.sent, body);
        let source = house.browser.source("carol", "latest");
        assert_eq!((source.delivered_to, source.sent), (vec!["carol@x".to_owned()], body));
    }
    assert_eq!(house.browser.ids("bob").len(), 2);
    // One goes without the other.
    assert_eq!(house.browser.request("DELETE", "/api/v1/mailbox/bob").status, 200);
    assert_eq!(house.browser.source("carol", "latest").sent, message(2, 50_000));
    drop(house.daemon);
}

#[test]
fn the_name_that_a_list_tells_leads_back_to_its_mailbox() {
    let mut house = House::open(&[]);
    for (address, name) in [
        ("bob+tag@x", "bob"),
        ("\"a@b\"@x", "\"a@b\""),
        ("\"\\\"a\\\"\"@x", "\"\\\"a\\\"\""),
        ("\"..\"@x", "\"..\""),
        ("a/b%c@x", "a/b%c"),
    ] {
        let id = house.deliver(address);
        let list = |house: &mut House, text: &str| {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let body = house.browser.get(&format!("/api/v1/mailbox/{encoded}")).body;
            serde_json::from_slice::<serde_json::Value>(&body).unwrap()
        };
        let told = list(&mut house, address)[0]["mailbox"].as_str().unwrap().to_owned();
        assert_eq!(told, name);
        assert_eq!(list(&mut house, &told)[0]["id"].as_str(), Some(&*id), "{told}");
    }
}

/// Lists too long for one turn, with another request behind each.
#[test]
fn all_of_a_long_mailbox_is_listed_to_all_who_ask_at_once_though_some_leave() {
    let mut house = House::open(&[]);
    let ids: Vec<_> = (0..200).map(|_| house.deliver("bob@x.example")).collect();
    for _ in 0..5 {
        let browsers = (0..8).map(|_| Browser::connect(house.daemon.http));
        let mut browsers: Vec<_> = browsers.collect();
        for browser in &mut browsers {
            browser.ask("GET", "/api/v1/mailbox/bob");
            browser.ask("GET", "/livez");
        }
        // Each that leaves does so when the one before it has its answers.
        for mut browser in browsers.into_iter().step_by(2) {
            let list: Vec<serde_json::Value> =
                serde_json::from_slice(&browser.answer().body).unwrap();
            assert!(list.iter().map(|entry| entry["id"].as_str().unwrap()).eq(&ids));
            assert_eq!(browser.answer().body, b"alive\n");
        }
    }
    assert_eq!(house.browser.ids("bob"), ids);
}
