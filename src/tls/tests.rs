//! Laws of the machine, with rustls's own client on the other side and no socket between.

use std::io::{Read as _, Write as _};

use proptest::prelude::*;
use rustls::{ClientConnection, SupportedProtocolVersion, version};

use self::other_side::connection as client;
use super::*;

#[path = "../../tests/support/tls.rs"]
mod other_side;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

fn tls(connections: u32) -> Tls {
    let mut tls = Tls::new(connections);
    tls.set_identity(Identity::self_signed("mail.test").unwrap());
    tls
}

/// What the client has to send.
fn from(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = vec![];
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Brings bytes to the client; what it understands of them.
fn to(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let mut plain = vec![];
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets()?;
        let mut piece = [0; 65536];
        while let Ok(length @ 1..) = client.reader().read(&mut piece) {
            plain.extend_from_slice(&piece[..length]);
        }
    }
    Ok(plain)
}

/// What came of bytes that were brought to the server in pieces of so many.
#[derive(Debug, Default)]
struct Outcome {
    plain: Vec<u8>,
    established: usize,
    outgoing: Vec<u8>,
}

fn bring(tls: &mut Tls, id: TlsId, bytes: &[u8], piece_bytes: usize) -> Result<Outcome, Broken> {
    let mut outcome = Outcome::default();
    for piece in bytes.chunks(piece_bytes) {
        let mut plain = vec![0; READ_BUFFER_BYTES];
        tls.room(id, plain.len())[..piece.len()].copy_from_slice(piece);
        let opened = tls.open(id, piece.len(), &mut plain);
        outcome.outgoing.extend_from_slice(tls.take_outgoing(id));
        let opened = opened?;
        outcome.plain.extend_from_slice(&plain[..opened.bytes]);
        outcome.established += usize::from(opened.established);
    }
    Ok(outcome)
}

/// Shakes hands, cut after so many bytes each.
fn shake(tls: &mut Tls, id: TlsId, client: &mut ClientConnection, piece_bytes: usize) -> usize {
    let mut established = 0;
    while client.is_handshaking() || client.wants_write() {
        let hello = from(client);
        let outcome = bring(tls, id, &hello, piece_bytes).unwrap();
        assert_eq!(outcome.plain, b"", "nothing is plain before");
        established += outcome.established;
        to(client, &outcome.outgoing).unwrap();
    }
    established
}

fn say(tls: &mut Tls, id: TlsId, first: &[u8], second: &[u8]) -> (Vec<u8>, usize) {
    let taken = tls.seal(id, first, second).unwrap();
    (tls.take_outgoing(id).to_vec(), taken)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn law_whatever_is_said_is_understood_however_it_is_cut(
        version in 0..2_usize,
        said in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40_000), 1..4),
        answered in proptest::collection::vec(any::<u8>(), 1..OUTPUT_BYTES_TRIED),
        piece_bytes in prop_oneof![1..30_usize, 1000..20_000_usize],
    ) {
        let mut tls = tls(1);
        let mut client = client(VERSIONS[version]);
        let id = tls.begin(0);
        prop_assert_eq!(shake(&mut tls, id, &mut client, piece_bytes), 1);
        for bytes in said {
            client.writer().write_all(&bytes).unwrap();
            let sealed = from(&mut client);
            let outcome = bring(&mut tls, id, &sealed, piece_bytes).unwrap();
            prop_assert!(outcome.plain == bytes && outcome.established == 0);
            let (sealed, taken) = say(&mut tls, id, &answered, &bytes);
            let expected = [&answered[..], &bytes[..taken]].concat();
            prop_assert!(to(&mut client, &sealed).unwrap() == expected);
        }
    }

    #[test]
    fn law_no_bytes_upset_it(
        start in prop_oneof![Just(vec![]), Just(vec![22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3])],
        rest in proptest::collection::vec(any::<u8>(), 0..600),
        piece_bytes in 1..700_usize,
    ) {
        let mut tls = tls(1);
        let id = tls.begin(0);
        if let Ok(outcome) = bring(&mut tls, id, &[start, rest].concat(), piece_bytes) {
            prop_assert!(outcome.plain.is_empty() && outcome.established == 0);
        }
    }

    #[test]
    fn law_a_byte_that_was_changed_on_its_way_ends_it(
        version in 0..2_usize, at in 0..600_usize, with in 1..=u8::MAX,
    ) {
        let mut tls = tls(1);
        let mut client = client(VERSIONS[version]);
        let id = tls.begin(0);
        shake(&mut tls, id, &mut client, 4000);
        client.writer().write_all(&[b'x'; 600]).unwrap();
        let mut sealed = from(&mut client);
        // Not in its header, where it might make the record longer and so be waited for.
        sealed[5 + at] ^= with;
        prop_assert_eq!(bring(&mut tls, id, &sealed, 7000).err(), Some(Broken));
        prop_assert!(tls.is_ended(id));
        prop_assert_eq!(tls.seal(id, b"x", b""), Err(Broken));
        prop_assert_eq!(tls.close(id), Err(Broken));
        prop_assert_eq!(bring(&mut tls, id, b"x", 1).err(), Some(Broken));
    }
}

