//! The connection below the reader: SASL, open, requests to nodes, and frames.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ReaderError, refused};
use crate::codec::encoder as put;
use crate::codec::frame::{FrameKind, HEADER_AMQP, HEADER_SASL, put_frame, put_heartbeat, take_frame};
use crate::codec::message::SmallMessage;
use crate::codec::outcome::AmqpError;
use crate::codec::performative::{Attach, Begin, Detach, Flow, Open, Performative, SaslInit, Transfer};
use crate::codec::value::Value;

/// Large enough for any event to come in one frame.
const FRAME_BYTES_MAX: u32 = 2 << 20;
const READ_BYTES: usize = 256 << 10;
/// After how much silence of the endpoint we tell it that we live.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(20);

pub(super) struct Client {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
    nodes_count: u32,
}

impl Client {
    /// Connects, and opens a session for the nodes.
    pub(super) async fn connect(address: &str) -> Result<Self, ReaderError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, input: BytesMut::new(), output: BytesMut::new(), nodes_count: 0 };
        client.output.extend_from_slice(&HEADER_SASL);
        let init = SaslInit { mechanism: "ANONYMOUS".into(), initial_response: Bytes::new() };
        client.queue_kind(FrameKind::Sasl, 0, &Performative::SaslInit(init));
        client.expect_header(HEADER_SASL).await?;
        client.receive_where(|_, performative| matches!(performative, Performative::SaslMechanisms(_))).await?;
        let outcome = client.receive().await?.1;
        if outcome != Performative::SaslOutcome(0) {
            return Err(ReaderError::Unexpected("the endpoint lets no anonymous client in"));
        }
        client.output.extend_from_slice(&HEADER_AMQP);
        let open = Open {
            container_id: "millicore-bench-reader".into(),
            hostname: Some(address.to_owned()),
            frame_bytes_max: Some(FRAME_BYTES_MAX),
            channel_max: Some(u16::MAX),
            idle_timeout_ms: None,
        };
        client.queue(0, &Performative::Open(open));
        client.expect_header(HEADER_AMQP).await?;
        client.receive_where(|_, performative| matches!(performative, Performative::Open(_))).await?;
        client.begin(0, 1_000).await?;
        Ok(client)
    }

    async fn expect_header(&mut self, expected: [u8; 8]) -> Result<(), ReaderError> {
        while self.input.len() < 8 {
            self.exchange().await?;
        }
        if self.input[..8] != expected {
            return Err(ReaderError::Unexpected("another protocol"));
        }
        self.input.advance(8);
        Ok(())
    }

    /// Begins a session; returns the endpoint's begin.
    pub(super) async fn begin(&mut self, channel: u16, incoming_window: u32) -> Result<Begin, ReaderError> {
        let begin = Begin { incoming_window, outgoing_window: 1_000, handle_max: Some(255), ..Begin::default() };
        self.queue(channel, &Performative::Begin(begin));
        let is_answer =
            |from, performative: &Performative| from == channel && matches!(performative, Performative::Begin(_));
        let (_, answer, _) = self.receive_where(is_answer).await?;
        if let Performative::Begin(begin) = answer { Ok(begin) } else { Err(ReaderError::Unexpected("no begin")) }
    }

    /// Attaches a link that has no credit yet; returns the endpoint's attach.
    pub(super) async fn attach(&mut self, channel: u16, attach: Attach) -> Result<Attach, ReaderError> {
        let name = attach.name.clone();
        self.queue(channel, &Performative::Attach(Box::new(attach)));
        // Without a terminus it is no answer yet: a detach follows, which says why (§2.6.3).
        let is_answer = |from, performative: &Performative| match performative {
            Performative::Attach(answer) => {
                from == channel && answer.name == name && !answer.source.is_empty() && !answer.target.is_empty()
            }
            Performative::Open(_)
            | Performative::Begin(_)
            | Performative::Flow(_)
            | Performative::Transfer(_)
            | Performative::Disposition(_)
            | Performative::Detach(_)
            | Performative::End(_)
            | Performative::Close(_)
            | Performative::SaslMechanisms(_)
            | Performative::SaslInit(_)
            | Performative::SaslOutcome(_) => false,
        };
        let (_, answer, _) = self.receive_where(is_answer).await?;
        if let Performative::Attach(answer) = answer { Ok(*answer) } else { Err(ReaderError::Unexpected("no attach")) }
    }

    /// Asks a node, and returns the body of its answer.
    pub(super) async fn ask(
        &mut self,
        node: &str,
        properties: &[(&str, String)],
        body: &Value,
    ) -> Result<Value, ReaderError> {
        let (sender, receiver) = (self.nodes_count, self.nodes_count + 1);
        self.nodes_count += 2;
        let reply_to = format!("reader-{node}");
        let link = |handle: u32, is_receiver: bool, source: &str, target: &str| Attach {
            name: format!("{node}-{handle}"),
            handle,
            is_receiver,
            source: terminus(0x28, source),
            target: terminus(0x29, target),
            initial_delivery_count: (!is_receiver).then_some(0),
            ..Attach::default()
        };
        self.attach(0, link(receiver, true, node, &reply_to)).await?;
        self.attach(0, link(sender, false, &reply_to, node)).await?;
        let session = Flow { next_incoming_id: Some(0), incoming_window: 1_000, ..Flow::default() };
        let flow = Flow { handle: Some(receiver), delivery_count: Some(0), link_credit: Some(1), ..session };
        self.queue(0, &Performative::Flow(flow));
        let request = encode_request(&reply_to, properties, body);
        let transfer = Transfer {
            handle: sender,
            delivery_id: Some(sender),
            delivery_tag: Some(Bytes::from_static(b"request")),
            message_format: Some(0),
            settled: Some(true),
            ..Transfer::default()
        };
        put_frame(&mut self.output, FrameKind::Amqp, 0, |out| {
            Performative::Transfer(transfer).encode(out);
            out.extend_from_slice(&request);
        });
        let is_answer = |_, performative: &Performative| matches!(performative, Performative::Transfer(transfer) if transfer.handle == receiver);
        let (_, _, payload) = self.receive_where(is_answer).await?;
        read_answer(&payload)
    }

    /// Waits for the performative that `wanted` names, and passes over others.
    async fn receive_where(
        &mut self,
        wanted: impl Fn(u16, &Performative) -> bool,
    ) -> Result<(u16, Performative, Bytes), ReaderError> {
        loop {
            let (channel, performative, payload) = self.receive().await?;
            if wanted(channel, &performative) {
                return Ok((channel, performative, payload));
            }
            if let Performative::Detach(Detach { error, .. }) | Performative::End(error) | Performative::Close(error) =
                performative
            {
                return Err(refused(error));
            }
        }
    }

    /// Waits for the next performative, sending what is queued meanwhile. May be cancelled.
    pub(super) async fn receive(&mut self) -> Result<(u16, Performative, Bytes), ReaderError> {
        loop {
            while let Some(frame) = take_frame(&mut self.input, FRAME_BYTES_MAX)? {
                if !frame.body.is_empty() {
                    let (performative, payload) = Performative::decode(&frame.body)?;
                    return Ok((frame.channel, performative, payload));
                }
            }
            self.exchange().await?;
        }
    }

    /// Sends what is queued, and reads whatever comes next.
    async fn exchange(&mut self) -> Result<(), ReaderError> {
        self.flush().await?;
        self.input.reserve(READ_BYTES);
        match timeout(HEARTBEAT_PERIOD, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(1..)) => Ok(()),
            Ok(Ok(0)) => Err(ReaderError::Io(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                put_heartbeat(&mut self.output);
                Ok(())
            }
        }
    }

    /// Sends what is queued.
    pub(super) async fn flush(&mut self) -> Result<(), ReaderError> {
        Ok(self.stream.write_all_buf(&mut self.output).await?)
    }

    pub(super) fn queue(&mut self, channel: u16, performative: &Performative) {
        self.queue_kind(FrameKind::Amqp, channel, performative);
    }

    fn queue_kind(&mut self, kind: FrameKind, channel: u16, performative: &Performative) {
        put_frame(&mut self.output, kind, channel, |out| performative.encode(out));
    }
}

