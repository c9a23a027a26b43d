//! CONNECT (MQTT 5.0 §3.1, MQTT 3.1.1 §3.1).
//!
//! Checked here, then read by mqttbytes; mended: user name and password (binary, told by their flags, §3.1.2.8, §3.1.3.6), the
//! reserved flag (MQTT-3.1.2-3), the Will's properties as bytes, and each version read by its own rules.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use contract::QoS;

use crate::properties::{self, CheckedProperties, PropertySet};
use crate::publish::Carried;
use crate::reader::Reader;
use crate::{AuthenticationData, DecodeError, Frame, ProtocolVersion, TopicName};

const PROPERTIES: PropertySet = PropertySet::of(&[
    properties::SESSION_EXPIRY_INTERVAL,
    properties::RECEIVE_MAXIMUM,
    properties::MAXIMUM_PACKET_SIZE,
    properties::TOPIC_ALIAS_MAXIMUM,
    properties::REQUEST_RESPONSE_INFORMATION,
    properties::REQUEST_PROBLEM_INFORMATION,
    properties::USER_PROPERTY,
    properties::AUTHENTICATION_METHOD,
    properties::AUTHENTICATION_DATA,
]);

const WILL_PROPERTIES: PropertySet = PropertySet::of(&[
    properties::WILL_DELAY_INTERVAL,
    properties::PAYLOAD_FORMAT_INDICATOR,
    properties::MESSAGE_EXPIRY_INTERVAL,
    properties::CONTENT_TYPE,
    properties::RESPONSE_TOPIC,
    properties::CORRELATION_DATA,
    properties::USER_PROPERTY,
]);

const FLAG_RESERVED: u8 = 0b0000_0001;
const FLAG_WILL: u8 = 0b0000_0100;
const FLAG_WILL_RETAIN: u8 = 0b0010_0000;
const FLAG_PASSWORD: u8 = 0b0100_0000;
const FLAG_USER_NAME: u8 = 0b1000_0000;
const FLAGS_WILL_QOS_AND_RETAIN: u8 = 0b0011_1000;

/// A client wants to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The version that it speaks.
    pub version: ProtocolVersion,
    /// It wants no session of before (MQTT 5.0 §3.1.2.4).
    pub clean_start: bool,
    /// Keep Alive in seconds; 0 turns it off.
    pub keep_alive_s: u16,
    /// The Client Identifier; empty where the server is to choose one (MQTT-3.1.3-6).
    pub client_identifier: Box<str>,
    /// Published when the connection ends without a normal DISCONNECT.
    pub will: Option<Box<Will>>,
    /// User name and password, as far as there.
    pub login: Login,
    /// The Session Expiry Interval, in seconds; 0 where absent (MQTT 5.0 §3.1.2.11.2).
    pub session_expiry_interval_s: u32,
    /// What the client takes unacknowledged; 65,535 where absent (MQTT 5.0 §3.1.2.11.3).
    pub receive_maximum: u16,
    /// The largest packet that the client takes, in bytes; `None`: any (MQTT 5.0 §3.1.2.11.4).
    pub maximum_packet_size: Option<u32>,
    /// Topic Aliases that the client takes; 0 where absent (MQTT 5.0 §3.1.2.11.5).
    pub topic_alias_maximum: u16,
    /// It asks for enhanced authentication by this method (MQTT 5.0 §3.1.2.11.9).
    pub authentication_method: Option<Box<str>>,
    /// The first Authentication Data; only with a method (MQTT 5.0 §3.1.2.11.10).
    pub authentication_data: Option<AuthenticationData>,
    /// It asks for Response Information; false where absent (MQTT 5.0 §3.1.2.11.6).
    pub request_response_information: bool,
    /// It takes Reason Strings and User Properties with every packet; true where absent (MQTT 5.0 §3.1.2.11.7).
    pub request_problem_information: bool,
}

