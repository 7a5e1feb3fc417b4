//! The guard as its server sees it: conversations, and laws over all of its rules.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

const SEED: u128 = 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978;
const MINUTE: u64 = 60_000;

fn at(monotonic_ms: u64) -> Now {
    Now { monotonic_ms, unix_ms: 0 }
}

/// An address in the network of this number.
fn from(network: u16) -> IpAddr {
    let [first, second] = network.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(198, first, second, 7))
}

fn guard(rules: Rules) -> Guard {
    Guard::new(rules, Networks::loopback(), Words::parse("rolex").unwrap(), SEED)
}

/// A connection that brings one message in pieces.
fn send_pieces(guard: &mut Guard, address: IpAddr, pieces: &[&[u8]], now: Now) -> Verdict {
    let (peer, door) = guard.connected(address, now);
    if let Verdict::Refuse(_) = door {
        return door;
    }
    let mut inspection = guard.mail(&peer, false, now);
    for piece in pieces {
        guard.body(&peer, &mut inspection, piece, now);
    }
    let verdict = guard.finished(&peer, inspection, now);
    guard.disconnected(peer);
    verdict
}

fn send(guard: &mut Guard, address: IpAddr, message: &str, now: Now) -> Verdict {
    send_pieces(guard, address, &[message.as_bytes()], now)
}

fn rule(verdict: Verdict) -> Option<Rule> {
    verdict.finding().map(|finding| finding.rule)
}

/// Words that stand for a text, other ones for each number.
fn text(number: u32, words: u32) -> String {
    let word = |index: u32| {
        let letter = |shift: u32| char::from(b'a' + ((number * 251 + index) >> shift & 15) as u8);
        [letter(0), letter(4), letter(8), letter(12), letter(16)].iter().collect::<String>()
    };
    (0..words).map(word).collect::<Vec<_>>().join(" ")
}

fn message(subject: &str, body: &str) -> String {
    format!("From: a@example.com\r\nSubject: {subject}\r\nTo: b@example.net\r\n\r\n{body}\r\n")
}

#[test]
fn a_source_may_send_twenty_messages_in_two_minutes_and_is_banned_with_the_next() {
    let mut guard = guard(Rules::default());
    for number in 0..20 {
        let verdict = send(&mut guard, from(1), &message(&format!("s{number}"), ""), at(number));
        assert_eq!(verdict, Verdict::Allow);
    }
    let Verdict::Refuse(finding) = send(&mut guard, from(1), &message("last", ""), at(30)) else {
        panic!("the 21st is refused");
    };
    assert_eq!((finding.rule, finding.count, finding.limit), (Rule::Messages, 21, 20));
    assert_eq!(finding.seconds_left(30), 600);
    assert_eq!(rule(guard.connected(from(1), at(599_000)).1), Some(Rule::Messages));
    let why = guard.explain(from(1), at(600_000));
    assert_eq!(why.last_seconds_ago, 1, "being turned away at the door is remembered too");
    assert_eq!(send(&mut guard, from(2), &message("other", ""), at(40)), Verdict::Allow);

    let why = guard.explain(from(1), at(60_030));
    assert_eq!(why.ban, Some(finding));
    assert_eq!(why.ban.unwrap().seconds_left(60_030), 540);
    assert_eq!((why.trusted, why.shared), (false, false));
    assert_eq!(send(&mut guard, from(1), &message("again", ""), at(600_030)), Verdict::Allow);
}

#[test]
fn a_subject_from_many_networks_is_banned_for_an_hour_and_shown() {
    let mut guard = guard(Rules::default());
    let spam = message("Re: Cheap Watches", "");
    let refused =
        (0..60).find(|network| send(&mut guard, from(*network), &spam, at(0)) != Verdict::Allow);
    assert!(matches!(refused, Some(20..)), "{refused:?}");
    let same = message("fwd: cheap  watches", "");
    assert_eq!(rule(send(&mut guard, from(999), &same, at(59 * MINUTE))), Some(Rule::Subjects));
    assert_eq!(send(&mut guard, from(999), &message("cheap watch", ""), at(9)), Verdict::Allow);

    let shown: Vec<_> = guard.banned_subjects(at(MINUTE)).collect();
    assert_eq!(shown.len(), 1);
    assert_eq!((shown[0].text, shown[0].messages), ("Cheap Watches", 22));
    let why = guard.explain(from(999), at(59 * MINUTE + 5000));
    assert_eq!((why.last.map(|last| last.rule), why.ban), (Some(Rule::Subjects), None));
    assert_eq!(why.last_seconds_ago, 5);
    assert_eq!(why.last.unwrap().seconds_left(59 * MINUTE + 5000), 55);
    assert_eq!(send(&mut guard, from(999), &spam, at(60 * MINUTE)), Verdict::Allow);
    assert_eq!(guard.figures().bans[Rule::Subjects as usize], 1);
}

