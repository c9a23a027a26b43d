//! The MQTT listeners of a site, made ready before anything starts: files read, lanes started, ports opened.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use access::AccessRules;
use anyhow::Context;
use authentication::{
    AuthenticatorConfig, Authenticators, CertificateConfig, ConfigField, FailureLimits, Gate, GateSpec, JwtConfig,
    LoadError, PasswordConfig, SubjectAttributes,
};
use mqtt_connection::DeniedPublishV3;
use mqtt_listener::{
    BoundListener, HandshakeLane, HandshakeSpec, LISTENER_COUNT_MAX, ListenerConfig, ListenerLayers, TlsListener,
    WebSocketConfig,
};
use placement::{ActorKind, LaneKind, Plan};
use tls_server::{RevocationDepth, SelfMade, ServerTls, TlsConfig, ensure_self_made};

use crate::site::{
    AuthenticationKind, AuthenticationMethod, ClientCertificates, DeniedPublish, Listener, ListenerTls, Protocol, Site,
    SiteError,
};

/// What a site's listeners need beside their ports.
pub(super) struct Listeners {
    /// By number, who is let in and what clients may do.
    pub(super) access: Vec<ListenerAccess>,
    /// Their TLS, with their labels.
    pub(super) tls: Vec<(String, Arc<ServerTls>)>,
    /// Where handshakes are done; none where no listener speaks TLS.
    pub(super) handshake_lane: Option<HandshakeLane>,
    /// Who checks credentials; none where no listener asks for any.
    pub(super) gate: Option<Gate>,
    /// The certificate that we have made.
    pub(super) self_made: Option<SelfMadeTls>,
}

/// A certificate of our own, to be renewed.
pub(super) struct SelfMadeTls {
    pub(super) directory: PathBuf,
    pub(super) names: Vec<String>,
    pub(super) made: SelfMade,
}

/// Who is let in at a listener, and what clients may do there.
#[derive(Clone, Debug)]
pub(super) struct ListenerAccess {
    /// What people call the listener.
    pub(super) label: String,
    /// Who finds out who a client is; `None`: everybody is let in and nobody asks.
    pub(super) authenticators: Option<Arc<Authenticators>>,
    /// The name of the rules in the site's file.
    pub(super) authorization: Option<String>,
    /// The rules at the start.
    pub(super) rules: Arc<AccessRules>,
    pub(super) denied_publish_v3: DeniedPublishV3,
    /// Connections at once, over all cores; `None`: no limit of its own.
    pub(super) connections_count_max: Option<u32>,
}

/// Reads all files of the site's listeners, starts the lanes that they need, and opens their ports.
///
/// # Errors
/// Every mistake of the files at once; a lane that does not start; the first port that cannot be opened.
pub(super) fn start(site: &Site, plan: &Plan) -> anyhow::Result<(Listeners, Vec<BoundListener>)> {
    check_sockets(site, plan)?;
    let self_made = make_certificate(site)?;
    let found = read_files(site, self_made.as_ref()).map_err(|errors| crate::site::all_of(&errors))?;
    let broker = &plan.profile.broker;
    let cpu = Some(plan.lane_of(LaneKind::Blocking, 0).cpu);
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let handshakes = HandshakeSpec {
        thread_count: broker.handshake_threads_count.into(),
        under_way_max: count(broker.handshakes_count_max),
        waiting_max: count(broker.handshakes_count_max),
        ..HandshakeSpec::new("handshake", cpu)
    };
    let speaks_tls = found.iter().any(|files| files.tls.is_some());
    let handshake_lane = speaks_tls.then(|| HandshakeLane::start(&handshakes)).transpose()?;
    let checks = GateSpec {
        thread_count: broker.authentication_threads_count.into(),
        queue_max: count(broker.authentication_queue_count_max),
        cpu,
        failures: FailureLimits::default(),
    };
    let asks = found.iter().any(|files| files.authenticators.is_some());
    let gate = asks.then(|| Gate::start(&checks)).transpose()?;
    let mut listeners = Listeners { access: Vec::new(), tls: Vec::new(), handshake_lane, gate, self_made };
    let mut bound = Vec::with_capacity(site.listeners.len());
    for ((number, listener), files) in (0_u16..).zip(&site.listeners).zip(found) {
        bound.push(listeners.open(number, site, listener, files, plan)?);
    }
    Ok((listeners, bound))
}

