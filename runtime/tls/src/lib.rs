//! The server side of TLS: files become what handshakes use, and change without dropping a client.
//!
//! [`ServerTls::load`] reads a [`TlsConfig`]'s files and tells what is wrong with which of them. Each handshake takes
//! [`ServerTls::current`], so [`ServerTls::reload`] (asked for, or noticed by [`ServerTls::check_files`]) changes what the next
//! one uses, and a client that is connected notices nothing. [`ensure_self_made`] makes a CA and a server certificate where
//! nobody has brought one. Nothing here touches a socket, and nothing of it belongs on an actor's core: files are read,
//! and keys are made.
//!
//! | File | Its idea |
//! |---|---|
//! | `config.rs` | which files, and what is asked of clients |
//! | `server.rs` | what is in force, and its replacement |
//! | `loaded.rs` | one reading of the files: everything that handshakes use |
//! | `peer.rs` | the certificates of a client, along the path that was verified |
//! | `pem_file.rs` | reads PEM, and says which file and what is wrong |
//! | `self_made.rs` | a CA and a server certificate of our own, renewed in time |
//! | `certificate.rs` | dates and names of a certificate |
//! | `error.rs` | what may be wrong, with the remedy |
//!
//! **Resumption.** A client without certificate may resume by a ticket, which spares the key exchange's signature. Where clients
//! show certificates there is none: a ticket would outlive a revocation. A reload voids all tickets.

mod certificate;
mod config;
mod error;
mod loaded;
mod peer;
mod pem_file;
mod self_made;
mod server;

pub use config::{ClientCertificates, RevocationDepth, TlsConfig};
pub use error::TlsError;
pub use loaded::Loaded;
pub use peer::TlsPeer;
pub use self_made::{SelfMade, ensure_self_made};
pub use server::ServerTls;
