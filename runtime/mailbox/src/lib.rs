//! mailbox: to be written.
