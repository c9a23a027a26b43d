//! The command line as a stranger meets it: the real binary, its output and its exit code.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn millicore(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millicore")).args(arguments).output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn check(file: &Path) -> Output {
    millicore(&["check", "--fold", "--config", file.to_str().expect("paths of tests are text")])
}

#[test]
fn the_example_sites_have_no_mistakes_and_missing_secrets_are_told() {
    for (name, tags, secrets) in [("site-minimal.toml", "tags 2", 1), ("site-real.toml", "tags 6", 5)] {
        let output = check(&example(name));
        let (shown, told) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{name}: {told}");
        assert!(shown.contains("no mistakes") && shown.contains(tags), "{shown}");
        assert_eq!(told.matches("`run` needs it").count(), secrets, "{told}");
    }
}

#[test]
fn check_tells_every_mistake_with_file_line_column_and_hint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    let site = "name = \"p\"\n[[listener]]\nbind = \"127.0.0.1:1883\"\nallow_anonymus = true\n\
                [[opcua]]\nname = \"s\"\nendpoint = \"http://h\"\nsecurity = \"None\"\npublishing_interval_ms = \"1s\"\n";
    std::fs::write(&file, site).unwrap();
    let output = check(&file);
    let told = text(&output.stderr);
    assert!(!output.status.success());
    for part in
        ["site.toml:4:1: ", "did you mean `allow_anonymous`?", "site.toml:7:12: ", "opc.tcp://", "site.toml:9:26: "]
    {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
}

#[test]
fn a_file_that_is_not_there_and_an_unknown_profile_say_what_to_do() {
    let told = text(&check(Path::new("no-such-site.toml")).stderr);
    assert!(told.contains("no-such-site.toml") && told.contains("--config"), "{told}");
    let told = text(&millicore(&["plan", "--profile", "vm-5vcpu"]).stderr);
    assert!(told.contains("vm-4vcpu"), "{told}");
}

#[test]
fn plan_prints_a_table_and_draws() {
    let folder = tempfile::tempdir().unwrap();
    let drawing = folder.path().join("plan.svg");
    let output = millicore(&["plan", "--fold", "--svg", drawing.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("broker-partition"), "{}", text(&output.stdout));
    assert!(std::fs::read_to_string(drawing).unwrap().contains("<svg"));
}

#[test]
fn without_a_running_process_status_top_and_log_level_say_how_to_start_one() {
    let socket = "/nonexistent/millicore.sock";
    for arguments in [
        ["status", "--control", socket].as_slice(),
        &["top", "--control", socket],
        &["log-level", "debug", "--control", socket],
    ] {
        let output = millicore(arguments);
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains("millicore run"), "{}", text(&output.stderr));
    }
}

#[test]
fn users_come_and_go_and_top_does_not_mind_who_reads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    let passwd = |arguments: &[&str], password: &str| {
        use std::io::Write;
        let mut command = Command::new(env!("CARGO_BIN_EXE_millicore"));
        command.arg("passwd").arg(&file).args(arguments);
        command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut process = command.spawn().unwrap();
        // A process that needs no password may have ended.
        let _is_gone = process.stdin.take().unwrap().write_all(password.as_bytes());
        process.wait_with_output().unwrap()
    };
    assert!(text(&passwd(&["alice"], "secret\n").stderr).contains("alice is a new user"));
    assert!(text(&passwd(&["alice"], "other\n").stderr).contains("another password"));
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("alice:$argon2id$"));
    assert!(!passwd(&["bob"], "\n").status.success(), "an empty password is none");
    assert!(passwd(&["alice", "--delete"], "").status.success());
    assert!(!passwd(&["alice", "--delete"], "").status.success(), "she is gone");
    // A reader that goes away at once, as `head` does.
    let mut command = Command::new(env!("CARGO_BIN_EXE_millicore"));
    command.args(["completions", "bash"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut process = command.spawn().unwrap();
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
}

#[test]
fn help_names_the_first_steps_and_completions_name_the_verbs() {
    let help = text(&millicore(&["--help"]).stdout);
    for verb in ["run", "plan", "check", "demo", "status", "top", "log-level", "reload", "passwd", "completions"] {
        assert!(help.contains(verb), "{verb} is missing in\n{help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&millicore(&["completions", shell]).stdout).contains("log-level"), "{shell}");
    }
}
