//! The Event Hubs producer: the SDK on a tokio lane, its outcomes checked.
