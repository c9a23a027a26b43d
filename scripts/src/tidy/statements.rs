//! The standard's statements and the tests that prove them: one table, made of both.
//!
//! `actors/mqtt/statements/*.txt` has the statements, one a line; above a test a comment `proves 5.0: ID, ID` names those that it
//! proves, of the version before the colon.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::finding::Finding;
use super::rust_text::RustText;
use super::tree::{File, Tree};

/// Where the lists of statements are, each named by its version.
const LISTS: &str = "actors/mqtt/statements/";
/// The committed table.
pub(crate) const TABLE: &str = "actors/mqtt/STATEMENTS.md";
/// How a comment begins that names statements.
const PROVES: &str = "proves ";

/// Whom a statement binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binds {
    Server,
    /// A client; a server tells who keeps to it and who does not.
    Receives,
    /// A client, in what no server sees.
    Client,
    /// A server of another kind than ours.
    Aside,
}

impl Binds {
    /// Whether our server is concerned.
    fn is_ours(self) -> bool {
        matches!(self, Self::Server | Self::Receives)
    }
}

#[derive(Clone, Debug)]
struct Statement {
    version: String,
    id: String,
    binds: Binds,
    words: String,
    /// Where it stands, for findings.
    path: String,
    line: usize,
    /// File and name of each test that proves it.
    tests: Vec<(String, String)>,
}

/// All statements, in the order of their lists.
#[derive(Clone, Debug, Default)]
struct Statements {
    all: Vec<Statement>,
}

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let statements = Statements::read(tree, findings);
    if statements.all.is_empty() {
        return;
    }
    for open in statements.all.iter().filter(|statement| statement.is_open()) {
        let text = format!("no test proves {} of {}: write one, or say whom it binds", open.id, open.version);
        findings.push(Finding::error(&open.path, open.line, text));
    }
    let committed = tree.file(TABLE).map_or("", |file| &file.text);
    if committed != statements.table() {
        let text = "not what statements and tests say: run `cargo run -p scripts -- statements --write`";
        findings.push(Finding::error(TABLE, 1, text));
    }
}

/// The table, as it is to be committed.
pub(super) fn table(tree: &Tree) -> String {
    Statements::read(tree, &mut Vec::new()).table()
}

impl Statement {
    fn is_open(&self) -> bool {
        self.binds.is_ours() && self.tests.is_empty()
    }
}

impl Statements {
    /// Reads lists and tests; what does not fit together is found.
    fn read(tree: &Tree, findings: &mut Vec<Finding>) -> Self {
        let mut statements = Self::default();
        for file in tree.files.iter().filter(|file| file.path.starts_with(LISTS) && file.extension() == "txt") {
            statements.read_list(file, findings);
        }
        if statements.all.is_empty() {
            return statements;
        }
        let places: BTreeMap<(String, String), usize> = (0_usize..)
            .zip(&statements.all)
            .map(|(place, statement)| ((statement.version.clone(), statement.id.clone()), place))
            .collect();
        for file in tree.rust() {
            for proof in proofs_of(file) {
                statements.assign(file, proof, &places, findings);
            }
        }
        for statement in &mut statements.all {
            statement.tests.sort();
            statement.tests.dedup();
        }
        statements
    }

    /// Gives a test to the statements that it proves.
    fn assign(
        &mut self,
        file: &File,
        proof: Proof,
        places: &BTreeMap<(String, String), usize>,
        findings: &mut Vec<Finding>,
    ) {
        let Proof { version, ids, line, test } = proof;
        let mut found = |remedy: String| findings.push(Finding::error(&file.path, line, remedy));
        let Some(name) = test else {
            return found("no test below it: let the comment stand right above the attributes of one".to_owned());
        };
        for id in ids {
            match places.get(&(version.clone(), id.clone())) {
                Some(place) if !self.all[*place].binds.is_ours() => {
                    found(format!("{id} of {version} does not bind this server: name what does"));
                }
                Some(place) => self.all[*place].tests.push((file.path.clone(), name.clone())),
                None => found(format!("{id} is no statement of {version}: look it up in {LISTS}")),
            }
        }
    }

