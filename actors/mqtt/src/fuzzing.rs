//! Entry points for fuzzing: whatever bytes come, nothing panics, and any cut of a stream reads alike.

use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};

use crate::{
    Acknowledgement, AcknowledgementType, ClientPacket, Connect, DecodeError, Decoder, Frame, OutgoingAcknowledgement,
    OutgoingPublish, Properties, ProtocolVersion, Publish, SubscriptionFilter, TopicFilter, TopicName,
};

/// Largest packet that the entry points take, in bytes.
pub const PACKET_BYTES_MAX: u32 = 4_096;

/// Reads a stream that comes in `chunks`, the first packet as CONNECT, the others as `version` has them; answers each packet,
/// or the error that ends the stream, as text.
pub fn read_stream(chunks: &[&[u8]], version: ProtocolVersion) -> Vec<String> {
    let mut decoder = Decoder::new(PACKET_BYTES_MAX);
    let mut packets = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match read_packet(&mut decoder, version, packets.is_empty()) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => {
                    packets.push(error.to_string());
                    return packets;
                }
            }
        }
    }
    packets
}

fn read_packet(decoder: &mut Decoder, version: ProtocolVersion, is_first: bool) -> Result<Option<String>, DecodeError> {
    let Some(frame) = decoder.next_frame()? else { return Ok(None) };
    if is_first && frame.packet_type() == 1 {
        return Ok(Some(format!("{:?}", Connect::decode(&frame)?)));
    }
    let packet = ClientPacket::decode(&frame, version)?;
    check_encoders(&packet, version);
    Ok(Some(format!("{packet:?}")))
}

/// What goes both ways reads back as it was written.
fn check_encoders(packet: &ClientPacket<'_>, version: ProtocolVersion) {
    match packet {
        ClientPacket::Publish(publish) => check_publish(publish, version),
        ClientPacket::Puback(read) => check_acknowledgement(*read, AcknowledgementType::Puback, version),
        ClientPacket::Pubrec(read) => check_acknowledgement(*read, AcknowledgementType::Pubrec, version),
        ClientPacket::Pubrel(read) => check_acknowledgement(*read, AcknowledgementType::Pubrel, version),
        ClientPacket::Pubcomp(read) => check_acknowledgement(*read, AcknowledgementType::Pubcomp, version),
        ClientPacket::Subscribe(_)
        | ClientPacket::Unsubscribe(_)
        | ClientPacket::Pingreq
        | ClientPacket::Disconnect(_)
        | ClientPacket::Auth(_) => {}
    }
}

/// # Panics
/// When a walk over the properties ends early, or the publication reads back as another.
fn check_publish(publish: &Publish<'_>, version: ProtocolVersion) {
    let mut walk = Properties::new(&publish.properties);
    walk.by_ref().for_each(drop);
    assert!(walk.is_complete(), "every property that was checked is met again");
    let out = {
        let outgoing = OutgoingPublish {
            dup: publish.dup,
            retain: publish.retain,
            qos: publish.qos,
            packet_identifier: publish.packet_identifier,
            topic_name: publish.topic_name.map_or("", TopicName::as_str).as_bytes(),
            topic_alias: publish.topic_alias.and_then(NonZeroU16::new),
            properties: &publish.properties,
            message_expiry_s: publish.message_expiry_s,
            subscription_identifiers: &[],
            payload_bytes: publish.payload.len(),
        };
        let mut out = BytesMut::new();
        outgoing.encode_header(&mut out, version);
        out.extend_from_slice(publish.payload);
        assert_eq!(out.len(), outgoing.packet_bytes(version));
        out
    };
    assert_eq!(Publish::decode(&frame_of(out), version).as_ref(), Ok(publish));
}

/// # Panics
/// When the packet reads back as another.
fn check_acknowledgement(read: Acknowledgement, packet_type: AcknowledgementType, version: ProtocolVersion) {
    for reason_string in [None, Some("why")] {
        let Acknowledgement { packet_identifier, reason_code } = read;
        let outgoing = OutgoingAcknowledgement { packet_type, packet_identifier, reason_code, reason_string };
        let mut out = BytesMut::new();
        outgoing.encode(&mut out, version);
        assert_eq!(out.len(), outgoing.packet_bytes(version));
        let frame = frame_of(out);
        let expected = match packet_type {
            AcknowledgementType::Puback => ClientPacket::Puback(read),
            AcknowledgementType::Pubrec => ClientPacket::Pubrec(read),
            AcknowledgementType::Pubrel => ClientPacket::Pubrel(read),
            AcknowledgementType::Pubcomp => ClientPacket::Pubcomp(read),
        };
        assert_eq!(ClientPacket::decode(&frame, version), Ok(expected));
    }
}

fn frame_of(out: BytesMut) -> Frame {
    let mut decoder = Decoder::new(2 * PACKET_BYTES_MAX);
    decoder.push(out.freeze());
    decoder.next_frame().expect("we wrote it").expect("whole")
}

/// Whether `filter` is a Topic Filter and matches `topic_name`; any two strings are survived.
pub fn matches(filter: &str, topic_name: &str) -> bool {
    let filter = TopicFilter::parse(filter);
    TopicName::parse(topic_name).is_some() && filter.is_ok_and(|filter| filter.matches(topic_name.as_bytes()))
}

/// Whether `text` names a Subscription, by a `ShareName` or without; any text is survived.
///
/// # Panics
/// When the parts do not make up the text.
pub fn names_subscription(text: &str) -> bool {
    let Ok(filter) = SubscriptionFilter::parse(text) else { return false };
    let topic_filter = filter.topic_filter.as_str();
    let again = match filter.share_name {
        Some(share_name) => format!("$share/{share_name}/{topic_filter}"),
        None => topic_filter.to_owned(),
    };
    assert_eq!(again, text);
    true
}
