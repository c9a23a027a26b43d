//! OPC UA servers of the site as Sessions: which assets are whose, with the limits of the profile.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use contract::QoS;
use opcua_subscription::{
    AcknowledgeAt, DataPoint, DataSet, DataSetDefaults, Limits, Sampling, Session, SessionConfig, SessionState,
};
use opcua_transport::{TransportConfig, TransportLimits, TrustPolicy, UserName};
use placement::{OpcuaProfile, Profile};

use crate::site::{Acknowledge, Asset, Conflate, OpcUaServer, Security, Site, Tag};

/// One OPC UA Session to run.
pub(super) struct Source {
    /// A name for people: the server's, with a number behind where it has several Sessions.
    pub(super) name: String,
    /// The server's place in the site's file.
    pub(super) server_index: usize,
    /// Where it remembers its Session over a restart.
    pub(super) state_file: PathBuf,
    config: SessionConfig,
    limits: Limits,
}

impl Source {
    /// The actor. `seed` differs from one life of the process to the next.
    pub(super) fn session(&self, seed: u64) -> anyhow::Result<Session> {
        Session::new(&self.config, self.limits, seed).with_context(|| format!("OPC UA server {}", self.name))
    }

    /// How its transport reaches the server.
    ///
    /// # Errors
    /// The user's password cannot be read.
    pub(super) fn transport(&self, site: &Site, profile: &Profile) -> anyhow::Result<TransportConfig> {
        let server = &site.servers[self.server_index];
        let opcua = &profile.opcua;
        let user = match &server.user {
            None => None,
            Some(name) => {
                let password = server.password().read(&site.folder, "password").map_err(anyhow::Error::msg)?;
                Some(UserName { name: name.clone(), password: password.reveal().to_owned() })
            }
        };
        Ok(TransportConfig {
            security: match server.security {
                Security::None => opcua_transport::Security::None,
                Security::Basic256Sha256 => opcua_transport::Security::Basic256Sha256,
            },
            user,
            trust: match &server.trust_directory {
                _ if server.trust_any_certificate => TrustPolicy::AnyCertificate,
                Some(folder) => TrustPolicy::Folder(site.folder.join(folder)),
                None => TrustPolicy::Folder(site.state_directory().join("pki").join("trusted")),
            },
            application_uri: "urn:millicore:edge".to_owned(),
            limits: TransportLimits {
                message_bytes_max: opcua.message_bytes_max,
                chunk_count_max: opcua.chunk_count_max,
                array_length_max: opcua.array_count_max,
                ..TransportLimits::default()
            },
            connect_timeout: opcua.request_timeout,
            token_lifetime: opcua.channel_lifetime,
            ..TransportConfig::new(server.endpoint.get_ref().clone(), site.state_directory().join("pki"))
        })
    }

    /// What an earlier life has saved. A file that cannot be read is told of and counts as none.
    pub(super) fn saved_state(&self) -> Option<SessionState> {
        let bytes = match std::fs::read(&self.state_file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %self.state_file.display(), %error, "the saved session cannot be read; a new one is made");
                return None;
            }
        };
        match SessionState::from_bytes(&bytes) {
            Ok(state) => Some(state),
            Err(error) => {
                tracing::warn!(file = %self.state_file.display(), %error, "the saved session is damaged; a new one is made");
                None
            }
        }
    }
}

/// The Sessions of all servers, in the order of the site's file.
pub(super) fn sources(site: &Site, profile: &Profile, partitions_count: u16) -> Vec<Source> {
    let state_directory = site.state_directory();
    let mut sources = Vec::new();
    for (server_index, server) in site.servers.iter().enumerate() {
        let sessions_count = usize::from(profile.opcua.sessions_per_server).clamp(1, server.assets.len().max(1));
        for number in 0..sessions_count {
            let assets = server.assets.iter().skip(number).step_by(sessions_count);
            let name = match number {
                0 => server.name.get_ref().clone(),
                _ => format!("{}-{number}", server.name.get_ref()),
            };
            sources.push(Source {
                server_index,
                state_file: state_directory
                    .join(format!("opcua-{}.{number}.session", file_name(server.name.get_ref()))),
                config: config(site, server, &name, assets, partitions_count),
                limits: limits(&profile.opcua),
                name,
            });
        }
    }
    sources
}