/// A Will Message (MQTT 5.0 §3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// A valid Topic Name.
    pub topic_name: Box<str>,
    /// The level.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Properties of the message, without Will Delay Interval and Message Expiry Interval.
    pub properties: Box<[u8]>,
    /// The Will Delay Interval, in seconds (MQTT 5.0 §3.1.3.2.2).
    pub delay_s: u32,
    /// The Message Expiry Interval, in seconds.
    pub message_expiry_s: Option<u32>,
    /// The payload.
    pub payload: Box<[u8]>,
}

/// User name and password; each is `None` where its flag is not set, and may be empty where it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user_name: Option<Box<str>>,
    /// The password: any bytes.
    pub password: Option<Box<[u8]>>,
}

impl std::fmt::Debug for Login {
    /// Keeps the password out of logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let password = self.password.as_ref().map(|_| "...");
        formatter.debug_struct("Login").field("user_name", &self.user_name).field("password", &password).finish()
    }
}

impl Connect {
    /// Reads the first packet of a connection.
    ///
    /// # Errors
    /// Protocol error where it is no CONNECT (MQTT-3.1.0-1); an unsupported version (MQTT-3.1.2-2); malformed: a protocol name
    /// other than `MQTT` (MQTT-3.1.2-1), a reserved flag, Will flags without a Will, fields out of bounds, bytes after the end.
    pub fn decode(frame: &Frame) -> Result<Self, DecodeError> {
        if frame.packet_type() != 1 {
            return Err(DecodeError::ProtocolError("the first packet is no CONNECT (MQTT-3.1.0-1)"));
        }
        if frame.flags() != 0 {
            return Err(DecodeError::Malformed("CONNECT with flags (MQTT-2.1.3-1)"));
        }
        let mut reader = Reader::new(&frame.body);
        let version = read_version(&mut reader)?;
        let flags_at = frame.body.len() - reader.rest().len();
        let flags = reader.byte()?;
        check_flags(flags, version)?;
        reader.two_byte_integer()?;
        if version == ProtocolVersion::V5 {
            CheckedProperties::split(&mut reader, PROPERTIES)?.check()?;
        }
        reader.string()?;
        let will = if flags & FLAG_WILL == 0 { None } else { Some(read_will(&mut reader, version, flags)?) };
        let login_at = frame.body.len() - reader.rest().len();
        let login = read_login(&mut reader, flags)?;
        reader.end()?;
        let connect = Self::read_by_mqttbytes(&frame.body[..login_at], flags_at, version)?;
        if connect.authentication_method.is_none() && connect.authentication_data.is_some() {
            return Err(DecodeError::ProtocolError("Authentication Data without a method (MQTT 5.0 §3.1.2.11.10)"));
        }
        Ok(Self { will: will.map(Box::new), login, ..connect })
    }

    /// The version that a CONNECT names, as far as it can be read: a malformed one is answered in its own way.
    pub fn peek_version(frame: &Frame) -> Option<ProtocolVersion> {
        if frame.packet_type() != 1 {
            return None;
        }
        read_version(&mut Reader::new(&frame.body)).ok()
    }

