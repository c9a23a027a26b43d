//! `[[core]]`: which processor, and what sits on it.

use std::collections::BTreeSet;
use std::fmt;

use telemetry::ActorKind;
use toml_edit::{Item, TableLike};

use crate::finding::{Position, nearest};
use crate::reader::Reader;
use crate::source::Source;

/// One core of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileCore {
    /// Its name, at most 15 bytes: also that of its thread.
    pub name: String,
    /// Which processor.
    pub selector: Selector,
    /// The kinds of actors that sit on it; instances are dealt in turn among the cores that list a kind.
    pub actors: Vec<ActorKind>,
    /// The lanes that sit on it.
    pub lanes: Vec<LaneKind>,
}

/// How a profile names a processor. Only those that the process may use count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// The kernel's number of a logical processor.
    Cpu(usize),
    /// The n-th physical core, performance cores first, and which of its siblings.
    PhysicalCore {
        /// From 0.
        number: usize,
        /// From 0; 0 exists on every core.
        sibling: usize,
    },
    /// The n-th processor of a class: one of each physical core first, then the second siblings.
    Index {
        /// `None`: of any class, performance cores before efficiency cores.
        class: Option<CoreClass>,
        /// From 0.
        index: usize,
    },
}

/// What a physical core is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoreClass {
    /// A fast core; on machines with one kind of core, all are.
    Performance,
    /// A slower, thriftier core of a machine with two kinds.
    Efficiency,
}

impl CoreClass {
    /// The word that profiles use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Performance => "performance",
            Self::Efficiency => "efficiency",
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(formatter, "cpu = {cpu}"),
            Self::PhysicalCore { number, sibling } => {
                write!(formatter, "physical_core = {number}, sibling = {sibling}")
            }
            Self::Index { class: None, index } => write!(formatter, "index = {index}"),
            Self::Index { class: Some(class), index } => {
                write!(formatter, "class = \"{}\", index = {index}", class.name())
            }
        }
    }
}

/// A pinned thread that is no executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneKind {
    /// The vendor's SDK that sends to Event Hubs. Batchers are dealt in turn among several.
    Egress,
    /// The control socket and signals. One in a profile.
    Control,
    /// Work that would stall a core: handshakes, RSA, argon2, large compressions.
    Blocking,
}

impl LaneKind {
    /// All kinds, in the order in which data flows.
    pub const ALL: [Self; 3] = [Self::Egress, Self::Control, Self::Blocking];

    /// The name that profiles and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Egress => "egress-lane",
            Self::Control => "control-lane",
            Self::Blocking => "blocking-lane",
        }
    }
}

const KEYS: [&str; 8] = ["name", "cpu", "physical_core", "sibling", "class", "index", "actors", "lanes"];
const CORES_COUNT_MAX: usize = 1_024;
const NAME_BYTES_MAX: usize = 15;
const NUMBER_MAX: i64 = 8_191;
const SIBLING_MAX: i64 = 7;

/// The `[[core]]` tables of the last text that has any: they are inherited together or not at all.
pub(crate) fn read_cores(reader: &mut Reader<'_>) -> Vec<ProfileCore> {
    let Some((source, item)) = reader.top("core") else {
        let whole = reader.whole();
        reader.find(whole, "no [[core]]: a profile says which actors sit on which core; vm-4vcpu.toml is an example");
        return Vec::new();
    };
    let position = source.position(item.span());
    let tables: Option<Vec<&dyn TableLike>> = match item {
        Item::ArrayOfTables(tables) => Some(tables.iter().map(|table| table as &dyn TableLike).collect()),
        Item::Value(value) => value
            .as_array()
            .and_then(|array| array.iter().map(|each| each.as_inline_table().map(|t| t as &dyn TableLike)).collect()),
        Item::None | Item::Table(_) => None,
    };
    let Some(tables) = tables else {
        reader.find(position, "each core is a table of an array: write [[core]]");
        return Vec::new();
    };
    if tables.len() > CORES_COUNT_MAX {
        reader.find(position, format!("more than {CORES_COUNT_MAX} cores"));
        return Vec::new();
    }
    let cores: Vec<ProfileCore> =
        tables.into_iter().map(|table| CoreReader { reader, source, table, fallback: &position }.read()).collect();
    check(reader, &cores, &position);
    cores
}

/// What must hold over all cores.
fn check(reader: &mut Reader<'_>, cores: &[ProfileCore], position: &Position) {
    for kind in ActorKind::ALL.into_iter().filter(|kind| !cores.iter().any(|core| core.actors.contains(kind))) {
        let text = format!("no [[core]] lists \"{0}\": add \"{0}\" to the `actors` of one", kind.name());
        reader.find(position.clone(), text);
    }
    for kind in LaneKind::ALL.into_iter().filter(|kind| !cores.iter().any(|core| core.lanes.contains(kind))) {
        let text = format!("no [[core]] lists \"{0}\": add \"{0}\" to the `lanes` of one", kind.name());
        reader.find(position.clone(), text);
    }
    if cores.iter().filter(|core| core.lanes.contains(&LaneKind::Control)).count() > 1 {
        reader.find(position.clone(), "\"control-lane\" is listed by several cores: there is one in a process");
    }
    let (mut names, mut selectors) = (BTreeSet::new(), BTreeSet::new());
    for core in cores {
        if !names.insert(core.name.as_str()) {
            reader.find(position.clone(), format!("two cores have the name \"{}\"", core.name));
        }
        if !selectors.insert(core.selector) {
            let text = format!("two cores have the place `{}`: join their `actors` and `lanes`", core.selector);
            reader.find(position.clone(), text);
        }
    }
}

