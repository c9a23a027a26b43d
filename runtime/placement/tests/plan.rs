//! Plans of the shipped profiles on machines that only tests have.

use std::collections::BTreeSet;

use placement::{
    ActorKind, CoreClass, Cpu, Fold, LaneKind, MachineFacts, Plan, PlanError, PlannedActor, Profile, SiteCounts,
    Warning,
};
use proptest::prelude::*;

/// A machine of `performance` physical cores with two siblings each, and `efficiency` with one, and room for everything.
fn machine(performance: usize, efficiency: usize) -> MachineFacts {
    let mut cpus = Vec::new();
    for core in 0..performance {
        for sibling in 0..2 {
            let class = CoreClass::Performance;
            cpus.push(Cpu { number: 2 * core + sibling, core_leader: 2 * core, sibling, package: 0, class });
        }
    }
    for number in (0..efficiency).map(|core| 2 * performance + core) {
        cpus.push(Cpu { number, core_leader: number, sibling: 0, package: 0, class: CoreClass::Efficiency });
    }
    MachineFacts {
        online_count: cpus.len(),
        cpus,
        has_topology: true,
        quota_millicores: None,
        memory_bytes: 64 << 30,
        memory_limit_bytes: None,
        memlock_bytes: None,
        has_ipc_lock: false,
        open_files_max: None,
        io_uring_disabled: Some(0),
        kernel: "6.8.0".to_owned(),
        model: "a processor & <another>".to_owned(),
    }
}

fn profile(name: &str, overrides: &[&str]) -> Profile {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Profile::load(name, &overrides).expect("the profile is free of findings")
}

fn plan(name: &str, overrides: &[&str], facts: &MachineFacts) -> Plan {
    Plan::resolve(&profile(name, overrides), facts, Fold::Refuse).expect("the machine is large enough")
}

#[test]
fn performance_cores_come_first_and_siblings_last() {
    let plan = plan("workstation-16core", &[], &machine(8, 8));
    let cpus: Vec<usize> = plan.cores.iter().map(|core| core.cpu).collect();
    assert_eq!(cpus, [0, 2, 4, 6, 8, 10, 12, 14, 16, 17, 18, 19, 20, 21]);
    assert!(!plan.warnings.iter().any(|warning| matches!(warning, Warning::SharedPhysicalCore { .. })));
    assert_eq!(plan.free_cpus, [1, 3, 5, 7, 9, 11, 13, 15, 22, 23]);
}

#[test]
fn a_virtual_machine_of_two_physical_cores_pairs_the_plant_with_the_lanes() {
    let plan = plan("vm-4vcpu", &[], &machine(2, 0));
    let places: Vec<(&str, usize)> = plan.cores.iter().map(|core| (core.name.as_str(), core.cpu)).collect();
    assert_eq!(places, [("plant", 0), ("clients", 2), ("lanes", 1)]);
    assert!(plan.warnings.contains(&Warning::SharedPhysicalCore { cpus: vec![0, 1] }));
    assert_eq!(plan.executors.len(), 2);
    assert_eq!(plan.executors[0].ring_depth, plan.profile.executor.ring_depth);
    assert_eq!(plan.executors[1].ring_depth, plan.profile.executor.listener_ring_depth);
    assert_eq!(plan.compression_cpu, 1, "compression goes where the blocking lane is");
}

#[test]
fn too_few_cores_are_refused_with_both_remedies() {
    let error = Plan::resolve(&profile("workstation-16core", &[]), &machine(2, 0), Fold::Refuse).unwrap_err();
    assert!(matches!(error, PlanError::TooFewCores(_)));
    let text = error.to_string();
    for part in ["needs 14 processors", "leaves 2 physical cores", "may use 4 (0-3)", "a smaller profile", "--fold"] {
        assert!(text.contains(part), "{part} in: {text}");
    }
}

