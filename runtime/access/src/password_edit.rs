//! Creates, changes and deletes a user in a password file: what `millicore passwd FILE USER` does.
//!
//! The new file takes the old one's place by a rename, so a reader and a crash meet either the old or the new one whole.
//! Two editors of one folder wait for each other.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use access::Secret;
use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};

use crate::file_error::{self, FileError};
use crate::password_file::{FILE_BYTES_MAX, PasswordFile, is_user_name};

/// What an own hash costs: OWASP's first choice for argon2id below 46 MiB, 19 MiB and 2 passes on 1 lane.
const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Why a password file was not changed. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PasswordEditError {
    /// No line can begin with this name.
    #[error("a user name is not empty, does not begin with # and holds neither a colon nor a control character")]
    UserName,
    /// An empty password is none.
    #[error("the password is empty")]
    EmptyPassword,
    /// There is no such user to delete.
    #[error("{} has no user {user_name:?}", file.display())]
    UnknownUser {
        /// The file.
        file: PathBuf,
        /// The name.
        user_name: String,
    },
    /// The file has mistakes already: mend these first.
    #[error("{}", texts(.0))]
    File(Vec<FileError>),
    /// The system refused.
    #[error("{} cannot be {doing}: {source}", file.display())]
    Io {
        /// Which file or folder.
        file: PathBuf,
        /// What was being done with it.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

fn texts(errors: &[FileError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Creates `user_name` in `file`, or gives it another password; a file that is not there is created. It has the mode 0600
/// afterwards. Comments and other lines stay as they are. Returns whether the user is a new one.
///
/// # Errors
/// [`PasswordEditError`]; the file is as it was.
pub fn set_password(file: &Path, user_name: &str, password: &Secret) -> Result<bool, PasswordEditError> {
    if !is_user_name(user_name) {
        return Err(PasswordEditError::UserName);
    }
    if password.reveal().is_empty() {
        return Err(PasswordEditError::EmptyPassword);
    }
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("OWASP's parameters are within argon2's bounds");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password(password.reveal()).map_err(|_| PasswordEditError::Io {
        file: file.to_owned(),
        doing: "given a salt",
        source: io::Error::other("the system has no random numbers, or the password is too long"),
    })?;
    let line = format!("{user_name}:{hash}");
    edit(file, |text| {
        let mut lines: Vec<&str> = text.lines().collect();
        let place = lines.iter().position(|line| is_line_of(line, user_name));
        match place {
            Some(index) => lines[index] = &line,
            None => lines.push(&line),
        }
        Ok((lines.join("\n") + "\n", place.is_none()))
    })
}

/// Deletes `user_name` from `file`.
///
/// # Errors
/// [`PasswordEditError`]; the file is as it was.
pub fn delete_user(file: &Path, user_name: &str) -> Result<(), PasswordEditError> {
    edit(file, |text| {
        let kept: String = text.split_inclusive('\n').filter(|line| !is_line_of(line, user_name)).collect();
        if kept.len() == text.len() {
            let (file, user_name) = (file.to_owned(), user_name.to_owned());
            return Err(PasswordEditError::UnknownUser { file, user_name });
        }
        Ok((kept, ()))
    })
}

fn is_line_of(line: &str, user_name: &str) -> bool {
    !line.starts_with('#') && line.split_once(':').is_some_and(|(name, _)| name == user_name)
}

/// Puts what `change` makes of the text in the place of `file`.
fn edit<T>(
    file: &Path,
    change: impl FnOnce(&str) -> Result<(String, T), PasswordEditError>,
) -> Result<T, PasswordEditError> {
    let failed = |file: &Path, doing: &'static str| {
        let file = file.to_owned();
        move |source| PasswordEditError::Io { file, doing, source }
    };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    // Released when the handle is closed, also by a crash.
    let lock = File::open(folder).map_err(failed(folder, "opened"))?;
    lock.lock().map_err(failed(folder, "locked"))?;

    let exists = file.try_exists().map_err(failed(file, "read"))?;
    let bytes = if exists {
        file_error::read(file, FILE_BYTES_MAX).map_err(|error| PasswordEditError::File(vec![error]))?
    } else {
        Vec::new()
    };
    PasswordFile::parse(file, &bytes).map_err(PasswordEditError::File)?;
    let text = String::from_utf8(bytes).expect("the parser refuses what is not UTF-8");
    let (changed, result) = change(&text)?;

    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".new");
    let temporary = folder.join(name);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&temporary, "removed")(error)),
        Ok(()) | Err(_) => Ok(()),
    }?;
    let write = || {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        new.set_permissions(Permissions::from_mode(0o600))?;
        new.write_all(changed.as_bytes())?;
        new.sync_all()?;
        std::fs::rename(&temporary, file)
    };
    write().map_err(failed(file, "written"))?;
    lock.sync_all().map_err(failed(folder, "synced"))?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes())
    }

    #[test]
    fn users_come_change_and_go_and_all_other_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        assert!(set_password(&file, "a", &secret("one")).unwrap());
        let text = format!("# ours\r\n\n{}", std::fs::read_to_string(&file).unwrap());
        std::fs::write(&file, text).unwrap();
        assert!(set_password(&file, "b c", &secret("two")).unwrap());
        assert!(!set_password(&file, "a", &secret("three")).unwrap());
        let users = PasswordFile::load(&file).unwrap();
        assert!(users.verify("a", b"three") && users.verify("b c", b"two") && !users.verify("a", b"one"));
        delete_user(&file, "a").unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# ours") && text.contains("\n\nb c:$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert!(matches!(delete_user(&file, "a"), Err(PasswordEditError::UnknownUser { .. })));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_a_line_is_refused_and_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        for name in ["", "a:b", "#a", "a\nb"] {
            assert!(matches!(set_password(&file, name, &secret("x")), Err(PasswordEditError::UserName)), "{name:?}");
        }
        assert!(matches!(set_password(&file, "a", &secret("")), Err(PasswordEditError::EmptyPassword)));
        std::fs::write(&file, "broken\n").unwrap();
        assert!(matches!(set_password(&file, "a", &secret("x")), Err(PasswordEditError::File(_))));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "broken\n");
        let nowhere = folder.path().join("none/users");
        assert!(matches!(set_password(&nowhere, "a", &secret("x")), Err(PasswordEditError::Io { .. })));
    }

    #[test]
    fn what_a_crash_left_is_no_obstacle_and_no_way_to_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, elsewhere) = (folder.path().join("users"), folder.path().join("elsewhere"));
        std::fs::write(&elsewhere, "keep").unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(".users.new")).unwrap();
        set_password(&file, "a", &secret("x")).unwrap();
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "keep");
    }
}
