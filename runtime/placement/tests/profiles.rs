//! Profiles as an operator meets them: inheritance, slips of the finger, wrong values, the command line.

use std::fs;
use std::path::Path;
use std::time::Duration;

use placement::{Commit, MemoryProfile, Profile, ProfileError, Selector};

const CORE: &str = r#"
[[core]]
name = "all"
index = 0
actors = ["opcua-subscription", "mqtt-connection", "broker-partition", "dataflow", "egress-batcher"]
lanes = ["egress-lane", "control-lane", "blocking-lane"]
"#;

fn parse(body: &str) -> Result<Profile, ProfileError> {
    Profile::parse("my.toml", &format!("inherit = \"base.toml\"\n{body}\n{CORE}"), &[])
}

/// The findings of a profile that must have some.
fn findings(body: &str) -> Vec<String> {
    parse(body).expect_err("the profile is wrong").findings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_shipped_profile_loads_by_its_name() {
    for name in ["vm-4vcpu", "workstation-16core"] {
        let profile = Profile::load(name, &[]).unwrap();
        assert_eq!(profile.name, name);
        assert!(!profile.is_automatic);
    }
}

#[test]
fn the_vm_is_the_published_single_node_case() {
    let broker = Profile::load("vm-4vcpu", &[]).unwrap().broker;
    assert_eq!((broker.frontend_replicas, broker.frontend_workers), (1, 1));
    assert_eq!((broker.backend_partitions, broker.backend_workers), (1, 1));
    assert_eq!((broker.backend_redundancy_factor, broker.memory_profile), (1, MemoryProfile::Low));
}

#[test]
fn base_names_no_core_and_is_no_profile() {
    let error = Profile::load("base", &[]).unwrap_err().to_string();
    assert!(error.contains("no [[core]]") && error.contains("vm-4vcpu.toml"), "{error}");
}

#[test]
fn a_later_text_wins_key_by_key() {
    let profile = parse("[egress]\nlinger_ms = 50").unwrap();
    let base = parse("").unwrap();
    assert_eq!(profile.egress.linger, Duration::from_millis(50));
    assert_eq!(profile.egress.batch_bytes_max, base.egress.batch_bytes_max);
}

#[test]
fn an_unknown_key_is_refused_with_line_column_and_the_nearest_key() {
    assert_eq!(
        findings("[egress]\nbatch_bytes_max = 500_000\nlingr_ms = 50"),
        ["my.toml:4:1: unknown key `lingr_ms` in [egress]; did you mean `linger_ms`?"]
    );
}

#[test]
fn a_key_of_another_table_is_shown_home() {
    assert_eq!(
        findings("[broker]\n  linger_ms = 50"),
        ["my.toml:3:3: unknown key `linger_ms` in [broker]; it belongs in [egress]"]
    );
    assert_eq!(findings("linger_ms = 50"), ["my.toml:2:1: `linger_ms` belongs in [egress]"]);
}

#[test]
fn an_unknown_table_is_refused_with_the_nearest() {
    assert_eq!(
        findings("[egres]\nlinger_ms = 50"),
        ["my.toml:2:2: unknown table or key `egres`; did you mean `egress`?"]
    );
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range() {
    assert_eq!(
        findings("[egress]\nbatch_bytes_max = 2_000_000"),
        ["my.toml:3:19: `batch_bytes_max` = 2_000_000 is out of range: 16_384 to 1_000_000 is allowed"]
    );
    assert_eq!(
        findings("[egress]\nlinger_ms = -1"),
        ["my.toml:3:13: `linger_ms` = -1 is out of range: 0 to 60_000 is allowed"]
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused() {
    assert_eq!(findings("[egress]\nlinger_ms = \"50\""), ["my.toml:3:13: `linger_ms` takes an integer, not a string"]);
    assert_eq!(findings("[egress]\nlinger_ms = 0.5"), ["my.toml:3:13: `linger_ms` takes an integer, not a float"]);
    assert_eq!(findings("egress = 3"), ["my.toml:2:1: `egress` is a table: write [egress]"]);
}

#[test]
fn a_wrong_word_is_refused_with_the_words_there_are() {
    assert_eq!(
        findings("[broker]\nmemory_profile = \"lo\""),
        [
            "my.toml:3:18: `memory_profile` = \"lo\" is not allowed: one of \"tiny\", \"low\", \"medium\", \"high\"; did you mean \"low\"?"
        ]
    );
}

#[test]
fn all_findings_come_at_once() {
    let found = findings("[egress]\nlinger_ms = -1\n[opcua]\nsession_timeout_s = 3\n[brocker]");
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn what_must_hold_between_keys_is_checked() {
    for (body, part) in [
        ("[opcua]\nsession_timeout_s = 30", "my.toml:3:21: `session_timeout_s` is below `outage_budget_s`"),
        ("[opcua]\npublish_requests_in_flight = 9", "my.toml:3:30: `publish_requests_in_flight` is above"),
        ("[opcua]\nreconnect_backoff_ms_max = 50", "my.toml:3:28: `reconnect_backoff_ms_max` is below"),
        ("[opcua]\npayload_bytes_max = 1_024", "`value_bytes_max` is above `payload_bytes_max`"),
        ("[broker]\npacket_bytes_max = 16_777_217", "my.toml:3:20: `packet_bytes_max` is above the largest message"),
        ("[broker]\nretained_bytes_max = 67_108_865", "`retained_bytes_max` is above the budget of a shard"),
        ("[log]\nmemory_bytes_max = 67_108_865", "`memory_bytes_max` is above the budget of a shard"),
        ("[log]\ncompression_core = \"al\"", "my.toml:3:20: `compression_core` names no [[core]]: there are all"),
        ("[egress]\npending_bytes_max = 65_536", "no batch could ever be full"),
        ("[egress]\npending_count_max = 10", "no batch could ever be full"),
        ("[egress]\nretry_backoff_ms_max = 100", "`retry_backoff_ms_max` is below"),
    ] {
        let found = findings(body);
        assert!(found.len() == 1 && found[0].contains(part), "{body}: {found:#?}");
    }
}

#[test]
fn a_text_that_is_no_toml_is_refused_with_its_line() {
    let error = Profile::parse("my.toml", "inherit = \"base.toml\"\n[egress\n", &[]).unwrap_err().to_string();
    assert!(error.starts_with("my.toml:2:8: not TOML"), "{error}");
}

#[test]
fn a_profile_without_inherit_lacks_keys() {
    let error = Profile::parse("my.toml", CORE, &[]).unwrap_err();
    assert_eq!(error.findings.len(), ProfileError::FINDINGS_COUNT_MAX);
    assert!(error.to_string().contains("inherit = \"base.toml\""), "{error}");
}

#[test]
fn a_key_of_the_command_line_wins_and_the_last_of_them() {
    let overrides = ["egress.linger_ms=5".to_owned(), "egress.linger_ms = 20".to_owned(), "log.commit=none".to_owned()];
    let profile = Profile::load("vm-4vcpu", &overrides).unwrap();
    assert_eq!(profile.egress.linger, Duration::from_millis(20));
    assert_eq!(profile.log.commit, Commit::None);
}

#[test]
fn a_key_of_the_command_line_is_checked_alike() {
    for (text, expected) in [
        ("egress.linger_ms=x", "--set egress.linger_ms=x: `linger_ms` takes an integer, not a string"),
        ("egress.linger=5", "--set egress.linger=5: unknown key `linger` in [egress]; did you mean `linger_ms`?"),
        ("egress.linger_ms=-1", "--set egress.linger_ms=-1: `linger_ms` = -1 is out of range: 0 to 60_000 is allowed"),
        (
            "linger_ms=5",
            "--set linger_ms=5: not one key of one table: write it as TABLE.KEY=VALUE, as in egress.linger_ms=20",
        ),
        (
            "egress.linger_ms",
            "--set egress.linger_ms: not a key with a value: write it as TABLE.KEY=VALUE, as in egress.linger_ms=20",
        ),
    ] {
        assert_eq!(Profile::load("vm-4vcpu", &[text.to_owned()]).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_key_of_the_command_line_cannot_smuggle_others() {
    for text in ["egress.linger_ms=5\nbroker.frontend_workers=2", "a.b=1\r", "a.b.c=1", ".=1", "egress.linger_ms=5 #"] {
        let result = Profile::load("vm-4vcpu", &[text.to_owned()]);
        let is_plain = result.as_ref().is_ok_and(|profile| profile.broker.frontend_workers == 1);
        assert!(result.is_err() || is_plain, "{text}");
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("a temporary folder is writable");
    path.display().to_string()
}

#[test]
fn a_file_inherits_a_file_beside_it_before_a_shipped_one() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "site.toml", &format!("inherit = \"base.toml\"\n[egress]\nlinger_ms = 7\n{CORE}"));
    let path = write(folder.path(), "line.toml", "inherit = \"site.toml\"\n[opcua]\noutage_budget_s = 90\n");
    let profile = Profile::load(&path, &[]).unwrap();
    assert_eq!(profile.name, "line");
    assert_eq!(profile.egress.linger, Duration::from_millis(7));
    assert_eq!(profile.opcua.outage_budget, Duration::from_secs(90));
    assert_eq!(profile.cores[0].selector, Selector::Index { class: None, index: 0 });
}

#[test]
fn cores_are_inherited_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "line.toml", &format!("inherit = \"vm-4vcpu.toml\"\n{CORE}"));
    let names: Vec<String> = Profile::load(&path, &[]).unwrap().cores.into_iter().map(|core| core.name).collect();
    assert_eq!(names, ["all"]);
}

#[test]
fn a_circle_of_inheritance_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.toml", "inherit = \"b.toml\"\n");
    let path = write(folder.path(), "b.toml", "inherit = \"a.toml\"\n");
    let error = Profile::load(&path, &[]).unwrap_err().to_string();
    assert!(error.contains("a.toml:1:1: `inherit` goes in a circle"), "{error}");
}

#[test]
fn a_chain_that_is_too_deep_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..9 {
        write(folder.path(), &format!("{number}.toml"), &format!("inherit = \"{}.toml\"\n", number + 1));
    }
    write(folder.path(), "9.toml", "");
    let error = Profile::load(&folder.path().join("0.toml").display().to_string(), &[]).unwrap_err().to_string();
    assert!(error.contains("`inherit` goes deeper than 8 files"), "{error}");
}

#[test]
fn what_cannot_be_read_says_which_profiles_there_are() {
    let error = Profile::load("vm-4cpu", &[]).unwrap_err().to_string();
    assert!(error.contains("vm-4vcpu, workstation-16core, and auto"), "{error}");
    let error = parse("").and_then(|_| Profile::parse("x.toml", "inherit = \"nowhere.toml\"", &[])).unwrap_err();
    assert!(error.to_string().starts_with("x.toml:1:1: `nowhere.toml` is neither"), "{error}");
    let error = Profile::parse("x.toml", "inherit = 3", &[]).unwrap_err().to_string();
    assert!(error.starts_with("x.toml:1:1: `inherit` names one profile"), "{error}");
}

#[test]
fn a_file_that_is_too_large_or_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "large.toml", &"# \n".repeat(400_000));
    assert!(Profile::load(&path, &[]).unwrap_err().to_string().contains("larger than"));
    let path = folder.path().join("bytes.toml");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(Profile::load(&path.display().to_string(), &[]).unwrap_err().to_string().contains("cannot be read"));
}

