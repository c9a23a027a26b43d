//! The control port: one JSON object a line over TCP, one line in answer to each.
//!
//! | Request | Answer, beside `"ok": true` |
//! |---|---|
//! | `{"cmd":"stats"}` | [`Stats`](crate::namespace::Stats) under `stats` |
//! | `{"cmd":"fault","kind":"server-busy","count":3}` | the fault is in force, see [`FaultRequest`] |
//! | `{"cmd":"refuse","ms":500}` | at once; new connections are closed for that long |
//! | `{"cmd":"clear"}` | no fault is in force, and connections are let in |
//! | `{"cmd":"stop"}` | the endpoint ends |
//!
//! Kinds of fault: `server-busy`, `released`, `modified`, `detach`, `disconnect`, `stall`, `reject-size`,
//! `internal-error`, `ack-latency` (with `latency_ms`). `count`, `ms` and `every` limit how many deliveries are hit,
//! for how long, and which; `"store":true` stores the events all the same, so that only the answer is lost.
//!
//! What cannot be done is answered with `{"ok":false,"error":"..."}`, and the connection stays.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::fault::{FAULTS_COUNT_MAX, FaultKind, FaultRequest};
use crate::server::Shared;

/// Longest request.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Connections at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 16;
/// Longest time that a request may ask for.
const DURATION_MAX_MS: u64 = 3_600_000;

#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case")]
enum Request {
    Stats {},
    Fault(FaultRequest),
    Refuse { ms: u64 },
    Clear {},
    Stop {},
}

pub(crate) async fn accept(listener: TcpListener, shared: Rc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn_local(talk(stream, Rc::clone(&shared)));
                }
                Err(reason) => tracing::warn!(%reason, "a control connection was not accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn talk(mut stream: TcpStream, shared: Rc<Shared>) {
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
        let request = serde_json::from_slice(&line).context("this is no request");
        let is_stop = matches!(request, Ok(Request::Stop {}));
        let answer = request.and_then(|request| answer(&request, &shared));
        let answer = answer.unwrap_or_else(|reason| json!({ "ok": false, "error": format!("{reason:#}") }));
        let written = writer.write_all(format!("{answer}\n").as_bytes()).await;
        if is_stop {
            shared.stop.notify_one();
        }
        if written.is_err() {
            return;
        }
    }
}

fn answer(request: &Request, shared: &Shared) -> anyhow::Result<Value> {
    match *request {
        Request::Stats {} => return Ok(json!({ "ok": true, "stats": shared.namespace.borrow().stats() })),
        Request::Fault(fault) => {
            check(fault)?;
            if !shared.namespace.borrow_mut().faults.add(fault, Instant::now()) {
                bail!("{FAULTS_COUNT_MAX} faults are in force already");
            }
        }
        Request::Refuse { ms } => {
            if ms > DURATION_MAX_MS {
                bail!("more than an hour");
            }
            shared.refuse_until.set(Some(Instant::now() + Duration::from_millis(ms)));
        }
        Request::Clear {} => {
            shared.namespace.borrow_mut().faults.clear();
            shared.refuse_until.set(None);
        }
        Request::Stop {} => {}
    }
    Ok(json!({ "ok": true }))
}

fn check(fault: FaultRequest) -> anyhow::Result<()> {
    if fault.ms.is_some_and(|ms| ms > DURATION_MAX_MS) || fault.latency_ms.is_some_and(|ms| ms > DURATION_MAX_MS) {
        bail!("more than an hour");
    }
    if fault.every == Some(0) {
        bail!("every 0th delivery is none");
    }
    if (fault.kind == FaultKind::AckLatency) != fault.latency_ms.is_some() {
        bail!("latency_ms belongs to the kind ack-latency, and that needs it");
    }
    Ok(())
}
