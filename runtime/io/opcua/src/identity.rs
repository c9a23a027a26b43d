//! Our own certificate and key: found in a folder, or made there.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use contract::UtcTime;
use opcua_crypto::{PrivateKey, X509, X509Data};
use x509_cert::der::pem::LineEnding;

use crate::certificate::Certificate;

const KEY_BITS: u32 = 2_048;
const VALID_DAYS: u32 = 3_650;

/// What we prove ourselves with.
pub(crate) struct Identity {
    pub(crate) certificate: Certificate,
    pub(crate) key: PrivateKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("{what} {path}: {source}")]
    File { what: &'static str, path: String, source: io::Error },
    #[error("{path} is no PEM of an RSA key")]
    Key { path: String },
    #[error("{path} is no DER of a certificate with an RSA key")]
    Certificate { path: String },
    #[error("{path} is not of the key beside it; move it away to have one made")]
    Mismatch { path: String },
    #[error("{path} is not valid at this date; move it away to have one made")]
    Expired { path: String },
    #[error("{path} does not name the application URI {uri}; change the URI, or move it away to have one made")]
    ApplicationUri { path: String, uri: String },
    #[error("the application URI {uri:?} must be ASCII and not empty")]
    BadUri { uri: String },
    #[error("the certificate cannot be made: {0}")]
    Making(String),
}

impl Identity {
    /// Loads certificate and key from `directory`, and makes what is missing; whoever makes it first wins. Takes up to
    /// seconds: for a blocking lane.
    ///
    /// # Errors
    /// [`IdentityError`]; what lies there is never replaced.
    pub(crate) fn load_or_make(
        directory: &Path,
        application_uri: &str,
        application_name: &str,
        utc: UtcTime,
    ) -> Result<Self, IdentityError> {
        if application_uri.is_empty() || !application_uri.is_ascii() {
            return Err(IdentityError::BadUri { uri: application_uri.to_owned() });
        }
        let key_path = directory.join("private/key.pem");
        let key_pem = read_or_make(&key_path, 0o600, || {
            let key = PrivateKey::new(KEY_BITS).map_err(|error| IdentityError::Making(error.to_string()))?;
            let der = key.to_der().map_err(|error| IdentityError::Making(error.to_string()))?;
            let pem = der.to_pem("PRIVATE KEY", LineEnding::LF);
            pem.map(|pem| pem.as_bytes().to_vec()).map_err(|error| IdentityError::Making(error.to_string()))
        })?;
        let key = PrivateKey::from_pem(&key_pem).map_err(|_| IdentityError::Key { path: shown(&key_path) })?;

        let path = directory.join("own/certificate.der");
        let der = read_or_make(&path, 0o644, || {
            let x509 = X509::from_pkey(&key, &certificate_data(application_uri, application_name));
            let x509 = x509.map_err(IdentityError::Making)?;
            x509.to_der().map_err(|error| IdentityError::Making(error.to_string()))
        })?;
        let certificate = Certificate::read(&der).map_err(|_| IdentityError::Certificate { path: shown(&path) })?;
        if !certificate.is_of_key(&key) {
            return Err(IdentityError::Mismatch { path: shown(&path) });
        }
        // A certificate begins to be valid in the second in which it is made, by a clock that may be read later.
        if !certificate.is_valid_at(utc.saturating_add(std::time::Duration::from_mins(1))) {
            return Err(IdentityError::Expired { path: shown(&path) });
        }
        if !certificate.names_uri(application_uri) {
            return Err(IdentityError::ApplicationUri { path: shown(&path), uri: application_uri.to_owned() });
        }
        Ok(Self { certificate, key })
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn certificate_data(application_uri: &str, application_name: &str) -> X509Data {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, ' ' | '.' | '-' | '_');
    let name: String = application_name.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).collect();
    let mut data = X509Data {
        key_size: KEY_BITS,
        common_name: if name.trim().is_empty() { "client".to_owned() } else { name.trim().to_owned() },
        organization: String::new(),
        organizational_unit: String::new(),
        country: String::new(),
        state: String::new(),
        alt_host_names: Vec::new().into(),
        certificate_duration_days: VALID_DAYS,
    };
    data.alt_host_names.add_uri(application_uri);
    if let Ok(host) = opcua_crypto::hostname()
        && host.is_ascii()
        && !host.is_empty()
    {
        data.alt_host_names.add_dns(host);
    }
    data
}

/// What the file at `path` holds; if there is none, what `make` gives, put there whole and under its final name only if
/// nobody else was faster.
fn read_or_make(
    path: &Path,
    mode: u32,
    make: impl FnOnce() -> Result<Vec<u8>, IdentityError>,
) -> Result<Vec<u8>, IdentityError> {
    let failed = |what| move |source| IdentityError::File { what, path: shown(path), source };
    match fs::read(path) {
        Ok(bytes) => return Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("cannot read")(error)),
    }
    let folder = path.parent().expect("it lies in a folder of the directory");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("cannot make the folder of"))?;
    let bytes = make()?;
    let mut name = [0; 8];
    opcua_crypto::random::bytes(&mut name);
    let temporary = folder.join(format!(".{:016x}", u64::from_le_bytes(name)));
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::hard_link(&temporary, path)
    });
    // A file that stays behind harms nobody.
    let _ = fs::remove_file(&temporary);
    match written {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read(path).map_err(failed("cannot read")),
        Err(error) => Err(failed("cannot write")(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;

    fn load(directory: &Path, uri: &str, after: Duration) -> Result<Identity, IdentityError> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let utc = UtcTime::from_ticks(0).saturating_add(since_1970 + after);
        Identity::load_or_make(directory, uri, "my client, \"quoted\"", utc)
    }

    #[test]
    fn it_is_made_once_kept_private_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("pki");
        let first = load(&directory, "urn:me", Duration::ZERO).unwrap();
        let mode = |file| fs::metadata(directory.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("private/key.pem"), mode("private")), (0o600, 0o700));
        let second = load(&directory, "urn:me", Duration::ZERO).unwrap();
        assert_eq!(first.certificate.der(), second.certificate.der());
        assert!(first.certificate.names_uri("urn:me"));
        assert_eq!(fs::read_dir(directory.join("private")).unwrap().count(), 1, "nothing is left behind");

        let another = load(&directory, "urn:another", Duration::ZERO);
        assert!(matches!(another, Err(IdentityError::ApplicationUri { .. })));
        let expired = load(&directory, "urn:me", Duration::from_hours(24 * 3_700));
        assert!(matches!(expired, Err(IdentityError::Expired { .. })));
        fs::write(directory.join("private/key.pem"), b"no key").unwrap();
        assert!(matches!(load(&directory, "urn:me", Duration::ZERO), Err(IdentityError::Key { .. })));
        fs::remove_file(directory.join("private/key.pem")).unwrap();
        assert!(matches!(load(&directory, "urn:me", Duration::ZERO), Err(IdentityError::Mismatch { .. })));
        assert!(matches!(load(&directory, "", Duration::ZERO), Err(IdentityError::BadUri { .. })));
    }
}
