//! Reads a site's file and checks what a parser cannot.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mqtt::{TopicFilter, TopicName};
use opcua_subscription::NodeIdText;
use serde::Deserialize;
use toml::Spanned;

use super::parse::parse_all;
use super::{Flow, OpcUaServer, SecretSource, SiteError};
use crate::control_client::default_socket;

/// A site's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Site {
    /// The site's name: the first level of its topics.
    pub name: Spanned<String>,
    /// Where sessions are remembered over a restart. Default: `millicore` in the user's state folder.
    pub state_directory: Option<PathBuf>,
    /// The control socket.
    #[serde(default)]
    pub control: ControlSocket,
    /// MQTT listeners.
    #[serde(default, rename = "listener")]
    pub listeners: Vec<Listener>,
    /// OPC UA servers.
    #[serde(default, rename = "opcua")]
    pub servers: Vec<OpcUaServer>,
    /// Dataflows.
    #[serde(default, rename = "flow")]
    pub flows: Vec<Flow>,
    /// The file's own folder: relative paths count from it.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// The control socket: `[control]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControlSocket {
    /// Its path. Default: `millicore.sock` in the user's runtime folder.
    pub socket: Option<PathBuf>,
}

/// An MQTT listener: `[[listener]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// Address and port.
    pub bind: Spanned<SocketAddr>,
    /// Whether clients without credentials are let in. Must be written out.
    #[serde(default)]
    pub allow_anonymous: bool,
}

impl Site {
    /// Reads and checks `file`.
    ///
    /// # Errors
    /// Every mistake that was found, in the order of the file.
    pub(crate) fn load(file: &Path) -> Result<Self, Vec<SiteError>> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let hint = "give the path of your site's file with --config; `millicore demo` needs none";
            vec![SiteError::whole(file, format!("cannot be read: {error}"), hint)]
        })?;
        Self::parse(file, &text)
    }

    /// Checks `text`, which was read from `file`.
    ///
    /// # Errors
    /// Every mistake that was found, in the order of the file.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, Vec<SiteError>> {
        let (site, mut errors) = parse_all::<Self>(file, text);
        if let Some(mut site) = site {
            site.folder = file.parent().map(Path::to_owned).unwrap_or_default();
            let mut checker = Checker { file, text, errors: Vec::new() };
            checker.check(&site);
            if errors.is_empty() && checker.errors.is_empty() {
                return Ok(site);
            }
            // What a whole file lacks may be what could not be read.
            let read_whole = errors.is_empty();
            errors.extend(checker.errors.into_iter().filter(|error| read_whole || error.position.is_some()));
        }
        errors.sort_by_key(|error| error.position);
        Err(errors)
    }

    /// The control socket: as given, else in the user's runtime folder.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.control.socket.as_ref().map_or_else(default_socket, |socket| self.folder.join(socket))
    }

    /// Where sessions are remembered: as given, else in the user's state folder.
    pub(crate) fn state_directory(&self) -> PathBuf {
        if let Some(directory) = &self.state_directory {
            return self.folder.join(directory);
        }
        let folder = |name: &str| std::env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        // The XDG Base Directory Specification's default of XDG_STATE_HOME is .local/state in the home folder.
        let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
        state.unwrap_or_else(std::env::temp_dir).join("millicore").join(self.name.get_ref())
    }

    /// Secrets that cannot be read here and now, each with a sentence that says which and why.
    pub(crate) fn missing_secrets(&self) -> Vec<String> {
        let servers = self.servers.iter().filter(|server| server.user.is_some());
        let passwords = servers.map(|server| (server.name.get_ref(), "password", server.password()));
        let flows = self.flows.iter().filter_map(|flow| {
            let (key, secret) = flow.event_hub.authentication().ok()?.into_secret();
            Some((flow.name.get_ref(), key, secret))
        });
        let missing = |(name, key, secret): (&String, &str, SecretSource)| {
            secret.read(&self.folder, key).err().map(|problem| format!("{name}: {problem}"))
        };
        passwords.chain(flows).filter_map(missing).collect()
    }

    /// The topic of an asset.
    pub(crate) fn topic(&self, asset: &super::Asset) -> String {
        match &asset.topic {
            Some(topic) => topic.get_ref().clone(),
            None => format!("{}/data/{}", self.name.get_ref(), asset.name.get_ref()),
        }
    }

    /// Tags of all servers together.
    pub(crate) fn tags_count(&self) -> usize {
        self.servers.iter().flat_map(|server| &server.assets).map(|asset| asset.tags.len()).sum()
    }
}