fn config<'a>(
    site: &Site,
    server: &OpcUaServer,
    name: &str,
    assets: impl Iterator<Item = &'a Asset>,
    partitions_count: u16,
) -> SessionConfig {
    SessionConfig {
        session_name: format!("millicore {name}"),
        topic_namespace: site.name.get_ref().clone(),
        defaults: DataSetDefaults {
            publishing_interval: server.publishing_interval(),
            sampling: Sampling {
                sampling_interval: Some(millis(server.sampling_interval_ms)),
                queue_size: (server.queue_size > 0).then_some(server.queue_size),
                update_period: Some(millis(server.update_period_ms)),
            },
            key_frame_count: server.key_frame_count,
            conflate: match server.conflate {
                Conflate::Last => opcua_subscription::Conflate::Last,
                Conflate::All => opcua_subscription::Conflate::All,
            },
            acknowledge: match server.acknowledge {
                Acknowledge::Accepted => AcknowledgeAt::Accepted,
                Acknowledge::Delivered => AcknowledgeAt::Delivered,
            },
        },
        data_sets: assets.map(data_set).collect(),
        partitions_count,
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry: None,
    }
}

fn data_set(asset: &Asset) -> DataSet {
    let points = asset.tags.iter().map(|(name, tag)| data_point(name, tag.get_ref()));
    DataSet {
        asset: asset.name.get_ref().clone(),
        topic: asset.topic.as_ref().map(|topic| topic.get_ref().clone()),
        external_asset_id: asset.external_id.clone(),
        points: points.collect(),
        ..DataSet::default()
    }
}

fn data_point(name: &str, tag: &Tag) -> DataPoint {
    let spec = tag.spec();
    DataPoint {
        name: name.to_owned(),
        node_id: tag.node_id().to_owned(),
        sampling: Sampling {
            sampling_interval: spec.and_then(|spec| spec.sampling_interval_ms).map(millis),
            queue_size: spec.and_then(|spec| spec.queue_size),
            update_period: spec.and_then(|spec| spec.update_period_ms).map(millis),
        },
    }
}

fn limits(profile: &OpcuaProfile) -> Limits {
    Limits {
        items_per_subscription: profile.items_per_subscription,
        items_per_call_max: profile.items_per_call_max,
        monitored_item_queue_count_max: profile.monitored_item_queue_count_max,
        publish_requests_count: profile.publish_requests_in_flight,
        unacknowledged_notifications_max: profile.unacknowledged_notifications_max,
        notifications_per_publish_max: profile.notifications_per_publish_max,
        outage_budget: profile.outage_budget,
        session_timeout: profile.session_timeout,
        keep_alive_interval: profile.keep_alive_interval,
        liveness_interval: profile.liveness_interval,
        liveness_misses_max: profile.liveness_misses_max,
        request_timeout: profile.request_timeout,
        backoff_min: profile.reconnect_backoff_min,
        backoff_max: profile.reconnect_backoff_max,
        stop_timeout: profile.stop_timeout,
        payload_bytes_max: profile.payload_bytes_max,
        value_bytes_max: profile.value_bytes_max,
        held_values_bytes_max: profile.held_values_bytes_max,
        republish_count_max: profile.republish_count_max,
        rejected_retry_interval: profile.rejected_retry_interval,
        arena_chunk_bytes: profile.arena_chunk_bytes,
    }
}

fn millis(count: u32) -> Duration {
    Duration::from_millis(u64::from(count))
}

/// A name as a file's name: letters, digits, `-` and `_`; the rest as `%xx`.
fn file_name(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02x}").expect("a String takes all");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn names_become_different_file_names() {
        assert_eq!(file_name("plant-1_A"), "plant-1_A");
        assert_ne!(file_name("a b"), file_name("a_b"));
        assert_eq!(file_name("../x"), "%2e%2e%2fx");
    }

    #[test]
    fn the_assets_of_a_server_are_dealt_to_its_sessions() {
        let text = "name = \"plant\"\n[[opcua]]\nname = \"s\"\nendpoint = \"opc.tcp://127.0.0.1:4840\"\nsecurity = \"None\"\n\
                    [[opcua.asset]]\nname = \"a\"\ntags = { t = \"ns=2;i=1\" }\n\
                    [[opcua.asset]]\nname = \"b\"\ntags = { t = \"ns=2;i=2\" }\n\
                    [[opcua.asset]]\nname = \"c\"\ntags = { t = \"ns=2;i=3\" }\n";
        let site = Site::parse(Path::new("site.toml"), text).unwrap();
        let profile = Profile::load("vm-4vcpu", &["opcua.sessions_per_server=2".to_owned()]).unwrap();
        let sources = sources(&site, &profile, 1);
        let assets: Vec<Vec<&str>> = sources
            .iter()
            .map(|source| source.config.data_sets.iter().map(|data_set| data_set.asset.as_str()).collect())
            .collect();
        assert_eq!(assets, [vec!["a", "c"], vec!["b"]]);
        assert_eq!(sources[1].name, "s-1");
        assert!(sources[1].state_file.ends_with("opcua-s.1.session"), "no server's name has a dot there");
        assert!(sources.iter().all(|source| source.session(1).is_ok()));
    }
}