impl Listeners {
    fn open(
        &mut self,
        number: u16,
        site: &Site,
        listener: &Listener,
        files: ListenerFiles,
        plan: &Plan,
    ) -> anyhow::Result<BoundListener> {
        let label = listener.label();
        let tls = match (files.tls, &self.handshake_lane) {
            (Some(server), Some(lane)) => {
                lane.watch(Arc::clone(&server));
                self.tls.push((label.clone(), Arc::clone(&server)));
                Some(TlsListener { server, lane: lane.clone() })
            }
            (_, _) => None,
        };
        let websocket = (listener.protocol == Protocol::WebSocket).then(|| websocket_config(listener));
        let layers = ListenerLayers { tls, websocket };
        let workers_count = plan.profile.broker.frontends_count();
        let config = ListenerConfig {
            number,
            core_count: workers_count as usize,
            // Each worker has a socket, among which the kernel spreads connections.
            connect_rate_max: listener.connect_rate_per_s_max.map(|rate| rate.get().div_ceil(workers_count)),
            layers,
            ..ListenerConfig::new(*listener.bind.get_ref())
        };
        let bound = mqtt_listener::bind(&config)?;
        tracing::info!(
            address = %bound.address(),
            name = label,
            tls = config.layers.tls.is_some(),
            websocket = config.layers.websocket.is_some(),
            "MQTT listener"
        );
        let rules = listener.authorization.as_ref().and_then(|name| site.authorization_named(name.get_ref()));
        self.access.push(ListenerAccess {
            label,
            authenticators: files.authenticators,
            authorization: rules.map(|rules| rules.name.get_ref().clone()),
            rules: Arc::new(match rules {
                None => AccessRules::allow_all(),
                Some(rules) => rules.compile().expect("the site was checked"),
            }),
            denied_publish_v3: match rules.map(|rules| rules.denied_publish_v3) {
                Some(DeniedPublish::Silent) => DeniedPublishV3::Silent,
                Some(DeniedPublish::Disconnect) | None => DeniedPublishV3::Disconnect,
            },
            connections_count_max: listener.connections_count_max.map(std::num::NonZeroU32::get),
        });
        Ok(bound)
    }
}

/// No core may have more listening sockets than it can watch.
fn check_sockets(site: &Site, plan: &Plan) -> anyhow::Result<()> {
    let workers_on = |executor: usize| {
        let workers = 0..plan.profile.broker.frontends_count();
        workers.filter(|worker| plan.executor_of(ActorKind::MqttConnection, *worker) == executor).count()
    };
    let most = (0..plan.executors.len()).map(workers_on).max().unwrap_or(0);
    anyhow::ensure!(
        most * site.listeners.len() <= LISTENER_COUNT_MAX,
        "{} listeners for {most} frontend workers on one core are more than {LISTENER_COUNT_MAX} sockets: use fewer listeners, \
         or fewer frontend_workers in the profile",
        site.listeners.len()
    );
    Ok(())
}

/// Makes a CA and a certificate where a listener wants a self-made one.
fn make_certificate(site: &Site) -> anyhow::Result<Option<SelfMadeTls>> {
    if !site.listeners.iter().any(Listener::is_self_made) {
        return Ok(None);
    }
    let mut names = BTreeSet::new();
    for listener in site.listeners.iter().filter(|listener| listener.is_self_made()) {
        let address = listener.bind.get_ref().ip();
        if !address.is_unspecified() {
            names.insert(address.to_string());
        }
        let of_file = listener.tls.iter().flat_map(|tls| &tls.get_ref().names);
        names.extend(of_file.map(|name| name.get_ref().clone()));
    }
    let names: Vec<String> = names.into_iter().collect();
    let directory = site.state_directory().join("tls");
    let made = ensure_self_made(&directory, &names, SystemTime::now())?;
    tracing::info!(ca = %made.ca_file.display(), "TLS with a self-made certificate: clients must trust this CA");
    Ok(Some(SelfMadeTls { directory, names, made }))
}

