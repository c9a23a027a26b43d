//! Raw bytes: what is no AMQP ends its connection with the right words, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use bench_eventhubs::codec::frame::{FrameKind, HEADER_AMQP, put_frame, take_frame, take_protocol_header};
use bench_eventhubs::codec::performative::{Attach, Begin, Flow, Open, Performative, Transfer};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::process::Process;

/// Sends bytes, and returns the condition of the close that answers.
fn condition_of(process: &Process, bytes: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(process.amqp()).unwrap();
    stream.set_read_timeout(Some(crate::sdk::DEADLINE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let mut answer = BytesMut::from(&answer[..]);
    take_protocol_header(&mut answer).unwrap().unwrap();
    while let Some(frame) = take_frame(&mut answer, u32::MAX).unwrap() {
        if let (Performative::Close(error), _) = Performative::decode(&frame.body).unwrap() {
            return error.map(|error| error.condition);
        }
    }
    None
}

/// A header, then these frames on channel 0.
fn stream_of(performatives: &[Performative]) -> BytesMut {
    let mut bytes = BytesMut::from(&HEADER_AMQP[..]);
    for performative in performatives {
        put_frame(&mut bytes, FrameKind::Amqp, 0, |out| performative.encode(out));
    }
    bytes
}

fn open() -> Performative {
    Performative::Open(Open { container_id: "test".to_owned(), ..Open::default() })
}

fn begin() -> Performative {
    Performative::Begin(Begin { incoming_window: 100, outgoing_window: 100, ..Begin::default() })
}

#[test]
fn broken_rules_are_answered_with_their_conditions() {
    let process = Process::start(&[]);
    let with = |tail: &[u8]| {
        let mut bytes = stream_of(&[open(), begin()]);
        bytes.extend_from_slice(tail);
        bytes
    };
    let transfer = Performative::Transfer(Transfer { handle: 9, ..Transfer::default() });
    for (bytes, condition) in [
        (with(&[0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0]), "amqp:connection:framing-error"),
        (with(&[0, 0, 0, 7, 2, 0, 0, 0]), "amqp:connection:framing-error"),
        (with(&[0, 0, 0, 9, 2, 0, 0, 0, 0x99]), "amqp:decode-error"),
        (with(&[0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x70, 0x45]), "amqp:decode-error"),
        (stream_of(&[open(), open()]), "amqp:not-allowed"),
        (stream_of(&[open(), begin(), begin()]), "amqp:not-allowed"),
        (stream_of(&[open(), transfer]), "amqp:not-allowed"),
        (stream_of(&[begin()]), "amqp:not-allowed"),
    ] {
        assert_eq!(condition_of(&process, &bytes).as_deref(), Some(condition), "{bytes:x?}");
    }
    assert_eq!(process.stop()["protocol_errors"], 8);
}

#[test]
fn another_protocol_is_answered_with_the_header_of_ours() {
    let process = Process::start(&[]);
    let mut stream = TcpStream::connect(process.amqp()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, HEADER_AMQP);
}

#[test]
fn arbitrary_and_mutated_streams_do_not_end_the_endpoint() {
    let process = Process::start(&["--no-auth-check"]);
    let flow = Performative::Flow(Flow { incoming_window: 1, outgoing_window: 1, echo: true, ..Flow::default() });
    let target = Bytes::from_static(b"\x00\x53\x29\xc0\x08\x01\xa1\x05plant");
    let attach = Attach { name: "s".to_owned(), target, initial_delivery_count: Some(0), ..Attach::default() };
    let transfer = Transfer { delivery_id: Some(0), more: true, ..Transfer::default() };
    let attach = Performative::Attach(Box::new(attach));
    let valid = stream_of(&[open(), begin(), flow, attach, Performative::Transfer(transfer)]);
    let valid_bytes = valid.len();
    let mutations = prop::collection::vec((0..valid_bytes, any::<u8>()), 1..6);
    let inputs = (any::<bool>(), mutations, prop::collection::vec(any::<u8>(), 0..300));
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });
    let outcome = runner.run(&inputs, |(mutated, mutations, noise)| {
        let mut bytes = if mutated { valid.to_vec() } else { HEADER_AMQP.to_vec() };
        if mutated {
            for (at, byte) in mutations {
                bytes[at] = byte;
            }
        }
        bytes.extend_from_slice(&noise);
        let mut stream = TcpStream::connect(process.amqp()).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A connection that is reset is as good an end as one that is closed.
        let _ = stream.read_to_end(&mut answer);
        Ok(())
    });
    outcome.unwrap();
    assert!(process.stats()["connections_total"].as_u64() >= Some(200));
}
