//! A server's certificate, and whether it is good enough (Part 4 §6.1.3).

use std::path::Path;

use contract::UtcTime;
use opcua_crypto::{KeySize as _, PrivateKey, PublicKey, X509};
use opcua_subscription::StatusCode;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

use crate::channel::SECURED;
use crate::config::TrustPolicy;
use crate::status::{
    BAD_CERTIFICATE_INVALID, BAD_CERTIFICATE_POLICY_CHECK_FAILED, BAD_CERTIFICATE_TIME_INVALID,
    BAD_CERTIFICATE_UNTRUSTED, BAD_CERTIFICATE_URI_INVALID,
};

const TRUSTED_FILES_MAX: usize = 1_000;
const TRUSTED_FILE_BYTES_MAX: u64 = 64 * 1_024;
/// `sha256WithRSAEncryption`.
const RSA_SHA256: &str = "1.2.840.113549.1.1.11";

/// A certificate with an RSA key, read once.
#[derive(Clone)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    public_key: PublicKey,
    thumbprint: Vec<u8>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Certificate").field("subject", &self.subject()).finish_non_exhaustive()
    }
}

impl Certificate {
    /// The first certificate of a chain as it stands on the wire: DER, one behind the other (Part 6 §6.2.3).
    pub(crate) fn leaf(chain: &[u8]) -> Option<&[u8]> {
        let [0x30, length, rest @ ..] = chain else { return None };
        let (content_bytes, header_bytes) = if *length < 0x80 {
            (usize::from(*length), 2)
        } else {
            let count = usize::from(length & 0x7F);
            let digits = rest.get(..count).filter(|_| (1..=3).contains(&count))?;
            (digits.iter().fold(0, |value, digit| value << 8 | usize::from(*digit)), 2 + count)
        };
        chain.get(..header_bytes + content_bytes)
    }

