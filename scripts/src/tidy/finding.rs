//! One thing to mend: where, what, and how.

use std::fmt;

/// A finding of one check. Sorted by file, line and text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    text: String,
    is_error: bool,
}

impl Finding {
    /// Something that fails the run. `line` counts from 1.
    pub(crate) fn error(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, text: text.into(), is_error: true }
    }

    /// Something to think about.
    pub(crate) fn warning(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { is_error: false, ..Self::error(path, line, text) }
    }

    /// Whether it fails the run.
    pub(crate) fn is_error(&self) -> bool {
        self.is_error
    }

    /// File and line.
    #[cfg(test)]
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.path, self.line)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_error { "error" } else { "warning" };
        write!(formatter, "{}:{}: {kind}: {}", self.path, self.line, self.text)
    }
}
