//! A certificate's subject as people write it: `CN = smart-fan, OU = Press, C = CH`.

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Tag, Tagged};
use x509_cert::name::Name;

/// Names for types of values, as openssl and RFC 4514 write them.
const TYPES: [(&str, &str); 13] = [
    ("CN", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("S", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
];
/// Texts of which ASCII is ASCII.
const TEXT_TAGS: [Tag; 4] = [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String, Tag::TeletexString];
const COMMON_NAME: &str = "2.5.4.3";

/// The types and values of a subject, in order. Two are equal only with the same values, letter by letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubjectName(Vec<(ObjectIdentifier, String)>);

impl SubjectName {
    /// Reads what people write: `type = value` between commas, a comma within a value as `\,`. A type is one of the usual
    /// short names or digits with dots.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = vec![String::new()];
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => parts.last_mut().expect("never empty").push(letters.next().ok_or("ends with a backslash")?),
                ',' => parts.push(String::new()),
                _ => parts.last_mut().expect("never empty").push(letter),
            }
        }
        parts.iter().map(|part| parse_part(part)).collect::<Result<_, _>>().map(Self)
    }

    /// Reads a certificate's. A value that is no text of UTF-8 or ASCII makes it `None`: no one can have written it.
    pub(crate) fn of(name: &Name) -> Option<Self> {
        let values = name.0.iter().flat_map(|set| set.0.iter());
        values
            .map(|value| {
                let is_text = TEXT_TAGS.contains(&value.value.tag());
                let text = std::str::from_utf8(value.value.value()).ok().filter(|_| is_text)?;
                Some((value.oid, text.to_owned()))
            })
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Whether both say the same. RFC 4514 writes the last value first, openssl the first; either may be meant.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self == other || (self.0.len() == other.0.len() && self.0.iter().rev().eq(other.0.iter()))
    }

    /// The one common name; `None` where there is none, or several.
    pub(crate) fn common_name(&self) -> Option<&str> {
        let mut names = self.0.iter().filter(|(kind, _)| kind.to_string() == COMMON_NAME);
        let (_, name) = names.next()?;
        names.next().is_none().then_some(name)
    }
}

fn parse_part(part: &str) -> Result<(ObjectIdentifier, String), String> {
    let Some((kind, value)) = part.split_once('=') else {
        return Err(format!("{:?} is not of the form type = value", part.trim()));
    };
    let (kind, value) = (kind.trim(), value.trim());
    if value.is_empty() {
        return Err(format!("{kind} has no value"));
    }
    let known = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)).map_or(kind, |(_, digits)| digits);
    let kind = ObjectIdentifier::new(known).map_err(|_| format!("{kind:?} is not a type of value"))?;
    Ok((kind, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SubjectName {
        SubjectName::parse(text).unwrap()
    }

    #[test]
    fn either_order_and_any_spacing_is_the_same_subject() {
        assert!(name("CN = a b, OU=x,C=US").is(&name("cn=a b,ou = x , c=US")));
        assert!(name("CN=a, C=US").is(&name("C=US, CN=a")));
        assert!(name("2.5.4.3=a").is(&name("CN=a")));
        assert!(!name("CN=a, C=US, O=o").is(&name("CN=a, O=o, C=US")));
        assert!(!name("CN=a").is(&name("CN=A")) && !name("CN=a").is(&name("CN=a, C=US")));
    }

    #[test]
    fn a_comma_may_be_part_of_a_value_and_common_names_do_not_compete() {
        assert_eq!(name(r"CN=Contoso\, Inc., C=US").common_name(), Some("Contoso, Inc."));
        assert_eq!(name("C=US").common_name(), None);
        assert_eq!(name("CN=a, CN=b").common_name(), None);
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for text in ["", "CN", "CN=", "=a", "XX=a", "CN=a,", "CN=a\\", "9.9=a", "CN=a,,C=US"] {
            assert!(SubjectName::parse(text).is_err(), "{text:?}");
        }
    }
}
