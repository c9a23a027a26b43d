//! An OPC UA StatusCode: severity, sub-code and info bits in 32 bits (Part 4 §7.39).

use std::fmt;

use crate::status_code_table::SYMBOLS;

/// A StatusCode as it stands on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(pub u32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        impl StatusCode {
            $($(#[$doc])* pub const $name: Self = Self($value);)*
        }
    };
}

codes! {
    /// Good.
    GOOD = 0;
    /// `Bad_UnexpectedError`.
    BAD_UNEXPECTED_ERROR = 0x8001_0000;
    /// `Bad_OutOfMemory`.
    BAD_OUT_OF_MEMORY = 0x8003_0000;
    /// `Bad_ResourceUnavailable`.
    BAD_RESOURCE_UNAVAILABLE = 0x8004_0000;
    /// `Bad_CommunicationError`.
    BAD_COMMUNICATION_ERROR = 0x8005_0000;
    /// `Bad_EncodingError`.
    BAD_ENCODING_ERROR = 0x8006_0000;
    /// `Bad_DecodingError`.
    BAD_DECODING_ERROR = 0x8007_0000;
    /// `Bad_EncodingLimitsExceeded`.
    BAD_ENCODING_LIMITS_EXCEEDED = 0x8008_0000;
    /// `Bad_Timeout`.
    BAD_TIMEOUT = 0x800A_0000;
    /// `Bad_ServiceUnsupported`.
    BAD_SERVICE_UNSUPPORTED = 0x800B_0000;
    /// `Bad_Shutdown`.
    BAD_SHUTDOWN = 0x800C_0000;
    /// `Bad_ServerNotConnected`.
    BAD_SERVER_NOT_CONNECTED = 0x800D_0000;
    /// `Bad_ServerHalted`.
    BAD_SERVER_HALTED = 0x800E_0000;
    /// `Bad_NothingToDo`.
    BAD_NOTHING_TO_DO = 0x800F_0000;
    /// `Bad_TooManyOperations`.
    BAD_TOO_MANY_OPERATIONS = 0x8010_0000;
    /// `Bad_TooManyMonitoredItems`.
    BAD_TOO_MANY_MONITORED_ITEMS = 0x80DB_0000;
    /// `Bad_SecurityChecksFailed`.
    BAD_SECURITY_CHECKS_FAILED = 0x8013_0000;
    /// `Bad_UserAccessDenied`.
    BAD_USER_ACCESS_DENIED = 0x801F_0000;
    /// `Bad_IdentityTokenInvalid`.
    BAD_IDENTITY_TOKEN_INVALID = 0x8020_0000;
    /// `Bad_IdentityTokenRejected`.
    BAD_IDENTITY_TOKEN_REJECTED = 0x8021_0000;
    /// `Bad_SecureChannelIdInvalid`.
    BAD_SECURE_CHANNEL_ID_INVALID = 0x8022_0000;
    /// `Bad_SessionIdInvalid`.
    BAD_SESSION_ID_INVALID = 0x8025_0000;
    /// `Bad_SessionClosed`.
    BAD_SESSION_CLOSED = 0x8026_0000;
    /// `Bad_SessionNotActivated`.
    BAD_SESSION_NOT_ACTIVATED = 0x8027_0000;
    /// `Bad_SubscriptionIdInvalid`.
    BAD_SUBSCRIPTION_ID_INVALID = 0x8028_0000;
    /// `Bad_NodeIdInvalid`.
    BAD_NODE_ID_INVALID = 0x8033_0000;
    /// `Bad_NodeIdUnknown`.
    BAD_NODE_ID_UNKNOWN = 0x8034_0000;
    /// `Bad_MonitoredItemFilterUnsupported`.
    BAD_MONITORED_ITEM_FILTER_UNSUPPORTED = 0x8044_0000;
    /// `Bad_TooManySessions`.
    BAD_TOO_MANY_SESSIONS = 0x8056_0000;
    /// `Bad_ApplicationSignatureInvalid`.
    BAD_APPLICATION_SIGNATURE_INVALID = 0x8058_0000;
    /// `Bad_NoSubscription`.
    BAD_NO_SUBSCRIPTION = 0x8079_0000;
    /// `Bad_SequenceNumberUnknown`.
    BAD_SEQUENCE_NUMBER_UNKNOWN = 0x807A_0000;
    /// `Bad_MessageNotAvailable`.
    BAD_MESSAGE_NOT_AVAILABLE = 0x807B_0000;
    /// `Bad_TooManySubscriptions`.
    BAD_TOO_MANY_SUBSCRIPTIONS = 0x8077_0000;
    /// `Bad_TooManyPublishRequests`.
    BAD_TOO_MANY_PUBLISH_REQUESTS = 0x8078_0000;
    /// `Bad_TcpMessageTooLarge`.
    BAD_TCP_MESSAGE_TOO_LARGE = 0x8080_0000;
    /// `Bad_SecureChannelClosed`.
    BAD_SECURE_CHANNEL_CLOSED = 0x8086_0000;
    /// `Bad_NotConnected`.
    BAD_NOT_CONNECTED = 0x808A_0000;
    /// `Bad_ConnectionClosed`.
    BAD_CONNECTION_CLOSED = 0x80AE_0000;
    /// `Bad_RequestTooLarge`.
    BAD_REQUEST_TOO_LARGE = 0x80B8_0000;
    /// `Bad_ResponseTooLarge`.
    BAD_RESPONSE_TOO_LARGE = 0x80B9_0000;
    /// `Good_SubscriptionTransferred`.
    GOOD_SUBSCRIPTION_TRANSFERRED = 0x002D_0000;
}

