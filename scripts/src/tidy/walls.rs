//! Nothing below `actors/` knows an executor, a socket, a thread or a file.

use super::finding::Finding;
use super::rust_text::RustText;
use super::tree::Tree;

/// Paths that stay out, and what to do there.
const FORBIDDEN: [(&str, &str); 7] = [
    ("glommio", "an actor knows no executor: ask for an effect, and let runtime/ carry it out"),
    ("tokio", "an actor knows no executor: ask for an effect, and let runtime/ carry it out"),
    ("flume", "an actor knows no channel: ask for an effect, and let actors/wiring name its receiver"),
    ("std::net", "an actor knows no socket: take bytes or messages, and let runtime/io do the rest"),
    ("std::thread", "an actor owns no thread: the hardware profile says where it runs"),
    ("std::process", "an actor knows no process: take what it needs as an argument"),
    ("std::os", "an actor knows no kernel: take what it needs as an argument"),
];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.rust().filter(|file| file.path.starts_with("actors/")) {
        let code = RustText::new(&file.text).code;
        for (index, line) in code.lines().enumerate() {
            for (path, remedy) in FORBIDDEN.into_iter().filter(|(path, _)| names(line, path)) {
                findings.push(Finding::error(&file.path, index + 1, format!("`{path}` below actors/: {remedy}")));
            }
        }
    }
}

/// Whether a line of code names the path, and not a longer word.
fn names(line: &str, path: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_searched_and_comments_are_not() {
        let tree = Tree::of(&[
            ("actors/a/src/lib.rs", "//! No tokio.\nuse std::network;\nuse std::net::IpAddr;\nlet x = \"glommio\";\n"),
            ("runtime/b/src/lib.rs", "use glommio::Task;\n"),
        ]);
        let mut findings = Vec::new();
        check(&tree, &mut findings);
        assert_eq!(findings.iter().map(Finding::place).collect::<Vec<_>>(), ["actors/a/src/lib.rs:3"]);
    }
}
