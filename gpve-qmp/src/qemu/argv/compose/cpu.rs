//! The processor's model and features.

use std::collections::BTreeMap;

use gpve_core::types::{Accel, CpuFlag, CpuModel, Firmware, HvVendorId, OsType, PhysBits, ResolvedVm};

use super::super::refusal::Refusal;
use super::super::switches::Cpu;
use super::CpuVendor;
use super::situation::Situation;

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

/// Models of nobody's processors.
const GENERIC: [&str; 7] = ["host", "max", "base", "kvm32", "kvm64", "qemu32", "qemu64"];

/// AMD's models, by how their names begin; the other models that are not generic are Intel's.
const AMD: [&str; 4] = ["athlon", "phenom", "Opteron", "EPYC"];

/// Models without 64-bit mode.
const NARROW: [&str; 8] = ["486", "athlon", "coreduo", "kvm32", "pentium", "pentium2", "pentium3", "qemu32"];

/// Flags of PVE that are another one on each vendor's processors.
const NESTED: &str = "nested-virt";

/// The prefix of custom models.
const CUSTOM: &str = "custom-";

/// A processor model that an administrator made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomCpu {
    /// The model that it is made from and that the guest reads.
    pub reported: CpuModel,
    /// Features switched on or off.
    pub flags: Vec<CpuFlag>,
    /// Hide the hypervisor from the guest.
    pub hidden: bool,
    /// What the guest reads as the hypervisor's vendor.
    pub hv_vendor_id: Option<HvVendorId>,
    /// Bits of physical addresses.
    pub phys_bits: Option<PhysBits>,
    /// Bits of physical addresses that the guest's page tables may use.
    pub guest_phys_bits: Option<u8>,
}

impl CustomCpu {
    /// A model like `reported`.
    #[must_use]
    pub fn of(reported: CpuModel) -> Self {
        Self { reported, flags: Vec::new(), hidden: false, hv_vendor_id: None, phys_bits: None, guest_phys_bits: None }
    }
}

/// The processor of a machine.
pub(super) fn cpu(at: &Situation<'_>) -> Result<Option<Cpu>, Refusal> {
    let base = base(at)?;
    let model = base.model;
    let mut features = Features::default();
    usual(at, model, &mut features);
    enlightenments(at, &mut features);
    base.flags.iter().for_each(|flag| features.text(flag));
    // Asked for last: it replaces what the model or the system would have.
    let custom = base.custom.map(|custom| custom.flags.iter());
    for flag in custom.into_iter().flatten().chain(&at.vm.cpu.flags) {
        features.flag(&known_here(at, flag)?);
    }
    forced(at, model, &mut features);
    let model = model.parse().map_err(|_| Refusal::setting("cpu", format!("'{model}' is no processor model")))?;
    Ok(Some(Cpu { model, features: features.0, bits: address_bits(at)? }))
}

/// QEMU's name of the model that the guest's processors are made from.
pub(super) fn model_name<'a>(at: &Situation<'a>) -> Result<&'a str, Refusal> {
    base(at).map(|base| base.model)
}

/// Whether the processors have no 64-bit mode.
pub(super) fn is_narrow(at: &Situation<'_>) -> Result<bool, Refusal> {
    Ok(NARROW.contains(&model_name(at)?))
}

/// What a model stands for.
struct Base<'a> {
    model: &'a str,
    flags: &'static [&'static str],
    custom: Option<&'a CustomCpu>,
}

fn base<'a>(at: &Situation<'a>) -> Result<Base<'a>, Refusal> {
    let plain = |model| Ok(Base { model, flags: &[], custom: None });
    match at.vm.cpu.model.as_ref().map(CpuModel::as_str) {
        None => plain(default_model(at)),
        Some(name) if name.starts_with(CUSTOM) => {
            let custom = at.host.cpu_model.as_ref();
            let custom = custom.ok_or_else(|| Refusal::host("cpu", format!("the custom model '{name}' is not known on this node")))?;
            Ok(Base { model: custom.reported.as_str(), flags: &[], custom: Some(custom) })
        }
        // The host's own features are KVM's to give; everything that the translator has comes nearest.
        Some("host") if !at.is_kvm() => plain("max"),
        Some(name) => match LEVELS.iter().find(|level| level.0 == name) {
            Some((_, flags)) => Ok(Base { model: "qemu64", flags, custom: None }),
            None => plain(name),
        },
    }
}

