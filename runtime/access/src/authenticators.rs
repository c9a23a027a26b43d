//! The authenticators of a listener in their order, with what they have read from files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use access::{Principal, Secret};
use mqtt::ReasonCode;

use crate::certificates::{CertificateChecker, CertificateConfig};
use crate::file_error::FileError;
use crate::key_set::KeySet;
use crate::load_error::{ConfigField, LoadError};
use crate::password_file::{PasswordConfig, PasswordFile};
use crate::request::{Answer, AuthenticatorKind, Denial, Grant, Request};
use crate::token::{JwtConfig, TokenChecker};

/// One authenticator as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthenticatorConfig {
    /// Concerns who shows a user name without Authentication Method.
    Password(PasswordConfig),
    /// Concerns who shows a certificate without Authentication Method; TLS has verified it.
    Certificate(CertificateConfig),
    /// Concerns who shows a token in one of its ways. Its place is before a password file, whom a token as password concerns
    /// too.
    Jwt(JwtConfig),
    /// Lets everybody in whom no other one concerns, under no user name; but for those with an Authentication Method. Its place
    /// is the last.
    Anonymous,
}

/// A listener's authenticators. What they read from files is replaced as a whole, so that a check sees either the old or the
/// new.
#[derive(Debug)]
pub struct Authenticators {
    configs: Vec<AuthenticatorConfig>,
    /// Held only to copy or to replace the handle.
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    chain: Arc<Chain>,
    stamps: Vec<Stamp>,
}

/// When a file was changed and how large it was; `None` where that could not be told.
type Stamp = Option<(SystemTime, u64)>;

#[derive(Debug)]
pub(crate) struct Chain(Vec<Authenticator>);

#[derive(Debug)]
pub(crate) enum Authenticator {
    Password(Box<PasswordFile>),
    Certificate(CertificateChecker),
    Jwt(Box<TokenChecker>),
    Anonymous,
}

impl Authenticators {
    /// Reads the files of `configs` and checks all. For a thread that may wait for a disk.
    ///
    /// # Errors
    /// Every mistake, in the configuration and in its files.
    pub fn load(configs: Vec<AuthenticatorConfig>) -> Result<Arc<Self>, Vec<LoadError>> {
        let current = read(&configs)?;
        Ok(Arc::new(Self { configs, current: Mutex::new(current) }))
    }

    /// Reads all files anew; who is connected notices nothing.
    ///
    /// # Errors
    /// Every mistake; what was read before stays in force.
    pub fn reload(&self) -> Result<(), Vec<LoadError>> {
        let current = read(&self.configs)?;
        *self.lock() = current;
        Ok(())
    }

    /// Reads all files anew if one of them has another size or date; to be called every few seconds. Returns whether it did.
    ///
    /// # Errors
    /// Every mistake; what was read before stays in force, and nothing is read again before a file changes once more.
    pub fn check_files(&self) -> Result<bool, Vec<LoadError>> {
        let stamps = stamps(&self.configs);
        if self.lock().stamps == stamps {
            return Ok(false);
        }
        let outcome = self.reload();
        // A file that has changed since then has another stamp again.
        self.lock().stamps = stamps;
        outcome.map(|()| true)
    }