    fn read_list(&mut self, file: &File, findings: &mut Vec<Finding>) {
        let version = file.path.trim_start_matches(LISTS).trim_end_matches(".txt").to_owned();
        for (line, text) in (1_usize..).zip(file.text.lines()) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let parts: Vec<&str> = text.split('|').map(str::trim).collect();
            let (id, binds, words) = match parts[..] {
                [id, "server", words] if !words.is_empty() => (id, Binds::Server, words),
                [id, "receives", words] if !words.is_empty() => (id, Binds::Receives, words),
                [id, "client", ""] => (id, Binds::Client, ""),
                [id, "aside", words] if !words.is_empty() => (id, Binds::Aside, words),
                _ => {
                    findings.push(Finding::error(
                        &file.path,
                        line,
                        "not `id | server, receives, client or aside | words`",
                    ));
                    continue;
                }
            };
            if self.all.iter().any(|other| other.version == version && other.id == id) {
                findings.push(Finding::error(&file.path, line, format!("{id} a second time: delete one")));
                continue;
            }
            self.all.push(Statement {
                version: version.clone(),
                id: id.to_owned(),
                binds,
                words: words.to_owned(),
                path: file.path.clone(),
                line,
                tests: Vec::new(),
            });
        }
    }

    fn versions(&self) -> Vec<&str> {
        let mut versions: Vec<&str> = self.all.iter().map(|statement| statement.version.as_str()).collect();
        versions.dedup();
        versions
    }

    fn table(&self) -> String {
        let mut out = String::from(
            "# What the MQTT standards demand of a server, and the tests that prove it\n\n\
             Made by `cargo run -p scripts -- statements --write` of the lists in `statements/` and of the comments\n\
             `// proves VERSION: ID, ..` above tests; do not edit it. The words are ours and short: the standard's text is what\n\
             holds. \"receives\" marks what a client must do and a server tells from what it must not.\n",
        );
        for version in self.versions() {
            let all: Vec<&Statement> = self.all.iter().filter(|statement| statement.version == version).collect();
            let ours: Vec<&&Statement> = all.iter().filter(|statement| statement.binds.is_ours()).collect();
            let clients_count = all.iter().filter(|statement| statement.binds == Binds::Client).count();
            let open_count = ours.iter().filter(|statement| statement.is_open()).count();
            let _ = write!(
                out,
                "\n## MQTT {version}\n\n{} statements: {} concern a server, {} of these are proved, {open_count} open; {} bind a client \
                 alone and are left out.\n\n| Statement | | In short | Tests |\n|---|---|---|---|\n",
                all.len(),
                ours.len(),
                ours.len() - open_count,
                clients_count,
            );
            for statement in ours {
                let binds = if statement.binds == Binds::Receives { "receives" } else { "" };
                let tests = if statement.tests.is_empty() { "**open**".to_owned() } else { tests_of(statement) };
                let words = statement.words.replace('|', "\\|");
                let _ = writeln!(out, "| {} | {binds} | {words} | {tests} |", statement.id);
            }
            for aside in all.iter().filter(|statement| statement.binds == Binds::Aside) {
                let _ = write!(out, "\nLeft out too: {} {}.\n", aside.id, aside.words);
            }
        }
        out
    }
}

/// The tests of a statement, file by file.
fn tests_of(statement: &Statement) -> String {
    let mut files: Vec<String> = Vec::new();
    let mut by_file: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, test) in &statement.tests {
        by_file.entry(path).or_default().push(test);
    }
    for (path, tests) in by_file {
        let names: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
        files.push(format!("{}: {}", path.trim_start_matches("actors/"), names.join(", ")));
    }
    files.join("; ")
}

/// A comment that names statements, and the test below it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proof {
    version: String,
    ids: Vec<String>,
    line: usize,
    test: Option<String>,
}

