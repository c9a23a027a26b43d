//! Who the client is, and what it may do (MQTT 5.0 §3.1.3.5, §4.12, §5.4).

use std::sync::Arc;
use std::time::Duration;

use access::{AccessRules, Action, Credentials, Principal, PrincipalsConfig, ResourceConfig, RuleConfig, Secret};
use bytes::Bytes;
use contract::{SessionState, WillFate};
use mqtt::ReasonCode;
use mqtt_connection::{
    Authentication, AuthenticationStep, ConnectionConfig, DeniedPublishV3, Effect, EndReason, Message,
};

use crate::support::{
    Harness, attached, attached_with, connect_v5, connect_v5_login, connect_v5_will, detach, publish, published,
    subscribe, written,
};

/// Everybody may connect, publish to `publish` and subscribe to `subscribe`.
fn rules(publish: &[&str], subscribe: &[&str]) -> Arc<AccessRules> {
    let resource = |action, topics: &[&str]| ResourceConfig {
        action,
        client_identifiers: Vec::new(),
        topics: topics.iter().map(ToString::to_string).collect(),
    };
    let mut resources = vec![resource(Action::Connect, &[])];
    if !publish.is_empty() {
        resources.push(resource(Action::Publish, publish));
    }
    if !subscribe.is_empty() {
        resources.push(resource(Action::Subscribe, subscribe));
    }
    let principals = PrincipalsConfig { client_identifiers: vec!["*".into()], ..PrincipalsConfig::default() };
    Arc::new(AccessRules::compile(&[RuleConfig { principals, resources }]).expect("well-formed"))
}

fn nobody() -> Arc<AccessRules> {
    Arc::new(AccessRules::compile(&[]).expect("well-formed"))
}

fn with_rules(access: Arc<AccessRules>) -> ConnectionConfig {
    ConnectionConfig { access, ..ConnectionConfig::default() }
}

fn required() -> ConnectionConfig {
    ConnectionConfig { authentication: Authentication::Required, ..ConnectionConfig::default() }
}

fn authenticated() -> Message {
    Message::Authenticated { result: Ok(Arc::new(Principal::anonymous("c"))), data: Bytes::new() }
}

fn refused(reason_code: ReasonCode) -> Message {
    Message::Authenticated { result: Err(reason_code), data: Bytes::new() }
}

/// AUTH with the method `m` and data.
fn auth(reason_code: u8, data: &[u8]) -> Vec<u8> {
    let short = |bytes: &[u8]| u8::try_from(bytes.len()).expect("short");
    let properties = [&b"\x15\x00\x01m\x16\x00"[..], &[short(data)], data].concat();
    [&[0xf0, short(&properties) + 2, reason_code, short(&properties)][..], &properties].concat()
}

const METHOD: &[u8] = b"\x15\x00\x01m\x16\x00\x01d";

#[test]
fn user_name_and_password_go_to_who_knows_them_before_the_home_is_asked() {
    let mut harness = Harness::new(required());
    let effects = harness.receive(&connect_v5_login("c", "operator", b"\x00secret"));
    let credentials = Box::new(Credentials {
        client_identifier: "c".into(),
        user_name: Some("operator".into()),
        password: Some(Secret::new(*b"\x00secret")),
        authentication_method: None,
        authentication_data: None,
    });
    assert_eq!(effects, [Effect::Authenticate { step: AuthenticationStep::Connect, credentials }]);
    assert!(!format!("{effects:?}").contains("secret"));
    assert_eq!(harness.receive(&publish(5, 0, 0, "a", &[], b"early")), [], "it waits for CONNACK");
    let effects = harness.message(authenticated());
    assert!(matches!(effects[..], [Effect::Attach { .. }]), "{effects:?}");
    let effects = harness.message(attached());
    assert_eq!(published(&effects).len(), 1);
    assert_eq!(harness.message(authenticated()), [], "nothing was asked");
}

