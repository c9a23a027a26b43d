//! The shell against a real server over loopback: the simulated plant of `bench/plc`, driven by a real Session.

mod driver;
mod world;

use std::time::Duration;

use bench_plc::options::{PlantLimits, PlantOptions, User};
use bench_plc::scenario::PlantScenario;
use opcua_subscription::{DisconnectReason, Report, StatusCode};
use opcua_transport::{Security, TransportConfig, TrustPolicy, UserName};

use crate::driver::Seen;
use crate::world::{Client, Values, World, folder_with, options, small_scenario};

#[test]
fn values_arrive_without_security() {
    let world = World::start(options());
    let client = Client::start(world.transport(), &small_scenario(), 64);
    all_arrive(client);
}

#[test]
fn values_arrive_signed_encrypted_and_with_a_user_name() {
    let world = World::start(secured());
    let client = Client::start(secured_transport(&world), &small_scenario(), 64);
    all_arrive(client);
}

#[test]
fn values_arrive_through_a_channel_for_one_message() {
    let world = World::start(options());
    let client = Client::start(world.transport(), &small_scenario(), 1);
    all_arrive(client);
}

#[test]
fn a_connection_that_breaks_is_resumed_and_nothing_is_missing() {
    let world = World::start(PlantOptions { fault_front: true, ..options() });
    let client = Client::start(world.transport(), &small_scenario(), 64);
    let mut values = Values::default();
    for round in 1..=3 {
        client.wait_values("200 more values", &mut values, |values| values.count >= 200 * round);
        world.plant().drop_connections().unwrap();
        let reason = client.wait("the end of the connection", |seen| {
            values.take_seen(&seen);
            disconnect_reason(&seen)
        });
        assert!(matches!(reason, DisconnectReason::ClosedByServer(_)), "{reason:?}");
    }
    client.wait_values("800 values", &mut values, |values| values.count >= 800);
    client.stop(&mut values);
    assert_eq!((values.missing, values.repeated), (0, 0));
}

#[test]
fn a_server_that_is_away_is_unreachable_and_then_found() {
    let world = World::start(PlantOptions { fault_front: false, ..options() });
    let client = Client::start(world.transport(), &small_scenario(), 64);
    let mut values = Values::default();
    client.wait_values("100 values", &mut values, |values| values.count >= 100);
    let restarting = world.plant().restart(Duration::from_secs(1));
    let mut reasons = Vec::new();
    world.block_on(restarting).unwrap();
    client.wait("a connect that fails, and values after it", |seen| {
        values.take_seen(&seen);
        match disconnect_reason(&seen) {
            Some(reason) => reasons.push(reason),
            None if reasons.iter().any(|reason| matches!(reason, DisconnectReason::Unreachable(_))) => {
                return matches!(seen, Seen::Publication(_)).then_some(());
            }
            None => {}
        }
        None
    });
    client.stop(&mut values);
}

#[test]
fn a_wrong_password_is_told() {
    let world = World::start(secured());
    let user = Some(UserName { name: "operator".to_owned(), password: "guessed".to_owned() });
    let client = Client::start(TransportConfig { user, ..secured_transport(&world) }, &small_scenario(), 64);
    let failed = client.wait("a refused service", |seen| failed_service(&seen));
    assert_eq!(failed, ("ActivateSession", StatusCode::BAD_IDENTITY_TOKEN_REJECTED));
    client.stop(&mut Values::default());
}

#[test]
fn a_certificate_that_is_not_in_the_folder_is_not_trusted() {
    let world = World::start(secured());
    let empty = world.directory.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let trust = TrustPolicy::Folder(empty);
    let client = Client::start(TransportConfig { trust, ..secured_transport(&world) }, &small_scenario(), 64);
    let reason = client.wait("a refused connect", |seen| disconnect_reason(&seen));
    assert_eq!(reason, DisconnectReason::NotTrusted(StatusCode(0x801A_0000)));
    client.stop(&mut Values::default());
}

#[test]
fn an_endpoint_that_is_not_offered_is_told() {
    let world = World::start(options());
    let security = Security::Basic256Sha256;
    let transport = TransportConfig { security, connect_timeout: Duration::from_secs(30), ..world.transport() };
    let client = Client::start(transport, &small_scenario(), 64);
    let reason = client.wait("a refused connect", |seen| disconnect_reason(&seen));
    assert_eq!(reason, DisconnectReason::NoEndpoint);
    client.stop(&mut Values::default());
}

#[test]
fn a_token_is_renewed_many_times_while_values_arrive() {
    for is_secured in [false, true] {
        let of = if is_secured { secured() } else { options() };
        let limits = PlantLimits { token_lifetime_max: Duration::from_secs(1), ..PlantLimits::default() };
        let world = World::start(PlantOptions { limits, ..of });
        let transport = if is_secured { secured_transport(&world) } else { world.transport() };
        let client = Client::start(transport, &small_scenario(), 64);
        let mut values = Values::default();
        // 400 values a second: six lifetimes.
        client.wait("2,400 values", |seen| {
            assert_eq!(disconnect_reason(&seen), None, "no renewal fails");
            values.take_seen(&seen);
            (values.count >= 2_400).then_some(())
        });
        client.stop(&mut values);
        assert_eq!((values.missing, values.repeated), (0, 0));
    }
}

#[test]
fn messages_of_many_chunks_arrive() {
    let scenario = PlantScenario { assets: 20, tags_per_asset: 50, updates_per_s: 5.0, ..PlantScenario::default() };
    for is_secured in [false, true] {
        let of = if is_secured { secured() } else { options() };
        let world = World::start(PlantOptions { scenario: scenario.clone(), ..of });
        let mut transport = if is_secured { secured_transport(&world) } else { world.transport() };
        transport.limits.chunk_bytes_max = 8_192;
        let client = Client::start(transport, &scenario, 64);
        let mut values = Values::default();
        let what = "values of all tags";
        client.wait_values(what, &mut values, |values| values.count >= 5_000 && values.tags() == 1_000);
        client.stop(&mut values);
        assert_eq!((values.missing, values.repeated), (0, 0));
    }
}

// --- what the tests lean on ---

fn all_arrive(client: Client) {
    let mut values = Values::default();
    client.wait_values("400 values of all tags", &mut values, |values| values.count >= 400 && values.tags() == 20);
    client.stop(&mut values);
    assert_eq!((values.missing, values.repeated), (0, 0));
}

fn secured() -> PlantOptions {
    PlantOptions {
        policy_none: false,
        policy_basic256sha256: true,
        anonymous: false,
        user: Some(User { name: "operator".to_owned(), password: "a long pass phrase".to_owned() }),
        ..options()
    }
}

fn secured_transport(world: &World) -> TransportConfig {
    TransportConfig {
        security: Security::Basic256Sha256,
        user: Some(UserName { name: "operator".to_owned(), password: "a long pass phrase".to_owned() }),
        trust: TrustPolicy::Folder(folder_with(world.directory.path(), &world.certificate())),
        connect_timeout: Duration::from_secs(30),
        ..world.transport()
    }
}

fn disconnect_reason(seen: &Seen) -> Option<DisconnectReason> {
    match seen {
        Seen::Report(Report::Disconnected { reason, .. }) => Some(reason.clone()),
        Seen::Report(_) | Seen::Publication(_) => None,
    }
}

fn failed_service(seen: &Seen) -> Option<(&'static str, StatusCode)> {
    match seen {
        Seen::Report(Report::ServiceFailed { service, status_code }) => Some((service, *status_code)),
        Seen::Report(_) | Seen::Publication(_) => None,
    }
}
