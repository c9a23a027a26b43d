//! Both streams as the client sees them: what it sent, what came back, and what the standard says of the two.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use contract::{DeliveryStage, QoS, SessionState};
use mqtt::{ClientPacket, Connect, Decoder, Frame, ProtocolVersion};

/// How far the exchange of a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// An earlier connection sent it; this one has not yet.
    Parked { is_released: bool },
    /// PUBLISH came, of this level.
    Published(u8),
    /// PUBREC was sent.
    Received,
}

/// A `QoS` 2 publication of the client that it has not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Receipt {
    is_pubrec_owed: bool,
}

/// The client's view of its connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact about one of two streams")]
pub(super) struct Mirror {
    sent: Decoder,
    /// A packet was sent that is none: nothing behind it counts.
    is_broken: bool,
    pub(super) connect: Option<Connect>,
    /// By level, Packet Identifiers of publications that await PUBACK or PUBREC, in the order in which they were sent.
    publishes: [VecDeque<u16>; 2],
    receipts: BTreeMap<u16, Receipt>,
    /// It used a Packet Identifier again before its PUBREC: the order of what follows is nobody's promise.
    is_unruly: bool,
    pubrecs_expected: BTreeSet<u16>,
    /// PUBRECs and PUBRELs of the client that PUBREL and PUBCOMP answer.
    unanswered: [usize; 2],
    written: Decoder,
    is_connack_written: bool,
    is_disconnect_written: bool,
    /// Deliveries whose exchange is not complete.
    in_flight: BTreeMap<u16, Stage>,
    /// Packet Identifiers of the parked ones, in the order in which they are to come again.
    parked: VecDeque<u16>,
    in_flight_max: usize,
    deliveries_count_max: usize,
}

impl Mirror {
    pub(super) fn new(packet_bytes_max: u32, deliveries_count_max: u32) -> Self {
        Self {
            sent: Decoder::new(packet_bytes_max),
            is_broken: false,
            connect: None,
            publishes: [VecDeque::new(), VecDeque::new()],
            receipts: BTreeMap::new(),
            is_unruly: false,
            pubrecs_expected: BTreeSet::new(),
            unanswered: [0, 0],
            written: Decoder::new(u32::MAX),
            is_connack_written: false,
            is_disconnect_written: false,
            in_flight: BTreeMap::new(),
            parked: VecDeque::new(),
            in_flight_max: deliveries_count_max as usize,
            deliveries_count_max: deliveries_count_max as usize,
        }
    }

    /// The session goes on from what an earlier connection left.
    pub(super) fn resume(&mut self, state: &SessionState) {
        self.receipts = state.received.iter().map(|number| (*number, Receipt { is_pubrec_owed: false })).collect();
        for parked in &state.in_flight {
            let is_released = matches!(parked.stage, DeliveryStage::Released(_));
            let before = self.in_flight.insert(parked.packet_identifier, Stage::Parked { is_released });
            assert_eq!(before, None, "a Packet Identifier is parked once");
            self.parked.push_back(parked.packet_identifier);
        }
    }

    /// The version of CONNECT; 5.0 before it.
    pub(super) fn version(&self) -> ProtocolVersion {
        self.connect.as_ref().map_or(ProtocolVersion::V5, |connect| connect.version)
    }

    /// Deliveries that the client may answer.
    pub(super) fn in_flight_count(&self) -> usize {
        self.in_flight.values().filter(|stage| !matches!(stage, Stage::Parked { .. })).count()
    }

    /// The packet with which the client goes on with one of its deliveries: its first byte and its Packet Identifier.
    pub(super) fn next_answer(&self, index: usize) -> Option<(u8, u16)> {
        let mut open = self.in_flight.iter().filter(|(_, stage)| !matches!(stage, Stage::Parked { .. }));
        let (packet_identifier, stage) = open.nth(index % self.in_flight_count().max(1))?;
        let first_byte = match stage {
            Stage::Published(1) => 0x40,
            Stage::Published(_) => 0x50,
            Stage::Received | Stage::Parked { .. } => 0x70,
        };
        Some((first_byte, *packet_identifier))
    }

