//! A shell script stops at its first failure.

use super::finding::Finding;
use super::tree::Tree;

const STRICT: &str = "set -euo pipefail";

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| file.is_shell()) {
        if !file.text.lines().any(|line| line.trim() == STRICT) {
            findings.push(Finding::error(&file.path, 1, format!("goes on after a failure: add `{STRICT}`")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_goes_on_is_found() {
        let tree = Tree::of(&[
            ("scripts/a", "#!/usr/bin/env bash\nset -euo pipefail\n"),
            ("scripts/b", "#!/bin/sh\nls\n"),
            ("scripts/c.txt", "ls\n"),
        ]);
        let mut findings = Vec::new();
        check(&tree, &mut findings);
        assert_eq!(findings.iter().map(Finding::place).collect::<Vec<_>>(), ["scripts/b:1"]);
    }
}
