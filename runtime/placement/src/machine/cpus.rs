//! Processors: physical cores, siblings, and classes of cores.

use std::path::Path;

use super::text;
use crate::profile::CoreClass;

/// One logical processor that the process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The kernel's number.
    pub number: usize,
    /// The lowest number among the processors of its physical core, whether the process may use that one or not: two
    /// processors share a core if and only if they share this.
    pub core_leader: usize,
    /// Its place among the siblings that the process may use, from 0.
    pub sibling: usize,
    /// The package (socket) that it belongs to.
    pub package: u32,
    /// What its core is made for.
    pub class: CoreClass,
}

/// Numbers past this are no processors.
const NUMBER_MAX: usize = 8_191;

/// The processors of `allowed`, and whether the kernel told their siblings.
pub(super) fn read(root: &Path, allowed: &[usize]) -> (Vec<Cpu>, bool) {
    let mut has_topology = true;
    let classes = Classes::read(root, allowed);
    let mut cpus: Vec<Cpu> = Vec::with_capacity(allowed.len());
    for &number in allowed {
        let folder = root.join(format!("sys/devices/system/cpu/cpu{number}/topology"));
        let siblings = parse_list(&text(&folder.join("thread_siblings_list")));
        has_topology &= siblings.contains(&number);
        let core_leader = siblings.iter().copied().min().filter(|leader| *leader <= number).unwrap_or(number);
        let sibling = cpus.iter().filter(|cpu| cpu.core_leader == core_leader).count();
        let package = text(&folder.join("physical_package_id")).trim().parse().unwrap_or(0);
        cpus.push(Cpu { number, core_leader, sibling, package, class: classes.of(number) });
    }
    (cpus, has_topology)
}

/// Which processors belong to the slower of two kinds of cores.
struct Classes {
    efficiency: Vec<usize>,
}

impl Classes {
    /// On x86 the kernel lists both kinds; elsewhere cores differ in capacity, and the greatest one is performance.
    fn read(root: &Path, allowed: &[usize]) -> Self {
        let atoms = parse_list(&text(&root.join("sys/devices/cpu_atom/cpus")));
        if !atoms.is_empty() {
            return Self { efficiency: atoms };
        }
        let capacity = |cpu: usize| -> Option<u64> {
            text(&root.join(format!("sys/devices/system/cpu/cpu{cpu}/cpu_capacity"))).trim().parse().ok()
        };
        let online = parse_list(&text(&root.join("sys/devices/system/cpu/online")));
        let greatest = online.iter().chain(allowed).filter_map(|&cpu| capacity(cpu)).max();
        let is_smaller = |cpu: usize| capacity(cpu).zip(greatest).is_some_and(|(own, greatest)| own < greatest);
        Self { efficiency: allowed.iter().copied().filter(|&cpu| is_smaller(cpu)).collect() }
    }

    fn of(&self, cpu: usize) -> CoreClass {
        if self.efficiency.contains(&cpu) { CoreClass::Efficiency } else { CoreClass::Performance }
    }
}

/// A kernel's list of processors, such as `0-3,8,10-11`, ascending. What is no list is left out.
pub(super) fn parse_list(list: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    for part in list.trim().split(',') {
        let (start, end) = part.split_once('-').unwrap_or((part, part));
        let (Ok(start), Ok(end)) = (start.trim().parse::<usize>(), end.trim().parse::<usize>()) else { continue };
        numbers.extend(start..=end.min(NUMBER_MAX));
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!(parse_list("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_list("5"), [5]);
        assert_eq!(parse_list(""), [0; 0]);
        assert_eq!(parse_list("x,3-1,7"), [7]);
        assert_eq!(parse_list("0-99999999999").len(), NUMBER_MAX + 1);
    }
}
