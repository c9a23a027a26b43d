//! Topic Names and Topic Filters (MQTT 5.0 §4.7; MQTT 3.1.1 §4.7).

use crate::harness::{Packet, V5, on_each_shape_and_version, packet, publish, subscribe};

// proves 5.0: MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-1, MQTT-4.8.2-1, MQTT-4.8.2-2
// proves 3.1.1: MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.3-1
#[test]
fn filters_that_are_none_are_refused_and_the_others_are_not() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        let wrong = [
            "",
            "a#",
            "a/#/b",
            "#/a",
            "a+",
            "+a/b",
            "a/b+/c",
            "##",
            "$share/",
            "$share//a",
            "$share/g",
            "$share/+/a",
            "$share/g#/a",
        ];
        let right = [
            "#",
            "a/#",
            "/#",
            "+",
            "+/a",
            "a/+",
            "a/+/b",
            "+/+/#",
            "/",
            "//",
            "a b",
            "$SYS/#",
            "$share/g/a",
            "$share/g/#",
        ];
        for (filters, is_right) in [(&wrong[..], false), (&right[..], true)] {
            for filter in filters {
                broker.send(client, &subscribe(version, 1, &[(filter, 0)], &[]));
                let packets = broker.take(client);
                let Some(Packet::Suback { codes, .. }) = packets.first() else { panic!("{filter:?}: {packets:?}") };
                let refused = if version == V5 { 0x8f } else { 0x80 };
                assert_eq!(codes[0], if is_right { 0 } else { refused }, "{filter:?}");
            }
        }
    });
}

// proves 5.0: MQTT-4.7.2-1
// proves 3.1.1: MQTT-4.7.2-1
#[test]
fn a_leading_wildcard_passes_by_names_that_begin_with_a_dollar() {
    on_each_shape_and_version(|broker, version| {
        let wild = broker.connect(version, "wild");
        for filter in ["#", "+/x", "+/+"] {
            broker.subscribe(wild, filter, 0);
        }
        let named = broker.connect(version, "named");
        broker.subscribe(named, "$own/#", 0);
        let publisher = broker.connect(version, "publisher");
        broker.publish(publisher, &publish("$own/x", "hidden").retain());
        assert_eq!(broker.payloads(wild), [""; 0]);
        assert_eq!(broker.payloads(named), ["hidden"]);
        let late = broker.connect(version, "late");
        broker.subscribe(late, "+/x", 0);
        assert_eq!(broker.payloads(late), [""; 0], "nor what is retained");
        broker.subscribe(late, "$own/+", 0);
        assert_eq!(broker.payloads(late), ["hidden"]);
    });
}

// proves 5.0: MQTT-4.7.3-3
// proves 3.1.1: MQTT-4.7.3-3
#[test]
fn a_name_may_have_65_535_bytes() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        let longest = "a".repeat(65_535);
        broker.subscribe(client, &longest, 0);
        broker.publish(client, &publish(&longest, "x"));
        assert_eq!(broker.payloads(client), ["x"]);
        // The two bytes of its length can say no more; a packet that ends within its name is malformed.
        broker.send(client, &packet(0x30, &[0xff, 0xff, b'a']));
        broker.assert_closed(client, 0x81);
    });
}

// proves 5.0: MQTT-4.7.3-4
// proves 3.1.1: MQTT-4.7.3-4
#[test]
fn matching_changes_no_character() {
    on_each_shape_and_version(|broker, version| {
        let client = broker.connect(version, "c");
        // The same letter composed and decomposed, other letters of another case, empty levels, blanks, unassigned characters.
        let names =
            ["caf\u{e9}", "cafe\u{301}", "CAF\u{c9}", "a/b", "a//b", "/a/b", "a/b/", "a / b", "\u{e0080}", "%61/b"];
        for name in names {
            broker.subscribe(client, name, 0);
            broker.publish(client, &publish(name, name));
            assert_eq!(broker.payloads(client), [name]);
            for other in names.iter().filter(|other| **other != name) {
                broker.publish(client, &publish(other, "no"));
            }
            assert_eq!(broker.payloads(client), [""; 0], "{name:?}");
            broker.unsubscribe(client, name);
        }
    });
}
