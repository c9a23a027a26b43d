//! User names with argon2id hashes: one `name:hash` a line, the hash as a PHC string, `#` begins a comment line.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};

use crate::file_error::{self, ERRORS_COUNT_MAX, FileError};

/// A larger file is refused whole.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 20;
/// More users are a mistake at the first that is too many.
const USERS_COUNT_MAX: usize = 100_000;
/// Bounds of what one check may cost: 256 MiB, 32 passes, 8 lanes. A hash past them is a mistake.
const MEMORY_KIB_MAX: u32 = 256 << 10;
const PASSES_MAX: u32 = 32;
const LANES_MAX: u32 = 8;
/// What an unknown user's password is checked against where the file has no users: OWASP's parameters, no one's password.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const HINT: &str = "a line is name:$argon2id$..., as `millicore passwd FILE USER` writes it";

/// Where user names and passwords come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordConfig {
    /// The file.
    pub file: PathBuf,
}

/// A password file that was read.
pub struct PasswordFile {
    users: BTreeMap<Box<str>, PasswordHash>,
    nobody: PasswordHash,
}

impl fmt::Debug for PasswordFile {
    /// Hashes are secrets too: they can be guessed at offline.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PasswordFile").field("users_count", &self.users.len()).finish_non_exhaustive()
    }
}

impl PasswordFile {
    /// Reads and checks `file`.
    ///
    /// # Errors
    /// Every mistake with its line, at most 50.
    pub fn load(file: &Path) -> Result<Self, Vec<FileError>> {
        let bytes = file_error::read(file, FILE_BYTES_MAX).map_err(|error| vec![error])?;
        Self::parse(file, &bytes)
    }

    /// Checks `text`, which was read from `file`.
    ///
    /// # Errors
    /// Every mistake with its line, at most 50.
    pub fn parse(file: &Path, text: &[u8]) -> Result<Self, Vec<FileError>> {
        let mut users = BTreeMap::new();
        let mut errors = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let problem = match parse_line(line) {
                Ok(None) => continue,
                Ok(Some(_)) if users.len() == USERS_COUNT_MAX => "more than 100,000 users".to_owned(),
                Ok(Some((name, hash))) => match users.entry(name.into()) {
                    std::collections::btree_map::Entry::Vacant(vacant) => {
                        vacant.insert(hash);
                        continue;
                    }
                    std::collections::btree_map::Entry::Occupied(_) => format!("the user {name:?} appears twice"),
                },
                Err(problem) => problem,
            };
            errors.push(FileError::at(file, index + 1, problem, HINT));
            if errors.len() == ERRORS_COUNT_MAX {
                break;
            }
        }
        let nobody = PasswordHash::new(NOBODY).expect("the constant is a PHC string");
        if errors.is_empty() { Ok(Self { users, nobody }) } else { Err(errors) }
    }

    /// Users in it.
    pub fn users_count(&self) -> usize {
        self.users.len()
    }

    /// Whether `password` is that of `user_name`. Takes tens of milliseconds and tens of megabytes, as the hash says, also
    /// for an unknown user: its time is that of some user of the file, always the same one for the same name.
    pub fn verify(&self, user_name: &str, password: &[u8]) -> bool {
        let known = self.users.get(user_name);
        let hash = known.unwrap_or_else(|| self.stand_in(user_name));
        let matches = Argon2::default().verify_password(password, hash).is_ok();
        matches && known.is_some()
    }

    fn stand_in(&self, user_name: &str) -> &PasswordHash {
        let mut hasher = DefaultHasher::new();
        user_name.hash(&mut hasher);
        let count = self.users.len().max(1) as u64;
        let index = usize::try_from(hasher.finish() % count).expect("below a count of usize");
        self.users.values().nth(index).unwrap_or(&self.nobody)
    }
}

/// Whether `name` can stand in a password file.
pub(crate) fn is_user_name(name: &str) -> bool {
    !name.is_empty()
        && u16::try_from(name.len()).is_ok()
        && !name.starts_with('#')
        && !name.contains(|letter: char| letter == ':' || letter.is_control())
}

