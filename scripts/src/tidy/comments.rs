//! A comment describes the code; what has changed belongs into the commit's message.

use super::finding::Finding;
use super::rust_text::RustText;
use super::tree::{File, Tree};

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.files {
        for (line, comment) in comments(file) {
            if let Some(text) = complaint(&comment) {
                findings.push(Finding::error(&file.path, line, text));
            }
        }
    }
}

/// The comments of a file of a known kind, line by line.
fn comments(file: &File) -> Vec<(usize, String)> {
    if file.is_rust() {
        return RustText::new(&file.text).comments;
    }
    let mark = match file.extension() {
        "toml" | "py" | "yml" | "yaml" => "#",
        "js" | "mjs" => "//",
        "" if file.is_shell() => "#",
        _ => return Vec::new(),
    };
    let comment = |line: &str| match line.trim_start().strip_prefix(mark) {
        Some(comment) => Some(comment.to_owned()),
        None => line.split_once(&format!(" {mark} ")).map(|(_, comment)| comment.to_owned()),
    };
    (1..).zip(file.text.lines()).filter_map(|(number, line)| Some((number, comment(line)?))).collect()
}

/// What is wrong with a comment, and the remedy.
fn complaint(comment: &str) -> Option<String> {
    let prose = prose(comment);
    if let Some(word) = words(&prose).find(|word| UNFINISHED.contains(word)) {
        return Some(format!("`{word}` in a comment: finish it, or open an issue and name what falls short"));
    }
    // A phrase does not reach over the end of its clause.
    let found = prose.split(['.', ',', ';', ':', '!', '?', '(', ')']).find_map(|clause| {
        let words: Vec<String> = words(clause).map(str::to_lowercase).collect();
        (0..words.len()).find_map(|at| change_at(&words, at))
    })?;
    Some(format!(
        "`{found}` tells of a change: describe the code as it is, and put the change into the commit's message"
    ))
}

/// Marks of unfinished work. In two halves, so that this file does not hold them.
const UNFINISHED: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Words that follow a `now` which tells of a change: "now returns", "it is now a map".
const AFTER_NOW: [&str; 24] = [
    "a", "accepts", "all", "also", "an", "are", "called", "does", "handles", "has", "have", "is", "it", "only",
    "requires", "returns", "supports", "takes", "the", "this", "use", "used", "uses", "we",
];
/// Words before such a `now`.
const BEFORE_NOW: [&str; 9] = ["are", "code", "does", "has", "is", "it", "this", "we", "which"];
/// Words that make the thing replaced an older one: "instead of the old map".
const FORMER: [&str; 6] = ["earlier", "former", "old", "original", "past", "previous"];

/// The phrase that begins at word `at` and tells of a change.
fn change_at(words: &[String], at: usize) -> Option<String> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    match word(at) {
        found @ ("previously" | "formerly" | "refactored") => Some(found.to_owned()),
        "now" => {
            // "until now", "from now on", "now and then" and "now that" tell of a state.
            let is_after = AFTER_NOW.contains(&word(at + 1));
            let is_before =
                at > 0 && BEFORE_NOW.contains(&word(at - 1)) && !matches!(word(at + 1), "" | "and" | "that");
            (is_after || is_before).then(|| "now".to_owned())
        }
        "instead" if word(at + 1) == "of" => {
            (at + 2..at + 5).find(|at| FORMER.contains(&word(*at))).map(|at| format!("instead of {}", word(at)))
        }
        "used" if word(at + 1) == "to" && word(at + 2) == "be" => Some("used to be".to_owned()),
        _ => None,
    }
}

/// A comment without code in backticks and texts in quotes.
fn prose(comment: &str) -> String {
    comment.split(['`', '"']).step_by(2).collect::<Vec<_>>().join(" _ ")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_about_a_change_are_found() {
        for comment in [
            concat!("Now", " returns a slice."),
            concat!("The buffer is ", "now", " bounded."),
            concat!("Previously", ", this was a map."),
            concat!("A tree instead", " of the old map."),
            concat!("This used", " to be a list."),
            concat!("TO", "DO: finish."),
        ] {
            assert!(complaint(comment).is_some(), "{comment}");
        }
    }

    #[test]
    fn comments_about_time_and_choice_are_not() {
        for comment in [
            "Takes one message at `now`; pushes what must happen next.",
            "The runtime asks now and then.",
            "Forwards connections to `server` from now on.",
            "Deals instances, now that each of them has a processor.",
            "Records that must be queued now if nothing was lost.",
            "Plain lines instead of the live screen.",
            "Bytes used to hold the header.",
            "When something can go that cannot go now: a retry.",
            "The values that it has now, and those of its earlier lives.",
            "What the Session does now.",
        ] {
            assert_eq!(complaint(comment), None, "{comment}");
        }
    }

    #[test]
    fn only_comments_are_read() {
        let sentence = concat!("it is ", "now", " a map");
        let tree = Tree::of(&[
            ("a.rs", &format!("//! A.\nlet text = \"{sentence}\";\n// {sentence}\n")),
            ("b.toml", &format!("a = \"{sentence}\"\nb = 1 # {sentence}\n")),
            ("c.md", sentence),
        ]);
        let mut findings = Vec::new();
        check(&tree, &mut findings);
        assert_eq!(findings.iter().map(Finding::place).collect::<Vec<_>>(), ["a.rs:3", "b.toml:2"]);
    }
}
