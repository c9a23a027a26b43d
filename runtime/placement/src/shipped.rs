//! The profiles that the binary carries within itself.

/// Their names, `base` first.
pub(crate) const NAMES: [&str; 3] = ["base", "vm-4vcpu", "workstation-16core"];

/// The shipped profile of this name: the name, and its text.
pub(crate) fn find(name: &str) -> Option<(&'static str, &'static str)> {
    const TEXTS: [&str; 3] = [
        include_str!("../../../hardware-profiles/base.toml"),
        include_str!("../../../hardware-profiles/vm-4vcpu.toml"),
        include_str!("../../../hardware-profiles/workstation-16core.toml"),
    ];
    NAMES.into_iter().zip(TEXTS).find(|(known, _)| *known == name)
}
