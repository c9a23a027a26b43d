//! The opening handshake (RFC 6455 §4.2): a client's HTTP request, and our answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::config::WebSocketConfig;

/// Headers of one request.
const HEADERS_COUNT_MAX: usize = 64;
/// What the key is hashed with (§1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The subprotocol (MQTT-6.0.0-3, MQTT-6.0.0-4).
const SUBPROTOCOL: &str = "mqtt";

/// What a request got, with the bytes of our answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Frames follow.
    Accept(Vec<u8>),
    /// The connection ends.
    Refuse {
        /// The answer's bytes.
        response: Vec<u8>,
        /// The same for us.
        reason: &'static str,
    },
}

/// Where the head of a request ends; `None` while it goes on. `searched` bytes are known not to hold the end's first byte.
pub(crate) fn head_length(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    bytes[from..].windows(4).position(|window| window == b"\r\n\r\n").map(|position| from + position + 4)
}

/// Whether the bytes may become a request: what speaks MQTT, TLS or nonsense is told from the first ones.
pub(crate) fn may_be_request(start: &[u8]) -> bool {
    start.iter().zip(b"GET ").all(|(byte, expected)| byte == expected)
}

/// The answer to what is no request, or too long a one.
pub(crate) fn refuse_start(too_long: bool) -> Answer {
    if too_long {
        refuse("431 Request Header Fields Too Large", "", "the head of the request is longer than the listener allows")
    } else {
        refuse("400 Bad Request", "", "not the opening of a WebSocket; is this the port for MQTT without WebSocket?")
    }
}

/// The answer to a request's whole head.
pub(crate) fn answer(head: &[u8], config: &WebSocketConfig) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_COUNT_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => (),
        Ok(httparse::Status::Partial) => return refuse("400 Bad Request", "", "the request has no end"),
        Err(httparse::Error::TooManyHeaders) => {
            return refuse("431 Request Header Fields Too Large", "", "the request has more than 64 headers");
        }
        Err(_) => return refuse("400 Bad Request", "", "not an HTTP request"),
    }
    let head = Head(request.headers);
    if request.method != Some("GET") || request.version != Some(1) {
        return refuse("400 Bad Request", "", "a WebSocket opens with GET and HTTP/1.1 (4.1)");
    }
    let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
    if config.path.as_deref().is_some_and(|wanted| wanted != path) {
        return refuse("404 Not Found", "", "no listener has this path");
    }
    if head.all("host").count() != 1 {
        return refuse("400 Bad Request", "", "a request has one Host header (4.1)");
    }
    if !head.lists("upgrade", "websocket") || !head.lists("connection", "upgrade") {
        let hint = "Upgrade: websocket\r\n";
        return refuse("426 Upgrade Required", hint, "this port speaks MQTT over WebSocket");
    }
    if head.one("sec-websocket-version") != Some("13") {
        return refuse("426 Upgrade Required", "Sec-WebSocket-Version: 13\r\n", "only version 13 is spoken (4.4)");
    }
    let Some(key) = head.one("sec-websocket-key").filter(|key| is_key(key)) else {
        return refuse("400 Bad Request", "", "Sec-WebSocket-Key is not 16 bytes in base64 (4.1)");
    };
    if !head.lists_exactly("sec-websocket-protocol", SUBPROTOCOL) {
        return refuse("400 Bad Request", "", "the client does not offer the subprotocol mqtt (MQTT-6.0.0-3)");
    }
    if let Some(origin) = head.one("origin")
        && !config.origins.is_empty()
        && !config.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    {
        return refuse("403 Forbidden", "", "pages of this origin may not connect");
    }
    Answer::Accept(accept(key))
}

fn accept(key: &str) -> Vec<u8> {
    let digest = Sha1::new().chain_update(key.as_bytes()).chain_update(KEY_SUFFIX).finalize();
    let proof = STANDARD.encode(digest);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {proof}\r\n\
         Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    )
    .into_bytes()
}

fn refuse(status: &str, headers: &str, reason: &'static str) -> Answer {
    let length = reason.len() + 1;
    let response = format!(
        "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{reason}\n"
    );
    Answer::Refuse { response: response.into_bytes(), reason }
}

fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// The headers of a request.
struct Head<'a>(&'a [httparse::Header<'a>]);

impl<'a> Head<'a> {
    /// The values of a header, without white space around; one that is no text is empty.
    fn all(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
    }

    /// The value of a header that occurs once.
    fn one(&self, name: &'a str) -> Option<&'a str> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether a header's list has the token, whatever its case.
    fn lists(&self, name: &'a str, token: &str) -> bool {
        self.tokens(name).any(|found| found.eq_ignore_ascii_case(token))
    }

    fn lists_exactly(&self, name: &'a str, token: &str) -> bool {
        self.tokens(name).any(|found| found == token)
    }

    fn tokens(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 §1.2, with our subprotocol.
    fn request(change: impl Fn(&str) -> String) -> Answer {
        let text = "GET /mqtt?x=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
                    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n";
        answer(change(text).as_bytes(), &WebSocketConfig::default())
    }

    fn status(answer: &Answer) -> String {
        let (Answer::Accept(bytes) | Answer::Refuse { response: bytes, .. }) = answer;
        String::from_utf8_lossy(bytes).split(' ').nth(1).unwrap_or_default().to_owned()
    }

    #[test]
    fn the_example_of_the_standard_gets_the_answer_of_the_standard() {
        let answer = request(str::to_owned);
        let Answer::Accept(bytes) = &answer else { panic!("{answer:?}") };
        let text = String::from_utf8_lossy(bytes);
        assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
        assert!(text.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{text}");
        assert!(text.contains("Sec-WebSocket-Protocol: mqtt\r\n"), "{text}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_refused_with_its_status() {
        for (from, to, expected) in [
            ("GET", "POST", "400"),
            ("HTTP/1.1", "HTTP/1.0", "400"),
            ("Host: server.example.com\r\n", "", "400"),
            ("Host:", "Host: x\r\nHost:", "400"),
            ("Upgrade: websocket\r\n", "", "426"),
            ("keep-alive, Upgrade", "keep-alive", "426"),
            ("Version: 13", "Version: 8", "426"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWFh", "400"),
            ("chat, mqtt", "chat, mqttv3.1", "400"),
            ("Sec-WebSocket-Protocol: chat, mqtt\r\n", "", "400"),
            ("Host", "Ho\0st", "400"),
        ] {
            assert_eq!(status(&request(|text| text.replacen(from, to, 1))), expected, "{from} -> {to}");
        }
        let many = "X: y\r\n".repeat(70);
        assert_eq!(status(&request(|text| text.replacen("Origin", &format!("{many}Origin"), 1))), "431");
    }

    #[test]
    fn path_and_origin_are_checked_where_they_are_configured() {
        let head = b"GET /mqtt HTTP/1.1\r\nhost: a\r\nupgrade: WebSocket\r\nconnection: upgrade\r\nsec-websocket-key: \
                     dGhlIHNhbXBsZSBub25jZQ==\r\norigin: https://a.example\r\nsec-websocket-protocol: mqtt\r\n\
                     sec-websocket-version: 13\r\n\r\n";
        for (path, origin, expected) in [
            (Some("/mqtt"), Some("https://a.example"), "101"),
            (Some("/other"), None, "404"),
            (None, Some("https://b.example"), "403"),
            (None, None, "101"),
        ] {
            let config = WebSocketConfig {
                path: path.map(str::to_owned),
                origins: origin.map(str::to_owned).into_iter().collect(),
                ..WebSocketConfig::default()
            };
            assert_eq!(status(&answer(head, &config)), expected, "{path:?} {origin:?}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_was_cut() {
        let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest";
        for searched in 0..24 {
            assert_eq!(head_length(bytes, searched), Some(24), "{searched}");
        }
        assert_eq!(head_length(&bytes[..23], 0), None);
        assert!(may_be_request(b"") && may_be_request(b"GE") && may_be_request(b"GET / "));
        assert!(!may_be_request(b"\x10\x0c") && !may_be_request(b"\x16\x03\x01"));
    }
}
