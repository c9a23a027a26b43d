//! What `actors/` depends on: few packages from elsewhere, each of them listed, and of ours only what stands below.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Finding;
use super::tree::Tree;
use super::workspace::Workspace;

/// The packages that actors may depend on, also through others: a name a line, where it has one the only crate that
/// may, and why.
const ALLOWED: &str = "scripts/actors-dependencies.txt";
/// Which of ours may depend on which: on those of a lower number alone.
const RANKS: [(&str, u8); 5] = [
    ("actors/contract", 0),
    ("actors/mqtt", 1),
    ("actors/access", 2),
    ("actors/wiring", 4),
    ("actors/simulator", 5),
];
/// The actors themselves.
const ACTOR_RANK: u8 = 3;

pub(super) fn check(tree: &Tree, workspace: &Workspace, findings: &mut Vec<Finding>) {
    let allowed_text = tree.file(ALLOWED).map_or("", |file| file.text.as_str());
    let allowed: BTreeMap<&str, Option<&str>> = allowed_text.lines().filter_map(entry).collect();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for package in workspace.packages.iter().filter(|package| package.folder.starts_with("actors/")) {
        let manifest = format!("{}/Cargo.toml", package.folder);
        let line_of = |name: &str| {
            let text = tree.file(&manifest).map_or("", |file| file.text.as_str());
            let is_line = |line: &str| line.starts_with(name) && line[name.len()..].starts_with(['.', ' ', '=']);
            text.lines().position(is_line).map_or(1, |index| index + 1)
        };
        for name in &package.foreign {
            let only = allowed.get(name.as_str()).copied();
            if only.is_some_and(|only| only.is_none_or(|only| only == package.name)) {
                used.insert(name);
            } else {
                let text = format!(
                    "{} comes to depend on `{name}`: do without, or add it to {ALLOWED} and say why",
                    package.name
                );
                findings.push(Finding::error(&manifest, line_of(name), text));
            }
        }
        for neighbour in &package.neighbours {
            let is_below =
                rank(neighbour).is_some_and(|theirs| rank(&package.folder).is_some_and(|ours| theirs < ours));
            if !is_below {
                let name = neighbour.rsplit('/').next().unwrap_or(neighbour);
                let text = format!(
                    "{} depends on {neighbour}: actors never import each other, nor what is above them; let actors/wiring join them",
                    package.name
                );
                findings.push(Finding::error(&manifest, line_of(name), text));
            }
        }
    }
    for (index, line) in allowed_text.lines().enumerate() {
        if let Some((name, _)) = entry(line).filter(|(name, _)| !used.contains(name)) {
            findings.push(Finding::warning(
                ALLOWED,
                index + 1,
                format!("no actor depends on `{name}`: take the line out"),
            ));
        }
    }
}

/// The name of a line, and the only crate that may depend on it.
fn entry(line: &str) -> Option<(&str, Option<&str>)> {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    Some((words.next()?, words.next()))
}

/// `None`: not below actors/.
fn rank(folder: &str) -> Option<u8> {
    let listed = RANKS.into_iter().find(|(path, _)| *path == folder).map(|(_, rank)| rank);
    listed.or_else(|| folder.starts_with("actors/").then_some(ACTOR_RANK))
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Package;
    use super::*;

    fn found(folder: &str, neighbours: &[&str], foreign: &[&str]) -> Vec<String> {
        let package = Package {
            name: folder.rsplit('/').next().unwrap().to_owned(),
            folder: folder.to_owned(),
            neighbours: neighbours.iter().map(ToString::to_string).collect(),
            foreign: foreign.iter().map(ToString::to_string).collect(),
            ..Package::default()
        };
        let manifest = format!("{folder}/Cargo.toml");
        let tree = Tree::of(&[
            (ALLOWED, "# head\nbytes # bodies\nrand simulator # draws\n"),
            (&manifest, "[dependencies]\nserde.workspace = true\n"),
        ]);
        let mut findings = Vec::new();
        check(&tree, &Workspace { packages: vec![package] }, &mut findings);
        findings.iter().map(Finding::place).collect()
    }

    #[test]
    fn a_package_that_is_not_listed_is_refused_at_its_line() {
        let rand_unused = "scripts/actors-dependencies.txt:3";
        assert_eq!(found("actors/dataflow", &[], &["bytes", "serde"]), ["actors/dataflow/Cargo.toml:2", rand_unused]);
        assert_eq!(found("actors/dataflow", &[], &["bytes", "rand"]), ["actors/dataflow/Cargo.toml:1", rand_unused]);
        assert_eq!(found("actors/simulator", &[], &["bytes", "rand"]), [""; 0]);
        let unused = found("actors/simulator", &[], &["rand"]);
        assert_eq!(unused, ["scripts/actors-dependencies.txt:2"], "a line without use");
    }

    #[test]
    fn dependencies_point_one_way() {
        let is_refused = |folder: &str, neighbour: &str| {
            found(folder, &[neighbour], &["bytes"]).contains(&format!("{folder}/Cargo.toml:1"))
        };
        for (folder, neighbour) in [
            ("actors/dataflow", "actors/egress-batcher"),
            ("actors/dataflow", "actors/wiring"),
            ("actors/contract", "actors/mqtt"),
            ("actors/wiring", "runtime/executor"),
        ] {
            assert!(is_refused(folder, neighbour), "{folder} on {neighbour}");
        }
        for (folder, neighbour) in [
            ("actors/dataflow", "actors/contract"),
            ("actors/dataflow", "actors/mqtt"),
            ("actors/simulator", "actors/wiring"),
        ] {
            assert!(!is_refused(folder, neighbour), "{folder} on {neighbour}");
        }
    }
}
