//! A Markdown document has one title.

use super::finding::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| file.extension() == "md") {
        let titles = title_lines(&file.text);
        match titles.as_slice() {
            [] => findings.push(Finding::error(&file.path, 1, "no title: begin with one `# ` line")),
            [_] => {}
            [_, others @ ..] => {
                for line in others {
                    let text = "a second title: make it a `## ` section, or a document of its own";
                    findings.push(Finding::error(&file.path, *line, text));
                }
            }
        }
    }
}

/// The lines, from 1, of all `# ` titles outside of fenced code.
fn title_lines(text: &str) -> Vec<usize> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) if line.starts_with("# ") => lines.push(index + 1),
            (None | Some(_), None | Some(_)) => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_in_fenced_code_do_not_count() {
        assert_eq!(title_lines("# A\n```sh\n# comment\n```\n## B\n# C\n"), [1, 6]);
        assert_eq!(title_lines("~~~\n```\n# x\n~~~\n# A\n"), [5]);
    }
}
