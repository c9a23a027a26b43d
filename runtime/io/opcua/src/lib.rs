//! The OPC UA transport of one Session: framing, `SecureChannel` and crypto on a glommio socket.