#[test]
fn a_fold_says_so_and_keeps_every_instance() {
    let plan = Plan::resolve(&profile("workstation-16core", &[]), &machine(1, 0), Fold::Allow).unwrap();
    let text = plan.folded.as_deref().unwrap();
    assert!(text.starts_with("folded onto 2 cores (0-1): cpu 0 = plant-0 + "), "{text}");
    assert!(plan.table().contains("FOLDED"), "the table tells it");
    assert!(plan.svg().contains("folded onto 2 cores"), "the drawing tells it");
    let partitions: Vec<u32> = instances(&plan, ActorKind::BrokerPartition);
    assert_eq!(partitions, [0, 1, 2, 3]);
}

#[test]
fn a_profile_that_the_machine_chose_folds_by_itself() {
    let facts = machine(1, 0);
    let chosen = Profile::automatic(&facts, &[]).unwrap();
    assert_eq!(chosen.name, "vm-4vcpu");
    assert!(Plan::resolve(&chosen, &facts, Fold::Refuse).unwrap().folded.is_some());
    assert_eq!(Profile::automatic(&machine(8, 8), &[]).unwrap().name, "workstation-16core");
}

#[test]
fn a_quota_counts_like_missing_cores() {
    let facts = MachineFacts { quota_millicores: Some(1_500), ..machine(8, 8) };
    let chosen = Profile::automatic(&facts, &[]).unwrap();
    assert_eq!(chosen.name, "vm-4vcpu");
    let plan = Plan::resolve(&profile("workstation-16core", &[]), &facts, Fold::Refuse).unwrap();
    assert!(plan.warnings.iter().any(|warning| matches!(warning, Warning::Quota { quota_millicores: 1_500, .. })));
}

#[test]
fn copies_need_other_nodes() {
    let profile = profile("vm-4vcpu", &["broker.backend_redundancy_factor=2"]);
    let error = Plan::resolve(&profile, &machine(4, 0), Fold::Allow).unwrap_err();
    assert_eq!(error, PlanError::Redundancy { factor: 2 });
}