/// Who asks for no model gets one that every host can give. Where the translator is a makeshift for KVM it gives all it
/// has: a guest that was promised a processor of today shall start.
fn default_model(at: &Situation<'_>) -> &'static str {
    match (at.board.is_x86(), at.is_kvm()) {
        (true, true) => "kvm64",
        (true, false) if at.vm.accel == Accel::Tcg => "qemu64",
        (true, false) => "max",
        (false, true) => "host",
        (false, false) => "cortex-a57",
    }
}

/// Features by name: the last word counts.
#[derive(Default)]
struct Features(BTreeMap<String, String>);

impl Features {
    fn flag(&mut self, flag: &CpuFlag) {
        self.0.insert(flag.name().to_owned(), flag.to_string());
    }

    /// `+name`, `-name`, `name` or `name=value`.
    fn text(&mut self, text: &str) {
        let name = text.trim_start_matches(['+', '-']).split('=').next().unwrap_or_default();
        self.0.insert(name.to_owned(), text.to_owned());
    }
}

fn usual(at: &Situation<'_>, model: &str, features: &mut Features) {
    if !at.board.is_x86() {
        return;
    }
    // Windows does not install without: `lahf_lm` since 8.1, `sep` since 8.
    if model == "kvm64" {
        features.text("+lahf_lm");
    }
    if matches!(model, "kvm64" | "kvm32") {
        features.text("+sep");
    }
    // Solaris loses interrupts with it.
    if at.vm.os_type == OsType::Solaris {
        features.text("-x2apic");
    }
    // Broken on that processor.
    if model.starts_with("Opteron") {
        features.text("-rdtscp");
    }
    if at.is_kvm() {
        features.text("+kvm_pv_unhalt");
        features.text("+kvm_pv_eoi");
    }
}

/// Hyper-V's interfaces, which make Windows quick. Vista and 7 do not boot with them under UEFI.
fn enlightenments(at: &Situation<'_>, features: &mut Features) {
    let Some(windows) = at.windows.filter(|version| *version >= 6 && at.is_kvm() && at.board.is_x86()) else { return };
    if at.vm.bios == Firmware::Ovmf && windows < 8 {
        return;
    }
    let usual = ["hv_spinlocks=0x1fff", "hv_vapic", "hv_time", "hv_reset", "hv_vpindex", "hv_runtime"];
    let since_7 = ["hv_relaxed", "hv_synic", "hv_stimer", "hv_ipi"].into_iter().filter(|_| windows >= 7);
    usual.into_iter().chain(since_7).for_each(|name| features.text(name));
    let custom = at.host.cpu_model.as_ref().and_then(|custom| custom.hv_vendor_id.as_ref());
    let vendor = at.vm.cpu.hv_vendor_id.as_ref().or(custom).map(HvVendorId::as_str);
    // Some drivers of graphics cards refuse to work under Microsoft's own.
    if let Some(vendor) = vendor.or(at.has_host_gpu.then_some("proxmox")) {
        features.text(&format!("hv_vendor_id={vendor}"));
    }
}

/// What no flag changes.
fn forced(at: &Situation<'_>, model: &str, features: &mut Features) {
    // The translator lacks features of most models and says so itself; KVM must not start with less than was asked.
    if at.is_kvm() && at.board.is_x86() && !matches!(model, "host" | "max") {
        features.text("enforce");
    }
    let custom = at.host.cpu_model.as_ref().is_some_and(|custom| custom.hidden);
    if at.vm.cpu.hidden || custom || at.has_host_gpu {
        features.text("kvm=off");
    }
    // A model's features are of its maker; the host's own name would contradict them.
    if at.board.is_x86() && !GENERIC.contains(&model) {
        let amd = AMD.iter().any(|prefix| model.starts_with(prefix));
        features.text(if amd { "vendor=AuthenticAMD" } else { "vendor=GenuineIntel" });
    }
    if let Some(level) = at.vm.cpu.level {
        features.text(&format!("level={level}"));
    }
}

/// A flag as the host's processors have it.
fn known_here(at: &Situation<'_>, flag: &CpuFlag) -> Result<CpuFlag, Refusal> {
    if flag.name() != NESTED {
        return Ok(flag.clone());
    }
    let name = match at.host.facts.vendor {
        CpuVendor::Intel => "vmx",
        CpuVendor::Amd => "svm",
        CpuVendor::Other => return Err(Refusal::host("cpu", "this host's processors have no nested virtualization")),
    };
    let text = format!("{}{name}", if flag.on { '+' } else { '-' });
    text.parse().map_err(|_| Refusal::setting("cpu", format!("'{text}' is no flag")))
}

fn address_bits(at: &Situation<'_>) -> Result<Vec<String>, Refusal> {
    let custom = at.host.cpu_model.as_ref();
    let physical = at.vm.cpu.phys_bits.or_else(|| custom.and_then(|custom| custom.phys_bits));
    let tables = at.vm.cpu.guest_phys_bits.or_else(|| custom.and_then(|custom| custom.guest_phys_bits));
    let there = match physical {
        Some(PhysBits::Bits(bits)) => bits,
        Some(PhysBits::Host) | None => at.host.facts.address_bits,
    };
    if let Some(tables) = tables.filter(|tables| *tables > there) {
        return Err(Refusal::setting("cpu", format!("guest-phys-bits: {tables} are more than the {there} bits that there are")));
    }
    let physical = physical.map(|bits| match bits {
        PhysBits::Host => "host-phys-bits=true".to_owned(),
        PhysBits::Bits(bits) => format!("phys-bits={bits}"),
    });
    Ok(physical.into_iter().chain(tables.map(|bits| format!("guest-phys-bits={bits}"))).collect())
}

/// Bits of physical addresses that the guest sees. QEMU's models have 40 unless told otherwise.
pub(super) fn physical_bits(vm: &ResolvedVm, at: &Situation<'_>) -> u8 {
    let custom = at.host.cpu_model.as_ref().and_then(|custom| custom.phys_bits);
    match vm.cpu.phys_bits.or(custom) {
        Some(PhysBits::Bits(bits)) => bits,
        Some(PhysBits::Host) => at.host.facts.address_bits,
        None if matches!(model_name(at), Ok("host" | "max")) => at.host.facts.address_bits,
        None => 40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_the_tables_is_a_flag() {
        for flag in LEVELS.iter().flat_map(|level| level.1) {
            assert!(flag.parse::<CpuFlag>().is_ok(), "{flag}");
        }
    }

    #[test]
    fn the_last_word_on_a_feature_counts() {
        let mut features = Features::default();
        ["+aes", "hv_spinlocks=0x1fff", "-aes"].iter().for_each(|text| features.text(text));
        assert_eq!(features.0.into_values().collect::<Vec<_>>(), ["-aes", "hv_spinlocks=0x1fff"]);
    }
}