impl StatusCode {
    /// The info type is that of a `DataValue`, with the Overflow bit (Part 4 §7.39.1): values before this one were lost in the server's queue.
    const OVERFLOW_BITS: u32 = 0x0480;
    const INFO_TYPE_MASK: u32 = 0x0C00;
    const CODE_MASK: u32 = 0xFFFF_0000;

    /// Whether the severity is Good; info bits may be set all the same.
    pub const fn is_good(self) -> bool {
        self.0 >> 30 == 0
    }

    /// Whether the severity is Bad; the reserved severity counts as Bad.
    pub const fn is_bad(self) -> bool {
        self.0 >> 31 == 1
    }

    /// Whether values before this one were discarded by the MonitoredItem's queue (Part 4 §5.12.1.5).
    pub const fn has_overflow(self) -> bool {
        self.0 & Self::INFO_TYPE_MASK == 0x0400 && self.0 & Self::OVERFLOW_BITS == Self::OVERFLOW_BITS
    }

    /// Severity and sub-code, without the info bits.
    #[must_use]
    pub const fn without_info_bits(self) -> Self {
        Self(self.0 & Self::CODE_MASK)
    }

    /// The standard's name for it, without underscores as in `BadNodeIdUnknown`; `None` for a code of nobody's.
    /// Info bits do not matter. A binary search over 262 names.
    pub fn symbol(self) -> Option<&'static str> {
        let code = self.0 & Self::CODE_MASK;
        SYMBOLS.binary_search_by_key(&code, |(known, _)| *known).ok().map(|place| SYMBOLS[place].1)
    }
}

impl fmt::Display for StatusCode {
    /// Writes `BadNodeIdUnknown (0x80340000)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) => write!(formatter, "{symbol} (0x{:08X})", self.0),
            None => write!(formatter, "0x{:08X}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(SYMBOLS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn our_constants_have_the_standards_names() {
        for (code, symbol) in [
            (StatusCode::GOOD, "Good"),
            (StatusCode::BAD_NODE_ID_UNKNOWN, "BadNodeIdUnknown"),
            (StatusCode::BAD_TOO_MANY_MONITORED_ITEMS, "BadTooManyMonitoredItems"),
            (StatusCode::BAD_TOO_MANY_PUBLISH_REQUESTS, "BadTooManyPublishRequests"),
            (StatusCode::BAD_MESSAGE_NOT_AVAILABLE, "BadMessageNotAvailable"),
            (StatusCode::BAD_SUBSCRIPTION_ID_INVALID, "BadSubscriptionIdInvalid"),
            (StatusCode::BAD_SESSION_NOT_ACTIVATED, "BadSessionNotActivated"),
            (StatusCode::BAD_RESPONSE_TOO_LARGE, "BadResponseTooLarge"),
            (StatusCode::BAD_CONNECTION_CLOSED, "BadConnectionClosed"),
            (StatusCode::BAD_TCP_MESSAGE_TOO_LARGE, "BadTcpMessageTooLarge"),
            (StatusCode::BAD_NO_SUBSCRIPTION, "BadNoSubscription"),
            (StatusCode::GOOD_SUBSCRIPTION_TRANSFERRED, "GoodSubscriptionTransferred"),
            (StatusCode::BAD_IDENTITY_TOKEN_REJECTED, "BadIdentityTokenRejected"),
            (StatusCode::BAD_APPLICATION_SIGNATURE_INVALID, "BadApplicationSignatureInvalid"),
        ] {
            assert_eq!(code.symbol(), Some(symbol));
        }
    }

    #[test]
    fn overflow_is_an_info_bit_of_a_data_value() {
        assert!(StatusCode(0x0000_0480).has_overflow());
        assert!(StatusCode(0x8000_0480).has_overflow());
        assert!(!StatusCode(0x0000_0080).has_overflow());
        assert!(!StatusCode(0x0000_0400).has_overflow());
        assert_eq!(StatusCode(0x0000_0480).symbol(), Some("Good"));
    }
}
