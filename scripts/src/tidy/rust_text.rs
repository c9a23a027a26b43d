//! A Rust source taken apart: its code with comments and texts blanked, and its comments line by line.

/// The parts of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RustText {
    /// As long as the source, lines where they were; each byte of a comment or of the inside of a text is a space.
    pub(super) code: String,
    /// Each line of a comment, with its line number from 1, without the slashes or asterisks that open it.
    pub(super) comments: Vec<(usize, String)>,
}

impl RustText {
    /// Takes `source` apart. What ends within a comment or a text ends there; nothing fails.
    pub(super) fn new(source: &str) -> Self {
        let mut scanner =
            Scanner { bytes: source.as_bytes(), at: 0, code: source.as_bytes().to_vec(), comments: Vec::new() };
        while scanner.at < scanner.bytes.len() {
            scanner.step();
        }
        let mut comments = Vec::new();
        for (start, end) in scanner.comments {
            let first_line = 1 + source[..start].matches('\n').count();
            for (index, line) in source[start..end].lines().enumerate() {
                let text = line.trim().trim_start_matches(['/', '*', '!']).trim_end_matches("*/").trim();
                comments.push((first_line + index, text.to_owned()));
            }
        }
        let code = String::from_utf8(scanner.code).expect("whole characters are blanked");
        Self { code, comments }
    }
}

struct Scanner<'s> {
    bytes: &'s [u8],
    at: usize,
    code: Vec<u8>,
    comments: Vec<(usize, usize)>,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(b"//") {
            let end = self.at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            self.comment(end);
        } else if rest.starts_with(b"/*") {
            let end = self.at + block_comment_len(rest);
            self.comment(end);
        } else if let Some(hashes) = raw_string_hashes(rest).filter(|_| !self.follows_a_word()) {
            let opening = rest.iter().position(|byte| *byte == b'"').expect("a raw text has a quote") + 1;
            let closing: Vec<u8> = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            let body = &rest[opening..];
            let len = body.windows(closing.len()).position(|window| window == closing).unwrap_or(body.len());
            self.blank(self.at + opening, self.at + opening + len);
            self.at = (self.at + opening + len + closing.len()).min(self.bytes.len());
        } else if rest[0] == b'"' {
            let len = quoted_len(&rest[1..], b'"');
            self.blank(self.at + 1, self.at + 1 + len);
            self.at = (self.at + len + 2).min(self.bytes.len());
        } else if let Some(len) = character_len(rest) {
            self.blank(self.at + 1, self.at + len - 1);
            self.at += len;
        } else {
            self.at += 1;
        }
    }

    fn follows_a_word(&self) -> bool {
        self.at > 0 && is_word(self.bytes[self.at - 1])
    }

    fn comment(&mut self, end: usize) {
        self.comments.push((self.at, end));
        self.blank(self.at, end);
        self.at = end;
    }

    fn blank(&mut self, start: usize, end: usize) {
        for byte in &mut self.code[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The hashes of a raw text such as `r#"`, `br"` or `cr"`; `None` where there is none.
fn raw_string_hashes(rest: &[u8]) -> Option<usize> {
    let rest = rest.strip_prefix(b"b").or_else(|| rest.strip_prefix(b"c")).unwrap_or(rest);
    let rest = rest.strip_prefix(b"r")?;
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    (rest.get(hashes) == Some(&b'"')).then_some(hashes)
}

fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Bytes before the closing quote.
fn quoted_len(body: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at,
            _ => at += 1,
        }
    }
    body.len()
}

/// The length of a character in single quotes; `None` for a lifetime and for all else.
fn character_len(rest: &[u8]) -> Option<usize> {
    let body = rest.strip_prefix(b"'")?;
    let len = if body.first() == Some(&b'\\') {
        quoted_len(body, b'\'')
    } else {
        let first = *body.first()?;
        match first {
            0..0x80 => 1,
            0x80..0xE0 => 2,
            0xE0..0xF0 => 3,
            0xF0.. => 4,
        }
    };
    (body.get(len) == Some(&b'\'')).then_some(len + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_are_blanked_and_lines_stay() {
        let text = RustText::new("//! One.\nlet a = \"x // y\"; // two\n/* a\n * b */ let c = 'x';\n");
        assert_eq!(text.code, "        \nlet a = \"      \";       \n    \n        let c = ' ';\n");
        let comments: Vec<(usize, &str)> = text.comments.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(comments, [(1, "One."), (2, "two"), (3, "a"), (4, "b")]);
    }

    #[test]
    fn raw_texts_lifetimes_and_escapes_do_not_confuse_it() {
        let text = RustText::new(r##"fn f<'a>(x: &'a str) { g(r#"" // "#, b"\"//", '\'', '"', 'ü'); } // end"##);
        assert!(text.code.starts_with("fn f<'a>(x: &'a str) { g(r#\""));
        assert_eq!(text.comments, [(1, "end".to_owned())]);
    }

    #[test]
    fn what_is_cut_off_ends_at_the_end() {
        for source in ["\"abc", "r#\"abc", "/* abc", "'", "'\\", "b", "\"\\"] {
            assert_eq!(RustText::new(source).code.len(), source.len(), "{source}");
        }
    }

    #[test]
    fn nested_comments_end_with_the_outer_one() {
        assert_eq!(RustText::new("/* a /* b */ c */x").code, "                 x");
    }
}
