//! What the API and the pages say.

use super::{Answer, LETTER, World};
use crate::http::standing::{BannedSubject, Reason, Standing, Used};

#[test]
fn a_list_has_the_shape_that_inbucket_clients_read() {
    let (mut world, id) = World::with_mail();
    let answer = world.ask("GET", "/api/v1/mailbox/BOB%2Bx@anywhere.example");
    assert_eq!(
        answer.json(),
        serde_json::json!([{
            "mailbox": "bob",
            "id": id.to_string(),
            "from": "Alice <alice@s.example>",
            "to": ["Bob <bob@d.example>"],
            "subject": "hê",
            "date": "1994-11-06T08:49:37.042Z",
            "posix-millis": 784_111_777_042_u64,
            "size": LETTER.len(),
            "seen": false,
        }])
    );
}

#[test]
fn a_message_has_the_shape_that_inbucket_clients_read() {
    let (mut world, id) = World::with_mail();
    let whole = world.ask("GET", &format!("/api/v1/mailbox/bob/{id}")).json();
    assert_eq!(whole["mailbox"], "bob");
    assert_eq!(whole["seen"], false);
    assert_eq!(whole["body"]["text"], "text <&>");
    assert_eq!(whole["body"]["html"], "<script>alert(1)</script>");
    assert_eq!(whole["header"]["Message-Id"], serde_json::json!(["<1@s>"]));
    assert_eq!(whole["header"]["Subject"], serde_json::json!(["=?utf-8?q?h=C3=AA?="]));
    let link = format!("http://h:8025/api/v1/mailbox/bob/{id}/attachment/0");
    // printf '<b>' | md5sum
    let md5 = "2d5fef6c87f16217aa1b50e1ebc89720";
    let attachments = whole["attachments"].as_array().expect("a list");
    assert_eq!(attachments.len(), 1);
    assert_eq!(attachments[0]["filename"], "e\"vil.html");
    assert_eq!(attachments[0]["content-type"], "text/html");
    assert_eq!(attachments[0]["download-link"], link);
    assert_eq!(attachments[0]["view-link"], link);
    assert_eq!(attachments[0]["md5"], md5);
    assert_eq!(world.ask("GET", "/api/v1/mailbox/bob/latest").json()["id"], id.to_string());
}

#[test]
fn lists_go_from_the_oldest_to_the_newest_and_pages_the_other_way() {
    let mut world = World::new();
    for number in 1..=6 {
        world.deliver(&["bob@x"], &format!("Subject: s{number}\r\n\r\n"));
    }
    let answer = world.ask("GET", "/api/v1/mailbox/bob");
    let subjects = |answer: &Answer| -> Vec<String> {
        let list = answer.json();
        let entries = list.as_array().expect("a list");
        entries.iter().map(|entry| entry["subject"].as_str().expect("text").into()).collect()
    };
    assert_eq!(subjects(&answer), ["s3", "s4", "s5", "s6"]);
    assert_eq!(answer.field("Mailfly-Lost"), "full=2, memory=0, expired=0, deleted=0");
    assert_eq!(answer.field("Mailfly-Messages"), "4");
    let answer = world.ask("GET", "/api/v1/mailbox/bob?limit=2");
    assert_eq!(subjects(&answer), ["s5", "s6"]);
    assert_eq!(answer.field("Mailfly-Messages"), "4");
    assert_eq!(world.ask("GET", "/api/v1/mailbox/bob?limit=-1").status, 400);
    let page = world.ask("GET", "/mailbox/bob");
    let at = |subject| page.text().find(subject).expect(subject);
    assert!(at(">s6<") < at(">s3<"));
    assert!(page.text().contains("2 because the mailbox was full"), "{}", page.text());
}

#[test]
fn the_source_is_the_message_behind_its_trace() {
    let (mut world, id) = World::with_mail();
    let answer = world.ask("GET", &format!("/api/v1/mailbox/bob/{id}/source"));
    let trace = format!(
        "Return-Path: <alice@s.example>\r\n\
         Delivered-To: Bob+tag@d.example\r\n\
         Received: from there.example ([192.0.2.7])\r\n\
         \tby mail.example with ESMTP id {id}\r\n\
         \tfor <Bob+tag@d.example>;\r\n\
         \tSun, 06 Nov 1994 08:49:37 +0000\r\n"
    );
    assert_eq!(answer.text(), trace + LETTER);
    assert_eq!(answer.field("Content-Type"), "text/plain; charset=utf-8");
}

