//! Writes the site file of the pipeline under test.

use std::fmt::Write as _;
use std::path::Path;

use bench_plc::names::{NAMESPACE_INDEX, Names};

use crate::reader::Rule;
use crate::scenario::{Listener, Scenario};

/// Name of the hub at the local endpoint.
pub(crate) const HUB: &str = "millicore";
/// The key of the local endpoint: a development key, good for nothing else.
pub(crate) const LOCAL_KEY: &str = "bWlsbGljb3JlLWxvY2FsLWRldmVsb3BtZW50LWtleQ==";
/// What the key is called.
pub(crate) const LOCAL_KEY_NAME: &str = "RootManageSharedAccessKey";

/// Where everything of a run is found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses<'a> {
    /// `opc.tcp://host:port/` of each server.
    pub(crate) endpoints: &'a [String],
    /// `host:port` of the hub.
    pub(crate) amqp: &'a str,
    /// Where the pipeline keeps what it must remember.
    pub(crate) state: &'a Path,
    /// Its control socket.
    pub(crate) socket: &'a Path,
}

/// The text of the site file.
pub(crate) fn site_text(scenario: &Scenario, addresses: Addresses<'_>) -> String {
    let names = Names::new(&scenario.plant);
    let conflate = match scenario.site.conflate {
        Rule::Last => "last",
        Rule::All => "all",
    };
    let mut text = format!(
        "name = \"plant\"\nstate_directory = {}\n\n[control]\nsocket = {}\n",
        quoted(addresses.state),
        quoted(addresses.socket)
    );
    if scenario.site.listener == Listener::Loopback {
        text.push_str("\n[[listener]]\nbind = \"127.0.0.1:0\"\nallow_anonymous = true\n");
    }
    for (server, endpoint) in (0..).zip(addresses.endpoints) {
        let _ = write!(
            text,
            "\n[[opcua]]\nname = \"server{server}\"\nendpoint = \"{endpoint}\"\nsecurity = \"None\"\n\
             publishing_interval_ms = {}\nupdate_period_ms = {}\nconflate = \"{conflate}\"\n",
            scenario.site.publishing_interval_ms,
            update_period_ms(scenario.plant.updates_per_s),
        );
        for asset in names.assets_of_server(server) {
            let first = asset * scenario.plant.tags_per_asset;
            let _ = write!(text, "\n[[opcua.asset]]\nname = \"{}\"\n[opcua.asset.tags]\n", names.asset(asset));
            for tag in first..first + scenario.plant.tags_per_asset {
                let identifier = names.identifier(tag);
                let _ = writeln!(text, "{} = \"ns={NAMESPACE_INDEX};s={identifier}\"", names.tag(tag));
            }
        }
    }
    let _ = write!(
        text,
        "\n[[flow]]\nname = \"to-event-hubs\"\nsources = [\"plant/data/#\"]\n\n[flow.event_hub]\nhub = \"{HUB}\"\n\
         endpoint = \"amqp://{}\"\nconnection_string = \"Endpoint=sb://localhost;SharedAccessKeyName={LOCAL_KEY_NAME};\
         SharedAccessKey={LOCAL_KEY}\"\n",
        addresses.amqp
    );
    text
}

/// A path as a TOML string.
fn quoted(path: &Path) -> toml::Value {
    path.display().to_string().into()
}

/// The period of a tag's updates in milliseconds, rounded down, at least 1: a queue that is sized by it suffices.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a checked rate lies above 0 and saturates"
)]
fn update_period_ms(updates_per_s: f64) -> u32 {
    ((1_000.0 / updates_per_s) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(changes: &str) -> toml::Table {
        let scenario = Scenario::parse(&format!(
            "case = \"x\"\ntitle = \"X\"\n[plant]\nassets = 3\ntags_per_asset = 2\nservers = 2\n[site]\nconflate = \"all\"\n{changes}"
        ))
        .unwrap();
        let endpoints = ["opc.tcp://127.0.0.1:1/".to_owned(), "opc.tcp://127.0.0.1:2/".to_owned()];
        let addresses = Addresses {
            endpoints: &endpoints,
            amqp: "127.0.0.1:5",
            state: Path::new("state"),
            socket: Path::new("a.sock"),
        };
        toml::from_str(&site_text(&scenario, addresses)).unwrap()
    }

    #[test]
    fn every_tag_stands_at_its_server() {
        let site = text("");
        let servers = site["opcua"].as_array().unwrap();
        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0]["asset"].as_array().unwrap().len(), 1);
        assert_eq!(servers[1]["asset"].as_array().unwrap().len(), 2);
        assert_eq!(servers[1]["asset"][1]["tags"]["tag01"].as_str(), Some("ns=2;s=asset002.tag01"));
        assert_eq!(servers[0]["update_period_ms"].as_integer(), Some(500));
        assert_eq!(servers[0]["conflate"].as_str(), Some("all"));
        assert_eq!(site["flow"][0]["event_hub"]["endpoint"].as_str(), Some("amqp://127.0.0.1:5"));
        assert_eq!(site["listener"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_site_without_a_listener_has_none() {
        assert!(!text("listener = \"none\"\n").contains_key("listener"));
    }

    #[test]
    fn a_queue_is_sized_for_the_period_or_a_shorter_one() {
        assert_eq!(
            [update_period_ms(2.0), update_period_ms(3.0), update_period_ms(0.1), update_period_ms(50.0)],
            [500, 333, 10_000, 20]
        );
    }
}
