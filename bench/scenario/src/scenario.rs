//! A scenario file: what is run, for whom it stands, and how it is measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use bench_plc::scenario::PlantScenario;
use bench_plc::value::ValueFormat;
use serde::Deserialize;

use crate::reader::Rule;
use crate::report::published::PublishedCase;

/// A scenario file. Unknown keys are errors; `bench/README.md` says how to write one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Short name, as it stands in the report.
    pub(crate) case: String,
    /// One sentence for people.
    pub(crate) title: String,
    /// Which published figures stand beside ours, if any.
    pub(crate) published: Option<PublishedCase>,
    /// The plant. `bench-plc` reads this table of the same file.
    #[serde(default)]
    pub(crate) plant: PlantScenario,
    /// What the pipeline is told about the plant.
    pub(crate) site: SiteSettings,
    /// Which hardware profile, and how it is bent.
    #[serde(default)]
    pub(crate) profile: ProfileSettings,
    /// The hub and who reads it.
    #[serde(default)]
    pub(crate) reader: ReaderSettings,
    /// What comes before the window.
    #[serde(default)]
    pub(crate) warm_up: WarmUp,
    /// What goes wrong inside the window, if anything.
    pub(crate) fault: Option<FaultSettings>,
}

/// `[site]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteSettings {
    /// How often the OPC UA servers gather and send; 10 to 60,000 ms.
    #[serde(default = "publishing_interval_ms")]
    pub(crate) publishing_interval_ms: u32,
    /// Which values of an interval must arrive.
    pub(crate) conflate: Rule,
    /// The MQTT listener.
    #[serde(default)]
    pub(crate) listener: Listener,
}

/// The MQTT listener of a site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Listener {
    /// None.
    None,
    /// On a free port of the loopback interface.
    #[default]
    Loopback,
}

/// `[profile]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProfileSettings {
    /// A shipped profile, the path of one, or `auto`.
    pub(crate) name: String,
    /// Keys of the profile that differ, such as `"egress.linger_ms" = 20`.
    pub(crate) set: BTreeMap<String, toml::Value>,
}

/// `[reader]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReaderSettings {
    /// Partitions of the hub; 1 to 32.
    pub(crate) hub_partitions: u32,
    /// How long after the window a point may still arrive, in seconds; 1 to 600.
    pub(crate) drain_seconds: u64,
}

/// `[warm_up]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WarmUp {
    /// Seconds from the first event at the hub to the window; 0 to 600.
    pub(crate) seconds: u64,
    /// Seconds within which all subscriptions must be made and the first event be at the hub; 1 to 600.
    pub(crate) timeout_seconds: u64,
}

/// `[fault]`: the hub goes away. Its standing connections are cut at the next event, and no new one is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultSettings {
    /// Seconds from the window's start until the hub goes away; 1 to 3,600.
    pub(crate) hub_away_at_s: u64,
    /// For how many seconds; 1 to 3,600.
    pub(crate) hub_away_s: u64,
}

impl Default for ProfileSettings {
    fn default() -> Self {
        let set = BTreeMap::from([("egress.linger_ms".to_owned(), toml::Value::Integer(20))]);
        Self { name: "auto".to_owned(), set }
    }
}

impl Default for ReaderSettings {
    fn default() -> Self {
        Self { hub_partitions: 4, drain_seconds: 15 }
    }
}

impl Default for WarmUp {
    fn default() -> Self {
        Self { seconds: 5, timeout_seconds: 60 }
    }
}

fn publishing_interval_ms() -> u32 {
    1_000
}

/// Cases that have a name and no pipeline yet.
const LATER_CASES: [(&str, &str); 2] = [
    ("2b", "the five-node workload needs nodes that share a log, which this version has not"),
    ("2u", "the five-node workload needs nodes that share a log, which this version has not"),
];

impl Scenario {
    /// Finds the file of `case`, a name or a path, and reads it. `folder` holds the shipped ones.
    ///
    /// # Errors
    /// If there is no such case, or its file cannot be read or does not check.
    pub(crate) fn load(case: &str, folder: &Path) -> anyhow::Result<(Self, PathBuf)> {
        if let Some((_, reason)) = LATER_CASES.iter().find(|(name, _)| *name == case) {
            bail!("case {case} cannot be run: {reason}. 1a and 1b can, and so can a scenario file of yours");
        }
        let path = Path::new(case);
        let file = if path.extension().is_some_and(|extension| extension == "toml") {
            path.to_owned()
        } else {
            folder.join(format!("{case}.toml"))
        };
        if !file.is_file() {
            bail!("there is no scenario {case}: name 1a, 1b, or the path of a .toml file ({} is none)", file.display());
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let scenario = Self::parse(&text).with_context(|| file.display().to_string())?;
        Ok((scenario, file))
    }

    /// Reads the text of a scenario file.
    ///
    /// # Errors
    /// If it is no TOML, has a key that nobody knows, or a value outside its range.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        scenario.plant.check()?;
        ensure!(
            scenario.plant.format() == Some(ValueFormat::Text20),
            "plant.value_bytes must be 20: a Double does not say whose it is, and the reader sees no name but the tag's"
        );
        ensure!(
            (10..=60_000).contains(&scenario.site.publishing_interval_ms),
            "site.publishing_interval_ms is outside 10 to 60000"
        );
        ensure!((1..=32).contains(&scenario.reader.hub_partitions), "reader.hub_partitions is outside 1 to 32");
        ensure!((1..=600).contains(&scenario.reader.drain_seconds), "reader.drain_seconds is outside 1 to 600");
        ensure!(scenario.warm_up.seconds <= 600, "warm_up.seconds is outside 0 to 600");
        ensure!((1..=600).contains(&scenario.warm_up.timeout_seconds), "warm_up.timeout_seconds is outside 1 to 600");
        if let Some(fault) = scenario.fault {
            ensure!((1..=3_600).contains(&fault.hub_away_at_s), "fault.hub_away_at_s is outside 1 to 3600");
            ensure!((1..=3_600).contains(&fault.hub_away_s), "fault.hub_away_s is outside 1 to 3600");
        }
        Ok(scenario)
    }