/// Or a client would show its secret on the way there, for all to see.
#[test]
fn what_was_asked_for_through_tls_links_to_nothing_without() {
    for (encrypted, scheme) in [(false, "http"), (true, "https")] {
        let (mut world, id) = World::with_mail();
        world.encrypted = encrypted;
        let path = format!("/api/v1/mailbox/bob/{id}");
        let shown = world.ask("GET", &path).json();
        let link = format!("{scheme}://h:8025{path}/attachment/0");
        assert_eq!(shown["attachments"][0]["download-link"], link);
        assert_eq!(shown["attachments"][0]["view-link"], link);
    }
}

#[test]
fn an_attachment_is_saved_and_never_shown() {
    let (mut world, id) = World::with_mail();
    let answer = world.ask("GET", &format!("/api/v1/mailbox/bob/{id}/attachment/0"));
    assert_eq!((answer.status, answer.text()), (200, "<b>"));
    assert_eq!(answer.field("Content-Type"), "application/octet-stream");
    assert!(answer.field("Content-Disposition").starts_with("attachment; filename=\"e_vil.html\""));
    assert_eq!(world.ask("GET", &format!("/api/v1/mailbox/bob/{id}/attachment/1")).status, 404);
}

#[test]
fn what_is_gone_is_gone_and_what_never_was_is_not_found() {
    let (mut world, id) = World::with_mail();
    let path = format!("/api/v1/mailbox/bob/{id}");
    let answer = world.ask("DELETE", &path);
    assert_eq!((answer.status, answer.text()), (200, "\"OK\""));
    for method in ["GET", "DELETE"] {
        let answer = world.ask(method, &path);
        assert_eq!(answer.status, 410);
        assert!(answer.text().contains("gone"), "{}", answer.text());
    }
    for path in
        ["/api/v1/mailbox/bob/latest", "/api/v1/mailbox/bob/1-f-0", "/api/v1/mailbox/x/latest"]
    {
        assert_eq!(world.ask("GET", path).status, 404, "{path}");
    }
    world.deliver(&["bob@x"], "A: b\r\n\r\n");
    assert_eq!(world.ask("DELETE", "/api/v1/mailbox/bob/latest").status, 404);
    assert_eq!(world.ask("DELETE", "/api/v1/mailbox/bob").text(), "\"OK\"");
    assert_eq!(world.ask("DELETE", "/api/v1/mailbox/nobody").text(), "\"OK\"");
    assert_eq!(world.store.figures().messages, 0);
    let lost = world.ask("GET", "/api/v1/mailbox/bob");
    assert_eq!(lost.field("Mailfly-Lost"), "full=0, memory=0, expired=0, deleted=2");
}

#[test]
fn messages_are_marked_as_clients_ask_and_by_being_opened() {
    let (mut world, id) = World::with_mail();
    let path = format!("/api/v1/mailbox/bob/{id}");
    let mut mark = |body: &str| {
        let fields = format!("Content-Length: {}\r\n", body.len());
        let answer = world.ask_with("PATCH", &path, &fields, body);
        (answer.status, world.ask("GET", &path).json()["seen"] == true)
    };
    assert_eq!(mark("{}"), (200, false));
    assert_eq!(mark("{\"seen\":true}"), (200, true));
    assert_eq!(mark("{\"seen\":false}"), (200, false));
    assert_eq!(mark("seen"), (400, false));
    assert_eq!(mark(""), (200, true));
    assert_eq!(mark("{\"seen\":false}"), (200, false));
    world.ask("HEAD", &format!("/mailbox/bob/{id}"));
    assert_eq!(world.ask("GET", &path).json()["seen"], false);
    world.ask("GET", &format!("/mailbox/bob/{id}"));
    assert_eq!(world.ask("GET", &path).json()["seen"], true);
}