/// The most that a visit has to say.
const OUTPUT_BYTES_TRIED: usize = crate::limits::OUTPUT_BYTES;

fn connected(
    tls: &mut Tls,
    version: &'static SupportedProtocolVersion,
) -> (TlsId, ClientConnection) {
    let mut client = client(version);
    let id = tls.begin(0);
    shake(tls, id, &mut client, 4000);
    (id, client)
}

#[test]
fn what_is_said_with_a_goodbye_counts_and_what_comes_after_it_does_not() {
    for version in VERSIONS {
        let mut tls = tls(1);
        let (id, mut client) = connected(&mut tls, version);
        client.writer().write_all(b"before").unwrap();
        client.send_close_notify();
        let sealed = from(&mut client);
        let behind = [&sealed[..], b"MAIL FROM:<in@the.clear>\r\n"].concat();
        assert_eq!(bring(&mut tls, id, &behind, 4000).unwrap().plain, b"before");
        assert!(tls.is_ended(id));
        // The other direction is still open.
        let (sealed, _) = say(&mut tls, id, b"250 Ok\r\n", b"");
        assert_eq!(to(&mut client, &sealed).unwrap(), b"250 Ok\r\n");
    }
}

#[test]
fn a_goodbye_is_understood() {
    let mut tls = tls(1);
    let (id, mut client) = connected(&mut tls, &version::TLS13);
    tls.close(id).unwrap();
    let mut sealed = tls.take_outgoing(id);
    client.read_tls(&mut sealed).unwrap();
    assert!(client.process_new_packets().unwrap().peer_has_closed());
}

#[test]
fn what_is_no_tls_is_answered_with_an_alert() {
    let mut tls = tls(1);
    let id = tls.begin(0);
    let mut plain = [0; 1000];
    let command = b"MAIL FROM:<a@b>\r\n";
    tls.room(id, 1000)[..command.len()].copy_from_slice(command);
    assert_eq!(tls.open(id, command.len(), &mut plain), Err(Broken));
    let alert = tls.take_outgoing(id);
    assert_eq!((alert.first(), alert.len()), (Some(&21), 7));
    assert_eq!(tls.seal(id, b"x", b""), Err(Broken), "nothing is said in the clear");
    assert_eq!(tls.take_outgoing(id), b"");
}

#[test]
fn a_message_of_the_handshake_that_never_ends_is_not_waited_for() {
    let mut tls = tls(1);
    let id = tls.begin(0);
    // A ClientHello of 60 KiB, in records of which each is lawful.
    let record =
        |start: &[u8]| [&[22, 3, 1, 0x20, 0], start, &vec![0; 0x2000 - start.len()]].concat();
    let bytes = [record(&[1, 0, 0xf0, 0]), record(&[]), record(&[]), record(&[])].concat();
    assert_eq!(bring(&mut tls, id, &bytes, 4000).err(), Some(Broken));
}

#[test]
fn nothing_is_said_before_the_handshake_is_done() {
    let mut tls = tls(1);
    let id = tls.begin(0);
    assert_eq!(tls.seal(id, b"220 early\r\n", b""), Err(Broken));
    let mut client = client(&version::TLS13);
    let hello = from(&mut client);
    let flight = bring(&mut tls, id, &hello, 4000).unwrap();
    assert!(!flight.outgoing.is_empty());
    // TLS 1.3 would allow it here, to a peer that is not known to be there.
    assert_eq!(tls.seal(id, b"220 early\r\n", b""), Err(Broken));
    assert_eq!(tls.take_outgoing(id), b"");
}

