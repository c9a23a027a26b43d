//! The command line of the endpoint.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bench_eventhubs::options::{
    Certificate, HubOptions, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX_BASIC, Options, PARTITIONS_COUNT_MAX, TlsOptions,
};
use bench_eventhubs::token::AccessKey;
use clap::Parser;

/// Runs a local Event Hubs namespace: an AMQP 1.0 server for the official SDKs.
///
/// Prints one line of JSON when clients can connect (addresses, hubs), and one with the totals when it ends, on
/// SIGTERM, SIGINT or {"cmd":"stop"} at the control port. Logs go to standard error; `RUST_LOG` sets their level.
#[derive(Debug, Parser)]
#[command(name = "bench-eventhubs", version)]
pub(crate) struct Cli {
    /// Where AMQP is spoken; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:5672", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// A hub and how many partitions it has; may be given several times.
    #[arg(long = "hub", required = true, value_name = "NAME:PARTITIONS", value_parser = parse_hub)]
    hubs: Vec<HubOptions>,
    /// The key of the namespace, as connection strings carry it.
    #[arg(long, value_name = "BASE64")]
    key: String,
    /// What the key is called.
    #[arg(long, default_value = "RootManageSharedAccessKey", value_name = "NAME")]
    key_name: String,
    /// Let in any token and password; they are counted.
    #[arg(long)]
    no_auth_check: bool,

    /// Where AMQP is spoken over TLS.
    #[arg(long, value_name = "ADDRESS:PORT")]
    tls_listen: Option<SocketAddr>,
    /// PEM file of the certificate chain.
    #[arg(long, requires_all = ["tls_key", "tls_listen"], value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's key.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Make an authority (ca.pem) and a certificate in this directory.
    #[arg(long, conflicts_with = "tls_cert", requires = "tls_listen", value_name = "DIRECTORY")]
    tls_self_signed: Option<PathBuf>,

    /// Where the control port listens; whoever reaches it rules the endpoint.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    control: SocketAddr,
    /// Memory that all events may take, in bytes; the oldest are forgotten beyond it, and counted.
    #[arg(long, default_value_t = 256 << 20, value_name = "BYTES")]
    store_bytes_max: usize,
    /// Append every accepted event to this file as well: JSON lines, the message in base64.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print every accepted event: a line of JSON with hub, partition, partition key and body.
    #[arg(long)]
    print: bool,
    /// Connections at a time; further ones are closed.
    #[arg(long, default_value_t = 1_024, value_name = "COUNT")]
    connections_count_max: usize,
    /// Silence that clients may keep, in milliseconds; twice that ends a connection.
    #[arg(long, default_value_t = 240_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    idle_timeout_ms: u64,

    /// Say every outcome this much later, in milliseconds; events count as accepted when they came.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    ack_latency_ms: u64,
    /// Answer server-busy beyond 1 MB/s or 1,000 events/s for each unit.
    #[arg(long, value_name = "UNITS", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    throughput_units: Option<u32>,
    /// The Basic tier: messages of at most 256 KB.
    #[arg(long)]
    basic: bool,
}

impl Cli {
    /// The options of the endpoint.
    ///
    /// # Errors
    /// Options contradict each other.
    pub(crate) fn into_options(self) -> anyhow::Result<Options> {
        let certificate = match (self.tls_cert, self.tls_key, self.tls_self_signed) {
            (Some(certificate), Some(key), None) => Some(Certificate::Files { certificate, key }),
            (None, None, Some(directory)) => Some(Certificate::SelfSigned(directory)),
            _ => None,
        };
        let tls = match self.tls_listen {
            Some(listen) => {
                let certificate = certificate.context("--tls-listen needs --tls-cert or --tls-self-signed")?;
                Some(TlsOptions { listen, certificate })
            }
            None => None,
        };
        for (index, hub) in self.hubs.iter().enumerate() {
            if self.hubs[..index].iter().any(|other| other.name.eq_ignore_ascii_case(&hub.name)) {
                bail!("the hub {} is given twice", hub.name);
            }
        }
        Ok(Options {
            listen: self.listen,
            tls,
            control: self.control,
            hubs: self.hubs,
            access_key: AccessKey { name: self.key_name, key: self.key },
            check_tokens: !self.no_auth_check,
            store_bytes_max: self.store_bytes_max,
            file: self.file,
            print: self.print,
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            ack_latency: Duration::from_millis(self.ack_latency_ms),
            throughput_units: self.throughput_units,
            message_bytes_max: if self.basic { MESSAGE_BYTES_MAX_BASIC } else { MESSAGE_BYTES_MAX },
            connections_count_max: self.connections_count_max,
        })
    }
}

fn parse_hub(text: &str) -> Result<HubOptions, String> {
    let (name, count) = text.rsplit_once(':').ok_or("a hub is given as NAME:PARTITIONS")?;
    let partitions_count: u16 = count.parse().map_err(|_| format!("'{count}' is no count of partitions"))?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(format!("'{name}' is no name of a hub: letters, digits, '-', '_' and '.' are"));
    }
    if !(1..=PARTITIONS_COUNT_MAX).contains(&partitions_count) {
        return Err(format!("a hub has 1 to {PARTITIONS_COUNT_MAX} partitions"));
    }
    Ok(HubOptions { name: name.to_owned(), partitions_count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubs_are_named_with_their_partitions() {
        assert_eq!(parse_hub("plant:4"), Ok(HubOptions { name: "plant".into(), partitions_count: 4 }));
        for text in ["plant", ":4", "plant:0", "plant:1025", "a/b:1", "plant:x"] {
            assert!(parse_hub(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_demo_says_is_understood() {
        let line = ["bench-eventhubs", "--listen", "127.0.0.1:0", "--hub", "millicore:4", "--key", "a2V5"];
        let options = Cli::try_parse_from(line).unwrap().into_options().unwrap();
        assert_eq!((options.hubs.len(), options.message_bytes_max), (1, MESSAGE_BYTES_MAX));
    }

    #[test]
    fn tls_needs_a_certificate_and_hubs_differ() {
        let base = ["bench-eventhubs", "--hub", "a:1", "--key", "a2V5"];
        let with = |more: &[&str]| Cli::try_parse_from(base.iter().chain(more)).map(Cli::into_options);
        assert!(with(&["--tls-listen", "127.0.0.1:0"]).unwrap().is_err());
        assert!(with(&["--tls-listen", "127.0.0.1:0", "--tls-self-signed", "x"]).unwrap().is_ok());
        assert!(with(&["--hub", "A:2"]).unwrap().is_err());
    }
}
