//! Clients at a listener's door: order of authenticators, limits, files that change, and logs without secrets.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access::{Credentials, Secret};
use authentication::{
    Answer, AuthenticatorConfig, AuthenticatorKind, Authenticators, CertificateConfig, ConfigField, FailureLimits,
    Gate, GateSpec, JwtConfig, LoadError, PasswordConfig, Request, delete_user, set_password,
};
use futures_lite::future::block_on;
use mqtt::ReasonCode;

const BAD_PASSWORD: Answer = Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD);

fn gate(queue_max: usize, burst_count: u32) -> Gate {
    let interval = Duration::from_hours(1);
    let failures = FailureLimits { burst_count, interval, addresses_count_max: 100 };
    Gate::start(&GateSpec { thread_count: 1, queue_max, cpu: None, failures }).expect("a thread can be started")
}

fn request(user_name: Option<&str>, password: Option<&str>) -> Request {
    let credentials = Credentials {
        client_identifier: "c1".into(),
        user_name: user_name.map(Into::into),
        password: password.map(|text| Secret::new(text.as_bytes())),
        authentication_method: None,
        authentication_data: None,
    };
    Request { credentials, certificates: Vec::new(), peer: IpAddr::from([10, 0, 0, 1]) }
}

fn by_method(method: &str, data: &str) -> Request {
    let mut request = request(None, None);
    request.credentials.authentication_method = Some(method.into());
    request.credentials.authentication_data = Some(Secret::new(data.as_bytes()));
    request
}

fn vector(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

fn passwords() -> AuthenticatorConfig {
    AuthenticatorConfig::Password(PasswordConfig { file: vector("passwords") })
}

fn jwt() -> JwtConfig {
    JwtConfig {
        keys_file: vector("keys.json"),
        issuers: vec!["https://issuer.example".to_owned()],
        audiences: vec!["millicore".to_owned()],
        // The fixtures' time is in 2027: a skew of 50 years lets them in whenever the test runs.
        clock_skew_s: 1_576_800_000,
        methods: vec!["K8S-SAT".to_owned()],
        as_password: true,
        user_name_claim: "sub".to_owned(),
        attribute_claims: [("namespace".to_owned(), "/kubernetes.io/namespace".to_owned())].into(),
    }
}

fn token() -> String {
    let tokens = std::fs::read_to_string(vector("tokens")).expect("a fixture");
    let line = tokens.lines().find(|line| line.starts_with("good RS256 ")).expect("among the fixtures");
    line.rsplit(' ').next().expect("never empty").to_owned()
}

#[test]
fn the_first_authenticator_whom_it_concerns_decides() {
    let gate = gate(10, 100);
    let chain = [AuthenticatorConfig::Jwt(jwt()), passwords(), AuthenticatorConfig::Anonymous];
    let chain = Authenticators::load(chain.to_vec()).unwrap();
    let answer = |request| block_on(gate.authenticate(&chain, request));

    let grant = answer(request(Some("pump"), Some("correct horse"))).unwrap();
    assert_eq!((grant.by, grant.principal.user_name.as_deref()), (AuthenticatorKind::Password, Some("pump")));
    assert_eq!(answer(request(Some("pump"), Some("wrong"))), BAD_PASSWORD);
    assert_eq!(answer(request(Some("pump"), None)), BAD_PASSWORD);
    assert_eq!(answer(request(Some("nobody"), Some("wrong"))), BAD_PASSWORD);

    for request in [request(Some("any"), Some(&token())), request(None, Some(&token())), by_method("K8S-SAT", &token())]
    {
        let grant = answer(request).unwrap();
        assert_eq!((grant.by, grant.principal.user_name.as_deref()), (AuthenticatorKind::Jwt, Some("pump-7")));
        assert_eq!(grant.principal.attributes["namespace"].as_ref(), "plant");
        assert_eq!(grant.expires_at_s, Some(1_800_000_600));
    }
    assert_eq!(answer(by_method("K8S-SAT", "x")), Err(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(answer(by_method("SCRAM-SHA-1", "x")), Err(ReasonCode::BAD_AUTHENTICATION_METHOD));
    assert_eq!(answer(request(Some("pump"), Some("eyJhbGciOiJub25lIn0.e30."))), BAD_PASSWORD);

    let grant = answer(request(None, None)).unwrap();
    assert_eq!((grant.by, &grant.principal.user_name), (AuthenticatorKind::Anonymous, &None));
    let counters = gate.counters();
    assert_eq!((counters.granted, counters.denied), (5, 6));
}

#[test]
fn without_anonymous_nobody_comes_in_without_credentials() {
    let chain = Authenticators::load(vec![passwords()]).unwrap();
    let answer = block_on(gate(1, 1).authenticate(&chain, request(None, Some("correct horse"))));
    assert_eq!(answer, Err(ReasonCode::NOT_AUTHORIZED));
}

#[test]
fn a_certificate_is_taken_before_a_password_where_it_stands_before() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "press-1");
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    let chain = [AuthenticatorConfig::Certificate(CertificateConfig::default()), passwords()];
    let chain = Authenticators::load(chain.to_vec()).unwrap();
    let gate = gate(10, 100);
    let with = |certificates| Request { certificates, ..request(Some("pump"), Some("correct horse")) };
    let user_name = |request| block_on(gate.authenticate(&chain, request)).unwrap().principal.user_name.clone();
    assert_eq!(user_name(with(vec![certificate])).as_deref(), Some("press-1"));
    assert_eq!(user_name(with(Vec::new())).as_deref(), Some("pump"));
}

#[test]
fn an_address_that_fails_too_often_is_turned_away_unchecked() {
    let gate = gate(10, 3);
    let chain = Authenticators::load(vec![passwords()]).unwrap();
    let answer = |request| block_on(gate.authenticate(&chain, request));
    for _ in 0..3 {
        assert_eq!(answer(request(Some("pump"), Some("wrong"))), BAD_PASSWORD);
    }
    assert_eq!(answer(request(Some("pump"), Some("correct horse"))), Err(ReasonCode::CONNECTION_RATE_EXCEEDED));
    let elsewhere = Request { peer: IpAddr::from([10, 0, 0, 2]), ..request(Some("pump"), Some("correct horse")) };
    assert!(answer(elsewhere).is_ok());
    assert_eq!(gate.counters().rate_limited, 1);
}

#[test]
fn past_the_queue_clients_are_told_that_the_server_is_busy() {
    let gate = gate(1, 1_000);
    let chain = Authenticators::load(vec![passwords()]).unwrap();
    let asked: Vec<_> =
        (0..50).map(|_| gate.authenticate(&chain, request(Some("pump"), Some("correct horse")))).collect();
    let answers: Vec<Answer> = asked.into_iter().map(block_on).collect();
    let busy = answers.iter().filter(|answer| **answer == Err(ReasonCode::SERVER_BUSY)).count();
    let granted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(granted >= 1 && busy >= 1 && granted + busy == 50, "{granted} {busy}");
    let counters = gate.counters();
    assert_eq!((counters.granted, counters.busy), (granted as u64, busy as u64));
    // Those who were turned away were not taken for failures.
    assert!(block_on(gate.authenticate(&chain, request(Some("pump"), Some("correct horse")))).is_ok());
}

#[test]
fn files_that_change_are_read_and_mistakes_in_them_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    set_password(&file, "a", &Secret::new(*b"one")).unwrap();
    let chain =
        Authenticators::load(vec![AuthenticatorConfig::Password(PasswordConfig { file: file.clone() })]).unwrap();
    let gate = gate(10, 1_000);
    let enters = |user, password| block_on(gate.authenticate(&chain, request(Some(user), Some(password)))).is_ok();
    assert!(enters("a", "one") && !enters("bb", "two"));
    assert_eq!(chain.check_files(), Ok(false));

    set_password(&file, "bb", &Secret::new(*b"two")).unwrap();
    assert!(!enters("bb", "two"));
    assert_eq!(chain.check_files(), Ok(true));
    assert!(enters("a", "one") && enters("bb", "two"));

    std::fs::write(&file, "\nbroken\n").unwrap();
    let errors = chain.check_files().unwrap_err();
    assert!(
        matches!(&errors[..], [LoadError::File { authenticator: 0, error }] if error.line == Some(2)),
        "{errors:?}"
    );
    assert!(enters("bb", "two"));
    assert_eq!(chain.check_files(), Ok(false), "a mistake is told once");

    std::fs::remove_file(&file).unwrap();
    assert!(chain.check_files().is_err() && enters("bb", "two"));
    set_password(&file, "bb", &Secret::new(*b"three")).unwrap();
    set_password(&file, "a", &Secret::new(*b"one")).unwrap();
    delete_user(&file, "a").unwrap();
    assert_eq!(chain.check_files(), Ok(true));
    assert!(!enters("bb", "two") && enters("bb", "three") && !enters("a", "one"));
}

