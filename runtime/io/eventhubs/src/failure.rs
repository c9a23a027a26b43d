//! Which failure an error of the SDK is.

use std::error::Error;
use std::io;

use azure_core::error::ErrorKind as CoreErrorKind;
use azure_core::http::StatusCode;
use azure_core_amqp::error::{AmqpErrorCondition, AmqpErrorKind};
use azure_core_amqp::{AmqpError, AmqpSendOutcome};
use azure_messaging_eventhubs::EventHubsError;
use azure_messaging_eventhubs::error::ErrorKind as HubErrorKind;
use egress_batcher::{Failure, Outcome};

/// What a settled transfer means for its batch (AMQP 1.0 §3.4). A rejection without a reason needs a person.
pub(crate) fn outcome_of(outcome: AmqpSendOutcome) -> Outcome {
    match outcome {
        AmqpSendOutcome::Accepted => Outcome::Accepted,
        AmqpSendOutcome::Released => Outcome::Released,
        AmqpSendOutcome::Modified(_) => Outcome::Modified,
        AmqpSendOutcome::Rejected(None) => Outcome::Failed(Failure::Refused),
        AmqpSendOutcome::Rejected(Some(error)) => Outcome::Failed(failure_of_condition(&error.condition)),
    }
}

/// The failure behind an error of the protocol layer.
pub(crate) fn failure_of_amqp(error: &AmqpError) -> Failure {
    match error.kind() {
        AmqpErrorKind::AmqpDescribedError(described) => failure_of_condition(&described.condition),
        AmqpErrorKind::ManagementStatusCode(status, _) => failure_of_status(*status),
        AmqpErrorKind::AzureCore(error) => failure_of_core(error),
        AmqpErrorKind::SendRejected => Failure::Refused,
        AmqpErrorKind::SimpleMessage(_)
        | AmqpErrorKind::LinkClosedByRemote(_)
        | AmqpErrorKind::SessionClosedByRemote(_)
        | AmqpErrorKind::ConnectionClosedByRemote(_)
        | AmqpErrorKind::LinkDetachedByRemote(_)
        | AmqpErrorKind::SessionDetachedByRemote(_)
        | AmqpErrorKind::ConnectionDetachedByRemote(_)
        | AmqpErrorKind::NonTerminalDeliveryState
        | AmqpErrorKind::IllegalDeliveryState
        | AmqpErrorKind::ConnectionDropped(_)
        | AmqpErrorKind::LinkStateError(_)
        | AmqpErrorKind::FramingError(_)
        | AmqpErrorKind::IdleTimeoutElapsed(_)
        | AmqpErrorKind::TransferLimitExceeded(_)
        | AmqpErrorKind::DetachError(_)
        | AmqpErrorKind::TransportImplementationError(_) => failure_of_source(error),
    }
}

/// The failure behind an error of the SDK's client.
#[expect(clippy::wildcard_enum_match_arm, reason = "what says nothing of the hub is a client of no more use")]
pub(crate) fn failure_of_hub(error: &EventHubsError) -> Failure {
    match &error.kind {
        HubErrorKind::AmqpError(error) => failure_of_amqp(error),
        HubErrorKind::AzureCore(error) => failure_of_core(error),
        HubErrorKind::SendRejected(Some(error)) => failure_of_condition(&error.condition),
        _ => Failure::ConnectionLost,
    }
}

/// The failure behind an error of the SDK's core: a token that was refused, or a way that is not there.
pub(crate) fn failure_of_core(error: &azure_core::Error) -> Failure {
    match error.kind() {
        CoreErrorKind::HttpResponse { status, .. } => failure_of_login(*status),
        CoreErrorKind::Credential => {
            let failure = failure_of_source(error);
            // No reason behind it: what was configured cannot give a token.
            let is_ours = failure == Failure::ConnectionLost && !has_transport_source(error);
            if is_ours { Failure::Unauthorized } else { failure }
        }
        CoreErrorKind::Connection | CoreErrorKind::Io | CoreErrorKind::DataConversion | CoreErrorKind::Other => {
            failure_of_source(error)
        }
    }
}

/// The failure that a condition names (AMQP 1.0 §2.8.15 to §2.8.18, and the service's own).
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not known to pass by itself needs a person")]
fn failure_of_condition(condition: &AmqpErrorCondition) -> Failure {
    match condition {
        AmqpErrorCondition::ServerBusyError => Failure::ServerBusy,
        AmqpErrorCondition::InternalError
        | AmqpErrorCondition::TimeoutError
        | AmqpErrorCondition::ResourceLimitExceeded
        | AmqpErrorCondition::ResourceLocked
        | AmqpErrorCondition::OperationCancelled
        | AmqpErrorCondition::EntityUpdated
        | AmqpErrorCondition::LinkDetachForced
        | AmqpErrorCondition::LinkStolen
        | AmqpErrorCondition::TransferLimitExceeded => Failure::Transient,
        AmqpErrorCondition::LinkPayloadSizeExceeded => Failure::SizeExceeded,
        AmqpErrorCondition::NotFound | AmqpErrorCondition::ResourceDeleted => Failure::NotFound,
        AmqpErrorCondition::UnauthorizedAccess => Failure::Unauthorized,
        AmqpErrorCondition::ConnectionForced
        | AmqpErrorCondition::ConnectionFramingError
        | AmqpErrorCondition::SessionWindowViolation
        | AmqpErrorCondition::SessionErrantLink
        | AmqpErrorCondition::SessionHandleInUse
        | AmqpErrorCondition::SessionUnattachedHandle
        | AmqpErrorCondition::IllegalState
        | AmqpErrorCondition::ProtonIo => Failure::ConnectionLost,
        // The service's words for a hub that is not there come without a named condition, too.
        AmqpErrorCondition::UnknownValue(name) if name == "com.microsoft:messaging-entity-not-found" => {
            Failure::NotFound
        }
        _ => Failure::Refused,
    }
}

