//! Errors (AMQP 1.0 §2.8.14), and what becomes of a delivery (§3.4).

use bytes::{Bytes, BytesMut};

use super::DecodeError;
use super::decoder::Decoder;
use super::encoder as put;

/// Why a link, session or connection ends, or a delivery is rejected (§2.8.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmqpError {
    /// A symbol such as `amqp:not-found`.
    pub condition: String,
    /// For people.
    pub description: String,
}

impl AmqpError {
    /// An error with text.
    pub fn new(condition: &str, description: impl Into<String>) -> Self {
        Self { condition: condition.to_owned(), description: description.into() }
    }
}

/// What became of a delivery (§3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// Some of it was received.
    Received,
    /// Done.
    Accepted,
    /// Refused, because of an error.
    Rejected(Option<AmqpError>),
    /// Not looked at.
    Released,
    /// Given back, changed.
    Modified {
        /// Whether the attempt counts.
        delivery_failed: bool,
        /// Whether it must not come to this link again.
        undeliverable_here: bool,
    },
}

const ERROR: u8 = 0x1d;
const RECEIVED: u8 = 0x23;
const ACCEPTED: u8 = 0x24;
const REJECTED: u8 = 0x25;
const RELEASED: u8 = 0x26;
const MODIFIED: u8 = 0x27;

impl AmqpError {
    pub(super) fn decode(raw: &Bytes) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(raw);
        let code = decoder.descriptor()?;
        if code != u64::from(ERROR) {
            return Err(DecodeError::Descriptor(code));
        }
        let mut fields = decoder.fields()?;
        let condition = fields.text()?.ok_or(DecodeError::FieldMissing)?;
        let description = fields.text()?.unwrap_or_default();
        fields.end()?;
        Ok(Self { condition, description })
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        put::descriptor(out, ERROR);
        put::list(out, |fields| {
            fields.symbol(&self.condition);
            fields.string(&self.description);
            fields.null();
        });
    }
}

impl DeliveryState {
    pub(super) fn decode(raw: &Bytes) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(raw);
        let code = decoder.descriptor()?;
        let mut fields = decoder.fields()?;
        let state = match u8::try_from(code).unwrap_or(0) {
            RECEIVED => Self::Received,
            ACCEPTED => Self::Accepted,
            REJECTED => Self::Rejected(fields.raw()?.map(|raw| AmqpError::decode(&raw)).transpose()?),
            RELEASED => Self::Released,
            MODIFIED => Self::Modified {
                delivery_failed: fields.boolean()?.unwrap_or(false),
                undeliverable_here: fields.boolean()?.unwrap_or(false),
            },
            _ => return Err(DecodeError::Descriptor(code)),
        };
        fields.end()?;
        Ok(state)
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Received => {
                put::descriptor(out, RECEIVED);
                put::list(out, |fields| {
                    fields.uint(0);
                    fields.ulong(0);
                });
            }
            Self::Accepted => {
                put::descriptor(out, ACCEPTED);
                put::list(out, |_| {});
            }
            Self::Rejected(error) => {
                put::descriptor(out, REJECTED);
                put::list(out, |fields| match error {
                    Some(error) => fields.with(|out| error.encode(out)),
                    None => fields.null(),
                });
            }
            Self::Released => {
                put::descriptor(out, RELEASED);
                put::list(out, |_| {});
            }
            Self::Modified { delivery_failed, undeliverable_here } => {
                put::descriptor(out, MODIFIED);
                put::list(out, |fields| {
                    fields.boolean(*delivery_failed);
                    fields.boolean(*undeliverable_here);
                    fields.null();
                });
            }
        }
    }
}
