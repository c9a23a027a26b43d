//! JSON lines over a socket: the plant's control port, and the pipeline's control socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// Version of the control socket's protocol that is spoken here.
const CONTROL_VERSION: u32 = 1;
/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// How long an answer may take: a truth file of an hour is written meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);

/// Asks the plant or the hub at its control port; `{"ok":false}` becomes an error.
///
/// # Errors
/// If it does not answer, or refuses.
pub(crate) fn ask_simulator(address: &str, request: &Value) -> anyhow::Result<Value> {
    let stream = TcpStream::connect(address).with_context(|| format!("no simulator answers at {address}"))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let answer = exchange(stream, request)?;
    if answer["ok"] != true {
        bail!("the simulator refuses {request}: {}", answer["error"]);
    }
    Ok(answer)
}

/// Asks the pipeline for its snapshot.
///
/// # Errors
/// If it does not answer, or speaks another version.
pub(crate) fn ask_pipeline(socket: &Path) -> anyhow::Result<Value> {
    let stream = UnixStream::connect(socket).with_context(|| format!("no pipeline answers at {}", socket.display()))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut answer = exchange(stream, &json!({ "version": CONTROL_VERSION, "verb": "status" }))?;
    match answer.get_mut("status") {
        Some(snapshot) => Ok(snapshot.take()),
        None => bail!("the pipeline gives no status: {answer}"),
    }
}

fn exchange(mut stream: impl Read + Write, request: &Value) -> anyhow::Result<Value> {
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line).context("no answer")?;
    serde_json::from_str(&line).context("the answer is no line of JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers one request with `answer`; gives what was asked.
    fn serve(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            let mut reader = BufReader::new(stream);
            reader.read_line(&mut line).unwrap();
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            line
        });
        (address, thread)
    }

    #[test]
    fn an_answer_is_passed_on_and_a_refusal_is_an_error() {
        let (address, thread) = serve("{\"ok\":true,\"tags\":3}\n");
        assert_eq!(ask_simulator(&address, &json!({ "cmd": "stats" })).unwrap()["tags"], 3);
        assert_eq!(thread.join().unwrap(), "{\"cmd\":\"stats\"}\n");
        let (address, _thread) = serve("{\"ok\":false,\"error\":\"no front\"}\n");
        let error = ask_simulator(&address, &json!({})).unwrap_err();
        assert!(error.to_string().contains("no front"), "{error}");
        let (address, _thread) = serve("");
        assert!(ask_simulator(&address, &json!({})).is_err());
    }

    #[test]
    fn the_pipeline_is_asked_in_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        assert!(ask_pipeline(&socket).is_err());
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            reader.get_mut().write_all(b"{\"status\":{\"profile\":\"p\"}}\n").unwrap();
            line
        });
        assert_eq!(ask_pipeline(&socket).unwrap(), json!({ "profile": "p" }));
        assert_eq!(thread.join().unwrap(), "{\"verb\":\"status\",\"version\":1}\n");
    }
}
