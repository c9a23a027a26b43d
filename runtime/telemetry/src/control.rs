//! Requests and answers of the control socket: one JSON object a line, with a version.

use serde::{Deserialize, Serialize};

use crate::NodeSnapshot;

/// The version of the protocol. A request of another version is refused with a sentence that names both.
pub const CONTROL_VERSION: u32 = 1;

/// The longest line that is read, in bytes; a longer one ends the conversation.
pub const CONTROL_LINE_BYTES_MAX: usize = 64 * 1024;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Verb {
    /// The whole snapshot.
    Status,
    /// The resolved plan, as the table that `millicore plan` prints.
    Plan,
    /// Changes what is logged, in the syntax of `RUST_LOG`.
    LogLevel {
        /// For example `info,opcua_subscription=debug`.
        filter: String,
    },
    /// Reads certificates, revocation lists, password files, keys of tokens and the site's authorization rules anew.
    Reload,
}

/// One line to the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRequest {
    /// [`CONTROL_VERSION`].
    pub version: u32,
    /// What is asked.
    pub verb: Verb,
}

/// Why a line is no request.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Not the JSON of a request.
    #[error("not a request of the control socket: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version of the protocol.
    #[error(
        "the control socket speaks version {CONTROL_VERSION}, the request has version {found}: use the command line of the running version"
    )]
    Version {
        /// The version found.
        found: u32,
    },
}

impl ControlRequest {
    /// Makes a request of this version.
    pub fn new(verb: Verb) -> Self {
        Self { version: CONTROL_VERSION, verb }
    }

    /// Reads one line, without its end.
    ///
    /// # Errors
    /// [`ControlError`]: the sentence goes back in [`ControlAnswer::Error`].
    pub fn parse(line: &str) -> Result<Self, ControlError> {
        let request: Self = serde_json::from_str(line)?;
        if request.version != CONTROL_VERSION {
            return Err(ControlError::Version { found: request.version });
        }
        Ok(request)
    }
}

/// What a reload has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is in force anew, a sentence each.
    pub changed: Vec<String>,
    /// What could not be used, a sentence each; what was in force before stays.
    pub failed: Vec<String>,
}

/// One line from the socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlAnswer {
    /// To [`Verb::Status`].
    Status(Box<NodeSnapshot>),
    /// To [`Verb::Plan`].
    Plan(String),
    /// To [`Verb::Reload`].
    Reloaded(Reloaded),
    /// It was done.
    Done,
    /// It was not, and why.
    Error(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_its_line() {
        let request = ControlRequest::new(Verb::LogLevel { filter: "debug".into() });
        assert_eq!(ControlRequest::parse(&serde_json::to_string(&request).unwrap()).unwrap(), request);
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let error = ControlRequest::parse(r#"{"version":9,"verb":"status"}"#).unwrap_err();
        assert!(error.to_string().contains("version 9"), "{error}");
    }

    #[test]
    fn a_line_that_is_no_request_is_an_error() {
        for line in ["", "{}", "[]", r#"{"version":1,"verb":"reboot"}"#, r#"{"version":1,"verb":"status","x":1}"#] {
            assert!(ControlRequest::parse(line).is_err(), "{line}");
        }
    }
}
