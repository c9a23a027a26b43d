//! opcua-subscription: to be written.
