//! Dates and names of a certificate.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// What is asked of a certificate beside its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFacts {
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// DNS names and addresses, as text.
    pub(crate) names: Vec<String>,
}

impl CertificateFacts {
    /// # Errors
    /// What is wrong with the certificate, in words.
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let validity = &parsed.tbs_certificate.validity;
        Ok(Self {
            not_before: validity.not_before.to_system_time(),
            not_after: validity.not_after.to_system_time(),
            names: alternative_names(&parsed),
        })
    }

    /// When two thirds of its life are over.
    pub(crate) fn renew_at(&self) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or(Duration::ZERO);
        self.not_before + life / 3 * 2
    }
}

fn alternative_names(certificate: &Certificate) -> Vec<String> {
    let Ok(Some((_, SubjectAltName(names)))) = certificate.tbs_certificate.get::<SubjectAltName>() else {
        return Vec::new();
    };
    let text = |name: &GeneralName| {
        if let GeneralName::DnsName(name) = name {
            return Some(name.to_string());
        }
        let GeneralName::IpAddress(octets) = name else { return None };
        let bytes = octets.as_bytes();
        let four = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
        let sixteen = <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
        four.or(sixteen).ok()
    };
    names.iter().filter_map(text).collect()
}
