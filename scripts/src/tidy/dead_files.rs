//! A Rust file that no target reaches by `mod` is dead: cargo neither builds nor tests it.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::rust_text::RustText;
use super::tree::Tree;
use super::workspace::Workspace;

pub(super) fn check(tree: &Tree, workspace: &Workspace, findings: &mut Vec<Finding>) {
    let mut alive: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<(String, bool)> = Vec::new();
    for package in &workspace.packages {
        open.extend(package.targets.iter().map(|target| (target.clone(), true)));
    }
    while let Some((path, is_root)) = open.pop() {
        let Some(file) = tree.file(&path) else { continue };
        if !alive.insert(path.clone()) {
            continue;
        }
        for candidates in reached_from(&path, is_root, &file.text) {
            open.extend(
                candidates.into_iter().filter(|candidate| tree.file(candidate).is_some()).map(|path| (path, false)),
            );
        }
    }
    for file in tree.rust() {
        let package = workspace.packages.iter().any(|package| file.path.starts_with(&format!("{}/", package.folder)));
        if package && !alive.contains(&file.path) {
            findings.push(Finding::error(
                &file.path,
                1,
                "no `mod` reaches this file: name it in its parent, or delete it",
            ));
        }
    }
}

/// For each module or include of a file, the paths where its file may be.
fn reached_from(path: &str, is_root: bool, text: &str) -> Vec<Vec<String>> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.trim_end_matches(".rs");
    let children = if is_root || stem == "mod" { folder.to_owned() } else { join(folder, stem) };
    let mut reached = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0_usize;
    let code = RustText::new(text).code;
    let mut explicit: Option<String> = None;
    for (at, token) in tokens(&code) {
        match token {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.retain(|(_, opened)| *opened <= depth);
            }
            "path" => explicit = quoted_after(&text[at..], "path").or(explicit),
            "include" => {
                if let Some(file) = quoted_after(&text[at..], "include!(") {
                    reached.push(vec![join(folder, &file)]);
                }
            }
            "mod" => {
                let mut rest = tokens(&code[at + "mod".len()..]).map(|(_, token)| token);
                let (Some(module), Some(end)) = (rest.next(), rest.next()) else { continue };
                if end == "{" {
                    inline.push((module.to_owned(), depth + 1));
                } else if end == ";" {
                    let base = inline.iter().fold(children.clone(), |base, (module, _)| join(&base, module));
                    reached.push(match explicit.take() {
                        Some(file) => vec![join(folder, &file)],
                        None => vec![join(&base, &format!("{module}.rs")), join(&base, &format!("{module}/mod.rs"))],
                    });
                }
            }
            _ => {}
        }
    }
    reached
}

/// Words and braces, semicolons and the like, each with its place.
fn tokens(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += code[at..].len() - code[at..].trim_start().len();
        let first = code[at..].chars().next()?;
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        let len = if is_word(first) {
            code[at..].find(|character| !is_word(character)).unwrap_or(code.len() - at)
        } else {
            first.len_utf8()
        };
        let token = (at, &code[at..at + len]);
        at += len;
        Some(token)
    })
}

/// The text in quotes that follows `name`, with nothing but spaces and `=` between.
fn quoted_after(text: &str, name: &str) -> Option<String> {
    let rest = text.strip_prefix(name)?.trim_start_matches([' ', '=', '\n']);
    let (quoted, _) = rest.strip_prefix('"')?.split_once('"')?;
    Some(quoted.to_owned())
}

/// `folder/path`, its `..` resolved.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Package;
    use super::*;

    fn dead(files: &[(&str, &str)], targets: &[&str]) -> Vec<String> {
        let package = Package {
            folder: "c".to_owned(),
            targets: targets.iter().map(ToString::to_string).collect(),
            ..Package::default()
        };
        let mut findings = Vec::new();
        check(&Tree::of(files), &Workspace { packages: vec![package] }, &mut findings);
        findings.iter().map(Finding::place).collect()
    }

    #[test]
    fn modules_are_followed_through_folders_and_inline_ones() {
        let files = [
            ("c/src/lib.rs", "mod a;\npub(crate) mod b;\nmod inline {\n    mod deep;\n}\n// mod comment;\n"),
            ("c/src/a.rs", "mod inner;\n#[path = \"../odd.rs\"]\nmod odd;\n"),
            ("c/src/a/inner.rs", ""),
            ("c/odd.rs", ""),
            ("c/src/b/mod.rs", "#[cfg(test)]\nmod c;\n"),
            ("c/src/b/c.rs", ""),
            ("c/src/inline/deep.rs", ""),
            ("c/src/comment.rs", ""),
            ("c/tests/all.rs", "mod world;\n"),
            ("c/tests/world/mod.rs", ""),
            ("elsewhere/x.rs", ""),
        ];
        assert_eq!(dead(&files, &["c/src/lib.rs", "c/tests/all.rs"]), ["c/src/comment.rs:1"]);
    }

    #[test]
    fn included_files_are_alive() {
        let files = [("c/src/lib.rs", "include!(\"../generated/table.rs\");\n"), ("c/generated/table.rs", "")];
        assert_eq!(dead(&files, &["c/src/lib.rs"]), [""; 0]);
    }
}
