//! Secrets: from a file or the environment, never printed.

use std::fmt;
use std::path::{Path, PathBuf};

/// A secret's text. It shows as stars in logs and errors.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one who must send it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Where a secret is to be read from. Exactly one of the three is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SecretSource {
    /// In the site's file itself: for development keys only.
    pub text: Option<Secret>,
    /// A file, relative to the site's file; its last line end is cut off.
    pub file: Option<PathBuf>,
    /// An environment variable.
    pub variable: Option<String>,
}

impl SecretSource {
    /// Reads the secret; `base` is the folder of the site's file and `key` the key's name in it.
    ///
    /// # Errors
    /// A sentence that says which file or variable is missing, or that none or several were given.
    pub(crate) fn read(&self, base: &Path, key: &str) -> Result<Secret, String> {
        self.check(key)?;
        if let Some(text) = &self.text {
            return Ok(text.clone());
        }
        if let Some(file) = &self.file {
            let path = base.join(file);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("{key}_file: cannot read {}: {error}", path.display()))?;
            return Ok(Secret(text.trim_end_matches(['\r', '\n']).to_owned()));
        }
        let variable = self.variable.as_deref().unwrap_or_default();
        std::env::var(variable)
            .map(Secret)
            .map_err(|_| format!("{key}_env: the environment variable {variable} is not set"))
    }

    /// Checks that exactly one was given, without reading it.
    ///
    /// # Errors
    /// A sentence that says so.
    pub(crate) fn check(&self, key: &str) -> Result<(), String> {
        let given = [self.text.is_some(), self.file.is_some(), self.variable.is_some()];
        match given.into_iter().filter(|given| *given).count() {
            1 => Ok(()),
            0 => Err(format!("{key}, {key}_file or {key}_env is missing")),
            _ => Err(format!("give only one of {key}, {key}_file and {key}_env")),
        }
    }

    /// Whether none was given.
    pub(crate) fn is_absent(&self) -> bool {
        self.text.is_none() && self.file.is_none() && self.variable.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "***");
    }

    #[test]
    fn a_file_loses_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "abc\n").unwrap();
        let source = SecretSource { file: Some("key".into()), ..SecretSource::default() };
        assert_eq!(source.read(folder.path(), "key").unwrap().reveal(), "abc");
    }

    #[test]
    fn none_or_several_sources_are_refused() {
        let none = SecretSource::default();
        assert!(none.read(Path::new("."), "password").unwrap_err().contains("password_env is missing"));
        let two = SecretSource { file: Some("a".into()), variable: Some("B".into()), text: None };
        assert!(two.read(Path::new("."), "password").unwrap_err().contains("only one"));
    }
}