#[test]
fn what_comes_again_is_counted_with_its_own_ban() {
    let mut guard = guard(Rules::default());
    for (subject, again) in [("Cheap watches", 3), ("Your account", 5)] {
        let spam = message(subject, "");
        let mut refused = (0..60)
            .filter(|network| send(&mut guard, from(*network), &spam, at(0)) != Verdict::Allow);
        assert!(refused.nth(again).is_some(), "it was banned, and came again so often");
    }
    let mut shown: Vec<_> =
        guard.banned_subjects(at(1)).map(|banned| (banned.text, banned.messages)).collect();
    shown.sort_unstable();
    assert_eq!(shown[0].0, "Cheap watches");
    assert_eq!(shown[1], ("Your account", shown[0].1 + 2), "{shown:?}");
}

#[test]
fn one_source_alone_cannot_get_anybodys_subject_or_text_banned() {
    let mut rules = Rules::default();
    // Nothing else stops it from sending.
    rules.set(Rule::Messages, None).unwrap();
    rules.set(Rule::Connections, None).unwrap();
    let mut guard = guard(rules);
    let victim = message("Your invoice", &text(1, 100));
    for number in 0..5000 {
        assert_eq!(send(&mut guard, from(6), &victim, at(number)), Verdict::Allow);
    }
    assert_eq!(send(&mut guard, from(7), &victim, at(5000)), Verdict::Allow);
    assert_eq!(guard.figures().bans, [0; 8]);
}

#[test]
fn a_campaign_that_varies_its_subject_is_known_by_its_text() {
    let mut guard = guard(Rules::default());
    let campaign = text(1, 150);
    let mut refused = None;
    for number in 0..200_u16 {
        let body = campaign.replacen(' ', &format!(" dear{} ", text(number.into(), 1)), 1);
        let mail = message(&format!("offer {number}"), &body);
        let verdict = send(&mut guard, from(number), &mail, at(u64::from(number) * 10));
        if refused.is_none() && verdict != Verdict::Allow {
            assert_eq!(rule(verdict), Some(Rule::Bodies));
            refused = Some(number);
        }
        let other = message("hello", &text(1000 + u32::from(number), 150));
        let other = send(&mut guard, from(1000 + number), &other, at(u64::from(number) * 10));
        assert!(rule(other) != Some(Rule::Bodies), "other texts are let in");
    }
    assert!(matches!(refused, Some(100..150)), "{refused:?}");
    assert_eq!(guard.figures().bans[Rule::Bodies as usize], 1);
}

#[test]
fn bounces_are_discarded_and_words_refused_also_when_they_are_encoded() {
    let mut guard = guard(Rules::default());
    let (peer, _) = guard.connected(from(1), at(0));
    let inspection = guard.mail(&peer, true, at(0));
    assert!(matches!(inspection.verdict(), Verdict::Discard(_)));
    assert_eq!(rule(guard.finished(&peer, inspection, at(0))), Some(Rule::Bounces));
    for (subject, expected) in [
        ("A ROLEX for you", Some(Rule::Words)),
        ("=?utf-8?b?QSByb2xleA==?=", Some(Rule::Words)),
        ("Prolexin", None),
    ] {
        assert_eq!(rule(send(&mut guard, from(2), &message(subject, ""), at(0))), expected);
    }
    assert_eq!(guard.figures().found[Rule::Words as usize], 2);
    assert_eq!(guard.figures().found[Rule::Bounces as usize], 1);
}

