//! AUTH (MQTT 5.0 §3.15), which mqttbytes does not have.

use crate::properties::{self, Properties, PropertySet, Value};
use crate::reader::Reader;
use crate::{DecodeError, Frame, ReasonCode};

const PROPERTIES: PropertySet = PropertySet::of(&[
    properties::AUTHENTICATION_METHOD,
    properties::AUTHENTICATION_DATA,
    properties::REASON_STRING,
    properties::USER_PROPERTY,
]);

/// A step of enhanced authentication (MQTT 5.0 §4.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// 0x00 Success, 0x18 Continue authentication, or 0x19 Re-authenticate.
    pub reason_code: ReasonCode,
    /// The Authentication Method.
    pub method: Option<Box<str>>,
    /// The Authentication Data.
    pub data: Option<Box<[u8]>>,
}

impl Auth {
    /// Reads an AUTH of MQTT 5.0.
    ///
    /// # Errors
    /// Malformed: flags (MQTT-3.15.1-1), a Reason Code of none of the three, fields out of bounds.
    pub fn decode(frame: &Frame) -> Result<Self, DecodeError> {
        if frame.flags() != 0 {
            return Err(DecodeError::Malformed("AUTH with flags (MQTT-3.15.1-1)"));
        }
        let mut auth = Self { reason_code: ReasonCode::SUCCESS, method: None, data: None };
        if frame.body.is_empty() {
            return Ok(auth);
        }
        let mut reader = Reader::new(&frame.body);
        auth.reason_code = ReasonCode(reader.byte()?);
        if !matches!(auth.reason_code.0, 0x00 | 0x18 | 0x19) {
            return Err(DecodeError::Malformed("a Reason Code that AUTH does not have (MQTT 5.0 §3.15.2.1)"));
        }
        let mut walk = Properties::split(&mut reader, PROPERTIES)?;
        while let Some(property) = walk.next()? {
            match (property.identifier, property.value) {
                (properties::AUTHENTICATION_METHOD, Value::Text(text)) => auth.method = Some(text.into()),
                (properties::AUTHENTICATION_DATA, Value::Binary(bytes)) => auth.data = Some(bytes.into()),
                _ => {}
            }
        }
        reader.end()?;
        Ok(auth)
    }
}
