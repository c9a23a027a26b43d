//! From the plant to the hub: every value, once, in order; over an orderly stop and a restart, and over a kill.

use serde_json::Value;

use crate::plant::{Folder, Hub, Plant, SiteText, assert_complete, each_has, millicore, read_events};

const ASSETS: u32 = 5;
const TAGS: u32 = 10;
const TAGS_COUNT: usize = (ASSETS * TAGS) as usize;

fn site<'a>(folder: &'a Folder, plant: &'a Plant, hub: &'a Hub) -> SiteText<'a> {
    SiteText {
        folder,
        opcua: Some(&plant.endpoint),
        opcua_lines: "",
        assets: ASSETS,
        tags: TAGS,
        mqtt_port: None,
        amqp: &hub.amqp,
        sources: "plant/data/#",
    }
}

#[test]
fn every_value_of_the_plant_reaches_the_hub_once_and_in_order() {
    let (plant, hub, folder) = (Plant::start(ASSETS, TAGS, &[]), Hub::start(), Folder::new());
    let process = millicore(&folder, &site(&folder, &plant, &hub).write());
    let found = read_events(&hub, |found| each_has(found, TAGS_COUNT, 8));
    assert_complete(&found, TAGS_COUNT);
    let event = &found[0];
    assert!(event.topic.starts_with("plant/data/asset"), "{event:?}");
    let body: Value = serde_json::from_slice(&event.body).unwrap();
    let (_, point) = body.as_object().unwrap().iter().next().unwrap();
    let point = point.as_array().map_or(point, |points| &points[0]);
    assert!(point["SourceTimestamp"].as_str().unwrap().ends_with('Z'), "{point}");
    let property =
        |name: &str| event.properties.iter().find(|(key, _)| key.ends_with(name)).map(|(_, value)| value.as_str());
    assert_eq!(property("specversion"), Some("1.0"), "{:?}", event.properties);
    assert!(process.terminate().success(), "{}", folder.log());
}

#[test]
fn a_stop_under_load_delivers_what_was_accepted_and_the_next_life_goes_on_where_it_ended() {
    let (plant, hub, folder) = (Plant::start(ASSETS, TAGS, &[]), Hub::start(), Folder::new());
    let site = site(&folder, &plant, &hub).write();
    let process = millicore(&folder, &site);
    read_events(&hub, |found| each_has(found, TAGS_COUNT, 4));
    assert!(process.terminate().success(), "{}", folder.log());
    let before = read_events(&hub, |found| each_has(found, TAGS_COUNT, 4));
    let enough = assert_complete(&before, TAGS_COUNT) / TAGS_COUNT + 8;
    let process = millicore(&folder, &site);
    let found = read_events(&hub, |found| each_has(found, TAGS_COUNT, enough));
    assert_complete(&found, TAGS_COUNT);
    assert!(process.terminate().success(), "{}", folder.log());
}

#[test]
fn a_kill_loses_nothing_where_the_hub_is_what_acknowledges() {
    let (plant, hub, folder) = (Plant::start(ASSETS, TAGS, &[]), Hub::start(), Folder::new());
    let site = SiteText { opcua_lines: "acknowledge = \"delivered\"", ..site(&folder, &plant, &hub) }.write();
    let mut process = millicore(&folder, &site);
    read_events(&hub, |found| each_has(found, TAGS_COUNT, 4));
    process.signal(rustix::process::Signal::KILL);
    assert!(!process.wait().success());
    let process = millicore(&folder, &site);
    let found = read_events(&hub, |found| each_has(found, TAGS_COUNT, 16));
    // What the hub had stored and the plant had not heard of comes again, with the CloudEvents id that it had.
    let mut seen = std::collections::BTreeSet::new();
    let cloud_events_id = |properties: &std::collections::BTreeMap<String, String>| {
        properties.iter().find(|(key, _)| key.ends_with(":id") || key.ends_with("_id")).map(|(_, id)| id.clone())
    };
    let first: Vec<_> = found.iter().filter(|event| seen.insert(cloud_events_id(&event.properties))).cloned().collect();
    assert_complete(&first, TAGS_COUNT);
    assert!(process.terminate().success(), "{}", folder.log());
}
