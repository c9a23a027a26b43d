//! Which endpoint of a server is used, and by what URL (Part 4 §5.5.4).

use opcua_crypto::SecurityPolicy;
use opcua_subscription::StatusCode;
use opcua_types::{EndpointDescription, MessageSecurityMode, UserTokenPolicy, UserTokenType};

use crate::config::Security;
use crate::status::BAD_TCP_ENDPOINT_URL_INVALID;

const SCHEME: &str = "opc.tcp://";
const PORT: u16 = 4_840;
/// Part 6 §7.1.2.3.
const URL_BYTES_MAX: usize = 4_096;

/// `opc.tcp://host[:port][/path]`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointUrl {
    /// A name or an address, IPv6 without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With the slash before it; may be empty.
    path: String,
}

impl EndpointUrl {
    /// Takes `url` apart.
    ///
    /// # Errors
    /// `Bad_TcpEndpointUrlInvalid`.
    pub(crate) fn parse(url: &str) -> Result<Self, StatusCode> {
        let invalid = BAD_TCP_ENDPOINT_URL_INVALID;
        let scheme = url.get(..SCHEME.len()).filter(|scheme| scheme.eq_ignore_ascii_case(SCHEME)).ok_or(invalid)?;
        if url.len() > URL_BYTES_MAX {
            return Err(invalid);
        }
        let rest = &url[scheme.len()..];
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
            let (host, port) = bracketed.split_once(']').ok_or(invalid)?;
            (host, port.strip_prefix(':').or((port.is_empty()).then_some("")).ok_or(invalid)?)
        } else {
            authority.rsplit_once(':').unwrap_or((authority, ""))
        };
        if host.is_empty() {
            return Err(invalid);
        }
        let port = if port.is_empty() { PORT } else { port.parse().map_err(|_| invalid)? };
        Ok(Self { host: host.to_owned(), port, path: path.to_owned() })
    }

    /// The URL as the server advertises it, with our host and port.
    pub(crate) fn with_path_of(&self, advertised: &str) -> String {
        let path = Self::parse(advertised).map_or_else(|_| self.path.clone(), |advertised| advertised.path);
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{SCHEME}{host}:{}{path}", self.port)
    }
}

/// The endpoint, and how to log in there.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) endpoint: EndpointDescription,
    pub(crate) token_policy: UserTokenPolicy,
}

/// Chooses the endpoint of the configured policy and mode that takes the configured kind of user: the one of the highest
/// security level, and there the token policy that encrypts best.
pub(crate) fn choose(endpoints: Vec<EndpointDescription>, security: Security, has_user: bool) -> Option<Chosen> {
    let (policy, mode) = match security {
        Security::None => (SecurityPolicy::None, MessageSecurityMode::None),
        Security::Basic256Sha256 => (SecurityPolicy::Basic256Sha256, MessageSecurityMode::SignAndEncrypt),
    };
    let transport = opcua_types::profiles::TRANSPORT_PROFILE_URI_BINARY;
    let fitting = endpoints.into_iter().filter(|endpoint| {
        let profile = endpoint.transport_profile_uri.as_ref();
        endpoint.security_policy_uri.as_ref() == policy.to_uri()
            && endpoint.security_mode == mode
            && (profile.is_empty() || profile == transport)
    });
    let choices = fitting.filter_map(|endpoint| {
        let token_policies = endpoint.user_identity_tokens.iter().flatten();
        let kind = if has_user { UserTokenType::UserName } else { UserTokenType::Anonymous };
        let of_kind = token_policies.filter(|policy| policy.token_type == kind);
        let best = of_kind.filter_map(|token| Some((rank(token, policy, has_user)?, token))).max_by_key(|best| best.0);
        best.map(|(_, token_policy)| token_policy.clone()).map(|token_policy| Chosen { endpoint, token_policy })
    });
    choices.max_by_key(|chosen| chosen.endpoint.security_level)
}

/// How well a token policy hides the password; `None` where we do not speak it. A blank URI stands for the channel's
/// policy (Part 4 §7.42).
fn rank(token: &UserTokenPolicy, channel: SecurityPolicy, has_user: bool) -> Option<u8> {
    if !has_user {
        return Some(0);
    }
    let uri = token.security_policy_uri.as_ref();
    let of_token = if uri.is_empty() { channel } else { known_policy(uri)? };
    match of_token {
        SecurityPolicy::None => Some(0),
        SecurityPolicy::Aes128Sha256RsaOaep => Some(1),
        SecurityPolicy::Basic256Sha256 => Some(2),
        SecurityPolicy::Aes256Sha256RsaPss => Some(3),
        SecurityPolicy::Unknown | SecurityPolicy::Basic128Rsa15 | SecurityPolicy::Basic256 => None,
    }
}

