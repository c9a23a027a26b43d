//! A NodeId, as configured (with a namespace URI perhaps) and as a server knows it (Part 3 §8.2, Part 6 §5.3.1.10).

use std::fmt;
use std::str::FromStr;

/// What a NodeId names within its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// `i=`: a number.
    Numeric(u32),
    /// `s=`: a text.
    Text(Box<str>),
    /// `g=`: a GUID, as its 16 bytes in the order of its text form.
    Guid([u8; 16]),
    /// `b=`: bytes, whose text form is base64.
    Opaque(Box<[u8]>),
}

/// A NodeId with the namespace index of one server's `NamespaceArray`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Index into the server's `NamespaceArray`.
    pub namespace_index: u16,
    /// What it names there.
    pub identifier: Identifier,
}

impl NodeId {
    /// A node of the standard's own namespace.
    pub const fn standard(number: u32) -> Self {
        Self { namespace_index: 0, identifier: Identifier::Numeric(number) }
    }
}

/// Which namespace a configured NodeId means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// `ns=`: an index, which a server may change at its restart.
    Index(u16),
    /// `nsu=`: a URI, looked up in the server's `NamespaceArray` at every connect.
    Uri(Box<str>),
}

/// A NodeId as a configuration names it: `ns=2;s=Line1.Temperature`, `nsu=urn:plant;i=1001`, `i=2258`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIdText {
    /// The namespace, 0 where the text names none.
    pub namespace: Namespace,
    /// What it names there.
    pub identifier: Identifier,
}

/// Why a text is no NodeId.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    /// Neither `i=`, `s=`, `g=` nor `b=` where the identifier begins.
    #[error("expected i=, s=, g= or b= (with ns=INDEX; or nsu=URI; before it)")]
    Identifier,
    /// `ns=` is not followed by a number below 65,536 and a semicolon.
    #[error("expected ns=INDEX; with an index from 0 to 65535")]
    NamespaceIndex,
    /// `nsu=` is not followed by a URI and a semicolon.
    #[error("expected nsu=URI; with the URI of a namespace")]
    NamespaceUri,
    /// `i=` is not followed by a number below 2^32.
    #[error("expected i=NUMBER from 0 to 4294967295")]
    Numeric,
    /// `s=` is followed by more than 4,096 characters or nothing (Part 3 §8.2.4).
    #[error("expected s=TEXT of 1 to 4096 characters")]
    Text,
    /// `g=` is not followed by a GUID in its 8-4-4-4-12 form.
    #[error("expected g=XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX")]
    Guid,
    /// `b=` is not followed by padded base64 of 1 to 4,096 bytes.
    #[error("expected b=BASE64 of 1 to 4096 bytes")]
    Opaque,
}

impl NodeIdText {
    /// The NodeId on a server whose `NamespaceArray` is `namespaces`; `None` where the URI is not in it.
    pub fn resolve(&self, namespaces: &[String]) -> Option<NodeId> {
        let namespace_index = match &self.namespace {
            Namespace::Index(index) => *index,
            Namespace::Uri(uri) => u16::try_from(namespaces.iter().position(|known| known.as_str() == &**uri)?).ok()?,
        };
        Some(NodeId { namespace_index, identifier: self.identifier.clone() })
    }
}

impl FromStr for NodeIdText {
    type Err = NodeIdError;

    /// Reads the text form of Part 6 §5.3.1.10, and `nsu=` of Part 6 §5.3.1.11.
    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let text = text.trim();
        let (namespace, rest) = if let Some(after) = text.strip_prefix("nsu=") {
            let (uri, rest) = after.split_once(';').ok_or(NodeIdError::NamespaceUri)?;
            if uri.is_empty() {
                return Err(NodeIdError::NamespaceUri);
            }
            (Namespace::Uri(uri.into()), rest)
        } else if let Some(after) = text.strip_prefix("ns=") {
            let (index, rest) = after.split_once(';').ok_or(NodeIdError::NamespaceIndex)?;
            (Namespace::Index(index.parse().map_err(|_| NodeIdError::NamespaceIndex)?), rest)
        } else {
            (Namespace::Index(0), text)
        };
        Ok(Self { namespace, identifier: parse_identifier(rest)? })
    }
}

const IDENTIFIER_LENGTH_MAX: usize = 4_096;

