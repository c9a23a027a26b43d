//! Golden bytes, annotated by hand in `vectors/`.

use bench_eventhubs::codec::decoder::Decoder;
use bench_eventhubs::codec::frame::{FrameKind, put_frame, put_heartbeat, take_frame};
use bench_eventhubs::codec::message::FORMAT_BATCH;
use bench_eventhubs::codec::outcome::{AmqpError, DeliveryState};
use bench_eventhubs::codec::performative::{
    Attach, Begin, Detach, Disposition, Flow, Open, Performative, SaslInit, Transfer,
};
use bench_eventhubs::codec::value::Value;
use bytes::{Bytes, BytesMut};

/// The bytes of an annotated file.
fn bytes_of(text: &str) -> Vec<u8> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// Checks that a frame reads as `performative` and `payload`, and is written so.
fn check(text: &str, kind: FrameKind, channel: u16, performative: &Performative, payload: &[u8]) {
    let golden = bytes_of(text);
    let mut input = BytesMut::from(&golden[..]);
    let frame = take_frame(&mut input, 65_536).unwrap().expect("a whole frame");
    assert_eq!((frame.kind, frame.channel, input.len()), (kind, channel, 0));
    let (decoded, rest) = Performative::decode(&frame.body).unwrap();
    assert_eq!((&decoded, &rest[..]), (performative, payload));
    let mut written = BytesMut::new();
    put_frame(&mut written, kind, channel, |out| {
        performative.encode(out);
        out.extend_from_slice(payload);
    });
    assert_eq!(written[..], golden[..]);
}

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!("../../vectors/", $name, ".hex"))
    };
}

#[test]
fn connections_and_sessions() {
    let open = Open {
        container_id: "c".to_owned(),
        hostname: None,
        frame_bytes_max: Some(65_536),
        channel_max: Some(1_023),
        idle_timeout_ms: Some(240_000),
    };
    check(vector!("open"), FrameKind::Amqp, 0, &Performative::Open(open), b"");
    let begin = Begin {
        remote_channel: Some(1),
        next_outgoing_id: 0,
        incoming_window: 5_000,
        outgoing_window: 5_000,
        handle_max: Some(255),
    };
    check(vector!("begin"), FrameKind::Amqp, 1, &Performative::Begin(begin), b"");
    check(vector!("close"), FrameKind::Amqp, 0, &Performative::Close(None), b"");
    let mut heartbeat = BytesMut::new();
    put_heartbeat(&mut heartbeat);
    assert_eq!(heartbeat[..], [0, 0, 0, 8, 2, 0, 0, 0]);
}

#[test]
fn links() {
    let attach = Attach {
        name: "s".to_owned(),
        target: Bytes::from_static(b"\x00\x53\x29\xc0\x0e\x07\xa1\x05plant\x40\x40\x40\x40\x40\x40"),
        initial_delivery_count: Some(0),
        message_bytes_max: Some(1_048_576),
        ..Attach::default()
    };
    check(vector!("attach_sender"), FrameKind::Amqp, 0, &Performative::Attach(Box::new(attach)), b"");
    let flow = Flow {
        next_incoming_id: Some(1),
        incoming_window: 5_000,
        outgoing_window: 5_000,
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(300),
        available: Some(0),
        ..Flow::default()
    };
    check(vector!("flow"), FrameKind::Amqp, 0, &Performative::Flow(flow), b"");
    let error = Some(AmqpError::new("amqp:link:stolen", ""));
    let detach = Detach { handle: 0, closed: true, error };
    check(vector!("detach_stolen"), FrameKind::Amqp, 0, &Performative::Detach(detach), b"");
}

#[test]
fn deliveries() {
    let transfer = Transfer {
        handle: 0,
        delivery_id: Some(7),
        delivery_tag: Some(Bytes::from_static(&[0, 0, 0, 7])),
        message_format: Some(FORMAT_BATCH),
        settled: Some(false),
        more: true,
        aborted: false,
    };
    check(vector!("transfer_batch"), FrameKind::Amqp, 0, &Performative::Transfer(transfer), b"xyz");
    let accepted =
        Disposition { is_receiver: true, first: 7, last: Some(7), settled: true, state: Some(DeliveryState::Accepted) };
    check(vector!("disposition_accepted"), FrameKind::Amqp, 0, &Performative::Disposition(accepted), b"");
    let error = AmqpError::new("com.microsoft:server-busy", "busy");
    let state = Some(DeliveryState::Rejected(Some(error)));
    let busy = Disposition { is_receiver: true, first: 0, last: None, settled: true, state };
    check(vector!("disposition_server_busy"), FrameKind::Amqp, 0, &Performative::Disposition(busy), b"");
}

#[test]
fn sasl() {
    let names = ["PLAIN", "ANONYMOUS"].map(str::to_owned).to_vec();
    check(vector!("sasl_mechanisms"), FrameKind::Sasl, 0, &Performative::SaslMechanisms(names), b"");
    let init = SaslInit { mechanism: "PLAIN".to_owned(), initial_response: Bytes::from_static(b"\0key\0pw") };
    check(vector!("sasl_init_plain"), FrameKind::Sasl, 0, &Performative::SaslInit(init), b"");
}

#[test]
fn the_examples_of_the_standard() {
    let text = |text: &str| Value::String(text.to_owned());
    let url = Value::Described(Box::new((text("URL"), text("http://example.org/hello-world"))));
    let authors = Value::Array(vec![text("Rob J. Godfrey"), text("Rafael H. Schloming")]);
    let fields = Value::List(vec![text("AMQP for & by Dummies"), authors, Value::Null]);
    let book = Value::Described(Box::new((Value::Symbol("example:book:list".to_owned()), fields)));
    for (golden, value) in [(vector!("type_url"), url), (vector!("type_book"), book)] {
        let bytes = Bytes::from(bytes_of(golden));
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decoder.value().unwrap(), value);
        assert!(decoder.is_empty());
    }
}
