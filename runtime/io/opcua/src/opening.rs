//! OpenSecureChannel messages: one chunk each, signed and encrypted with RSA (Part 6 §6.7.2.3, §6.7.4).

use std::sync::Arc;

use opcua_crypto::{KeySize as _, SecurityPolicy};
use opcua_subscription::StatusCode;

use crate::certificate::Certificate;
use crate::channel::SECURED;
use crate::frame::{Frame, FrameType, u32_at, write_size};
use crate::identity::Identity;
use crate::status::{BAD_CERTIFICATE_INVALID, BAD_SECURITY_POLICY_REJECTED, BAD_TCP_MESSAGE_TYPE_INVALID};

const SEQUENCE_HEADER_BYTES: usize = 8;
/// More than any policy's URI or certificate has (Part 6 §6.7.2.3).
const FIELD_BYTES_MAX: usize = 64 * 1_024;
/// Keys over this size have a second byte of padding size.
const KEY_BYTES_OF_SHORT_PADDING: usize = 256;

/// Both ends' certificates; to be used on a blocking lane.
#[derive(Clone, Debug)]
pub(crate) struct Asymmetric {
    pub(crate) own: Arc<Identity>,
    pub(crate) server: Arc<Certificate>,
}

/// An OpenSecureChannel message to send.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) channel_id: u32,
    pub(crate) sequence: u32,
    pub(crate) request_id: u32,
    pub(crate) body: Vec<u8>,
}

/// One that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) sequence: u32,
    pub(crate) request_id: u32,
    pub(crate) body: Vec<u8>,
}

fn push_field(field: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(field) = field else { return out.extend_from_slice(&(-1_i32).to_le_bytes()) };
    out.extend_from_slice(&u32::try_from(field.len()).expect("policies and certificates are short").to_le_bytes());
    out.extend_from_slice(field);
}

/// Writes the one chunk of an OpenSecureChannel request. Costs an RSA signature where `asymmetric` is given.
///
/// # Errors
/// `Bad_SecurityChecksFailed`, where our key or the server's does not fit.
pub(crate) fn seal(opening: &Opening, asymmetric: Option<&Asymmetric>) -> Result<Vec<u8>, StatusCode> {
    let mut frame = b"OPNF\0\0\0\0".to_vec();
    frame.extend_from_slice(&opening.channel_id.to_le_bytes());
    let policy = if asymmetric.is_some() { SECURED } else { SecurityPolicy::None };
    push_field(Some(policy.to_uri().as_bytes()), &mut frame);
    push_field(asymmetric.map(|both| both.own.certificate.der()), &mut frame);
    push_field(asymmetric.map(|both| both.server.thumbprint()), &mut frame);
    let header_bytes = frame.len();
    frame.extend_from_slice(&opening.sequence.to_le_bytes());
    frame.extend_from_slice(&opening.request_id.to_le_bytes());
    frame.extend_from_slice(&opening.body);
    if let Some(Asymmetric { own, server }) = asymmetric {
        let failed = |_| StatusCode::BAD_SECURITY_CHECKS_FAILED;
        let (key, signature_bytes) = (server.public_key(), own.key.size());
        let block_bytes = SECURED.asymmetric_padding_info(key).block_size;
        push_padding(&mut frame, header_bytes, signature_bytes, block_bytes, key.size());
        let sealed_bytes = (frame.len() + signature_bytes - header_bytes) / block_bytes * key.size();
        // The signature covers the size that the frame has in the end.
        let size = u32::try_from(header_bytes + sealed_bytes).map_err(|_| StatusCode::BAD_REQUEST_TOO_LARGE)?;
        frame[4..8].copy_from_slice(&size.to_le_bytes());
        let mut signature = vec![0; signature_bytes];
        SECURED.asymmetric_sign(&own.key, &frame, &mut signature).map_err(failed)?;
        frame.extend_from_slice(&signature);
        let mut sealed = vec![0; sealed_bytes];
        SECURED.asymmetric_encrypt(key, &frame[header_bytes..], &mut sealed).map_err(failed)?;
        frame.truncate(header_bytes);
        frame.extend_from_slice(&sealed);
    }
    write_size(&mut frame);
    Ok(frame)
}

