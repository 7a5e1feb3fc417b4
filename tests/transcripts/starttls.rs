//! STARTTLS (RFC 3207): what a session makes of it. No TLS here, only the places where it would be.

use mailfly::smtp::reply::{Fault, Refusal};
use mailfly::smtp::session::{Policy, Session};

use super::fake::Room;
use super::*;

const BEFORE: &[u8] = b"EHLO c.example\r\nSTARTTLS\r\n";
const READY: &str = "220 2.0.0 Ready to start TLS\r\n";

fn line(policy: Policy) -> Line {
    let mut line = Line::open(policy, 4096, Room::default());
    line.starttls = true;
    line.world.has_tls = true;
    line
}

/// What is answered to these bytes.
fn answer(line: &mut Line, bytes: &[u8]) -> String {
    line.replies.clear();
    line.send(bytes);
    line.replies()
}

#[test]
fn what_was_said_before_does_not_count_and_it_is_offered_once() {
    let mut line = line(Policy::Rfc);
    assert!(!line.session.is_encrypted());
    let before = answer(&mut line, BEFORE);
    assert!(before.contains("250-STARTTLS\r\n") && before.ends_with(READY), "{before}");
    assert!(line.encrypting && line.session.is_encrypted() && line.session.is_idle());
    assert!(line.session.handshake_done(), "it was asked for");
    line.encrypting = false;
    assert_eq!(answer(&mut line, b"MAIL FROM:<a@x>\r\n"), "503 5.5.1 Bad sequence of commands\r\n");
    assert!(!answer(&mut line, b"EHLO c.example\r\n").contains("STARTTLS"));
    assert_eq!(answer(&mut line, b"STARTTLS\r\n"), "502 5.5.1 Command not implemented\r\n");
    line.send(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nhi\r\n.\r\n");
    assert_eq!((line.world.stored.len(), line.world.encrypted), (1, true));
    assert!(!line.session.handshake_done());
}

#[test]
fn cve_2011_0411_what_is_behind_starttls_ends_the_session_wherever_it_is_cut() {
    let injected = b"MAIL FROM:<mallory@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nhi\r\n.\r\n";
    for policy in [Policy::Curt, Policy::Rfc] {
        for behind in 1..=injected.len() {
            for cut in 0..=BEFORE.len() {
                let mut line = line(policy);
                let all = [BEFORE, &injected[..behind]].concat();
                line.send(&all[..cut]);
                line.send(&all[cut..]);
                // What comes after the reply is for TLS, which will not understand it.
                let is_late = cut == BEFORE.len();
                assert_eq!((line.closed, line.encrypting), (!is_late, is_late), "{cut}, {behind}");
                assert_eq!(line.replies().ends_with(READY), is_late);
                let fault = [Fault::BehindStarttls];
                assert_eq!(line.world.faults, if is_late { &[][..] } else { &fault });
                assert_eq!((line.world.opened, line.world.begun_tls), (0, usize::from(is_late)));
            }
        }
    }
}

#[test]
fn without_room_it_is_refused_and_the_session_goes_on_in_the_clear() {
    let mut line = line(Policy::Curt);
    line.world.has_tls = false;
    let refused = "454 4.7.0 TLS not available now, try again later\r\n";
    assert!(answer(&mut line, BEFORE).ends_with(refused));
    assert_eq!(answer(&mut line, b"starttls\r\n"), refused);
    assert_eq!(line.world.refusals, [Refusal::TlsUnavailable; 2]);
    line.send(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nhi\r\n.\r\n");
    assert_eq!((line.world.stored.len(), line.world.encrypted), (1, false));
}

#[test]
fn it_has_its_place_between_messages_after_a_name() {
    for before in
        ["", "EHLO c\r\nMAIL FROM:<a@x>\r\n", "EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"]
    {
        let mut line = line(Policy::Rfc);
        line.send(before.as_bytes());
        assert_eq!(answer(&mut line, b"STARTTLS\r\n"), "503 5.5.1 Bad sequence of commands\r\n");
    }
    let mut line = line(Policy::Rfc);
    line.send(b"EHLO c\r\n");
    assert!(answer(&mut line, b"STARTTLS now\r\n").starts_with("50"));
    assert_eq!(answer(&mut line, b"STARTTLS\r\n"), READY);
}

#[test]
fn within_tls_from_the_start_it_is_not_offered() {
    let mut line = line(Policy::Curt);
    line.session = Session::within_tls();
    assert!(!line.session.handshake_done(), "its client waits for the greeting");
    assert!(!answer(&mut line, b"EHLO c.example\r\n").contains("STARTTLS"));
    assert_eq!(answer(&mut line, b"STARTTLS\r\n"), "550 No such user\r\n");
    assert!(line.closed);
}
