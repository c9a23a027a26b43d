//! The right to send: a token put to the hub's `$cbs` node for each path, and renewed before it ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use azure_core::time::OffsetDateTime;
use azure_core_amqp::{
    AmqpClaimsBasedSecurity, AmqpClaimsBasedSecurityApis as _, AmqpConnection, AmqpError, AmqpSession,
    AmqpSessionApis as _,
};
use tokio::sync::Mutex;

use crate::token::TokenSource;

/// How long before its end a token is renewed.
const RENEWED_BEFORE: Duration = Duration::from_mins(6);

/// The shortest wait between renewals, whatever the tokens say.
const RENEWAL_DELAY_MIN: Duration = Duration::from_secs(30);

/// What a connection is allowed to do, path by path.
pub(crate) struct Authorization {
    tokens: TokenSource,
    /// The hub takes one link to `$cbs` from a connection, so it is lent to one path after the other. It is kept: a
    /// link of its own for each path costs six round trips.
    node: Mutex<Option<AmqpClaimsBasedSecurity>>,
    /// When the right to each path ends. One for each hub partition.
    ends: RefCell<BTreeMap<String, OffsetDateTime>>,
}

impl Authorization {
    pub(crate) fn new(tokens: TokenSource) -> Self {
        Self { tokens, node: Mutex::new(None), ends: RefCell::new(BTreeMap::new()) }
    }

    /// Asks for the right to `path`.
    ///
    /// # Errors
    /// Those of the credential and of the hub. Dropping the future loses the link to `$cbs`, which is made again.
    pub(crate) async fn authorize(&self, connection: &AmqpConnection, path: &str) -> Result<(), AmqpError> {
        let token = self.tokens.token().await.map_err(AmqpError::from)?;
        let mut node = self.node.lock().await;
        // Out of its place while it is used: one that failed, or whose use was cut off, is not used again.
        let kept = node.take();
        let was_kept = kept.is_some();
        let mut used = match kept {
            Some(kept) => kept,
            None => attach(connection).await?,
        };
        let put = |node: AmqpClaimsBasedSecurity| async {
            let token_type = self.tokens.token_type();
            let answer = node.authorize_path(path.to_owned(), token_type, &token.secret, token.expires_on).await;
            (node, answer)
        };
        let (put_to, mut answer) = put(used).await;
        used = put_to;
        if answer.is_err() && was_kept {
            // The service detaches a link that idled for half an hour.
            (used, answer) = put(attach(connection).await?).await;
        }
        answer?;
        *node = Some(used);
        self.ends.borrow_mut().insert(path.to_owned(), token.expires_on);
        Ok(())
    }

    /// Renews every right before it ends; returns where tokens cannot be renewed. A renewal that fails is tried again
    /// until the hub takes the right away, which the next batch then tells.
    pub(crate) async fn keep(&self, connection: &AmqpConnection, answer_within: Duration) {
        while self.tokens.is_renewable() {
            let earliest = self.ends.borrow().values().min().copied();
            let Some(earliest) = earliest else { return };
            tokio::time::sleep(renewal_delay(earliest, OffsetDateTime::now_utc())).await;
            let due: Vec<String> = self.ends.borrow().keys().cloned().collect();
            for path in due {
                match tokio::time::timeout(answer_within, self.authorize(connection, &path)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(path, %error, "the right to send was not renewed"),
                    Err(_) => tracing::warn!(path, "the right to send was not renewed in time"),
                }
            }
        }
    }
}

async fn attach(connection: &AmqpConnection) -> Result<AmqpClaimsBasedSecurity, AmqpError> {
    let session = AmqpSession::new();
    session.begin(connection, None).await?;
    let node = AmqpClaimsBasedSecurity::new(session)?;
    node.attach().await?;
    Ok(node)
}

fn renewal_delay(earliest: OffsetDateTime, now: OffsetDateTime) -> Duration {
    let left = Duration::try_from(earliest - now).unwrap_or_default();
    left.saturating_sub(RENEWED_BEFORE).max(RENEWAL_DELAY_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_six_minutes_before_its_end_and_never_twice_in_half_a_minute() {
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let delay_s = |left_s: i64| {
            let ends = OffsetDateTime::from_unix_timestamp(1_700_000_000 + left_s).unwrap();
            renewal_delay(ends, now).as_secs()
        };
        assert_eq!(delay_s(3_600), 3_240);
        assert_eq!(delay_s(300), 30);
        assert_eq!(delay_s(-5), 30);
    }
}
