//! The files of the tree: their paths and texts, without what is built, fetched or measured.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// A file larger than this is data, not text.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// A tree of more files than this is not ours.
const FILES_COUNT_MAX: usize = 20_000;
/// Folders that hold nothing of ours.
const SKIPPED: [&str; 5] = ["target", "node_modules", "results", "corpus", "__pycache__"];
/// Folders with a leading dot that are ours.
const DOTTED: [&str; 3] = [".ci", ".config", ".cargo"];

/// One file of text.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Below the root, with `/` between the parts.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// The part of its name after the last dot; empty where there is none.
    pub(super) fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map_or("", |(_, extension)| extension)
    }

    pub(super) fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    /// A script that names a shell in its first line.
    pub(super) fn is_shell(&self) -> bool {
        self.text.lines().next().is_some_and(|line| line.starts_with("#!") && line.contains("sh"))
    }
}

/// All of them, by path.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

impl Tree {
    /// Reads what lies below `root`. Files that are no text are left out.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        walk(root, "", &mut files)?;
        files.sort_by(|left: &File, right| left.path.cmp(&right.path));
        Ok(Self { files })
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// A tree of these paths and texts.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}: cannot be listed", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("{}: cannot be listed", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().with_context(|| format!("{path}: cannot be looked at"))?;
        if kind.is_dir() {
            let is_ours =
                !SKIPPED.contains(&name.as_str()) && (!name.starts_with('.') || DOTTED.contains(&name.as_str()));
            if is_ours {
                walk(&entry.path(), &path, files)?;
            }
        } else if kind.is_file() && entry.metadata().is_ok_and(|metadata| metadata.len() <= FILE_BYTES_MAX) {
            ensure!(files.len() < FILES_COUNT_MAX, "more than {FILES_COUNT_MAX} files: is this the right folder?");
            let bytes = fs::read(entry.path()).with_context(|| format!("{path}: cannot be read"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_left_out_and_our_dotted_folders_are_read() {
        let root = tempfile::tempdir().unwrap();
        for path in [".ci/run", ".git/config", "target/debug/a.rs", "actors/a/src/lib.rs"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let tree = Tree::read(root.path()).unwrap();
        let paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".ci/run", "actors/a/src/lib.rs"]);
    }

    #[test]
    fn a_name_has_an_extension_or_none() {
        let tree = Tree::of(&[("a/b.rs", ""), (".gitignore", ""), ("scripts/test", "#!/usr/bin/env bash\n")]);
        let extensions: Vec<&str> = tree.files.iter().map(File::extension).collect();
        assert_eq!(extensions, ["rs", "", ""]);
        assert!(tree.files[2].is_shell());
    }
}
