//! Machine facts out of files as a kernel writes them, and out of this machine's own.

use std::fs;
use std::path::Path;

use placement::{CoreClass, MachineError, MachineFacts};

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("below the root")).expect("a temporary folder");
    fs::write(path, text).expect("a temporary folder");
}

/// Two performance cores with two siblings each, and two efficiency cores; the process may use all but cpu 0.
fn hybrid(root: &Path) {
    write(root, "proc/self/status", "Name:\tx\nCapEff:\t0000000000004000\nCpus_allowed_list:\t1-5\n");
    write(
        root,
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max locked memory         8388608              8388608              bytes     \n\
         Max open files            unlimited            unlimited            files     \n",
    );
    write(root, "proc/meminfo", "MemTotal:       32000 kB\nMemFree: 1 kB\n");
    write(root, "proc/cpuinfo", "processor\t: 0\nmodel name\t: A Processor\n");
    write(root, "proc/sys/kernel/io_uring_disabled", "2\n");
    write(root, "proc/sys/kernel/osrelease", "6.8.0-x\n");
    write(root, "sys/devices/system/cpu/online", "0-5\n");
    for (cpu, siblings) in [(0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3"), (4, "4"), (5, "5")] {
        write(root, &format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"), siblings);
    }
    write(root, "sys/devices/cpu_atom/cpus", "4-5\n");
}

#[test]
fn siblings_classes_and_limits_are_the_kernels() {
    let folder = tempfile::tempdir().unwrap();
    hybrid(folder.path());
    let facts = MachineFacts::read(folder.path()).unwrap();
    let cpus: Vec<(usize, usize, usize)> =
        facts.cpus.iter().map(|cpu| (cpu.number, cpu.core_leader, cpu.sibling)).collect();
    assert_eq!(cpus, [(1, 0, 0), (2, 2, 0), (3, 2, 1), (4, 4, 0), (5, 5, 0)]);
    assert_eq!(facts.class_count(CoreClass::Performance), 2);
    assert_eq!(facts.class_count(CoreClass::Efficiency), 2);
    assert_eq!(facts.cpus_in_order().iter().map(|cpu| cpu.number).collect::<Vec<_>>(), [1, 2, 4, 5, 3]);
    assert_eq!((facts.online_count, facts.physical_cores_count()), (6, 4));
    assert_eq!((facts.memlock_bytes, facts.open_files_max), (Some(8_388_608), None));
    assert!(facts.has_ipc_lock && facts.has_topology);
    assert_eq!(facts.io_uring_disabled, Some(2));
    assert_eq!(facts.memory_bytes, 32_000 << 10);
    assert_eq!((facts.model.as_str(), facts.kernel.as_str()), ("A Processor", "6.8.0-x"));
}

#[test]
fn cores_of_unequal_capacity_are_of_two_classes() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "proc/self/status", "Cpus_allowed_list:\t0-1\n");
    write(folder.path(), "sys/devices/system/cpu/online", "0-1\n");
    write(folder.path(), "sys/devices/system/cpu/cpu0/cpu_capacity", "446\n");
    write(folder.path(), "sys/devices/system/cpu/cpu1/cpu_capacity", "1024\n");
    let facts = MachineFacts::read(folder.path()).unwrap();
    let classes: Vec<CoreClass> = facts.cpus.iter().map(|cpu| cpu.class).collect();
    assert_eq!(classes, [CoreClass::Efficiency, CoreClass::Performance]);
    assert!(!facts.has_topology, "no file tells the siblings");
}

#[test]
fn the_tightest_group_of_version_2_counts() {
    let folder = tempfile::tempdir().unwrap();
    hybrid(folder.path());
    write(folder.path(), "proc/self/cgroup", "0::/a/b\n");
    write(folder.path(), "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    write(folder.path(), "sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    write(folder.path(), "sys/fs/cgroup/a/b/memory.max", "1073741824\n");
    write(folder.path(), "sys/fs/cgroup/memory.max", "max\n");
    let facts = MachineFacts::read(folder.path()).unwrap();
    assert_eq!((facts.quota_millicores, facts.memory_limit_bytes), (Some(1_500), Some(1 << 30)));
}

#[test]
fn groups_of_version_1_count_too() {
    let folder = tempfile::tempdir().unwrap();
    hybrid(folder.path());
    write(folder.path(), "proc/self/cgroup", "4:cpu,cpuacct:/c\n3:memory:/c\n0::/\n");
    write(folder.path(), "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "50000\n");
    write(folder.path(), "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000\n");
    write(folder.path(), "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    write(folder.path(), "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    let facts = MachineFacts::read(folder.path()).unwrap();
    assert_eq!((facts.quota_millicores, facts.memory_limit_bytes), (Some(500), None));
}

#[test]
fn a_path_that_climbs_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    hybrid(folder.path());
    write(folder.path(), "proc/self/cgroup", "0::/../../secret\n");
    write(folder.path(), "sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_eq!(MachineFacts::read(folder.path()).unwrap().quota_millicores, Some(2_000));
}

#[test]
fn files_of_nonsense_leave_facts_open_and_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    hybrid(folder.path());
    for name in ["proc/self/limits", "proc/meminfo", "proc/self/cgroup", "sys/devices/cpu_atom/cpus"] {
        write(folder.path(), name, "\u{fffd}::,-,9999999999999999999999 0::\n:::\n");
    }
    write(folder.path(), "sys/fs/cgroup/cpu.max", "1 0\n");
    let facts = MachineFacts::read(folder.path()).unwrap();
    assert_eq!((facts.memory_bytes, facts.memlock_bytes, facts.quota_millicores), (0, None, None));
}

#[test]
fn no_proc_is_said_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let error = MachineFacts::read(folder.path()).unwrap_err();
    assert!(matches!(&error, MachineError::Affinity { .. }));
    assert!(error.to_string().contains("is /proc mounted?"));
}

#[test]
fn this_machine_has_a_processor() {
    let facts = MachineFacts::read(Path::new("/")).unwrap();
    assert!(!facts.cpus.is_empty() && facts.online_count >= facts.cpus.len());
    assert!(facts.memory_bytes > 0 && !facts.kernel.is_empty());
}
