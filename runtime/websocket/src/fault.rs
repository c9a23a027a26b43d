//! What a client's frames may do wrong, and the status code that tells it (RFC 6455 §7.4.1).

/// Why a client's frames end the connection. The status code goes into our Close frame (§7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A rule of RFC 6455 is broken.
    #[error("the client breaks RFC 6455: {0}")]
    Protocol(&'static str),
    /// A text frame: MQTT travels in binary ones (MQTT-6.0.0-1).
    #[error("a text frame; MQTT needs binary ones (MQTT-6.0.0-1)")]
    Text,
    /// The reason of a Close frame is no UTF-8.
    #[error("the reason of a Close frame is not UTF-8")]
    Reason,
    /// A frame is longer than the listener allows.
    #[error("a frame of {bytes} bytes; the listener allows {bytes_max}")]
    FrameTooLarge {
        /// Its length.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A message of several frames is longer than the listener allows.
    #[error("a message of {bytes} bytes or more; the listener allows {bytes_max}")]
    MessageTooLarge {
        /// Its length so far.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
}

impl FrameError {
    /// The status code that tells the client.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Protocol(_) => 1_002,
            Self::Text => 1_003,
            Self::Reason => 1_007,
            Self::FrameTooLarge { .. } | Self::MessageTooLarge { .. } => 1_009,
        }
    }
}
