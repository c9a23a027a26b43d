//! What is wrong with a site's file, where, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake in a site's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SiteError {
    /// The file.
    pub file: PathBuf,
    /// Line and column from 1, the column in characters; `None` for the file as a whole.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: Option<String>,
}

impl SiteError {
    /// A mistake in the whole file.
    pub(crate) fn whole(file: &Path, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { file: file.to_owned(), position: None, problem: problem.into(), hint: Some(hint.into()) }
    }

    /// A mistake at byte `at` of `text`.
    pub(crate) fn at(file: &Path, text: &str, at: usize, problem: impl Into<String>, hint: Option<String>) -> Self {
        Self { file: file.to_owned(), position: Some(position(text, at)), problem: problem.into(), hint }
    }

    /// What the parser found, with the nearest known key where it met an unknown one.
    pub(crate) fn of_parser(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let problem = error.message().trim_end().to_owned();
        let hint = nearest_key(&problem);
        let at = error.span().map_or(0, |span| span.start);
        Self::at(file, text, at, problem, hint)
    }
}

impl fmt::Display for SiteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(formatter, ":{line}:{column}")?;
        }
        write!(formatter, ": {}", self.problem)?;
        if let Some(hint) = &self.hint {
            write!(formatter, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SiteError {}

/// All of `errors` as one, a paragraph each.
pub(crate) fn all_of(errors: &[SiteError]) -> anyhow::Error {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!(texts.join("\n"))
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.chars().rev().take_while(|letter| *letter != '\n').count();
    (line, column)
}

/// The known key nearest to the unknown one that serde's sentence names, both between backticks.
fn nearest_key(problem: &str) -> Option<String> {
    let mut names = problem.split('`').skip(1).step_by(2);
    let unknown = names.next().filter(|_| problem.starts_with("unknown "))?;
    nearest(unknown, names).map(|known| format!("did you mean `{known}`?"))
}

/// The one of `known` that is nearest to `unknown`, where one is near.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let similarity = |known: &str| strsim::jaro_winkler(unknown, known);
    let nearest = known.max_by(|one, other| similarity(one).total_cmp(&similarity(other)));
    nearest.filter(|nearest| similarity(nearest) > 0.7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_columns_from_1() {
        assert_eq!(position("ab\ncd", 0), (1, 1));
        assert_eq!(position("ab\ncd", 4), (2, 2));
        assert_eq!(position("ab\ncd", 99), (2, 3));
        assert_eq!(position("\u{e9}\u{e9}x", 4), (1, 3));
    }

    #[test]
    fn the_nearest_known_key_is_offered_and_a_far_one_is_not() {
        let problem = "unknown field `endpiont`, expected one of `name`, `endpoint`, `security`";
        assert_eq!(nearest_key(problem).as_deref(), Some("did you mean `endpoint`?"));
        assert_eq!(nearest_key("unknown field `zzz`, expected `name`"), None);
        assert_eq!(nearest_key("missing field `name`"), None);
    }
}
