//! Open to close (AMQP 1.0 §2.7), and the SASL exchange (§5.3.3).

use bytes::{Bytes, BytesMut};

use super::DecodeError;
use super::decoder::Decoder;
use super::encoder as put;
use super::outcome::{AmqpError, DeliveryState};
use super::value::Value;

/// What stands first in a frame's body.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each names the type it holds")]
pub enum Performative {
    Open(Open),
    Begin(Begin),
    Attach(Box<Attach>),
    Flow(Flow),
    Transfer(Transfer),
    Disposition(Disposition),
    Detach(Detach),
    End(Option<AmqpError>),
    Close(Option<AmqpError>),
    SaslMechanisms(Vec<String>),
    SaslInit(SaslInit),
    SaslOutcome(u8),
}

/// §2.7.1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Open {
    /// Name of the sender's container.
    pub container_id: String,
    /// The host that the sender believes it speaks to.
    pub hostname: Option<String>,
    /// Largest frame that the sender takes; `None` for any.
    pub frame_bytes_max: Option<u32>,
    /// Highest channel that the sender takes.
    pub channel_max: Option<u16>,
    /// After how much silence the sender gives up.
    pub idle_timeout_ms: Option<u32>,
}

/// §2.7.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begin {
    /// The channel that this answers.
    pub remote_channel: Option<u16>,
    /// The id that the next transfer will have.
    pub next_outgoing_id: u32,
    /// Transfers that may still come in.
    pub incoming_window: u32,
    /// Transfers that may still go out.
    pub outgoing_window: u32,
    /// Highest handle.
    pub handle_max: Option<u32>,
}

/// §2.7.3. Source and target are kept as they came, and read where needed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attach {
    /// Name of the link.
    pub name: String,
    /// Number of the link in its session.
    pub handle: u32,
    /// Whether the one who sends this receives messages.
    pub is_receiver: bool,
    /// 0 unsettled, 1 settled, 2 mixed.
    pub sender_settle_mode: u8,
    /// 0 first, 1 second.
    pub receiver_settle_mode: u8,
    /// The encoded source; empty for null.
    pub source: Bytes,
    /// The encoded target; empty for null.
    pub target: Bytes,
    /// Of a sender.
    pub initial_delivery_count: Option<u32>,
    /// Largest message that the one who sends this takes.
    pub message_bytes_max: Option<u64>,
    /// The encoded properties of the link; empty for null.
    pub properties: Bytes,
}

/// §2.7.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// Id of the transfer that is expected next; `None` before the peer's begin was seen.
    pub next_incoming_id: Option<u32>,
    /// Transfers that may still come in.
    pub incoming_window: u32,
    /// The id that the next transfer will have.
    pub next_outgoing_id: u32,
    /// Transfers that may still go out.
    pub outgoing_window: u32,
    /// The link that the rest is about.
    pub handle: Option<u32>,
    /// Deliveries of the link so far.
    pub delivery_count: Option<u32>,
    /// Deliveries that may come after these.
    pub link_credit: Option<u32>,
    /// Messages waiting at the sender.
    pub available: Option<u32>,
    /// Whether credit that cannot be used shall be given back.
    pub drain: bool,
    /// Whether a flow is wanted in answer.
    pub echo: bool,
}

/// §2.7.5, without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transfer {
    /// The link.
    pub handle: u32,
    /// Number of the delivery in the session; on its first frame at least.
    pub delivery_id: Option<u32>,
    /// The sender's name for it.
    pub delivery_tag: Option<Bytes>,
    /// 0, or `0x8001_3700` for a batch.
    pub message_format: Option<u32>,
    /// Whether the sender wants no answer.
    pub settled: Option<bool>,
    /// Whether further frames belong to this delivery.
    pub more: bool,
    /// Whether the delivery is taken back.
    pub aborted: bool,
}

/// §2.7.6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    /// Whether this is about deliveries that the one who sends it received.
    pub is_receiver: bool,
    /// First delivery.
    pub first: u32,
    /// Last delivery; `None` for the first alone.
    pub last: Option<u32>,
    /// Whether the sender of this forgets them.
    pub settled: bool,
    /// What became of them.
    pub state: Option<DeliveryState>,
}

/// §2.7.7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detach {
    /// The link.
    pub handle: u32,
    /// Whether it ends for good.
    pub closed: bool,
    /// Why.
    pub error: Option<AmqpError>,
}

