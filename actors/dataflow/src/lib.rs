//! dataflow: to be written.
