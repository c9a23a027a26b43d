//! Golden bytes prove something only if a test reads them.

use super::finding::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| file.extension() == "hex") {
        let Some((crate_folder, name)) = file.path.split_once("/vectors/") else {
            findings.push(Finding::error(&file.path, 1, "golden bytes outside of a `vectors/` folder: move it there"));
            continue;
        };
        let stem = name.trim_end_matches(".hex");
        let prefix = format!("{crate_folder}/");
        let is_read = tree.rust().filter(|source| source.path.starts_with(&prefix)).any(|source| {
            // A test names its file with the ending or without, or reads all that the folder holds.
            source.text.contains(&format!("{name}\""))
                || source.text.contains(&format!("\"{stem}\""))
                || reads_all(&source.text)
        });
        if !is_read {
            let text =
                format!("no test of {crate_folder} reads it: write one that decodes and encodes it, or delete it");
            findings.push(Finding::error(&file.path, 1, text));
        }
    }
}

fn reads_all(source: &str) -> bool {
    source.contains("read_dir") && source.contains("vectors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_no_test_of_their_crate_reads_are_found() {
        let tree = Tree::of(&[
            ("actors/a/src/lib.rs", "include_str!(\"../vectors/x.hex\")"),
            ("actors/a/vectors/x.hex", ""),
            ("actors/a/vectors/y.hex", ""),
            ("actors/b/tests/all.rs", "fs::read_dir(\"vectors\")"),
            ("actors/b/vectors/z.hex", ""),
            ("bench/w.hex", ""),
        ]);
        let mut findings = Vec::new();
        check(&tree, &mut findings);
        assert_eq!(
            findings.iter().map(Finding::place).collect::<Vec<_>>(),
            ["actors/a/vectors/y.hex:1", "bench/w.hex:1"]
        );
    }
}