    /// Reads `body`, which ends before user name and password; their flags are cleared in a copy.
    fn read_by_mqttbytes(body: &[u8], flags_at: usize, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut packet = BytesMut::with_capacity(1 + body.len());
        packet.put_u8(0x10);
        packet.put_slice(body);
        packet[1 + flags_at] &= !(FLAG_USER_NAME | FLAG_PASSWORD);
        let header = mqttbytes::FixedHeader::new(0x10, 0, body.len());
        let packet: Bytes = packet.freeze();
        let beyond = |_| DecodeError::Malformed("CONNECT that its second reading refuses");
        let mut connect = Self {
            version,
            clean_start: false,
            keep_alive_s: 0,
            client_identifier: Box::default(),
            will: None,
            login: Login::default(),
            session_expiry_interval_s: 0,
            receive_maximum: u16::MAX,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            authentication_method: None,
            authentication_data: None,
            request_response_information: false,
            request_problem_information: true,
        };
        match version {
            ProtocolVersion::V311 => {
                let read = mqttbytes::v4::Connect::read(header, packet).map_err(beyond)?;
                connect.clean_start = read.clean_session;
                connect.keep_alive_s = read.keep_alive;
                connect.client_identifier = read.client_id.into();
            }
            ProtocolVersion::V5 => {
                let read = mqttbytes::v5::Connect::read(header, packet).map_err(beyond)?;
                connect.clean_start = read.clean_session;
                connect.keep_alive_s = read.keep_alive;
                connect.client_identifier = read.client_id.into();
                if let Some(read) = read.properties {
                    connect.session_expiry_interval_s = read.session_expiry_interval.unwrap_or(0);
                    connect.receive_maximum = read.receive_maximum.unwrap_or(u16::MAX);
                    connect.maximum_packet_size = read.max_packet_size;
                    connect.topic_alias_maximum = read.topic_alias_max.unwrap_or(0);
                    connect.authentication_method = read.authentication_method.map(Into::into);
                    connect.authentication_data =
                        read.authentication_data.map(|data| AuthenticationData(data[..].into()));
                    connect.request_response_information = read.request_response_info == Some(1);
                    connect.request_problem_information = read.request_problem_info != Some(0);
                }
            }
        }
        Ok(connect)
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<ProtocolVersion, DecodeError> {
    match reader.binary()? {
        b"MQTT" => {}
        b"MQIsdp" => return Err(DecodeError::UnsupportedProtocolVersion),
        _ => return Err(DecodeError::Malformed("a protocol name other than MQTT (MQTT-3.1.2-1)")),
    }
    match reader.byte()? {
        4 => Ok(ProtocolVersion::V311),
        5 => Ok(ProtocolVersion::V5),
        _ => Err(DecodeError::UnsupportedProtocolVersion),
    }
}

fn check_flags(flags: u8, version: ProtocolVersion) -> Result<(), DecodeError> {
    if flags & FLAG_RESERVED != 0 {
        return Err(DecodeError::Malformed("the reserved flag of CONNECT (MQTT-3.1.2-3)"));
    }
    if flags & FLAG_WILL == 0 && flags & FLAGS_WILL_QOS_AND_RETAIN != 0 {
        return Err(DecodeError::Malformed("Will QoS or Will Retain without a Will (MQTT-3.1.2-11, MQTT-3.1.2-13)"));
    }
    if version == ProtocolVersion::V311 && flags & (FLAG_USER_NAME | FLAG_PASSWORD) == FLAG_PASSWORD {
        return Err(DecodeError::Malformed("a password without a user name (MQTT 3.1.1, MQTT-3.1.2-22)"));
    }
    Ok(())
}

fn read_will(reader: &mut Reader<'_>, version: ProtocolVersion, flags: u8) -> Result<Will, DecodeError> {
    let qos = QoS::from_bits((flags >> 3) & 0b11).ok_or(DecodeError::Malformed("Will QoS 3 (MQTT-3.1.2-12)"))?;
    let carried = match version {
        ProtocolVersion::V311 => Carried::default(),
        ProtocolVersion::V5 => Carried::walk(CheckedProperties::split(reader, WILL_PROPERTIES)?)?,
    };
    let topic_name = TopicName::parse(reader.string()?).ok_or(DecodeError::TopicNameInvalid)?;
    Ok(Will {
        topic_name: topic_name.as_str().into(),
        qos,
        retain: flags & FLAG_WILL_RETAIN != 0,
        properties: match carried.properties {
            Cow::Borrowed(bytes) => bytes.into(),
            Cow::Owned(bytes) => bytes.into(),
        },
        delay_s: carried.will_delay_s.unwrap_or(0),
        message_expiry_s: carried.message_expiry_s,
        payload: reader.binary()?.into(),
    })
}

fn read_login(reader: &mut Reader<'_>, flags: u8) -> Result<Login, DecodeError> {
    let user_name = if flags & FLAG_USER_NAME == 0 { None } else { Some(reader.string()?.into()) };
    let password = if flags & FLAG_PASSWORD == 0 { None } else { Some(reader.binary()?.into()) };
    Ok(Login { user_name, password })
}
