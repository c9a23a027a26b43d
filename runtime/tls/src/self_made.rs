//! A CA and a server certificate of our own, where nobody has brought one.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::certificate::CertificateFacts;
use crate::error::TlsError;
use crate::pem_file;

const DAY: Duration = Duration::from_hours(24);
/// The CA's certificate: clients hold a copy of it, so it lives long.
const CA_LIFE: Duration = Duration::from_hours(20 * 365 * 24);
/// The server's certificate.
const SERVER_LIFE: Duration = Duration::from_hours(365 * 24);
/// Validity begins this much earlier, for clients whose clocks are behind.
const BACKDATED: Duration = DAY;
/// 2026-01-01. A clock before it is wrong: a gateway without a battery boots in 1970.
const EARLIEST: Duration = Duration::from_hours(490_896);
/// Names of one certificate.
const NAMES_COUNT_MAX: usize = 64;

/// Where the self-made certificates lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfMade {
    /// What clients must trust: give them this file.
    pub ca_file: PathBuf,
    /// The server's certificate, for [`crate::TlsConfig::new`].
    pub certificate_file: PathBuf,
    /// Its key, mode 0600.
    pub key_file: PathBuf,
    /// Whether the CA has a new key: clients must be given the new file. Only where there was none.
    pub ca_is_new: bool,
    /// Whether the server's certificate has been made or renewed.
    pub renewed: bool,
    /// When to call again at the latest: the next renewal is due.
    pub renew_at: SystemTime,
}

/// Makes what is missing in `directory` of a CA and a server certificate, and renews what has lived for two thirds of its time.
///
/// The server's certificate is for `names` (DNS names or addresses), `localhost`, `127.0.0.1`, `::1` and the host's name,
/// which is read at run time; it is renewed when a name is missing too. It lives a year, the CA twenty. A renewed CA keeps its key
/// and its subject, so clients that trust the old file go on until that one ends. Keys are P-256, in files of mode 0600. Call it
/// at the start and once a day; [`crate::ServerTls::check_files`] then sees the new files.
///
/// # Errors
/// [`TlsError`]: a file cannot be read, used or written. A damaged CA is never replaced silently, because clients trust it.
pub fn ensure_self_made(directory: &Path, names: &[String], now: SystemTime) -> Result<SelfMade, TlsError> {
    let store = Store { directory, now: now.max(UNIX_EPOCH + EARLIEST) };
    fs::create_dir_all(directory).map_err(|source| TlsError::Write { file: directory.to_owned(), source })?;
    let (authority, authority_is_new) = store.authority_key()?;
    let authority_facts = store.authority_certificate(&authority)?;
    let (server_facts, renewed) = store.server_certificate(&authority, &all_names(names), authority_is_new)?;
    Ok(SelfMade {
        ca_file: store.file("ca.pem"),
        certificate_file: store.file("server.pem"),
        key_file: store.file("server.key.pem"),
        ca_is_new: authority_is_new,
        renewed,
        renew_at: authority_facts.renew_at().min(server_facts.renew_at()),
    })
}

/// The configured names, and those that every host has. Sorted, each once.
fn all_names(names: &[String]) -> BTreeSet<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let own = ["localhost", "127.0.0.1", "::1", host.as_str()].map(str::to_owned);
    let configured = names.iter().map(|name| match name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.to_lowercase(),
    });
    own.into_iter().chain(configured).filter(|name| !name.is_empty()).collect()
}

struct Store<'a> {
    directory: &'a Path,
    now: SystemTime,
}

