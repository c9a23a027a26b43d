//! A value of the principal in a pattern: `{clientId}`, `{username}`, `{principal.attributes.<name>}`.

use crate::Principal;
use crate::compile_error::Mistake;

/// Which value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Substitution {
    ClientIdentifier,
    UserName,
    Attribute(Box<str>),
}

impl Substitution {
    /// Reads what stands between the braces.
    pub(crate) fn parse(name: &str) -> Result<Self, Mistake> {
        match name {
            "clientId" | "principal.clientId" => Ok(Self::ClientIdentifier),
            "username" | "principal.username" => Ok(Self::UserName),
            _ => match name.strip_prefix("principal.attributes.") {
                Some(attribute) if !attribute.is_empty() => Ok(Self::Attribute(attribute.into())),
                Some(_) | None => Err(Mistake::new(
                    format!("{{{name}}} is no value of a client"),
                    "there are {clientId}, {username} and {principal.attributes.<name>}",
                )),
            },
        }
    }

    /// The client's value. `None` where it has none, and where the value could stand for more than itself: `+` and `#` are
    /// wildcards, `/` would add levels, and an empty text would leave only what stands around it.
    pub(crate) fn value<'p>(&self, principal: &'p Principal) -> Option<&'p str> {
        let value = match self {
            Self::ClientIdentifier => &*principal.client_identifier,
            Self::UserName => principal.user_name.as_deref()?,
            Self::Attribute(name) => &**principal.attributes.get(name)?,
        };
        (!value.is_empty() && !value.contains(['+', '#', '/', '\0'])).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_could_mean_more_than_themselves_are_none() {
        let value = |text: &str| Substitution::ClientIdentifier.value(&Principal::anonymous(text)).map(str::to_owned);
        assert_eq!(value("pump-7").as_deref(), Some("pump-7"));
        for text in ["", "+", "#", "a+", "a/b", "/", "a\0"] {
            assert_eq!(value(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_misspelt_name_is_a_mistake() {
        for name in ["clientid", "principal.attributes.", "attributes.site", ""] {
            assert!(Substitution::parse(name).is_err(), "{name:?}");
        }
    }
}
