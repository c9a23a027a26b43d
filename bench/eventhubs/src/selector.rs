//! Where a receiver starts: the selector of Event Hubs, such as `amqp.annotation.x-opt-offset > '-1'`.

/// Where in a partition to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Before the oldest event that is kept.
    Earliest,
    /// Behind the newest.
    Latest,
    /// At or behind an event, by its offset.
    Offset {
        /// Of the event.
        offset: i64,
        /// Whether that event itself is wanted.
        inclusive: bool,
    },
    /// At or behind an event, by its sequence number.
    SequenceNumber {
        /// Of the event.
        sequence_number: i64,
        /// Whether that event itself is wanted.
        inclusive: bool,
    },
    /// At or behind a moment.
    EnqueuedTime {
        /// Milliseconds since 1970.
        time_ms: i64,
        /// Whether events of that millisecond are wanted.
        inclusive: bool,
    },
}

const OFFSET: &str = "amqp.annotation.x-opt-offset";
const SEQUENCE_NUMBER: &str = "amqp.annotation.x-opt-sequence-number";
const ENQUEUED_TIME: &str = "amqp.annotation.x-opt-enqueued-time";

impl Start {
    /// Reads a selector. The value may stand in quotes or not.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(selector: &str) -> Result<Self, String> {
        let malformed = || format!("the selector '{selector}' is not understood");
        let (name, rest) = selector.split_once('>').ok_or_else(malformed)?;
        let (inclusive, rest) = match rest.strip_prefix('=') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let value = rest.trim().trim_matches('\'');
        let number = || value.parse::<i64>().map_err(|_| malformed());
        match name.trim() {
            OFFSET if value == "@latest" => Ok(Self::Latest),
            OFFSET if value == "-1" => Ok(Self::Earliest),
            OFFSET => Ok(Self::Offset { offset: number()?, inclusive }),
            SEQUENCE_NUMBER => Ok(Self::SequenceNumber { sequence_number: number()?, inclusive }),
            ENQUEUED_TIME => Ok(Self::EnqueuedTime { time_ms: number()?, inclusive }),
            _ => Err(malformed()),
        }
    }

    /// The selector that says this.
    pub fn selector(&self) -> String {
        let sign = |inclusive: bool| if inclusive { ">=" } else { ">" };
        match *self {
            Self::Earliest => format!("{OFFSET} > '-1'"),
            Self::Latest => format!("{OFFSET} > '@latest'"),
            Self::Offset { offset, inclusive } => format!("{OFFSET} {} '{offset}'", sign(inclusive)),
            Self::SequenceNumber { sequence_number, inclusive } => {
                format!("{SEQUENCE_NUMBER} {} '{sequence_number}'", sign(inclusive))
            }
            Self::EnqueuedTime { time_ms, inclusive } => format!("{ENQUEUED_TIME} {} '{time_ms}'", sign(inclusive)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sdks_say_is_understood() {
        let time = Start::EnqueuedTime { time_ms: 1_700_000_000_123, inclusive: true };
        for (text, start) in [
            ("amqp.annotation.x-opt-offset > '-1'", Start::Earliest),
            ("amqp.annotation.x-opt-offset > '@latest'", Start::Latest),
            ("amqp.annotation.x-opt-offset >'12'", Start::Offset { offset: 12, inclusive: false }),
            (
                "amqp.annotation.x-opt-sequence-number >='7'",
                Start::SequenceNumber { sequence_number: 7, inclusive: true },
            ),
            ("amqp.annotation.x-opt-enqueued-time >= 1700000000123", time),
        ] {
            assert_eq!(Start::parse(text), Ok(start), "{text}");
            assert_eq!(Start::parse(&start.selector()), Ok(start));
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_own_words() {
        for text in ["", "x > '1'", "amqp.annotation.x-opt-offset = '1'", "amqp.annotation.x-opt-offset > 'x'"] {
            assert!(Start::parse(text).unwrap_err().contains(text));
        }
    }
}
