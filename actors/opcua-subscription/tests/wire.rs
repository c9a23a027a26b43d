//! Bytes of the wire that nobody meant: no panic, and whole JSON.

use contract::UtcTime;
use opcua_subscription::model_server::encode::{ModelValue, notification_message, publish_response};
use opcua_subscription::{StatusCode, fuzzing};
use proptest::prelude::*;

/// A Variant of any type: what it holds is mostly well formed.
fn variant() -> impl Strategy<Value = Vec<u8>> {
    let sized = |type_number: u8, bytes: usize| {
        proptest::collection::vec(any::<u8>(), bytes).prop_map(move |value| [vec![type_number], value].concat())
    };
    let text = proptest::collection::vec(any::<u8>(), 0..40).prop_map(|text| {
        let length = i32::try_from(text.len()).expect("short").to_le_bytes();
        [&[12][..], &length, &text].concat()
    });
    let array = (0_u8..32, 0_i32..6, proptest::collection::vec(0_u8..8, 0..60))
        .prop_map(|(kind, length, tail)| [&[0x80 | kind][..], &length.to_le_bytes(), &tail].concat());
    prop_oneof![
        sized(1, 1),
        sized(3, 1),
        sized(4, 2),
        sized(7, 4),
        sized(9, 8),
        sized(10, 4),
        sized(11, 8),
        sized(13, 8),
        sized(14, 16),
        sized(19, 4),
        text,
        array,
        proptest::collection::vec(any::<u8>(), 0..60),
    ]
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(text).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(fuzzing::read_notifications(&bytes).iter().all(|text| is_json(text)));
        fuzzing::read_session_state(&bytes);
    }

    #[test]
    fn any_values_become_json_and_any_damage_is_survived(
        variants in proptest::collection::vec(variant(), 1..8),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let at = UtcTime::from_ticks(17_954_352_000_000_000);
        let values: Vec<(u32, ModelValue)> = (0..).zip(variants.into_iter().map(|v| ModelValue::good(v, at))).collect();
        let message = notification_message(7, at, &values);
        let mut body = publish_response(1, &[7], false, &message, &[StatusCode::GOOD]).to_vec();
        for (index, byte) in flips {
            let at = index.index(body.len());
            body[at] ^= byte;
        }
        let texts = fuzzing::read_notifications(&body);
        prop_assert!(texts.iter().all(|text| is_json(text)), "{:?}", texts);
    }

    #[test]
    fn well_formed_values_are_all_read(numbers in proptest::collection::vec(any::<f64>(), 1..100)) {
        let at = UtcTime::from_ticks(0);
        let value = |number: &f64| ModelValue::double(*number, at);
        let values: Vec<(u32, ModelValue)> = (0..).zip(numbers.iter().map(value)).collect();
        let body = publish_response(1, &[], false, &notification_message(1, at, &values), &[]);
        let texts = fuzzing::read_notifications(&body);
        prop_assert_eq!(texts.len(), numbers.len());
        for (text, number) in texts.iter().zip(&numbers) {
            if number.is_finite() {
                let text = std::str::from_utf8(text).expect("JSON is UTF-8");
                prop_assert_eq!(text.parse::<f64>().expect("a number").to_bits(), number.to_bits());
            }
        }
    }
}
