//! The broker by itself: a site of listeners alone, and mosquitto's clients to speak to it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::plant::{Folder, millicore_with};
use crate::process::Process;

/// A running broker.
pub(crate) struct Broker {
    pub(crate) process: Process,
    pub(crate) folder: Folder,
}

/// Client Identifiers `*`: the user named `reader` may read all below `plant`, `writer` may write there, and nobody else anything.
pub(crate) const RULES: &str = "\
[[authorization]]
name = \"rules\"
[[authorization.rule]]
principals = { user_names = [\"reader\"] }
resources = [{ method = \"Connect\" }, { method = \"Subscribe\", topics = [\"plant/#\"] }]
[[authorization.rule]]
principals = { user_names = [\"writer\"] }
resources = [{ method = \"Connect\" }, { method = \"Publish\", topics = [\"plant/{username}/#\"] }]
";

/// Users of a password file named `users`.
pub(crate) const USERS: &str = "[[authentication]]\nname = \"users\"\nkind = \"password_file\"\nfile = \"users\"\n";

impl Broker {
    /// Starts with a site's file that ends with `text`; files that it names are in `folder`.
    pub(crate) fn start(folder: Folder, text: &str, arguments: &[&str]) -> Self {
        write_site(&folder, text);
        let process = millicore_with(&folder, &folder.path("site.toml"), arguments);
        Self { process, folder }
    }

    /// Writes the site's file anew.
    pub(crate) fn change_site(&self, text: &str) {
        write_site(&self.folder, text);
    }

    /// A verb that speaks to the control socket.
    pub(crate) fn verb(&self, verb: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millicore"));
        command.arg(verb).args(arguments).arg("--control").arg(self.folder.path("control.sock"));
        command.output().unwrap()
    }

    /// Has files read anew.
    pub(crate) fn reload(&self) {
        let output = self.verb("reload", &[]);
        assert!(output.status.success(), "{}\n{}", text(&output.stderr), self.folder.log());
    }

    /// Ends it in good order.
    pub(crate) fn end(self) {
        assert!(self.process.terminate().success(), "{}", self.folder.log());
    }
}

fn write_site(folder: &Folder, text: &str) {
    let head = format!(
        "name = \"plant\"\nstate_directory = \"{}\"\n[control]\nsocket = \"{}\"\n",
        folder.path("state").display(),
        folder.path("control.sock").display()
    );
    std::fs::write(folder.path("site.toml"), head + text).unwrap();
}

/// Adds a user to the file `users` of `folder`, as an operator does.
pub(crate) fn add_user(folder: &Folder, user: &str, password: &str) {
    use std::io::Write;
    let mut command = Command::new(env!("CARGO_BIN_EXE_millicore"));
    command.arg("passwd").arg(folder.path("users")).arg(user).stdin(Stdio::piped());
    let mut process = command.spawn().unwrap();
    writeln!(process.stdin.take().unwrap(), "{password}").unwrap();
    assert!(process.wait().unwrap().success());
}

/// The self-made CA of `folder`'s site.
pub(crate) fn ca_file(folder: &Folder) -> PathBuf {
    folder.path("state").join("tls").join("ca.pem")
}

/// What a program said.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether `program` is there; tells where to get it otherwise.
pub(crate) fn is_installed(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !found {
        eprintln!("SKIPPED: {program} is not installed; scripts/test installs it");
    }
    found
}

/// Runs `mosquitto_pub`.
pub(crate) fn publish(arguments: &[&str]) -> Output {
    Command::new("mosquitto_pub").args(arguments).output().unwrap()
}

/// Runs `mosquitto_pub` and wants it to succeed.
pub(crate) fn published(arguments: &[&str]) {
    let output = publish(arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// Starts `mosquitto_sub`.
pub(crate) fn subscriber(arguments: &[&str]) -> Process {
    let mut command = Command::new("stdbuf");
    // It tells of its Subscription with -d, which it writes line by line only to a terminal.
    command.args(["-oL", "mosquitto_sub", "-d", "-F", "got %t %p"]).args(arguments);
    Process::start("mosquitto_sub", &mut command, None)
}

/// Starts `mosquitto_sub` and waits until its Subscription stands; messages before are lost to the test.
pub(crate) fn subscribe(arguments: &[&str]) -> Process {
    let subscriber = subscriber(arguments);
    loop {
        let line = subscriber.line();
        if line.starts_with("Subscribed") {
            return subscriber;
        }
        assert!(!line.contains("error") && !line.contains("refused"), "{line}");
    }
}

/// The next message of a subscriber, as `topic payload`.
pub(crate) fn received(subscriber: &Process) -> String {
    loop {
        if let Some(message) = subscriber.line().strip_prefix("got ") {
            return message.to_owned();
        }
    }
}
