//! The certificates of a client, along the path that was verified.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// Who is at the other end of a TLS connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPeer {
    /// The client's certificate, the intermediate ones in order, and the trusted root: the path that was verified, in DER. What
    /// else a client has sent is not among them. Empty where the client showed no certificate.
    pub chain: Vec<CertificateDer<'static>>,
}

/// The roots that clients' certificates are verified against, with their whole certificates.
#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
    /// By anchor.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl Roots {
    /// The verified path from the certificate that comes first in `presented`; `None` where there is none (any more).
    ///
    /// rustls has verified it during the handshake and does not tell the path, so the path is looked for once more. Some
    /// signatures to verify: 0.1 to 1 ms, on the handshake lane.
    pub(crate) fn verified_path(&self, presented: &[CertificateDer<'_>]) -> Option<Vec<CertificateDer<'static>>> {
        let (leaf, others) = presented.split_first()?;
        let end_entity = EndEntityCert::try_from(leaf).ok()?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let usage = KeyUsage::client_auth();
        let path =
            end_entity.verify_for_usage(algorithms, &self.anchors, others, UnixTime::now(), usage, None, None).ok()?;
        let mut chain = vec![leaf.clone().into_owned()];
        chain.extend(path.intermediate_certificates().map(|certificate| certificate.der().into_owned()));
        let root = self.anchors.iter().position(|anchor| anchor == path.anchor())?;
        let root = self.certificates[root].clone();
        // A root that signs itself may be shown as the client's own certificate.
        if chain.last() != Some(&root) {
            chain.push(root);
        }
        Some(chain)
    }
}

/// The anchor of a CA's certificate.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn anchor(certificate: &CertificateDer<'_>) -> Result<TrustAnchor<'static>, String> {
    anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned()).map_err(|error| error.to_string())
}
