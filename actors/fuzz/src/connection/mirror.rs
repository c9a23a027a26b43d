//! Both streams as the client sees them: what it sent, what came back, and what the standard says of the two.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use contract::QoS;
use mqtt::{ClientPacket, Connect, Decoder, Frame, ProtocolVersion};

/// The client's view of its connection.
#[derive(Debug)]
pub(super) struct Mirror {
    sent: Decoder,
    /// A packet was sent that is none: nothing behind it counts.
    is_broken: bool,
    connect: Option<Connect>,
    /// QoS 1 publications that await their PUBACK, in the order in which they were sent.
    publishes: VecDeque<u16>,
    written: Decoder,
    is_connack_written: bool,
    is_disconnect_written: bool,
    /// QoS 1 deliveries that were not acknowledged.
    in_flight: BTreeSet<u16>,
    in_flight_max: usize,
}

impl Mirror {
    pub(super) fn new(packet_bytes_max: u32, deliveries_count_max: u32) -> Self {
        Self {
            sent: Decoder::new(packet_bytes_max),
            is_broken: false,
            connect: None,
            publishes: VecDeque::new(),
            written: Decoder::new(u32::MAX),
            is_connack_written: false,
            is_disconnect_written: false,
            in_flight: BTreeSet::new(),
            in_flight_max: deliveries_count_max as usize,
        }
    }

    /// The version of CONNECT; 5.0 before it.
    pub(super) fn version(&self) -> ProtocolVersion {
        self.connect.as_ref().map_or(ProtocolVersion::V5, |connect| connect.version)
    }

    pub(super) fn in_flight_count(&self) -> usize {
        self.in_flight.len()
    }

    /// One of the Packet Identifiers in flight.
    pub(super) fn in_flight(&self, index: usize) -> Option<u16> {
        self.in_flight.iter().copied().nth(index % self.in_flight.len().max(1))
    }

    /// The client sends.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if self.is_broken {
            return;
        }
        self.sent.push(Bytes::copy_from_slice(bytes));
        while !self.is_broken {
            match self.sent.next_frame() {
                Ok(None) => return,
                Err(_) => self.is_broken = true,
                Ok(Some(frame)) if self.connect.is_none() => match Connect::decode(&frame) {
                    Ok(connect) => {
                        self.in_flight_max = self.in_flight_max.min(connect.receive_maximum.into());
                        self.connect = Some(connect);
                    }
                    Err(_) => self.is_broken = true,
                },
                Ok(Some(frame)) => match ClientPacket::decode(&frame, self.version()) {
                    Ok(ClientPacket::Publish(publish)) if publish.qos == QoS::AtLeastOnce => {
                        self.publishes.extend(publish.packet_identifier.map(mqtt::PacketIdentifier::get));
                    }
                    Ok(ClientPacket::Puback(puback)) => {
                        self.in_flight.remove(&puback.packet_identifier.get());
                    }
                    Ok(_) => {}
                    Err(_) => self.is_broken = true,
                },
            }
        }
    }

    /// The connection writes: packet by packet, each must be one that the client may get there.
    pub(super) fn write(&mut self, bytes: &Bytes) {
        self.written.push(bytes.clone());
        while let Some(frame) = self.written.next_frame().expect("a server's packets are well formed") {
            self.read(&frame);
        }
    }

    /// No packet is left half written.
    pub(super) fn is_between_packets(&self) -> bool {
        self.written.buffered_bytes() == 0
    }

    fn read(&mut self, frame: &Frame) {
        let (first_byte, body) = (frame.first_byte, &frame.body);
        let packet_bytes = 1 + mqtt::variable_byte_integer_bytes(body.len()) + body.len();
        assert!(!self.is_disconnect_written, "nothing follows DISCONNECT");
        assert_eq!(first_byte >> 4 == 2, !self.is_connack_written, "CONNACK comes first, and once");
        self.is_connack_written = true;
        let is_refusal = first_byte == 0x20 && body[1] != 0;
        let packet_bytes_max = self.connect.as_ref().and_then(|connect| connect.maximum_packet_size);
        assert!(
            is_refusal || packet_bytes_max.is_none_or(|max| packet_bytes <= max as usize),
            "{packet_bytes} bytes are above the client's Maximum Packet Size (MQTT-3.1.2-24)"
        );
        let identifier = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        match first_byte {
            0x30..=0x3f => {
                let topic_name_bytes = usize::from(identifier(0));
                let qos = (first_byte >> 1) & 3;
                assert!(qos <= 1);
                if qos == 1 {
                    let is_new = self.in_flight.insert(identifier(2 + topic_name_bytes));
                    assert!(is_new, "a Packet Identifier in flight is not used again (MQTT-2.2.1-4)");
                    assert!(self.in_flight.len() <= self.in_flight_max, "the client's Receive Maximum (MQTT-3.3.4-9)");
                }
            }
            0x40 => assert_eq!(
                self.publishes.pop_front(),
                Some(identifier(0)),
                "PUBACKs come in the order of their PUBLISHes (MQTT-4.6.0-2)"
            ),
            0xe0 => {
                assert_eq!(self.version(), ProtocolVersion::V5, "3.1.1 has no DISCONNECT of the server's");
                self.is_disconnect_written = true;
            }
            0x20 | 0x70 | 0x90 | 0xb0 | 0xd0 => {}
            _ => panic!("a server sends no packet that begins with {first_byte:#x}"),
        }
    }
}
