//! Which Client Identifiers and user names match: text, `*` for any run of characters, and values of the principal.

use crate::Principal;
use crate::compile_error::Mistake;
use crate::substitution::Substitution;

/// A pattern for names: what stands between its `*`s, in order. A `*` in a client's value is an ordinary character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamePattern {
    segments: Box<[Box<[Piece]>]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Value(Substitution),
}

impl NamePattern {
    /// Reads a pattern with `*` alone.
    pub(crate) fn parse_plain(text: &str) -> Result<Self, Mistake> {
        let pattern = Self::parse(text)?;
        if pattern.segments.iter().flatten().any(|piece| matches!(piece, Piece::Value(_))) {
            let hint = "a principal is named by plain text; substitutions belong into resources";
            return Err(Mistake::new(format!("{text:?} compares the client with itself"), hint));
        }
        Ok(pattern)
    }

    /// Reads a pattern with `*` and substitutions.
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        if text.is_empty() {
            return Err(Mistake::new("an empty text matches nobody", "name a client, or * for all"));
        }
        let segments: Result<_, Mistake> = text.split('*').map(pieces).collect();
        Ok(Self { segments: segments? })
    }

    /// Whether `name` matches for `principal`. Its cost is linear in both texts; it allocates, and is for connecting.
    pub(crate) fn matches(&self, name: &str, principal: &Principal) -> bool {
        let texts: Option<Vec<String>> = self.segments.iter().map(|pieces| text_of(pieces, principal)).collect();
        match texts.as_deref() {
            None | Some([]) => false,
            Some([whole]) => name == whole,
            Some([first, middle @ .., last]) => {
                let between = name.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
                // The leftmost place of each leaves the most for those behind it.
                let place = |rest: Option<usize>, text: &String| {
                    let from = rest?;
                    between?[from..].find(text.as_str()).map(|at| from + at + text.len())
                };
                between.is_some() && middle.iter().fold(Some(0), place).is_some()
            }
        }
    }
}

fn text_of(pieces: &[Piece], principal: &Principal) -> Option<String> {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => Some(text.to_string()),
        Piece::Value(substitution) => substitution.value(principal).map(str::to_owned),
    };
    pieces.iter().map(text).collect()
}

fn pieces(mut text: &str) -> Result<Box<[Piece]>, Mistake> {
    const HINT: &str = "braces enclose {clientId}, {username} or {principal.attributes.<name>}";
    let mut pieces = Vec::new();
    while let Some((before, rest)) = text.split_once('{') {
        let Some((name, after)) = rest.split_once('}') else {
            return Err(Mistake::new("a brace is not closed", HINT));
        };
        pieces.push(Piece::Text(before.into()));
        pieces.push(Piece::Value(Substitution::parse(name)?));
        text = after;
    }
    pieces.push(Piece::Text(text.into()));
    let stray = pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains('}')));
    if stray { Err(Mistake::new("a brace was not opened", HINT)) } else { Ok(pieces.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let mut principal = Principal::anonymous(name);
        principal.user_name = Some("pump*".into());
        principal.attributes.insert("building".into(), "b17".into());
        NamePattern::parse(pattern).unwrap().matches(name, &principal)
    }

    #[test]
    fn a_star_is_any_run_of_characters() {
        assert!(matches("*", "") && matches("*", "a") && matches("a*", "a") && matches("a*c", "abc"));
        assert!(matches("a*b*c", "a-b-b-c") && matches("*b*", "abc") && matches("**", "x"));
        assert!(!matches("a*a", "a") && !matches("a*b*c", "acb") && !matches("a", "ab") && !matches("a*", "ba"));
        assert!(!matches("a*bb*b", "abb"));
    }

    #[test]
    fn a_value_is_plain_text_whatever_it_holds() {
        assert!(matches("{principal.attributes.building}-*", "b17-pump"));
        assert!(!matches("{principal.attributes.building}-*", "b18-pump"));
        assert!(!matches("{principal.attributes.floor}*", "anything"));
        assert!(matches("{username}", "pump*"));
        assert!(!matches("{username}", "pump7"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "{", "a}", "{clientId", "{nobody}", "}{"] {
            assert!(NamePattern::parse(text).is_err(), "{text:?}");
        }
        assert!(NamePattern::parse_plain("{clientId}").is_err());
    }
}