fn parse_identifier(text: &str) -> Result<Identifier, NodeIdError> {
    let (kind, value) = text.split_once('=').ok_or(NodeIdError::Identifier)?;
    match kind {
        "i" => Ok(Identifier::Numeric(value.parse().map_err(|_| NodeIdError::Numeric)?)),
        "s" if value.is_empty() || value.chars().count() > IDENTIFIER_LENGTH_MAX => Err(NodeIdError::Text),
        "s" => Ok(Identifier::Text(value.into())),
        "g" => Ok(Identifier::Guid(parse_guid(value).ok_or(NodeIdError::Guid)?)),
        "b" => {
            let bytes = parse_base64(value).ok_or(NodeIdError::Opaque)?;
            if bytes.is_empty() || bytes.len() > IDENTIFIER_LENGTH_MAX {
                return Err(NodeIdError::Opaque);
            }
            Ok(Identifier::Opaque(bytes.into()))
        }
        _ => Err(NodeIdError::Identifier),
    }
}

fn parse_guid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|dash| bytes[*dash] != b'-') {
        return None;
    }
    let mut digits = bytes.iter().enumerate().filter(|(at, _)| ![8, 13, 18, 23].contains(at)).map(|(_, digit)| digit);
    let mut guid = [0; 16];
    for byte in &mut guid {
        let high = char::from(*digits.next()?).to_digit(16)?;
        let low = char::from(*digits.next()?).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(guid)
}

fn parse_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut decoded = Vec::with_capacity(bytes.len() / 4 * 3);
    let (mut bits, mut bits_count) = (0_u32, 0);
    for byte in &bytes[..bytes.len() - padding] {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        bits_count += 6;
        if bits_count >= 8 {
            bits_count -= 8;
            decoded.push(((bits >> bits_count) & 0xff).to_le_bytes()[0]);
            bits &= (1 << bits_count) - 1;
        }
    }
    (bits == 0).then_some(decoded)
}

impl fmt::Display for Identifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numeric(number) => write!(formatter, "i={number}"),
            Self::Text(text) => write!(formatter, "s={text}"),
            Self::Guid(bytes) => {
                formatter.write_str("g=")?;
                for (at, byte) in bytes.iter().enumerate() {
                    if [4, 6, 8, 10].contains(&at) {
                        formatter.write_str("-")?;
                    }
                    write!(formatter, "{byte:02x}")?;
                }
                Ok(())
            }
            Self::Opaque(bytes) => {
                formatter.write_str("b=")?;
                let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
                crate::base64::encode(bytes, |characters| text.extend_from_slice(characters));
                formatter.write_str(std::str::from_utf8(&text).expect("base64 is ASCII"))
            }
        }
    }
}

impl fmt::Display for NodeIdText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Namespace::Index(0) => {}
            Namespace::Index(index) => write!(formatter, "ns={index};")?,
            Namespace::Uri(uri) => write!(formatter, "nsu={uri};")?,
        }
        self.identifier.fmt(formatter)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace_index != 0 {
            write!(formatter, "ns={};", self.namespace_index)?;
        }
        self.identifier.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_form_reads_back_as_it_was() {
        for text in [
            "i=2258",
            "ns=2;s=Line1.Temperature;weird=yes",
            "nsu=urn:plant:line1;i=1001",
            "ns=3;g=09087e75-8e5e-499b-954f-f2a9603db28a",
            "ns=1;b=M/RbKBsRVkePCePcx24oRA==",
            "b=AA==",
        ] {
            assert_eq!(text.parse::<NodeIdText>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_node_id_says_why() {
        for (text, error) in [
            ("", NodeIdError::Identifier),
            ("x=1", NodeIdError::Identifier),
            ("ns=70000;i=1", NodeIdError::NamespaceIndex),
            ("ns=1,i=1", NodeIdError::NamespaceIndex),
            ("nsu=;i=1", NodeIdError::NamespaceUri),
            ("i=-1", NodeIdError::Numeric),
            ("s=", NodeIdError::Text),
            ("g=09087e75", NodeIdError::Guid),
            ("b=A", NodeIdError::Opaque),
            ("b=AB==", NodeIdError::Opaque),
        ] {
            assert_eq!(text.parse::<NodeIdText>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_namespace_uri_is_looked_up_on_the_server() {
        let namespaces = ["http://opcfoundation.org/UA/".to_owned(), "urn:plant".to_owned()];
        let known: NodeIdText = "nsu=urn:plant;i=5".parse().unwrap();
        assert_eq!(known.resolve(&namespaces).unwrap().to_string(), "ns=1;i=5");
        let unknown: NodeIdText = "nsu=urn:other;i=5".parse().unwrap();
        assert_eq!(unknown.resolve(&namespaces), None);
    }
}
