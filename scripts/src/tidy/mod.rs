//! Checks of the whole tree. Each finding names file, line and remedy.
//!
//! | File | What it refuses |
//! |---|---|
//! | `length.rs` | Rust files over 800 lines; warns over 500 |
//! | `first_line.rs` | Rust files that do not open with `//!` |
//! | `dead_files.rs` | Rust files that no target reaches |
//! | `comments.rs` | comments about a change, and notes of unfinished work |
//! | `machine_facts.rs` | absolute paths and package hosts of somebody's machine |
//! | `titles.rs` | Markdown documents without exactly one `#` title |
//! | `walls.rs` | executors, sockets and threads below `actors/` |
//! | `dependencies.rs` | dependencies of `actors/` that are not allowed, or point the wrong way |
//! | `lints.rs` | crates that do not take the workspace's lints |
//! | `vectors.rs` | golden bytes that no test reads |
//! | `statements.rs` | tests that name unknown statements of the MQTT standards, and a table that does not say what they prove |
//! | `shell.rs` | shell scripts that go on after a failure |
//!
//! `tree.rs` reads the files, `rust_text.rs` tells code from comments, `workspace.rs` asks cargo.

mod comments;
mod dead_files;
mod dependencies;
mod finding;
mod first_line;
mod length;
mod lints;
mod machine_facts;
mod rust_text;
mod shell;
mod statements;
mod titles;
mod tree;
mod vectors;
mod walls;
mod workspace;

use std::path::Path;

use anyhow::Result;

use finding::Finding;
use tree::Tree;
use workspace::Workspace;

/// Everything that is wrong below `root`, by file and line.
///
/// # Errors
/// When the tree cannot be read, or cargo does not answer.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let workspace = Workspace::read(root)?;
    let mut findings = Vec::new();
    length::check(&tree, &mut findings);
    first_line::check(&tree, &mut findings);
    dead_files::check(&tree, &workspace, &mut findings);
    comments::check(&tree, &mut findings);
    machine_facts::check(&tree, &mut findings);
    titles::check(&tree, &mut findings);
    walls::check(&tree, &mut findings);
    dependencies::check(&tree, &workspace, &mut findings);
    lints::check(&tree, &workspace, &mut findings);
    vectors::check(&tree, &mut findings);
    shell::check(&tree, &mut findings);
    statements::check(&tree, &mut findings);
    findings.sort();
    Ok(findings)
}

/// Where the table of the MQTT standards' statements is committed, and what it must say.
///
/// # Errors
/// When the tree cannot be read.
pub(crate) fn statements(root: &Path) -> Result<(&'static str, String)> {
    Ok((statements::TABLE, statements::table(&Tree::read(root)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_come_by_file_and_line() {
        let tree = Tree::of(&[("b/src/lib.rs", "fn b() {}\n"), ("a.md", "text\n# A\n\n# B\n")]);
        let mut findings = Vec::new();
        first_line::check(&tree, &mut findings);
        titles::check(&tree, &mut findings);
        findings.sort();
        let places: Vec<String> = findings.iter().map(Finding::place).collect();
        assert_eq!(places, ["a.md:4", "b/src/lib.rs:1"]);
    }
}
