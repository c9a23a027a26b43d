//! Certificates of the TLS listener: given, or made at start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::options::Certificate;

impl Certificate {
    /// PEM file of the authority, where it is made at start.
    pub fn ca_file(&self) -> Option<PathBuf> {
        match self {
            Self::Files { .. } => None,
            Self::SelfSigned(directory) => Some(directory.join("ca.pem")),
        }
    }
}

/// An acceptor that shows `certificate`.
///
/// # Errors
/// Files cannot be read, written, or used.
pub(crate) fn acceptor(certificate: &Certificate, listen: SocketAddr) -> anyhow::Result<TlsAcceptor> {
    let (certificate, key) = match certificate {
        Certificate::Files { certificate, key } => (certificate.clone(), key.clone()),
        Certificate::SelfSigned(directory) => make(directory, listen).context("cannot make certificates")?,
    };
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read {}", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(&key).with_context(|| format!("cannot read {}", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Makes an authority and a certificate for `localhost` and the address, and writes them down.
fn make(directory: &Path, listen: SocketAddr) -> anyhow::Result<(PathBuf, PathBuf)> {
    std::fs::create_dir_all(directory)?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "millicore bench authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !listen.ip().is_unspecified() && !listen.ip().is_loopback() {
        names.push(listen.ip().to_string());
    }
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &authority)?;
    let (chain_file, key_file) = (directory.join("server.pem"), directory.join("server.key"));
    std::fs::write(directory.join("ca.pem"), authority.pem())?;
    std::fs::write(&chain_file, certificate.pem())?;
    std::fs::write(&key_file, key.serialize_pem())?;
    Ok((chain_file, key_file))
}