/// The files of one listener, read.
pub(crate) struct ListenerFiles {
    tls: Option<Arc<ServerTls>>,
    authenticators: Option<Arc<Authenticators>>,
}

/// What `check` finds in the files that listeners name: mistakes, and files that are not there, which may be elsewhere.
pub(crate) fn check_files(site: &Site) -> (Vec<SiteError>, Vec<String>) {
    let missing: Vec<String> =
        files_of(site).iter().filter(|file| !file.exists()).map(|file| file.display().to_string()).collect();
    let mut errors = read_files(site, None).err().unwrap_or_default();
    errors.retain(|error| !missing.iter().any(|file| names_file(&error.problem, file)));
    (errors, missing)
}

/// Whether a mistake is about this file, and not about another whose name goes on where this one's ends.
fn names_file(problem: &str, file: &str) -> bool {
    let goes_on = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-' | '/');
    problem.match_indices(file).any(|(at, _)| !problem[at + file.len()..].starts_with(goes_on))
}

fn files_of(site: &Site) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for tls in site.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        let tls = tls.get_ref();
        let named = tls.certificate_file.iter().chain(&tls.key_file).chain(&tls.client_ca_files).chain(&tls.crl_files);
        files.extend(named.map(|file| site.folder.join(file)));
    }
    for method in &site.authentication {
        let named = method.file.iter().chain(&method.jwks_file);
        files.extend(named.map(|file| site.folder.join(file.get_ref())));
    }
    files
}

/// By listener, its files. Without `self_made` listeners that want it have no TLS, for who only looks.
fn read_files(site: &Site, self_made: Option<&SelfMadeTls>) -> Result<Vec<ListenerFiles>, Vec<SiteError>> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for listener in &site.listeners {
        let mut files = ListenerFiles { tls: None, authenticators: None };
        if let Some(tls) = &listener.tls
            && let Some(config) = tls_config(site, tls.get_ref(), self_made)
        {
            match ServerTls::load(config) {
                Ok(server) => files.tls = Some(server),
                Err(error) => {
                    errors.push(site.error_at(tls.span(), error.to_string(), "mend the file, or name another"));
                }
            }
        }
        match authenticators(site, listener) {
            Ok(authenticators) => files.authenticators = authenticators,
            Err(found) => errors.extend(found),
        }
        found.push(files);
    }
    // Listeners may name the same files.
    let mut told = Vec::new();
    for error in errors {
        if !told.contains(&error) {
            told.push(error);
        }
    }
    if told.is_empty() { Ok(found) } else { Err(told) }
}

fn tls_config(site: &Site, tls: &ListenerTls, self_made: Option<&SelfMadeTls>) -> Option<TlsConfig> {
    let in_folder = |file: &PathBuf| site.folder.join(file);
    let (certificate_file, key_file) = match (&tls.certificate_file, &tls.key_file) {
        (Some(certificate), Some(key)) => (in_folder(certificate), in_folder(key)),
        (_, _) => self_made.map(|own| (own.made.certificate_file.clone(), own.made.key_file.clone()))?,
    };
    let ca_files = tls.client_ca_files.iter().map(in_folder).collect();
    let crl_files = tls.crl_files.iter().map(in_folder).collect();
    let depth = if tls.crl_whole_chain { RevocationDepth::WholeChain } else { RevocationDepth::Client };
    Some(TlsConfig {
        client_certificates: match tls.client_certificates {
            ClientCertificates::None => tls_server::ClientCertificates::None,
            ClientCertificates::Optional => tls_server::ClientCertificates::Optional { ca_files, crl_files, depth },
            ClientCertificates::Required => tls_server::ClientCertificates::Required { ca_files, crl_files, depth },
        },
        tls12: tls.tls12,
        ..TlsConfig::new(certificate_file, key_file)
    })
}

fn websocket_config(listener: &Listener) -> Arc<WebSocketConfig> {
    Arc::new(WebSocketConfig {
        path: listener.path.as_ref().map(|path| path.get_ref().clone()),
        origins: listener.origins.iter().map(|origin| origin.get_ref().clone()).collect(),
        ..WebSocketConfig::default()
    })
}

