//! AMQP 1.0 on the wire: types (part 1), frames and performatives (part 2), SASL (part 5).
//!
//! | Module | Idea |
//! |---|---|
//! | [`value`] | any AMQP value, and how it is written |
//! | [`decoder`] | reads values from bytes, within limits |
//! | [`encoder`] | writes primitives and full lists |
//! | [`frame`] | the eight bytes before each body, and protocol headers |
//! | [`outcome`] | errors, and what becomes of a delivery |
//! | [`performative`] | open to close, and what SASL adds |
//! | [`message`] | the sections of a message, found without decoding them |

pub mod decoder;
pub mod encoder;
pub mod frame;
pub mod message;
pub mod outcome;
pub mod performative;
pub mod value;

/// Why bytes are no AMQP. Every one of them ends the connection with `amqp:decode-error` or a framing error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A value ends after the bytes do.
    #[error("a value ends after its frame")]
    Truncated,
    /// A constructor that the standard does not define, or not here.
    #[error("constructor 0x{0:02x} is not allowed here")]
    Constructor(u8),
    /// A descriptor of something else.
    #[error("unexpected descriptor 0x{0:x}")]
    Descriptor(u64),
    /// A field of a list that may not be null is.
    #[error("a mandatory field is missing")]
    FieldMissing,
    /// A string that is not UTF-8, a symbol that is not ASCII, a char that is none.
    #[error("invalid text")]
    Text,
    /// A size, count or enumeration outside its range.
    #[error("a size, count or choice is out of range")]
    Range,
    /// Values nest deeper, or are more, than we follow.
    #[error("values nest too deeply or are too many")]
    TooComplex,
    /// A frame is larger than was agreed, or smaller than its own header.
    #[error("a frame of {0} bytes is outside what was agreed")]
    FrameSize(u32),
    /// The eight bytes that open a protocol are others.
    #[error("unknown protocol header")]
    ProtocolHeader,
}
