//! What a parser cannot check: names, references, topics, and what belongs together.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use mqtt::{TopicFilter, TopicName};
use opcua_subscription::NodeIdText;
use toml::Spanned;

use super::{Flow, OpcUaServer, Site, SiteError};

/// Looks through a site and gathers every mistake.
pub(super) struct Checker<'a> {
    file: &'a Path,
    text: &'a str,
    pub(super) errors: Vec<SiteError>,
}

impl<'a> Checker<'a> {
    /// `text` was read from `file`.
    pub(super) const fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, errors: Vec::new() }
    }

    /// Finds all that is wrong with `site`.
    pub(super) fn check(&mut self, site: &Site) {
        self.check_name(&site.name, "the site's name");
        self.check_unique(site.servers.iter().map(|server| &server.name), "server");
        self.check_unique(site.flows.iter().map(|flow| &flow.name), "flow");
        self.check_unique(site.servers.iter().flat_map(|server| &server.assets).map(|asset| &asset.name), "asset");
        for server in &site.servers {
            self.check_server(site, server);
        }
        for flow in &site.flows {
            self.check_flow(flow);
        }
        self.check_unique(site.authentication.iter().map(|method| &method.name), "authentication");
        self.check_unique(site.authorization.iter().map(|rules| &rules.name), "authorization");
        self.check_unique(site.listeners.iter().filter_map(|listener| listener.name.as_ref()), "listener");
        self.check_addresses(site);
        for method in &site.authentication {
            self.check_authentication(method);
        }
        for authorization in &site.authorization {
            for (at, mistake) in authorization.compile().err().into_iter().flatten() {
                self.error_at(at, format!("{}: {}", mistake.place, mistake.problem), mistake.hint);
            }
        }
        for listener in &site.listeners {
            self.check_listener(site, listener);
        }
    }

    fn check_server(&mut self, site: &Site, server: &OpcUaServer) {
        if !server.endpoint.get_ref().starts_with("opc.tcp://") {
            let hint = "write it as the server does, for example \"opc.tcp://192.0.2.10:4840\"";
            self.error(&server.endpoint, "an endpoint begins with opc.tcp://".to_owned(), hint);
        }
        if server.user.is_some()
            && let Err(problem) = server.password().check("password")
        {
            self.error(&server.name, problem, "a user needs a password");
        }
        if server.publishing_interval_ms < 10 {
            self.error(&server.name, "publishing_interval_ms is below 10".to_owned(), "1000 is usual");
        }
        for asset in &server.assets {
            self.check_name(&asset.name, "an asset's name");
            if asset.tags.is_empty() {
                self.error(&asset.name, "the asset has no tags".to_owned(), "add lines under [opcua.asset.tags]");
            }
            let topic = site.topic(asset);
            if asset.topic.is_some() && TopicName::parse(&topic).is_none_or(TopicName::is_system) {
                let at = asset.topic.as_ref().unwrap_or(&asset.name);
                let hint = "a topic is text of at most 65,535 bytes without + and #, and does not begin with $SYS";
                self.error(at, "not a Topic Name to publish to".to_owned(), hint);
            }
            for (name, tag) in &asset.tags {
                if let Err(error) = tag.get_ref().node_id().parse::<NodeIdText>() {
                    let hint = "for example \"ns=2;s=Boiler.Temperature\" or \"ns=2;i=1002\"";
                    self.error(tag, format!("tag {name}: {error}"), hint);
                }
            }
        }
    }

    fn check_flow(&mut self, flow: &Flow) {
        if flow.sources.is_empty() {
            self.error(&flow.name, "the flow has no sources".to_owned(), "for example sources = [\"plant/data/#\"]");
        }
        for source in &flow.sources {
            if let Err(error) = TopicFilter::parse(source.get_ref()) {
                self.error(source, format!("not a Topic Filter: {error}"), "+ stands for one level, # for all below");
            }
        }
        if let Err(problem) = flow.event_hub.authentication() {
            self.error(&flow.event_hub.hub, problem, "see the commented example site files");
        }
        if let Some(endpoint) = &flow.event_hub.endpoint
            && !endpoint.get_ref().starts_with("amqp://")
            && !endpoint.get_ref().starts_with("amqps://")
        {
            self.error(endpoint, "an endpoint begins with amqp:// or amqps://".to_owned(), "leave it out for Azure");
        }
    }

    fn check_name(&mut self, name: &Spanned<String>, what: &str) {
        let text = name.get_ref();
        if text.is_empty() || text.chars().any(|letter| matches!(letter, '/' | '+' | '#') || letter.is_control()) {
            self.error(name, format!("{what} is empty or holds /, +, # or a control character"), "it is a topic level");
        }
    }

    fn check_unique<'s>(&mut self, names: impl Iterator<Item = &'s Spanned<String>>, what: &str) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name.get_ref()) {
                self.error(name, format!("two of them are called {:?}", name.get_ref()), &format!("rename one {what}"));
            }
        }
    }

    pub(super) fn error<T>(&mut self, at: &Spanned<T>, problem: String, hint: &str) {
        self.error_at(at.span(), problem, hint);
    }

    pub(super) fn error_at(&mut self, at: Range<usize>, problem: String, hint: &str) {
        self.errors.push(SiteError::at(self.file, self.text, at.start, problem, Some(hint.to_owned())));
    }
}
