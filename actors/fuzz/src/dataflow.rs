//! A flow that is compiled from any texts takes what any of its Topic Filters matches, with the key that was chosen.
//!
//! The input holds the choice of the key, its text, and Topic Filters, then properties, and at last the Topic Name.

use bytes::Bytes;
use contract::{
    Actor, Credit, Effects, Epoch, FlowIndex, Instant, MESSAGE_EXPIRY_NEVER, Offset, PartitionIndex, Publication,
    PublicationArena, PublicationDraft, QoS, Record, UtcTime,
};
use dataflow::{Config, Dataflow, Effect, KeyChoice, Limits, Message, Program};

use crate::choices::Choices;
use crate::topic_filter::{is_filter, is_match, is_name};

const PARTITION: PartitionIndex = PartitionIndex(0);
const EPOCH: Epoch = Epoch(1);

/// Compiles a flow and gives it one record.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let key_kind = choices.below(4);
    let key_text = text(choices.counted());
    let key = match key_kind {
        0 => KeyChoice::TopicName,
        1 => KeyChoice::UserProperty(key_text.clone()),
        2 => KeyChoice::Constant(key_text.clone()),
        _ => KeyChoice::None,
    };
    let sources: Vec<String> = (0..choices.below(5)).map(|_| text(choices.counted())).collect();
    let properties = choices.counted();
    let topic_name = text(choices.rest());
    let config = Config { flow: FlowIndex(0), sources: sources.clone(), key: key.clone() };
    let are_filters = sources.iter().all(|source| is_filter(source) && !source.starts_with("$share/"));
    let is_key_empty = matches!(key_kind, 1 | 2) && key_text.is_empty();
    let compiled = Program::compile(&config);
    assert_eq!(compiled.is_ok(), !sources.is_empty() && are_filters && !is_key_empty, "{config:?}");
    let Ok(program) = compiled else { return };
    assert!(program.topic_filters().eq(&sources));
    if is_name(&topic_name) {
        let is_taken = sources.iter().any(|source| is_match(source, &topic_name));
        give(program, &publication(&topic_name, properties), is_taken, &key);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn publication(topic_name: &str, properties: &[u8]) -> Publication {
    let draft = PublicationDraft {
        topic_name,
        properties,
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: MESSAGE_EXPIRY_NEVER,
        received_at: Instant::ZERO,
        received_utc: UtcTime::default(),
    };
    let mut arena = PublicationArena::new(1_024);
    let mut builder = arena.begin(&draft);
    builder.put(b"21.5");
    builder.finish(1)
}

/// The record becomes one event, or is filtered; then nothing is under way.
fn give(program: Program, publication: &Publication, is_taken: bool, key: &KeyChoice) {
    let bytes = publication.size_bytes() as u64;
    let under_way = Credit { count: 4, bytes: 1 << 20 };
    let mut flow = Dataflow::new(program, Limits { under_way, partitions_count: 1 });
    let mut effects = Effects::new(Dataflow::EFFECTS_COUNT_MAX);
    flow.handle(Message::Reset { partition: PARTITION }, Instant::ZERO, &mut effects);
    let records = vec![Record { offset: Offset(7), publication: publication.clone() }];
    flow.handle(Message::Records { partition: PARTITION, epoch: EPOCH, records }, Instant::ZERO, &mut effects);
    let mut was_taken = false;
    while let Some(effect) = effects.pop() {
        if let Effect::Events(events) = &effect {
            was_taken = true;
            assert_eq!(events.len(), 1);
            assert_eq!(events[0].publication, *publication);
            check_key(&events[0].key, publication, key);
        }
        assert!(!is_taken || !matches!(effect, Effect::Filtered(_)), "what matches is not filtered");
    }
    assert_eq!(was_taken, is_taken, "for `{}`", publication.topic_name_str());
    assert_eq!(flow.under_way_count(), u64::from(is_taken));
    if is_taken {
        let (offsets, released) = (vec![Offset(7)..Offset(8)], Credit { count: 1, bytes });
        let settled = Message::Settled { partition: PARTITION, epoch: EPOCH, offsets, released };
        flow.handle(settled, Instant::ZERO, &mut effects);
        while effects.pop().is_some() {}
    }
    flow.handle(Message::Stop, Instant::ZERO, &mut effects);
    assert_eq!(effects.pop(), Some(Effect::Stopped), "nothing is under way");
    assert!(flow.ledger().balances(0));
}

fn check_key(found: &Bytes, publication: &Publication, key: &KeyChoice) {
    match key {
        KeyChoice::TopicName => assert_eq!(found, publication.topic_name()),
        KeyChoice::Constant(text) => assert_eq!(found, text.as_bytes()),
        KeyChoice::None => assert!(found.is_empty()),
        KeyChoice::UserProperty(_) => {
            let is_name = found == publication.topic_name();
            let properties = publication.properties();
            let is_value = found.is_empty() || properties.windows(found.len()).any(|part| part == found);
            assert!(is_name || is_value, "a key comes from the publication");
        }
    }
}
