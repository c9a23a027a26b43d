//! mqtt-connection: to be written.