/// §5.3.3.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslInit {
    /// The chosen mechanism.
    pub mechanism: String,
    /// Its first message.
    pub initial_response: Bytes,
}

const OPEN: u8 = 0x10;
const BEGIN: u8 = 0x11;
const ATTACH: u8 = 0x12;
const FLOW: u8 = 0x13;
const TRANSFER: u8 = 0x14;
const DISPOSITION: u8 = 0x15;
const DETACH: u8 = 0x16;
const END: u8 = 0x17;
const CLOSE: u8 = 0x18;
const SASL_MECHANISMS: u8 = 0x40;
const SASL_INIT: u8 = 0x41;
const SASL_OUTCOME: u8 = 0x44;

const MISSING: DecodeError = DecodeError::FieldMissing;

impl Performative {
    /// Reads the performative at the start of a frame's body; what follows it is the payload.
    ///
    /// # Errors
    /// It is malformed, or none that we know.
    pub fn decode(body: &Bytes) -> Result<(Self, Bytes), DecodeError> {
        let mut decoder = Decoder::new(body);
        let code = decoder.descriptor()?;
        let performative = match u8::try_from(code).map_err(|_| DecodeError::Descriptor(code))? {
            TRANSFER => Self::Transfer(Transfer::decode(&mut decoder)?),
            FLOW => Self::Flow(Flow::decode(&mut decoder)?),
            DISPOSITION => Self::Disposition(Disposition::decode(&mut decoder)?),
            OPEN => Self::Open(Open::decode(&mut decoder)?),
            BEGIN => Self::Begin(Begin::decode(&mut decoder)?),
            ATTACH => Self::Attach(Box::new(Attach::decode(&mut decoder)?)),
            DETACH => Self::Detach(Detach::decode(&mut decoder)?),
            END => Self::End(decode_lone_error(&mut decoder)?),
            CLOSE => Self::Close(decode_lone_error(&mut decoder)?),
            SASL_MECHANISMS => Self::SaslMechanisms(decode_mechanisms(&mut decoder)?),
            SASL_INIT => Self::SaslInit(SaslInit::decode(&mut decoder)?),
            SASL_OUTCOME => {
                let mut fields = decoder.fields()?;
                let code = fields.ubyte()?.ok_or(MISSING)?;
                fields.end()?;
                Self::SaslOutcome(code)
            }
            _ => return Err(DecodeError::Descriptor(code)),
        };
        Ok((performative, decoder.rest()))
    }

    /// Writes it.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Open(open) => open.encode(out),
            Self::Begin(begin) => begin.encode(out),
            Self::Attach(attach) => attach.encode(out),
            Self::Flow(flow) => flow.encode(out),
            Self::Transfer(transfer) => transfer.encode(out),
            Self::Disposition(disposition) => disposition.encode(out),
            Self::Detach(detach) => detach.encode(out),
            Self::End(error) => encode_lone_error(out, END, error.as_ref()),
            Self::Close(error) => encode_lone_error(out, CLOSE, error.as_ref()),
            Self::SaslMechanisms(names) => {
                put::descriptor(out, SASL_MECHANISMS);
                let names = names.iter().map(|name| Value::Symbol(name.clone())).collect();
                put::list(out, |fields| fields.value(&Value::Array(names)));
            }
            Self::SaslInit(init) => {
                put::descriptor(out, SASL_INIT);
                put::list(out, |fields| {
                    fields.symbol(&init.mechanism);
                    fields.binary(&init.initial_response);
                    fields.null();
                });
            }
            Self::SaslOutcome(code) => {
                put::descriptor(out, SASL_OUTCOME);
                put::list(out, |fields| {
                    fields.ubyte(*code);
                    fields.null();
                });
            }
        }
    }
}

impl Open {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut fields = decoder.fields()?;
        let open = Self {
            container_id: fields.text()?.ok_or(MISSING)?,
            hostname: fields.text()?,
            frame_bytes_max: fields.uint()?,
            channel_max: fields.ushort()?,
            idle_timeout_ms: fields.uint()?,
        };
        fields.end()?;
        Ok(open)
    }

    fn encode(&self, out: &mut BytesMut) {
        put::descriptor(out, OPEN);
        put::list(out, |fields| {
            fields.string(&self.container_id);
            match &self.hostname {
                Some(hostname) => fields.string(hostname),
                None => fields.null(),
            }
            fields.optional_uint(self.frame_bytes_max);
            match self.channel_max {
                Some(channel_max) => fields.ushort(channel_max),
                None => fields.null(),
            }
            fields.optional_uint(self.idle_timeout_ms);
            // Outgoing and incoming locales, offered and desired capabilities, properties.
            (0..5).for_each(|_| fields.null());
        });
    }
}

