//! Who a client is: password file, certificates, tokens, in the order that its listener says.
//!
//! Order of calls: [`Authenticators::load`] reads the files of a listener's chain, [`Gate::start`] makes the threads that
//! check, and [`Gate::authenticate`] answers for each client. Nothing runs on an actor's core but a look into tables: argon2
//! takes tens of milliseconds. [`Authenticators::check_files`] reads files anew that have changed; what is wrong with them is
//! told, and the chain that was stays.
//!
//! Each authenticator first says whether the credentials concern it at all; the first whom they concern decides, so that a
//! wrong password is never given a second chance as an anonymous client.
//!
//! | File | Its idea |
//! |---|---|
//! | `gate.rs` | the bounded door between cores and the threads that check |
//! | `failure_limit.rs` | guessing is slow: few failures for each address |
//! | `audit.rs` | who was refused, told in the log, and not too often |
//! | `request.rs` | what a client shows, and the answer to it |
//! | `authenticators.rs` | authenticators in their order, and what they read from files |
//! | `password_file.rs` | user names with argon2id hashes, read and checked |
//! | `password_edit.rs` | creates, changes and deletes a user in that file |
//! | `certificates.rs` | the subjects along a certificate's verified path, and the attributes that they stand for |
//! | `subject_name.rs` | a certificate's subject as people write it |
//! | `token.rs` | a JSON Web Token's signature and claims |
//! | `key_set.rs` | the file of public keys that tokens are checked with |
//! | `load_error.rs`, `file_error.rs` | what is wrong with a configuration or a file, and where |

mod audit;
mod authenticators;
mod certificates;
mod failure_limit;
mod file_error;
mod gate;
mod key_set;
mod load_error;
mod password_edit;
mod password_file;
mod request;
mod subject_name;
mod token;

pub use authenticators::{AuthenticatorConfig, Authenticators};
pub use certificates::{CertificateConfig, SubjectAttributes};
pub use failure_limit::FailureLimits;
pub use file_error::FileError;
pub use gate::{Gate, GateCounters, GateSpec};
pub use key_set::KeySet;
pub use load_error::{ConfigField, LoadError};
pub use password_edit::{PasswordEditError, delete_user, set_password};
pub use password_file::{PasswordConfig, PasswordFile};
pub use request::{Answer, AuthenticatorKind, Grant, Request};
pub use token::JwtConfig;
