//! Files that are read anew while the process runs: certificates, passwords, keys of tokens, rules.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mailbox::Sender;
use telemetry::Reloaded;
use tls_server::ServerTls;

use super::listeners::{ListenerAccess, SelfMadeTls, renew};
use super::snapshot::{CoreRequest, RulesChange};
use crate::site::Site;

/// How often files are looked at.
pub(super) const PERIOD: Duration = Duration::from_secs(5);
/// How long a core may take to make room for new rules.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that can change while the process runs.
pub(super) struct Reloader {
    site_file: PathBuf,
    /// What the site's file was when it was read last.
    site_stamp: Option<(SystemTime, u64)>,
    access: Vec<ListenerAccess>,
    tls: Vec<(String, Arc<ServerTls>)>,
    self_made: Option<SelfMadeTls>,
    cores: Vec<Sender<CoreRequest>>,
}

impl Reloader {
    pub(super) fn new(
        site_file: PathBuf,
        access: Vec<ListenerAccess>,
        tls: Vec<(String, Arc<ServerTls>)>,
        self_made: Option<SelfMadeTls>,
        cores: Vec<Sender<CoreRequest>>,
    ) -> Self {
        let mut this = Self { site_file, site_stamp: None, access, tls, self_made, cores };
        this.site_stamp = this.stamp();
        this
    }

    /// Reads everything anew, because somebody asked for it.
    pub(super) async fn reload(&mut self) -> Reloaded {
        let mut outcome = Reloaded::default();
        for (label, tls) in &self.tls {
            match tls.reload() {
                Ok(()) => outcome.changed.push(format!("listener {label}: certificate, key and revocation lists")),
                Err(error) => outcome.failed.push(format!("listener {label}: {error}")),
            }
        }
        for listener in &self.access {
            let Some(authenticators) = &listener.authenticators else { continue };
            let label = &listener.label;
            match authenticators.reload() {
                Ok(()) => outcome.changed.push(format!("listener {label}: who may come in")),
                Err(errors) => outcome.failed.extend(errors.iter().map(|error| format!("listener {label}: {error}"))),
            }
        }
        self.reload_rules(&mut outcome).await;
        tell(&outcome);
        outcome
    }

    /// Reads what has changed since it was read last. Certificates are looked at by the handshake lane.
    pub(super) async fn poll(&mut self) {
        let mut outcome = Reloaded::default();
        for listener in &self.access {
            let Some(authenticators) = &listener.authenticators else { continue };
            let label = &listener.label;
            match authenticators.check_files() {
                Ok(false) => {}
                Ok(true) => outcome.changed.push(format!("listener {label}: who may come in")),
                Err(errors) => outcome.failed.extend(errors.iter().map(|error| format!("listener {label}: {error}"))),
            }
        }
        if self.stamp() != self.site_stamp {
            self.reload_rules(&mut outcome).await;
        }
        match self.self_made.as_mut().map(|own| renew(own, SystemTime::now())) {
            Some(Ok(true)) => outcome.changed.push("the self-made certificate was renewed".to_owned()),
            Some(Err(error)) => outcome.failed.push(format!("{error:#}")),
            Some(Ok(false)) | None => {}
        }
        tell(&outcome);
    }

    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let facts = std::fs::metadata(&self.site_file).ok()?;
        Some((facts.modified().ok()?, facts.len()))
    }

    /// Reads the rules of the site's file anew, and tells the cores those that differ.
    async fn reload_rules(&mut self, outcome: &mut Reloaded) {
        self.site_stamp = self.stamp();
        let site = match Site::load(&self.site_file) {
            Ok(site) => site,
            Err(errors) => {
                outcome.failed.extend(errors.iter().map(ToString::to_string));
                return;
            }
        };
        let mut changes = Vec::new();
        for (listener, access) in (0_u16..).zip(&mut self.access) {
            let Some(name) = &access.authorization else { continue };
            let rules = site.authorization_named(name).and_then(|rules| rules.compile().ok());
            let Some(rules) = rules else {
                outcome
                    .failed
                    .push(format!("listener {}: there is no [[authorization]] {name:?} any more", access.label));
                continue;
            };
            if rules != *access.rules {
                access.rules = Arc::new(rules);
                changes.push(RulesChange { listener, rules: Arc::clone(&access.rules) });
                outcome.changed.push(format!("listener {}: rules {name:?}", access.label));
            }
        }
        if !changes.is_empty() {
            self.change_rules(&changes.into(), outcome).await;
        }
    }

    async fn change_rules(&self, changes: &Arc<[RulesChange]>, outcome: &mut Reloaded) {
        for (core, sender) in self.cores.iter().enumerate() {
            let mut request = CoreRequest::ChangeRules(Arc::clone(changes));
            let begun = std::time::Instant::now();
            while let Err(refused) = sender.try_send(request) {
                if sender.is_disconnected() || begun.elapsed() > PATIENCE {
                    outcome.failed.push(format!("core {core} did not take the new rules; ask for a reload again"));
                    break;
                }
                request = refused.into_message();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn tell(outcome: &Reloaded) {
    for line in &outcome.changed {
        tracing::info!(target: "audit", "read anew: {line}");
    }
    for line in &outcome.failed {
        tracing::warn!(target: "audit", "not read anew, what was in force stays: {line}");
    }
}

#[cfg(test)]
mod tests {
    use access::Principal;
    use mailbox::Doorbell;
    use mqtt_connection::DeniedPublishV3;

    use super::*;

    const HEAD: &str = "name = \"p\"\n[[listener]]\nname = \"l\"\nbind = \"127.0.0.1:1\"\nallow_anonymous = true\n\
                        authorization = \"r\"\n[[authorization]]\nname = \"r\"\n";

    fn rule(topic: &str) -> String {
        format!(
            "{HEAD}[[authorization.rule]]\nprincipals = {{ client_ids = [\"*\"] }}\n\
             resources = [{{ method = \"Connect\" }}, {{ method = \"Publish\", topics = [\"{topic}\"] }}]\n"
        )
    }

    #[test]
    fn changed_rules_go_to_the_cores_and_broken_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        std::fs::write(&file, rule("a")).unwrap();
        let site = Site::load(&file).unwrap();
        let access = ListenerAccess {
            label: "l".to_owned(),
            authenticators: None,
            authorization: Some("r".to_owned()),
            rules: Arc::new(site.authorization[0].compile().unwrap()),
            denied_publish_v3: DeniedPublishV3::Disconnect,
            connections_count_max: None,
        };
        let (sender, mut receiver) = mailbox::channel(4, &Doorbell::new());
        let mut reloader = Reloader::new(file.clone(), vec![access], Vec::new(), None, vec![sender]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert!(runtime.block_on(reloader.reload()).changed.is_empty(), "nothing has changed");
        std::fs::write(&file, rule("b/#")).unwrap();
        runtime.block_on(reloader.poll());
        let Some(CoreRequest::ChangeRules(changes)) = receiver.receive() else { panic!("the core hears of it") };
        let mut rights = changes[0].rules.rights(&Arc::new(Principal::anonymous("c")));
        assert!(changes[0].listener == 0 && rights.may_publish("b/c") && !rights.may_publish("a"));
        std::fs::write(&file, rule("b/#/c")).unwrap();
        let outcome = runtime.block_on(reloader.reload());
        assert!(outcome.changed.is_empty() && outcome.failed[0].contains("b/#/c"), "{outcome:?}");
        assert!(receiver.receive().is_none(), "the cores keep what they have");
    }
}
