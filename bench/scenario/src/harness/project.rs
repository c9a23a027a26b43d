//! The project that a program of the bench was built from: its folder and its commit.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

/// The project's folder: the nearest one above this program or the working folder that holds the scenarios.
pub fn project_root() -> PathBuf {
    let starts = [std::env::current_exe().ok(), std::env::current_dir().ok()];
    let above = starts.iter().flatten().flat_map(|start| start.ancestors());
    above.filter(|folder| folder.join("bench/scenarios").is_dir()).map(Path::to_owned).next().unwrap_or_default()
}

/// The commit that a report names: `asked`, unless that is empty or nothing; else git's, with `-dirty` where files differ.
///
/// # Errors
/// If an empty name asks for git's commit and files differ from it.
pub fn commit(asked: Option<&str>, root: &Path) -> anyhow::Result<String> {
    if let Some(commit) = asked.filter(|commit| !commit.is_empty()) {
        return Ok(commit.to_owned());
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else { return Ok("unknown".to_owned()) };
    let is_dirty = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    if is_dirty && asked.is_some() {
        bail!("files differ from commit {head}: a figure that names a commit must come from it");
    }
    Ok(if is_dirty { format!("{head}-dirty") } else { head })
}
