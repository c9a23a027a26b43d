//! A file of public keys that tokens are checked with: a JSON Web Key Set (RFC 7517).

use std::fmt;
use std::path::Path;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use crate::file_error::{self, FileError};

const FILE_BYTES_MAX: u64 = 1 << 20;
/// More keys are refused.
const KEYS_COUNT_MAX: usize = 256;
const HINT: &str = "a JSON Web Key Set is {\"keys\": [...]} with public keys of RSA, P-256, P-384 or Ed25519";

/// The keys that can be used.
pub struct KeySet {
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeySet").field("keys_count", &self.keys.len()).finish_non_exhaustive()
    }
}

impl KeySet {
    /// Reads and checks `file`.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn load(file: &Path) -> Result<Self, Vec<FileError>> {
        let bytes = file_error::read(file, FILE_BYTES_MAX).map_err(|error| vec![error])?;
        Self::parse(file, &bytes)
    }

    /// Checks `text`, which was read from `file`. Keys for other uses than signatures and of other kinds are left out.
    ///
    /// # Errors
    /// What is wrong, with the line: not JSON of that form, a key that is broken, a shared secret, no key of use.
    pub fn parse(file: &Path, text: &[u8]) -> Result<Self, Vec<FileError>> {
        let set: JwkSet = serde_json::from_slice(text)
            // Its texts could quote a piece of the file.
            .map_err(|error| vec![FileError::at(file, error.line().max(1), "not a JSON Web Key Set", HINT)])?;
        if set.keys.len() > KEYS_COUNT_MAX {
            return Err(vec![FileError::whole(file, format!("more than {KEYS_COUNT_MAX} keys"), HINT)]);
        }
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        for (index, key) in set.keys.iter().enumerate() {
            match usable(key) {
                Ok(key) => keys.extend(key),
                Err(problem) => {
                    let problem = format!("key {}: {problem}", index + 1);
                    let line = key.common.key_id.as_deref().map_or(1, |id| line_of(text, id));
                    errors.push(FileError::at(file, line, problem, HINT));
                }
            }
        }
        if errors.is_empty() && keys.is_empty() {
            errors.push(FileError::at(file, 1, "no key that checks a signature", HINT));
        }
        if errors.is_empty() { Ok(Self { keys }) } else { Err(errors) }
    }

    /// Keys of use.
    pub fn keys_count(&self) -> usize {
        self.keys.len()
    }

    /// The keys that a token of this header may be signed with: those of its key id; without one, the only one there is for its
    /// algorithm.
    pub(crate) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        let fits = |key: &&Key| key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id);
        let found: Vec<_> = self.keys.iter().filter(fits).map(|key| &key.decoding).collect();
        if id.is_none() && found.len() > 1 { Vec::new() } else { found }
    }
}

/// The first line that holds `id`.
fn line_of(text: &[u8], id: &str) -> usize {
    let place = text.windows(id.len().max(1)).position(|window| window == id.as_bytes()).unwrap_or(0);
    text[..place].split(|byte| *byte == b'\n').count()
}

/// The key, as far as it is one that we use.
fn usable(jwk: &Jwk) -> Result<Option<Key>, &'static str> {
    let algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            EllipticCurve::P521 | EllipticCurve::Ed25519 | _ => Vec::new(),
        },
        AlgorithmParameters::OctetKeyPair(parameters) if parameters.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        AlgorithmParameters::OctetKey(_) => return Err("a shared secret, with which every reader could sign"),
        AlgorithmParameters::OctetKeyPair(_) | AlgorithmParameters::Other(_) | _ => Vec::new(),
    };
    let for_signatures = !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)));
    let named = jwk.common.key_algorithm.map(signature_algorithm);
    let algorithms: Vec<_> =
        algorithms.into_iter().filter(|algorithm| named.is_none_or(|named| named == Some(*algorithm))).collect();
    if !for_signatures || algorithms.is_empty() {
        return Ok(None);
    }
    let decoding = DecodingKey::from_jwk(jwk).map_err(|_| "its numbers are not those of a key")?;
    Ok(Some(Key { id: jwk.common.key_id.clone(), algorithms, decoding }))
}

fn signature_algorithm(named: KeyAlgorithm) -> Option<Algorithm> {
    named.to_string().parse().ok()
}
