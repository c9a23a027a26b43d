//! Real sockets on a real executor: what a peer sends, what it gets, and how connections end.

#[expect(dead_code, reason = "other tests need the rest")]
mod harness;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use contract::CoreIndex;
use harness::{Behaviour, Command, Harness};
use mqtt_listener::{Event, FrontendConfig};

fn config() -> FrontendConfig {
    FrontendConfig::new(CoreIndex(0))
}

/// What a peer reads until the end, or the error that it meets.
fn read_all(peer: &mut TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).map(|_| bytes).map_err(|error| error.kind())
}

fn read_count(peer: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    peer.read_exact(&mut bytes).expect("the peer gets what was written");
    bytes
}

#[test]
fn what_a_peer_sends_is_echoed() {
    let harness = Harness::start(&config(), &Behaviour::Echo);
    let mut peer = harness.connect();
    for round in 0..100_u8 {
        peer.write_all(&[round; 100]).unwrap();
        assert_eq!(read_count(&mut peer, 100), [round; 100]);
    }
    harness.wait_until(|log| log.written_bytes == 10_000 && log.received_bytes == 10_000);
    drop(peer);
    harness.wait_until(|log| log.closed_count == 1);
    let counts = harness.stop();
    assert_eq!((counts.accepted, counts.live, counts.broken), (1, 0, 0));
    assert_eq!((counts.received_bytes, counts.written_bytes), (10_000, 10_000));
}

#[test]
fn ten_megabytes_both_ways_arrive_whole_and_in_order() {
    let harness = Harness::start(&config(), &Behaviour::Echo);
    let mut peer = harness.connect();
    let sent: Vec<u8> = (0..251).cycle().take(10_000_000).collect();
    let mut writer = peer.try_clone().unwrap();
    let expected = sent.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
    });
    assert!(read_count(&mut peer, expected.len()) == expected);
    sender.join().unwrap();
    harness.stop();
}

#[test]
fn five_hundred_connections_are_served_at_once() {
    let harness = Harness::start(&config(), &Behaviour::Echo);
    let mut peers: Vec<TcpStream> = (0..500).map(|_| harness.connect()).collect();
    for round in 0..4_u8 {
        for (index, peer) in (0..=u8::MAX).cycle().zip(&mut peers) {
            peer.write_all(&[round, index]).unwrap();
        }
        for (index, peer) in (0..=u8::MAX).cycle().zip(&mut peers) {
            assert_eq!(read_count(peer, 2), [round, index]);
        }
    }
    drop(peers);
    harness.wait_until(|log| log.closed_count == 500);
    assert_eq!(harness.stop().live, 0);
}

#[test]
fn all_writes_of_a_turn_go_out_in_one_system_call() {
    let harness = Harness::start(&config(), &Behaviour::Greet(vec![Bytes::from_static(b"0123456789"); 50]));
    let mut peer = harness.connect();
    assert_eq!(read_count(&mut peer, 500), b"0123456789".repeat(50));
    harness.wait_until(|log| log.written_bytes == 500);
    assert_eq!(harness.stop().writes, 1);
}

#[test]
fn a_slow_reader_gets_everything_later_and_written_tells_when() {
    const PIECES: usize = 64;
    let pieces = vec![Bytes::from(vec![7; 100_000]); PIECES];
    let harness = Harness::start(&config(), &Behaviour::Greet(pieces));
    let mut slow = harness.connect();
    let mut quick = harness.connect();
    assert_eq!(read_count(&mut quick, PIECES * 100_000).len(), PIECES * 100_000, "the slow one holds nobody up");
    let log = harness.wait_until(|log| log.accepted_count == 2 && log.written_bytes >= PIECES * 100_000);
    assert!(log.written_bytes < 2 * PIECES * 100_000, "the kernel's buffers are smaller than what is written");
    assert!(read_count(&mut slow, PIECES * 100_000).iter().all(|byte| *byte == 7));
    harness.wait_until(|log| log.written_bytes == 2 * PIECES * 100_000);
    harness.stop();
}

#[test]
fn a_backlog_past_its_limit_closes_the_connection() {
    let limited = FrontendConfig { write_backlog_bytes_max: 1_000, ..config() };
    let harness = Harness::start(&limited, &Behaviour::Greet(vec![Bytes::from(vec![1; 600]); 2]));
    let mut peer = harness.connect();
    assert_eq!(read_all(&mut peer), Ok(Vec::new()));
    harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(harness.stop().backlog_overflows, 1);
}

#[test]
fn a_peer_is_held_back_while_reading_is_paused() {
    let harness = Harness::start(&config(), &Behaviour::Count);
    let mut peer = harness.connect();
    harness.wait_until(|log| log.accepted_count == 1);
    harness.command(Command::Pause);
    harness.wait_until(|log| log.command_count == 1);
    peer.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut sent = 0;
    let error = loop {
        match peer.write(&[5; 10_000]) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "TCP holds the peer back after {sent} bytes");
    assert_eq!(harness.log().received_bytes, 0);
    harness.command(Command::Resume);
    harness.wait_until(|log| log.received_bytes == sent);
    drop(peer);
    harness.wait_until(|log| log.closed_count == 1);
    harness.stop();
}

#[test]
fn what_came_before_the_end_is_read_after_a_pause() {
    let harness = Harness::start(&config(), &Behaviour::Count);
    let mut peer = harness.connect();
    harness.wait_until(|log| log.accepted_count == 1);
    harness.command(Command::Pause);
    harness.wait_until(|log| log.command_count == 1);
    peer.write_all(b"last words").unwrap();
    drop(peer);
    harness.command(Command::Resume);
    let log = harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(log.received_bytes, 10);
    harness.stop();
}