/// Fills the plain text, signature included, up to whole blocks.
fn push_padding(
    frame: &mut Vec<u8>,
    header_bytes: usize,
    signature_bytes: usize,
    block_bytes: usize,
    key_bytes: usize,
) {
    let size_bytes = if key_bytes > KEY_BYTES_OF_SHORT_PADDING { 2 } else { 1 };
    let unpadded = frame.len() - header_bytes + size_bytes + signature_bytes;
    let padding = unpadded.next_multiple_of(block_bytes) - unpadded;
    let [low, high, ..] = padding.to_le_bytes();
    frame.resize(frame.len() + 1 + padding, low);
    if size_bytes == 2 {
        frame.push(high);
    }
}

/// Reads the one chunk of an OpenSecureChannel response. Costs an RSA decryption where `asymmetric` is given.
///
/// # Errors
/// The code with which the connection must end: another policy or another certificate than was chosen
/// (`Bad_CertificateInvalid`), a wrong signature (`Bad_SecurityChecksFailed`), or a broken frame.
pub(crate) fn open(frame: &[u8], asymmetric: Option<&Asymmetric>) -> Result<Opened, StatusCode> {
    let mut offset = 12;
    let policy = take_field(frame, &mut offset)?;
    let sender = take_field(frame, &mut offset)?;
    let receiver = take_field(frame, &mut offset)?;
    let rest = &frame[offset..];
    let Some(both) = asymmetric else {
        if policy != Some(SecurityPolicy::None.to_uri().as_bytes()) {
            return Err(BAD_SECURITY_POLICY_REJECTED);
        }
        return split(rest);
    };
    if policy != Some(SECURED.to_uri().as_bytes()) {
        return Err(BAD_SECURITY_POLICY_REJECTED);
    }
    let is_servers = sender.and_then(Certificate::leaf).is_some_and(|leaf| leaf == both.server.der());
    if !is_servers || receiver != Some(both.own.certificate.thumbprint()) {
        return Err(BAD_CERTIFICATE_INVALID);
    }
    decrypt(&frame[..offset], rest, both)
}

fn decrypt(header: &[u8], sealed: &[u8], both: &Asymmetric) -> Result<Opened, StatusCode> {
    let forged = StatusCode::BAD_SECURITY_CHECKS_FAILED;
    let (own_bytes, server_bytes) = (both.own.key.size(), both.server.public_key().size());
    if sealed.is_empty() || !sealed.len().is_multiple_of(own_bytes) {
        return Err(forged);
    }
    let mut plain = header.to_vec();
    plain.resize(header.len() + sealed.len(), 0);
    let plain_bytes = SECURED.asymmetric_decrypt(&both.own.key, sealed, &mut plain[header.len()..]);
    plain.truncate(header.len() + plain_bytes.map_err(|_| forged)?);
    let signed_bytes = plain.len().checked_sub(server_bytes).filter(|end| *end > header.len()).ok_or(forged)?;
    let (signed, signature) = plain.split_at(signed_bytes);
    SECURED.asymmetric_verify_signature(both.server.public_key(), signed, signature).map_err(|_| forged)?;

    let body = &signed[header.len()..];
    let (high, size_bytes) = match body.last() {
        Some(high) if own_bytes > KEY_BYTES_OF_SHORT_PADDING => (usize::from(*high), 2),
        Some(_) | None => (0, 1),
    };
    let low_at = body.len().checked_sub(size_bytes).ok_or(forged)?;
    let padding = high << 8 | usize::from(body[low_at]);
    split(&body[..low_at.checked_sub(padding).ok_or(forged)?])
}

fn split(plain: &[u8]) -> Result<Opened, StatusCode> {
    let body = plain.get(SEQUENCE_HEADER_BYTES..).ok_or(StatusCode::BAD_DECODING_ERROR)?;
    Ok(Opened { sequence: u32_at(plain, 0)?, request_id: u32_at(plain, 4)?, body: body.to_vec() })
}

