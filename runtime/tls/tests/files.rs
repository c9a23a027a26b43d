//! What is wrong with which file, and what is done when files change.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tls_server::{ClientCertificates, RevocationDepth, SelfMade, ServerTls, TlsConfig, ensure_self_made};

fn made(directory: &Path) -> SelfMade {
    ensure_self_made(directory, &[], SystemTime::now()).expect("the directory is ours")
}

fn config(made: &SelfMade) -> TlsConfig {
    TlsConfig::new(&made.certificate_file, &made.key_file)
}

fn error(config: TlsConfig) -> String {
    ServerTls::load(config).expect_err("the files are wrong").to_string()
}

#[test]
fn errors_name_the_file_and_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let made = made(directory.path());
    let other = tempfile::tempdir().unwrap();
    let foreign = ensure_self_made(other.path(), &[], SystemTime::now()).unwrap();
    let file = |name: &str, text: &str| {
        let file = directory.path().join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let missing = directory.path().join("nowhere.pem");
    let text = error(TlsConfig::new(&missing, &made.key_file));
    assert!(text.contains("nowhere.pem") && text.contains("check the path"), "{text}");
    let text = error(TlsConfig::new(&made.key_file, &made.certificate_file));
    assert!(text.contains("server.key.pem") && text.contains("BEGIN CERTIFICATE"), "{text}");
    let text = error(TlsConfig::new(&made.certificate_file, &made.certificate_file));
    assert!(text.contains("server.pem") && text.contains("unencrypted private key"), "{text}");
    let text = error(TlsConfig::new(&made.certificate_file, &foreign.key_file));
    assert!(text.contains("server.pem") && text.contains("must belong to the key"), "{text}");
    let damaged = file("damaged.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    let text = error(TlsConfig::new(damaged, &made.key_file));
    assert!(text.contains("damaged.pem"), "{text}");
    let empty = file("empty.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let text = error(TlsConfig::new(&empty, &made.key_file));
    assert!(text.contains("empty.pem") && text.contains("certificate 1"), "{text}");
    let clients = |ca_files: Vec<_>, crl_files| TlsConfig {
        client_certificates: ClientCertificates::Required { ca_files, crl_files, depth: RevocationDepth::Client },
        ..config(&made)
    };
    let text = error(clients(Vec::new(), Vec::new()));
    assert!(text.contains("no CA file"), "{text}");
    let text = error(clients(vec![empty], Vec::new()));
    assert!(text.contains("empty.pem") && text.contains("certificate 1"), "{text}");
    let text = error(clients(vec![made.ca_file.clone()], vec![made.ca_file.clone()]));
    assert!(text.contains("ca.pem") && text.contains("X509 CRL"), "{text}");
    let large = file("large.pem", &"x".repeat((16 << 20) + 1));
    let text = error(TlsConfig::new(large, &made.key_file));
    assert!(text.contains("large.pem") && text.contains("right file"), "{text}");
}

#[test]
fn a_change_is_seen_once_and_damage_keeps_what_was_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let made = made(directory.path());
    let server = ServerTls::load(config(&made)).unwrap();
    let first = server.current();
    assert!(first.not_after() > SystemTime::now() && first.names().contains(&"localhost".to_owned()));
    assert!(!server.check_files().unwrap());
    let good = fs::read(&made.certificate_file).unwrap();
    fs::write(&made.certificate_file, "half writ").unwrap();
    assert!(server.check_files().unwrap_err().to_string().contains("server.pem"));
    assert!(!server.check_files().unwrap(), "the same is not told twice");
    assert!(server.reload().is_err(), "who asks is told");
    assert!(Arc::ptr_eq(&server.current(), &first));
    fs::write(&made.certificate_file, good).unwrap();
    assert!(server.check_files().unwrap());
    assert!(!Arc::ptr_eq(&server.current(), &first));
    assert!(!server.check_files().unwrap());
    ensure_self_made(directory.path(), &["more.example".to_owned()], SystemTime::now()).unwrap();
    assert!(server.check_files().unwrap());
    assert!(server.current().names().contains(&"more.example".to_owned()));
}