#[test]
fn bounces_count_as_messages_too() {
    let mut guard = guard(Rules::default());
    let (peer, _) = guard.connected(from(1), at(0));
    let mut verdict = Verdict::Allow;
    for _ in 0..21 {
        let inspection = guard.mail(&peer, true, at(0));
        verdict = guard.finished(&peer, inspection, at(0));
    }
    assert_eq!(rule(verdict), Some(Rule::Messages));
    assert_eq!(rule(guard.mail(&peer, false, at(1)).verdict()), Some(Rule::Messages));
}

#[test]
fn what_is_refused_at_mail_is_no_message() {
    let mut rules = Rules::default();
    let bounces = Setting { action: Action::Reject, ..rules.of(Rule::Bounces).unwrap() };
    rules.set(Rule::Bounces, Some(bounces)).unwrap();
    let mut guard = guard(rules);
    let (peer, _) = guard.connected(from(1), at(0));
    for _ in 0..30 {
        let inspection = guard.mail(&peer, true, at(0));
        assert_eq!(rule(guard.finished(&peer, inspection, at(0))), Some(Rule::Bounces));
    }
    let inspection = guard.mail(&peer, false, at(0));
    assert_eq!(guard.finished(&peer, inspection, at(0)), Verdict::Allow);
}

#[test]
fn what_there_is_no_room_to_count_is_let_in_and_counted_as_that() {
    // Of a message its subject, or the eight features of its text.
    for (rule, of_one) in [(Rule::Subjects, 1), (Rule::Bodies, 8)] {
        let mut rules = Rules::off();
        let setting = Rules::default().of(rule).unwrap();
        rules.set(rule, Some(Setting { count_max: 3, ..setting })).unwrap();
        let sizes = Sizes::of_sets([1; 3]);
        let mut guard =
            Guard::with_sizes(sizes, rules, Networks::loopback(), Words::default(), SEED);
        // Each banned for itself, until nothing else has room.
        for number in 0..40 {
            for network in 0..40 {
                let spam = message(&format!("spam {}", text(number, 1)), &text(number, 60));
                send(&mut guard, from(network), &spam, at(0));
            }
        }
        let before = guard.figures();
        let other = message("hello", &text(1000, 60));
        assert_eq!(send(&mut guard, from(1), &other, at(1)), Verdict::Allow);
        let after = guard.figures();
        assert_eq!(after.repeats_uncounted - before.repeats_uncounted, of_one, "{rule}");
        assert_eq!(after.bans, before.bans);
    }
}

#[test]
fn who_is_of_a_crowd_is_counted_and_told_so() {
    let sizes = Sizes::of_sets([1; 3]);
    let mut guard =
        Guard::with_sizes(sizes, Rules::default(), Networks::loopback(), Words::default(), SEED);
    // Banned, so that they keep all the places that there are.
    for network in 0..16 {
        for _ in 0..21 {
            send(&mut guard, from(network), "", at(0));
        }
    }
    assert_eq!(guard.figures().crowd_connections, 0);
    for network in 100..103 {
        assert_eq!(send(&mut guard, from(network), "", at(1)), Verdict::Allow);
    }
    assert_eq!(guard.figures().crowd_connections, 3);
    assert!(guard.explain(from(100), at(1)).shared && !guard.explain(from(0), at(1)).shared);
}

#[test]
fn mail_without_a_subject_has_no_subject_in_common() {
    let mut guard = guard(Rules::default());
    for network in 0..100 {
        for nothing in ["", "Re: "] {
            let verdict = send(&mut guard, from(network), &message(nothing, ""), at(0));
            assert_eq!(verdict, Verdict::Allow);
        }
    }
}

#[test]
fn what_is_held_against_the_others_of_its_64_is_not_held_against_who_is_trusted() {
    let own: Network = "2001:db8::7".parse().unwrap();
    let trusted = Networks::new(&[own]).unwrap();
    let mut guard = Guard::new(Rules::default(), trusted, Words::default(), SEED);
    let [own, other] = ["2001:db8::7", "2001:db8::8"].map(|text| text.parse::<IpAddr>().unwrap());
    for _ in 0..21 {
        send(&mut guard, other, "", at(0));
    }
    assert_eq!(send(&mut guard, own, "", at(0)), Verdict::Allow);
    let (why, others) = (guard.explain(own, at(0)), guard.explain(other, at(0)));
    assert_eq!((why.trusted, why.ban, why.used), (true, None, [None; 4]));
    assert!(!others.trusted && others.ban.is_some());
    assert_eq!(why.source, others.source);
}