impl Begin {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut fields = decoder.fields()?;
        let begin = Self {
            remote_channel: fields.ushort()?,
            next_outgoing_id: fields.uint()?.ok_or(MISSING)?,
            incoming_window: fields.uint()?.ok_or(MISSING)?,
            outgoing_window: fields.uint()?.ok_or(MISSING)?,
            handle_max: fields.uint()?,
        };
        fields.end()?;
        Ok(begin)
    }

    fn encode(&self, out: &mut BytesMut) {
        put::descriptor(out, BEGIN);
        put::list(out, |fields| {
            match self.remote_channel {
                Some(channel) => fields.ushort(channel),
                None => fields.null(),
            }
            fields.uint(self.next_outgoing_id);
            fields.uint(self.incoming_window);
            fields.uint(self.outgoing_window);
            fields.optional_uint(self.handle_max);
            // Offered and desired capabilities, properties.
            (0..3).for_each(|_| fields.null());
        });
    }
}

impl Attach {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut fields = decoder.fields()?;
        let name = fields.text()?.ok_or(MISSING)?;
        let handle = fields.uint()?.ok_or(MISSING)?;
        let is_receiver = fields.boolean()?.ok_or(MISSING)?;
        let sender_settle_mode = fields.ubyte()?.unwrap_or(2);
        let receiver_settle_mode = fields.ubyte()?.unwrap_or(0);
        if sender_settle_mode > 2 || receiver_settle_mode > 1 {
            return Err(DecodeError::Range);
        }
        let source = fields.raw()?.unwrap_or_default();
        let target = fields.raw()?.unwrap_or_default();
        // Unsettled deliveries of an earlier life of the link, and whether they are all.
        fields.raw()?;
        fields.raw()?;
        let initial_delivery_count = fields.uint()?;
        let message_bytes_max = fields.ulong()?;
        // Offered and desired capabilities.
        fields.raw()?;
        fields.raw()?;
        let properties = fields.raw()?.unwrap_or_default();
        fields.end()?;
        Ok(Self {
            name,
            handle,
            is_receiver,
            sender_settle_mode,
            receiver_settle_mode,
            source,
            target,
            initial_delivery_count,
            message_bytes_max,
            properties,
        })
    }

    fn encode(&self, out: &mut BytesMut) {
        put::descriptor(out, ATTACH);
        put::list(out, |fields| {
            fields.string(&self.name);
            fields.uint(self.handle);
            fields.boolean(self.is_receiver);
            fields.ubyte(self.sender_settle_mode);
            fields.ubyte(self.receiver_settle_mode);
            fields.encoded(&self.source);
            fields.encoded(&self.target);
            fields.null();
            fields.boolean(false);
            fields.optional_uint(self.initial_delivery_count);
            match self.message_bytes_max {
                Some(bytes) => fields.ulong(bytes),
                None => fields.null(),
            }
            fields.null();
            fields.null();
            fields.encoded(&self.properties);
        });
    }
}

impl Flow {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut fields = decoder.fields()?;
        let flow = Self {
            next_incoming_id: fields.uint()?,
            incoming_window: fields.uint()?.ok_or(MISSING)?,
            next_outgoing_id: fields.uint()?.ok_or(MISSING)?,
            outgoing_window: fields.uint()?.ok_or(MISSING)?,
            handle: fields.uint()?,
            delivery_count: fields.uint()?,
            link_credit: fields.uint()?,
            available: fields.uint()?,
            drain: fields.boolean()?.unwrap_or(false),
            echo: fields.boolean()?.unwrap_or(false),
        };
        fields.end()?;
        Ok(flow)
    }

    fn encode(&self, out: &mut BytesMut) {
        put::descriptor(out, FLOW);
        put::list(out, |fields| {
            fields.optional_uint(self.next_incoming_id);
            fields.uint(self.incoming_window);
            fields.uint(self.next_outgoing_id);
            fields.uint(self.outgoing_window);
            fields.optional_uint(self.handle);
            fields.optional_uint(self.delivery_count);
            fields.optional_uint(self.link_credit);
            fields.optional_uint(self.available);
            fields.boolean(self.drain);
            fields.boolean(self.echo);
            fields.null();
        });
    }
}

