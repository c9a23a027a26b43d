//! The seed parameters of the hardware profile that a run had: read from its files, as the pipeline does.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

/// Longest chain of `inherit`.
const INHERIT_MAX: usize = 8;

/// Names of the seed parameters, as `[broker]` has them.
pub(crate) const SEED_PARAMETERS: [&str; 6] = [
    "frontend_replicas",
    "frontend_workers",
    "backend_partitions",
    "backend_workers",
    "backend_redundancy_factor",
    "memory_profile",
];

/// The seed parameters of `profile`, a name in `folder` or a path; each `null` where no file says it.
pub fn seed_parameters(profile: &str, folder: &Path, set: &[(String, String)]) -> Value {
    let path =
        if Path::new(profile).is_file() { PathBuf::from(profile) } else { folder.join(format!("{profile}.toml")) };
    let broker = broker_table(&path, INHERIT_MAX).unwrap_or_default();
    let value = |name: &str| {
        let changed = set.iter().find(|(key, _)| *key == format!("broker.{name}"));
        let changed =
            changed.map(|(_, text)| serde_json::from_str(text).unwrap_or_else(|_| text.trim_matches('"').into()));
        changed.or_else(|| broker.get(name).cloned()).unwrap_or(Value::Null)
    };
    Value::Object(SEED_PARAMETERS.iter().map(|name| ((*name).to_owned(), value(name))).collect())
}

/// `[broker]` of a profile over that of what it inherits from.
fn broker_table(path: &Path, inherit_max: usize) -> anyhow::Result<Map<String, Value>> {
    ensure!(inherit_max > 0, "profiles inherit in a circle");
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let profile: Value = toml::from_str(&text)?;
    let mut table = match profile["inherit"].as_str() {
        Some(parent) => broker_table(&path.with_file_name(parent), inherit_max - 1)?,
        None => Map::new(),
    };
    table.extend(profile["broker"].as_object().cloned().unwrap_or_default());
    Ok(table)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shipped_profile_says_all_of_them() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hardware-profiles");
        let set = [("broker.backend_partitions".to_owned(), "3".to_owned())];
        let parameters = seed_parameters("vm-4vcpu", &folder, &set);
        assert_eq!(parameters["memory_profile"], "low");
        assert_eq!(parameters["backend_partitions"], 3);
        assert!(SEED_PARAMETERS.iter().all(|name| !parameters[*name].is_null()), "{parameters}");
    }

    #[test]
    fn an_unknown_profile_says_none_and_a_circle_ends() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(seed_parameters("nobody", folder.path(), &[])["memory_profile"], json!(null));
        std::fs::write(folder.path().join("a.toml"), "inherit = \"a.toml\"\n").unwrap();
        assert_eq!(seed_parameters("a", folder.path(), &[])["memory_profile"], json!(null));
    }
}
