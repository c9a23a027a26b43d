//! WebSocket frames (RFC 6455 §5): what a client sends becomes a stream of bytes, cut anywhere, in place.

use crate::fault::FrameError;

/// Stands for the status code of a Close frame without one (§7.1.5); it is never sent.
pub(crate) const NO_STATUS: u16 = 1_005;
/// The longest payload of a control frame (§5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;
/// The longest header that a client sends: two bytes, eight of length, four of mask (§5.2).
const HEADER_BYTES_MAX: usize = 14;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// The kinds of frames that we know (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Binary => false,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }
}

/// The limits of frames and messages, in bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameLimits {
    pub(crate) frame_bytes_max: u64,
    pub(crate) message_bytes_max: u64,
}

/// What a piece of a client's stream said beside the payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// So many bytes of payload stand at the front of the piece.
    pub(crate) payload_bytes: usize,
    /// The payload of the last Ping; an answer to it answers those before (§5.5.3).
    pub(crate) ping: Option<Box<[u8]>>,
    /// The client closes, with this status code or [`NO_STATUS`]. What follows is not looked at.
    pub(crate) close: Option<u16>,
    /// The connection must end; the payload before the fault is good.
    pub(crate) error: Option<FrameError>,
}

/// Reads a client's frames. Holds a header that is not complete, and the payload of a control frame; never that of data.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    limits: FrameLimits,
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: u8,
    /// The frame whose payload comes next.
    frame: Option<Frame>,
    /// Bytes of the message that is not final yet; `None` between messages.
    message_bytes: Option<u64>,
    /// The payload of a control frame, as far as it came.
    control: Vec<u8>,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    remaining_bytes: u64,
    /// Turned so that its first byte is for the next byte of payload.
    mask: [u8; 4],
}