#[test]
fn who_is_not_believed_is_refused_in_the_words_of_its_version() {
    let mut harness = Harness::new(required());
    harness.receive(&connect_v5("c", 10, &[]));
    let effects = harness.message(refused(ReasonCode::BAD_USER_NAME_OR_PASSWORD));
    assert_eq!(effects, [Effect::Write(vec![0x20, 3, 0, 0x86, 0].into()), Effect::Close]);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Ended(EndReason::ConnectRefused(0x86)), Effect::Gone]);
    let mut harness = Harness::new(required());
    harness.receive(&crate::support::connect_v311("c", 10));
    assert_eq!(written(&harness.message(refused(ReasonCode::BAD_USER_NAME_OR_PASSWORD))), [0x20, 2, 0, 4]);
}

#[test]
fn an_answer_that_takes_too_long_is_not_waited_for() {
    let mut harness = Harness::new(required());
    harness.receive(&connect_v5("c", 10, &[]));
    assert_eq!(harness.advance(Duration::from_secs(10)), [Effect::Close]);
    assert_eq!(harness.message(authenticated()), []);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Ended(EndReason::ConnectTimeout), Effect::Gone]);
}

#[test]
fn enhanced_authentication_goes_to_and_fro_until_connack() {
    // MQTT-4.12.0-2, MQTT-4.12.0-3, MQTT-4.12.0-5.
    let mut harness = Harness::new(required());
    let effects = harness.receive(&connect_v5("c", 10, METHOD));
    let Effect::Authenticate { step: AuthenticationStep::Connect, credentials } = &effects[0] else {
        panic!("{effects:?}")
    };
    assert_eq!(credentials.authentication_method.as_deref(), Some("m"));
    assert_eq!(credentials.authentication_data, Some(Secret::new(*b"d")));
    let effects = harness.message(Message::AuthenticationContinues { data: Bytes::from_static(b"challenge") });
    assert_eq!(effects, [Effect::Write(auth(0x18, b"challenge").into())]);
    let effects = harness.receive(&auth(0x18, b"answer"));
    let Effect::Authenticate { step: AuthenticationStep::Continue, credentials } = &effects[0] else {
        panic!("{effects:?}")
    };
    assert_eq!(&*credentials.client_identifier, "c");
    assert_eq!(credentials.authentication_data, Some(Secret::new(*b"answer")));
    let result = Ok(Arc::new(Principal::anonymous("c")));
    harness.message(Message::Authenticated { result, data: Bytes::from_static(b"last") });
    let connack = written(&harness.message(attached()));
    assert!(connack.ends_with(b"\x15\x00\x01m\x16\x00\x04last"), "{connack:02x?}");
}

#[test]
fn nothing_but_auth_may_come_before_connack_of_enhanced_authentication() {
    // MQTT-3.1.2-30; the method stays the same (MQTT-4.12.0-5).
    let other_method = b"\xf0\x06\x18\x04\x15\x00\x01n".to_vec();
    for bytes in [vec![0xc0, 0x00], publish(5, 0, 0, "a", &[], b"x"), other_method, auth(0x19, b"d")] {
        let mut harness = Harness::new(required());
        harness.receive(&connect_v5("c", 10, METHOD));
        harness.message(Message::AuthenticationContinues { data: Bytes::new() });
        let effects = harness.receive(&bytes);
        assert_eq!(effects, [Effect::Write(vec![0x20, 3, 0, 0x82, 0].into()), Effect::Close], "{bytes:02x?}");
    }
    let mut harness = Harness::new(required());
    harness.receive(&connect_v5("c", 10, METHOD));
    harness.message(Message::AuthenticationContinues { data: Bytes::new() });
    assert_eq!(harness.receive(&[0xe0, 0x00]), [Effect::Close], "it may leave");
}

