//! The texts that a profile is made of: its file, what it inherits, and keys from the command line.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item};

use crate::finding::{Position, ProfileError};
use crate::shipped;

/// A profile larger than this is none.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Profiles in one chain of `inherit`.
const CHAIN_COUNT_MAX: usize = 8;

/// One parsed text.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    is_command_line: bool,
    document: Document<String>,
}

impl Source {
    fn parse(name: String, text: &str) -> Result<Self, ProfileError> {
        match Document::parse(text.to_owned()) {
            Ok(document) => Ok(Self { name, is_command_line: false, document }),
            Err(error) => {
                let position = position_in(&name, text, error.span());
                Err(ProfileError::one(position, format!("not TOML: {}", error.message().replace('\n', "; "))))
            }
        }
    }

    /// A key from the command line, `table.key=value`; a value that is no TOML is taken as a string.
    fn from_override(text: &str) -> Result<Self, ProfileError> {
        let name = format!("--set {text}");
        let refuse = |what: &str| {
            let position = Position { file: name.clone(), line_column: None };
            Err(ProfileError::one(position, format!("{what}: write it as TABLE.KEY=VALUE, as in egress.linger_ms=20")))
        };
        let Some((key, value)) = text.split_once('=') else { return refuse("not a key with a value") };
        let (key, value) = (key.trim(), value.trim());
        let is_key = key.split('.').count() == 2
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        if !is_key || value.chars().any(char::is_control) {
            return refuse("not one key of one table");
        }
        let as_string = || format!("{key} = \"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        let parsed = Document::parse(format!("{key} = {value}")).or_else(|_| Document::parse(as_string()));
        match parsed {
            Ok(document) => Ok(Self { name, is_command_line: true, document }),
            Err(_) => refuse("not one key of one table"),
        }
    }

    /// Whether it is a key from the command line.
    pub(crate) fn is_command_line(&self) -> bool {
        self.is_command_line
    }

    /// The items of the whole text.
    pub(crate) fn root(&self) -> &toml_edit::Table {
        self.document.as_table()
    }

    /// Where `span` begins.
    pub(crate) fn position(&self, span: Option<Range<usize>>) -> Position {
        if self.is_command_line {
            return Position { file: self.name.clone(), line_column: None };
        }
        position_in(&self.name, self.document.raw(), span)
    }

    /// Where the key `key` of `item`'s parent stands.
    pub(crate) fn position_of_key(&self, key: &toml_edit::Key, item: &Item) -> Position {
        self.position(key.span().or_else(|| item.span()))
    }
}

fn position_in(name: &str, text: &str, span: Option<Range<usize>>) -> Position {
    let line_column = span.map(|span| {
        let before = text.get(..span.start.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    });
    Position { file: name.to_owned(), line_column }
}

/// The texts of one profile, the most general first; a later one wins, key by key.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) sources: Vec<Source>,
    /// The profile's name: that of its file, without the ending.
    pub(crate) name: String,
}

/// Where a text stands, and how it is told from others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Shipped(&'static str),
    File(PathBuf),
}

impl Chain {
    /// The profile of this name or path, with what it inherits, and `overrides` on top, the last one winning.
    pub(crate) fn load(name_or_path: &str, overrides: &[String]) -> Result<Self, ProfileError> {
        let place = find_profile(name_or_path)?;
        let name = match &place {
            Place::Shipped(name) => (*name).to_owned(),
            Place::File(path) => path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
        };
        Self::assemble(name, read(&place)?, Some(place), overrides)
    }

    /// A profile given as text, named `name`, which may inherit shipped profiles only.
    pub(crate) fn from_text(name: &str, text: &str, overrides: &[String]) -> Result<Self, ProfileError> {
        Self::assemble(name.to_owned(), Source::parse(name.to_owned(), text)?, None, overrides)
    }

    fn assemble(name: String, first: Source, place: Option<Place>, overrides: &[String]) -> Result<Self, ProfileError> {
        let mut seen: Vec<Place> = place.into_iter().collect();
        let mut sources = vec![first];
        while let Some((parent, position)) = find_parent(&sources[sources.len() - 1], seen.last())? {
            if seen.contains(&parent) {
                return Err(ProfileError::one(
                    position,
                    "`inherit` goes in a circle: one of these files must not inherit",
                ));
            }
            if sources.len() == CHAIN_COUNT_MAX {
                let text = format!("`inherit` goes deeper than {CHAIN_COUNT_MAX} files: join some of them");
                return Err(ProfileError::one(position, text));
            }
            sources.push(read(&parent)?);
            seen.push(parent);
        }
        sources.reverse();
        for text in overrides {
            sources.push(Source::from_override(text)?);
        }
        Ok(Self { sources, name })
    }
}

fn find_profile(name_or_path: &str) -> Result<Place, ProfileError> {
    if let Some((name, _)) = shipped::find(name_or_path) {
        return Ok(Place::Shipped(name));
    }
    let path = Path::new(name_or_path);
    match path.canonicalize() {
        Ok(canonical) => Ok(Place::File(canonical)),
        Err(error) => {
            let known = shipped::NAMES.join(", ");
            let text =
                format!("cannot be read ({error}), and no shipped profile has this name: those are {known}, and auto");
            Err(ProfileError::one(Position::of_file(path), text))
        }
    }
}

/// The profile that `source` inherits, if any, and where it says so. A file beside it goes before a shipped one.
fn find_parent(source: &Source, place: Option<&Place>) -> Result<Option<(Place, Position)>, ProfileError> {
    let Some((key, item)) = source.root().get_key_value("inherit") else { return Ok(None) };
    let position = source.position_of_key(key, item);
    let Some(wanted) = item.as_str() else {
        return Err(ProfileError::one(position, "`inherit` names one profile, as in inherit = \"base.toml\""));
    };
    if let Some(Place::File(path)) = place {
        let beside = path.parent().unwrap_or(Path::new("")).join(wanted);
        if let Ok(canonical) = beside.canonicalize() {
            return Ok(Some((Place::File(canonical), position)));
        }
    }
    if let Some((name, _)) = shipped::find(wanted.strip_suffix(".toml").unwrap_or(wanted)) {
        return Ok(Some((Place::Shipped(name), position)));
    }
    let known = shipped::NAMES.join(", ");
    let text = format!("`{wanted}` is neither a file beside this one nor a shipped profile ({known})");
    Err(ProfileError::one(position, text))
}

fn read(place: &Place) -> Result<Source, ProfileError> {
    match place {
        Place::Shipped(name) => {
            let (name, text) = shipped::find(name).expect("a place is made of a shipped profile that was found");
            Source::parse(format!("{name}.toml (shipped)"), text)
        }
        Place::File(path) => match read_file(path) {
            Ok(text) => Source::parse(path.display().to_string(), &text),
            Err(error) => Err(ProfileError::one(Position::of_file(path), format!("cannot be read: {error}"))),
        },
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes, so it is no profile")));
    }
    Ok(text)
}