impl FrameDecoder {
    pub(crate) fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            header: [0; HEADER_BYTES_MAX],
            header_bytes: 0,
            frame: None,
            message_bytes: None,
            control: Vec::new(),
            ended: false,
        }
    }

    /// Reads the next piece of the stream; the payload of its data frames moves to its front, unmasked.
    pub(crate) fn decode(&mut self, piece: &mut [u8]) -> Decoded {
        let mut decoded = Decoded::default();
        let mut at = 0;
        while !self.ended && (at < piece.len() || self.frame.is_some_and(|frame| frame.remaining_bytes == 0)) {
            let step = match self.frame {
                None => self.take_header(piece, &mut at),
                Some(frame) => self.take_payload(frame, piece, &mut at, &mut decoded),
            };
            if let Err(error) = step {
                decoded.error = Some(error);
                self.ended = true;
            }
        }
        decoded
    }

    /// Takes bytes of the header, until it is whole or the piece ends.
    fn take_header(&mut self, piece: &[u8], at: &mut usize) -> Result<(), FrameError> {
        loop {
            let have = usize::from(self.header_bytes);
            let need = header_length(&self.header[..have]);
            if have == need {
                break;
            }
            let Some(byte) = piece.get(*at) else { return Ok(()) };
            self.header[have] = *byte;
            self.header_bytes += 1;
            *at += 1;
            if self.header_bytes == 2 {
                self.check_start([self.header[0], self.header[1]])?;
            }
        }
        let frame = self.parse_header()?;
        self.header_bytes = 0;
        self.frame = Some(frame);
        Ok(())
    }

    /// The rules for a header's first two bytes.
    fn check_start(&self, [first, second]: [u8; 2]) -> Result<(), FrameError> {
        let protocol = |rule| Err(FrameError::Protocol(rule));
        if first & RESERVED != 0 {
            return protocol("a reserved bit is set, and no extension was agreed on (5.2)");
        }
        if second & MASKED == 0 {
            return protocol("a frame without mask (5.1)");
        }
        let opcode = opcode(first)?;
        if opcode.is_control() {
            if first & FINAL == 0 {
                return protocol("a control frame in pieces (5.5)");
            }
            if usize::from(second & LENGTH) > CONTROL_BYTES_MAX {
                return protocol("a control frame of more than 125 bytes (5.5)");
            }
            return Ok(());
        }
        match (opcode, self.message_bytes) {
            (Opcode::Continuation, None) => protocol("a continuation of nothing (5.4)"),
            (Opcode::Binary, Some(_)) => protocol("a message inside another (5.4)"),
            (Opcode::Continuation | Opcode::Binary | Opcode::Close | Opcode::Ping | Opcode::Pong, _) => Ok(()),
        }
    }

    fn parse_header(&mut self) -> Result<Frame, FrameError> {
        let opcode = opcode(self.header[0])?;
        let short = self.header[1] & LENGTH;
        let (bytes, mask_at) = match short {
            126 => (u64::from(u16::from_be_bytes([self.header[2], self.header[3]])), 4),
            127 => {
                let long = self.header.first_chunk::<10>().and_then(|header| header.last_chunk::<8>());
                (u64::from_be_bytes(*long.expect("a header has 14 bytes")), 10)
            }
            short => (u64::from(short), 2),
        };
        let shortest = match short {
            126 => bytes > 125,
            127 => bytes > 0xffff && bytes >> 63 == 0,
            _ => true,
        };
        if !shortest {
            return Err(FrameError::Protocol("a length that is not the shortest, or has its top bit set (5.2)"));
        }
        if !opcode.is_control() {
            self.count_data(bytes)?;
        }
        let mask: [u8; 4] = self.header[mask_at..mask_at + 4].try_into().expect("four bytes");
        Ok(Frame { opcode, remaining_bytes: bytes, mask })
    }

    fn count_data(&mut self, bytes: u64) -> Result<(), FrameError> {
        let FrameLimits { frame_bytes_max, message_bytes_max } = self.limits;
        if bytes > frame_bytes_max {
            return Err(FrameError::FrameTooLarge { bytes, bytes_max: frame_bytes_max });
        }
        let message_bytes = self.message_bytes.unwrap_or(0).saturating_add(bytes);
        if message_bytes > message_bytes_max {
            return Err(FrameError::MessageTooLarge { bytes: message_bytes, bytes_max: message_bytes_max });
        }
        let is_final = self.header[0] & FINAL != 0;
        self.message_bytes = (!is_final).then_some(message_bytes);
        Ok(())
    }

    /// Takes what is there of a frame's payload.
    fn take_payload(
        &mut self,
        mut frame: Frame,
        piece: &mut [u8],
        at: &mut usize,
        decoded: &mut Decoded,
    ) -> Result<(), FrameError> {
        let there = piece.len() - *at;
        let count = usize::try_from(frame.remaining_bytes).map_or(there, |remaining| remaining.min(there));
        let payload = *at..*at + count;
        *at += count;
        unmask(&mut piece[payload.clone()], frame.mask);
        frame.mask.rotate_left(count % 4);
        frame.remaining_bytes -= count as u64;
        let is_whole = frame.remaining_bytes == 0;
        self.frame = (!is_whole).then_some(frame);
        if !frame.opcode.is_control() {
            piece.copy_within(payload, decoded.payload_bytes);
            decoded.payload_bytes += count;
            return Ok(());
        }
        self.control.extend_from_slice(&piece[payload]);
        if !is_whole {
            return Ok(());
        }
        let control = std::mem::take(&mut self.control);
        match frame.opcode {
            Opcode::Ping => decoded.ping = Some(control.into_boxed_slice()),
            Opcode::Close => {
                decoded.close = Some(close_status(&control)?);
                self.ended = true;
            }
            Opcode::Pong | Opcode::Continuation | Opcode::Binary => (),
        }
        Ok(())
    }
}

/// How long a header is that begins with these bytes; as far as they tell.
fn header_length(start: &[u8]) -> usize {
    match start.get(1).map(|second| second & LENGTH) {
        None => 2,
        Some(126) => 8,
        Some(127) => HEADER_BYTES_MAX,
        Some(_) => 6,
    }
}

