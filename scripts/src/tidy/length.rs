//! A file holds one idea; a long one holds several.

use super::finding::Finding;
use super::tree::Tree;

/// Lines from which a file asks to be split.
const WARNED_LINES: usize = 500;
/// Lines from which it is refused.
const REFUSED_LINES: usize = 800;

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.rust().filter(|file| !file.path.contains("/generated/")) {
        let count = file.text.lines().count();
        if count > REFUSED_LINES {
            let text = format!("{count} lines, {REFUSED_LINES} at most: split it by its nouns, one idea a file");
            findings.push(Finding::error(&file.path, count, text));
        } else if count > WARNED_LINES {
            let text =
                format!("{count} lines, past {WARNED_LINES} a file asks to be split: does it hold a second idea?");
            findings.push(Finding::warning(&file.path, count, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_warned_of_and_then_refused() {
        let lines = |count: usize| "\n".repeat(count);
        let tree = Tree::of(&[("a.rs", &lines(500)), ("b.rs", &lines(501)), ("c.rs", &lines(801))]);
        let mut findings = Vec::new();
        check(&tree, &mut findings);
        assert_eq!(findings.iter().map(Finding::is_error).collect::<Vec<_>>(), [false, true]);
    }
}
