//! io-shells: to be written.