fn terminus(code: u8, address: &str) -> Bytes {
    let mut out = BytesMut::new();
    put::descriptor(&mut out, code);
    put::list(&mut out, |fields| {
        fields.string(address);
        (0..6).for_each(|_| fields.null());
    });
    out.freeze()
}

fn encode_request(reply_to: &str, properties: &[(&str, String)], body: &Value) -> BytesMut {
    let mut out = BytesMut::new();
    put::descriptor(&mut out, 0x73);
    put::list(&mut out, |fields| {
        fields.string("request");
        (0..3).for_each(|_| fields.null());
        fields.string(reply_to);
        (0..8).for_each(|_| fields.null());
    });
    put::descriptor(&mut out, 0x74);
    put::map(&mut out, |map| {
        for (name, value) in properties {
            map.string(name);
            map.string(value);
        }
    });
    put::descriptor(&mut out, 0x77);
    body.encode(&mut out);
    out
}

fn read_answer(payload: &Bytes) -> Result<Value, ReaderError> {
    let answer = SmallMessage::decode(payload)?;
    let status = answer.application_properties.get("status-code").and_then(Value::as_integer);
    if status.is_some_and(|status| (200..300).contains(&status)) {
        return Ok(answer.body);
    }
    let text = |name: &str| answer.application_properties.get(name).and_then(Value::as_text).unwrap_or_default();
    let condition = Some(text("error-condition")).filter(|condition| !condition.is_empty());
    let condition = condition.unwrap_or("amqp:internal-error");
    Err(refused(Some(AmqpError::new(condition, text("status-description")))))
}
