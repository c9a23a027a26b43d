//! Reads typed keys out of a chain of texts, and finds what is wrong with them.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml_edit::{Item, Table};

use crate::finding::{Finding, Position, ProfileError, nearest};
use crate::source::{Chain, Source};

/// What may stand at the top of a profile beside its tables.
const TOP_KEYS: [&str; 2] = ["inherit", "core"];

/// One key that a profile may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The table that it stands in.
    pub table: &'static str,
    /// Its name, the unit last.
    pub name: &'static str,
    /// What is allowed, as `base.toml` words it.
    pub range: String,
}

/// Reads keys; each read makes the key known, and a wrong value a finding.
///
/// After a finding a read answers a value of the right type that must not be used: [`Reader::finish`] reports.
#[derive(Debug)]
pub(crate) struct Reader<'c> {
    chain: &'c Chain,
    findings: Vec<Finding>,
    keys: Vec<Key>,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(chain: &'c Chain) -> Self {
        Self { chain, findings: Vec::new(), keys: Vec::new() }
    }

    /// The keys of one table.
    pub(crate) fn table(&mut self, table: &'static str) -> TableReader<'_, 'c> {
        TableReader { reader: self, table }
    }

    /// The last text that has the top-level item `name`, with the item.
    pub(crate) fn top(&self, name: &str) -> Option<(&'c Source, &'c Item)> {
        let chain = self.chain;
        chain.sources.iter().rev().find_map(|source| source.root().get(name).map(|item| (source, item)))
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Notes what is wrong at `position`.
    pub(crate) fn find(&mut self, position: Position, text: impl Into<String>) {
        if self.findings.len() < ProfileError::FINDINGS_COUNT_MAX {
            self.findings.push(Finding { position, text: text.into() });
        }
    }

    /// Notes what is wrong with the value of a key that was read.
    pub(crate) fn find_at_key(&mut self, table: &str, name: &str, text: impl Into<String>) {
        let position = self.position_of(table, name);
        self.find(position, text);
    }

    /// The profile as a whole, for what no line is to blame for.
    pub(crate) fn whole(&self) -> Position {
        let file = self.chain.sources.iter().rev().find(|source| !source.is_command_line());
        file.map_or(Position { file: self.chain.name.clone(), line_column: None }, |source| Position {
            line_column: None,
            ..source.position(None)
        })
    }

    fn position_of(&self, table: &str, name: &str) -> Position {
        let chain = self.chain;
        chain
            .sources
            .iter()
            .rev()
            .find_map(|source| {
                let item = source.root().get(table)?.as_table_like()?.get(name)?;
                Some(source.position(item.span()))
            })
            .unwrap_or_else(|| self.whole())
    }

    /// Ends the reading: keys that nobody read are unknown. Hands back all keys that were read.
    pub(crate) fn finish(mut self) -> Result<Vec<Key>, ProfileError> {
        for source in &self.chain.sources {
            self.find_unknown(source);
        }
        if self.findings.is_empty() { Ok(self.keys) } else { Err(ProfileError { findings: self.findings }) }
    }

    fn find_unknown(&mut self, source: &Source) {
        let root: &Table = source.root();
        for (table, item) in root {
            if TOP_KEYS.contains(&table) {
                continue;
            }
            let position = || match root.get_key_value(table) {
                Some((key, item)) => source.position_of_key(key, item),
                None => source.position(item.span()),
            };
            if !self.keys.iter().any(|key| key.table == table) {
                let text = self.unknown_at_the_top(table);
                self.find(position(), text);
                continue;
            }
            let Some(keys) = item.as_table_like() else {
                self.find(position(), format!("`{table}` is a table: write [{table}]"));
                continue;
            };
            for (name, item) in keys.iter() {
                if self.keys.iter().any(|key| key.table == table && key.name == name) {
                    continue;
                }
                let position = match keys.get_key_value(name) {
                    Some((key, item)) => source.position_of_key(key, item),
                    None => source.position(item.span()),
                };
                let text = self.unknown_key(table, name);
                self.find(position, text);
            }
        }
    }

    fn unknown_at_the_top(&self, given: &str) -> String {
        let mut tables: Vec<&str> = self.keys.iter().map(|key| key.table).chain(TOP_KEYS).collect();
        tables.dedup();
        if let Some(key) = self.keys.iter().find(|key| key.name == given) {
            return format!("`{given}` belongs in [{}]", key.table);
        }
        match nearest(given, tables.iter().copied()) {
            Some(name) => format!("unknown table or key `{given}`; did you mean `{name}`?"),
            None => format!("unknown table or key `{given}`; there are {}", tables.join(", ")),
        }
    }

    fn unknown_key(&self, table: &str, given: &str) -> String {
        let mut text = format!("unknown key `{given}` in [{table}]");
        let here = self.keys.iter().filter(|key| key.table == table).map(|key| key.name);
        if let Some(elsewhere) = self.keys.iter().find(|key| key.name == given) {
            let _infallible = write!(text, "; it belongs in [{}]", elsewhere.table);
        } else if let Some(name) = nearest(given, here) {
            let _infallible = write!(text, "; did you mean `{name}`?");
        } else if let Some(name) = nearest(given, self.keys.iter().map(|key| key.name)) {
            let key = self.keys.iter().find(|key| key.name == name).expect("nearest answers one of its candidates");
            let _infallible = write!(text, "; did you mean `{name}` of [{}]?", key.table);
        } else {
            let _infallible = write!(text, "; base.toml lists all keys");
        }
        text
    }
}

