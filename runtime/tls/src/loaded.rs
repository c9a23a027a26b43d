//! One reading of a listener's files: everything that handshakes use.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};

use crate::certificate::CertificateFacts;
use crate::config::{ClientCertificates, RevocationDepth, TlsConfig};
use crate::error::TlsError;
use crate::peer::{Roots, TlsPeer, anchor};
use crate::pem_file;

/// What handshakes use, from one reading of the files.
#[derive(Debug)]
pub struct Loaded {
    config: Arc<ServerConfig>,
    roots: Option<Roots>,
    facts: CertificateFacts,
}

impl Loaded {
    /// Reads the files.
    pub(crate) fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificates = pem_file::certificates(&config.certificate_file)?;
        let facts = CertificateFacts::read(&certificates[0]).map_err(|reason| TlsError::Certificate {
            file: config.certificate_file.clone(),
            number: 1,
            reason,
        })?;
        let key = pem_file::private_key(&config.key_file)?;
        let (verifier, roots) = match &config.client_certificates {
            ClientCertificates::None => (WebPkiClientVerifier::no_client_auth(), None),
            ClientCertificates::Optional { ca_files, crl_files, depth } => {
                let clients = Clients { ca_files, crl_files, depth: *depth, required: false };
                clients.verifier(&provider)?
            }
            ClientCertificates::Required { ca_files, crl_files, depth } => {
                let clients = Clients { ca_files, crl_files, depth: *depth, required: true };
                clients.verifier(&provider)?
            }
        };
        let pair = |error: rustls::Error| TlsError::Pair {
            certificate_file: config.certificate_file.clone(),
            key_file: config.key_file.clone(),
            reason: error.to_string(),
        };
        let versions = if config.tls12 { &[&version::TLS13, &version::TLS12][..] } else { &[&version::TLS13][..] };
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(pair)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates, key)
            .map_err(pair)?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        if roots.is_some() {
            // A ticket would outlive a revocation.
            server.send_tls13_tickets = 0;
        } else {
            server.ticketer = aws_lc_rs::Ticketer::new().map_err(pair)?;
            server.send_tls13_tickets = 1;
        }
        Ok(Self { config: Arc::new(server), roots, facts })
    }

    /// What a handshake begins with.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// When the server's certificate ends.
    pub fn not_after(&self) -> SystemTime {
        self.facts.not_after
    }

    /// DNS names and addresses of the server's certificate.
    pub fn names(&self) -> &[String] {
        &self.facts.names
    }

    /// Who has finished a handshake that began with [`Loaded::config`]: `presented` is what rustls has verified.
    ///
    /// Returns `None` where the client showed certificates and no path of them verifies, as when one has run out since: such a
    /// client is to be refused. Takes up to a millisecond where there are certificates.
    pub fn peer(&self, presented: Option<&[CertificateDer<'_>]>) -> Option<TlsPeer> {
        let chain = match (&self.roots, presented) {
            (Some(roots), Some(presented)) if !presented.is_empty() => roots.verified_path(presented)?,
            _ => Vec::new(),
        };
        Some(TlsPeer { chain })
    }
}

/// The rules for certificates of clients.
struct Clients<'a> {
    ca_files: &'a [PathBuf],
    crl_files: &'a [PathBuf],
    depth: RevocationDepth,
    required: bool,
}

impl Clients<'_> {
    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(Arc<dyn ClientCertVerifier>, Option<Roots>), TlsError> {
        let mut store = RootCertStore::empty();
        let mut roots = Roots { anchors: Vec::new(), certificates: Vec::new(), provider: Arc::clone(provider) };
        for file in self.ca_files {
            for (number, certificate) in (1..).zip(pem_file::certificates(file)?) {
                let failed = |reason| TlsError::Certificate { file: file.clone(), number, reason };
                roots.anchors.push(anchor(&certificate).map_err(failed)?);
                store.add(certificate.clone()).map_err(|error| failed(error.to_string()))?;
                roots.certificates.push(certificate);
            }
        }
        let mut lists = Vec::new();
        for file in self.crl_files {
            lists.extend(pem_file::revocation_lists(file)?);
        }
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider)).with_crls(lists);
        if self.depth == RevocationDepth::Client {
            builder = builder.only_check_end_entity_revocation();
        }
        if !self.required {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder
            .build()
            .map_err(|error| TlsError::Clients { files: self.file_names(), reason: error.to_string() })?;
        Ok((verifier, Some(roots)))
    }

    fn file_names(&self) -> String {
        let files: Vec<String> =
            self.ca_files.iter().chain(self.crl_files).map(|file| Path::display(file).to_string()).collect();
        if files.is_empty() { "no CA file".to_owned() } else { files.join(", ") }
    }
}
