//! broker-partition: to be written.
