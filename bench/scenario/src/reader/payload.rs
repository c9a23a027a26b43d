//! Reads the payload of a DataSet's message over its bytes: no tree, no allocation.
//!
//! The message is what Azure IoT Operations publishes: an object with a member for each tag, which is an object
//! `{"SourceTimestamp":"..","Value":..,"StatusCode":{"Code":..}}`, or an array of them where a tag changed more than
//! once. Members may stand in any order, and others are skipped.

/// Deepest nesting that is skipped; a deeper message is refused.
const DEPTH_MAX: u32 = 32;

/// One value of one tag, as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point<'a> {
    /// The tag's member name, between its quotes, escapes as they stand.
    pub(crate) name: &'a [u8],
    /// When the value was made, in units of 100 ns since 1970; `None` where it is missing or no such time.
    pub(crate) source_100ns: Option<i64>,
    /// The value.
    pub(crate) value: PointValue<'a>,
    /// The StatusCode (OPC UA Part 4 §7.39); 0, Good, where there is none.
    pub(crate) status_code: u32,
    /// Which value of the tag in this message, from 0.
    pub(crate) place: u32,
}

/// A value as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PointValue<'a> {
    /// A string, between its quotes, escapes as they stand.
    Text(&'a [u8]),
    /// A number, as written.
    Number(&'a [u8]),
    /// Anything else, or nothing.
    Other,
}

/// Why a message is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message of a DataSet: byte {at} of it cannot stand there")]
pub(crate) struct PayloadError {
    /// Where reading stopped, in bytes.
    pub(crate) at: usize,
}

/// Calls `visit` with each point of `payload`, in order. Points before an error have been visited.
///
/// # Errors
/// [`PayloadError`] when `payload` is no such message.
pub(crate) fn visit_points<'a>(payload: &'a [u8], mut visit: impl FnMut(Point<'a>)) -> Result<(), PayloadError> {
    let mut scanner = Scanner { bytes: payload, at: 0 };
    scanner.members(|scanner, name| scanner.tag(name, &mut visit))?;
    if scanner.peek().is_some() { Err(scanner.error()) } else { Ok(()) }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn error(&self) -> PayloadError {
        PayloadError { at: self.at }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn take(&mut self, byte: u8) -> Result<(), PayloadError> {
        if self.take_if(byte) { Ok(()) } else { Err(self.error()) }
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// An object; `member` reads the value of each member.
    fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a [u8]) -> Result<(), PayloadError>,
    ) -> Result<(), PayloadError> {
        self.take(b'{')?;
        if self.take_if(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.take(b':')?;
            member(self, name)?;
            if !self.take_if(b',') {
                return self.take(b'}');
            }
        }
    }

    fn tag(&mut self, name: &'a [u8], visit: &mut impl FnMut(Point<'a>)) -> Result<(), PayloadError> {
        if !self.take_if(b'[') {
            let point = self.point(name, 0)?;
            visit(point);
            return Ok(());
        }
        if self.take_if(b']') {
            return Ok(());
        }
        let mut place = 0;
        loop {
            let point = self.point(name, place)?;
            visit(point);
            place += 1;
            if !self.take_if(b',') {
                return self.take(b']');
            }
        }
    }

    fn point(&mut self, name: &'a [u8], place: u32) -> Result<Point<'a>, PayloadError> {
        let mut point = Point { name, source_100ns: None, value: PointValue::Other, status_code: 0, place };
        self.members(|scanner, member| {
            match member {
                b"SourceTimestamp" if scanner.peek() == Some(b'"') => {
                    point.source_100ns = parse_timestamp(scanner.string()?);
                }
                b"Value" => point.value = scanner.value()?,
                b"StatusCode" if scanner.peek() == Some(b'{') => point.status_code = scanner.status_code()?,
                _ => scanner.skip(DEPTH_MAX)?,
            }
            Ok(())
        })?;
        Ok(point)
    }

    fn value(&mut self) -> Result<PointValue<'a>, PayloadError> {
        match self.peek() {
            Some(b'"') => Ok(PointValue::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(PointValue::Number(self.word())),
            Some(_) | None => self.skip(DEPTH_MAX).map(|()| PointValue::Other),
        }
    }

    fn status_code(&mut self) -> Result<u32, PayloadError> {
        let mut code = 0;
        self.members(|scanner, member| {
            if member == b"Code" && scanner.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                let digits = std::str::from_utf8(scanner.word()).ok();
                code = digits.and_then(|digits| digits.parse().ok()).ok_or(scanner.error())?;
                return Ok(());
            }
            scanner.skip(DEPTH_MAX)
        })?;
        Ok(code)
    }

    /// A string, between its quotes.
    fn string(&mut self) -> Result<&'a [u8], PayloadError> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.error()),
            }
        }
        self.at += 1;
        Ok(&self.bytes[start..self.at - 1])
    }

    /// A number, `true`, `false` or `null`, as written.
    fn word(&mut self) -> &'a [u8] {
        let start = self.at;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        self.at += self.bytes[start..].iter().take_while(|byte| is_part(byte)).count();
        &self.bytes[start..self.at]
    }

    fn skip(&mut self, depth_max: u32) -> Result<(), PayloadError> {
        if depth_max == 0 {
            return Err(self.error());
        }
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.members(|scanner, _| scanner.skip(depth_max - 1)),
            Some(b'[') => {
                self.take(b'[')?;
                if self.take_if(b']') {
                    return Ok(());
                }
                loop {
                    self.skip(depth_max - 1)?;
                    if !self.take_if(b',') {
                        return self.take(b']');
                    }
                }
            }
            Some(_) | None => {
                if self.word().is_empty() {
                    return Err(self.error());
                }
                Ok(())
            }
        }
    }
}

