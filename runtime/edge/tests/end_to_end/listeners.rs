//! Listeners and who is let in: over TLS and over WebSocket, by password and by rule; files that change while clients stay.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::broker::{
    Broker, RULES, USERS, add_user, ca_file, is_installed, publish, published, received, subscribe, text,
};
use crate::plant::Folder;
use crate::process::{PATIENCE, Process, client_script, free_port, node_modules, python};

/// A folder with the users `reader` and `writer`, whose passwords are `r` and `w`.
fn folder_with_users() -> Folder {
    let folder = Folder::new();
    add_user(&folder, "reader", "r");
    add_user(&folder, "writer", "w");
    folder
}

#[test]
fn mosquitto_s_clients_come_in_over_tls_with_a_password_and_do_what_the_rules_allow() {
    if !is_installed("mosquitto_sub") {
        return;
    }
    let port = free_port();
    let site = format!(
        "[[listener]]\nbind = \"127.0.0.1:{port}\"\nauthentication = [\"users\"]\nauthorization = \"rules\"\n\
         [listener.tls]\n{USERS}{RULES}"
    );
    let broker = Broker::start(folder_with_users(), &site, &[]);
    let (port, ca) = (port.to_string(), ca_file(&broker.folder).display().to_string());
    let tls = ["-h", "localhost", "-p", &port, "--cafile", &ca];
    let run = |more: &[&str]| publish(&[&tls[..], more].concat());
    let reader = subscribe(&[&tls[..], &["-u", "reader", "-P", "r", "-t", "plant/#", "-q", "2", "-V", "5"]].concat());
    for (version, qos) in [("311", "1"), ("5", "2")] {
        let output = run(&["-u", "writer", "-P", "w", "-t", "plant/writer/a", "-m", version, "-q", qos, "-V", version]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(received(&reader), format!("plant/writer/a {version}"));
    }
    let wrong = run(&["-u", "writer", "-P", "x", "-t", "plant/writer/a", "-m", "no", "-V", "5"]);
    assert!(!wrong.status.success(), "a wrong password");
    let nobody = run(&["-t", "plant/writer/a", "-m", "no", "-V", "5"]);
    assert!(!nobody.status.success(), "no password");
    let denied = run(&["-u", "writer", "-P", "w", "-t", "plant/reader/a", "-m", "no", "-q", "1", "-V", "5"]);
    assert!(text(&denied.stderr).contains("Not authorized"), "{}{}", text(&denied.stdout), text(&denied.stderr));
    let unknown = publish(&["-h", "localhost", "-p", &port, "-t", "plant/writer/a", "-m", "no"]);
    assert!(!unknown.status.success(), "without TLS nobody comes in");
    let good = run(&["-u", "writer", "-P", "w", "-t", "plant/writer/b", "-m", "last", "-q", "1", "-V", "5"]);
    assert!(good.status.success());
    assert_eq!(received(&reader), "plant/writer/b last", "nothing of what was refused arrived");
    let status = text(&broker.verb("status", &[]).stdout);
    for part in ["mqtt-listener 0", "connections_live", "lane handshake", "lane access"] {
        assert!(status.contains(part), "{part} is missing in\n{status}");
    }
    assert!(broker.folder.log().contains("a client was refused"), "{}", broker.folder.log());
    drop(reader);
    broker.end();
}

/// A CA and a certificate for `localhost` by it, in `folder` as `<name>.ca.pem`, `server.pem` and `server.key`.
fn make_certificates(folder: &Folder, name: &str) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    std::fs::write(folder.path(&format!("{name}.ca.pem")), authority_pem).unwrap();
    std::fs::write(folder.path("server.pem"), server.pem()).unwrap();
    std::fs::write(folder.path("server.key"), key.serialize_pem()).unwrap();
}

