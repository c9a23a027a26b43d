//! What is wrong with a profile, where, and what to do about it.

use std::fmt;
use std::path::Path;

/// A place in a profile's text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The file as it was named, or `--set KEY=VALUE` for a key from the command line.
    pub file: String,
    /// Line and column, both from 1, the column in characters; `None` for a file as a whole and for the command line.
    pub line_column: Option<(usize, usize)>,
}

impl Position {
    /// The position of a file as a whole.
    pub fn of_file(path: &Path) -> Self {
        Self { file: path.display().to_string(), line_column: None }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line_column {
            Some((line, column)) => write!(formatter, "{}:{line}:{column}", self.file),
            None => formatter.write_str(&self.file),
        }
    }
}

/// One thing that is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub position: Position,
    /// What is wrong, and the remedy.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.position, self.text)
    }
}

/// A profile that cannot be used: everything that was found wrong, so that one look mends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ProfileError {
    /// At least one, at most [`ProfileError::FINDINGS_COUNT_MAX`], those of a file in the order of its keys.
    pub findings: Vec<Finding>,
}

impl ProfileError {
    /// Findings past this number are left out.
    pub const FINDINGS_COUNT_MAX: usize = 50;

    /// An error with a single finding.
    pub(crate) fn one(position: Position, text: impl Into<String>) -> Self {
        Self { findings: vec![Finding { position, text: text.into() }] }
    }
}

/// The name of `candidates` that `given` was probably meant to be; `None` where none is near.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILARITY_MIN: f64 = 0.72;
    // The text is a stranger's: similarity costs the product of both lengths.
    const GIVEN_BYTES_MAX: usize = 128;
    if given.len() > GIVEN_BYTES_MAX {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(given, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_key() {
        let keys = ["linger_ms", "batch_bytes_max", "batches_in_flight_max"];
        assert_eq!(nearest("lingr_ms", keys), Some("linger_ms"));
        assert_eq!(nearest("batch_byte_max", keys), Some("batch_bytes_max"));
        assert_eq!(nearest("zzz", keys), None);
    }

    #[test]
    fn a_very_long_name_is_not_compared() {
        assert_eq!(nearest(&"linger_ms".repeat(100), ["linger_ms"]), None);
    }
}
