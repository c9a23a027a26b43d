//! Reads TOML into checked types, and goes on after a mistake: one look finds all.
//!
//! serde stops at the first thing that it cannot take. So what it stumbled over is taken out of the tree, and it tries
//! again, as long as each try finds something.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::SiteError;

/// Mistakes past this number are left for the next look.
const ERRORS_COUNT_MAX: usize = 50;

/// Reads `text`, which was read from `file`. Returns what could be read, with what could not left out, and every mistake;
/// where there is a mistake the value serves only to look for more.
pub(super) fn parse_all<T: DeserializeOwned>(file: &Path, text: &str) -> (Option<T>, Vec<SiteError>) {
    let (mut tree, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<SiteError> =
        errors.iter().take(ERRORS_COUNT_MAX).map(|error| SiteError::of_parser(file, text, error)).collect();
    if !errors.is_empty() {
        // A tree that was guessed in part would be blamed for what it lacks.
        return (None, errors);
    }
    let mut removed_names = Vec::new();
    while errors.len() < ERRORS_COUNT_MAX {
        let error = match T::deserialize(Deserializer::from(tree.clone())) {
            Ok(value) => return (Some(value), errors),
            Err(error) => error,
        };
        let follows = missing_field(error.message()).is_some_and(|name| removed_names.contains(&name));
        if !follows {
            let told = SiteError::of_parser(file, text, &error);
            if errors.contains(&told) {
                // What is missing is missing still, whatever is taken out.
                break;
            }
            errors.push(told);
        }
        let Some(span) = error.span() else { break };
        match remove_innermost(tree.get_mut(), &span) {
            Some(name) => removed_names.push(name),
            // The whole file is what it stumbled over.
            None => break,
        }
    }
    (None, errors)
}

/// The key that serde misses.
fn missing_field(message: &str) -> Option<String> {
    message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()).map(str::to_owned)
}

/// Takes the innermost entry at `span` out of `table`; `None` when there is none. Returns its key.
fn remove_innermost(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (_, value) in table.iter_mut() {
        let found = match value.get_mut() {
            DeValue::Table(inner) => remove_innermost(inner, span),
            DeValue::Array(elements) => remove_from_array(elements, span),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        if found.is_some() {
            return found;
        }
    }
    let name =
        table.iter().find(|(key, value)| holds(key.span()) || holds(value.span())).map(|(key, _)| key.clone())?;
    table.remove(&name);
    Some(name.into_inner().into_owned())
}

/// The same for an array; an element goes by the name of its index.
fn remove_from_array(elements: &mut DeArray<'_>, span: &Range<usize>) -> Option<String> {
    for element in elements.iter_mut() {
        if let DeValue::Table(inner) = element.get_mut()
            && let Some(name) = remove_innermost(inner, span)
        {
            return Some(name);
        }
    }
    let index =
        elements.iter().position(|element| element.span().start <= span.start && span.end <= element.span().end)?;
    let all = std::mem::replace(elements, DeArray::new());
    *elements = all.into_iter().enumerate().filter(|(at, _)| *at != index).map(|(_, element)| element).collect();
    Some(index.to_string())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only whether it can be read matters")]
        number: u8,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        name: String,
    }

    fn found(text: &str) -> Vec<(usize, String)> {
        let (_, errors) = parse_all::<Outer>(Path::new("file"), text);
        errors.into_iter().map(|error| (error.position.expect("it has a place").0, error.problem)).collect()
    }

    #[test]
    fn all_unknown_keys_and_wrong_types_are_found() {
        let text = "number = \"x\"\nnumbr = 1\n[[items]]\nname = 5\n[[items]]\nname = \"b\"\nnmae = 1\n";
        let lines: Vec<usize> = found(text).into_iter().map(|(line, _)| line).collect();
        let mut sorted = lines.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [1, 2, 4, 7], "{:?}", found(text));
    }

    #[test]
    fn a_missing_key_is_told_at_its_table_and_the_rest_is_read_on() {
        let text = "number = 1\n[[items]]\n[[items]]\nname = \"b\"\nx = 1\n";
        let problems = found(text);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.iter().any(|(line, problem)| *line == 2 && problem.contains("missing field `name`")));
    }

    #[test]
    fn a_key_that_the_whole_file_lacks_is_told_once() {
        let problems = found("[[items]]\nname = \"a\"\n[[items]]\nname = \"b\"\n");
        assert_eq!(problems, [(1, "missing field `number`".to_owned())]);
    }

    #[test]
    fn what_is_right_is_read() {
        let (value, errors) = parse_all::<Outer>(Path::new("file"), "number = 1\n[[items]]\nname = \"a\"\n");
        assert!(errors.is_empty());
        assert_eq!(value.map(|value| value.items[0].name.clone()).as_deref(), Some("a"));
    }

    #[test]
    fn mistakes_of_syntax_are_all_told() {
        assert_eq!(found("number = \nitems = [\n").len().min(1), 1);
    }
}