#[test]
fn a_message_is_judged_before_its_body_is_there() {
    let mut guard = guard(Rules::default());
    let (peer, _) = guard.connected(from(1), at(0));
    let mut inspection = guard.mail(&peer, false, at(0));
    let verdict = guard.body(&peer, &mut inspection, b"Subject: Rolex\r\n", at(0));
    assert_eq!(verdict, Verdict::Allow, "the field may go on");
    let verdict = guard.body(&peer, &mut inspection, b"T", at(0));
    assert_eq!(rule(verdict), Some(Rule::Words));
    assert_eq!(inspection.verdict(), verdict);
}

#[test]
fn offences_weigh_toward_a_ban() {
    let mut guard = guard(Rules::default());
    let (peer, _) = guard.connected(from(1), at(0));
    for _ in 0..4 {
        assert_eq!(guard.offended(&peer, Offence::EarlyTalk, at(0)), Verdict::Allow);
    }
    let verdict = guard.offended(&peer, Offence::Fault, at(0));
    assert_eq!(rule(verdict), Some(Rule::Offences));
    guard.disconnected(peer);
    assert_eq!(rule(guard.connected(from(1), at(1)).1), Some(Rule::Offences));
}

#[test]
fn who_shows_wrong_secrets_waits_until_the_ban_is_over_in_whole_seconds() {
    let mut guard = guard(Rules::default());
    let (peer, _) = guard.reader_connected(from(1), at(0));
    for _ in 0..8 {
        assert_eq!(guard.offended(&peer, Offence::WrongSecret, at(0)), Verdict::Allow);
        assert_eq!(guard.secrets_wait_seconds(&peer, at(0)), None);
    }
    assert_ne!(guard.offended(&peer, Offence::WrongSecret, at(0)), Verdict::Allow);
    for (now_ms, seconds) in
        [(0, Some(600)), (1, Some(600)), (10 * MINUTE - 1, Some(1)), (10 * MINUTE, None)]
    {
        assert_eq!(guard.secrets_wait_seconds(&peer, at(now_ms)), seconds, "at {now_ms} ms");
    }
}

#[test]
fn who_is_to_be_slowed_down_is_let_in_and_who_is_discarded_is_not_told() {
    for action in [Action::Tarpit, Action::Discard] {
        let mut rules = Rules::default();
        let messages = Setting { action, ..rules.of(Rule::Messages).unwrap() };
        rules.set(Rule::Messages, Some(messages)).unwrap();
        let mut guard = guard(rules);
        for _ in 0..20 {
            send(&mut guard, from(1), "", at(0));
        }
        for _ in 0..3 {
            let verdict = send(&mut guard, from(1), "", at(0));
            assert_eq!(
                verdict.finding().map(|found| (found.rule, found.action)),
                Some((Rule::Messages, action))
            );
        }
        // The 21st message; then the connection and the message of the two after it.
        assert_eq!(guard.figures().found[Rule::Messages as usize], 1 + 2 * 2);
        let spam = send(&mut guard, from(1), &message("rolex", ""), at(0));
        let harsher = if action == Action::Tarpit { Rule::Words } else { Rule::Messages };
        assert_eq!(rule(spam), Some(harsher));
    }
}

#[test]
fn no_rule_applies_to_who_is_trusted() {
    let mut guard = guard(Rules::default());
    let victim = message("rolex", &text(1, 100));
    for number in 0..1000_u32 {
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x7f00_0001 + (number << 8)));
        let (peer, door) = guard.connected(address, at(0));
        assert!(door == Verdict::Allow && peer.is_exempt());
        assert_eq!(guard.offended(&peer, Offence::EarlyTalk, at(0)), Verdict::Allow);
        let mut inspection = guard.mail(&peer, true, at(0));
        assert_eq!(guard.body(&peer, &mut inspection, victim.as_bytes(), at(0)), Verdict::Allow);
        assert_eq!(guard.finished(&peer, inspection, at(0)), Verdict::Allow);
        assert!(guard.explain(address, at(0)).trusted);
    }
    assert_eq!(guard.figures(), Figures::default());
}

