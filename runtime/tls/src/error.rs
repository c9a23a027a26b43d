//! What may be wrong with the files of a TLS listener, with the remedy.

use std::io;
use std::path::PathBuf;

/// Why TLS cannot be served from these files. What was in force before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}; check the path and that this user may read it", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any that belongs here.
    #[error("{}: {bytes} bytes are more than the {bytes_max} that certificates, keys and lists may take; is it the right file?", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most that is read.
        bytes_max: u64,
    },
    /// A file is no PEM, or a section of it is damaged.
    #[error("{}: not PEM that can be read: {reason}; it should hold {wanted}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
        /// The section that is looked for.
        wanted: &'static str,
    },
    /// A file has no section of the kind that belongs there.
    #[error("{}: holds no {wanted}", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// The section that is looked for.
        wanted: &'static str,
    },
    /// Certificate and key do not belong together, or the key is of a kind that is not known.
    #[error(
        "{} and {}: {reason}; the first certificate of the one must belong to the key in the other",
        certificate_file.display(), key_file.display()
    )]
    Pair {
        /// The certificate's file.
        certificate_file: PathBuf,
        /// The key's file.
        key_file: PathBuf,
        /// What rustls said.
        reason: String,
    },
    /// A certificate cannot serve as a CA, or is damaged.
    #[error("{}: certificate {number} cannot be used: {reason}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// Which of the file, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// The rules for certificates of clients cannot be made from these files.
    #[error("{files}: certificates of clients cannot be checked: {reason}")]
    Clients {
        /// The files, for people.
        files: String,
        /// What rustls said.
        reason: String,
    },
    /// A file of the self-made CA cannot be written.
    #[error("{}: cannot be written: {source}; the self-made certificate needs a directory that this user owns", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("the self-made certificate in {} cannot be made: {reason}", directory.display())]
    SelfMade {
        /// Its directory.
        directory: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
}
