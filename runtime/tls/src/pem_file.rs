//! Reads PEM files, and says which file and what is wrong.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::error::TlsError;

/// The most that is read of a file. Revocation lists of large CAs have some megabytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// All certificates of a file, at least one.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    sections(file, "a certificate (-----BEGIN CERTIFICATE-----)")
}

/// All revocation lists of a file, at least one.
pub(crate) fn revocation_lists(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    sections(file, "a revocation list (-----BEGIN X509 CRL-----)")
}

/// The first private key of a file.
pub(crate) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wanted = "an unencrypted private key (-----BEGIN PRIVATE KEY-----)";
    let text = read(file)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| explain(file, &error, wanted))
}

/// The whole file, within its limit.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { file: file.to_owned(), source };
    let opened = File::open(file).map_err(failed)?;
    let mut text = Vec::new();
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    let bytes = text.len() as u64;
    if bytes > FILE_BYTES_MAX {
        return Err(TlsError::TooLarge { file: file.to_owned(), bytes, bytes_max: FILE_BYTES_MAX });
    }
    Ok(text)
}

fn sections<T: PemObject>(file: &Path, wanted: &'static str) -> Result<Vec<T>, TlsError> {
    let text = read(file)?;
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| explain(file, &error, wanted))?;
    if found.is_empty() {
        return Err(TlsError::Missing { file: file.to_owned(), wanted });
    }
    Ok(found)
}

fn explain(file: &Path, error: &pem::Error, wanted: &'static str) -> TlsError {
    let file = file.to_owned();
    if matches!(error, pem::Error::NoItemsFound) {
        TlsError::Missing { file, wanted }
    } else {
        TlsError::Pem { file, reason: error.to_string(), wanted }
    }
}