/// Reads one `[[core]]`.
struct CoreReader<'r, 'c> {
    reader: &'r mut Reader<'c>,
    source: &'c Source,
    table: &'c dyn TableLike,
    fallback: &'r Position,
}

impl CoreReader<'_, '_> {
    fn read(mut self) -> ProfileCore {
        for (key, item) in self.table.iter() {
            if !KEYS.contains(&key) {
                let hint = match nearest(key, KEYS) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("there are {}", KEYS.join(", ")),
                };
                let position = self.table.get_key_value(key).map_or_else(
                    || self.source.position(item.span()),
                    |(key, item)| self.source.position_of_key(key, item),
                );
                self.reader.find(position, format!("unknown key `{key}` in [[core]]; {hint}"));
            }
        }
        let name = self.name();
        let selector = self.selector();
        let actors = self.words("actors", &ActorKind::ALL.map(|kind| (kind.name(), kind)));
        let lanes = self.words("lanes", &LaneKind::ALL.map(|kind| (kind.name(), kind)));
        if actors.is_empty() && lanes.is_empty() {
            self.find(None, "a core without `actors` and `lanes`: cores that no [[core]] names are left to the system");
        }
        ProfileCore { name, selector, actors, lanes }
    }

    fn find(&mut self, item: Option<&Item>, text: impl Into<String>) {
        let position = match item.and_then(Item::span).or_else(|| self.first_span()) {
            Some(span) => self.source.position(Some(span)),
            None => self.fallback.clone(),
        };
        self.reader.find(position, text);
    }

    /// The table's own place is that of its first key.
    fn first_span(&self) -> Option<std::ops::Range<usize>> {
        let (key, _) = self.table.iter().next()?;
        self.table.get_key_value(key).and_then(|(key, _)| key.span())
    }

    fn name(&mut self) -> String {
        let item = self.table.get("name");
        let name = item.and_then(Item::as_str).unwrap_or_default();
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_letter) {
            self.find(item, format!("`name` of a [[core]] takes 1 to {NAME_BYTES_MAX} of a to z, 0 to 9 and -"));
        }
        name.to_owned()
    }

    fn selector(&mut self) -> Selector {
        let cpu = self.number("cpu", NUMBER_MAX);
        let physical_core = self.number("physical_core", NUMBER_MAX);
        let sibling = self.number("sibling", SIBLING_MAX);
        let index = self.number("index", NUMBER_MAX);
        let class = self.class();
        let has_class = self.table.contains_key("class");
        match (cpu, physical_core, index) {
            (Some(cpu), None, None) if sibling.is_none() && !has_class => Selector::Cpu(cpu),
            (None, Some(number), None) if !has_class => {
                Selector::PhysicalCore { number, sibling: sibling.unwrap_or(0) }
            }
            (None, None, Some(index)) if sibling.is_none() => Selector::Index { class, index },
            _ => {
                let text = "a [[core]] names its place in one way: `index` (with `class` or without), or \
                            `physical_core` (with `sibling` or without), or `cpu`";
                self.find(None, text);
                Selector::Index { class: None, index: 0 }
            }
        }
    }

    fn class(&mut self) -> Option<CoreClass> {
        let item = self.table.get("class")?;
        let class = [CoreClass::Performance, CoreClass::Efficiency]
            .into_iter()
            .find(|class| item.as_str() == Some(class.name()));
        if class.is_none() {
            self.find(Some(item), "`class` is \"performance\" or \"efficiency\"");
        }
        class
    }

    fn number(&mut self, key: &str, max: i64) -> Option<usize> {
        let item = self.table.get(key)?;
        let number = item.as_integer().filter(|number| (0..=max).contains(number));
        if number.is_none() {
            self.find(Some(item), format!("`{key}` takes an integer from 0 to {max}"));
        }
        // A value, so that the missing number is not reported as well.
        Some(number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0))
    }

    fn words<T: Copy + PartialEq>(&mut self, key: &str, choices: &[(&'static str, T)]) -> Vec<T> {
        let Some(item) = self.table.get(key) else { return Vec::new() };
        let Some(array) = item.as_array() else {
            self.find(Some(item), format!("`{key}` takes a list, as in {key} = [\"{}\"]", choices[0].0));
            return Vec::new();
        };
        let mut words = Vec::new();
        for value in array {
            let given = value.as_str().unwrap_or_default();
            let found = choices.iter().find(|(word, _)| *word == given);
            let text = match found {
                Some((_, kind)) if words.contains(kind) => format!("\"{given}\" stands twice in `{key}`"),
                Some((_, kind)) => {
                    words.push(*kind);
                    continue;
                }
                None => unknown_word(key, given, choices.iter().map(|(word, _)| *word)),
            };
            let position = self.source.position(value.span());
            self.reader.find(position, text);
        }
        words
    }
}

fn unknown_word<'a>(key: &str, given: &str, words: impl Iterator<Item = &'a str> + Clone) -> String {
    let is_actor = ActorKind::ALL.iter().any(|kind| kind.name() == given);
    let is_lane = LaneKind::ALL.iter().any(|kind| kind.name() == given);
    if is_actor || is_lane {
        let other = if is_actor { "actors" } else { "lanes" };
        return format!("\"{given}\" belongs in `{other}`");
    }
    match nearest(given, words.clone()) {
        Some(word) => format!("`{key}` knows no \"{given}\"; did you mean \"{word}\"?"),
        None => format!("`{key}` knows no \"{given}\"; there are {}", words.collect::<Vec<_>>().join(", ")),
    }
}
