//! Certificates of a test, in a directory that goes with it, and clients that use them.
#![expect(clippy::unwrap_used, reason = "a test's own machinery")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use mqtt_listener::{HandshakeLane, HandshakeSpec, ListenerLayers, TlsListener, WebSocketConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;
use tls_server::{ClientCertificates, RevocationDepth, SelfMade, ServerTls, TlsConfig, ensure_self_made};

use crate::harness::PATIENCE;

pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A client's certificate with its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

/// A CA of clients.
pub(crate) struct Authority {
    parameters: CertificateParams,
    key: KeyPair,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) file: PathBuf,
}

/// A directory with the server's self-made certificate.
pub(crate) struct Certificates {
    pub(crate) directory: TempDir,
    pub(crate) server: SelfMade,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = ensure_self_made(directory.path(), &[], SystemTime::now()).unwrap();
        Self { directory, server }
    }

    pub(crate) fn config(&self) -> TlsConfig {
        TlsConfig::new(&self.server.certificate_file, &self.server.key_file)
    }

    /// TLS without certificates of clients.
    pub(crate) fn layers(&self, spec: &HandshakeSpec, websocket: Option<WebSocketConfig>) -> ListenerLayers {
        self.layers_of(self.config(), spec, websocket)
    }

    pub(crate) fn layers_of(
        &self,
        config: TlsConfig,
        spec: &HandshakeSpec,
        websocket: Option<WebSocketConfig>,
    ) -> ListenerLayers {
        assert!(self.directory.path().exists(), "the files outlive the start");
        let lane = HandshakeLane::start(spec).unwrap();
        let server = ServerTls::load(config).unwrap();
        lane.watch(Arc::clone(&server));
        ListenerLayers { tls: Some(TlsListener { server, lane }), websocket: websocket.map(Arc::new) }
    }

    pub(crate) fn authority(&self, name: &str) -> Authority {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let file = self.directory.path().join(format!("{name}.pem"));
        std::fs::write(&file, certificate.pem()).unwrap();
        Authority { parameters, key, certificate: certificate.der().clone(), file }
    }

    /// How a client sees the server.
    pub(crate) fn client(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        client_config(&self.server.ca_file, identity, versions)
    }
}

impl Authority {
    /// A client's certificate; with an intermediate CA between where `intermediate` says so.
    pub(crate) fn identity(&self, name: &str, serial: u64, intermediate: bool) -> Identity {
        let root = Issuer::from_params(&self.parameters, &self.key);
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        if !intermediate {
            return Identity { chain: vec![leaf.signed_by(&key, &root).unwrap().der().clone()], key };
        }
        let mut between = self.parameters.clone();
        between.distinguished_name.push(DnType::CommonName, format!("{name} between"));
        let between_key = KeyPair::generate().unwrap();
        let between_certificate = between.signed_by(&between_key, &root).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::from_params(&between, &between_key)).unwrap();
        Identity { chain: vec![leaf.der().clone(), between_certificate.der().clone()], key }
    }

    /// Writes the list of the serial numbers that are revoked.
    pub(crate) fn revoke(&self, file: &Path, serials: &[u64]) {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&Issuer::from_params(&self.parameters, &self.key)).unwrap();
        std::fs::write(file, list.pem().unwrap()).unwrap();
    }

    pub(crate) fn required(&self, crl_files: Vec<PathBuf>) -> ClientCertificates {
        let depth = RevocationDepth::Client;
        ClientCertificates::Required { ca_files: vec![self.file.clone()], crl_files, depth }
    }
}

fn client_config(
    ca_file: &Path,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_client_auth_cert(chain.clone(), key).unwrap()
        }
    }
}

/// Connects; the handshake is done by the first read or write.
pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> TlsStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket)
}

/// Sends, and reads as much back.
pub(crate) fn echo(stream: &mut (impl Read + Write), bytes: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(bytes)?;
    stream.flush()?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    Ok(back)
}