#[test]
fn replicas_fold_into_workers_with_a_warning() {
    let plan = plan("vm-4vcpu", &["broker.frontend_replicas=3", "broker.frontend_workers=2"], &machine(4, 0));
    assert!(plan.warnings.contains(&Warning::FrontendReplicas { replicas: 3, workers_count: 6 }));
    assert_eq!(instances(&plan, ActorKind::MqttConnection), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn two_names_of_one_processor_are_refused() {
    let text = "inherit = \"base.toml\"\n\
        [[core]]\nname = \"a\"\ncpu = 0\n\
        actors = [\"opcua-subscription\", \"mqtt-connection\", \"broker-partition\", \"dataflow\", \"egress-batcher\"]\n\
        [[core]]\nname = \"b\"\nindex = 0\nlanes = [\"egress-lane\", \"control-lane\", \"blocking-lane\"]\n";
    let profile = Profile::parse("twice", text, &[]).unwrap();
    let error = Plan::resolve(&profile, &machine(2, 0), Fold::Refuse).unwrap_err();
    assert!(matches!(error, PlanError::SamePlace { cpu: 0, .. }), "{error}");
}

#[test]
fn limits_of_the_process_that_do_not_suffice_are_named() {
    let facts = MachineFacts {
        memlock_bytes: Some(64 << 10),
        open_files_max: Some(1_024),
        io_uring_disabled: Some(2),
        memory_bytes: 128 << 20,
        has_topology: false,
        ..machine(2, 0)
    };
    let plan = plan("vm-4vcpu", &["memory.ceiling_mib=160"], &facts);
    let has = |wanted: fn(&Warning) -> bool| plan.warnings.iter().any(wanted);
    assert!(has(|warning| matches!(warning, Warning::Memlock { .. })));
    assert!(has(|warning| matches!(warning, Warning::OpenFiles { .. })));
    assert!(has(|warning| matches!(warning, Warning::IoUringDisabled { value: 2 })));
    assert!(has(|warning| matches!(warning, Warning::AboveCeiling { .. })));
    assert!(has(|warning| matches!(warning, Warning::CeilingAboveMemory { .. })));
    assert!(has(|warning| matches!(warning, Warning::NoTopology)));
    for warning in &plan.warnings {
        let first = warning.to_string().split_whitespace().next().unwrap().to_owned();
        assert!(plan.table().contains(&first), "the table tells: {warning}");
    }
}

#[test]
fn the_memory_of_a_site_grows_with_its_servers_and_destinations() {
    let plan = plan("vm-4vcpu", &[], &machine(4, 0));
    let small = plan.memory_at(SiteCounts { servers: 1, destinations: 1 });
    assert_eq!(small, plan.memory);
    assert!(small.fits(), "the shipped profile stays below its own ceiling");
    assert!(plan.memory_at(SiteCounts { servers: 9, destinations: 9 }).total_bytes() > small.total_bytes());
}

#[test]
fn a_drawing_is_well_formed_and_holds_every_place() {
    let plan = plan("workstation-16core", &[], &machine(8, 8));
    let svg = plan.svg();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("a processor &amp; &lt;another&gt;"));
    for core in &plan.cores {
        assert!(svg.contains(&format!("cpu {}: {}", core.cpu, core.name)), "{}", core.name);
    }
    for line in svg.lines().filter(|line| line.starts_with("<text")) {
        assert!(line.ends_with("</text>"), "{line}");
    }
}

fn instances(plan: &Plan, kind: ActorKind) -> Vec<u32> {
    let actors = plan.executors.iter().flat_map(|executor| &executor.actors);
    let mut instances: Vec<u32> = actors.filter(|actor| actor.kind == kind).map(|actor| actor.instance).collect();
    instances.sort_unstable();
    instances
}

proptest! {
    /// Whatever the machine and the counts: each instance has one executor, which is the one that a search finds, each
    /// processor has one executor at most, and every lane has a processor of the machine.
    #[test]
    fn every_instance_has_exactly_one_place(
        performance in 0_usize..9, efficiency in 0_usize..9, workers in 1_u16..9, partitions in 1_u16..33,
        is_workstation: bool, probe in 0_u32..1_000,
    ) {
        prop_assume!(performance + efficiency > 0);
        let facts = machine(performance, efficiency);
        let name = if is_workstation { "workstation-16core" } else { "vm-4vcpu" };
        let workers_text = format!("broker.frontend_workers={workers}");
        let partitions_text = format!("broker.backend_partitions={partitions}");
        let profile = profile(name, &[&workers_text, &partitions_text]);
        let plan = Plan::resolve(&profile, &facts, Fold::Allow).unwrap();
        prop_assert_eq!(&plan, &Plan::resolve(&profile, &facts, Fold::Allow).unwrap(), "the same input, the same plan");

        prop_assert_eq!(instances(&plan, ActorKind::MqttConnection), (0..u32::from(workers)).collect::<Vec<_>>());
        prop_assert_eq!(instances(&plan, ActorKind::BrokerPartition), (0..u32::from(partitions)).collect::<Vec<_>>());
        let cpus: BTreeSet<usize> = plan.executors.iter().map(|executor| executor.cpu).collect();
        prop_assert_eq!(cpus.len(), plan.executors.len());
        for (index, executor) in plan.executors.iter().enumerate() {
            prop_assert!(facts.cpus.iter().any(|cpu| cpu.number == executor.cpu));
            for PlannedActor { kind, instance } in &executor.actors {
                prop_assert_eq!(plan.executor_of(*kind, *instance), index);
            }
        }
        for kind in ActorKind::ALL {
            prop_assert!(plan.executor_of(kind, probe) < plan.executors.len(), "any number has its place");
        }
        for kind in LaneKind::ALL {
            let cpu = plan.lane_of(kind, probe).cpu;
            prop_assert!(facts.cpus.iter().any(|each| each.number == cpu));
        }
    }
}
