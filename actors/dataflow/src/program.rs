//! A flow's configuration, compiled once to the stages that every publication passes.

use bytes::Bytes;
use contract::{FlowIndex, Publication};
use mqtt::{Properties, TopicFilter};

/// What a flow's configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The flow.
    pub flow: FlowIndex,
    /// Topic Filters, at least one; a publication that matches any of them is taken once.
    pub sources: Vec<String>,
    /// What the destination keeps in order.
    pub key: KeyChoice,
}

/// What becomes an event's key. Events of one key keep their order at the destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyChoice {
    /// The Topic Name.
    #[default]
    TopicName,
    /// The value of the User Property of this name; the Topic Name where a publication has none.
    UserProperty(String),
    /// The same for all: the whole flow keeps its order, and uses one partition of the hub.
    Constant(String),
    /// No key: no order is kept, and every partition of the hub that is free is used.
    None,
}

/// Why a configuration cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// No Topic Filter is given.
    #[error("a dataflow needs at least one source")]
    NoSource,
    /// Not a Topic Filter (MQTT 5.0 §4.7), or a shared one: a flow shares its sources by itself.
    #[error("`{filter}` is not a Topic Filter: wildcards take a whole level, `#` only the last, and no `$share/`")]
    TopicFilter {
        /// The text that was given.
        filter: String,
    },
    /// A constant key, or a User Property's name, is empty.
    #[error("the key is empty; for events without a key say so")]
    EmptyKey,
}

/// What a flow does with each publication. Compiled once, run without allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    flow: FlowIndex,
    stages: Vec<Stage>,
}

/// One step of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Leaves out what matches none of these.
    Source(Vec<TopicFilter>),
    /// Gives the output its key.
    Key(Key),
}

/// A [`KeyChoice`] that is ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    TopicName,
    UserProperty(Bytes),
    Constant(Bytes),
}

/// What a program makes of one publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) key: Bytes,
    pub(crate) publication: Publication,
}

impl Program {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// Each kind of [`CompileError`]; the configuration must be corrected.
    pub fn compile(config: &Config) -> Result<Self, CompileError> {
        if config.sources.is_empty() {
            return Err(CompileError::NoSource);
        }
        let filter_of =
            |text: &String| TopicFilter::parse(text).map_err(|_| CompileError::TopicFilter { filter: text.clone() });
        let sources = config.sources.iter().map(filter_of).collect::<Result<_, _>>()?;
        let bytes_of = |text: &String| match text.as_str() {
            "" => Err(CompileError::EmptyKey),
            text => Ok(Bytes::copy_from_slice(text.as_bytes())),
        };
        let mut stages = vec![Stage::Source(sources)];
        match &config.key {
            KeyChoice::TopicName => stages.push(Stage::Key(Key::TopicName)),
            KeyChoice::UserProperty(name) => stages.push(Stage::Key(Key::UserProperty(bytes_of(name)?))),
            KeyChoice::Constant(text) => stages.push(Stage::Key(Key::Constant(bytes_of(text)?))),
            KeyChoice::None => {}
        }
        Ok(Self { flow: config.flow, stages })
    }

    /// The flow that it belongs to.
    pub fn flow(&self) -> FlowIndex {
        self.flow
    }

    /// The Topic Filters that its partitions must match for it.
    pub fn topic_filters(&self) -> impl Iterator<Item = &str> {
        self.stages
            .iter()
            .flat_map(|stage| match stage {
                Stage::Source(filters) => filters.as_slice(),
                Stage::Key(_) => &[],
            })
            .map(TopicFilter::as_str)
    }

    /// What becomes of `publication`; `None` where the program leaves it out.
    pub(crate) fn run(&self, publication: Publication) -> Option<Output> {
        let mut output = Output { key: Bytes::new(), publication };
        for stage in &self.stages {
            match stage {
                Stage::Source(filters) => {
                    let topic_name = output.publication.topic_name();
                    if !filters.iter().any(|filter| filter.matches(topic_name)) {
                        return None;
                    }
                }
                Stage::Key(key) => output.key = key.of(&output.publication),
            }
        }
        Some(output)
    }
}

impl Key {
    /// The key of `publication`; a slice of its bytes where it stands in them.
    fn of(&self, publication: &Publication) -> Bytes {
        let shared = |part: &[u8]| publication.as_bytes().slice_ref(part);
        match self {
            Self::TopicName => shared(publication.topic_name()),
            Self::UserProperty(name) => {
                let found = Properties::user_property(publication.properties(), name);
                shared(found.unwrap_or_else(|| publication.topic_name()))
            }
            Self::Constant(key) => key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::{publication, publication_with};

    fn config(sources: &[&str], key: KeyChoice) -> Config {
        Config { flow: FlowIndex(1), sources: sources.iter().map(ToString::to_string).collect(), key }
    }

    fn key_of(key: KeyChoice, publication: Publication) -> Bytes {
        Program::compile(&config(&["#"], key)).unwrap().run(publication).unwrap().key
    }

    #[test]
    fn a_publication_that_matches_no_source_is_left_out() {
        let program = Program::compile(&config(&["a/+", "b"], KeyChoice::default())).unwrap();
        assert!(program.run(publication("a/1")).is_some());
        assert!(program.run(publication("b")).is_some());
        assert_eq!(program.run(publication("c")), None);
        assert_eq!(program.topic_filters().collect::<Vec<_>>(), ["a/+", "b"]);
    }

    #[test]
    fn what_passes_keeps_the_publishers_very_bytes() {
        let given = publication("a");
        let output = Program::compile(&config(&["#"], KeyChoice::default())).unwrap().run(given.clone()).unwrap();
        assert_eq!(output.publication.as_bytes().as_ptr(), given.as_bytes().as_ptr());
        assert_eq!(output.key.as_ptr(), given.topic_name().as_ptr());
    }

    #[test]
    fn the_key_is_what_the_configuration_chose() {
        let properties = b"\x26\x00\x0a$partition\x00\x02p7";
        let partitioned = || publication_with("a/b", properties);
        assert_eq!(key_of(KeyChoice::TopicName, partitioned()), "a/b");
        assert_eq!(key_of(KeyChoice::UserProperty("$partition".into()), partitioned()), "p7");
        assert_eq!(key_of(KeyChoice::UserProperty("$partition".into()), publication("a/b")), "a/b");
        assert_eq!(key_of(KeyChoice::Constant("line".into()), partitioned()), "line");
        assert_eq!(key_of(KeyChoice::None, partitioned()), "");
    }

    #[test]
    fn what_cannot_be_compiled_says_why() {
        let compile = |sources: &[&str], key| Program::compile(&config(sources, key)).map(drop);
        assert_eq!(compile(&[], KeyChoice::None), Err(CompileError::NoSource));
        assert_eq!(compile(&["a#"], KeyChoice::None), Err(CompileError::TopicFilter { filter: "a#".into() }));
        assert_eq!(compile(&["a"], KeyChoice::Constant(String::new())), Err(CompileError::EmptyKey));
        assert_eq!(compile(&["a"], KeyChoice::UserProperty(String::new())), Err(CompileError::EmptyKey));
    }
}