/// Reads `2026-11-23T12:00:00.1234567Z`, with up to seven decimals, as units of 100 ns since 1970. About 15 ns.
pub(crate) fn parse_timestamp(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let number = |range: std::ops::Range<usize>| {
        head[range].iter().try_fold(0_i64, |number, byte| digit(*byte).map(|digit| number * 10 + digit))
    };
    if [head[4], head[7], head[10], head[13], head[16]] != *b"--T::" {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let decimals = match tail {
        b"Z" => 0,
        [b'.', decimals @ .., b'Z'] if (1..=7).contains(&decimals.len()) => {
            let padded = decimals.iter().copied().chain(std::iter::repeat(b'0')).take(7);
            padded.map(digit).try_fold(0, |number, digit| digit.map(|digit| number * 10 + digit))?
        }
        _ => return None,
    };
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 10_000_000 + decimals)
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

/// Days of the Gregorian calendar, counted in years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let days_before_month = (153 * month_from_march + 2) / 5;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + days_before_month + day - 719_469
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    type Plain = (String, Option<i64>, Option<String>, u32, u32);

    fn scan(payload: &[u8]) -> Result<Vec<Plain>, PayloadError> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut points = Vec::new();
        visit_points(payload, |point| {
            let value = match point.value {
                PointValue::Text(bytes) | PointValue::Number(bytes) => Some(text(bytes)),
                PointValue::Other => None,
            };
            points.push((text(point.name), point.source_100ns, value, point.status_code, point.place));
        })?;
        Ok(points)
    }

    #[test]
    fn one_value_several_values_and_a_status_are_read() {
        let payload = br#"{"tag00":{"SourceTimestamp":"1970-01-01T00:00:01.5Z","Value":"--Nb.---FF0003141592"},
            "tag01":[{"Value":-4.5e1,"SourceTimestamp":"2026-11-23T12:00:00.1234567Z"},
                     {"StatusCode":{"Symbol":"Bad","Code":2147483648},"ServerTimestamp":[{"x":null}]}], "tag02" : [ ]}"#;
        let points = scan(payload).unwrap();
        assert_eq!(points[0], ("tag00".into(), Some(15_000_000), Some("--Nb.---FF0003141592".into()), 0, 0));
        assert_eq!(points[1], ("tag01".into(), Some(17_954_352_001_234_567), Some("-4.5e1".into()), 0, 0));
        assert_eq!(points[2], ("tag01".into(), None, None, 0x8000_0000, 1));
        assert_eq!(points.len(), 3);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for payload in ["", "[]", "{", r#"{"a"}"#, r#"{"a":1}"#, r#"{"a":{"Value":}}"#, r#"{"a":{}"#, "{} x", r#"{"a\"#]
        {
            assert!(scan(payload.as_bytes()).is_err(), "{payload}");
        }
        let deep = format!(r#"{{"a":{{"x":{}1{}}}}}"#, "[".repeat(40), "]".repeat(40));
        assert!(scan(deep.as_bytes()).is_err());
    }

    #[test]
    fn timestamps_that_are_none_are_refused() {
        for text in
            ["", "2026-11-23T12:00:00", "2026-13-23T12:00:00Z", "2026-11-23 12:00:00Z", "2026-11-23T12:00:00.12345678Z"]
        {
            assert_eq!(parse_timestamp(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_timestamp(b"1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_timestamp(b"2000-02-29T00:00:00.0000001Z"), Some(9_517_824_000_000_001));
    }

    fn point() -> impl Strategy<Value = (i64, Value, Option<u32>)> {
        let value = prop_oneof![
            "[-._A-Za-z0-9]{20}".prop_map(Value::from),
            (-1e6..1e6).prop_map(Value::from),
            Just(Value::Null)
        ];
        (0_i64..40_000_000_000_000_000, value, prop::option::of(any::<u32>()))
    }

    proptest! {
        #[test]
        fn the_scanner_reads_what_serde_json_wrote(
            tags in prop::collection::btree_map("[a-z]{1,6}", prop::collection::vec(point(), 1..4), 0..6), pretty in any::<bool>(),
        ) {
            let mut message = serde_json::Map::new();
            let mut expected: Vec<Plain> = Vec::new();
            for (name, points) in &tags {
                let mut written = Vec::new();
                for (place, (source_100ns, value, status)) in (0..).zip(points) {
                    let nanos = i128::from(*source_100ns) * 100;
                    let time = jiff::Timestamp::from_nanosecond(nanos).unwrap().to_string();
                    let mut object = json!({ "SourceTimestamp": time, "Value": value });
                    if let Some(code) = status {
                        object["StatusCode"] = json!({ "Symbol": "Some", "Code": code });
                    }
                    written.push(object);
                    let text = value.as_str().map(str::to_owned);
                    let text = text.or_else(|| value.is_number().then(|| value.to_string()));
                    expected.push((name.clone(), Some(*source_100ns), text, status.unwrap_or(0), place));
                }
                let value = if written.len() == 1 { written.remove(0) } else { Value::Array(written) };
                message.insert(name.clone(), value);
            }
            let payload = if pretty { serde_json::to_vec_pretty(&message) } else { serde_json::to_vec(&message) }.unwrap();
            prop_assert_eq!(scan(&payload), Ok(expected));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), text in r#"[\[\]{}:,"\\a1 ]{0,40}"#) {
            let _ = visit_points(&bytes, |_| {});
            let _ = visit_points(text.as_bytes(), |_| {});
            let _ = parse_timestamp(&bytes);
        }
    }
}
