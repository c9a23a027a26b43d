//! One node of the subscription index: a level of Topic Filters, in one cache line.

use crate::level_table::NodeIndex;
use crate::subscription::Entries;

/// No node has this number.
pub(crate) const NO_NODE: NodeIndex = NodeIndex::MAX;

/// Levels up to so many bytes stand in the node itself.
const SHORT_BYTES_MAX: usize = 22;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) step: Step,
    /// Subscriptions whose filter ends here.
    pub(crate) entries: Entries,
    /// What few nodes have.
    pub(crate) extras: Option<Box<Extras>>,
    pub(crate) parent: NodeIndex,
    /// [`NO_NODE`] where there is none.
    pub(crate) single_level: NodeIndex,
    /// [`NO_NODE`] where there is none.
    pub(crate) multi_level: NodeIndex,
    /// Children of all three kinds.
    pub(crate) children_count: u32,
}

/// Who else takes what matches the filter that ends at a node.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// Positions of flows, ascending.
    pub(crate) flows: Vec<u16>,
    /// Shared Subscriptions, ascending.
    pub(crate) groups: Vec<u32>,
}

/// How a node is reached from its parent.
#[derive(Debug)]
pub(crate) enum Step {
    Root,
    SingleLevel,
    MultiLevel,
    Short { bytes_count: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Box<[u8]>),
}

impl Step {
    /// By a level of a Topic Filter.
    pub(crate) fn of(level: &[u8]) -> Self {
        match level {
            b"+" => Self::SingleLevel,
            b"#" => Self::MultiLevel,
            _ if level.len() <= SHORT_BYTES_MAX => {
                let mut bytes = [0; SHORT_BYTES_MAX];
                bytes[..level.len()].copy_from_slice(level);
                Self::Short { bytes_count: u8::try_from(level.len()).expect("compared above"), bytes }
            }
            _ => Self::Long(level.into()),
        }
    }

    /// The text of the level, where it is no wildcard.
    pub(crate) fn exact(&self) -> Option<&[u8]> {
        match self {
            Self::Root | Self::SingleLevel | Self::MultiLevel => None,
            Self::Short { bytes_count, bytes } => Some(&bytes[..usize::from(*bytes_count)]),
            Self::Long(level) => Some(level),
        }
    }
}

impl Node {
    pub(crate) fn new(parent: NodeIndex, step: Step) -> Self {
        Self {
            step,
            entries: Entries::None,
            extras: None,
            parent,
            single_level: NO_NODE,
            multi_level: NO_NODE,
            children_count: 0,
        }
    }

    /// Whether a filter ends here or goes on.
    pub(crate) fn is_needed(&self) -> bool {
        self.children_count > 0
            || !matches!(self.entries, Entries::None)
            || self.extras.is_some()
            || matches!(self.step, Step::Root)
    }

    /// Its flows and Shared Subscriptions, to change; [`Node::shrink`] follows a removal.
    pub(crate) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Gives back what is empty.
    pub(crate) fn shrink(&mut self) {
        if self.extras.as_ref().is_some_and(|extras| extras.flows.is_empty() && extras.groups.is_empty()) {
            self.extras = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_one_cache_line() {
        assert_eq!(size_of::<Node>(), 64);
    }

    #[test]
    fn a_level_reads_as_it_was_written() {
        for length in [0, 1, 21, 22, 23, 300] {
            let level = vec![b'x'; length];
            assert_eq!(Step::of(&level).exact(), Some(level.as_slice()));
        }
        assert_eq!((Step::of(b"+").exact(), Step::of(b"#").exact()), (None, None));
    }
}
