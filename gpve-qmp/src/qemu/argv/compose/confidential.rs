//! Memory encryption against the host, and the virtual IOMMU.

use gpve_core::types::{Firmware, MachineKind, ResolvedVm, SevKind, SevSpec, TdxSpec, Viommu};
use serde_json::json;

use super::super::device::{Device, Object};
use super::super::refusal::Refusal;
use super::situation::Situation;
use super::{Assembly, Facts};

/// Bits of SEV's policy.
const NO_DEBUG: u32 = 1 << 0;
const NO_KEY_SHARING: u32 = 1 << 1;
const ENCRYPTED_STATE: u32 = 1 << 2;
/// The guest is never sent to another machine: whoever could receive it could read it.
const NO_SEND: u32 = 1 << 3;

/// Bits of SEV-SNP's policy, which is another.
const SNP_ALLOW_SMT: u32 = 1 << 16;
/// Always set.
const SNP_RESERVED: u32 = 1 << 17;
const SNP_DEBUG: u32 = 1 << 19;

pub(super) fn confidential(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    if let Some(sev) = at.vm.sev {
        encrypt(at, out, sev)?;
    }
    if let Some(tdx) = at.vm.tdx {
        trust_domain(at, out, tdx)?;
    }
    iommu(at, out)
}

/// Whether the host's processors can encrypt as asked.
pub(super) fn check_host(vm: &ResolvedVm, host: &Facts) -> Result<(), Refusal> {
    let Some(kind) = vm.sev.map(|sev| sev.kind) else { return Ok(()) };
    let has = match kind {
        SevKind::Std => host.sev.std,
        SevKind::Es => host.sev.es,
        SevKind::Snp => host.sev.snp,
    };
    let refuse = || Refusal::host("amd-sev", format!("this host's processors have no memory encryption of type {kind}"));
    if has { Ok(()) } else { Err(refuse()) }
}

fn encrypt(at: &Situation<'_>, out: &mut Assembly, sev: SevSpec) -> Result<(), Refusal> {
    if at.vm.bios != Firmware::Ovmf {
        return Err(Refusal::setting("amd-sev", "memory encryption needs bios: ovmf"));
    }
    check_host(at.vm, &at.host.facts)?;
    let facts = at.host.facts.sev;
    let is_set = |flag: Option<bool>| flag == Some(true);
    let bit = |on: bool, bit: u32| if on { bit } else { 0 };
    let (kind, policy) = match sev.kind {
        SevKind::Snp => {
            let smt = bit(sev.allow_smt != Some(false), SNP_ALLOW_SMT);
            ("sev-snp-guest", SNP_RESERVED | smt | bit(!is_set(sev.no_debug), SNP_DEBUG))
        }
        SevKind::Std | SevKind::Es => {
            let secrets = bit(is_set(sev.no_debug), NO_DEBUG) | bit(is_set(sev.no_key_sharing), NO_KEY_SHARING);
            ("sev-guest", NO_SEND | secrets | bit(sev.kind == SevKind::Es, ENCRYPTED_STATE))
        }
    };
    let object = Object::new(kind, "sev0").set("cbitpos", facts.cbitpos).set("reduced-phys-bits", facts.reduced_phys_bits);
    let object = object.set("policy", format!("{policy:#x}"));
    out.object(&object.maybe("kernel-hashes", is_set(sev.kernel_hashes).then_some(true)));
    out.machine("confidential-guest-support", "sev0");
    Ok(())
}

fn trust_domain(at: &Situation<'_>, out: &mut Assembly, tdx: TdxSpec) -> Result<(), Refusal> {
    if at.vm.bios != Firmware::Ovmf || at.board.kind != MachineKind::Q35 {
        return Err(Refusal::setting("intel-tdx", "a trust domain needs bios: ovmf and machine: q35"));
    }
    let mut object = Object::new("tdx-guest", "tdx0");
    if tdx.attestation {
        let (cid, port) = (tdx.vsock_cid.unwrap_or(2), tdx.vsock_port.unwrap_or(4050));
        let socket = json!({"type": "vsock", "cid": cid.to_string(), "port": port.to_string()});
        object = object.structure("quote-generation-socket", socket);
    }
    out.object(&object);
    out.machine("confidential-guest-support", "tdx0");
    out.machine("kernel-irqchip", "split");
    Ok(())
}

/// The virtual IOMMU, whose addresses no wider than the host's can be passed on.
fn iommu(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    let width = at.vm.machine.aw_bits;
    match at.vm.machine.viommu {
        None if width.is_some() => Err(Refusal::setting("machine", "aw-bits is the width of a vIOMMU, and there is none")),
        None => Ok(()),
        Some(Viommu::Intel) if at.board.kind != MachineKind::Q35 => Err(Refusal::setting("machine", "viommu=intel needs type q35")),
        Some(Viommu::Intel) => {
            // Before the devices that it translates for.
            let device = Device::new("intel-iommu").set("intremap", true).set("caching-mode", true).maybe("aw-bits", width);
            out.switch(&device);
            out.machine("kernel-irqchip", "split");
            Ok(())
        }
        Some(Viommu::Virtio) => {
            out.device(&Device::new("virtio-iommu-pci").maybe("aw-bits", width));
            Ok(())
        }
    }
}