fn opcode(first: u8) -> Result<Opcode, FrameError> {
    match first & OPCODE {
        0x0 => Ok(Opcode::Continuation),
        0x1 => Err(FrameError::Text),
        0x2 => Ok(Opcode::Binary),
        0x8 => Ok(Opcode::Close),
        0x9 => Ok(Opcode::Ping),
        0xa => Ok(Opcode::Pong),
        _ => Err(FrameError::Protocol("an opcode that is reserved (5.2)")),
    }
}

/// The status code of a Close frame's payload, and the rules for both (§5.5.1, §7.4).
fn close_status(payload: &[u8]) -> Result<u16, FrameError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        let is_empty = payload.is_empty();
        return if is_empty { Ok(NO_STATUS) } else { Err(FrameError::Protocol("a Close frame of one byte (5.5.1)")) };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1_000..=1_003 | 1_007..=1_014 | 3_000..=4_999) {
        return Err(FrameError::Protocol("a status code that must not be sent (7.4)"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(FrameError::Reason);
    }
    Ok(code)
}

/// Applies the mask (§5.3), which applied twice is undone.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends the header of one of our frames: whole, without mask (§5.1).
pub(crate) fn write_header(output: &mut Vec<u8>, opcode: Opcode, payload_bytes: usize) {
    output.push(FINAL | opcode.code());
    if let Ok(short @ 0..=125) = u8::try_from(payload_bytes) {
        output.push(short);
    } else if let Ok(middle) = u16::try_from(payload_bytes) {
        output.push(126);
        output.extend_from_slice(&middle.to_be_bytes());
    } else {
        output.push(127);
        output.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: FrameLimits = FrameLimits { frame_bytes_max: 100_000, message_bytes_max: 150_000 };

    /// A client's frame.
    fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(&mut bytes, Opcode::Binary, payload.len());
        bytes[0] = first;
        bytes[1] |= MASKED;
        bytes.extend_from_slice(&mask);
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], mask);
        bytes
    }

    /// All that a stream says, when it comes in pieces of the lengths that `cut` gives.
    fn decode(stream: &[u8], mut cut: impl FnMut() -> usize) -> (Vec<u8>, Decoded) {
        let mut decoder = FrameDecoder::new(LIMITS);
        let (mut payload, mut all) = (Vec::new(), Decoded::default());
        let mut rest = stream;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cut().clamp(1, rest.len()));
            rest = after;
            let mut piece = piece.to_vec();
            let said = decoder.decode(&mut piece);
            payload.extend_from_slice(&piece[..said.payload_bytes]);
            all.ping = said.ping.or(all.ping);
            all.close = said.close.or(all.close);
            all.error = said.error.or(all.error);
            assert!(decoder.control.len() <= CONTROL_BYTES_MAX, "what is held is bounded");
        }
        (payload, all)
    }

    fn whole(stream: &[u8]) -> (Vec<u8>, Decoded) {
        decode(stream, || usize::MAX)
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        // RFC 6455 §5.7: a masked Ping and a masked "Hello", here as binary.
        let hello = [0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let stream = [&[0x89], hello.as_slice(), &[0x82], hello.as_slice()].concat();
        let (payload, said) = whole(&stream);
        assert_eq!(payload, b"Hello");
        assert_eq!(said, Decoded { ping: Some(b"Hello".as_slice().into()), ..Decoded::default() });
    }

    #[test]
    fn a_message_in_pieces_is_one_stream_with_control_frames_between() {
        let stream = [
            frame(0x02, b"one ", [1, 2, 3, 4]),
            frame(0x89, b"", [0; 4]),
            frame(0x00, b"", [9; 4]),
            frame(0x8a, b"unasked", [5; 4]),
            frame(0x80, b"message", [7, 0, 7, 0]),
            frame(0x88, &[0x03, 0xe9, b'b', b'y', b'e'], [6; 4]),
            frame(0x82, b"not looked at", [0; 4]),
        ]
        .concat();
        let (payload, said) = whole(&stream);
        assert_eq!(payload, b"one message");
        let expected = Decoded { ping: Some([].into()), close: Some(1_001), ..Decoded::default() };
        assert_eq!(said, expected);
    }

    #[test]
    fn what_breaks_a_rule_ends_with_its_status() {
        let control = vec![0; 126];
        for (stream, status) in [
            (frame(0xc2, b"x", [0; 4]), 1_002),
            (vec![0x82, 0x01, b'x'], 1_002),
            (frame(0x83, b"x", [0; 4]), 1_002),
            (frame(0x8b, b"x", [0; 4]), 1_002),
            (frame(0x81, b"x", [0; 4]), 1_003),
            (frame(0x09, b"x", [0; 4]), 1_002),
            (frame(0x89, &control, [0; 4]), 1_002),
            (frame(0x80, b"x", [0; 4]), 1_002),
            ([frame(0x02, b"x", [0; 4]), frame(0x82, b"y", [0; 4])].concat(), 1_002),
            (vec![0x82, 0xfe, 0, 125, 0, 0, 0, 0], 1_002),
            (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0], 1_002),
            (vec![0x82, 0xff, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1_002),
            (frame(0x88, &[3], [0; 4]), 1_002),
            (frame(0x88, &1_005_u16.to_be_bytes(), [0; 4]), 1_002),
            (frame(0x88, &[3, 0xe8, 0xff], [0; 4]), 1_007),
            (vec![0x82, 0xff, 0, 0, 0, 0, 0, 1, 134, 161, 0, 0, 0, 0], 1_009),
            ([frame(0x02, &vec![0; 100_000], [0; 4]), frame(0x80, &vec![0; 60_000], [0; 4])].concat(), 1_009),
        ] {
            let (_, said) = whole(&stream);
            assert_eq!(said.error.map(FrameError::status), Some(status), "{:?}", &stream[..2]);
        }
    }

    #[test]
    fn lengths_of_our_frames_are_the_shortest() {
        for (length, header) in [
            (0, vec![0x82, 0]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 255, 255]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut bytes = Vec::new();
            write_header(&mut bytes, Opcode::Binary, length);
            assert_eq!(bytes, header);
        }
    }

    /// Frames of a client that keeps the rules, with the payload of its data.
    fn streams() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let data = (prop::collection::vec(any::<u8>(), 0..400), any::<[u8; 4]>(), any::<bool>(), any::<Option<u8>>());
        prop::collection::vec(data, 0..12).prop_map(|frames| {
            let (mut stream, mut payload, mut within) = (Vec::new(), Vec::new(), false);
            for (bytes, mask, is_final, control) in frames {
                if let Some(control) = control {
                    let control = vec![control; usize::from(control % 126)];
                    stream.extend(frame(0x89, &control, mask));
                }
                let opcode = if within { 0x00 } else { 0x02 };
                within = !is_final;
                stream.extend(frame(opcode | if is_final { FINAL } else { 0 }, &bytes, mask));
                payload.extend(bytes);
            }
            (stream, payload)
        })
    }

    proptest! {
        #[test]
        fn what_is_sent_is_read_however_it_is_cut((stream, expected) in streams(), cuts in prop::collection::vec(1_usize..300, 1..20)) {
            let mut cuts = cuts.iter().copied().cycle();
            let (payload, said) = decode(&stream, || cuts.next().unwrap());
            prop_assert!(payload == expected);
            prop_assert_eq!(said.error, None);
        }

        #[test]
        fn anything_at_all_is_read_alike_however_it_is_cut(stream in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(1_usize..40, 1..20)) {
            let mut cuts = cuts.iter().copied().cycle();
            prop_assert_eq!(decode(&stream, || cuts.next().unwrap()), whole(&stream));
        }

        #[test]
        fn a_stream_with_one_byte_changed_is_read_alike_however_it_is_cut((mut stream, _) in streams(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cuts in prop::collection::vec(1_usize..40, 1..20)) {
            prop_assume!(!stream.is_empty());
            let at = at.index(stream.len());
            stream[at] = byte;
            let mut cuts = cuts.iter().copied().cycle();
            prop_assert_eq!(decode(&stream, || cuts.next().unwrap()), whole(&stream));
        }
    }
}
