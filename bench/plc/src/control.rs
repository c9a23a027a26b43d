//! The control port: one JSON object a line over TCP, one line in answer to each.
//!
//! | Request | Answer, beside `"ok": true` |
//! |---|---|
//! | `{"cmd":"stats"}` | [`Stats`](crate::plant::Stats) under `stats` |
//! | `{"cmd":"truth","file":"/tmp/truth.jsonl"}` | the file is written, see [`crate::truth`] |
//! | `{"cmd":"drop-connections"}` | needs the fault front |
//! | `{"cmd":"refuse","ms":500}` | when it is over; needs the fault front |
//! | `{"cmd":"restart","down_ms":2000}` | when the servers listen again |
//! | `{"cmd":"status","status":"Bad","tags":["asset000.tag00"],"on":true}` | `tags`: how many; `"tags":"all"`; `"on":false`: back to Good |
//! | `{"cmd":"pause","on":true}` | changes stop; `"on":false`: they go on |
//! | `{"cmd":"stop"}` | the plant ends |
//!
//! What cannot be done is answered with `{"ok":false,"error":"..."}`, and the connection stays.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use opcua::types::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::plant::PlantInner;
use crate::transport::listen;

/// Longest request: room for the names of 100,000 tags.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// Connections at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 16;
/// Longest pause that a request may ask for.
const DURATION_MAX: Duration = Duration::from_hours(1);

#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    Stats {},
    Truth {
        file: PathBuf,
    },
    DropConnections {},
    Refuse {
        ms: u64,
    },
    Restart {
        down_ms: u64,
    },
    Status {
        #[serde(default = "bad")]
        status: String,
        tags: TagChoice,
        #[serde(default = "on")]
        on: bool,
    },
    Pause {
        #[serde(default = "on")]
        on: bool,
    },
    Stop {},
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TagChoice {
    All(AllTags),
    Named(Vec<String>),
}

#[derive(Debug, Deserialize)]
enum AllTags {
    #[serde(rename = "all")]
    All,
}

fn bad() -> String {
    "Bad".to_owned()
}

fn on() -> bool {
    true
}

/// The listening control port. Ends with its handle.
pub(crate) struct ControlPort {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl ControlPort {
    /// Listens on `address`, port 0 for any.
    ///
    /// # Errors
    /// If `address` cannot be listened on.
    pub(crate) fn start(address: SocketAddr, plant: Arc<PlantInner>) -> anyhow::Result<Self> {
        let listener = listen(address).context("the control port")?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self { address, stop, task: tokio::spawn(accept_until(stopped, listener, plant)) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, and every conversation; returns when nobody is talked to any more.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        if let Err(reason) = self.task.await {
            tracing::warn!(%reason, "the control port had ended");
        }
    }
}

/// Runs until the other end of `stopped` is gone.
async fn accept_until(mut stopped: oneshot::Receiver<()>, listener: TcpListener, plant: Arc<PlantInner>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(talk(stream, Arc::clone(&plant)));
                }
                Err(reason) => tracing::warn!(%reason, "a control connection was not accepted"),
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => break,
        }
    }
    connections.shutdown().await;
}

async fn talk(mut stream: TcpStream, plant: Arc<PlantInner>) {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(1..) if line.ends_with(b"\n") => {}
            // The end of the connection, half a line before it, or a line that is too long.
            Ok(_) | Err(_) => return,
        }
        let mut answer = match serde_json::from_slice(&line).context("this is no request") {
            Ok(request) => answer(request, &plant).await,
            Err(reason) => Err(reason),
        }
        .unwrap_or_else(|reason| json!({ "ok": false, "error": format!("{reason:#}") }))
        .to_string();
        answer.push('\n');
        if writer.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn answer(request: Request, plant: &Arc<PlantInner>) -> anyhow::Result<Value> {
    match request {
        Request::Stats {} => return Ok(json!({ "ok": true, "stats": plant.stats() })),
        Request::Truth { file } => {
            let plant = Arc::clone(plant);
            tokio::task::spawn_blocking(move || plant.write_truth(&file)).await??;
        }
        Request::DropConnections {} => plant.drop_connections()?,
        Request::Refuse { ms } => plant.refuse(duration(ms)?).await?,
        Request::Restart { down_ms } => plant.restart(duration(down_ms)?).await?,
        Request::Status { status, tags, on } => {
            let status = if on { status_code(&status)? } else { StatusCode::Good };
            let count = match tags {
                TagChoice::All(AllTags::All) => plant.set_status(None, status).await?,
                TagChoice::Named(tags) => plant.set_status(Some(&tags), status).await?,
            };
            return Ok(json!({ "ok": true, "tags": count }));
        }
        Request::Pause { on } => plant.set_paused(on),
        Request::Stop {} => plant.ask_to_stop(),
    }
    Ok(json!({ "ok": true }))
}

fn duration(ms: u64) -> anyhow::Result<Duration> {
    Some(Duration::from_millis(ms)).filter(|duration| *duration <= DURATION_MAX).context("more than an hour")
}

/// The StatusCode called `name`, such as `BadSensorFailure`.
fn status_code(name: &str) -> anyhow::Result<StatusCode> {
    opcua::types::SubStatusCode::from_str(name)
        .map(StatusCode::from_category)
        .map_err(|()| anyhow!("OPC UA has no StatusCode {name}"))
}