/// Reads a `ByteString` or a String of the security header; `None` where it is null.
fn take_field<'a>(frame: &'a [u8], offset: &mut usize) -> Result<Option<&'a [u8]>, StatusCode> {
    let bytes = u32_at(frame, *offset)?;
    *offset += 4;
    if bytes == u32::MAX {
        return Ok(None);
    }
    let bytes = usize::try_from(bytes).map_err(|_| StatusCode::BAD_DECODING_ERROR)?;
    if bytes > FIELD_BYTES_MAX {
        return Err(StatusCode::BAD_DECODING_ERROR);
    }
    let field = frame.get(*offset..*offset + bytes).ok_or(StatusCode::BAD_DECODING_ERROR)?;
    *offset += bytes;
    Ok(Some(field))
}

/// The frame, if it is one of OpenSecureChannel.
///
/// # Errors
/// `Bad_TcpMessageTypeInvalid`.
pub(crate) fn expect_open<'a>(frame: &Frame<'a>) -> Result<&'a [u8], StatusCode> {
    if frame.kind == FrameType::Open { Ok(frame.bytes) } else { Err(BAD_TCP_MESSAGE_TYPE_INVALID) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::made;

    fn opening() -> Opening {
        Opening { channel_id: 9, sequence: 51, request_id: 3, body: (0..=250).collect() }
    }

    fn opened() -> Opened {
        let Opening { sequence, request_id, body, .. } = opening();
        Opened { sequence, request_id, body }
    }

    #[test]
    fn what_is_sealed_for_one_is_opened_by_it_alone() {
        let [(client_der, client_key), (server_der, server_key)] = [made("client"), made("server")];
        let identity = |der: &[u8], key| Arc::new(Identity { certificate: Certificate::read(der).unwrap(), key });
        let certificate = |der: &[u8]| Arc::new(Certificate::read(der).unwrap());
        let client = Asymmetric { own: identity(&client_der, client_key), server: certificate(&server_der) };
        let server = Asymmetric { own: identity(&server_der, server_key), server: certificate(&client_der) };
        for length in [0, 1, 100, 203, 204, 205, 400] {
            let body = vec![7; length];
            let frame = seal(&Opening { body: body.clone(), ..opening() }, Some(&client)).unwrap();
            assert_eq!(usize::try_from(u32_at(&frame, 4).unwrap()).unwrap(), frame.len());
            assert_eq!(open(&frame, Some(&server)), Ok(Opened { body, ..opened() }), "{length}");
        }
        let frame = seal(&opening(), Some(&client)).unwrap();
        assert_eq!(open(&frame, Some(&client)), Err(BAD_CERTIFICATE_INVALID), "the client's own, sent back");
        assert_eq!(open(&frame, None), Err(BAD_SECURITY_POLICY_REJECTED));
        let frame_without = seal(&opening(), None).unwrap();
        assert_eq!(open(&frame_without, Some(&server)), Err(BAD_SECURITY_POLICY_REJECTED), "a downgrade");
        for at in (8..frame.len()).step_by(97) {
            let mut changed = frame.clone();
            changed[at] ^= 4;
            assert!(open(&changed, Some(&server)).is_err(), "byte {at}");
        }
        for length in 0..frame.len() {
            if length.is_multiple_of(50) {
                assert!(open(&frame[..length], Some(&server)).is_err(), "{length} bytes");
            }
        }
    }

    #[test]
    fn without_security_it_is_as_the_standard_says() {
        let frame = seal(&Opening { body: vec![0xEE], ..opening() }, None).unwrap();
        let uri = b"http://opcfoundation.org/UA/SecurityPolicy#None";
        let mut expected = b"OPNF\x50\0\0\0\x09\0\0\0\x2f\0\0\0".to_vec();
        expected.extend_from_slice(uri);
        expected.extend_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff\x33\0\0\0\x03\0\0\0\xee");
        assert_eq!(frame, expected);
        assert_eq!(open(&frame, None), Ok(Opened { body: vec![0xEE], ..opened() }));
    }
}
