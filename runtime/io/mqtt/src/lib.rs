//! The MQTT listeners: sockets of one core, read and written in batches.
