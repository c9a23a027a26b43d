//! PINGREQ and PINGRESP (MQTT 5.0 §3.12, §3.13).

use bytes::{BufMut, BytesMut};

use crate::{DecodeError, Frame};

/// Checks a PINGREQ: no flags (MQTT-2.1.3-1), nothing after its fixed header (MQTT 5.0 §3.12.2).
pub(crate) fn check_pingreq(frame: &Frame) -> Result<(), DecodeError> {
    if frame.flags() == 0 && frame.body.is_empty() {
        Ok(())
    } else {
        Err(DecodeError::Malformed("PINGREQ with more than its header"))
    }
}

/// Appends PINGRESP.
pub fn encode_pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xd0, 0x00]);
}