    /// Reads the first certificate of `chain`.
    ///
    /// # Errors
    /// `Bad_CertificateInvalid`, where it is none or has no RSA key.
    pub(crate) fn read(chain: &[u8]) -> Result<Self, StatusCode> {
        let der = Self::leaf(chain).ok_or(BAD_CERTIFICATE_INVALID)?.to_vec();
        let x509 = X509::from_der(&der).map_err(|_| BAD_CERTIFICATE_INVALID)?;
        let public_key = x509.public_key().map_err(|_| BAD_CERTIFICATE_INVALID)?;
        let parsed = x509_cert::Certificate::from_der(&der).map_err(|_| BAD_CERTIFICATE_INVALID)?;
        Ok(Self { der, parsed, public_key, thumbprint: x509.thumbprint().value().to_vec() })
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// SHA-1 of the DER.
    pub(crate) fn thumbprint(&self) -> &[u8] {
        &self.thumbprint
    }

    pub(crate) fn subject(&self) -> String {
        self.parsed.tbs_certificate.subject.to_string()
    }

    /// Whether any URI among its alternative names is `uri`.
    pub(crate) fn names_uri(&self, uri: &str) -> bool {
        let names = self.parsed.tbs_certificate.get::<SubjectAltName>();
        names.ok().flatten().is_some_and(|(_, SubjectAltName(names))| {
            names
                .iter()
                .any(|name| matches!(name, GeneralName::UniformResourceIdentifier(found) if found.as_str() == uri))
        })
    }

    pub(crate) fn is_valid_at(&self, utc: UtcTime) -> bool {
        let validity = &self.parsed.tbs_certificate.validity;
        let seconds = u64::try_from(utc.unix_millis() / 1_000).unwrap_or(0);
        (validity.not_before.to_unix_duration().as_secs()..=validity.not_after.to_unix_duration().as_secs())
            .contains(&seconds)
    }

    /// Whether its key is the public part of `key`.
    pub(crate) fn is_of_key(&self, key: &PrivateKey) -> bool {
        key.public_key_to_info().is_ok_and(|info| info == self.parsed.tbs_certificate.subject_public_key_info)
    }

    fn is_authority(&self) -> bool {
        let constraints = self.parsed.tbs_certificate.get::<BasicConstraints>();
        constraints.ok().flatten().is_some_and(|(_, constraints)| constraints.ca)
    }

    fn is_signed_by(&self, authority: &Self) -> bool {
        let tbs = &self.parsed.tbs_certificate;
        if tbs.issuer != authority.parsed.tbs_certificate.subject
            || self.parsed.signature_algorithm.oid.to_string() != RSA_SHA256
        {
            return false;
        }
        let (Ok(signed), Some(signature)) = (tbs.to_der(), self.parsed.signature.as_bytes()) else { return false };
        authority.public_key.verify_sha256(&signed, signature).unwrap_or(false)
    }

    /// Checks it against the policy, the date, and the server that it should be of. Reads the trust folder: for a
    /// blocking lane.
    ///
    /// # Errors
    /// The `Bad_Certificate..` code of the first check that failed.
    pub(crate) fn check(&self, trust: &TrustPolicy, application_uri: &str, utc: UtcTime) -> Result<(), StatusCode> {
        if !self.is_valid_at(utc) {
            return Err(BAD_CERTIFICATE_TIME_INVALID);
        }
        if !SECURED.is_valid_keylength(self.public_key.bit_length()) {
            return Err(BAD_CERTIFICATE_POLICY_CHECK_FAILED);
        }
        if !self.names_uri(application_uri) {
            return Err(BAD_CERTIFICATE_URI_INVALID);
        }
        match trust {
            TrustPolicy::AnyCertificate => Ok(()),
            TrustPolicy::Folder(folder) if self.is_trusted_in(folder, utc) => Ok(()),
            TrustPolicy::Folder(_) => Err(BAD_CERTIFICATE_UNTRUSTED),
        }
    }

    fn is_trusted_in(&self, folder: &Path, utc: UtcTime) -> bool {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "the folder of trusted certificates cannot be read");
                return false;
            }
        };
        let files = entries.flatten().map(|entry| entry.path());
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "der"));
        files.take(TRUSTED_FILES_MAX).any(|path| {
            let is_short = path.metadata().is_ok_and(|metadata| metadata.len() <= TRUSTED_FILE_BYTES_MAX);
            let Some(bytes) = is_short.then(|| std::fs::read(&path).ok()).flatten() else { return false };
            let Ok(trusted) = Self::read(&bytes) else { return false };
            trusted.der == self.der
                || (trusted.is_authority() && trusted.is_valid_at(utc) && self.is_signed_by(&trusted))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use opcua_crypto::X509Data;
    use x509_cert::TbsCertificate;
    use x509_cert::der::asn1::{BitString, Ia5String, OctetString};

    use super::*;

    const URI: &str = "urn:plant:server";
    /// The date, a minute ahead of the second in which a certificate begins.
    fn today() -> UtcTime {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        UtcTime::from_ticks(0).saturating_add(since_1970 + std::time::Duration::from_mins(1))
    }

    /// A certificate that signs itself, and its key. Costs a key pair.
    pub(crate) fn made(common_name: &str) -> (Vec<u8>, PrivateKey) {
        let key = PrivateKey::new(2_048).unwrap();
        let mut data = X509Data {
            key_size: 2_048,
            common_name: common_name.to_owned(),
            organization: String::new(),
            organizational_unit: String::new(),
            country: String::new(),
            state: String::new(),
            alt_host_names: Vec::new().into(),
            certificate_duration_days: 2,
        };
        data.alt_host_names.add_uri(URI);
        (X509::from_pkey(&key, &data).unwrap().to_der().unwrap(), key)
    }

    /// The certificate `der`, changed and signed again.
    fn reissued(der: &[u8], key: &PrivateKey, edit: impl FnOnce(&mut TbsCertificate)) -> Vec<u8> {
        let mut certificate = x509_cert::Certificate::from_der(der).unwrap();
        edit(&mut certificate.tbs_certificate);
        let mut signature = vec![0; key.size()];
        key.sign_sha256(&certificate.tbs_certificate.to_der().unwrap(), &mut signature).unwrap();
        certificate.signature = BitString::from_bytes(&signature).unwrap();
        certificate.to_der().unwrap()
    }

    fn replace<T: x509_cert::ext::AsExtension + x509_cert::der::oid::AssociatedOid>(
        tbs: &mut TbsCertificate,
        content: &T,
    ) {
        let extensions = tbs.extensions.as_mut().unwrap();
        let extension = extensions.iter_mut().find(|extension| extension.extn_id == T::OID).unwrap();
        extension.extn_value = OctetString::new(content.to_der().unwrap()).unwrap();
    }

    #[test]
    fn the_server_is_trusted_by_itself_or_by_who_signed_it() {
        let (server_der, server_key) = made("server");
        let (authority_der, authority_key) = made("authority");
        let folder = tempfile::tempdir().unwrap();
        let trust = TrustPolicy::Folder(folder.path().to_owned());
        let server = Certificate::read(&server_der).unwrap();
        assert_eq!(server.check(&TrustPolicy::AnyCertificate, URI, today()), Ok(()));
        assert_eq!(server.check(&trust, URI, today()), Err(BAD_CERTIFICATE_UNTRUSTED));
        std::fs::write(folder.path().join("broken.der"), b"0").unwrap();
        std::fs::write(folder.path().join("server.der"), &server_der).unwrap();
        assert_eq!(server.check(&trust, URI, today()), Ok(()));
        std::fs::remove_file(folder.path().join("server.der")).unwrap();

        let authority = x509_cert::Certificate::from_der(&authority_der).unwrap();
        let subject = authority.tbs_certificate.subject;
        let signed_der = reissued(&server_der, &authority_key, |tbs| tbs.issuer = subject.clone());
        let signed = Certificate::read(&signed_der).unwrap();
        std::fs::write(folder.path().join("authority.der"), &authority_der).unwrap();
        assert_eq!(signed.check(&trust, URI, today()), Err(BAD_CERTIFICATE_UNTRUSTED), "it is no authority");
        let authority_der = reissued(&authority_der, &authority_key, |tbs| {
            replace(tbs, &BasicConstraints { ca: true, path_len_constraint: None });
        });
        std::fs::write(folder.path().join("authority.der"), authority_der).unwrap();
        assert_eq!(signed.check(&trust, URI, today()), Ok(()));
        let forged = reissued(&server_der, &server_key, |tbs| tbs.issuer = subject);
        assert_eq!(Certificate::read(&forged).unwrap().check(&trust, URI, today()), Err(BAD_CERTIFICATE_UNTRUSTED));
        assert_eq!(server.check(&trust, URI, today()), Err(BAD_CERTIFICATE_UNTRUSTED));
    }

    #[test]
    fn date_and_application_uri_are_checked_wherever_the_uri_stands() {
        let (der, key) = made("server");
        let server = Certificate::read(&der).unwrap();
        let any = TrustPolicy::AnyCertificate;
        let later = today().saturating_add(std::time::Duration::from_hours(72));
        assert_eq!(server.check(&any, URI, later), Err(BAD_CERTIFICATE_TIME_INVALID));
        assert_eq!(server.check(&any, URI, UtcTime::from_ticks(0)), Err(BAD_CERTIFICATE_TIME_INVALID));
        assert_eq!(server.check(&any, "urn:another", today()), Err(BAD_CERTIFICATE_URI_INVALID));
        let names =
            ["urn:x", "urn:another"].map(|uri| GeneralName::UniformResourceIdentifier(Ia5String::new(uri).unwrap()));
        let names = [GeneralName::DnsName(Ia5String::new("plc").unwrap())].into_iter().chain(names).collect();
        let last = reissued(&der, &key, |tbs| replace(tbs, &SubjectAltName(names)));
        assert_eq!(Certificate::read(&last).unwrap().check(&any, "urn:another", today()), Ok(()));
    }

    #[test]
    fn the_first_certificate_of_a_chain_is_taken() {
        let (der, _) = made("server");
        assert_eq!(Certificate::leaf(&[der.as_slice(), b"0more"].concat()), Some(der.as_slice()));
        for broken in [&b""[..], b"0", b"\x30\x84\x01\x01\x01\x01", b"\x30\x05\x01", b"\x31\x00", b"\x30\x80"] {
            assert_eq!(Certificate::leaf(broken), None);
        }
    }
}
