//! X.509: who a client is by the path that TLS has verified.
//!
//! The user name is the common name of the client's certificate. Attributes stand in the configuration by subject, as in
//! Azure IoT Operations: the subjects are gone through from the client's certificate to the root, and the first that the
//! configuration has gives all.

use std::collections::BTreeMap;

use access::Principal;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::subject_name::SubjectName;

/// How certificates become principals. Trusted CAs and revocation belong to the listener's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateConfig {
    /// What each subject stands for.
    pub subjects: Vec<SubjectAttributes>,
}

/// A subject and what it stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectAttributes {
    /// The whole subject of a client's certificate, an intermediate CA or a root, as in `CN = Press CA, O = Contoso`.
    pub subject: String,
    /// The attributes of a client whose path leads through it.
    pub attributes: BTreeMap<String, String>,
}

/// A configuration that was checked.
#[derive(Debug)]
pub(crate) struct CertificateChecker {
    subjects: Vec<(SubjectName, Attributes)>,
}

/// As in [`Principal::attributes`].
type Attributes = BTreeMap<Box<str>, Box<str>>;

impl CertificateChecker {
    /// Checks `config`. A mistake comes with the index of its subject.
    pub(crate) fn new(config: &CertificateConfig) -> Result<Self, Vec<(usize, String)>> {
        let (mut subjects, mut mistakes) = (Vec::<(SubjectName, _)>::new(), Vec::new());
        for (index, entry) in config.subjects.iter().enumerate() {
            match SubjectName::parse(&entry.subject) {
                Ok(name) if subjects.iter().any(|(other, _)| name.is(other)) => {
                    mistakes.push((index, format!("the subject {:?} appears twice", entry.subject)));
                }
                Ok(name) => {
                    let attributes = entry.attributes.iter();
                    let attributes = attributes.map(|(key, value)| (key.as_str().into(), value.as_str().into()));
                    subjects.push((name, attributes.collect()));
                }
                Err(problem) => mistakes.push((index, format!("the subject {:?}: {problem}", entry.subject))),
            }
        }
        if mistakes.is_empty() { Ok(Self { subjects }) } else { Err(mistakes) }
    }

    /// Who `chain`, a verified path in DER with the client's certificate first, stands for. `None` where the client's
    /// certificate cannot be read, which TLS has done before.
    pub(crate) fn principal(&self, client_identifier: &str, chain: &[impl AsRef<[u8]>]) -> Option<Principal> {
        let leaf = Certificate::from_der(chain.first()?.as_ref()).ok()?;
        let user_name = SubjectName::of(&leaf.tbs_certificate.subject);
        let names = chain.iter().filter_map(|der| {
            let certificate = Certificate::from_der(der.as_ref()).ok()?;
            SubjectName::of(&certificate.tbs_certificate.subject)
        });
        let attributes = names
            .filter_map(|name| self.subjects.iter().find(|(subject, _)| subject.is(&name)))
            .map(|(_, attributes)| attributes.clone())
            .next();
        Some(Principal {
            client_identifier: client_identifier.into(),
            user_name: user_name.as_ref().and_then(SubjectName::common_name).map(Into::into),
            attributes: attributes.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    /// Client, intermediate and root of Contoso, in DER.
    fn chain(client_name: &str) -> [Vec<u8>; 3] {
        let params = |names: &[(DnType, &str)], is_ca| {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (kind, text) in names {
                params.distinguished_name.push(kind.clone(), *text);
            }
            params.is_ca = is_ca;
            params
        };
        let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
        let root_names =
            [(DnType::CommonName, "Root CA"), (DnType::OrganizationalUnitName, "Eng"), (DnType::CountryName, "US")];
        let (root, key) = (params(&root_names, ca()), KeyPair::generate().unwrap());
        let root_der = root.self_signed(&key).unwrap().der().to_vec();
        let root = Issuer::new(root, key);
        let (middle, key) = (params(&[(DnType::CommonName, "Press CA")], ca()), KeyPair::generate().unwrap());
        let middle_der = middle.signed_by(&key, &root).unwrap().der().to_vec();
        let middle = Issuer::new(middle, key);
        let key = KeyPair::generate().unwrap();
        let client = params(&[(DnType::CommonName, client_name)], IsCa::NoCa);
        let client_der = client.signed_by(&key, &middle).unwrap().der().to_vec();
        [client_der, middle_der, root_der]
    }

    fn checker(subjects: &[(&str, &str)]) -> CertificateChecker {
        let entry = |(subject, building): &(&str, &str)| SubjectAttributes {
            subject: (*subject).to_owned(),
            attributes: [("building".to_owned(), (*building).to_owned())].into(),
        };
        CertificateChecker::new(&CertificateConfig { subjects: subjects.iter().map(entry).collect() }).unwrap()
    }

    fn building(checker: &CertificateChecker, client_name: &str) -> Option<String> {
        let principal = checker.principal("c", &chain(client_name)).unwrap();
        assert_eq!(principal.user_name.as_deref(), Some(client_name));
        principal.attributes.get("building").map(ToString::to_string)
    }

    #[test]
    fn the_subject_nearest_to_the_client_gives_its_attributes() {
        let root = "CN = Root CA, OU = Eng, C = US";
        let all = checker(&[(root, "root"), ("CN = Press CA", "middle"), ("CN = smart-fan", "17")]);
        assert_eq!(building(&all, "smart-fan").as_deref(), Some("17"));
        assert_eq!(building(&all, "dumb-fan").as_deref(), Some("middle"));
        assert_eq!(building(&checker(&[(root, "root")]), "smart-fan").as_deref(), Some("root"));
        assert_eq!(building(&checker(&[("C = US, OU = Eng, CN = Root CA", "root")]), "x").as_deref(), Some("root"));
        assert_eq!(building(&checker(&[("CN = Root CA", "root")]), "smart-fan"), None);
    }

    #[test]
    fn bytes_that_are_no_certificate_are_nobody() {
        let checker = checker(&[]);
        assert_eq!(checker.principal("c", &[b"garbage"]), None);
        assert_eq!(checker.principal("c", &[] as &[&[u8]]), None);
    }

    #[test]
    fn subjects_that_are_wrong_or_double_are_told_by_index() {
        let entry = |subject: &str| SubjectAttributes { subject: subject.to_owned(), ..SubjectAttributes::default() };
        let subjects = vec![entry("CN=a, C=US"), entry("nonsense"), entry("C=US, CN=a")];
        let mistakes = CertificateChecker::new(&CertificateConfig { subjects }).unwrap_err();
        assert_eq!(mistakes.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2]);
    }
}
