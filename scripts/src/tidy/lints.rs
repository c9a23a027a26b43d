//! Every crate takes the workspace's lints.

use toml_edit::DocumentMut;

use super::finding::Finding;
use super::tree::Tree;
use super::workspace::Workspace;

/// Crates with a table of their own: mailbox knows the cfg of loom, and one module of the MQTT shell takes over a raw
/// socket.
const WITH_OWN_TABLE: [&str; 2] = ["runtime/mailbox", "runtime/io/mqtt"];

pub(super) fn check(tree: &Tree, workspace: &Workspace, findings: &mut Vec<Finding>) {
    for package in &workspace.packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        let Some(document) = tree.file(&manifest).and_then(|file| file.text.parse::<DocumentMut>().ok()) else {
            continue;
        };
        let lints = document.get("lints");
        let takes = lints.and_then(|lints| lints.get("workspace")).and_then(toml_edit::Item::as_bool) == Some(true);
        let has_own = WITH_OWN_TABLE.contains(&package.folder.as_str())
            && lints.is_some_and(|lints| lints.get("rust").is_some() && lints.get("clippy").is_some());
        if !takes && !has_own {
            let text = "does not take the workspace's lints: add `[lints]` with `workspace = true`";
            findings.push(Finding::error(&manifest, 1, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Package;
    use super::*;

    #[test]
    fn a_crate_without_the_table_is_found_and_mailbox_has_its_own() {
        let own = "[lints.rust]\nunsafe_code = \"deny\"\n[lints.clippy]\npedantic = \"warn\"\n";
        let files = [
            ("runtime/mailbox/Cargo.toml", own),
            ("runtime/edge/Cargo.toml", own),
            ("actors/mqtt/Cargo.toml", "[lints]\nworkspace = true\n"),
            ("actors/dataflow/Cargo.toml", "[package]\nname = \"dataflow\"\n"),
        ];
        let package = |(path, _): &(&str, &str)| Package {
            folder: path.trim_end_matches("/Cargo.toml").to_owned(),
            ..Package::default()
        };
        let workspace = Workspace { packages: files.iter().map(package).collect() };
        let mut findings = Vec::new();
        check(&Tree::of(&files), &workspace, &mut findings);
        let places: Vec<String> = findings.iter().map(Finding::place).collect();
        assert_eq!(places, ["runtime/edge/Cargo.toml:1", "actors/dataflow/Cargo.toml:1"]);
    }
}