#[test]
fn every_mistake_of_a_chain_is_told_with_its_field() {
    let config = JwtConfig { issuers: Vec::new(), methods: Vec::new(), as_password: false, ..jwt() };
    let nowhere = JwtConfig { keys_file: "nowhere.json".into(), ..jwt() };
    let chain = vec![
        AuthenticatorConfig::Jwt(config),
        AuthenticatorConfig::Anonymous,
        AuthenticatorConfig::Jwt(nowhere),
        AuthenticatorConfig::Password(PasswordConfig { file: vector("keys.json") }),
    ];
    let errors = Authenticators::load(chain).unwrap_err();
    let fields: Vec<_> = errors
        .iter()
        .map(|error| match error {
            LoadError::Config { authenticator, field, .. } => (*authenticator, Some(*field)),
            LoadError::File { authenticator, .. } => (*authenticator, None),
        })
        .collect();
    let expected =
        [(0, Some(ConfigField::Issuers)), (0, Some(ConfigField::Methods)), (2, Some(ConfigField::Chain)), (2, None)];
    assert_eq!(fields[..4], expected, "{errors:?}");
    assert!(fields[4..].iter().all(|each| *each == (3, None)) && fields.len() > 4);
    assert!(matches!(
        &Authenticators::load(Vec::new()).unwrap_err()[..],
        [LoadError::Config { field: ConfigField::Chain, .. }]
    ));
}

#[test]
fn refusals_are_told_in_the_log_without_secrets() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let gate = gate(10, 100);
    let chain = Authenticators::load(vec![AuthenticatorConfig::Jwt(jwt()), passwords()]).unwrap();
    for request in [request(Some("pump\nforged"), Some("hunter2")), by_method("K8S-SAT", "hunter2")] {
        assert!(block_on(gate.authenticate(&chain, request)).is_err());
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("audit") && line.contains("10.0.0.1")).count(), 2, "{text}");
    assert!(text.contains(r"pump\nforged") && text.contains("unknown user or wrong password"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("argon2id"), "{text}");
}
