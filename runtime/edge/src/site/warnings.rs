//! What is no mistake and hardly meant: told by `check` and at the start.

use std::collections::BTreeMap;

use mqtt::TopicFilter;
use opcua_subscription::NodeIdText;

use super::{AuthenticationKind, Flow, Listener, OpcUaServer, Security, Site, SiteError};

/// Warnings about a site without mistakes, in the order of its file.
pub(super) fn warnings(site: &Site) -> Vec<SiteError> {
    let mut warnings = Vec::new();
    for listener in &site.listeners {
        warnings.extend(about_listener(site, listener));
    }
    for server in &site.servers {
        warnings.extend(about_trust(site, server));
        warnings.extend(about_nodes(site, server));
    }
    for flow in &site.flows {
        warnings.extend(about_sources(site, flow));
    }
    warnings.extend(about_unused(site));
    warnings.sort_by_key(|warning| warning.position);
    warnings
}

fn about_listener(site: &Site, listener: &Listener) -> Option<SiteError> {
    if listener.is_loopback() {
        return None;
    }
    let at = listener.bind.span();
    let takes_secrets = listener.authentication.iter().any(|name| {
        site.authentication_named(name.get_ref()).is_some_and(|method| method.kind != AuthenticationKind::X509)
    });
    if listener.tls.is_none() && takes_secrets {
        let hint = "add [listener.tls], or bind it to loopback behind a proxy that speaks TLS";
        return Some(site.error_at(at, "passwords and tokens travel to this listener in the clear", hint));
    }
    if listener.allow_anonymous && listener.authorization.is_none() {
        let hint = "name an [[authorization]] that says what they may do, or take allow_anonymous away";
        return Some(site.error_at(at, "everybody who reaches this listener may read and write everything", hint));
    }
    None
}

fn about_trust(site: &Site, server: &OpcUaServer) -> Option<SiteError> {
    let is_secured = server.security == Security::Basic256Sha256;
    if !is_secured || server.trust_directory.is_some() || server.trust_any_certificate {
        return None;
    }
    let folder = site.state_directory().join("pki").join("trusted");
    let problem = format!("no trust_directory: only certificates in {} are trusted", folder.display());
    let hint = "put the server's certificate (.der) there, or name the folder that has it as trust_directory";
    Some(site.error_at(server.name.span(), problem, hint))
}

fn about_nodes(site: &Site, server: &OpcUaServer) -> Vec<SiteError> {
    let mut seen: BTreeMap<NodeIdText, String> = BTreeMap::new();
    let mut warnings = Vec::new();
    for asset in &server.assets {
        for (name, tag) in &asset.tags {
            let Ok(node_id) = tag.get_ref().node_id().parse::<NodeIdText>() else { continue };
            let this = format!("{}.{name}", asset.name.get_ref());
            if let Some(other) = seen.get(&node_id) {
                let problem = format!("{this} and {other} are the same node, {}", tag.get_ref().node_id());
                warnings.push(site.error_at(tag.span(), problem, "is one of them a typing error?"));
            } else {
                seen.insert(node_id, this);
            }
        }
    }
    warnings
}

fn about_sources(site: &Site, flow: &Flow) -> Vec<SiteError> {
    let topics: Vec<String> =
        site.servers.iter().flat_map(|server| &server.assets).map(|asset| site.topic(asset)).collect();
    if topics.is_empty() {
        return Vec::new();
    }
    let misses = |text: &str| {
        let filter = TopicFilter::parse(text).ok();
        filter.is_some_and(|filter| !topics.iter().any(|topic| filter.matches(topic.as_bytes())))
    };
    let clients = if site.listeners.is_empty() { "" } else { "; only MQTT clients could" };
    let warning = |source: &toml::Spanned<String>| {
        let problem = format!("no asset publishes to a topic that {:?} matches{clients}", source.get_ref());
        let hint = format!("assets publish to topics such as {:?}", topics[0]);
        site.error_at(source.span(), problem, &hint)
    };
    flow.sources.iter().filter(|source| misses(source.get_ref())).map(warning).collect()
}

fn about_unused(site: &Site) -> Vec<SiteError> {
    let methods = site.authentication.iter().map(|method| (&method.name, "authentication"));
    let rules = site.authorization.iter().map(|rules| (&rules.name, "authorization"));
    let is_used = |name: &String| {
        site.listeners.iter().any(|listener| {
            listener.authentication.iter().chain(&listener.authorization).any(|used| used.get_ref() == name)
        })
    };
    let unused = methods.chain(rules).filter(|(name, _)| !is_used(name.get_ref()));
    unused
        .map(|(name, key)| {
            let hint = format!("{key} = .. of a [[listener]] names it");
            site.error_at(name.span(), format!("no listener uses {:?}", name.get_ref()), &hint)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        let site = Site::parse(Path::new("site.toml"), text).unwrap();
        site.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_thing_that_is_hardly_meant_is_told_with_its_line() {
        let text = "name = \"p\"\n[[listener]]\nbind = \"0.0.0.0:1883\"\nallow_anonymous = true\n\
                    [[opcua]]\nname = \"s\"\nendpoint = \"opc.tcp://h:1\"\nsecurity = \"Basic256Sha256\"\n\
                    [[opcua.asset]]\nname = \"a\"\ntags = { t = \"ns=2;i=1\", u = \"ns=2;i=1\" }\n\
                    [[flow]]\nname = \"f\"\nsources = [\"p/data/#\", \"plnt/data/#\"]\n\
                    [flow.event_hub]\nhub = \"h\"\nconnection_string_env = \"E\"\n\
                    [[authentication]]\nname = \"users\"\nkind = \"password_file\"\nfile = \"users\"\n";
        let found = found(text);
        for (line, part) in [
            (3, "everybody who reaches"),
            (6, "trust_directory"),
            (11, "a.u and a.t are the same node"),
            (14, "\"plnt/data/#\" matches; only MQTT clients could"),
            (19, "no listener uses \"users\""),
        ] {
            let place = format!("site.toml:{line}:");
            assert!(found.iter().any(|each| each.starts_with(&place) && each.contains(part)), "{part}: {found:#?}");
        }
        assert_eq!(found.len(), 5, "{found:#?}");
    }

    #[test]
    fn a_password_that_travels_in_the_clear_is_told() {
        let text = "name = \"p\"\n[[listener]]\nbind = \"0.0.0.0:1883\"\nauthentication = [\"users\"]\n\
                    [[authentication]]\nname = \"users\"\nkind = \"password_file\"\nfile = \"users\"\n";
        assert!(found(text)[0].contains("in the clear"));
        assert!(found(&text.replace("0.0.0.0", "127.0.0.1")).is_empty());
        assert!(found(&text.replace("[\"users\"]\n", "[\"users\"]\n[listener.tls]\n")).is_empty());
    }
}