struct Checker<'a> {
    file: &'a Path,
    text: &'a str,
    errors: Vec<SiteError>,
}

impl Checker<'_> {
    fn check(&mut self, site: &Site) {
        if site.servers.is_empty() && site.listeners.is_empty() {
            let hint = "add an [[opcua]] server or a [[listener]]";
            self.errors.push(SiteError::whole(self.file, "no source: nothing can arrive", hint));
        }
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
        for listener in &site.listeners {
            if !listener.allow_anonymous {
                self.error(
                    &listener.bind,
                    "this listener would let nobody in".to_owned(),
                    "this version knows only anonymous clients: bind it to loopback and set allow_anonymous = true",
                );
            }
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

    fn error<T>(&mut self, at: &Spanned<T>, problem: String, hint: &str) {
        self.errors.push(SiteError::at(self.file, self.text, at.span().start, problem, Some(hint.to_owned())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = \"plant\"\n[[listener]]\nbind = \"127.0.0.1:1883\"\nallow_anonymous = true\n";

    fn errors(text: &str) -> Vec<(Option<usize>, String)> {
        let errors = Site::parse(Path::new("site.toml"), text).expect_err("the text has mistakes");
        errors.into_iter().map(|error| (error.position.map(|(line, _)| line), error.problem)).collect()
    }

    fn lines(text: &str) -> Vec<Option<usize>> {
        errors(text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_listener_alone_is_a_site() {
        let site = Site::parse(Path::new("folder/site.toml"), HEAD).unwrap();
        assert_eq!((site.tags_count(), site.listeners.len()), (0, 1));
        assert_eq!(site.folder, Path::new("folder"));
    }

    #[test]
    fn every_mistake_is_found_in_one_look_and_in_the_order_of_the_file() {
        let text = format!(
            "{HEAD}[[opcua]]\nname = \"a\"\nendpiont = \"opc.tcp://h:1\"\nendpoint = \"http://h:1\"\n\
             security = \"Sign\"\npublishing_interval_ms = \"1 s\"\n\
             [[opcua.asset]]\nname = \"x/y\"\n[opcua.asset.tags]\nt = \"ns=2;q=Boiler\"\n\
             [[flow]]\nname = \"f\"\nsources = [\"a/#/b\"]\n[flow.event_hub]\nhub = \"h\"\n"
        );
        let found = errors(&text);
        let found_lines: Vec<_> = found.iter().filter_map(|(line, _)| *line).collect();
        assert!(found_lines.is_sorted(), "{found:?}");
        for line in [7, 9, 10, 17, 19] {
            assert!(found_lines.contains(&line), "line {line} is missing in {found:?}");
        }
    }

    #[test]
    fn names_that_appear_twice_are_refused_at_the_second() {
        let flow =
            "[[flow]]\nname = \"f\"\nsources = [\"#\"]\n[flow.event_hub]\nhub = \"h\"\nconnection_string_env = \"E\"\n";
        assert_eq!(lines(&format!("{HEAD}{flow}{flow}")), [Some(12)]);
    }

    #[test]
    fn a_listener_that_lets_nobody_in_and_a_site_without_sources_are_refused() {
        assert_eq!(lines("name = \"p\"\n[[listener]]\nbind = \"127.0.0.1:1\"\n"), [Some(3)]);
        assert_eq!(lines("name = \"p\"\n"), [None]);
    }

    #[test]
    fn secrets_that_are_missing_here_are_told_and_are_no_mistake() {
        let text = format!(
            "{HEAD}[[flow]]\nname = \"f\"\nsources = [\"#\"]\n[flow.event_hub]\nhub = \"h\"\n\
             connection_string_env = \"MILLICORE_TEST_VARIABLE_THAT_NOBODY_SETS\"\n"
        );
        let site = Site::parse(Path::new("site.toml"), &text).unwrap();
        let missing = site.missing_secrets();
        assert!(
            missing[0].contains("f: connection_string_env: the environment variable MILLICORE_TEST"),
            "{missing:?}"
        );
    }

    #[test]
    fn text_that_is_not_toml_is_told_with_its_line() {
        assert_eq!(lines("name = \"p\"\nthis is not toml\n")[0], Some(2));
    }
}