impl Transfer {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut fields = decoder.fields()?;
        let handle = fields.uint()?.ok_or(MISSING)?;
        let delivery_id = fields.uint()?;
        let delivery_tag = fields.binary()?;
        let message_format = fields.uint()?;
        let settled = fields.boolean()?;
        let more = fields.boolean()?.unwrap_or(false);
        // The receiver's settle mode, the delivery's state, and whether it is resumed: nothing is resumed here.
        fields.raw()?;
        fields.raw()?;
        fields.raw()?;
        let aborted = fields.boolean()?.unwrap_or(false);
        fields.end()?;
        Ok(Self { handle, delivery_id, delivery_tag, message_format, settled, more, aborted })
    }

    fn encode(&self, out: &mut BytesMut) {
        put::descriptor(out, TRANSFER);
        put::list(out, |fields| {
            fields.uint(self.handle);
            fields.optional_uint(self.delivery_id);
            match &self.delivery_tag {
                Some(tag) => fields.binary(tag),
                None => fields.null(),
            }
            fields.optional_uint(self.message_format);
            match self.settled {
                Some(settled) => fields.boolean(settled),
                None => fields.null(),
            }
            fields.boolean(self.more);
            fields.null();
            fields.null();
            fields.boolean(false);
            fields.boolean(self.aborted);
            fields.boolean(false);
        });
    }
}

impl Disposition {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut fields = decoder.fields()?;
        let is_receiver = fields.boolean()?.ok_or(MISSING)?;
        let first = fields.uint()?.ok_or(MISSING)?;
        let last = fields.uint()?;
        let settled = fields.boolean()?.unwrap_or(false);
        let state = fields.raw()?.map(|raw| DeliveryState::decode(&raw)).transpose()?;
        fields.end()?;
        Ok(Self { is_receiver, first, last, settled, state })
    }

    fn encode(&self, out: &mut BytesMut) {
        put::descriptor(out, DISPOSITION);
        put::list(out, |fields| {
            fields.boolean(self.is_receiver);
            fields.uint(self.first);
            fields.optional_uint(self.last);
            fields.boolean(self.settled);
            match &self.state {
                Some(state) => fields.with(|out| state.encode(out)),
                None => fields.null(),
            }
            fields.boolean(false);
        });
    }
}

impl Detach {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut fields = decoder.fields()?;
        let handle = fields.uint()?.ok_or(MISSING)?;
        let closed = fields.boolean()?.unwrap_or(false);
        let error = fields.raw()?.map(|raw| AmqpError::decode(&raw)).transpose()?;
        fields.end()?;
        Ok(Self { handle, closed, error })
    }

    fn encode(&self, out: &mut BytesMut) {
        put::descriptor(out, DETACH);
        put::list(out, |fields| {
            fields.uint(self.handle);
            fields.boolean(self.closed);
            match &self.error {
                Some(error) => fields.with(|out| error.encode(out)),
                None => fields.null(),
            }
        });
    }
}

impl SaslInit {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut fields = decoder.fields()?;
        let mechanism = fields.text()?.ok_or(MISSING)?;
        let initial_response = fields.binary()?.unwrap_or_default();
        fields.end()?;
        Ok(Self { mechanism, initial_response })
    }
}

fn decode_lone_error(decoder: &mut Decoder<'_>) -> Result<Option<AmqpError>, DecodeError> {
    let mut fields = decoder.fields()?;
    let error = fields.raw()?.map(|raw| AmqpError::decode(&raw)).transpose()?;
    fields.end()?;
    Ok(error)
}

fn encode_lone_error(out: &mut BytesMut, code: u8, error: Option<&AmqpError>) {
    put::descriptor(out, code);
    put::list(out, |fields| match error {
        Some(error) => fields.with(|out| error.encode(out)),
        None => fields.null(),
    });
}

/// One symbol, or an array of them (§5.3.3.1).
fn decode_mechanisms(decoder: &mut Decoder<'_>) -> Result<Vec<String>, DecodeError> {
    let mut fields = decoder.fields()?;
    let names = fields.value()?.ok_or(MISSING)?;
    let names = if let Value::Array(names) = names { names } else { vec![names] };
    fields.end()?;
    names.iter().map(|name| name.as_text().map(str::to_owned).ok_or(DecodeError::Text)).collect()
}
