//! The first line of a Rust file says its one idea.

use super::finding::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.rust() {
        let says = file
            .text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("//!"))
            .is_some_and(|idea| !idea.trim().is_empty());
        if !says {
            findings.push(Finding::error(
                &file.path,
                1,
                "opens without `//!`: say in one sentence what the file is for",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idea_is_needed_and_an_empty_one_is_none() {
        let tree = Tree::of(&[("a.rs", "//! An idea.\n"), ("b.rs", "//!\n"), ("c.rs", "use a;\n"), ("d.rs", "")]);
        let mut findings = Vec::new();
        check(&tree, &mut findings);
        assert_eq!(findings.iter().map(Finding::place).collect::<Vec<_>>(), ["b.rs:1", "c.rs:1", "d.rs:1"]);
    }
}