impl Store<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn failed(&self, error: impl std::fmt::Display) -> TlsError {
        TlsError::SelfMade { directory: self.directory.to_owned(), reason: error.to_string() }
    }

    /// The CA's key; made where there is none, which the flag tells.
    fn authority_key(&self) -> Result<(KeyPair, bool), TlsError> {
        let file = self.file("ca.key.pem");
        if file.exists() {
            return Ok((self.read_key(&file)?, false));
        }
        if self.file("ca.pem").exists() {
            return Err(self.failed(
                "ca.pem is there and ca.key.pem is not; bring the key back, or remove ca.pem too to have a new CA made, which \
                 all clients must then be given",
            ));
        }
        let key = KeyPair::generate().map_err(|error| self.failed(error))?;
        write(&file, &key.serialize_pem(), 0o600)?;
        Ok((key, true))
    }

    fn read_key(&self, file: &Path) -> Result<KeyPair, TlsError> {
        let text = pem_file::read(file)?;
        let text = String::from_utf8_lossy(&text);
        KeyPair::from_pem(&text).map_err(|error| {
            self.failed(format!("{}: not a key that can be used: {error}; restore it from a backup", file.display()))
        })
    }

    /// Sees to it that the CA's certificate is there and young enough.
    fn authority_certificate(&self, key: &KeyPair) -> Result<CertificateFacts, TlsError> {
        let file = self.file("ca.pem");
        if file.exists() {
            let facts = read_facts(&file)?;
            if self.now < facts.renew_at() {
                return Ok(facts);
            }
        }
        let mut parameters = authority_parameters(key);
        self.set_life(&mut parameters, CA_LIFE);
        let certificate = parameters.self_signed(key).map_err(|error| self.failed(error))?;
        write(&file, &certificate.pem(), 0o644)?;
        read_facts(&file)
    }

    /// Sees to it that the server's certificate is there, young enough and has all names. Returns whether it was made.
    fn server_certificate(
        &self,
        authority: &KeyPair,
        names: &BTreeSet<String>,
        authority_is_new: bool,
    ) -> Result<(CertificateFacts, bool), TlsError> {
        if names.len() > NAMES_COUNT_MAX {
            return Err(self.failed(format!("{} names are more than {NAMES_COUNT_MAX}; configure fewer", names.len())));
        }
        let (file, key_file) = (self.file("server.pem"), self.file("server.key.pem"));
        if file.exists() && key_file.exists() && !authority_is_new {
            // A damaged one is made again: nobody but this server depends on it.
            if let Ok(facts) = read_facts(&file) {
                let has_all = names.iter().all(|name| facts.names.contains(name));
                if has_all && self.now < facts.renew_at() && self.read_key(&key_file).is_ok() {
                    return Ok((facts, false));
                }
            }
        }
        let mut parameters = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>()).map_err(|error| {
            self.failed(format!("a name cannot stand in a certificate: {error}; names are {names:?}"))
        })?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "millicore");
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.set_life(&mut parameters, SERVER_LIFE);
        let key = KeyPair::generate().map_err(|error| self.failed(error))?;
        let issuer = Issuer::new(authority_parameters(authority), authority);
        let certificate = parameters.signed_by(&key, &issuer).map_err(|error| self.failed(error))?;
        write(&key_file, &key.serialize_pem(), 0o600)?;
        write(&file, &certificate.pem(), 0o644)?;
        Ok((read_facts(&file)?, true))
    }

    fn set_life(&self, parameters: &mut CertificateParams, life: Duration) {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let since_epoch = self.now.duration_since(UNIX_EPOCH).unwrap_or(EARLIEST);
        parameters.not_before = epoch + since_epoch.saturating_sub(BACKDATED);
        parameters.not_after = epoch + since_epoch + life;
    }
}

/// The CA's parameters follow from its key alone, so that a renewed certificate has the subject of the old one.
fn authority_parameters(key: &KeyPair) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let identifier = parameters.key_identifier(key);
    let identifier = identifier.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("millicore self-made CA {identifier:016x}"));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn read_facts(file: &Path) -> Result<CertificateFacts, TlsError> {
    let certificates = pem_file::certificates(file)?;
    CertificateFacts::read(&certificates[0]).map_err(|reason| TlsError::Certificate {
        file: file.to_owned(),
        number: 1,
        reason,
    })
}

