//! Facts of somebody's machine have no place in the tree: home folders, work folders, hosts that packages come from.

use super::finding::Finding;
use super::tree::Tree;

/// Paths of persons and of build machines. In two halves, so that this file does not hold them.
const FOLDERS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];
/// Hosts of package registries.
const HOSTS: [&str; 7] = [
    concat!("static.crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("files.python", "hosted.org"),
    concat!("pypi", ".org"),
    concat!("registry.npm", "js.org"),
    concat!("deb.deb", "ian.org"),
    concat!("proxy.gol", "ang.org"),
];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| file.path != "Cargo.lock") {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(folder) = FOLDERS.into_iter().find(|folder| holds_path(line, folder)) {
                let text = format!("`{folder}` is a folder of somebody's machine: use a path relative to the tree");
                findings.push(Finding::error(&file.path, index + 1, text));
            }
            if let Some(host) = HOSTS.into_iter().find(|host| line.contains(host)) {
                let text =
                    format!("`{host}` is a host that packages come from: leave it to the package manager's settings");
                findings.push(Finding::error(&file.path, index + 1, text));
            }
        }
    }
}

/// Whether the path begins somewhere in the line, and does not merely go on there.
fn holds_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || matches!(character, '.' | '_' | '-' | '}' | '/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_counts_where_it_begins() {
        let folder = FOLDERS[0];
        for line in [format!("cd {folder}x"), format!("(\"{folder}x\")")] {
            assert!(holds_path(&line, folder), "{line}");
        }
        for line in [format!("a.b{folder}x"), format!("..{folder}x"), format!("$ROOT{folder}x")] {
            assert!(!holds_path(&line, folder), "{line}");
        }
    }

    #[test]
    fn the_lock_file_may_name_its_registry() {
        let text = format!("source = \"{}\"\n", HOSTS[1]);
        let mut findings = Vec::new();
        check(&Tree::of(&[("Cargo.lock", &text), ("a.toml", &text)]), &mut findings);
        assert_eq!(findings.iter().map(Finding::place).collect::<Vec<_>>(), ["a.toml:1"]);
    }
}
