//! What the pipeline says about itself: CPU by actor and wake-ups, as the difference of two snapshots.

use std::collections::BTreeMap;

use serde_json::Value;

/// What two snapshots tell about the time between them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Between {
    /// CPU by kind of actor and by lane, in millicores. What the loops, sockets and parking of a core cost besides its
    /// actors stands under `executor`.
    pub(crate) cpu_by_actor: BTreeMap<String, f64>,
    /// Parks of each core's executor in a second: each ends with a wake-up.
    pub(crate) wake_ups_per_s: BTreeMap<String, f64>,
}

impl Between {
    /// The difference from `before` to `after`, `seconds` apart. What is missing in either is left out.
    pub(crate) fn new(before: &Value, after: &Value, seconds: f64) -> Self {
        let mut between = Self::default();
        for core in items(after, "cores") {
            let Some(earlier) = items(before, "cores").find(|earlier| earlier["core"] == core["core"]) else {
                continue;
            };
            let name = core["name"].as_str().map_or_else(|| core["core"].to_string(), str::to_owned);
            let executor = |counter: &str| grown(&earlier["executor"][counter], &core["executor"][counter]);
            if let Some(parks) = executor("parks") {
                between.wake_ups_per_s.insert(name, parks / seconds);
            }
            let mut in_actors_us = 0.0;
            for (kind, after) in core["uses"].as_object().into_iter().flatten() {
                let before = &earlier["uses"][kind]["busy_us"];
                let before = if before.is_null() { &Value::from(0) } else { before };
                let busy_us = grown(before, &after["busy_us"]).unwrap_or(0.0);
                in_actors_us += busy_us;
                between.add(kind, busy_us, seconds);
            }
            if let Some(thread_us) = executor("thread_cpu_us") {
                between.add("executor", (thread_us - in_actors_us).max(0.0), seconds);
            }
        }
        for lane in items(after, "lanes") {
            let name = lane["name"].as_str().unwrap_or("unnamed");
            let earlier = items(before, "lanes").find(|earlier| earlier["name"] == lane["name"]);
            if let Some(cpu_us) = earlier.and_then(|earlier| grown(&earlier["thread_cpu_us"], &lane["thread_cpu_us"])) {
                between.add(&format!("lane {name}"), cpu_us, seconds);
            }
        }
        between
    }

    fn add(&mut self, name: &str, busy_us: f64, seconds: f64) {
        *self.cpu_by_actor.entry(name.to_owned()).or_default() += busy_us / 1_000.0 / seconds;
    }
}

fn items<'a>(snapshot: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    snapshot[key].as_array().into_iter().flatten()
}

/// By how much a counter grew; `None` where either is none.
fn grown(before: &Value, after: &Value) -> Option<f64> {
    Some((after.as_f64()? - before.as_f64()?).max(0.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(parks: u64, thread_us: u64, busy_us: u64, lane_us: u64) -> Value {
        json!({
            "cores": [{ "core": 0, "name": "plant", "executor": { "parks": parks, "thread_cpu_us": thread_us },
                        "uses": { "dataflow": { "messages": 1, "busy_us": busy_us } } }],
            "lanes": [{ "name": "egress", "thread_cpu_us": lane_us }],
        })
    }

    #[test]
    fn two_snapshots_tell_who_used_what() {
        let between = Between::new(&snapshot(100, 1_000, 500, 0), &snapshot(600, 101_000, 40_500, 20_000), 10.0);
        assert_eq!(between.wake_ups_per_s, BTreeMap::from([("plant".to_owned(), 50.0)]));
        let expected = [("dataflow", 4.0), ("executor", 6.0), ("lane egress", 2.0)];
        assert_eq!(between.cpu_by_actor, expected.map(|(name, cpu)| (name.to_owned(), cpu)).into());
    }

    #[test]
    fn a_pipeline_that_says_nothing_is_no_failure() {
        for (before, after) in [(json!(null), json!(null)), (json!({}), snapshot(1, 1, 1, 1)), (json!(3), json!("x"))] {
            assert_eq!(Between::new(&before, &after, 1.0), Between::default());
        }
    }
}