/// Writes a file whole or not at all: beside it first, synced, then in its place.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let failed = |source| TlsError::Write { file: file.to_owned(), source };
    let beside = file.with_extension("new");
    // A rest of a write that was cut short has perhaps another mode.
    match fs::remove_file(&beside) {
        Ok(()) => (),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
        Err(error) => return Err(failed(error)),
    }
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(failed)?;
    opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()).map_err(failed)?;
    fs::rename(&beside, file).map_err(failed)?;
    let directory = file.parent().unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn days(count: u32) -> SystemTime {
        UNIX_EPOCH + EARLIEST + DAY * count
    }

    fn leaf(made: &SelfMade) -> Vec<u8> {
        fs::read(&made.certificate_file).unwrap()
    }

    #[test]
    fn the_first_start_makes_all_files_and_the_second_none() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("tls");
        let made = ensure_self_made(&folder, &["PLC-7.example".to_owned(), "192.0.2.7".to_owned()], days(0)).unwrap();
        assert!(made.ca_is_new && made.renewed);
        for (file, mode) in [("ca.pem", 0o644), ("ca.key.pem", 0o600), ("server.pem", 0o644), ("server.key.pem", 0o600)]
        {
            assert_eq!(fs::metadata(folder.join(file)).unwrap().mode() & 0o777, mode, "{file}");
        }
        let facts = read_facts(&made.certificate_file).unwrap();
        let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
        for name in ["plc-7.example", "192.0.2.7", "localhost", "127.0.0.1", "::1", &host] {
            assert!(facts.names.iter().any(|found| found == name), "{name} in {:?}", facts.names);
        }
        let before = leaf(&made);
        let again = ensure_self_made(&folder, &["plc-7.example".to_owned()], days(100)).unwrap();
        assert_eq!(again, SelfMade { ca_is_new: false, renewed: false, ..made });
        assert_eq!(leaf(&again), before);
    }

    #[test]
    fn the_server_certificate_is_renewed_before_two_thirds_of_its_life_and_for_a_new_name() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        let made = ensure_self_made(folder, &[], days(0)).unwrap();
        assert!(made.renew_at > days(242) && made.renew_at < days(244));
        assert!(!ensure_self_made(folder, &[], made.renew_at - DAY).unwrap().renewed);
        let renewed = ensure_self_made(folder, &[], made.renew_at).unwrap();
        assert!(renewed.renewed && !renewed.ca_is_new && renewed.renew_at > made.renew_at + DAY * 200);
        assert!(ensure_self_made(folder, &["new.example".to_owned()], made.renew_at).unwrap().renewed);
        assert!(!ensure_self_made(folder, &[], made.renew_at).unwrap().renewed, "a name more does no harm");
    }

    #[test]
    fn a_renewed_ca_keeps_key_and_subject_so_that_old_clients_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        ensure_self_made(folder, &[], days(0)).unwrap();
        let old_root = pem_file::certificates(&folder.join("ca.pem")).unwrap().remove(0);
        let late = days(14 * 365);
        let made = ensure_self_made(folder, &[], late).unwrap();
        let new_root = pem_file::certificates(&made.ca_file).unwrap().remove(0);
        assert!(!made.ca_is_new && new_root != old_root);
        let leaf = pem_file::certificates(&made.certificate_file).unwrap().remove(0);
        for root in [old_root, new_root] {
            let anchors = [crate::peer::anchor(&root).unwrap()];
            let end_entity = webpki::EndEntityCert::try_from(&leaf).unwrap();
            let at = late.duration_since(UNIX_EPOCH).unwrap();
            let verified = end_entity.verify_for_usage(
                rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all,
                &anchors,
                &[],
                rustls::pki_types::UnixTime::since_unix_epoch(at),
                webpki::KeyUsage::server_auth(),
                None,
                None,
            );
            assert!(verified.is_ok(), "{:?}", verified.err());
        }
    }

    #[test]
    fn a_clock_of_1970_makes_certificates_for_the_present() {
        let directory = tempfile::tempdir().unwrap();
        let made = ensure_self_made(directory.path(), &[], NOW).unwrap();
        let facts = read_facts(&made.certificate_file).unwrap();
        assert!(facts.not_after > days(364));
        let back = ensure_self_made(directory.path(), &[], NOW).unwrap();
        assert!(!back.renewed, "a clock that goes back renews nothing");
    }

    #[test]
    fn a_ca_is_never_replaced_silently_and_a_damaged_server_certificate_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        let made = ensure_self_made(folder, &[], days(0)).unwrap();
        fs::write(&made.certificate_file, "damaged").unwrap();
        assert!(ensure_self_made(folder, &[], days(0)).unwrap().renewed);
        let key = fs::read(folder.join("ca.key.pem")).unwrap();
        fs::write(folder.join("ca.key.pem"), "damaged").unwrap();
        let error = ensure_self_made(folder, &[], days(0)).unwrap_err().to_string();
        assert!(error.contains("ca.key.pem") && error.contains("backup"), "{error}");
        fs::remove_file(folder.join("ca.key.pem")).unwrap();
        let error = ensure_self_made(folder, &[], days(0)).unwrap_err().to_string();
        assert!(error.contains("bring the key back"), "{error}");
        fs::write(folder.join("ca.key.pem"), key).unwrap();
        fs::write(folder.join("ca.pem"), "damaged").unwrap();
        let error = ensure_self_made(folder, &[], days(0)).unwrap_err().to_string();
        assert!(error.contains("ca.pem"), "{error}");
    }

    #[test]
    fn names_that_no_certificate_can_hold_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let error = ensure_self_made(directory.path(), &["fabrik-süd".to_owned()], days(0)).unwrap_err().to_string();
        assert!(error.contains("fabrik-süd"), "{error}");
        let many: Vec<String> = (0..100).map(|index| format!("host-{index}")).collect();
        assert!(ensure_self_made(directory.path(), &many, days(0)).unwrap_err().to_string().contains("64"));
    }
}