#[test]
fn with_all_rules_off_nothing_is_found() {
    let mut guard = guard(Rules::off());
    assert_eq!(*guard.rules(), Rules::off());
    for _ in 0..200 {
        let (peer, door) = guard.connected(from(1), at(0));
        assert!(door == Verdict::Allow && !peer.is_exempt());
        assert_eq!(guard.offended(&peer, Offence::EarlyTalk, at(0)), Verdict::Allow);
        assert_eq!(
            send(&mut guard, from(1), &message("rolex", &text(1, 99)), at(0)),
            Verdict::Allow
        );
    }
    assert_eq!(guard.figures(), Figures::default());
}

#[test]
fn each_rule_has_its_own_line_in_the_metrics() {
    let samples = guard(Rules::default()).figures().samples([0; Rule::ALL.len()]);
    for rule in Rule::ALL {
        let lines = samples.iter().filter(|sample| sample.label == Some(("rule", rule.name())));
        assert_eq!(lines.count(), 3, "{rule}");
    }
}

#[test]
fn bans_that_stand_are_counted_until_they_end() {
    let mut guard = guard(Rules::default());
    for network in 0..3 {
        for _ in 0..21 {
            send(&mut guard, from(network), "", at(0));
        }
    }
    for network in 100..160 {
        send(&mut guard, from(network), &message("Cheap watches", ""), at(0));
    }
    for network in 200..400 {
        let subject = format!("offer {network}");
        send(&mut guard, from(network), &message(&subject, &text(1, 150)), at(0));
    }
    let standing = |guard: &Guard, now_ms| {
        let standing = guard.standing_bans(at(now_ms));
        let of = |rule| standing[rule as usize];
        let others = standing.iter().sum::<u64>()
            - of(Rule::Messages)
            - of(Rule::Subjects)
            - of(Rule::Bodies);
        (of(Rule::Messages), of(Rule::Subjects), of(Rule::Bodies) > 0, others)
    };
    assert_eq!(standing(&guard, 1), (3, 1, true, 0));
    assert_eq!(standing(&guard, 10 * MINUTE), (0, 1, false, 0));
    assert_eq!(standing(&guard, 60 * MINUTE), (0, 0, false, 0));
}

#[test]
fn what_a_session_keeps_of_a_message_is_small() {
    assert!(size_of::<Inspection>() <= 288, "{}", size_of::<Inspection>());
}

/// What happens to a guard.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send(u16, u8, u8),
    Offend(u16),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u16..30, 0_u8..3, 0_u8..3)
            .prop_map(|(from, subject, body)| Step::Send(from, subject, body)),
        1 => (0_u16..30).prop_map(Step::Offend),
        1 => (0_u64..10 * MINUTE).prop_map(Step::Wait),
    ]
}

/// What comes of the steps, with messages cut in chunks of this length, and a wall clock.
fn run(steps: &[Step], chunk: usize, unix_ms: impl Fn(u64) -> u64) -> (Vec<Verdict>, Figures) {
    let mut rules = Rules::default();
    let bodies = Setting { count_max: 15, ..rules.of(Rule::Bodies).unwrap() };
    rules.set(Rule::Bodies, Some(bodies)).unwrap();
    let mut guard = guard(rules);
    let mut now_ms = 0;
    let mut verdicts = Vec::new();
    for step in steps {
        let now = Now { monotonic_ms: now_ms, unix_ms: unix_ms(now_ms) };
        match *step {
            Step::Send(network, subject, body) => {
                let subject = ["one subject", "rolex", "another subject"][usize::from(subject)];
                let mail = message(subject, &text(body.into(), 40));
                let pieces: Vec<_> = mail.as_bytes().chunks(chunk).collect();
                verdicts.push(send_pieces(&mut guard, from(network), &pieces, now));
            }
            Step::Offend(network) => {
                let (peer, _) = guard.connected(from(network), now);
                verdicts.push(guard.offended(&peer, Offence::Unfinished, now));
                guard.disconnected(peer);
            }
            Step::Wait(ms) => now_ms += ms,
        }
    }
    (verdicts, guard.figures())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn neither_cuts_nor_the_wall_clock_change_what_is_found(
        steps in prop::collection::vec(step(), 1..300), chunk in 1_usize..50, jump in any::<u64>(),
    ) {
        let whole = run(&steps, usize::MAX, |_| 0);
        let cut = run(&steps, chunk, |now_ms| now_ms.wrapping_mul(jump));
        prop_assert_eq!(whole, cut);
    }
}
