//! What is wrong with a file, and in which line.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Mistakes of one file past this number are left for the next look.
pub(crate) const ERRORS_COUNT_MAX: usize = 50;

/// One mistake in a file. It never quotes what could be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; `None` for the file as a whole.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: &'static str,
}

impl FileError {
    pub(crate) fn whole(file: &Path, problem: impl Into<String>, hint: &'static str) -> Self {
        Self { file: file.to_owned(), line: None, problem: problem.into(), hint }
    }

    pub(crate) fn at(file: &Path, line: usize, problem: impl Into<String>, hint: &'static str) -> Self {
        Self { file: file.to_owned(), line: Some(line), problem: problem.into(), hint }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        write!(formatter, ": {}\n  hint: {}", self.problem, self.hint)
    }
}

impl std::error::Error for FileError {}

/// Reads `file`, at most `bytes_max` of it.
pub(crate) fn read(file: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(file)?.take(bytes_max + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    let hint = "check the path and the rights of the user that millicore runs as";
    let bytes = read().map_err(|error| FileError::whole(file, format!("cannot be read: {error}"), hint))?;
    if bytes.len() as u64 > bytes_max {
        let problem = format!("is larger than {bytes_max} bytes");
        return Err(FileError::whole(file, problem, "is it the right file?"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_too_large_is_told_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        assert!(read(&file, 10).unwrap_err().to_string().contains("users: cannot be read"));
        std::fs::write(&file, "12345678901").unwrap();
        assert!(read(&file, 10).unwrap_err().to_string().contains("users: is larger than 10 bytes"));
        assert_eq!(read(&file, 11).unwrap().len(), 11);
    }
}