    /// A publication that the client may release by PUBREL.
    pub(super) fn releasable(&self, index: usize) -> Option<u16> {
        let answered = self.receipts.iter().filter(|(_, receipt)| !receipt.is_pubrec_owed);
        answered.map(|(packet_identifier, _)| *packet_identifier).nth(index % self.receipts.len().max(1))
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
                        self.in_flight_max = self.deliveries_count_max.min(connect.receive_maximum.into());
                        self.connect = Some(connect);
                    }
                    Err(_) => self.is_broken = true,
                },
                Ok(Some(frame)) => match ClientPacket::decode(&frame, self.version()) {
                    Ok(packet) => self.note_sent(&packet),
                    Err(_) => self.is_broken = true,
                },
            }
        }
    }

    fn note_sent(&mut self, packet: &ClientPacket<'_>) {
        match packet {
            ClientPacket::Publish(publish) => {
                let Some(packet_identifier) = publish.packet_identifier.map(mqtt::PacketIdentifier::get) else {
                    return;
                };
                if publish.qos == QoS::AtLeastOnce {
                    self.publishes[0].push_back(packet_identifier);
                    return;
                }
                self.pubrecs_expected.insert(packet_identifier);
                let before = self.receipts.insert(packet_identifier, Receipt { is_pubrec_owed: true });
                if before.is_some_and(|receipt| receipt.is_pubrec_owed) {
                    self.is_unruly = true;
                } else {
                    self.publishes[1].push_back(packet_identifier);
                }
            }
            ClientPacket::Puback(puback) => {
                let packet_identifier = puback.packet_identifier.get();
                if self.in_flight.get(&packet_identifier) == Some(&Stage::Published(1)) {
                    self.in_flight.remove(&packet_identifier);
                }
            }
            ClientPacket::Pubrec(pubrec) => {
                let packet_identifier = pubrec.packet_identifier.get();
                if self.in_flight.get(&packet_identifier) == Some(&Stage::Published(2)) {
                    if pubrec.reason_code.is_failure() {
                        self.in_flight.remove(&packet_identifier);
                    } else {
                        self.in_flight.insert(packet_identifier, Stage::Received);
                    }
                }
                self.unanswered[0] += 1;
            }
            ClientPacket::Pubrel(pubrel) => {
                let receipt = self.receipts.remove(&pubrel.packet_identifier.get());
                self.is_unruly |= receipt.is_some_and(|receipt| receipt.is_pubrec_owed);
                self.unanswered[1] += 1;
            }
            ClientPacket::Pubcomp(pubcomp) => {
                let packet_identifier = pubcomp.packet_identifier.get();
                if self.in_flight.get(&packet_identifier) == Some(&Stage::Received) {
                    self.in_flight.remove(&packet_identifier);
                }
            }
            ClientPacket::Subscribe(_)
            | ClientPacket::Unsubscribe(_)
            | ClientPacket::Pingreq
            | ClientPacket::Disconnect(_)
            | ClientPacket::Auth(_) => {}
        }
    }

    /// The connection writes: packet by packet, each must be one that the client may get there. Returns Session Present, where it is
    /// a CONNACK that lets the client in.
    pub(super) fn write(&mut self, bytes: &Bytes) -> Option<bool> {
        let mut session_present = None;
        self.written.push(bytes.clone());
        while let Some(frame) = self.written.next_frame().expect("a server's packets are well formed") {
            self.read(&frame);
            if frame.first_byte == 0x20 && frame.body[1] == 0 {
                session_present = Some(frame.body[0] & 1 == 1);
            }
        }
        session_present
    }

    /// No packet is left half written.
    pub(super) fn is_between_packets(&self) -> bool {
        self.written.buffered_bytes() == 0
    }

    fn read(&mut self, frame: &Frame) {
        let (first_byte, body) = (frame.first_byte, &frame.body);
        let packet_bytes = 1 + mqtt::variable_byte_integer_bytes(body.len()) + body.len();
        assert!(!self.is_disconnect_written, "nothing follows DISCONNECT");
        if first_byte == 0xf0 {
            let has_method = self.connect.as_ref().is_some_and(|connect| connect.authentication_method.is_some());
            assert!(has_method, "AUTH is for a client with a method (MQTT-4.12.0-6)");
        } else {
            assert_eq!(first_byte >> 4 == 2, !self.is_connack_written, "CONNACK comes first, and once");
            self.is_connack_written = true;
        }
        let is_refusal = first_byte == 0x20 && body[1] != 0;
        let packet_bytes_max = self.connect.as_ref().and_then(|connect| connect.maximum_packet_size);
        assert!(
            is_refusal || packet_bytes_max.is_none_or(|max| packet_bytes <= max as usize),
            "{packet_bytes} bytes are above the client's Maximum Packet Size (MQTT-3.1.2-24)"
        );
        let identifier = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        match first_byte {
            0x30..=0x3f => {
                let qos = (first_byte >> 1) & 3;
                assert!(qos <= 2);
                if qos > 0 {
                    self.read_publish(identifier(2 + usize::from(identifier(0))), qos, first_byte & 0x08 != 0);
                }
            }
            0x40 => assert_eq!(
                self.publishes[0].pop_front(),
                Some(identifier(0)),
                "PUBACKs come in the order of their PUBLISHes (MQTT-4.6.0-2)"
            ),
            0x50 => self.read_pubrec(identifier(0), body.get(2).copied().unwrap_or(0) >= 0x80),
            0x62 => self.read_pubrel(identifier(0)),
            0x70 => {
                assert!(self.unanswered[1] > 0, "PUBCOMP answers PUBREL");
                self.unanswered[1] -= 1;
            }
            0xe0 => {
                assert_eq!(self.version(), ProtocolVersion::V5, "3.1.1 has no DISCONNECT of the server's");
                self.is_disconnect_written = true;
            }
            0x20 | 0x90 | 0xb0 | 0xd0 | 0xf0 => {}
            _ => panic!("a server sends no packet that begins with {first_byte:#x}"),
        }
    }

    fn read_publish(&mut self, packet_identifier: u16, qos: u8, is_again: bool) {
        let before = self.in_flight.insert(packet_identifier, Stage::Published(qos));
        if is_again {
            assert_eq!(before, Some(Stage::Parked { is_released: false }), "DUP is for what was sent before");
            self.take_parked(packet_identifier);
        } else {
            assert_eq!(before, None, "a Packet Identifier in flight is not used again (MQTT-2.2.1-4)");
            assert!(self.parked.is_empty(), "what was sent before comes before what is new (MQTT-4.4.0-1)");
        }
        assert!(self.in_flight_count() <= self.in_flight_max, "the client's Receive Maximum (MQTT-3.3.4-9)");
    }

    fn read_pubrec(&mut self, packet_identifier: u16, is_failure: bool) {
        let oldest = self.publishes[1].pop_front();
        if self.is_unruly {
            assert!(self.pubrecs_expected.contains(&packet_identifier), "PUBREC answers PUBLISH");
        } else {
            assert_eq!(oldest, Some(packet_identifier), "PUBRECs come in the order of their PUBLISHes (MQTT-4.6.0-3)");
        }
        if let Some(receipt) = self.receipts.get_mut(&packet_identifier) {
            receipt.is_pubrec_owed = false;
        }
        if is_failure {
            self.receipts.remove(&packet_identifier);
        }
    }

    fn read_pubrel(&mut self, packet_identifier: u16) {
        if self.in_flight.get(&packet_identifier) == Some(&Stage::Parked { is_released: true }) {
            self.take_parked(packet_identifier);
            self.in_flight.insert(packet_identifier, Stage::Received);
            // PUBREL is no PUBLISH: Receive Maximum does not hold it back (MQTT-4.9.0-3).
            self.in_flight_max += 1;
        } else {
            assert!(self.unanswered[0] > 0, "PUBREL answers PUBREC");
            self.unanswered[0] -= 1;
        }
    }

    /// Takes the next one that is to come again; those between were given up for their size.
    fn take_parked(&mut self, packet_identifier: u16) {
        while let Some(next) = self.parked.pop_front() {
            if next == packet_identifier {
                return;
            }
            let given_up = self.in_flight.remove(&next);
            assert_eq!(given_up, Some(Stage::Parked { is_released: false }), "PUBREL is always sent again");
            let is_bounded = self.connect.as_ref().is_some_and(|connect| connect.maximum_packet_size.is_some());
            assert!(is_bounded, "only what is too large is given up");
        }
        panic!("{packet_identifier} is sent again in the order of first sending (MQTT-4.6.0-1)");
    }
}