/// The findings of a profile with these cores only.
fn core_findings(cores: &str) -> Vec<String> {
    let error =
        Profile::parse("my.toml", &format!("inherit = \"base.toml\"\n{cores}"), &[]).expect_err("the cores are wrong");
    error.findings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_kind_that_no_core_lists_is_named_with_the_remedy() {
    let found = core_findings("[[core]]\nname = \"a\"\nindex = 0\nactors = [\"dataflow\"]\n");
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(found.iter().any(|text| {
        text.ends_with("no [[core]] lists \"egress-batcher\": add \"egress-batcher\" to the `actors` of one")
    }));
    assert!(
        found.iter().any(
            |text| text.ends_with("no [[core]] lists \"control-lane\": add \"control-lane\" to the `lanes` of one")
        )
    );
}

#[test]
fn each_slip_in_a_core_has_its_line_and_remedy() {
    for (core, part) in [
        (
            "name = \"b\"\nindx = 1\nindex = 1\nlanes = [\"egress-lane\"]",
            "my.toml:9:1: unknown key `indx` in [[core]]; did you mean `index`?",
        ),
        ("name = \"b\"\nindex = 1", "a core without `actors` and `lanes`"),
        ("name = \"b\"\nlanes = [\"egress-lane\"]", "my.toml:8:1: a [[core]] names its place in one way"),
        ("name = \"b\"\ncpu = 1\nindex = 1\nlanes = [\"egress-lane\"]", "names its place in one way"),
        ("name = \"b\"\ncpu = 1\nclass = \"efficiency\"\nlanes = [\"egress-lane\"]", "names its place in one way"),
        (
            "name = \"b\"\nindex = 1\nclass = \"fast\"\nlanes = [\"egress-lane\"]",
            "my.toml:10:9: `class` is \"performance\" or \"efficiency\"",
        ),
        ("name = \"b\"\ncpu = -1\nlanes = [\"egress-lane\"]", "my.toml:9:7: `cpu` takes an integer from 0 to 8191"),
        (
            "name = \"b\"\nphysical_core = 1\nsibling = 8\nlanes = [\"egress-lane\"]",
            "`sibling` takes an integer from 0 to 7",
        ),
        ("name = \"B!\"\nindex = 1\nlanes = [\"egress-lane\"]", "my.toml:8:8: `name` of a [[core]] takes 1 to 15"),
        ("index = 1\nlanes = [\"egress-lane\"]", "`name` of a [[core]] takes 1 to 15"),
        ("name = \"all\"\nindex = 1\nlanes = [\"egress-lane\"]", "two cores have the name \"all\""),
        ("name = \"b\"\nindex = 0\nlanes = [\"egress-lane\"]", "two cores have the place `index = 0`"),
        ("name = \"b\"\nindex = 1\nlanes = [\"control-lane\"]", "\"control-lane\" is listed by several cores"),
        (
            "name = \"b\"\nindex = 1\nlanes = [\"egres-lane\"]",
            "my.toml:10:10: `lanes` knows no \"egres-lane\"; did you mean \"egress-lane\"?",
        ),
        ("name = \"b\"\nindex = 1\nactors = [\"egress-lane\"]", "\"egress-lane\" belongs in `lanes`"),
        ("name = \"b\"\nindex = 1\nlanes = [\"dataflow\"]", "\"dataflow\" belongs in `actors`"),
        (
            "name = \"b\"\nindex = 1\nlanes = [\"egress-lane\", \"egress-lane\"]",
            "\"egress-lane\" stands twice in `lanes`",
        ),
        ("name = \"b\"\nindex = 1\nlanes = \"egress-lane\"", "`lanes` takes a list"),
    ] {
        let found = core_findings(&format!("{}\n[[core]]\n{core}\n", CORE.trim()));
        assert!(found.iter().any(|text| text.contains(part)), "{core}: {found:#?}");
    }
}

#[test]
fn cores_may_be_inline_tables_and_nothing_else() {
    let inline = r#"core = [{ name = "a", cpu = 0, actors = ["opcua-subscription", "mqtt-connection", "broker-partition", "dataflow",
        "egress-batcher"], lanes = ["egress-lane", "control-lane", "blocking-lane"] }]"#;
    let profile = Profile::parse("my.toml", &format!("inherit = \"base.toml\"\n{inline}"), &[]).unwrap();
    assert_eq!(profile.cores[0].selector, Selector::Cpu(0));
    for cores in ["core = 3", "core = [3]", "[core]\nname = \"a\""] {
        assert!(core_findings(cores)[0].contains("write [[core]]"), "{cores}");
    }
}

#[test]
fn what_is_left_to_the_system_is_a_count_or_a_list() {
    use placement::CoresLeft;
    assert_eq!(parse("[system]\ncores_left = 2").unwrap().cores_left, CoresLeft::Count(2));
    assert_eq!(parse("[system]\ncores_left = [0, 8]").unwrap().cores_left, CoresLeft::Cpus(vec![0, 8]));
    for body in [
        "[system]\ncores_left = -1",
        "[system]\ncores_left = 2_000",
        "[system]\ncores_left = [-1]",
        "[system]\ncores_left = \"2\"",
    ] {
        assert_eq!(findings(body).len(), 1, "{body}");
    }
}

#[test]
fn the_example_of_the_readme_is_a_profile() {
    let readme = include_str!("../../../hardware-profiles/README.md");
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let profile = Profile::parse("gateway", example, &[]).unwrap();
    assert_eq!(profile.broker.memory_profile, placement::MemoryProfile::Tiny);
    assert_eq!(profile.cores.len(), 3, "the cores of what it inherits");
}