#[test]
fn a_certificate_is_replaced_while_a_client_stays() {
    if !is_installed("mosquitto_sub") {
        return;
    }
    let (folder, port) = (Folder::new(), free_port());
    make_certificates(&folder, "old");
    let site = format!(
        "[[listener]]\nbind = \"127.0.0.1:{port}\"\nallow_anonymous = true\n\
         [listener.tls]\ncertificate_file = \"server.pem\"\nkey_file = \"server.key\"\n"
    );
    let broker = Broker::start(folder, &site, &[]);
    let port = port.to_string();
    let (old, new) = (broker.folder.path("old.ca.pem"), broker.folder.path("new.ca.pem"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let stays = subscribe(&["-h", "localhost", "-p", &port, "--cafile", old, "-t", "a", "-q", "1"]);
    make_certificates(&broker.folder, "new");
    broker.reload();
    let of_old = publish(&["-h", "localhost", "-p", &port, "--cafile", old, "-t", "a", "-m", "no"]);
    assert!(!of_old.status.success(), "the old CA has not signed the new certificate");
    published(&["-h", "localhost", "-p", &port, "--cafile", new, "-t", "a", "-m", "after", "-q", "1"]);
    assert_eq!(received(&stays), "a after");
    std::fs::write(broker.folder.path("server.pem"), "no certificate").unwrap();
    let output = broker.verb("reload", &[]);
    assert!(!output.status.success() && text(&output.stderr).contains("server.pem"), "{}", text(&output.stderr));
    published(&["-h", "localhost", "-p", &port, "--cafile", new, "-t", "a", "-m", "still", "-q", "1"]);
    assert_eq!(received(&stays), "a still", "what was in force stays");
    drop(stays);
    broker.end();
}

/// A CA in `ca.pem`, and the certificate of a client with the common name `name` in `<name>.pem`, with its key in `<name>.key`.
fn make_client(folder: &Folder, name: &str) {
    use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
    let named = |name: &str| {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    };
    let mut authority = named("Machines CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    std::fs::write(folder.path("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let client = named(name).signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    std::fs::write(folder.path(&format!("{name}.pem")), client.pem()).unwrap();
    std::fs::write(folder.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[test]
fn a_machine_comes_in_with_its_certificate_and_may_do_what_its_ca_stands_for() {
    if !is_installed("mosquitto_sub") {
        return;
    }
    let (folder, port, plain) = (Folder::new(), free_port(), free_port());
    make_client(&folder, "press");
    let site = format!(
        "[[listener]]\nbind = \"127.0.0.1:{port}\"\nauthentication = [\"machines\"]\nauthorization = \"hall\"\n\
         [listener.tls]\nclient_certificates = \"required\"\nclient_ca_files = [\"ca.pem\"]\n\
         [[listener]]\nbind = \"127.0.0.1:{plain}\"\nallow_anonymous = true\n\
         [[authentication]]\nname = \"machines\"\nkind = \"x509\"\n\
         [[authentication.subject]]\nsubject = \"CN = Machines CA\"\nattributes = {{ hall = \"h1\" }}\n\
         [[authorization]]\nname = \"hall\"\n[[authorization.rule]]\nprincipals = {{ attributes = [{{ hall = \"h1\" }}] }}\n\
         resources = [\n{{ method = \"Connect\" }},\n\
         {{ method = \"Publish\", topics = [\"{{principal.attributes.hall}}/{{username}}/#\"] }},\n]\n"
    );
    let broker = Broker::start(folder, &site, &[]);
    let path = |name: &str| broker.folder.path(name).display().to_string();
    let (port, plain, ca) = (port.to_string(), plain.to_string(), ca_file(&broker.folder).display().to_string());
    let (certificate, key) = (path("press.pem"), path("press.key"));
    let tls = ["-h", "localhost", "-p", &port, "--cafile", &ca, "-V", "5", "-q", "1"];
    let machine = [&tls[..], &["--cert", &certificate, "--key", &key]].concat();
    let reader = subscribe(&["-p", &plain, "-t", "#", "-q", "1"]);
    published(&[&machine[..], &["-t", "h1/press/state", "-m", "runs"]].concat());
    assert_eq!(received(&reader), "h1/press/state runs");
    let denied = publish(&[&machine[..], &["-t", "h1/oven/state", "-m", "no"]].concat());
    assert!(text(&denied.stderr).contains("Not authorized"), "{}", text(&denied.stderr));
    let nobody = publish(&[&tls[..], &["-t", "h1/press/state", "-m", "no"]].concat());
    assert!(!nobody.status.success(), "a client without certificate");
    published(&[&machine[..], &["-t", "h1/press/state", "-m", "last"]].concat());
    assert_eq!(received(&reader), "h1/press/state last");
    drop(reader);
    broker.end();
}

#[test]
fn changed_rules_cut_who_lost_a_right_in_use_and_nobody_else() {
    if !is_installed("mosquitto_sub") {
        return;
    }
    let port = free_port();
    let site = |topic: &str| {
        format!(
            "[[listener]]\nbind = \"127.0.0.1:{port}\"\nallow_anonymous = true\nauthorization = \"r\"\n\
             [[authorization]]\nname = \"r\"\n[[authorization.rule]]\nprincipals = {{ client_ids = [\"*\"] }}\n\
             resources = [\n{{ method = \"Connect\" }},\n{{ method = \"Publish\", topics = [\"#\"] }},\n\
             {{ method = \"Subscribe\", topics = [\"{topic}\"] }},\n]\n"
        )
    };
    let broker = Broker::start(Folder::new(), &site("#"), &[]);
    let port = port.to_string();
    let mut loses = subscribe(&["-p", &port, "-t", "b/#", "-q", "1", "-i", "loses", "-V", "5"]);
    let keeps = subscribe(&["-p", &port, "-t", "a/b", "-q", "1", "-i", "keeps", "-V", "5"]);
    broker.change_site(&site("a/#"));
    broker.reload();
    // It tries again, is let in, and has its Subscription refused.
    let deadline = Instant::now() + PATIENCE;
    while !loses.line_within(Duration::from_millis(100)).is_some_and(|line| line.contains("DISCONNECT")) {
        assert!(Instant::now() < deadline && !loses.has_ended(), "the one that lost its right is told");
    }
    published(&["-p", &port, "-t", "a/b", "-m", "1", "-q", "1"]);
    assert_eq!(received(&keeps), "a/b 1");
    // A site's file that is broken changes nothing.
    broker.change_site("[[listener]\n");
    assert!(!broker.verb("reload", &[]).status.success());
    published(&["-p", &port, "-t", "a/b", "-m", "2", "-q", "1"]);
    assert_eq!(received(&keeps), "a/b 2");
    drop((loses, keeps));
    broker.end();
}

/// A broker that speaks WebSocket on the first port and MQTT on the second.
fn with_websocket() -> (Broker, u16, u16) {
    let (websocket, plain) = (free_port(), free_port());
    let site = format!(
        "[[listener]]\nbind = \"127.0.0.1:{websocket}\"\nprotocol = \"websocket\"\nallow_anonymous = true\n\
         [[listener]]\nbind = \"127.0.0.1:{plain}\"\nallow_anonymous = true\n"
    );
    (Broker::start(Folder::new(), &site, &[]), websocket, plain)
}

#[test]
fn paho_speaks_over_a_websocket() {
    let Some(python) = python() else { return };
    let (broker, websocket, plain) = with_websocket();
    for version in ["3", "5"] {
        let mut command = Command::new(&python);
        command.arg(client_script("paho_echo.py"));
        command.args(["--port", &websocket.to_string(), "--transport", "websockets", "--version", version]);
        let mut client = Process::start("paho", &mut command, None);
        assert_eq!(client.line(), "three levels, both ways");
        assert!(client.wait().success());
    }
    let mut command = Command::new(&python);
    command.arg(client_script("paho_echo.py")).args(["--port", &plain.to_string()]);
    let mut client = Process::start("paho", &mut command, None);
    assert_eq!(client.line(), "three levels, both ways");
    assert!(client.wait().success());
    broker.end();
}

#[test]
fn mqtt_js_speaks_over_a_websocket_and_over_tcp() {
    let Some(node_modules) = node_modules() else { return };
    let (broker, websocket, plain) = with_websocket();
    for url in [format!("ws://127.0.0.1:{websocket}/mqtt"), format!("mqtt://127.0.0.1:{plain}")] {
        for version in ["4", "5"] {
            let mut command = Command::new("node");
            command.arg(client_script("mqtt_js_echo.mjs")).env("MILLICORE_NODE_MODULES", &node_modules);
            command.args(["--url", &url, "--version", version]);
            let mut client = Process::start("mqtt.js", &mut command, None);
            assert_eq!(client.line(), "three levels, both ways", "{url} {version}");
            assert!(client.wait().success());
        }
    }
    broker.end();
}

#[test]
fn paho_c_speaks_over_tls_and_over_tcp() {
    if !is_installed("paho_cs_pub") || !is_installed("mosquitto_sub") {
        return;
    }
    let (secured, plain) = (free_port(), free_port());
    let site = format!(
        "[[listener]]\nbind = \"127.0.0.1:{secured}\"\nauthentication = [\"users\"]\n[listener.tls]\n\
         [[listener]]\nbind = \"127.0.0.1:{plain}\"\nallow_anonymous = true\n{USERS}"
    );
    let broker = Broker::start(folder_with_users(), &site, &[]);
    let ca = ca_file(&broker.folder).display().to_string();
    let plain = plain.to_string();
    let reader = subscribe(&["-p", &plain, "-t", "c/#", "-q", "2"]);
    let publish = |arguments: &[&str]| {
        let output = Command::new("paho_cs_pub").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    };
    for qos in ["0", "1", "2"] {
        publish(&["-h", "localhost", "-p", &plain, "-t", "c/tcp", "-q", qos, "-m", qos]);
        assert_eq!(received(&reader), format!("c/tcp {qos}"));
        let port = secured.to_string();
        let connection = format!("ssl://localhost:{port}");
        publish(&["-c", &connection, "-t", "c/tls", "-q", qos, "-m", qos, "--cafile", &ca, "-u", "writer", "-P", "w"]);
        assert_eq!(received(&reader), format!("c/tls {qos}"));
    }
    drop(reader);
    broker.end();
}