    /// The files that are read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        files(&self.configs)
    }

    pub(crate) fn current(&self) -> Arc<Chain> {
        Arc::clone(&self.lock().chain)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chain {
    /// The place of the first authenticator whom `request` concerns. Microseconds at most; for any thread.
    pub(crate) fn concerned(&self, request: &Request) -> Result<usize, Denial> {
        let has_method = request.credentials.authentication_method.is_some();
        self.0.iter().position(|each| each.is_concerned(request)).ok_or(if has_method {
            Denial { reason_code: ReasonCode::BAD_AUTHENTICATION_METHOD, cause: "an unknown Authentication Method" }
        } else {
            Denial { reason_code: ReasonCode::NOT_AUTHORIZED, cause: "no credentials that this listener takes" }
        })
    }

    /// The authenticator at a place that [`Chain::concerned`] named.
    pub(crate) fn at(&self, place: usize) -> &Authenticator {
        &self.0[place]
    }
}

impl Authenticator {
    pub(crate) fn kind(&self) -> AuthenticatorKind {
        match self {
            Self::Password(_) => AuthenticatorKind::Password,
            Self::Certificate(_) => AuthenticatorKind::Certificate,
            Self::Jwt(_) => AuthenticatorKind::Jwt,
            Self::Anonymous => AuthenticatorKind::Anonymous,
        }
    }

    fn is_concerned(&self, request: &Request) -> bool {
        let credentials = &request.credentials;
        match self {
            Self::Jwt(checker) => checker.token_in(credentials).is_some(),
            Self::Password(_) => credentials.authentication_method.is_none() && credentials.user_name.is_some(),
            Self::Certificate(_) => credentials.authentication_method.is_none() && !request.certificates.is_empty(),
            Self::Anonymous => credentials.authentication_method.is_none(),
        }
    }

    /// Judges `request`, which concerns it, at `now_s` in seconds since 1970 UTC. May take tens of milliseconds.
    pub(crate) fn judge(&self, request: &Request, now_s: u64) -> Result<Grant, Denial> {
        let credentials = &request.credentials;
        let client_identifier = &*credentials.client_identifier;
        let (principal, expires_at_s) = match self {
            Self::Anonymous => (Principal::anonymous(client_identifier), None),
            Self::Password(file) => {
                let user_name = credentials.user_name.as_deref().unwrap_or_default();
                let password = credentials.password.as_ref().map_or(&[][..], Secret::reveal);
                if !file.verify(user_name, password) {
                    let cause = "unknown user or wrong password";
                    return Err(Denial { reason_code: ReasonCode::BAD_USER_NAME_OR_PASSWORD, cause });
                }
                let principal = Principal::anonymous(client_identifier);
                (Principal { user_name: Some(user_name.into()), ..principal }, None)
            }
            Self::Certificate(checker) => {
                let principal = checker.principal(client_identifier, &request.certificates);
                let cause = "the certificate cannot be read";
                (principal.ok_or(Denial { reason_code: ReasonCode::NOT_AUTHORIZED, cause })?, None)
            }
            Self::Jwt(checker) => {
                let (token, as_password) = checker.token_in(credentials).unwrap_or((&[], false));
                let refused =
                    if as_password { ReasonCode::BAD_USER_NAME_OR_PASSWORD } else { ReasonCode::NOT_AUTHORIZED };
                let judged = checker.principal(client_identifier, token, now_s);
                let (principal, expires_at_s) =
                    judged.map_err(|error| Denial { reason_code: refused, cause: error.cause() })?;
                (principal, Some(expires_at_s))
            }
        };
        Ok(Grant { principal: Arc::new(principal), by: self.kind(), expires_at_s })
    }
}

/// Refusals as clients see them.
pub(crate) fn answer(outcome: Result<Grant, Denial>) -> Answer {
    outcome.map_err(|denial| denial.reason_code)
}

fn files(configs: &[AuthenticatorConfig]) -> impl Iterator<Item = &Path> {
    configs.iter().filter_map(|config| match config {
        AuthenticatorConfig::Password(PasswordConfig { file }) => Some(PathBuf::as_path(file)),
        AuthenticatorConfig::Jwt(config) => Some(PathBuf::as_path(&config.keys_file)),
        AuthenticatorConfig::Certificate(_) | AuthenticatorConfig::Anonymous => None,
    })
}

fn stamps(configs: &[AuthenticatorConfig]) -> Vec<Stamp> {
    let stamp = |file: &Path| {
        let facts = std::fs::metadata(file).ok()?;
        Some((facts.modified().ok()?, facts.len()))
    };
    files(configs).map(stamp).collect()
}

fn read(configs: &[AuthenticatorConfig]) -> Result<Current, Vec<LoadError>> {
    // Taken first: what changes while it is read is read again.
    let stamps = stamps(configs);
    let (mut chain, mut errors) = (Vec::new(), Vec::new());
    if configs.is_empty() {
        let hint = "name at least one authenticator; anonymous lets everybody in";
        errors.push(config_error(0, ConfigField::Chain, "no authenticator, so nobody could come in", hint));
    }
    for (index, config) in configs.iter().enumerate() {
        let behind_anonymous = index > 0 && configs[index - 1] == AuthenticatorConfig::Anonymous;
        if behind_anonymous {
            let problem = "stands behind anonymous, which lets everybody in before";
            errors.push(config_error(index, ConfigField::Chain, problem, "put anonymous last"));
        }
        match authenticator(index, config) {
            Ok(authenticator) => chain.push(authenticator),
            Err(mistakes) => errors.extend(mistakes),
        }
    }
    if errors.is_empty() { Ok(Current { chain: Arc::new(Chain(chain)), stamps }) } else { Err(errors) }
}

fn authenticator(index: usize, config: &AuthenticatorConfig) -> Result<Authenticator, Vec<LoadError>> {
    let of_file = |errors: Vec<FileError>| -> Vec<LoadError> {
        errors.into_iter().map(|error| LoadError::File { authenticator: index, error }).collect()
    };
    match config {
        AuthenticatorConfig::Anonymous => Ok(Authenticator::Anonymous),
        AuthenticatorConfig::Password(config) => {
            PasswordFile::load(&config.file).map(|file| Authenticator::Password(Box::new(file))).map_err(of_file)
        }
        AuthenticatorConfig::Certificate(config) => {
            let hint = "write it as `openssl x509 -noout -subject` does, for example CN = Press CA, O = Contoso";
            let of_config = |mistakes: Vec<(usize, String)>| {
                let error = |(subject, problem)| config_error(index, ConfigField::Subject(subject), problem, hint);
                mistakes.into_iter().map(error).collect()
            };
            CertificateChecker::new(config).map(Authenticator::Certificate).map_err(of_config)
        }
        AuthenticatorConfig::Jwt(config) => {
            let mut errors = Vec::new();
            for (list, field) in [(&config.issuers, ConfigField::Issuers), (&config.audiences, ConfigField::Audiences)]
            {
                if list.is_empty() {
                    let hint = "without it, a token that was made for somebody else would let its bearer in";
                    errors.push(config_error(index, field, "none is accepted", hint));
                }
            }
            if config.methods.is_empty() && !config.as_password {
                let hint = "set as_password, or name an Authentication Method such as K8S-SAT";
                errors.push(config_error(index, ConfigField::Methods, "there is no way for a token to come", hint));
            }
            match KeySet::load(&config.keys_file) {
                Ok(keys) if errors.is_empty() => {
                    Ok(Authenticator::Jwt(Box::new(TokenChecker::new(config.clone(), keys))))
                }
                Ok(_) => Err(errors),
                Err(of_keys) => {
                    errors.extend(of_file(of_keys));
                    Err(errors)
                }
            }
        }
    }
}

fn config_error(authenticator: usize, field: ConfigField, problem: impl Into<String>, hint: &'static str) -> LoadError {
    LoadError::Config { authenticator, field, problem: problem.into(), hint }
}
