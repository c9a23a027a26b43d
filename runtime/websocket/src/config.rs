//! What a WebSocket listener allows.

use crate::frames::FrameLimits;

/// What a WebSocket listener allows. None of the limits is memory that is held: payload passes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketConfig {
    /// The path that a client must ask for, such as `/mqtt`, without query; `None`: any.
    pub path: Option<String>,
    /// Origins of web pages that may connect, such as `https://hmi.example`; empty: all. A client without Origin, which no browser
    /// is, always may.
    pub origins: Vec<String>,
    /// Bytes of the opening request; a longer one is answered by 431. They are held until it is complete.
    pub header_bytes_max: usize,
    /// Bytes of payload in one frame; a longer one is answered by a Close frame with 1009.
    pub frame_bytes_max: u64,
    /// The same for a message of several frames.
    pub message_bytes_max: u64,
}

impl Default for WebSocketConfig {
    /// Any path and origin, 8 KiB of request; a frame and a message may hold the largest packet of MQTT.
    fn default() -> Self {
        Self {
            path: None,
            origins: Vec::new(),
            header_bytes_max: 8 << 10,
            frame_bytes_max: 268_435_460,
            message_bytes_max: 268_435_460,
        }
    }
}

impl WebSocketConfig {
    pub(crate) fn limits(&self) -> FrameLimits {
        FrameLimits { frame_bytes_max: self.frame_bytes_max, message_bytes_max: self.message_bytes_max }
    }
}
