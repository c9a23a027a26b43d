//! The log: fields to standard error, with a level that operators change while it runs.

use std::sync::Arc;

use anyhow::Context;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, reload};

use super::control::LogFilter;

/// Starts logging with `filter`, in the syntax of `RUST_LOG`; the answer changes the filter.
///
/// # Errors
/// `filter` cannot be read, or there is a log already.
pub(super) fn start(filter: &str) -> anyhow::Result<LogFilter> {
    let parsed = parse(filter).map_err(anyhow::Error::msg).context("--log")?;
    let (layer, handle) = reload::Layer::new(parsed);
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(ansi).with_target(false);
    tracing_subscriber::registry().with(layer).with(lines).try_init().context("the log was started before")?;
    Ok(Arc::new(move |filter: &str| {
        let parsed = parse(filter)?;
        handle.reload(parsed).map_err(|error| error.to_string())
    }))
}

/// Libraries that speak for themselves where an actor says it better, and what they may say unless they are asked for: glommio
/// at ERROR about IOPOLL, the SDK about each step of a connection that the batcher retries and reports.
const QUIET: [(&str, &str); 4] =
    [("glommio", "off"), ("azure_core_amqp", "off"), ("azure_messaging_eventhubs", "off"), ("fe2o3_amqp", "off")];

fn parse(filter: &str) -> Result<EnvFilter, String> {
    let mut whole = filter.to_owned();
    for (library, level) in QUIET.into_iter().filter(|(library, _)| !filter.contains(library)) {
        whole.extend([",", library, "=", level]);
    }
    EnvFilter::try_new(whole)
        .map_err(|error| format!("`{filter}` is no filter ({error}); for example info,opcua_subscription=debug"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_says_what_one_looks_like() {
        assert!(parse("info,edge=debug").is_ok());
        assert!(parse("info,=!").unwrap_err().contains("for example"));
    }
}