fn authenticators(site: &Site, listener: &Listener) -> Result<Option<Arc<Authenticators>>, Vec<SiteError>> {
    if listener.authentication.is_empty() {
        return Ok(None);
    }
    let methods: Vec<&AuthenticationMethod> =
        listener.authentication.iter().filter_map(|name| site.authentication_named(name.get_ref())).collect();
    let mut configs: Vec<AuthenticatorConfig> = methods.iter().map(|method| config_of(site, method)).collect();
    if listener.allow_anonymous {
        configs.push(AuthenticatorConfig::Anonymous);
    }
    let place = |error: LoadError| match error {
        LoadError::Config { authenticator, field, problem, hint } => {
            let method = methods.get(authenticator).copied();
            let at = match (method, field) {
                (Some(method), ConfigField::Subject(index)) => method.subjects.get(index).map(toml::Spanned::span),
                (_, _) => None,
            };
            let at = at.or_else(|| method.map(|method| method.name.span())).unwrap_or_else(|| listener.bind.span());
            site.error_at(at, format!("{field}: {problem}"), hint)
        }
        LoadError::File { authenticator, error } => {
            let method = methods.get(authenticator);
            let at = method.and_then(|method| method.file.as_ref().or(method.jwks_file.as_ref()));
            let at = at.map_or_else(|| listener.bind.span(), toml::Spanned::span);
            let line = error.line.map_or_else(String::new, |line| format!(":{line}"));
            site.error_at(at, format!("{}{line}: {}", error.file.display(), error.problem), error.hint)
        }
    };
    match Authenticators::load(configs) {
        Ok(authenticators) => Ok(Some(authenticators)),
        Err(errors) => Err(errors.into_iter().map(place).collect()),
    }
}

fn config_of(site: &Site, method: &AuthenticationMethod) -> AuthenticatorConfig {
    let file = |file: &Option<toml::Spanned<PathBuf>>| {
        site.folder.join(file.as_ref().expect("the site was checked").get_ref())
    };
    let texts = |list: &[toml::Spanned<String>]| list.iter().map(|text| text.get_ref().clone()).collect();
    match method.kind {
        AuthenticationKind::PasswordFile => AuthenticatorConfig::Password(PasswordConfig { file: file(&method.file) }),
        AuthenticationKind::X509 => {
            let subjects = method.subjects.iter().map(|subject| {
                let subject = subject.get_ref();
                SubjectAttributes { subject: subject.subject.clone(), attributes: subject.attributes.clone() }
            });
            AuthenticatorConfig::Certificate(CertificateConfig { subjects: subjects.collect() })
        }
        AuthenticationKind::Jwt => AuthenticatorConfig::Jwt(JwtConfig {
            keys_file: file(&method.jwks_file),
            issuers: texts(&method.issuers),
            audiences: texts(&method.audiences),
            clock_skew_s: method.clock_skew_s.as_ref().map_or(60, |skew| *skew.get_ref()),
            methods: texts(&method.methods),
            as_password: method.as_password.as_ref().is_none_or(|as_password| *as_password.get_ref()),
            user_name_claim: method
                .user_name_claim
                .as_ref()
                .map_or_else(|| "sub".to_owned(), |claim| claim.get_ref().clone()),
            attribute_claims: method
                .attributes
                .iter()
                .map(|(name, claim)| (name.clone(), claim.get_ref().clone()))
                .collect(),
        }),
    }
}

/// Renews the self-made certificate where it is time. Returns when to look again; the files are then seen by who watches them.
pub(super) fn renew(self_made: &mut SelfMadeTls, now: SystemTime) -> anyhow::Result<bool> {
    if now < self_made.made.renew_at {
        return Ok(false);
    }
    self_made.made =
        ensure_self_made(&self_made.directory, &self_made.names, now).context("the self-made certificate")?;
    Ok(self_made.made.renewed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_about_a_file_is_not_taken_for_one_about_another_with_a_longer_name() {
        let of_others = ["/etc/users2:3: no hash", "/etc/users.old: no file", "/etc/users/a: no file"];
        assert!(of_others.iter().all(|problem| !names_file(problem, "/etc/users")));
        let of_its_own = ["/etc/users: no such file", "password_file: /etc/users:1: no hash", "cannot read /etc/users"];
        assert!(of_its_own.iter().all(|problem| names_file(problem, "/etc/users")));
    }
}
