//! The processor's model and features.

use gpve_core::types::{CpuFlag, CpuModel, ResolvedVm};

use super::super::switches::{Accelerator, Cpu};
use super::is_modern_windows;

/// Microarchitecture levels by the name that PVE gives them, as features on top of `qemu64`.
const LEVELS: [(&str, &[&str]); 4] = [("x86-64-v2", V2), ("x86-64-v2-AES", V2_AES), ("x86-64-v3", V3), ("x86-64-v4", V4)];

const V2: &[&str] = &["+popcnt", "+pni", "+sse4.1", "+sse4.2", "+ssse3"];
const V2_AES: &[&str] = &["+aes", "+popcnt", "+pni", "+sse4.1", "+sse4.2", "+ssse3"];
const V3: &[&str] = &[
    "+abm", "+aes", "+avx", "+avx2", "+bmi1", "+bmi2", "+f16c", "+fma", "+movbe", "+pni", "+popcnt", "+sse4.1", "+sse4.2", "+ssse3",
    "+xsave",
];
const V4: &[&str] = &[
    "+abm", "+aes", "+avx", "+avx2", "+avx512bw", "+avx512cd", "+avx512dq", "+avx512f", "+avx512vl", "+bmi1", "+bmi2", "+f16c", "+fma",
    "+movbe", "+pni", "+popcnt", "+sse4.1", "+sse4.2", "+ssse3", "+xsave",
];

/// Hyper-V's interfaces, which make Windows quick.
const ENLIGHTENMENTS: [&str; 10] =
    ["hv_ipi", "hv_relaxed", "hv_reset", "hv_runtime", "hv_spinlocks=0x1fff", "hv_stimer", "hv_synic", "hv_time", "hv_vapic", "hv_vpindex"];

/// The processor of a machine.
pub(super) fn cpu(vm: &ResolvedVm, accelerator: Accelerator) -> Option<Cpu> {
    let kvm = accelerator == Accelerator::Kvm;
    let asked = vm.cpu.model.as_ref().map(ToString::to_string);
    let default = if kvm { "kvm64" } else { "max" };
    let (model, level) = match asked.as_deref() {
        // The host's own features are KVM's to give; everything that the translator has comes nearest.
        Some("host") if !kvm => ("max", &[][..]),
        Some(name) => LEVELS.iter().find(|level| level.0 == name).map_or((name, &[][..]), |level| ("qemu64", level.1)),
        None => (default, &[][..]),
    };
    let mut flags: Vec<CpuFlag> = parsed(level);
    let mut properties = Vec::new();
    if kvm {
        flags.extend(parsed(&["+kvm_pv_eoi", "+kvm_pv_unhalt"]));
        if model == "kvm64" {
            flags.extend(parsed(&["+lahf_lm", "+sep"]));
        }
        if is_modern_windows(vm.os_type) {
            properties.extend(ENLIGHTENMENTS);
        }
        if vm.cpu.hidden {
            properties.push("kvm=off");
        }
    }
    // Asked for last: it replaces what the model or the system would have.
    for flag in &vm.cpu.flags {
        flags.retain(|known| known.name() != flag.name());
        flags.push(flag.clone());
    }
    // The translator lacks features of most models and says so itself; KVM must not start with less than was asked.
    let enforce = kvm && !matches!(model, "host" | "max");
    let model: CpuModel = model.parse().ok()?;
    Some(Cpu { model, enforce, flags, properties })
}

fn parsed(flags: &[&str]) -> Vec<CpuFlag> {
    flags.iter().filter_map(|flag| flag.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_the_tables_is_a_flag() {
        for flag in LEVELS.iter().flat_map(|level| level.1) {
            assert!(flag.parse::<CpuFlag>().is_ok(), "{flag}");
        }
        assert_eq!(parsed(&["+kvm_pv_eoi", "+kvm_pv_unhalt", "+lahf_lm", "+sep"]).len(), 4);
    }
}