    /// Whether the rule `last` makes the mean step 2: two changes in each publishing interval.
    pub(crate) fn is_step_mean_two(&self) -> bool {
        let changes_per_interval =
            self.plant.updates_per_s * self.plant.change_ratio * f64::from(self.site.publishing_interval_ms) / 1_000.0;
        (changes_per_interval - 2.0).abs() < 1e-9
    }

    /// Data points a second that must arrive, on average.
    pub(crate) fn points_per_s(&self) -> f64 {
        match self.site.conflate {
            Rule::All => self.plant.changes_per_s(),
            Rule::Last => {
                let tags = f64::from(self.plant.assets) * f64::from(self.plant.tags_per_asset);
                self.plant.changes_per_s().min(tags * 1_000.0 / f64::from(self.site.publishing_interval_ms))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "case = \"x\"\ntitle = \"X\"\n[site]\nconflate = \"all\"\n";

    fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
    }

    #[test]
    fn the_shipped_cases_are_the_published_workloads() {
        let (one_a, _) = Scenario::load("1a", &shipped()).unwrap();
        let (one_b, file) = Scenario::load("1b", &shipped()).unwrap();
        assert_eq!((one_a.case.as_str(), one_a.site.conflate), ("1a", Rule::Last));
        assert_eq!((one_b.case.as_str(), one_b.site.conflate), ("1b", Rule::All));
        assert!((one_a.points_per_s() - 6_250.0).abs() < 1e-9 && (one_b.points_per_s() - 12_500.0).abs() < 1e-9);
        assert!(one_a.is_step_mean_two());
        for scenario in [&one_a, &one_b] {
            assert_eq!(scenario.plant, PlantScenario::default());
            assert_eq!(scenario.profile, ProfileSettings::default());
            assert_eq!(scenario.site.publishing_interval_ms, 1_000);
            assert!(scenario.published.is_some());
        }
        assert_eq!(Scenario::load(file.to_str().unwrap(), Path::new("nowhere")).unwrap().0, one_b);
    }

    #[test]
    fn the_shipped_outage_is_1b_with_a_hub_that_goes_away() {
        let (outage, _) = Scenario::load("1b-hub-away", &shipped()).unwrap();
        let (one_b, _) = Scenario::load("1b", &shipped()).unwrap();
        assert_eq!(outage.fault, Some(FaultSettings { hub_away_at_s: 10, hub_away_s: 60 }));
        assert_eq!((outage.plant, outage.site, outage.profile), (one_b.plant, one_b.site, one_b.profile));
        assert_eq!(one_b.fault, None);
    }

    #[test]
    fn cases_without_a_pipeline_are_refused_with_the_reason() {
        for case in ["2b", "2u"] {
            let refusal = Scenario::load(case, &shipped()).unwrap_err().to_string();
            assert!(refusal.contains(case) && refusal.contains("1b"), "{refusal}");
        }
        assert!(Scenario::load("3x", &shipped()).unwrap_err().to_string().contains("3x"));
    }

    #[test]
    fn a_short_file_takes_the_defaults_and_a_wrong_key_is_named() {
        let scenario = Scenario::parse(SMALL).unwrap();
        assert_eq!((scenario.reader, scenario.warm_up), (ReaderSettings::default(), WarmUp::default()));
        assert_eq!(scenario.site.listener, Listener::Loopback);
        for (addition, word) in [
            ("listen = 1\n", "listen"),
            ("publishing_interval_ms = 5\n", "publishing_interval_ms"),
            ("[plant]\nvalue_bytes = 8\n", "value_bytes"),
            ("[plant]\nassets = 0\n", "assets"),
            ("[reader]\nhub_partitions = 0\n", "hub_partitions"),
            ("[warm_up]\nseconds = 601\n", "seconds"),
            ("[fault]\nhub_away_at_s = 5\n", "hub_away_s"),
            ("[fault]\nhub_away_at_s = 5\nhub_away_s = 0\n", "hub_away_s"),
        ] {
            let error = format!("{:#}", Scenario::parse(&format!("{SMALL}{addition}")).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
