//! The lanes of the destinations: which flow sends over which lane, and as whom.

use anyhow::Context;
use azure_core::credentials::Secret as AzureSecret;
use contract::FlowIndex;
use eventhubs_lane::{Access, LaneAnswer, LaneCommand, Route, RouteConfig, Timeouts, run_lane};
use executor::{Lane, LaneSpec, Supervisor};
use mailbox::{Receiver, Sender};
use placement::{LaneKind, Plan};
use wiring::Topology;

use super::world::LaneRoute;
use crate::site::{Authentication, Flow, Site, SiteError};

/// The ends of the lanes that belong to cores.
pub(super) struct LaneEnds {
    /// By lane, where cores send commands.
    pub(super) commands: Vec<Sender<LaneCommand>>,
    /// By flow, its lane and its number there.
    pub(super) routes: Vec<LaneRoute>,
    /// By flow, where its batcher hears answers; taken by the core of the batcher.
    pub(super) answers: Vec<(FlowIndex, Receiver<LaneAnswer>)>,
}

/// Starts a lane for each place that the plan has and a flow uses. `specs` gives the doorbells of the cores.
///
/// # Errors
/// A flow's credentials cannot be read, or a lane does not start.
pub(super) fn start(
    site: &Site,
    plan: &Plan,
    topology: &Topology,
    specs: &[executor::ExecutorSpec],
    supervisor: &Supervisor,
) -> anyhow::Result<(Vec<Lane>, LaneEnds)> {
    let depth = plan.profile.mailbox.lane_depth as usize;
    let mut ends = LaneEnds { commands: Vec::new(), routes: Vec::new(), answers: Vec::new() };
    let mut planned: Vec<(&placement::PlannedLane, Vec<Route>)> = Vec::new();
    for (flow, of_site) in (0_u16..).zip(&site.flows) {
        let lane = plan.lane_of(LaneKind::Egress, flow.into());
        let lane_index = planned.iter().position(|(known, _)| *known == lane).unwrap_or_else(|| {
            planned.push((lane, Vec::new()));
            planned.len() - 1
        });
        let config = route_config(site, of_site, plan)
            .with_context(|| format!("flow {}: [flow.event_hub]", of_site.name.get_ref()))?;
        let core = usize::from(topology.batchers[usize::from(flow)].0);
        let (sender, receiver) = mailbox::channel(depth, &specs[core].doorbell);
        ends.answers.push((FlowIndex(flow), receiver));
        ends.routes.push(LaneRoute { lane: lane_index, route: planned[lane_index].1.len() });
        planned[lane_index].1.push(Route { config, answers: sender });
    }
    let mut lanes = Vec::with_capacity(planned.len());
    for (lane, routes) in planned {
        let spec = LaneSpec::new(lane.name(), Some(lane.cpu));
        let (commands, to_lane) = mailbox::channel(depth, &spec.doorbell);
        ends.commands.push(commands);
        lanes.push(Lane::start(spec, supervisor, move |context| Box::pin(run_lane(context, routes, to_lane)))?);
    }
    Ok((lanes, ends))
}

/// What is wrong with the destinations whose secrets can be read here and now; no secret is told.
pub(crate) fn check_routes(site: &Site, plan: &Plan) -> Vec<SiteError> {
    let mut errors = Vec::new();
    for flow in &site.flows {
        let secret = flow.event_hub.authentication().map(Authentication::into_secret);
        let is_readable = secret.is_ok_and(|(key, secret)| secret.read(&site.folder, key).is_ok());
        if is_readable && let Err(error) = route_config(site, flow, plan) {
            let hint = "copy it whole, as the portal shows it under Shared access policies";
            errors.push(site.error_at(flow.event_hub.hub.span(), format!("{error:#}"), hint));
        }
    }
    errors
}

fn route_config(site: &Site, flow: &Flow, plan: &Plan) -> anyhow::Result<RouteConfig> {
    let event_hub = &flow.event_hub;
    let read = |secret: &crate::site::SecretSource, key: &str| {
        let secret = secret.read(&site.folder, key).map_err(anyhow::Error::msg)?;
        anyhow::Ok(AzureSecret::new(secret.reveal().to_owned()))
    };
    let access = match event_hub.authentication().map_err(anyhow::Error::msg)? {
        Authentication::ConnectionString(secret) => Access::ConnectionString(read(&secret, "connection_string")?),
        Authentication::ClientSecret { namespace, tenant_id, client_id, secret } => {
            Access::client_secret(namespace, &tenant_id, client_id, read(&secret, "client_secret")?)?
        }
    };
    let egress = &plan.profile.egress;
    let timeouts = Timeouts { send: egress.send_timeout, ..Timeouts::default() };
    let mut config = RouteConfig::new(event_hub.hub.get_ref().clone(), access)?
        .with_timeouts(timeouts)
        .with_batches_in_flight_max(egress.batches_in_flight_max as usize);
    if let Some(endpoint) = &event_hub.endpoint {
        config = config.with_custom_endpoint(endpoint.get_ref())?;
    }
    Ok(config)
}
