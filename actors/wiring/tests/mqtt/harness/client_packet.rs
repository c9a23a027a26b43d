//! What a client sends, rules broken where a test wants them broken.

use super::bytes::{put_binary, put_variable};
use super::{V5, Version};

/// A packet: its first byte, its Remaining Length, `body`.
pub(crate) fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first_byte];
    put_variable(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

fn put_properties(out: &mut Vec<u8>, version: Version, properties: &[u8]) {
    if version == V5 {
        put_variable(out, properties.len());
        out.extend_from_slice(properties);
    }
}

/// A User Property.
pub(crate) fn user(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0x26];
    put_binary(&mut out, name.as_bytes());
    put_binary(&mut out, value.as_bytes());
    out
}

/// A Will.
#[derive(Clone, Debug, Default)]
pub(crate) struct Will {
    pub(crate) topic: &'static str,
    pub(crate) payload: &'static str,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) properties: Vec<u8>,
}

/// A CONNECT; [`connect`] begins one.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) client_identifier: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) properties: Vec<u8>,
    pub(crate) will: Option<Will>,
    pub(crate) user_name: Option<&'static str>,
    pub(crate) password: Option<&'static [u8]>,
}

/// A CONNECT with Clean Start, without Keep Alive, Will and login.
pub(crate) fn connect(client_identifier: &str) -> Connect {
    Connect {
        client_identifier: client_identifier.to_owned(),
        clean: true,
        keep_alive_s: 0,
        properties: Vec::new(),
        will: None,
        user_name: None,
        password: None,
    }
}

impl Connect {
    /// Clean Start 0 and a Session Expiry Interval.
    pub(crate) fn keeping(mut self, session_expiry_s: u32) -> Self {
        self.clean = false;
        self.expiring(session_expiry_s)
    }

    /// Clean Start 0 and, as far as `version` has one, a Session Expiry Interval.
    pub(crate) fn keeping_in(mut self, version: Version, session_expiry_s: u32) -> Self {
        self.clean = false;
        if version == V5 { self.expiring(session_expiry_s) } else { self }
    }

    /// A Session Expiry Interval.
    fn expiring(self, session_expiry_s: u32) -> Self {
        self.with(&[&[0x11][..], &session_expiry_s.to_be_bytes()].concat())
    }

    /// One more property, as bytes.
    pub(crate) fn with(mut self, property: &[u8]) -> Self {
        self.properties.extend_from_slice(property);
        self
    }

    pub(crate) fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive_s = seconds;
        self
    }

    pub(crate) fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    pub(crate) fn bytes(&self, version: Version) -> Vec<u8> {
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', if version == V5 { 5 } else { 4 }];
        let will_flags = self.will.as_ref().map_or(0, |will| 4 | (will.qos << 3) | (u8::from(will.retain) << 5));
        let login_flags = (u8::from(self.user_name.is_some()) << 7) | (u8::from(self.password.is_some()) << 6);
        body.push(login_flags | will_flags | (u8::from(self.clean) << 1));
        body.extend_from_slice(&self.keep_alive_s.to_be_bytes());
        put_properties(&mut body, version, &self.properties);
        put_binary(&mut body, self.client_identifier.as_bytes());
        if let Some(will) = &self.will {
            put_properties(&mut body, version, &will.properties);
            put_binary(&mut body, will.topic.as_bytes());
            put_binary(&mut body, will.payload.as_bytes());
        }
        if let Some(user_name) = self.user_name {
            put_binary(&mut body, user_name.as_bytes());
        }
        if let Some(password) = self.password {
            put_binary(&mut body, password);
        }
        packet(0x10, &body)
    }
}

/// A PUBLISH; [`publish`] begins one.
#[derive(Clone, Debug)]
pub(crate) struct Publish {
    topic: Vec<u8>,
    payload: Vec<u8>,
    qos: u8,
    packet_identifier: u16,
    retain: bool,
    dup: bool,
    properties: Vec<u8>,
}

/// A PUBLISH at QoS 0.
pub(crate) fn publish(topic: &str, payload: impl AsRef<[u8]>) -> Publish {
    Publish {
        topic: topic.as_bytes().to_vec(),
        payload: payload.as_ref().to_vec(),
        qos: 0,
        packet_identifier: 0,
        retain: false,
        dup: false,
        properties: Vec::new(),
    }
}

impl Publish {
    pub(crate) fn qos(mut self, qos: u8, packet_identifier: u16) -> Self {
        (self.qos, self.packet_identifier) = (qos, packet_identifier);
        self
    }

    pub(crate) fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    pub(crate) fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    /// One more property, as bytes.
    pub(crate) fn with(mut self, property: &[u8]) -> Self {
        self.properties.extend_from_slice(property);
        self
    }

    /// A Topic Alias.
    pub(crate) fn alias(self, alias: u16) -> Self {
        let [high, low] = alias.to_be_bytes();
        self.with(&[0x23, high, low])
    }

    pub(crate) fn bytes(&self, version: Version) -> Vec<u8> {
        let mut body = Vec::new();
        put_binary(&mut body, &self.topic);
        if self.qos > 0 {
            body.extend_from_slice(&self.packet_identifier.to_be_bytes());
        }
        put_properties(&mut body, version, &self.properties);
        body.extend_from_slice(&self.payload);
        packet(0x30 | (u8::from(self.dup) << 3) | (self.qos << 1) | u8::from(self.retain), &body)
    }
}

/// A SUBSCRIBE: Topic Filters with their options, and properties as bytes.
pub(crate) fn subscribe(
    version: Version,
    packet_identifier: u16,
    filters: &[(&str, u8)],
    properties: &[u8],
) -> Vec<u8> {
    let mut body = packet_identifier.to_be_bytes().to_vec();
    put_properties(&mut body, version, properties);
    for (filter, options) in filters {
        put_binary(&mut body, filter.as_bytes());
        body.push(*options);
    }
    packet(0x82, &body)
}

/// An UNSUBSCRIBE.
pub(crate) fn unsubscribe(version: Version, packet_identifier: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_identifier.to_be_bytes().to_vec();
    put_properties(&mut body, version, &[]);
    for filter in filters {
        put_binary(&mut body, filter.as_bytes());
    }
    packet(0xa2, &body)
}

/// A DISCONNECT; 3.1.1 has no Reason Code.
pub(crate) fn disconnect(version: Version, reason_code: u8) -> Vec<u8> {
    if version == V5 && reason_code != 0 { packet(0xe0, &[reason_code]) } else { packet(0xe0, &[]) }
}