/// The policy of a URI, without the log line that the crate writes for those it does not know.
fn known_policy(uri: &str) -> Option<SecurityPolicy> {
    let known = [
        SecurityPolicy::None,
        SecurityPolicy::Aes128Sha256RsaOaep,
        SecurityPolicy::Basic256Sha256,
        SecurityPolicy::Aes256Sha256RsaPss,
    ];
    known.into_iter().find(|policy| policy.to_uri() == uri)
}

/// Whether logging in encrypts something with the server's certificate although the channel does not.
pub(crate) fn needs_certificate(chosen: &Chosen, security: Security, has_user: bool) -> bool {
    let uri = chosen.token_policy.security_policy_uri.as_ref();
    security == Security::Basic256Sha256 || (has_user && !uri.is_empty() && uri != SecurityPolicy::None.to_uri())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(policy: SecurityPolicy, mode: MessageSecurityMode, level: u8) -> EndpointDescription {
        let token = |token_type, uri: &str| UserTokenPolicy {
            policy_id: format!("{token_type:?} {uri}").into(),
            token_type,
            security_policy_uri: uri.into(),
            ..UserTokenPolicy::default()
        };
        EndpointDescription {
            security_policy_uri: policy.to_uri().into(),
            security_mode: mode,
            security_level: level,
            user_identity_tokens: Some(vec![
                token(UserTokenType::UserName, SecurityPolicy::None.to_uri()),
                token(UserTokenType::UserName, ""),
                token(UserTokenType::UserName, "urn:nobody"),
                token(UserTokenType::Anonymous, ""),
            ]),
            ..EndpointDescription::default()
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let url = |host: &str, port, path: &str| EndpointUrl { host: host.to_owned(), port, path: path.to_owned() };
        assert_eq!(EndpointUrl::parse("opc.tcp://plc:4841/a/b"), Ok(url("plc", 4_841, "/a/b")));
        assert_eq!(EndpointUrl::parse("OPC.TCP://10.0.0.1"), Ok(url("10.0.0.1", 4_840, "")));
        assert_eq!(EndpointUrl::parse("opc.tcp://[::1]:5/"), Ok(url("::1", 5, "/")));
        assert_eq!(EndpointUrl::parse("opc.tcp://[::1]"), Ok(url("::1", 4_840, "")));
        for bad in
            ["", "http://plc", "opc.tcp://", "opc.tcp://plc:x", "opc.tcp://[::1", "opc.tcp://[::1]5", "opc.tcp\u{e9}//"]
        {
            assert_eq!(EndpointUrl::parse(bad), Err(BAD_TCP_ENDPOINT_URL_INVALID), "{bad}");
        }
    }

    #[test]
    fn host_and_port_are_ours_and_the_path_is_the_server_s() {
        let ours = EndpointUrl::parse("opc.tcp://gateway:9000/x").unwrap();
        assert_eq!(ours.with_path_of("opc.tcp://plc-inside:4840/server"), "opc.tcp://gateway:9000/server");
        assert_eq!(ours.with_path_of("nonsense"), "opc.tcp://gateway:9000/x");
        assert_eq!(EndpointUrl::parse("opc.tcp://[::1]").unwrap().with_path_of("opc.tcp://a"), "opc.tcp://[::1]:4840");
    }

    #[test]
    fn policy_mode_and_kind_of_user_decide() {
        let (none, secured) = (MessageSecurityMode::None, MessageSecurityMode::SignAndEncrypt);
        let all = || {
            vec![
                endpoint(SecurityPolicy::None, none, 0),
                endpoint(SecurityPolicy::Basic256Sha256, MessageSecurityMode::Sign, 9),
                endpoint(SecurityPolicy::Basic256Sha256, secured, 2),
                endpoint(SecurityPolicy::Basic256Sha256, secured, 3),
            ]
        };
        let chosen = choose(all(), Security::Basic256Sha256, true).unwrap();
        assert_eq!((chosen.endpoint.security_level, chosen.endpoint.security_mode), (3, secured));
        assert_eq!(chosen.token_policy.policy_id.as_ref(), "UserName ", "a blank policy is the channel's");
        let chosen = choose(all(), Security::None, false).unwrap();
        assert_eq!(chosen.token_policy.token_type, UserTokenType::Anonymous);
        assert!(!needs_certificate(&chosen, Security::None, false));
        assert!(choose(all().split_off(3), Security::None, false).is_none());
    }
}
