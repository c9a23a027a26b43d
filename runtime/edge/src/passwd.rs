//! `millicore passwd`: users of a password file.

use std::io::{BufRead, IsTerminal, Write};

use access::Secret;
use anyhow::{Context, bail};
use authentication::{delete_user, set_password};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::PasswdArguments;

/// Creates a user, gives one another password, or deletes one.
///
/// # Errors
/// The file has mistakes or cannot be written; the two passwords differ.
pub(crate) fn run(arguments: &PasswdArguments) -> anyhow::Result<()> {
    let (file, user) = (&arguments.file, &arguments.user);
    if arguments.delete {
        delete_user(file, user)?;
        eprintln!("{user} is deleted from {}", file.display());
        return Ok(());
    }
    let is_new = set_password(file, user, &password()?)?;
    let what = if is_new { "is a new user of" } else { "has another password in" };
    eprintln!("{user} {what} {}; a running millicore sees it within seconds", file.display());
    Ok(())
}

fn password() -> anyhow::Result<Secret> {
    if !std::io::stdin().is_terminal() {
        return line();
    }
    let first = asked("Password: ")?;
    if asked("Again: ")? != first {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(first)
}

fn asked(question: &str) -> anyhow::Result<Secret> {
    eprint!("{question}");
    std::io::stderr().flush().context("standard error")?;
    let quiet = Quiet::begin().context("the terminal")?;
    let password = line();
    drop(quiet);
    eprintln!();
    password
}

/// A line of standard input, without its end.
fn line() -> anyhow::Result<Secret> {
    let mut text = Vec::new();
    std::io::stdin().lock().read_until(b'\n', &mut text).context("standard input")?;
    for end in [b'\n', b'\r'] {
        if text.last() == Some(&end) {
            text.pop();
        }
    }
    Ok(Secret::new(text))
}

/// A terminal that does not show what is typed, until it is dropped.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn begin() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &quiet)?;
        Ok(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Fails only where the terminal is gone.
        let _is_gone = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
