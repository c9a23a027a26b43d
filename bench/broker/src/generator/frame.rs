//! Reads what a broker sends, in place: one packet at a time over the bytes that the socket gave.

use super::packet::Version;

/// A packet from a broker, as far as the generator needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// CONNACK (§3.2) with its Reason Code.
    ConnectAck {
        /// 0 is success.
        reason_code: u8,
        /// QoS 1 publications that the broker takes unacknowledged; `65_535` where it says nothing.
        receive_maximum: u16,
    },
    /// PUBLISH (§3.3).
    Publish {
        /// `None` for QoS 0.
        packet_identifier: Option<u16>,
        /// The payload.
        payload: &'a [u8],
    },
    /// PUBACK (§3.4); Reason Codes from 0x80 on mean that the message was refused.
    PublishAck {
        /// Whose.
        packet_identifier: u16,
        /// 0 in 3.1.1.
        reason_code: u8,
    },
    /// SUBACK (§3.9).
    SubscribeAck {
        /// Filters that were refused.
        refused_count: usize,
    },
    /// Anything else, by its first byte.
    Other(u8),
}

/// What came is no MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker sent what is no MQTT packet")]
pub(crate) struct Malformed;

/// One packet as bytes: its first byte, its body, and how many bytes it took in all. `None`: not whole yet.
///
/// # Errors
/// If the Remaining Length (§2.2.3) has a fifth byte.
#[inline]
pub(crate) fn next_frame(input: &[u8]) -> Result<Option<(u8, &[u8], usize)>, Malformed> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    let mut length = 0;
    for (place, &digit) in rest.iter().take(4).enumerate() {
        length |= usize::from(digit & 0x7f) << (7 * place);
        if digit & 0x80 == 0 {
            let start = place + 2;
            let end = start + length;
            return Ok(input.get(start..end).map(|body| (first, body, end)));
        }
    }
    if rest.len() < 4 { Ok(None) } else { Err(Malformed) }
}

/// The packet at the start of `input` and its bytes; `None` where it is not whole yet.
///
/// # Errors
/// If it is no packet of `version`.
#[inline]
pub(crate) fn next_packet(version: Version, input: &[u8]) -> Result<Option<(Packet<'_>, usize)>, Malformed> {
    let Some((first, body, bytes)) = next_frame(input)? else { return Ok(None) };
    let packet = match first >> 4 {
        3 => publish(version, first, body)?,
        4 => {
            let (identifier, rest) = body.split_first_chunk().ok_or(Malformed)?;
            let reason_code = rest.first().copied().unwrap_or(0);
            Packet::PublishAck { packet_identifier: u16::from_be_bytes(*identifier), reason_code }
        }
        2 => {
            let reason_code = *body.get(1).ok_or(Malformed)?;
            let properties = if version == Version::V5 { body.get(2..).unwrap_or_default() } else { &[] };
            Packet::ConnectAck { reason_code, receive_maximum: receive_maximum(properties).unwrap_or(u16::MAX) }
        }
        9 => {
            let (_, rest) = body.split_at_checked(2).ok_or(Malformed)?;
            let codes = if version == Version::V5 { past_properties(rest)? } else { rest };
            Packet::SubscribeAck { refused_count: codes.iter().filter(|code| **code >= 0x80).count() }
        }
        _ => Packet::Other(first),
    };
    Ok(Some((packet, bytes)))
}

#[inline]
fn publish(version: Version, first: u8, body: &[u8]) -> Result<Packet<'_>, Malformed> {
    let (length, rest) = body.split_first_chunk().ok_or(Malformed)?;
    let mut rest = rest.get(usize::from(u16::from_be_bytes(*length))..).ok_or(Malformed)?;
    let mut packet_identifier = None;
    if first & 0b110 != 0 {
        let (identifier, after) = rest.split_first_chunk().ok_or(Malformed)?;
        packet_identifier = Some(u16::from_be_bytes(*identifier));
        rest = after;
    }
    let payload = if version == Version::V5 { past_properties(rest)? } else { rest };
    Ok(Packet::Publish { packet_identifier, payload })
}

/// What follows the Properties (MQTT 5.0 §2.2.2).
#[inline]
fn past_properties(input: &[u8]) -> Result<&[u8], Malformed> {
    let (length, start) = property_length(input).ok_or(Malformed)?;
    input.get(start + length..).ok_or(Malformed)
}

