//! The data types of the standard, §1.5, as little as a test needs.

/// Takes values from the front of a packet; what is not there fails the test.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(count).expect("the field is whole");
        self.0 = rest;
        taken
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub(super) fn two_bytes(&mut self) -> u16 {
        let bytes = self.take(2);
        u16::from_be_bytes([bytes[0], bytes[1]])
    }

    pub(super) fn four_bytes(&mut self) -> u32 {
        let bytes = self.take(4);
        u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    pub(super) fn variable(&mut self) -> u32 {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.byte();
            value |= u32::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                assert!(index == 0 || byte != 0, "the fewest bytes that hold the value (MQTT-1.5.5-1)");
                return value;
            }
        }
        panic!("a Variable Byte Integer of more than four bytes");
    }

    pub(super) fn binary(&mut self) -> Vec<u8> {
        let count = self.two_bytes();
        self.take(count.into()).to_vec()
    }

    pub(super) fn text(&mut self) -> String {
        let text = String::from_utf8(self.binary()).expect("UTF-8 (MQTT-1.5.4-1)");
        assert!(!text.contains('\0'), "no U+0000 (MQTT-1.5.4-2)");
        text
    }
}

pub(super) fn put_variable(out: &mut Vec<u8>, value: usize) {
    let mut rest = value;
    loop {
        let low = u8::try_from(rest % 128).expect("below 128");
        rest /= 128;
        out.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            return;
        }
    }
}

pub(super) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u16::try_from(bytes.len()).expect("at most 65,535 bytes").to_be_bytes());
    out.extend_from_slice(bytes);
}