#[test]
fn a_standing_connection_is_authenticated_anew() {
    // MQTT 5.0 §4.12.1, MQTT-4.12.1-1, MQTT-4.12.1-2.
    let mut harness = Harness::new(required());
    harness.receive(&connect_v5("c", 10, METHOD));
    harness.message(authenticated());
    harness.message(attached());
    let effects = harness.receive(&auth(0x19, b"again"));
    let Effect::Authenticate { step: AuthenticationStep::Reauthenticate, credentials } = &effects[0] else {
        panic!("{effects:?}")
    };
    assert_eq!(&*credentials.client_identifier, "c");
    assert_eq!(harness.receive(&[0xc0, 0x00]), [Effect::Write(vec![0xd0, 0].into())], "all else goes on");
    let effects = harness.message(authenticated());
    assert_eq!(effects, [Effect::Write(b"\xf0\x06\x00\x04\x15\x00\x01m".to_vec().into())]);
    harness.receive(&auth(0x19, b"again"));
    let effects = harness.message(refused(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(written(&effects), [0xe0, 0x01, 0x87]);
    let effects = harness.message(Message::SocketClosed);
    assert_eq!(effects, [Effect::Ended(EndReason::ReauthenticationFailed(0x87)), Effect::Gone]);
}

#[test]
fn auth_out_of_turn_is_a_protocol_error() {
    for bytes in [auth(0x18, b"d"), [auth(0x19, b"d"), auth(0x19, b"d")].concat()] {
        let mut harness = Harness::new(required());
        harness.receive(&connect_v5("c", 10, METHOD));
        harness.message(authenticated());
        harness.message(attached());
        assert_eq!(written(&harness.receive(&bytes)), [0xe0, 0x01, 0x82]);
    }
}

#[test]
fn who_may_not_connect_or_have_its_will_is_refused() {
    let refused = |access, bytes: &[u8]| written(&Harness::new(with_rules(access)).receive(bytes));
    assert_eq!(refused(nobody(), &connect_v5("c", 10, &[])), [0x20, 3, 0, 0x87, 0]);
    assert_eq!(refused(rules(&["a"], &[]), &connect_v5_will("state", "gone", 1)), [0x20, 3, 0, 0x87, 0]);
    assert_eq!(refused(rules(&["state"], &[]), &connect_v5_will("state", "gone", 1)), []);
}

#[test]
fn a_publication_that_is_not_allowed_is_answered_as_its_version_can() {
    // MQTT 5.0 §3.3.5; MQTT 3.1.1, MQTT-3.3.5-2.
    let access = || rules(&["mine/{clientId}"], &[]);
    let mut harness = Harness::connected_v5(with_rules(access()));
    assert_eq!(published(&harness.receive(&publish(5, 0, 0, "mine/c", &[], b"x"))).len(), 1);
    assert_eq!(written(&harness.receive(&publish(5, 1, 3, "mine/d", &[], b"x"))), [0x40, 3, 0, 3, 0x87]);
    assert_eq!(written(&harness.receive(&publish(5, 2, 3, "mine/d", &[], b"x"))), [0x50, 3, 0, 3, 0x87]);
    assert_eq!(harness.receive(&publish(5, 0, 0, "mine/d", &[], b"x")), [], "dropped and counted");
    let mut denied = 0;
    contract::Counters::visit_counters(&harness.connection, &mut |name, value| {
        denied += if name == "publishes_denied" { value } else { 0 };
    });
    assert_eq!(denied, 3);

    let mut harness = Harness::connected_v311(with_rules(access()));
    let effects = harness.receive(&publish(4, 0, 0, "mine/d", &[], b"x"));
    assert_eq!(effects, [Effect::Close, detach(WillFate::Publish)]);
    let config = ConnectionConfig { denied_publish_v3: DeniedPublishV3::Silent, ..with_rules(access()) };
    let mut harness = Harness::connected_v311(config);
    assert_eq!(harness.receive(&publish(4, 0, 0, "mine/d", &[], b"x")), []);
    assert_eq!(written(&harness.receive(&publish(4, 1, 3, "mine/d", &[], b"x"))), [0x40, 2, 0, 3]);
    assert_eq!(written(&harness.receive(&publish(4, 2, 3, "mine/d", &[], b"x"))), [0x50, 2, 0, 3]);
    assert_eq!(written(&harness.receive(&[0x62, 2, 0, 3])), [0x70, 2, 0, 3]);
}

#[test]
fn a_subscription_that_is_not_allowed_is_answered_by_itself() {
    // MQTT 5.0 §3.9.3; MQTT 3.1.1 §3.9.3.
    let mut harness = Harness::connected_v5(with_rules(rules(&[], &["a/+"])));
    let filters = [("a/#", 1), ("$share/g/b", 1)];
    assert_eq!(written(&harness.receive(&subscribe(5, 7, &filters))), [0x90, 5, 0, 7, 0, 0x87, 0x87]);
    assert_eq!(written(&harness.subscribe("$share/g/a/x", 1, 5, 1)), [0x90, 4, 0, 1, 0, 1]);
    let mut harness = Harness::connected_v311(with_rules(rules(&[], &["a/+"])));
    assert_eq!(written(&harness.receive(&subscribe(4, 7, &[("a/#", 1)]))), [0x90, 3, 0, 7, 0x80]);
}

#[test]
fn rules_that_change_end_only_who_uses_what_they_took() {
    let subscribed = || {
        let mut harness = Harness::connected_v5(with_rules(rules(&["p"], &["a/#"])));
        harness.subscribe("a/b", 1, 5, 1);
        harness
    };
    let changed = |access| subscribed().message(Message::AccessChanged(access));
    assert_eq!(changed(rules(&["p"], &["a/b"])), []);
    assert_eq!(changed(rules(&[], &["#"])), [], "it published nothing");
    let gone = [Effect::Write(vec![0xe0, 0x01, 0x87].into()), Effect::Close, detach(WillFate::Publish)];
    assert_eq!(changed(rules(&["p"], &["a/c"])), gone);
    assert_eq!(changed(nobody()), gone);
    let mut harness = subscribed();
    harness.message(Message::AccessChanged(rules(&["q"], &["#"])));
    assert_eq!(published(&harness.receive(&publish(5, 0, 0, "p", &[], b"x"))), [], "each is judged as it comes");
    assert_eq!(published(&harness.receive(&publish(5, 0, 0, "q", &[], b"x"))).len(), 1);
    // A connection that began where everybody may do everything.
    let mut harness = Harness::connected_v5(ConnectionConfig::default());
    harness.subscribe("x", 1, 5, 1);
    assert_eq!(harness.message(Message::AccessChanged(rules(&[], &["a/b"]))), gone);
}

#[test]
fn a_will_that_may_not_be_published_is_deleted() {
    let mut harness = Harness::new(with_rules(rules(&["state"], &[])));
    harness.receive(&connect_v5_will("state", "gone", 1));
    harness.message(attached());
    let effects = harness.message(Message::AccessChanged(rules(&["other"], &[])));
    assert_eq!(effects.last(), Some(&detach(WillFate::Delete)));
}

#[test]
fn a_session_does_not_bring_subscriptions_that_the_principal_may_not_have() {
    let state = SessionState {
        credits: vec![contract::Credit { count: 4_096, bytes: 1 << 20 }].into(),
        topic_filters: vec!["a/b".into(), "secret".into()],
        ..SessionState::default()
    };
    let mut harness = Harness::new(with_rules(rules(&[], &["a/b"])));
    harness.receive(&connect_v5("c", 10, &[0x11, 0, 0, 0, 60]));
    let effects = harness.message(attached_with(state));
    let Effect::Unsubscribe { topic_filters, .. } = &effects[1] else { panic!("{effects:?}") };
    assert_eq!(topic_filters.len(), 1);
    assert_eq!(&*topic_filters[0].topic_filter, "secret");
    assert!(!effects.contains(&Effect::Close));
}
