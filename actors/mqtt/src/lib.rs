//! MQTT 3.1.1 and 5.0 on the server's side: a stream becomes packets, packets become bytes; Topic Names and Topic Filters.
//!
//! Nothing here reads or writes a socket. [`Decoder`] cuts a stream into frames, [`Connect::decode`] reads the first one and
//! [`ClientPacket::decode`] the others; the `encode_*` functions append to a buffer. PUBLISH is parsed in place. The other
//! packets are checked here, strictly, and then read by mqttbytes where it is right; each file says what it mends.
//!
//! | File | Its idea |
//! |---|---|
//! | `version.rs`, `reason_code.rs` | 3.1.1 or 5.0; Reason Codes by name |
//! | `decode_error.rs` | why bytes are no packet, and the Reason Code that the peer gets |
//! | `decoder.rs` | cuts a stream into frames, within Maximum Packet Size |
//! | `reader.rs`, `variable_byte_integer.rs`, `properties.rs` | the data types of the standard, §1.5 and §2.2.2 |
//! | `property_writer.rs` | properties that a server writes |
//! | `packet.rs` | all that a client may send after CONNECT |
//! | `connect.rs`, `connack.rs` | the beginning of a connection |
//! | `publish.rs`, `acknowledgement.rs` | PUBLISH both ways; PUBACK, PUBREC, PUBREL, PUBCOMP |
//! | `subscribe.rs`, `suback.rs`, `unsubscribe.rs`, `unsuback.rs` | Subscriptions and their answers |
//! | `disconnect.rs`, `auth.rs`, `ping.rs` | the end of a connection, AUTH, PINGREQ |
//! | `topic_name.rs`, `topic_filter.rs` | what may be published to, what may be subscribed to, and which matches which |
//! | `subscription_filter.rs` | the name of a Subscription: a Topic Filter, and who shares it |
//! | `fuzzing.rs` | entry points for fuzz targets |

mod acknowledgement;
mod auth;
mod connack;
mod connect;
mod decode_error;
mod decoder;
mod disconnect;
pub mod fuzzing;
mod packet;
mod ping;
mod properties;
mod property_writer;
mod publish;
mod reader;
mod reason_code;
mod suback;
mod subscribe;
mod subscription_filter;
mod topic_filter;
mod topic_name;
mod unsuback;
mod unsubscribe;
mod variable_byte_integer;
mod version;

pub use acknowledgement::{
    Acknowledgement, AcknowledgementType, OutgoingAcknowledgement, encode_puback, encode_pubcomp, encode_pubrec,
    encode_pubrel,
};
pub use auth::{Auth, AuthenticationData, OutgoingAuth};
pub use connack::{Connack, ConnectReturnCode, encode_connack, encode_connack_v3};
pub use connect::{Connect, Login, Will};
pub use decode_error::DecodeError;
pub use decoder::{Decoder, Frame};
pub use disconnect::{Disconnect, OutgoingDisconnect, encode_disconnect};
pub use packet::ClientPacket;
pub use ping::encode_pingresp;
pub use properties::{Properties, Property};
pub use publish::{OutgoingPublish, PacketIdentifier, Publish, PublishLengths};
pub use reason_code::ReasonCode;
pub use suback::{OutgoingSuback, encode_suback};
pub use subscribe::{Subscribe, SubscribeFilter};
pub use subscription_filter::SubscriptionFilter;
pub use topic_filter::{TopicFilter, TopicFilterError};
pub use topic_name::{KeptTopicName, TopicName, is_system_topic};
pub use unsuback::{OutgoingUnsuback, encode_unsuback};
pub use unsubscribe::Unsubscribe;
pub use variable_byte_integer::{VARIABLE_BYTE_INTEGER_MAX, encode_variable_byte_integer, variable_byte_integer_bytes};
pub use version::ProtocolVersion;
