//! The SDK's client, for the time of one question.

use azure_messaging_eventhubs::{ProducerClient, RetryOptions};
use egress_batcher::Failure;
use tokio::time::timeout;

use crate::config::{Access, RouteConfig};
use crate::failure::failure_of_hub;

/// Asks the hub how many partitions it has: connects, reads, closes.
///
/// # Errors
/// Why there is no answer; [`Failure::Refused`] for a hub whose partitions are not numbered from 0 without gaps.
pub(crate) async fn hub_partitions_count(config: &RouteConfig) -> Result<u16, Failure> {
    let failed = |error| {
        let failure = failure_of_hub(&error);
        tracing::info!(hub = config.hub, %failure, %error, "the hub's partitions could not be read");
        failure
    };
    let client = timeout(config.timeouts.open, open(config)).await.map_err(|_| Failure::TimedOut)?.map_err(failed)?;
    let properties = timeout(config.timeouts.properties, client.get_eventhub_properties()).await;
    // What is not closed in time is dropped; the connection ends with it.
    let _closed = timeout(config.timeouts.close, client.close()).await;
    let properties = properties.map_err(|_| Failure::TimedOut)?.map_err(failed)?;
    count(&properties.partition_ids).ok_or_else(|| {
        tracing::warn!(hub = config.hub, ids = ?properties.partition_ids, "the hub's partitions are not numbered from 0");
        Failure::Refused
    })
}

async fn open(config: &RouteConfig) -> azure_messaging_eventhubs::Result<ProducerClient> {
    // The batcher decides when to try again, and knows why it had to.
    let never = RetryOptions { max_retries: 0, ..RetryOptions::default() };
    let mut builder = ProducerClient::builder().with_application_id("millicore".to_owned()).with_retry_options(never);
    if let Some(endpoint) = &config.custom_endpoint {
        builder = builder.with_custom_endpoint(endpoint.to_string());
    }
    match &config.access {
        Access::ConnectionString(secret) => {
            builder.open_with_connection_string(secret.secret(), Some(&config.hub)).await
        }
        Access::Entra { namespace, credential } => builder.open(namespace, &config.hub, credential.clone()).await,
    }
}

/// The number of partitions, where their ids are the numbers below it.
fn count(ids: &[String]) -> Option<u16> {
    let mut numbers: Vec<u16> = ids.iter().map(|id| id.parse().ok()).collect::<Option<_>>()?;
    numbers.sort_unstable();
    let is_gapless = numbers.iter().enumerate().all(|(place, number)| place == usize::from(*number));
    u16::try_from(numbers.len()).ok().filter(|count| *count > 0 && is_gapless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_counted_where_they_are_numbered_from_zero() {
        let ids = |ids: &[&str]| count(&ids.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(ids(&["0"]), Some(1));
        assert_eq!(ids(&["2", "0", "1"]), Some(3));
        assert_eq!(ids(&[]), None);
        assert_eq!(ids(&["1", "2"]), None);
        assert_eq!(ids(&["0", "0"]), None);
        assert_eq!(ids(&["a"]), None);
    }
}