fn proofs_of(file: &File) -> Vec<Proof> {
    if !file.text.contains("// proves ") {
        return Vec::new();
    }
    let text = RustText::new(&file.text);
    let code: Vec<&str> = text.code.lines().collect();
    let mut proofs = Vec::new();
    for (line, comment) in &text.comments {
        let Some((version, ids)) = comment.strip_prefix(PROVES).and_then(|rest| rest.split_once(':')) else { continue };
        proofs.push(Proof {
            version: version.trim().to_owned(),
            ids: ids.split(',').map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect(),
            line: *line,
            test: test_below(&code[*line..]),
        });
    }
    proofs
}

/// The name of the function that begins below attributes, one of which makes it a test, and nothing else.
fn test_below(lines: &[&str]) -> Option<String> {
    let mut is_test = false;
    for line in lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
        if line.starts_with("#[") {
            is_test |= line.contains("test");
        } else {
            let (_, declared) = line.split_once("fn ").filter(|_| is_test)?;
            return declared.split(['(', '<']).next().map(|name| name.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        "# a list\n\nA-1 | server | one\nA-2 | receives | two\nA-3 | client |\nA-4 | aside | no bridge\n";

    fn findings_of(test: &str, table: Option<&str>) -> Vec<String> {
        let list = format!("{LISTS}5.0.txt");
        let mut files = vec![(list.as_str(), LIST), ("actors/a/tests/a.rs", test)];
        files.extend(table.map(|table| (TABLE, table)));
        let mut findings = Vec::new();
        check(&Tree::of(&files), &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    const BOTH: &str = "// proves 5.0: A-1, A-2\n#[test]\nfn both() {}\n";

    #[test]
    fn a_table_that_says_what_tests_prove_is_right() {
        let list = format!("{LISTS}5.0.txt");
        let made = table(&Tree::of(&[(&list, LIST), ("actors/a/tests/a.rs", BOTH)]));
        assert!(made.contains("4 statements: 2 concern a server, 2 of these are proved, 0 open; 1 bind a client"));
        assert!(made.contains("| A-2 | receives | two | a/tests/a.rs: `both` |"), "{made}");
        assert!(made.contains("Left out too: A-4 no bridge."), "{made}");
        assert_eq!(findings_of(BOTH, Some(&made)), [""; 0]);
        let [stale] = &findings_of(BOTH, Some("# old\n"))[..] else { panic!("one") };
        assert!(stale.starts_with("actors/mqtt/STATEMENTS.md:1: error"), "{stale}");
    }

    #[test]
    fn a_statement_without_a_test_is_told() {
        let found = findings_of("// proves 5.0: A-2\n#[test]\nfn one() {}\n", None);
        assert!(found.iter().any(|finding| finding.contains("5.0.txt:3: error: no test proves A-1")), "{found:?}");
    }

    #[test]
    fn a_test_that_names_what_is_no_statement_is_told() {
        for (test, expected) in [
            ("// proves 5.0: A-9\n#[test]\nfn f() {}\n", "A-9 is no statement of 5.0"),
            ("// proves 4.0: A-1\n#[test]\nfn f() {}\n", "A-1 is no statement of 4.0"),
            ("// proves 5.0: A-3\n#[test]\nfn f() {}\n", "does not bind this server"),
            ("// proves 5.0: A-1\nfn f() {}\n", "no test below it"),
            ("// proves 5.0: A-1\nconst A: u8 = 0;\n#[test]\nfn f() {}\n", "no test below it"),
        ] {
            let found = findings_of(test, None);
            assert!(found.iter().any(|finding| finding.contains(expected)), "{test}: {found:?}");
        }
    }

    #[test]
    fn a_tree_without_lists_has_no_table() {
        let mut findings = Vec::new();
        check(&Tree::of(&[("a/tests/a.rs", "// proves 5.0: A-1\n#[test]\nfn f() {}\n")]), &mut findings);
        assert_eq!(findings, []);
    }
}
