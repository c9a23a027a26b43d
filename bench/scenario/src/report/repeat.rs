//! The median of several runs, with all of them listed.

use serde_json::{Map, Value};

/// What a repetition must not smooth: the worst run's account stands for all.
const WORST: [&str; 2] = ["points", "delivered_percent"];

/// One report of several: of each number the median, of the points the worst run's, and under `runs` all of them.
///
/// # Panics
/// If there is no run.
pub(crate) fn median_report(runs: &[Value]) -> Value {
    let first = runs.first().expect("a report has a run");
    if runs.len() == 1 {
        return first.clone();
    }
    let mut report = median(runs);
    let worst = runs.iter().max_by_key(|run| faults(run)).unwrap_or(first);
    for key in WORST {
        report[key] = worst[key].clone();
    }
    report["runs"] = runs.to_vec().into();
    report
}

/// Points that went wrong.
fn faults(run: &Value) -> u64 {
    let points = ["missing", "duplicated", "out_of_order", "lost_at_source"];
    points.iter().filter_map(|key| run["points"][key].as_u64()).sum()
}

/// Of each number in `values` the median; what is no number is the first one's.
///
/// # Panics
/// If there is none, or one lacks a member of an array of the first.
pub fn median(values: &[Value]) -> Value {
    match &values[0] {
        Value::Object(first) => {
            let mut object = Map::new();
            for key in first.keys() {
                let members: Vec<Value> = values.iter().map(|value| value[key].clone()).collect();
                object.insert(key.clone(), median(&members));
            }
            Value::Object(object)
        }
        Value::Array(first) => (0..first.len())
            .map(|index| median(&values.iter().map(|value| value[index].clone()).collect::<Vec<_>>()))
            .collect(),
        Value::Number(first) => {
            let mut numbers: Vec<&Value> = values.iter().filter(|value| value.is_number()).collect();
            numbers.sort_by(|left, right| as_f64(left).total_cmp(&as_f64(right)));
            numbers.get(numbers.len() / 2).map_or(Value::Number(first.clone()), |middle| (*middle).clone())
        }
        Value::Null | Value::Bool(_) | Value::String(_) => values[0].clone(),
    }
}

fn as_f64(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(cpu: f64, missing: u64) -> Value {
        let mut report = serde_json::to_value(super::super::tests::report()).unwrap();
        report["cpu_millicores"] = cpu.into();
        report["cpu_by_process"]["millicore"] = cpu.into();
        report["points"]["missing"] = missing.into();
        report["delivered_percent"] = (100 - missing).into();
        report
    }

    #[test]
    fn numbers_are_medians_and_a_loss_in_one_run_stays() {
        let runs = [run(50.0, 0), run(40.0, 3), run(45.0, 0)];
        let report = median_report(&runs);
        assert_eq!(report["cpu_millicores"], json!(45.0));
        assert_eq!(report["cpu_by_process"]["millicore"], json!(45.0));
        assert_eq!((&report["points"]["missing"], &report["delivered_percent"]), (&json!(3), &json!(97)));
        assert_eq!(report["runs"].as_array().unwrap().len(), 3);
        assert_eq!(report["case"], "1b");
    }

    #[test]
    fn one_run_is_its_own_report() {
        assert_eq!(median_report(&[run(50.0, 0)]), run(50.0, 0));
    }
}