/// Reads the keys of one table.
#[derive(Debug)]
pub(crate) struct TableReader<'r, 'c> {
    reader: &'r mut Reader<'c>,
    table: &'static str,
}

impl<'c> TableReader<'_, 'c> {
    /// An integer within `range`, both ends allowed.
    ///
    /// # Panics
    /// When an end of `range` does not fit `T`.
    pub(crate) fn integer<T: TryFrom<i64>>(&mut self, name: &'static str, range: RangeInclusive<i64>) -> T {
        let (min, max) = (*range.start(), *range.end());
        self.know(name, format!("{} to {}", group_digits(min), group_digits(max)));
        let given = self.get(name).and_then(|(source, item)| match item.as_integer() {
            Some(value) if range.contains(&value) => Some(value),
            Some(value) => {
                let text = format!(
                    "`{name}` = {} is out of range: {} to {} is allowed",
                    group_digits(value),
                    group_digits(min),
                    group_digits(max)
                );
                self.reader.find(source.position(item.span()), text);
                None
            }
            None => {
                self.wrong_type(name, "an integer", source, item);
                None
            }
        });
        let convert = |value| T::try_from(value).ok().expect("the ends of a key's range fit its type");
        let _max_fits = convert(max);
        convert(given.unwrap_or(min))
    }

    /// A duration whose key ends in `_us`, `_ms` or `_s` (or has that before `_min` or `_max`).
    ///
    /// # Panics
    /// When the name says no unit.
    pub(crate) fn duration(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Duration {
        let value: u64 = self.integer(name, range);
        let unit = name.strip_suffix("_max").or_else(|| name.strip_suffix("_min")).unwrap_or(name);
        match unit.rsplit('_').next() {
            Some("us") => Duration::from_micros(value),
            Some("ms") => Duration::from_millis(value),
            Some("s") => Duration::from_secs(value),
            other => panic!("{name}: {other:?} is no unit of time"),
        }
    }

    /// A size in MiB, as bytes.
    pub(crate) fn mebibytes(&mut self, name: &'static str, range: RangeInclusive<i64>) -> u64 {
        self.integer::<u64>(name, range) << 20
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&'static str, T)]) -> T {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let words = words.join(", ");
        self.know(name, words.clone());
        let first = choices.first().expect("a choice has at least one word").1;
        let Some((source, item)) = self.get(name) else { return first };
        let Some(given) = item.as_str() else {
            self.wrong_type(name, &format!("one of {words}"), source, item);
            return first;
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == given) {
            return *value;
        }
        let meant = nearest(given, choices.iter().map(|(word, _)| *word));
        let hint = meant.map_or(String::new(), |word| format!("; did you mean \"{word}\"?"));
        let text = format!("`{name}` = \"{given}\" is not allowed: one of {words}{hint}");
        self.reader.find(source.position(item.span()), text);
        first
    }

    /// A text without control characters, of `range` bytes.
    pub(crate) fn text(&mut self, name: &'static str, range: RangeInclusive<usize>) -> String {
        self.know(name, format!("{} to {} bytes", range.start(), range.end()));
        let Some((source, item)) = self.get(name) else { return String::new() };
        let Some(given) = item.as_str() else {
            self.wrong_type(name, "a text in quotes", source, item);
            return String::new();
        };
        if !range.contains(&given.len()) || given.chars().any(char::is_control) {
            let text = format!("`{name}` takes {} to {} bytes without control characters", range.start(), range.end());
            self.reader.find(source.position(item.span()), text);
        }
        given.to_owned()
    }

    /// Makes the key known without reading it, for keys of a shape of their own.
    pub(crate) fn know(&mut self, name: &'static str, range: String) {
        self.reader.keys.push(Key { table: self.table, name, range });
    }

    /// The item that holds: that of the last text that has the key. Its lack is a finding.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<(&'c Source, &'c Item)> {
        let table = self.table;
        let chain = self.reader.chain;
        let found = chain.sources.iter().rev().find_map(|source| {
            let item = source.root().get(table)?.as_table_like()?.get(name)?;
            Some((source, item))
        });
        if found.is_none() {
            let whole = self.reader.whole();
            let text = format!("`{name}` of [{table}] is missing: inherit = \"base.toml\" brings all keys");
            self.reader.find(whole, text);
        }
        found
    }

    /// Notes that the value has the wrong type.
    pub(crate) fn wrong_type(&mut self, name: &str, wanted: &str, source: &Source, item: &Item) {
        let text = format!("`{name}` takes {wanted}, not {} {}", article(item.type_name()), item.type_name());
        self.reader.find(source.position(item.span()), text);
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Decimal digits in groups of three, as TOML may write them: `1_000_000`.
pub(crate) fn group_digits(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_groups_of_three() {
        assert_eq!(group_digits(0), "0");
        assert_eq!(group_digits(999), "999");
        assert_eq!(group_digits(1_000), "1_000");
        assert_eq!(group_digits(-1_234_567), "-1_234_567");
        assert_eq!(group_digits(i64::MIN), "-9_223_372_036_854_775_808");
    }
}
