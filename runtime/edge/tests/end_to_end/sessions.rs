//! What the broker keeps for clients, what it tells about itself, and what it lets nobody take.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::broker::{Broker, is_installed, published, received, subscribe, subscriber, text};
use crate::plant::Folder;
use crate::process::{PATIENCE, free_port};

fn anonymous(port: u16) -> String {
    format!("[[listener]]\nname = \"lab\"\nbind = \"127.0.0.1:{port}\"\nallow_anonymous = true\n")
}

#[test]
fn a_session_gets_what_came_while_its_client_was_away() {
    if !is_installed("mosquitto_sub") {
        return;
    }
    let port = free_port();
    let broker = Broker::start(Folder::new(), &anonymous(port), &["--set", "broker.sys_interval_s=1"]);
    let port = port.to_string();
    for (version, id) in [("311", "old"), ("5", "new")] {
        let wanted = ["-p", &port, "-i", id, "-c", "-q", "2", "-V", version, "-t", "s/#"];
        let wanted = if version == "5" { [&wanted[..], &["-x", "3600"]].concat() } else { wanted.to_vec() };
        let first = subscribe(&wanted);
        published(&["-p", &port, "-t", "s/a", "-m", "there", "-q", "2"]);
        assert_eq!(received(&first), "s/a there");
        first.terminate();
        for number in 0..20 {
            published(&["-p", &port, "-t", "s/a", "-m", &number.to_string(), "-q", "2"]);
        }
        // What waits comes before the answer to its SUBSCRIBE.
        let again = subscriber(&wanted);
        for number in 0..20 {
            assert_eq!(received(&again), format!("s/a {number}"), "MQTT {version}");
        }
        drop(again);
    }
    let status = text(&broker.verb("status", &[]).stdout);
    assert!(status.contains("2 sessions") && status.contains("lab "), "{status}");
    let tells = subscribe(&["-p", &port, "-t", "$SYS/broker/#"]);
    let deadline = Instant::now() + PATIENCE;
    let mut wanted = vec!["version millicore", "clients/total", "uptime", "publish/messages/received", "bytes/sent"];
    while !wanted.is_empty() {
        assert!(Instant::now() < deadline, "{wanted:?} are missing");
        let message = received(&tells);
        wanted.retain(|part| !message.starts_with(&format!("$SYS/broker/{part}")));
    }
    drop(tells);
    broker.end();
}

/// A client that says CONNECT and then begins a PUBLISH of 900 000 bytes, of which `bytes` arrive.
fn begin_packet(port: u16, id: char, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01".to_vec();
    connect.push(id as u8);
    stream.write_all(&connect).unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    // Remaining Length 900 000 as a Variable Byte Integer (MQTT 3.1.1 §2.2.3), and the topic "x".
    stream.write_all(b"\x30\xa0\xf7\x36\x00\x01x").unwrap();
    stream.write_all(&vec![0; bytes]).unwrap();
    stream
}

#[test]
fn packets_that_never_end_take_no_more_memory_than_a_core_may_give() {
    if !is_installed("mosquitto_sub") {
        return;
    }
    let port = free_port();
    let limit = ["--set", "broker.frontend_bytes_max=1048576"];
    let broker = Broker::start(Folder::new(), &anonymous(port), &limit);
    let lives = subscribe(&["-p", &port.to_string(), "-t", "a", "-q", "1"]);
    let mut hostile: Vec<TcpStream> =
        ('a'..='h').zip(1..).map(|(id, number)| begin_packet(port, id, 50_000 * number)).collect();
    // 1.8 MB were sent: those that hold most are cut, and read the end of their connection.
    let largest = hostile.last_mut().unwrap();
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ended = largest.read_to_end(&mut rest);
    assert!(rest.is_empty());
    let smallest = &mut hostile[0];
    smallest.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let stays = smallest.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(stays.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{stays}");
    published(&["-p", &port.to_string(), "-t", "a", "-m", "alive", "-q", "1"]);
    assert_eq!(received(&lives), "a alive");
    let status = text(&broker.verb("status", &[]).stdout);
    assert!(status.contains("closed_for_memory"), "{status}");
    assert!(broker.folder.log().contains("broker.frontend_bytes_max"), "{}", broker.folder.log());
    drop((hostile, lives));
    broker.end();
}

#[test]
fn a_listener_has_limits_of_its_own() {
    let (port, other) = (free_port(), free_port());
    let site = format!(
        "{}connections_count_max = 2\n[[listener]]\nbind = \"127.0.0.1:{other}\"\nallow_anonymous = true\n",
        anonymous(port)
    );
    let broker = Broker::start(Folder::new(), &site, &[]);
    let live = [begin_packet(port, 'a', 0), begin_packet(port, 'b', 0)];
    let mut third = TcpStream::connect(("127.0.0.1", port)).unwrap();
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(third.read(&mut [0; 1]).unwrap_or(0), 0, "it is closed");
    let elsewhere = begin_packet(other, 'c', 0);
    let status = text(&broker.verb("status", &[]).stdout);
    assert!(status.contains("refused_full"), "{status}");
    drop((live, third, elsewhere));
    broker.end();
}