#[test]
fn one_connections_bytes_are_never_sent_to_another() {
    let mut tls = tls(2);
    let (first, _client) = connected(&mut tls, &version::TLS13);
    let (second, _client) = connected(&mut tls, &version::TLS13);
    tls.seal(first, b"for the first", b"").unwrap();
    assert_eq!(tls.take_outgoing(second), b"");
    tls.seal(first, b"for the first", b"").unwrap();
    tls.end(first);
    let third = tls.begin(0);
    assert_eq!(third, first, "the same place");
    assert_eq!(tls.take_outgoing(third), b"");
    assert_eq!(bring(&mut tls, third, &[22, 3, 1], 3).unwrap().plain, b"", "nothing is kept");
}

#[test]
fn there_are_as_many_connections_as_there_may_be_and_none_without_an_identity() {
    assert_eq!(Tls::new(5).begin(0), TlsId::NONE);
    assert_eq!(tls(0).begin(0), TlsId::NONE);
    let mut tls = tls(2);
    let (first, second) = (tls.begin(0), tls.begin(0));
    assert!(first != TlsId::NONE && second != TlsId::NONE && first != second);
    assert_eq!((tls.begin(0), tls.connections()), (TlsId::NONE, 2));
    tls.end(first);
    assert_eq!((tls.begin(0), tls.connections()), (first, 2));
}

#[test]
fn so_many_handshakes_get_on_in_a_turn_and_what_is_done_always_does() {
    let mut tls = tls(2);
    let (done, _client) = connected(&mut tls, &version::TLS13);
    let id = tls.begin(7);
    assert_eq!((tls.handshaking_since_ms(id), tls.handshaking_since_ms(done)), (Some(7), None));
    tls.turn_begins();
    let got_on = (0..1000).filter(|_| tls.may_go_on(done) && tls.may_go_on(id)).count();
    assert_eq!(got_on, TLS_HANDSHAKES_PER_TURN);
    tls.turn_begins();
    assert!(tls.may_go_on(id));
}

#[test]
fn keys_can_be_changed_on_the_way() {
    let mut tls = tls(1);
    let (id, mut client) = connected(&mut tls, &version::TLS13);
    client.refresh_traffic_keys().unwrap();
    client.writer().write_all(b"after").unwrap();
    let sealed = from(&mut client);
    assert_eq!(bring(&mut tls, id, &sealed, 3).unwrap().plain, b"after");
    let (sealed, _) = say(&mut tls, id, b"250 Ok\r\n", b"");
    assert_eq!(to(&mut client, &sealed).unwrap(), b"250 Ok\r\n");
}

#[test]
fn an_identity_is_a_chain_and_its_own_key() {
    let pair = |name: &str| {
        let pair = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        (pem("CERTIFICATE", pair.cert.der()), pem("PRIVATE KEY", &pair.signing_key.serialize_der()))
    };
    let ((chain, key), (_, other)) = (pair("a.test"), pair("b.test"));
    assert!(Identity::from_pem(&chain, &key).is_ok());
    let why = |chain: &[u8], key: &[u8]| Identity::from_pem(chain, key).unwrap_err().to_string();
    assert!(why(&chain, &other).starts_with("certificate and key: "));
    assert_eq!(why(b"", &key), "no certificates in PEM");
    assert_eq!(why(&key, &key), "no certificates in PEM");
    assert_eq!(why(&chain, &chain), "no private key in PEM");
    assert_eq!(why(&chain.repeat(100), &key), "the certificates are longer than 16384 bytes");
    assert!(Identity::self_signed("[127.0.0.1]").is_ok());
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u8> = der
        .chunks(3)
        .flat_map(|three| {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - three.len()));
            (0..4).map(move |at| match at <= three.len() {
                true => DIGITS[(bits >> (18 - 6 * at)) as usize % 64],
                false => b'=',
            })
        })
        .collect();
    let lines: Vec<_> = digits.chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}
