//! Reads a site's file and checks what a parser cannot.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::check::Checker;
use super::parse::parse_all;
use super::{
    AuthenticationKind, AuthenticationMethod, Authorization, Flow, Listener, OpcUaServer, SecretSource, SiteError,
};
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
    /// MQTT listeners. A site that names none and has no OPC UA server has one all the same: TLS on 8883, with authentication.
    #[serde(default, rename = "listener")]
    pub listeners: Vec<Listener>,
    /// Ways to find out who a client is.
    #[serde(default, rename = "authentication")]
    pub authentication: Vec<AuthenticationMethod>,
    /// Sets of rules about who may do what.
    #[serde(default, rename = "authorization")]
    pub authorization: Vec<Authorization>,
    /// OPC UA servers.
    #[serde(default, rename = "opcua")]
    pub servers: Vec<OpcUaServer>,
    /// Dataflows.
    #[serde(default, rename = "flow")]
    pub flows: Vec<Flow>,
    /// The file's own folder: relative paths count from it.
    #[serde(skip)]
    pub folder: PathBuf,
    /// What is no mistake and hardly meant.
    #[serde(skip)]
    pub warnings: Vec<SiteError>,
    #[serde(skip)]
    source: SourceText,
}

/// The text that a site was read from, for the places of what is found later.
#[derive(Clone, Debug, Default)]
struct SourceText {
    file: PathBuf,
    text: Arc<str>,
}

/// The control socket: `[control]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControlSocket {
    /// Its path. Default: `millicore.sock` in the user's runtime folder.
    pub socket: Option<PathBuf>,
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
            site.source = SourceText { file: file.to_owned(), text: text.into() };
            let mut checker = Checker::new(file, text);
            checker.check(&site);
            if errors.is_empty() && checker.errors.is_empty() {
                site.add_default_listener();
                site.warnings = super::warnings::warnings(&site);
                return Ok(site);
            }
            // What a whole file lacks may be what could not be read.
            let read_whole = errors.is_empty();
            errors.extend(checker.errors.into_iter().filter(|error| read_whole || error.position.is_some()));
        }
        errors.sort_by_key(|error| error.position);
        Err(errors)
    }

    /// Gives a site without sources the listener that nobody has to ask for.
    fn add_default_listener(&mut self) {
        if !self.listeners.is_empty() || !self.servers.is_empty() {
            return;
        }
        if self.authentication.is_empty() {
            let file = self.state_directory().join("users");
            self.authentication.push(AuthenticationMethod::of_password_file("users", file));
        }
        let verified = |method: &&AuthenticationMethod| method.kind != AuthenticationKind::X509;
        let names = self.authentication.iter().filter(verified).map(|method| method.name.clone()).collect();
        self.listeners.push(Listener::of_site_without_any(names));
    }

    /// A mistake, or what looks like one, at a place of the site's file.
    pub(crate) fn error_at(&self, at: Range<usize>, problem: impl Into<String>, hint: &str) -> SiteError {
        let SourceText { file, text } = &self.source;
        SiteError::at(file, text, at.start, problem, Some(hint.to_owned()))
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

    /// The way to find out who a client is, by its name.
    pub(crate) fn authentication_named(&self, name: &str) -> Option<&AuthenticationMethod> {
        self.authentication.iter().find(|method| method.name.get_ref() == name)
    }

    /// The rules by their name.
    pub(crate) fn authorization_named(&self, name: &str) -> Option<&Authorization> {
        self.authorization.iter().find(|rules| rules.name.get_ref() == name)
    }

    /// Tags of all servers together.
    pub(crate) fn tags_count(&self) -> usize {
        self.servers.iter().flat_map(|server| &server.assets).map(|asset| asset.tags.len()).sum()
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
    fn a_listener_that_lets_nobody_in_is_refused() {
        assert_eq!(lines("name = \"p\"\n[[listener]]\nbind = \"127.0.0.1:1\"\n"), [Some(3)]);
    }

    #[test]
    fn a_site_without_sources_listens_with_tls_and_asks_who_comes() {
        let site = Site::parse(Path::new("site.toml"), "name = \"p\"\nstate_directory = \"state\"\n").unwrap();
        let listener = &site.listeners[0];
        assert_eq!((site.listeners.len(), listener.bind.get_ref().port()), (1, 8_883));
        assert!(listener.is_self_made() && !listener.allow_anonymous && !listener.is_loopback());
        assert_eq!(listener.authentication[0].get_ref(), "users");
        let file = site.authentication[0].file.as_ref().unwrap();
        assert_eq!(file.get_ref(), Path::new("state/users"));
        let with_server = "name = \"p\"\n[[opcua]]\nname = \"s\"\nendpoint = \"opc.tcp://h:1\"\nsecurity = \"None\"\n";
        assert!(
            Site::parse(Path::new("site.toml"), with_server).unwrap().listeners.is_empty(),
            "nobody asked for a port"
        );
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
