//! `base.toml` says of every key what it means, its unit, cost, range and how it changes, and says it rightly.

use std::collections::BTreeMap;

use placement::Profile;

const BASE: &str = include_str!("../../../hardware-profiles/base.toml");

/// The comment above each key, its lines joined by a space.
fn comments() -> BTreeMap<(String, String), String> {
    let (mut table, mut comment) = (String::new(), String::new());
    let mut comments = BTreeMap::new();
    for line in BASE.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text);
        } else if let Some(header) = line.strip_prefix('[') {
            table.clear();
            table.push_str(header.split(']').next().unwrap_or_default());
            comment.clear();
        } else if let Some((key, _)) = line.split_once(" = ") {
            comments.insert((table.clone(), key.to_owned()), std::mem::take(&mut comment));
        } else {
            assert_eq!(line, "", "a line that is neither comment, table, key nor empty");
            comment.clear();
        }
    }
    comments
}

#[test]
fn base_holds_every_key_and_no_other() {
    let checked: Vec<(String, String)> =
        Profile::keys().into_iter().map(|key| (key.table.to_owned(), key.name.to_owned())).collect();
    let comments = comments();
    for key in &checked {
        assert!(comments.contains_key(key), "{key:?} is not in base.toml");
    }
    assert_eq!(comments.len(), checked.len());
}

#[test]
fn every_key_has_all_parts_of_its_comment() {
    for ((table, key), comment) in comments() {
        let mut rest = comment.as_str();
        for part in [" Unit: ", " Cost: ", " Range: ", " Changes: "] {
            let (before, after) = rest.split_once(part).unwrap_or_else(|| panic!("{table}.{key}: no{part}in order"));
            assert!(before.trim().len() >= 2, "{table}.{key}: what stands before{part}says nothing");
            rest = after;
        }
        assert!(rest.starts_with("restart") || rest.starts_with("live"), "{table}.{key}: changes by {rest}");
    }
}

#[test]
fn the_range_that_is_told_is_the_range_that_is_checked() {
    let comments = comments();
    for key in Profile::keys() {
        let comment = &comments[&(key.table.to_owned(), key.name.to_owned())];
        let told = format!(" Range: {}. Changes: ", key.range);
        assert!(
            comment.contains(&told),
            "{}.{} is checked for {}, and base.toml says: {comment}",
            key.table,
            key.name,
            key.range
        );
    }
}

#[test]
fn every_duration_and_size_names_its_unit() {
    let unit_of_suffix =
        [("_us", "us"), ("_ms", "ms"), ("_s", "s"), ("_mib", "MiB"), ("_kib", "KiB"), ("_percent", "percent")];
    for ((table, key), comment) in comments() {
        let name = key.trim_end_matches("_max").trim_end_matches("_min");
        let is_rate = name.ends_with("_per_s");
        if let Some((_, unit)) = unit_of_suffix.iter().find(|(suffix, _)| name.ends_with(suffix) && !is_rate) {
            assert!(
                comment.contains(&format!(" Unit: {unit}. ")),
                "{table}.{key} is in {unit}, and base.toml says: {comment}"
            );
        }
        if name.ends_with("_bytes") {
            assert!(comment.contains(" Unit: bytes"), "{table}.{key} is in bytes, and base.toml says: {comment}");
        }
    }
}
