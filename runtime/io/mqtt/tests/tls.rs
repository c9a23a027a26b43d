//! TLS over real sockets: handshakes on their lane, what clients show, and what goes wrong.

mod certificates;
#[expect(dead_code, reason = "other tests need the rest")]
mod harness;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use certificates::{Certificates, connect, echo};
use contract::CoreIndex;
use harness::{Behaviour, Harness, LISTENER_NUMBER, PATIENCE};
use mqtt_listener::{Event, FrontendConfig, HandshakeSpec, ListenerLayers};
use rustls::version::{TLS12, TLS13};
use tls_server::{ClientCertificates, RevocationDepth, TlsConfig, TlsPeer};

fn config() -> FrontendConfig {
    FrontendConfig::new(CoreIndex(0))
}

fn spec() -> HandshakeSpec {
    HandshakeSpec::new("handshakes", None)
}

/// Waits for what another thread counts, without a wait of a fixed length.
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}

fn lane(layers: &ListenerLayers) -> mqtt_listener::HandshakeLane {
    layers.tls.as_ref().expect("it speaks TLS").lane.clone()
}

#[test]
fn both_versions_carry_bytes_both_ways() {
    let certificates = Certificates::new();
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, certificates.layers(&spec(), None));
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(certificates.client(None, &[version]));
        let mut stream = connect(harness.address, &client);
        for length in [1, 100, 16_384, 16_385, 300_000] {
            let bytes: Vec<u8> = (0..251).cycle().take(length).collect();
            let mut back = vec![0; length];
            let mut reader = stream.sock.try_clone().unwrap();
            // Written and read by turns, since a client on one thread cannot do both at once.
            for (piece, back) in bytes.chunks(8_000).zip(back.chunks_mut(8_000)) {
                stream.write_all(piece).unwrap();
                stream.read_exact(back).unwrap();
            }
            assert!(bytes == back, "{version:?} {length}");
            reader.flush().unwrap();
        }
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        let mut rest = Vec::new();
        assert_eq!(stream.read_to_end(&mut rest).map_err(|error| error.kind()), Ok(0), "closed in good order");
    }
    let log = harness.wait_until(|log| log.closed_count == 2);
    assert_eq!(log.received_bytes, log.written_bytes, "bytes that were given are told, not records");
    let first = log.events.first().unwrap();
    assert!(
        matches!(first, Event::Accepted { listener: LISTENER_NUMBER, tls: Some(peer), .. } if **peer == TlsPeer::default()),
        "{first:?}"
    );
    let counts = harness.stop();
    assert_eq!((counts.accepted, counts.handshakes_begun, counts.tls_failures, counts.broken), (2, 2, 0, 0));
}

#[test]
fn records_may_be_cut_anywhere() {
    let certificates = Certificates::new();
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, certificates.layers(&spec(), None));
    let client = Arc::new(certificates.client(None, &[&TLS13]));
    let mut stream = connect(harness.address, &client);
    assert_eq!(echo(&mut stream, b"first").unwrap(), b"first");
    stream.conn.writer().write_all(&[7; 1_000]).unwrap();
    let mut records = Vec::new();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut records).unwrap();
    }
    for byte in records {
        stream.sock.write_all(&[byte]).unwrap();
    }
    let mut back = vec![0; 1_000];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, [7; 1_000]);
    harness.stop();
}

#[test]
fn a_handshake_one_byte_at_a_time_succeeds_and_delays_nobody() {
    let certificates = Certificates::new();
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, certificates.layers(&spec(), None));
    let client = Arc::new(certificates.client(None, &[&TLS13]));
    let mut slow = connect(harness.address, &client);
    let mut hello = Vec::new();
    slow.conn.write_tls(&mut hello).unwrap();
    let (last, first) = hello.split_last().unwrap();
    for byte in first {
        slow.sock.write_all(&[*byte]).unwrap();
    }
    let mut quick = connect(harness.address, &client);
    assert_eq!(echo(&mut quick, b"quick").unwrap(), b"quick");
    slow.sock.write_all(&[*last]).unwrap();
    assert_eq!(echo(&mut slow, b"slow").unwrap(), b"slow");
    harness.stop();
}

