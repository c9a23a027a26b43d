//! Which files a listener's TLS is made of, and what it asks of clients.

use std::path::PathBuf;

/// The files of one TLS listener. All are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate, then the intermediate ones up to, without, the root.
    pub certificate_file: PathBuf,
    /// The private key of the certificate: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key_file: PathBuf,
    /// Whether clients show certificates, and which are believed.
    pub client_certificates: ClientCertificates,
    /// Whether TLS 1.2 is spoken beside 1.3.
    pub tls12: bool,
}

impl TlsConfig {
    /// TLS 1.2 and 1.3, no certificates of clients.
    pub fn new(certificate_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            certificate_file: certificate_file.into(),
            key_file: key_file.into(),
            client_certificates: ClientCertificates::None,
            tls12: true,
        }
    }

    /// Every file of it.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.certificate_file.clone(), self.key_file.clone()];
        match &self.client_certificates {
            ClientCertificates::None => (),
            ClientCertificates::Optional { ca_files, crl_files, .. }
            | ClientCertificates::Required { ca_files, crl_files, .. } => {
                files.extend(ca_files.iter().chain(crl_files).cloned());
            }
        }
        files
    }
}

/// What a listener asks of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nothing.
    None,
    /// A client may show one; it is refused if the one it shows does not verify.
    Optional {
        /// Certificates of the CAs that are believed.
        ca_files: Vec<PathBuf>,
        /// Revocation lists of these CAs; none: nothing is revoked.
        crl_files: Vec<PathBuf>,
        /// For which certificates of a chain a list must exist.
        depth: RevocationDepth,
    },
    /// A client without a certificate that verifies is refused.
    Required {
        /// As above.
        ca_files: Vec<PathBuf>,
        /// As above.
        crl_files: Vec<PathBuf>,
        /// As above.
        depth: RevocationDepth,
    },
}

/// Which certificates of a client's chain are looked up in the revocation lists, once there are any. One whose issuer has no
/// list is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationDepth {
    /// The client's own.
    #[default]
    Client,
    /// The intermediate ones too.
    WholeChain,
}
