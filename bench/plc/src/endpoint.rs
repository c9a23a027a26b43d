//! The configuration of one OPC UA server: every limit that the crate would otherwise choose for us.

use std::path::Path;

use anyhow::anyhow;
use opcua::crypto::SecurityPolicy;
use opcua::server::address_space::AddressSpace;
use opcua::server::node_manager::ServerContext;
use opcua::server::node_manager::memory::InMemoryNodeManagerBuilder;
use opcua::server::{
    ANONYMOUS_USER_TOKEN_ID, Limits, OperationalLimits, Server, ServerBuilder, ServerEndpoint, ServerHandle,
    ServerUserToken, SubscriptionLimits,
};
use opcua::types::MessageSecurityMode;

use crate::address_space::PlantNodes;
use crate::options::{PlantLimits, PlantOptions};

const USER_TOKEN_ID: &str = "plant-user";
const MESSAGE_BYTES_MAX: usize = 64 << 20;
const CHUNKS_MAX: usize = 4_096;
const ARRAY_LENGTH_MAX: usize = 1_000_000;
/// The crate knows no "unlimited" for messages made and not yet sent: at 0 it drops all but one. What a client can
/// let pile up is bounded by the queues of its MonitoredItems.
const QUEUED_MESSAGES_MAX: usize = 1_000_000;
const KEEP_ALIVE_COUNT_MAX: u32 = 100_000;

/// What sets one server of a plant apart from the others.
pub(crate) struct ServerIdentity<'a> {
    /// Which server, from 0.
    pub(crate) index: u32,
    /// The port that clients use.
    pub(crate) public_port: u16,
    /// Where certificate and key lie, or are to be made.
    pub(crate) pki_directory: &'a Path,
}

/// Builds a server that has not started yet.
///
/// # Errors
/// If the crate refuses the configuration.
pub(crate) fn build(
    options: &PlantOptions,
    identity: &ServerIdentity<'_>,
    nodes: PlantNodes,
) -> anyhow::Result<(Server, ServerHandle)> {
    let application_uri = format!("urn:millicore:plant:server:{}", identity.index);
    let manager = InMemoryNodeManagerBuilder::new(move |context: ServerContext, address_space: &mut AddressSpace| {
        PlantNodes::announce(&context, address_space);
        nodes
    });
    let url = format!("opc.tcp://{}:{}/", options.advertised_host(), identity.public_port);
    let mut builder = ServerBuilder::new()
        .application_name(format!("millicore plant {}", identity.index))
        .application_uri(application_uri)
        .product_uri("urn:millicore:plant")
        .host(options.advertised_host())
        .port(identity.public_port)
        .discovery_urls(vec![url])
        .pki_dir(identity.pki_directory)
        .trust_client_certs(true)
        .diagnostics_enabled(true)
        .limits(limits(&options.limits))
        .max_session_timeout_ms(millis(options.limits.session_timeout_max))
        .max_secure_channel_token_lifetime_ms(
            u32::try_from(millis(options.limits.token_lifetime_max)).unwrap_or(u32::MAX),
        )
        .publish_timeout_default_ms(millis(options.limits.session_timeout_max))
        .subscription_poll_interval_ms(millis(options.subscription_poll))
        .with_node_manager(manager);
    if options.policy_basic256sha256 {
        builder = builder
            .create_sample_keypair(true)
            .certificate_path("own/cert.der")
            .private_key_path("private/private.pem");
    }
    if let Some(user) = &options.user {
        let token = ServerUserToken::user_pass(user.name.as_str(), user.password.as_str());
        builder = builder.add_user_token(USER_TOKEN_ID, token);
    }
    for (name, endpoint) in endpoints(options) {
        builder = builder.add_endpoint(name, endpoint);
    }
    builder.build().map_err(|reason| anyhow!("server {}: {reason}", identity.index))
}

fn endpoints(options: &PlantOptions) -> Vec<(&'static str, ServerEndpoint)> {
    let mut tokens = Vec::new();
    if options.anonymous {
        tokens.push(ANONYMOUS_USER_TOKEN_ID.to_owned());
    }
    if options.user.is_some() {
        tokens.push(USER_TOKEN_ID.to_owned());
    }
    let offered = [
        (options.policy_none, "none", SecurityPolicy::None, MessageSecurityMode::None),
        (
            options.policy_basic256sha256,
            "basic256sha256",
            SecurityPolicy::Basic256Sha256,
            MessageSecurityMode::SignAndEncrypt,
        ),
    ];
    offered
        .into_iter()
        .filter(|(is_offered, ..)| *is_offered)
        .map(|(_, name, policy, mode)| (name, ServerEndpoint::new("/", policy, mode, &tokens)))
        .collect()
}

fn limits(limits: &PlantLimits) -> Limits {
    let keep_alive = SubscriptionLimits::default().default_keep_alive_count;
    Limits {
        max_array_length: ARRAY_LENGTH_MAX,
        max_message_size: MESSAGE_BYTES_MAX,
        max_chunk_count: CHUNKS_MAX,
        max_sessions: 1_000,
        subscriptions: SubscriptionLimits {
            max_subscriptions_per_session: limits.subscriptions_per_session_max,
            max_pending_publish_requests: limits.publish_requests_max,
            max_publish_requests_per_subscription: limits.publish_requests_per_subscription_max,
            min_sampling_interval_ms: 0.0,
            min_publishing_interval_ms: 10.0,
            max_keep_alive_count: KEEP_ALIVE_COUNT_MAX,
            default_keep_alive_count: keep_alive,
            max_monitored_items_per_sub: limits.monitored_items_per_subscription_max,
            max_monitored_item_queue_size: limits.queue_size_max,
            max_lifetime_count: 3 * KEEP_ALIVE_COUNT_MAX,
            max_notifications_per_publish: limits.notifications_per_publish_max,
            max_queued_notifications: QUEUED_MESSAGES_MAX,
        },
        operational: OperationalLimits {
            max_monitored_items_per_call: limits.monitored_items_per_call_max,
            max_subscriptions_per_call: limits.subscriptions_per_session_max,
            ..OperationalLimits::default()
        },
        ..Limits::default()
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
