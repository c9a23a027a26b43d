//! What the shell is told to do.

use std::time::Duration;

use opcua_subscription::{Effect, NodeId, Request};

/// What the shell is told to do; mirrors the effects of [`opcua_subscription::Effect`] that are for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Open a connection and a SecureChannel. Answered by one `Connected` or one `Disconnected`; a second one while
    /// there is a connection is not answered.
    Connect,
    /// Write what is queued, close channel and connection. Answered by one `Disconnected`, which is that of a connection
    /// that broke at the same time if there is one.
    Disconnect,
    /// Send a request. Answered once, unless the connection ends first; dropped where there is none.
    Send {
        /// Names the request until it is answered.
        request_handle: u32,
        /// The `RequestHeader`'s `authenticationToken`; `None`: null.
        authentication_token: Option<NodeId>,
        /// The service.
        request: Request,
        /// After which the answer is `Bad_Timeout`; `None`: never.
        timeout: Option<Duration>,
    },
}

impl TryFrom<Effect> for Command {
    type Error = Effect;

    /// Takes the effects that are for the shell.
    ///
    /// # Errors
    /// The effect, if it is for somebody else.
    fn try_from(effect: Effect) -> Result<Self, Effect> {
        match effect {
            Effect::Connect => Ok(Self::Connect),
            Effect::Disconnect => Ok(Self::Disconnect),
            Effect::Send { request_handle, authentication_token, request, timeout } => {
                Ok(Self::Send { request_handle, authentication_token, request, timeout })
            }
            other @ (Effect::Publish { .. } | Effect::SaveState(_) | Effect::Report(_) | Effect::Stopped) => Err(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_of_others_are_handed_back() {
        assert_eq!(Command::try_from(Effect::Connect), Ok(Command::Connect));
        assert_eq!(Command::try_from(Effect::Stopped), Err(Effect::Stopped));
    }
}