/// Property Length, and where the properties begin.
fn property_length(input: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (place, &digit) in input.iter().take(4).enumerate() {
        length |= usize::from(digit & 0x7f) << (7 * place);
        if digit & 0x80 == 0 {
            return Some((length, place + 1));
        }
    }
    None
}

/// Receive Maximum among the properties of CONNACK (MQTT 5.0 §3.2.2.3).
fn receive_maximum(input: &[u8]) -> Option<u16> {
    let (length, start) = property_length(input)?;
    let mut rest = input.get(start..start + length)?;
    while let Some((&identifier, value)) = rest.split_first() {
        let skipped = match identifier {
            0x21 => return value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)),
            0x11 | 0x27 => 4,
            0x13 | 0x22 => 2,
            0x24 | 0x25 | 0x28..=0x2a => 1,
            0x26 => {
                let name = 2 + usize::from(u16::from_be_bytes(*value.first_chunk()?));
                name + 2 + usize::from(u16::from_be_bytes(*value.get(name..)?.first_chunk()?))
            }
            _ => 2 + usize::from(u16::from_be_bytes(*value.first_chunk()?)),
        };
        rest = value.get(skipped..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_both_versions() {
        let read = |version, bytes: &[u8]| next_packet(version, bytes).unwrap().unwrap().0;
        let connected = |receive_maximum| Packet::ConnectAck { reason_code: 0, receive_maximum };
        let mut answer = read(Version::V311, &[0x20, 2, 0, 0]);
        assert!(matches!(answer, Packet::ConnectAck { reason_code: 0, receive_maximum: 65_535 }));
        let with_properties = [0x20, 13, 0, 0, 10, 0x22, 0, 9, 0x12, 0, 1, b'x', 0x21, 1, 0];
        assert!(next_packet(Version::V5, &with_properties[..14]).unwrap().is_none());
        answer = read(Version::V5, &[0x20, 13, 0, 0, 10, 0x22, 0, 9, 0x12, 0, 1, b'x', 0x21, 1, 0]);
        assert_eq!(answer, connected(256));
        assert_eq!(read(Version::V5, &[0x20, 3, 0, 0, 0]), connected(65_535));
        let acknowledged = |reason_code| Packet::PublishAck { packet_identifier: 258, reason_code };
        assert_eq!(read(Version::V311, &[0x40, 2, 1, 2]), acknowledged(0));
        assert_eq!(read(Version::V5, &[0x40, 3, 1, 2, 0x97]), acknowledged(0x97));
        assert_eq!(
            read(Version::V311, &[0x90, 4, 0, 1, 0x80, 1]),
            Packet::SubscribeAck { refused_count: 1 }
        );
        assert_eq!(
            read(Version::V5, &[0x90, 4, 0, 1, 0, 0x97]),
            Packet::SubscribeAck { refused_count: 1 }
        );
        assert_eq!(read(Version::V5, &[0xe0, 1, 0x8d]), Packet::Other(0xe0));
    }

    #[test]
    fn a_packet_that_is_not_whole_waits_and_a_length_of_five_bytes_is_none() {
        let publish = [0x30, 5, 0, 1, b'a', 1, 2];
        for bytes in 0..publish.len() {
            assert_eq!(next_packet(Version::V311, &publish[..bytes]), Ok(None));
        }
        let payload = &publish[5..];
        let whole = Packet::Publish { packet_identifier: None, payload };
        assert_eq!(next_packet(Version::V311, &publish), Ok(Some((whole, 7))));
        assert_eq!(next_packet(Version::V311, &[0x30, 0x80, 0x80, 0x80, 0x80, 1]), Err(Malformed));
    }

    #[test]
    fn bodies_that_end_early_are_told() {
        for bytes in [&[0x30, 1, 0][..], &[0x30, 2, 0, 9], &[0x32, 3, 0, 1, b'a'], &[0x40, 1, 0], &[0x20, 1, 0], &[0x90, 1, 0]] {
            assert_eq!(next_packet(Version::V311, bytes), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(next_packet(Version::V5, &[0x30, 4, 0, 1, b'a', 9]), Err(Malformed));
    }
}