#[test]
fn what_is_no_tls_is_refused_with_an_alert_and_half_a_handshake_is_cut() {
    let certificates = Certificates::new();
    let hasty = HandshakeSpec { timeout: Duration::from_millis(300), ..spec() };
    let layers = certificates.layers(&hasty, None);
    let lane = lane(&layers);
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, layers);
    let mut garbage = harness.connect();
    garbage.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    garbage.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&21), "an alert: {answer:?}");
    let mut silent = harness.connect();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0, "cut after the handshake's time");
    let mut half = harness.connect();
    half.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    assert_eq!(half.read(&mut [0; 1]).unwrap(), 0, "cut after the handshake's time");
    let gone = harness.connect();
    drop(gone);
    wait_until("four ended", || {
        let counts = lane.counts();
        (counts.timed_out, counts.failed, counts.under_way) == (2, 2, 0)
    });
    assert_eq!(lane.counts().finished, 0);
    assert_eq!(harness.stop().accepted, 0, "the core has heard of none");
}

#[test]
fn a_handshake_of_too_many_bytes_is_cut() {
    let certificates = Certificates::new();
    let layers = certificates.layers(&HandshakeSpec { received_bytes_max: 1_000, ..spec() }, None);
    let lane = lane(&layers);
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, layers);
    let mut peer = harness.connect();
    // The beginning of a ClientHello of 65 535 bytes, in records of 500.
    let mut record = vec![22, 3, 1, 1, 244, 1, 0, 255, 255];
    record.resize(505, 3);
    let mut more = vec![22, 3, 1, 1, 244];
    more.resize(505, 3);
    peer.write_all(&record).unwrap();
    peer.write_all(&more).unwrap();
    peer.write_all(&more).unwrap();
    wait_until("it failed", || lane.counts().failed == 1);
    harness.stop();
}

#[test]
fn a_message_too_long_to_be_kept_is_cut() {
    let certificates = Certificates::new();
    let patient = HandshakeSpec { received_bytes_max: 1 << 20, timeout: PATIENCE, ..spec() };
    let layers = certificates.layers(&patient, None);
    let lane = lane(&layers);
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, layers);
    let mut peer = harness.connect();
    // A ClientHello that says it has 65 000 bytes: four records of 15 000 are more than is kept.
    let mut record = vec![22, 3, 1, 0x3a, 0x98, 1, 0, 0xfd, 0xe8];
    record.resize(15_005, 3);
    peer.write_all(&record).unwrap();
    for _ in 0..3 {
        let mut record = vec![22, 3, 1, 0x3a, 0x98];
        record.resize(15_005, 3);
        // The last ones may meet a closed connection.
        let _may_be_cut = peer.write_all(&record);
    }
    wait_until("it failed", || lane.counts().failed == 1);
    assert_eq!(harness.stop().accepted, 0);
}

#[test]
fn stalled_handshakes_give_way_to_those_that_wait_and_past_that_sockets_are_closed() {
    let certificates = Certificates::new();
    let narrow = HandshakeSpec {
        under_way_max: 2,
        waiting_max: 2,
        timeout: PATIENCE,
        stalled_after: Duration::from_millis(200),
        ..spec()
    };
    let layers = certificates.layers(&narrow, None);
    let lane = lane(&layers);
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, layers);
    let stalled: Vec<TcpStream> = (0..2).map(|_| harness.connect()).collect();
    wait_until("two are under way", || lane.counts().under_way == 2);
    let client = Arc::new(certificates.client(None, &[&TLS13]));
    let mut honest: Vec<_> = (0..2).map(|_| connect(harness.address, &client)).collect();
    wait_until("two wait", || lane.counts().begun == 4);
    let mut refused = harness.connect();
    assert_eq!(refused.read(&mut [0; 1]).unwrap_or(0), 0, "there is no room");
    for stream in &mut honest {
        assert_eq!(echo(stream, b"hello").unwrap(), b"hello");
    }
    // The last one is counted after its socket has gone to its core.
    wait_until("both have finished", || lane.counts().finished == 2);
    let counts = lane.counts();
    assert_eq!(counts.refused, 1);
    assert!(counts.evicted >= 1, "one or both have given way");
    drop(stalled);
    assert_eq!(harness.stop().handshakes_refused, 1);
}

#[test]
fn a_client_shows_its_certificate_and_the_verified_path_is_told() {
    let certificates = Certificates::new();
    let (plant, other) = (certificates.authority("plant"), certificates.authority("other"));
    for (version, between) in [(&TLS12, false), (&TLS13, false), (&TLS13, true)] {
        let rules = TlsConfig { client_certificates: plant.required(Vec::new()), ..certificates.config() };
        let harness = Harness::start_layered(&config(), &Behaviour::Echo, certificates.layers_of(rules, &spec(), None));
        let mut identity = plant.identity("press-7", 7, between);
        let mut expected = identity.chain.clone();
        expected.push(plant.certificate.clone());
        // A certificate that does not belong to the path is not told.
        identity.chain.push(other.certificate.clone());
        let mut stream = connect(harness.address, &Arc::new(certificates.client(Some(&identity), &[version])));
        assert_eq!(echo(&mut stream, b"known").unwrap(), b"known");
        let log = harness.wait_until(|log| log.accepted_count == 1);
        let Some(Event::Accepted { tls: Some(peer), .. }) = log.events.first() else { panic!("{log:?}") };
        assert!(peer.chain == expected, "{version:?}, {} certificates", peer.chain.len());
        harness.stop();
    }
}

