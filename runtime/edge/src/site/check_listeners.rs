//! What is checked about listeners: that they let somebody in, and that everything they name exists and fits.

use std::collections::BTreeSet;

use toml::Spanned;

use super::check::Checker;
use super::error::nearest;
use super::{AuthenticationKind, AuthenticationMethod, ClientCertificates, Listener, ListenerTls, Protocol, Site};

impl Checker<'_> {
    /// Two listeners on one address; port 0 is another one each time.
    pub(super) fn check_addresses(&mut self, site: &Site) {
        let mut seen = BTreeSet::new();
        for bind in site.listeners.iter().map(|listener| &listener.bind) {
            if bind.get_ref().port() != 0 && !seen.insert(bind.get_ref()) {
                self.error(bind, format!("two listeners on {}", bind.get_ref()), "give each a port of its own");
            }
        }
    }

    pub(super) fn check_authentication(&mut self, method: &AuthenticationMethod) {
        for (at, key, kind) in method.foreign_keys() {
            let problem = format!("`{key}` belongs to kind = \"{}\"", kind.name());
            self.error_at(at, problem, "take it away, or make another [[authentication]] of it");
        }
        for key in method.missing_keys() {
            let hint = match key {
                "file" => "a file that `millicore passwd FILE USER` writes",
                "jwks_file" => "the file with the public keys of whoever makes the tokens",
                "issuers" => "what tokens have as `iss`; without it anybody's token would do",
                _ => "what tokens have as `aud`; without it tokens for others would do",
            };
            self.error(&method.name, format!("kind = \"{}\" needs `{key}`", method.kind.name()), hint);
        }
        if method.kind == AuthenticationKind::Jwt
            && method.methods.is_empty()
            && method.as_password.as_ref().is_some_and(|as_password| !as_password.get_ref())
        {
            let hint = "set as_password = true, or name Authentication Methods in `methods`";
            self.error(&method.name, "no token can arrive".to_owned(), hint);
        }
    }

    pub(super) fn check_listener(&mut self, site: &Site, listener: &Listener) {
        if listener.authentication.is_empty() && !listener.allow_anonymous {
            let hint =
                "name an [[authentication]], or set allow_anonymous = true where everybody who reaches it may come in";
            self.error(&listener.bind, "this listener would let nobody in".to_owned(), hint);
        }
        let mut named = BTreeSet::new();
        for name in &listener.authentication {
            match site.authentication_named(name.get_ref()) {
                None => {
                    let known = site.authentication.iter().map(|method| method.name.get_ref().as_str());
                    self.unknown(name, "authentication", known);
                }
                Some(_) if !named.insert(name.get_ref()) => {
                    self.error(name, format!("{:?} stands there twice", name.get_ref()), "name it once");
                }
                Some(method) => self.check_method_fits(listener, name, method),
            }
        }
        if let Some(name) = &listener.authorization
            && site.authorization_named(name.get_ref()).is_none()
        {
            self.unknown(name, "authorization", site.authorization.iter().map(|rules| rules.name.get_ref().as_str()));
        }
        if let Some(tls) = &listener.tls {
            self.check_tls(tls);
        }
        if listener.protocol == Protocol::Mqtt {
            let hint = "only with protocol = \"websocket\"";
            if let Some(path) = &listener.path {
                self.error(path, "`path` of a listener that speaks MQTT".to_owned(), hint);
            }
            if let Some(origin) = listener.origins.first() {
                self.error(origin, "`origins` of a listener that speaks MQTT".to_owned(), hint);
            }
        }
        if let Some(path) = listener.path.as_ref().filter(|path| !path.get_ref().starts_with('/')) {
            self.error(path, "a path begins with /".to_owned(), "for example \"/mqtt\"");
        }
    }

    fn check_method_fits(&mut self, listener: &Listener, name: &Spanned<String>, method: &AuthenticationMethod) {
        let asks = |tls: &Spanned<ListenerTls>| tls.get_ref().client_certificates != ClientCertificates::None;
        if method.kind == AuthenticationKind::X509 && !listener.tls.as_ref().is_some_and(asks) {
            let hint =
                "give it [listener.tls] with client_certificates = \"required\" or \"optional\" and client_ca_files";
            self.error(name, "no client shows a certificate to this listener".to_owned(), hint);
        }
    }

    fn check_tls(&mut self, tls: &Spanned<ListenerTls>) {
        let at = tls;
        let tls = tls.get_ref();
        match (&tls.certificate_file, &tls.key_file) {
            (Some(_), None) => {
                self.error(at, "certificate_file without key_file".to_owned(), "both, or none for a self-made one");
            }
            (None, Some(_)) => {
                self.error(at, "key_file without certificate_file".to_owned(), "both, or none for a self-made one");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if let (Some(_), Some(name)) = (&tls.certificate_file, tls.names.first()) {
            let hint = "a certificate that is brought has its names already";
            self.error(name, "`names` are for the self-made certificate".to_owned(), hint);
        }
        let asks = tls.client_certificates != ClientCertificates::None;
        if asks && tls.client_ca_files.is_empty() {
            let hint = "name the CA files whose client certificates are believed";
            self.error(at, "client_certificates without client_ca_files".to_owned(), hint);
        }
        let names_files = !tls.client_ca_files.is_empty() || !tls.crl_files.is_empty();
        if names_files && !asks {
            let hint = "set client_certificates = \"required\", or \"optional\"";
            self.error(at, "client_ca_files and crl_files are read by nobody".to_owned(), hint);
        }
    }

    fn unknown<'s>(&mut self, name: &Spanned<String>, what: &str, known: impl Iterator<Item = &'s str>) {
        let hint = match nearest(name.get_ref(), known) {
            Some(nearest) => format!("did you mean {nearest:?}?"),
            None => format!("add [[{what}]] with this name"),
        };
        self.error(name, format!("no [[{what}]] is called {:?}", name.get_ref()), &hint);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn mistakes(text: &str) -> Vec<(usize, String)> {
        let errors = Site::parse(Path::new("site.toml"), text).expect_err("the text has mistakes");
        errors.into_iter().map(|error| (error.position.map_or(0, |(line, _)| line), error.to_string())).collect()
    }

    const USERS: &str = "[[authentication]]\nname = \"users\"\nkind = \"password_file\"\nfile = \"users\"\n";

    #[test]
    fn what_a_listener_names_must_exist_and_fit() {
        let text = format!(
            "name = \"p\"\n[[listener]]\nbind = \"127.0.0.1:1\"\nauthentication = [\"usres\", \"machines\"]\n\
             authorization = \"floor\"\npath = \"/mqtt\"\n\
             [[listener]]\nbind = \"127.0.0.1:1\"\nallow_anonymous = true\n\
             {USERS}[[authentication]]\nname = \"machines\"\nkind = \"x509\"\n"
        );
        let found = mistakes(&text);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 4, 5, 6, 8], "{found:?}");
        for (index, part) in
            ["did you mean \"users\"?", "shows a certificate", "add [[authorization]]", "websocket", "two listeners"]
                .into_iter()
                .enumerate()
        {
            assert!(found[index].1.contains(part), "{part}: {found:?}");
        }
    }

    #[test]
    fn keys_of_another_kind_and_missing_ones_are_told() {
        let text = "name = \"p\"\n[[authentication]]\nname = \"a\"\nkind = \"jwt\"\nfile = \"users\"\nissuers = [\"i\"]\n\
                    as_password = false\n";
        let found = mistakes(text);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 3, 3, 5], "{found:?}");
        assert!(found[3].1.contains("belongs to kind = \"password_file\""), "{found:?}");
    }

    #[test]
    fn tls_is_told_what_belongs_together() {
        let text = "name = \"p\"\n[[listener]]\nbind = \"127.0.0.1:1\"\nallow_anonymous = true\n\
                    [listener.tls]\ncertificate_file = \"c\"\nnames = [\"n\"]\nclient_certificates = \"required\"\n";
        let found = mistakes(text);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|(line, _)| *line >= 5), "{found:?}");
    }

    #[test]
    fn a_rule_s_mistake_is_told_at_its_topic() {
        let text = format!(
            "name = \"p\"\n[[listener]]\nbind = \"127.0.0.1:1\"\nauthentication = [\"users\"]\nauthorization = \"r\"\n{USERS}\
             [[authorization]]\nname = \"r\"\n[[authorization.rule]]\nprincipals = {{ user_names = [\"*\"] }}\n\
             resources = [\n{{ method = \"Connect\" }},\n{{ method = \"Publish\", topics = [\"a/#/b\", \"b/{{clientId}}\"] }},\n\
             {{ method = \"Subscribe\" }},\n]\n"
        );
        let found = mistakes(&text);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [16, 17], "{found:?}");
        assert!(found[0].1.contains("rule 1, resource 2, topic 1"), "{found:?}");
    }
}