#[test]
fn a_reset_is_told_although_reading_is_paused() {
    let harness = Harness::start(&config(), &Behaviour::Count);
    let peer = harness.connect();
    harness.wait_until(|log| log.accepted_count == 1);
    harness.command(Command::Pause);
    harness.wait_until(|log| log.command_count == 1);
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(harness.stop().broken, 1);
}

#[test]
fn close_delivers_what_was_written_even_to_a_peer_that_still_sends() {
    let farewell = vec![9; 3_000_000];
    let harness = Harness::start(&config(), &Behaviour::AnswerAndClose(Bytes::from(farewell.clone())));
    let mut peer = harness.connect();
    // More than the answer needs: it lies unread in the kernel when the connection is closed.
    peer.write_all(&vec![1; 200_000]).unwrap();
    assert!(read_all(&mut peer) == Ok(farewell));
    drop(peer);
    let log = harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(log.written_bytes, 3_000_000);
    let counts = harness.stop();
    assert_eq!((counts.broken, counts.close_timeouts), (0, 0));
}

#[test]
fn a_peer_that_reads_nothing_is_cut_when_closing_takes_too_long() {
    let quick = FrontendConfig { close_timeout: Duration::from_millis(150), ..config() };
    let harness = Harness::start(&quick, &Behaviour::AnswerAndClose(Bytes::from(vec![9; 10_000_000])));
    let mut peer = harness.connect();
    peer.write_all(&[1]).unwrap();
    harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(harness.stop().close_timeouts, 1);
}

#[test]
fn an_answer_reaches_a_peer_that_has_closed_its_half() {
    let harness = Harness::start(&config(), &Behaviour::AnswerAndClose(Bytes::from_static(b"refused")));
    let mut peer = harness.connect();
    peer.write_all(b"garbage").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut peer), Ok(b"refused".to_vec()));
    harness.wait_until(|log| log.closed_count == 1);
    harness.stop();
}

#[test]
fn a_slot_is_used_again_under_another_generation() {
    let one = FrontendConfig { connections_max: 1, ..config() };
    let harness = Harness::start(&one, &Behaviour::Echo);
    for generation in 0..20 {
        let mut peer = harness.connect();
        peer.write_all(b"x").unwrap();
        assert_eq!(read_count(&mut peer, 1), b"x");
        let address = harness.log().last_address.unwrap();
        assert_eq!((address.slot, address.generation), (0, generation));
        drop(peer);
        harness.wait_until(|log| log.closed_count == generation as usize + 1);
    }
    assert_eq!(harness.stop().accepted, 20);
}

#[test]
fn connections_past_the_limit_are_closed_at_once() {
    let two = FrontendConfig { connections_max: 2, ..config() };
    let harness = Harness::start(&two, &Behaviour::Echo);
    let mut peers: Vec<TcpStream> = (0..2).map(|_| harness.connect()).collect();
    harness.wait_until(|log| log.accepted_count == 2);
    let mut third = harness.connect();
    assert_eq!(read_all(&mut third), Ok(Vec::new()));
    peers[0].write_all(b"still here").unwrap();
    assert_eq!(read_count(&mut peers[0], 10), b"still here");
    drop(peers);
    let counts = harness.stop();
    assert_eq!((counts.accepted, counts.refused_full), (2, 1));
}

#[test]
fn accepting_pauses_at_the_connect_rate_and_goes_on() {
    let slow = FrontendConfig { connect_rate_max: Some(20), ..config() };
    let harness = Harness::start(&slow, &Behaviour::Echo);
    let peers: Vec<TcpStream> = (0..25).map(|_| harness.connect()).collect();
    harness.wait_until(|log| log.accepted_count == 25);
    drop(peers);
    assert!(harness.stop().rate_pauses >= 1);
}

#[test]
fn a_stop_ends_accepting_and_cuts_what_is_left() {
    let harness = Harness::start(&config(), &Behaviour::Echo);
    let mut peers: Vec<TcpStream> = (0..10).map(|_| harness.connect()).collect();
    harness.wait_until(|log| log.accepted_count == 10);
    let address = harness.address;
    let counts = harness.stop();
    assert_eq!(counts.live, 0);
    for peer in &mut peers {
        assert!(matches!(read_all(peer), Ok(bytes) if bytes.is_empty()));
    }
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_stop_without_connections_does_not_hang_in_accept() {
    let harness = Harness::start(&config(), &Behaviour::Echo);
    harness.stop();
}

#[test]
fn connections_spread_over_the_cores_of_a_port() {
    let harness = Harness::start_on(2, &config(), &Behaviour::Echo);
    let mut peers: Vec<TcpStream> = (0..64).map(|_| harness.connect()).collect();
    for peer in &mut peers {
        peer.write_all(b"x").unwrap();
        assert_eq!(read_count(peer, 1), b"x");
    }
    assert!(harness.logs().iter().all(|log| log.accepted_count > 0));
    drop(peers);
    harness.stop();
}

#[test]
fn the_first_event_is_accepted_and_the_last_is_closed() {
    let harness = Harness::start(&config(), &Behaviour::Count);
    let mut peer = harness.connect();
    let local = peer.local_addr().unwrap();
    peer.write_all(b"hello").unwrap();
    drop(peer);
    let log = harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(
        log.events.first(),
        Some(&Event::Accepted { peer: local, listener: harness::LISTENER_NUMBER, tls: None })
    );
    assert_eq!(log.events.last(), Some(&Event::SocketClosed));
    harness.stop();
}
