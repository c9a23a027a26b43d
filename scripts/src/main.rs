//! What a person or CI runs on the tree itself: `tidy` checks what compilers cannot; `statements` makes the table of what tests
//! prove of the MQTT standards.

mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "usage: scripts tidy [FOLDER]\n       scripts statements [--write]\n\n\
    tidy checks the tree that FOLDER, or the current folder, lies in. statements prints the table of what the MQTT standards\n\
    demand of a server and which tests prove it; with --write it goes to where it is committed.";

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => run_tidy(Path::new(".")),
        ["tidy", folder] if !folder.starts_with('-') => run_tidy(Path::new(folder)),
        ["statements"] => run_statements(false),
        ["statements", "--write"] => run_statements(true),
        ["-h" | "--help"] | [_, "-h" | "--help"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("{USAGE}"),
    }
}

fn run_tidy(folder: &Path) -> Result<ExitCode> {
    let findings = tidy::check(&find_root(folder)?)?;
    for finding in &findings {
        println!("{finding}");
    }
    let errors_count = findings.iter().filter(|finding| finding.is_error()).count();
    println!("tidy: {errors_count} errors, {} warnings", findings.len() - errors_count);
    Ok(if errors_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_statements(is_to_be_written: bool) -> Result<ExitCode> {
    let root = find_root(Path::new("."))?;
    let (path, table) = tidy::statements(&root)?;
    if is_to_be_written {
        std::fs::write(root.join(path), table).with_context(|| format!("{path}: cannot be written"))?;
    } else {
        print!("{table}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The nearest folder upwards whose manifest is a workspace's.
fn find_root(folder: &Path) -> Result<PathBuf> {
    let start = folder.canonicalize().with_context(|| format!("{}: no such folder", folder.display()))?;
    let is_root = |folder: &&Path| {
        std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.contains("[workspace]"))
    };
    let root = start.ancestors().find(is_root);
    Ok(root.with_context(|| format!("{}: no workspace here or above", start.display()))?.to_owned())
}