#[test]
fn a_field_for_a_name_leads_to_the_mailbox() {
    let mut world = World::new();
    for (query, location) in [
        ("?name=Bob%2Btag%40x.example", "/mailbox/bob"),
        ("?name=+bob+", "/mailbox/bob"),
        ("?name=%C3%A9", "/mailbox/%C3%A9"),
        ("?name=a%2Fb", "/mailbox/a%2Fb"),
        ("?name=", "/"),
        ("", "/"),
    ] {
        let answer = world.ask("GET", &format!("/mailbox{query}"));
        assert_eq!((answer.status, answer.field("Location")), (303, location), "{query}");
    }
    assert_eq!(world.ask("GET", "/mailbox?name=%22%22").status, 400);
}

#[test]
fn the_message_page_escapes_and_frames_what_strangers_wrote() {
    let (mut world, id) = World::with_mail();
    let page = world.ask("GET", &format!("/mailbox/bob/{id}"));
    assert!(page.text().contains("text &lt;&amp;&gt;"), "{}", page.text());
    assert!(!page.text().contains("<script"), "{}", page.text());
    assert!(page.text().contains("<iframe class=\"letter\" sandbox=\"\""), "{}", page.text());
    let letter = world.ask("GET", &format!("/mailbox/bob/{id}/html"));
    assert_eq!(letter.text(), "<script>alert(1)</script>");
    let policy = letter.field("Content-Security-Policy");
    assert!(
        policy.starts_with("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    );
    assert_eq!(letter.field("Referrer-Policy"), "no-referrer");
}

#[test]
fn what_a_letter_shows_from_elsewhere_is_fetched_only_if_the_reader_asks() {
    let mut world = World::new();
    let id = world.deliver(
        &["bob@x"],
        "Content-Type: text/html\r\n\r\n<link rel=preconnect href=//x><img src=http://x/y>",
    );
    let path = format!("/mailbox/bob/{id}");
    for (query, remote) in
        [("", false), ("?images=remote", true), ("?images=own", false), ("?image=remote", false)]
    {
        let page = world.ask("GET", &format!("{path}{query}"));
        let frame = format!("src=\"{path}/html{}\"", if remote { query } else { "" });
        assert!(page.text().contains("sandbox=\"\""), "{}", page.text());
        assert!(page.text().contains(&frame), "{frame} in {}", page.text());
        assert_eq!(page.text().contains(&format!("href=\"{path}?images=remote\"")), !remote);
        assert!(page.field("Content-Security-Policy").contains("img-src data:; "));

        let letter = world.ask("GET", &format!("{path}/html{query}"));
        let policy = letter.field("Content-Security-Policy");
        let images = if remote { "img-src data: http: https:" } else { "img-src data:" };
        let directives: Vec<_> = policy.split("; ").collect();
        assert_eq!(
            directives,
            [
                "sandbox",
                "default-src 'none'",
                "style-src 'unsafe-inline'",
                images,
                "form-action 'none'",
                "base-uri 'none'",
                "frame-ancestors 'self'",
            ]
        );
        assert!(letter.text().contains("<no-link rel=preconnect"), "{}", letter.text());
    }
}

/// Or its sender could learn when it is read from whoever it gets to a page that leads here.
#[test]
fn a_link_on_a_page_of_another_site_does_not_ask_for_what_is_elsewhere() {
    let mut world = World::new();
    world.deliver(&["bob@x"], "Content-Type: text/html\r\n\r\n<img src=http://x/y>");
    let link = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    for (site, fetched) in
        [("cross-site", false), ("same-site", false), ("same-origin", true), ("none", true)]
    {
        let fields = format!("Sec-Fetch-Site: {site}\r\n{link}");
        let page = world.ask_with("GET", "/mailbox/bob/latest?images=remote", &fields, "");
        assert_eq!(page.text().contains("/html?images=remote\""), fetched, "{site}");
        assert_eq!(page.text().contains("Fetch images"), !fetched, "{site}");
        let letter = world.ask_with("GET", "/mailbox/bob/latest/html?images=remote", &fields, "");
        let policy = letter.field("Content-Security-Policy");
        assert_eq!(policy.contains("img-src data: http: https:"), fetched, "{site}");
    }
}

#[test]
fn whoever_may_only_read_marks_nothing_by_reading() {
    let read = "Authorization: Bearer for-reading\r\n";
    let change = "Authorization: Bearer for-deleting\r\n";
    for (opens, fields, seen) in
        [("", "", false), ("for-reading", read, false), ("for-reading", change, true)]
    {
        let (mut world, id) = World::with_mail();
        world.gate.read = opens.parse().unwrap_or_default();
        world.gate.change = "for-deleting".parse().unwrap();
        let page = world.ask_with("GET", &format!("/mailbox/bob/{id}"), fields, "");
        assert_eq!(page.status, 200, "{fields}");
        let list = world.ask_with("GET", "/api/v1/mailbox/bob", fields, "").text().to_owned();
        assert_eq!(list.contains("\"seen\":true"), seen, "{fields}: {list}");
    }
}

#[test]
fn a_page_of_another_site_does_not_mark_a_message_by_showing_its_path() {
    let (mut world, id) = World::with_mail();
    let path = format!("/mailbox/bob/{id}");
    assert_eq!(world.ask_with("GET", &path, "Sec-Fetch-Site: cross-site\r\n", "").status, 200);
    world.assert_untouched();
}

#[test]
fn forms_of_our_own_pages_delete() {
    let (mut world, id) = World::with_mail();
    let fields = "Origin: http://h:8025\r\nContent-Length: 0\r\n";
    let answer = world.ask_with("POST", &format!("/mailbox/bob/{id}/delete"), fields, "");
    assert_eq!((answer.status, answer.field("Location")), (303, "/mailbox/bob"));
    assert_eq!(world.store.figures().messages, 0);
    world.deliver(&["bob@x"], "A: b\r\n\r\n");
    let answer =
        world.ask_with("POST", "/mailbox/bob/delete", "Sec-Fetch-Site: same-origin\r\n", "");
    assert_eq!((answer.status, world.store.figures().messages), (303, 0));
}

#[test]
fn monitors_are_answered_while_draining_too() {
    let mut world = World::new();
    assert_eq!(world.ask("GET", "/livez").text(), "alive\n");
    assert_eq!(world.ask("GET", "/readyz").text(), "ready\n");
    let metrics = world.ask("GET", "/metrics");
    assert!(metrics.text().contains("mailfly_messages 0\n"), "{}", metrics.text());
    world.ready = false;
    let answer = world.ask("GET", "/readyz");
    assert_eq!((answer.status, answer.field("Connection")), (503, "close"));
    assert_eq!(world.ask("GET", "/livez").status, 200);
}

#[test]
fn whoever_was_refused_is_told_why_and_markup_in_a_subject_is_text() {
    let mut world = World::new();
    world.standing = Standing {
        source: "192.0.2.7".into(),
        ban: Some(Reason {
            rule: "messages",
            reason: "too many messages from your network",
            action: "reject",
            count: 21,
            limit: 20,
            seconds_left: Some(599),
        }),
        used: vec![Used { rule: "connections", count: 3, limit: 100 }],
        banned_subjects: Some(vec![BannedSubject {
            subject: "<script>alert(1)</script>".into(),
            messages: 21,
            seconds_ago: 5,
            seconds_left: 3595,
        }]),
        ..Standing::default()
    };
    let answer = world.ask("GET", "/api/v1/refused");
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        told,
        serde_json::json!({
            "source": "192.0.2.7", "trusted": false, "shared": false,
            "ban": {
                "rule": "messages", "reason": "too many messages from your network",
                "action": "reject", "count": 21, "limit": 20, "seconds-left": 599,
            },
            "last": null, "last-seconds-ago": null,
            "used": [{ "rule": "connections", "count": 3, "limit": 100 }],
            "banned-subjects": [{
                "subject": "<script>alert(1)</script>", "messages": 21, "seconds-ago": 5,
                "seconds-left": 3595,
            }],
        })
    );
    let page = String::from_utf8(world.ask("GET", "/refused").body).unwrap();
    for text in ["192.0.2.7", "It is banned: too many messages", "21, where 20", "10 min", "60 min"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
}
