//! egress-batcher: to be written.
