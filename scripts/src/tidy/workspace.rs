//! What cargo knows: packages, their targets, and which package depends on which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The packages of the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Workspace {
    /// By the path of their manifests.
    pub(super) packages: Vec<Package>,
}

/// One package of the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Package {
    pub(super) name: String,
    /// Its folder below the root.
    pub(super) folder: String,
    /// The files that its targets begin with, below the root.
    pub(super) targets: Vec<String>,
    /// Packages of the tree that it depends on by itself, tests aside: their folders.
    pub(super) neighbours: Vec<String>,
    /// Names of all packages from elsewhere that it depends on, tests and build scripts aside, also through others.
    pub(super) foreign: BTreeSet<String>,
}

impl Workspace {
    /// Asks cargo about the workspace at `root`, without the network where the answer is there already.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let host = host_triple()?;
        let answer = metadata(root, &host, true).or_else(|_| metadata(root, &host, false))?;
        Self::of(&answer, root)
    }

    fn of(answer: &Value, root: &Path) -> Result<Self> {
        let root = root.to_string_lossy();
        let below = |path: &str| path.strip_prefix(root.as_ref()).map(|path| path.trim_start_matches('/').to_owned());
        let packages = list(answer, "packages");
        let edges = edges(answer);
        let names: BTreeMap<&str, (&str, bool)> = packages
            .iter()
            .map(|package| {
                (text(package, "id"), (text(package, "name"), package.get("source").is_some_and(Value::is_string)))
            })
            .collect();
        let mut own = Vec::new();
        for package in packages.iter().filter(|package| package.get("source").is_none_or(Value::is_null)) {
            let manifest = text(package, "manifest_path");
            let Some(manifest) = below(manifest) else { continue };
            let folder = manifest.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned();
            let targets =
                list(package, "targets").iter().filter_map(|target| below(text(target, "src_path"))).collect();
            let neighbours = list(package, "dependencies")
                .iter()
                .filter(|dependency| dependency.get("kind").is_none_or(Value::is_null))
                .filter_map(|dependency| below(dependency.get("path")?.as_str()?))
                .collect();
            let reached = reach(text(package, "id"), &edges);
            let foreign = reached.iter().filter_map(|id| names.get(id).filter(|(_, is_foreign)| *is_foreign));
            own.push(Package {
                name: text(package, "name").to_owned(),
                folder,
                targets,
                neighbours,
                foreign: foreign.map(|(name, _)| (*name).to_owned()).collect(),
            });
        }
        if own.is_empty() {
            bail!("cargo knows no package below {root}");
        }
        Ok(Self { packages: own })
    }
}

fn host_triple() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc does not start: is Rust installed?")?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV tells no host")?.to_owned())
}

fn metadata(root: &Path, host: &str, is_offline: bool) -> Result<Value> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(["metadata", "--format-version", "1", "--filter-platform", host]);
    if is_offline {
        command.arg("--offline");
    }
    let output = command.output().context("cargo does not start")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")
}

/// From each package's id to those that it depends on, without dependencies of tests and of build scripts.
fn edges(answer: &Value) -> BTreeMap<&str, Vec<&str>> {
    let nodes = answer.get("resolve").map(|resolve| list(resolve, "nodes")).unwrap_or_default();
    nodes.iter().map(|node| (text(node, "id"), needs(node))).collect()
}

fn needs(node: &Value) -> Vec<&str> {
    let is_normal = |dependency: &&Value| {
        list(dependency, "dep_kinds").iter().any(|kind| kind.get("kind").is_none_or(Value::is_null))
    };
    list(node, "deps").iter().filter(is_normal).map(|dependency| text(dependency, "pkg")).collect()
}

fn reach<'a>(start: &'a str, edges: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        for next in edges.get(id).into_iter().flatten() {
            if reached.insert(*next) {
                open.push(next);
            }
        }
    }
    reached
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_targets_and_what_they_reach() {
        let answer = serde_json::json!({
            "packages": [
                {"id": "a", "name": "a", "source": null, "manifest_path": "/r/actors/a/Cargo.toml",
                 "targets": [{"src_path": "/r/actors/a/src/lib.rs"}],
                 "dependencies": [{"name": "b", "kind": null, "path": "/r/actors/b"}, {"name": "t", "kind": "dev", "path": "/r/t"}]},
                {"id": "x", "name": "x", "source": "registry"},
                {"id": "y", "name": "y", "source": "registry"},
                {"id": "z", "name": "z", "source": "registry"},
            ],
            "resolve": {"nodes": [
                {"id": "a", "deps": [{"pkg": "x", "dep_kinds": [{"kind": null}]}, {"pkg": "z", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "x", "deps": [{"pkg": "y", "dep_kinds": [{"kind": null}]}]},
            ]},
        });
        let workspace = Workspace::of(&answer, Path::new("/r")).unwrap();
        let [package] = workspace.packages.as_slice() else { panic!("one package") };
        assert_eq!((package.name.as_str(), package.folder.as_str()), ("a", "actors/a"));
        assert_eq!(
            (package.targets.as_slice(), package.neighbours.as_slice()),
            (&["actors/a/src/lib.rs".to_owned()][..], &["actors/b".to_owned()][..])
        );
        assert_eq!(package.foreign.iter().map(String::as_str).collect::<Vec<_>>(), ["x", "y"]);
    }
}
