//! UEFI: which firmware, and the flash that it and its variables are in.

use gpve_core::types::{Arch, DiskBus, DiskSlot, EfiType, Firmware, MachineKind, ResolvedVm, SevKind};

use super::super::blockdev::{Blockdev, Image, throttle_group, top_node};
use super::super::board::Board;
use super::super::device::Object;
use super::super::refusal::Refusal;
use super::super::switches::Bios;
use super::situation::Situation;
use super::{Assembly, Facts, confidential, cpu};

/// QEMU's node of the firmware's code.
const CODE_NODE: &str = "pflash0";

/// Names of the firmware's files, as the packages of edk2 have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirmwareFiles {
    /// The code.
    pub code: &'static str,
    /// What the variables begin as; none where the firmware keeps none.
    pub variables: Option<&'static str>,
}

impl FirmwareFiles {
    const fn of(code: &'static str, variables: &'static str) -> Self {
        Self { code, variables: Some(variables) }
    }

    const fn without_variables(code: &'static str) -> Self {
        Self { code, variables: None }
    }
}

/// The firmware of a machine; none for SeaBIOS, which QEMU brings along.
///
/// # Errors
/// A machine that no firmware is for.
pub fn firmware_files(vm: &ResolvedVm, host: &Facts) -> Result<Option<FirmwareFiles>, Refusal> {
    let board = Board::of(vm, host)?;
    if vm.bios != Firmware::Ovmf {
        return Ok(None);
    }
    // Before a file is missed that such a host would have.
    confidential::check_host(vm, host)?;
    let options = vm.disks.get(&variables_slot()?).map(|disk| &disk.options);
    let is_large = options.is_some_and(|options| options.efi_type == Some(EfiType::FourMib));
    let enrolled = options.is_some_and(|options| options.pre_enrolled_keys == Some(true));
    if board.arch == Arch::Aarch64 {
        return Ok(Some(FirmwareFiles::of("AAVMF_CODE.fd", "AAVMF_VARS.fd")));
    }
    Ok(Some(match (vm.sev.map(|sev| sev.kind), vm.tdx.is_some()) {
        // What is measured before the guest starts is one piece and keeps nothing.
        (Some(SevKind::Snp), _) => FirmwareFiles::without_variables("OVMF_SEV_4M.fd"),
        (_, true) => FirmwareFiles::without_variables("OVMF_TDX_4M.fd"),
        (Some(SevKind::Std | SevKind::Es), false) => FirmwareFiles::of("OVMF_SEV_CODE_4M.fd", "OVMF_SEV_VARS_4M.fd"),
        // Of before 2021; edk2 does not build it any more.
        (None, false) if !is_large => FirmwareFiles::of("OVMF_CODE.fd", "OVMF_VARS.fd"),
        (None, false) => {
            // Secure Boot proper needs SMM, which only Q35 boards have.
            let code = if board.kind == MachineKind::Q35 { "OVMF_CODE_4M.secboot.fd" } else { "OVMF_CODE_4M.fd" };
            FirmwareFiles::of(code, if enrolled { "OVMF_VARS_4M.ms.fd" } else { "OVMF_VARS_4M.fd" })
        }
    }))
}

/// The slot of the variables' volume.
fn variables_slot() -> Result<DiskSlot, Refusal> {
    DiskSlot::new(DiskBus::Efi, 0).map_err(|error| Refusal::setting("efidisk0", error.to_string()))
}

/// The flash of a UEFI machine.
pub(super) fn firmware(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    let Some(files) = firmware_files(at.vm, &at.host.facts)? else { return Ok(()) };
    if at.board.is_x86() && cpu::is_narrow(at)? {
        return Err(Refusal::setting("bios", "UEFI needs a processor with 64-bit mode"));
    }
    let code = at.host.firmware.as_ref().ok_or_else(|| Refusal::host("bios", format!("this host has no UEFI firmware {}", files.code)))?;
    let slot = variables_slot()?;
    if files.variables.is_none() {
        if at.vm.disks.contains_key(&slot) {
            out.warn("efidisk0", "is not used: this guest's firmware keeps no variables");
        }
        out.switch(&Bios(Blockdev::firmware_code(CODE_NODE, code).to_json()["file"]["filename"].as_str().unwrap_or_default().to_owned()));
        return Ok(());
    }
    if !at.vm.disks.contains_key(&slot) {
        out.warn("efidisk0", "there is none: what the firmware stores is forgotten when the guest stops");
    }
    let image = at.host.images.get(&slot);
    let image = image.ok_or_else(|| Refusal::host("efidisk0", "the volume of the firmware's variables was not opened"))?;
    // Before 4.1+pve2 the guest saw all of a raw volume.
    let size = image.size.filter(|_| at.board.is_at_least(4, 1, 2));
    let image = &Image { size, ..image.clone() };
    let label = slot.to_string();
    out.object(&Object::throttle_group(throttle_group(&label), serde_json::Map::new()));
    out.switch(&Blockdev::firmware_code(CODE_NODE, code));
    out.switch(&Blockdev::firmware_variables(&label, image, at.host.default_aio));
    out.machine("pflash0", CODE_NODE);
    out.machine("pflash1", top_node(&label));
    Ok(())
}