#[test]
fn a_client_without_or_with_a_foreign_certificate_is_refused_where_one_is_required() {
    let certificates = Certificates::new();
    let (plant, other) = (certificates.authority("plant"), certificates.authority("other"));
    let rules = TlsConfig { client_certificates: plant.required(Vec::new()), ..certificates.config() };
    let layers = certificates.layers_of(rules, &spec(), None);
    let lane = lane(&layers);
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, layers);
    let foreign = other.identity("stranger", 1, false);
    for (count, identity) in (1..).zip([None, Some(&foreign)]) {
        let mut stream = connect(harness.address, &Arc::new(certificates.client(identity, &[&TLS13])));
        assert!(echo(&mut stream, b"let me in").is_err());
        wait_until("it failed", || lane.counts().failed == count);
    }
    assert_eq!(harness.stop().accepted, 0);
}

#[test]
fn an_optional_certificate_may_be_missing_but_not_foreign() {
    let certificates = Certificates::new();
    let (plant, other) = (certificates.authority("plant"), certificates.authority("other"));
    let client_certificates = ClientCertificates::Optional {
        ca_files: vec![plant.file.clone()],
        crl_files: Vec::new(),
        depth: RevocationDepth::WholeChain,
    };
    let rules = TlsConfig { client_certificates, ..certificates.config() };
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, certificates.layers_of(rules, &spec(), None));
    let (known, foreign) = (plant.identity("known", 1, false), other.identity("stranger", 1, false));
    for (identity, welcome) in [(None, true), (Some(&known), true), (Some(&foreign), false)] {
        let mut stream = connect(harness.address, &Arc::new(certificates.client(identity, &[&TLS13])));
        assert_eq!(echo(&mut stream, b"hello").is_ok(), welcome);
    }
    harness.stop();
}

#[test]
fn a_revocation_counts_for_the_next_handshake_and_drops_nobody() {
    let certificates = Certificates::new();
    let plant = certificates.authority("plant");
    let list = certificates.directory.path().join("revoked.pem");
    plant.revoke(&list, &[1]);
    let rules = TlsConfig { client_certificates: plant.required(vec![list.clone()]), ..certificates.config() };
    let quick = HandshakeSpec { file_check_period: Duration::from_millis(20), ..spec() };
    let layers = certificates.layers_of(rules, &quick, None);
    let lane = lane(&layers);
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, layers);
    let (first, second) = (plant.identity("one", 1, false), plant.identity("two", 2, false));
    let first = Arc::new(certificates.client(Some(&first), &[&TLS13]));
    let second = Arc::new(certificates.client(Some(&second), &[&TLS13]));
    assert!(echo(&mut connect(harness.address, &first), b"x").is_err(), "revoked from the start");
    let mut connected = connect(harness.address, &second);
    assert_eq!(echo(&mut connected, b"x").unwrap(), b"x");
    plant.revoke(&list, &[1, 2]);
    wait_until("the list is in force", || lane.counts().reloads == 1);
    assert!(echo(&mut connect(harness.address, &second), b"x").is_err(), "also with a ticket of before");
    assert_eq!(echo(&mut connected, b"still here").unwrap(), b"still here");
    std::fs::write(&list, "nonsense").unwrap();
    wait_until("the damage is seen", || lane.counts().reload_failures == 1);
    assert_eq!(echo(&mut connected, b"still here").unwrap(), b"still here");
    assert!(echo(&mut connect(harness.address, &second), b"x").is_err(), "what was in force stays");
    harness.stop();
}