/// The user of `line`, as far as there is one.
fn parse_line(line: &[u8]) -> Result<Option<(&str, PasswordHash)>, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    if text.trim().is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (name, hash) = text.split_once(':').ok_or("no colon behind the user name")?;
    if !is_user_name(name) {
        return Err("the user name is empty or holds a control character".to_owned());
    }
    // The cause is not told: it could quote a piece of the hash.
    let hash = PasswordHash::new(hash).map_err(|_| format!("the hash of {name:?} is not a PHC string"))?;
    if hash.algorithm.as_str() != "argon2id" || hash.salt.is_none() || hash.hash.is_none() {
        return Err(format!("the hash of {name:?} is not a whole one of argon2id"));
    }
    let params =
        Params::try_from(&hash).map_err(|_| format!("argon2id knows no such parameters as those of {name:?}"))?;
    if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX || params.p_cost() > LANES_MAX {
        return Err(format!("the hash of {name:?} costs more than m={MEMORY_KIB_MAX},t={PASSES_MAX},p={LANES_MAX}"));
    }
    Ok(Some((name, hash)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the reference implementation of argon2: `vectors/passwords` tells how.
    const GOLDEN: &[u8] = include_bytes!("../vectors/passwords");

    fn problems(text: &[u8]) -> Vec<(usize, String)> {
        let errors = PasswordFile::parse(Path::new("users"), text).unwrap_err();
        errors.into_iter().map(|error| (error.line.unwrap(), error.problem)).collect()
    }

    #[test]
    fn hashes_of_the_reference_implementation_are_understood() {
        let file = PasswordFile::parse(Path::new("users"), GOLDEN).unwrap();
        assert_eq!(file.users_count(), 3);
        assert!(file.verify("pump", b"correct horse") && !file.verify("pump", b"correct horsf"));
        assert!(file.verify("line 2/press", "gr\u{fc}n".as_bytes()) && !file.verify("line 2/press", b""));
        assert!(file.verify("binary", &[0, 255, 10, 58]));
        assert!(!file.verify("Pump", b"correct horse") && !file.verify("nobody", b"correct horse"));
    }

    #[test]
    fn an_unknown_user_is_checked_at_the_cost_of_a_known_one_and_refused() {
        let file = PasswordFile::parse(Path::new("users"), GOLDEN).unwrap();
        for number in 0..20 {
            let name = format!("unknown-{number}");
            let stand_in = file.stand_in(&name);
            assert!(file.users.values().any(|hash| hash == stand_in));
            assert_eq!(stand_in, file.stand_in(&name), "a name is always as slow");
        }
        // Not even the stand-in's own password lets an unknown user in.
        let guessed: Vec<_> = (0..20).filter(|n| file.verify(&format!("unknown-{n}"), b"correct horse")).collect();
        assert_eq!(guessed, Vec::<i32>::new());
        let empty = PasswordFile::parse(Path::new("users"), b"# none yet\n\n").unwrap();
        assert!(!empty.verify("a", b"a"));
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_without_the_hash() {
        let good = std::str::from_utf8(GOLDEN).unwrap().lines().find(|line| line.starts_with("pump:")).unwrap();
        let huge = good.replace("m=1024", "m=9999999").replace("pump", "huge");
        let other = good.replace("argon2id", "argon2i").replace("pump", "other");
        let text =
            format!("# users\n{good}\nno colon\n{good}\n:x\nplain:secret\n{huge}\n{other}\ncut:$argon2id$v=19\n");
        let found = problems(text.as_bytes());
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9], "{found:?}");
        assert!(found.iter().all(|(_, problem)| !problem.contains("secret") && !problem.contains("$argon2id")));
        assert_eq!(problems(b"\xff\xfe:x"), [(1, "not UTF-8".to_owned())]);
    }

    #[test]
    fn mistakes_are_told_up_to_a_limit() {
        assert_eq!(problems("x\n".repeat(1_000).as_bytes()).len(), ERRORS_COUNT_MAX);
    }

    #[test]
    fn hashes_are_never_printed() {
        let file = PasswordFile::parse(Path::new("users"), GOLDEN).unwrap();
        assert_eq!(format!("{file:?}"), "PasswordFile { users_count: 3, .. }");
    }
}