/// The failure that the hub's management node or its `$cbs` node answered.
fn failure_of_status(status: StatusCode) -> Failure {
    match u16::from(status) {
        401 | 403 => Failure::Unauthorized,
        404 | 410 => Failure::NotFound,
        429 | 503 => Failure::ServerBusy,
        408 | 500 | 502 | 504 => Failure::Transient,
        _ => Failure::Refused,
    }
}

/// The failure that the identity's service answered to the request for a token.
fn failure_of_login(status: StatusCode) -> Failure {
    match u16::from(status) {
        408 | 429 | 500.. => Failure::Transient,
        _ => Failure::Unauthorized,
    }
}

/// Looks for a reason further down the chain of sources. Without one the connection is to blame.
fn failure_of_source(error: &(dyn Error + 'static)) -> Failure {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<AmqpError>() {
            return failure_of_amqp(error);
        }
        if let Some(error) = error.downcast_ref::<EventHubsError>() {
            return failure_of_hub(error);
        }
        if let Some(error) = error.downcast_ref::<azure_core::Error>() {
            return failure_of_core(error);
        }
        source = error.source();
    }
    Failure::ConnectionLost
}

fn has_transport_source(error: &(dyn Error + 'static)) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        let of_core = error.downcast_ref::<azure_core::Error>();
        if error.is::<io::Error>()
            || of_core.is_some_and(|error| matches!(error.kind(), CoreErrorKind::Io | CoreErrorKind::Connection))
        {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use azure_core_amqp::{AmqpDescribedError, AmqpOrderedMap};

    use super::*;

    fn described(condition: &str) -> AmqpDescribedError {
        AmqpDescribedError::new(condition.parse().unwrap(), None, AmqpOrderedMap::new())
    }

    #[test]
    fn every_condition_that_the_service_documents_has_its_failure() {
        for (condition, failure) in [
            ("com.microsoft:server-busy", Failure::ServerBusy),
            ("amqp:internal-error", Failure::Transient),
            ("com.microsoft:timeout", Failure::Transient),
            ("amqp:resource-limit-exceeded", Failure::Transient),
            ("amqp:link:detach-forced", Failure::Transient),
            ("amqp:link:message-size-exceeded", Failure::SizeExceeded),
            ("amqp:not-found", Failure::NotFound),
            ("amqp:unauthorized-access", Failure::Unauthorized),
            ("amqp:connection:forced", Failure::ConnectionLost),
            ("amqp:not-allowed", Failure::Refused),
            ("com.microsoft:entity-disabled", Failure::Refused),
            ("com.microsoft:argument-out-of-range", Failure::Refused),
            ("acme:whatever", Failure::Refused),
        ] {
            let error = AmqpError::from(AmqpErrorKind::AmqpDescribedError(described(condition)));
            assert_eq!(failure_of_amqp(&error), failure, "{condition}");
            let rejected = AmqpSendOutcome::Rejected(Some(described(condition)));
            assert_eq!(outcome_of(rejected), Outcome::Failed(failure), "{condition}");
        }
    }

    // The SDK lets nobody else make a modified outcome; the end-to-end tests meet one.
    #[test]
    fn no_outcome_but_accepted_is_taken_for_success() {
        assert_eq!(outcome_of(AmqpSendOutcome::Accepted), Outcome::Accepted);
        assert_eq!(outcome_of(AmqpSendOutcome::Released), Outcome::Released);
        assert_eq!(outcome_of(AmqpSendOutcome::Rejected(None)), Outcome::Failed(Failure::Refused));
    }

    #[test]
    fn answers_of_the_management_node_are_told_apart() {
        for (status, failure) in [
            (401, Failure::Unauthorized),
            (404, Failure::NotFound),
            (503, Failure::ServerBusy),
            (500, Failure::Transient),
            (400, Failure::Refused),
        ] {
            let error = AmqpError::from(AmqpErrorKind::ManagementStatusCode(StatusCode::from(status), None));
            assert_eq!(failure_of_amqp(&error), failure, "{status}");
        }
    }

    #[test]
    fn a_reason_is_found_through_the_layers_that_wrap_it() {
        let inner = AmqpError::from(AmqpErrorKind::AmqpDescribedError(described("amqp:unauthorized-access")));
        let wrapped = azure_core::Error::with_error(CoreErrorKind::Other, inner, "could not");
        let outer = EventHubsError::from(AmqpError::from(wrapped));
        assert_eq!(failure_of_hub(&outer), Failure::Unauthorized);
    }

    #[test]
    fn a_refused_connection_is_a_lost_one_also_behind_a_credential() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(failure_of_core(&azure_core::Error::from(refused())), Failure::ConnectionLost);
        let login = azure_core::Error::with_error(CoreErrorKind::Credential, refused(), "no token");
        assert_eq!(failure_of_core(&login), Failure::ConnectionLost);
        let wrong = azure_core::Error::with_message(CoreErrorKind::Credential, "no such tenant");
        assert_eq!(failure_of_core(&wrong), Failure::Unauthorized);
    }
}