#[test]
fn a_new_certificate_is_used_by_new_clients_and_drops_nobody() {
    let certificates = Certificates::new();
    let layers = certificates.layers(&spec(), None);
    let server = Arc::clone(&layers.tls.as_ref().unwrap().server);
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, layers);
    let client = Arc::new(certificates.client(None, &[&TLS13]));
    let mut before = connect(harness.address, &client);
    assert_eq!(echo(&mut before, b"x").unwrap(), b"x");
    let more = tls_server::ensure_self_made(certificates.directory.path(), &["plc.test".to_owned()], SystemTime::now());
    assert!(more.unwrap().renewed);
    server.reload().unwrap();
    let mut after = connect(harness.address, &client);
    assert_eq!(echo(&mut after, b"x").unwrap(), b"x");
    assert_eq!(echo(&mut before, b"still here").unwrap(), b"still here");
    assert_ne!(before.conn.peer_certificates(), after.conn.peer_certificates());
    harness.stop();
}

#[test]
fn a_damaged_record_ends_the_connection_with_an_alert() {
    let certificates = Certificates::new();
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, certificates.layers(&spec(), None));
    let client = Arc::new(certificates.client(None, &[&TLS13]));
    let mut stream = connect(harness.address, &client);
    assert_eq!(echo(&mut stream, b"x").unwrap(), b"x");
    stream
        .sock
        .write_all(&[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
        .unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(harness.stop().tls_failures, 1);
}

#[test]
fn a_slow_reader_gets_everything_later_and_its_backlog_is_bounded() {
    const PIECES: usize = 140;
    let certificates = Certificates::new();
    let behaviour = Behaviour::Greet(vec![Bytes::from(vec![7; 100_000]); PIECES]);
    let harness = Harness::start_layered(&config(), &behaviour, certificates.layers(&spec(), None));
    let client = Arc::new(certificates.client(None, &[&TLS13]));
    let mut slow = connect(harness.address, &client);
    let mut first = [0; 1];
    slow.read_exact(&mut first).unwrap();
    let mut quick = connect(harness.address, &client);
    let mut all = vec![0; PIECES * 100_000];
    quick.read_exact(&mut all).unwrap();
    let log = harness.wait_until(|log| log.accepted_count == 2 && log.written_bytes >= PIECES * 100_000);
    assert!(log.written_bytes < 2 * PIECES * 100_000, "the kernel's buffers are smaller than what is written");
    slow.read_exact(&mut all[1..]).unwrap();
    assert!(all.iter().all(|byte| *byte == 7));
    harness.wait_until(|log| log.written_bytes == 2 * PIECES * 100_000);
    harness.stop();
    let limited = FrontendConfig { write_backlog_bytes_max: 150_000, ..config() };
    let harness = Harness::start_layered(&limited, &behaviour, certificates.layers(&spec(), None));
    let mut stream = connect(harness.address, &client);
    assert!(stream.read_exact(&mut all).is_err());
    harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(harness.stop().backlog_overflows, 1);
}

#[test]
fn last_words_arrive_and_end_with_an_alert() {
    let certificates = Certificates::new();
    let farewell = vec![9; 3_000_000];
    let behaviour = Behaviour::AnswerAndClose(Bytes::from(farewell.clone()));
    let harness = Harness::start_layered(&config(), &behaviour, certificates.layers(&spec(), None));
    let mut stream = connect(harness.address, &Arc::new(certificates.client(None, &[&TLS12])));
    stream.write_all(b"bye").unwrap();
    stream.flush().unwrap();
    let mut read = Vec::new();
    // Without the alert the client would call it an unexpected end.
    stream.read_to_end(&mut read).unwrap();
    assert!(read == farewell);
    let log = harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(log.written_bytes, 3_000_000);
    harness.stop();
}

#[test]
fn a_client_that_just_goes_is_told_as_closed() {
    let certificates = Certificates::new();
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, certificates.layers(&spec(), None));
    let mut stream = connect(harness.address, &Arc::new(certificates.client(None, &[&TLS13])));
    assert_eq!(echo(&mut stream, b"x").unwrap(), b"x");
    stream.sock.shutdown(Shutdown::Both).unwrap();
    harness.wait_until(|log| log.closed_count == 1);
    harness.stop();
}

#[test]
fn connections_past_the_limit_are_closed_before_their_handshake() {
    let certificates = Certificates::new();
    let one = FrontendConfig { connections_max: 1, ..config() };
    let harness = Harness::start_layered(&one, &Behaviour::Echo, certificates.layers(&spec(), None));
    let client = Arc::new(certificates.client(None, &[&TLS13]));
    let mut first = connect(harness.address, &client);
    assert_eq!(echo(&mut first, b"x").unwrap(), b"x");
    let mut second = connect(harness.address, &client);
    let error = echo(&mut second, b"x").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error}"
    );
    let counts = harness.stop();
    assert_eq!((counts.refused_full, counts.handshakes_begun), (1, 1));
}
