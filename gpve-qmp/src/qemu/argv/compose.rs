//! From a resolved machine and the host's side of it to the whole command line. Pure.
//!
//! The hardware is Proxmox VE's: the same settings give the same devices at the same addresses, at the level of the
//! machine's version. What is different lies on the host's side only: who opens files, sockets and interfaces.

use gpve_core::types::{Firmware, MachineKind, OsType, ResolvedVm};

use super::board::Board;
use super::device::{Address, Device, Object, PciBus};
use super::layout::{self, Place};
use super::line::{CommandLine, Switch};
use super::option::Prop;
use super::refusal::{Refusal, Warning};
use super::switches::{
    self, Action, Append, Boot, Display, Global, Initrd, Kernel, Machine, Monitor, Name, NoDefaults, NoReboot, NoUserConfig, Paused,
    Pidfile, Rtc, Sandbox, Smbios, Snapshot,
};

mod confidential;
mod cpu;
mod devices;
mod disks;
mod display;
mod firmware;
mod host;
mod memory;
mod net;
mod passthrough;
mod ports;
mod situation;
mod template;
mod usb;

pub use cpu::CustomCpu;
pub(crate) use devices::AGENT_PORT_ID;
pub use devices::agent_devices;
pub use disks::{DiskDevices, disk_devices};
pub(crate) use display::has_display;
pub use firmware::{FirmwareFiles, firmware_files};
pub use host::{CpuVendor, Facts, Host, KernelFiles, NicBackend, SevFacts, SpiceServer};
pub use net::nic_device;
pub(crate) use net::{netdev, queues};
pub use passthrough::{MappedDevice, reserve};
use situation::Situation;

/// Where the guest's firmware waits before it tries to boot again.
const REBOOT_TIMEOUT_MS: u32 = 1000;

/// A command line, and what of it is not as the machine's settings say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// QEMU's arguments.
    pub arguments: Vec<String>,
    /// Settings that are not obeyed to the letter.
    pub warnings: Vec<Warning>,
}

/// The command line of `vm` on `host`. Halted before its first instruction, sandboxed, without default devices.
///
/// # Errors
/// A setting that contradicts another, or that this host or its QEMU cannot do; a value that no argument can hold.
pub fn compose(vm: &ResolvedVm, host: &Host) -> Result<Composed, Refusal> {
    let mut vm = if vm.template { template::reduced(vm) } else { vm.clone() };
    vm.machine.kind = Board::of(&vm, &host.facts)?.kind;
    let vm = &vm;
    let at = Situation::new(vm, host)?;
    let mut out = Assembly::default();
    process(&at, &mut out);
    board(&at, &mut out)?;
    firmware::firmware(&at, &mut out)?;
    if let Some(cpu) = cpu::cpu(&at)? {
        out.switch(&cpu);
    }
    memory::memory(&at, &mut out)?;
    devices::devices(&at, &mut out)?;
    disks::disks(&at, &mut out)?;
    net::nics(&at, &mut out)?;
    ports::shared_folders(&at, &mut out)?;
    confidential::confidential(&at, &mut out)?;
    kernel(&at, &mut out);
    finish(&at, out)
}

/// A command line under way. Bridges come before the devices on them, which are known last.
#[derive(Default)]
struct Assembly {
    early: CommandLine,
    late: CommandLine,
    buses: Vec<PciBus>,
    machine: Vec<(&'static str, Prop)>,
    warnings: Vec<Warning>,
}

impl Assembly {
    fn switch<S: Switch>(&mut self, switch: &S) {
        self.early.push(switch);
    }

    /// A switch that follows the bridges, where devices refer to it.
    fn late<S: Switch>(&mut self, switch: &S) {
        self.late.push(switch);
    }

    fn object(&mut self, object: &Object) {
        self.early.push(object);
    }

    fn device(&mut self, device: &Device) {
        self.late.push(device);
    }

    fn use_bus(&mut self, address: Option<Address>) {
        self.buses.extend(address.map(|address| address.bus));
    }

    /// A device at its place.
    fn place(&mut self, at: &Situation<'_>, device: Device, place: Place) -> Option<Address> {
        let address = at.address(place);
        self.use_bus(address);
        self.device(&device.at(address));
        address
    }

    fn machine(&mut self, key: &'static str, value: impl Into<Prop>) {
        self.machine.push((key, value.into()));
    }

    fn warn(&mut self, field: impl Into<String>, text: impl Into<String>) {
        self.warnings.push(Warning { field: field.into(), text: text.into() });
    }
}

fn process(at: &Situation<'_>, out: &mut Assembly) {
    let (vm, host) = (at.vm, at.host);
    out.switch(&Name { guest: vm.name.to_string(), debug_threads: true });
    out.switch(&NoUserConfig);
    out.switch(&NoDefaults);
    out.switch(&Paused);
    out.switch(&Sandbox);
    if vm.no_reboot {
        out.switch(&NoReboot);
    }
    out.switch(&Action);
    host.descriptors.iter().for_each(|descriptor| out.switch(descriptor));
    out.switch(&switches::Chardev::Socket { id: "qmp".to_owned(), socket: host.qmp.clone(), log: None });
    out.switch(&Monitor { chardev: "qmp".to_owned() });
    out.switch(&Pidfile(host.pidfile.to_string_lossy().into_owned()));
    if let Some(initiator) = &host.iscsi_initiator {
        out.switch(&switches::Iscsi { initiator: initiator.clone() });
    }
}

fn board(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    let vm = at.vm;
    out.switch(&at.host.accelerator);
    if at.board.has_pci() {
        smbios(vm, out);
        // A menu is for whoever chooses among disks: a kernel that is started directly leaves no choice.
        out.switch(&Boot { menu: vm.kernel.is_none(), strict: true, reboot_timeout_ms: REBOOT_TIMEOUT_MS });
    }
    out.switch(&Display("none".to_owned()));
    clock(at, out);
    sleep_states(at, out);
    if at.windows.is_some_and(|version| version >= 6) && at.is_kvm() {
        out.switch(&Global { property: "kvm-pit.lost_tick_policy", value: "discard".into() });
    }
    if has_no_hpet(at) {
        out.machine("hpet", false);
    }
    if !vm.acpi {
        out.machine("acpi", false);
    }
    if vm.no_ksm {
        out.machine("mem-merge", false);
    }
    if at.board.kind == MachineKind::Microvm {
        // Without it Linux starts in 1970.
        out.machine("rtc", true);
    }
    // SMM would draw on a display that is not there.
    let is_blind = vm.vga.is_some_and(|vga| vga.serial_port().is_some() || vga == gpve_core::types::Vga::None);
    if is_blind && vm.bios == Firmware::Seabios && matches!(at.board.kind, MachineKind::Pc | MachineKind::Q35) {
        out.machine("smm", false);
    }
    Ok(())
}

fn smbios(vm: &ResolvedVm, out: &mut Assembly) {
    let texts = &vm.smbios;
    let fields = [
        ("uuid", vm.uuid.map(|uuid| uuid.to_string())),
        ("manufacturer", texts.manufacturer.as_ref().map(ToString::to_string)),
        ("product", texts.product.as_ref().map(ToString::to_string)),
        ("version", texts.version.as_ref().map(ToString::to_string)),
        ("serial", texts.serial.as_ref().map(ToString::to_string)),
        ("sku", texts.sku.as_ref().map(ToString::to_string)),
        ("family", texts.family.as_ref().map(ToString::to_string)),
    ];
    let fields: Vec<_> = fields.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).collect();
    if !fields.is_empty() {
        out.switch(&Smbios { fields });
    }
}

/// Windows keeps the clock in local time, and loses ticks when its processors wait; it needs ACPI to notice.
fn clock(at: &Situation<'_>, out: &mut Assembly) {
    let asked = &at.vm.clock;
    let slew = asked.drift_fix.unwrap_or(at.windows.is_some() && at.vm.acpi) && at.board.has_pci() && at.board.is_x86();
    let start = asked.start.as_ref().map(ToString::to_string).filter(|start| start != "now");
    let is_local = asked.local_time.unwrap_or(at.windows.is_some());
    let base = start.or_else(|| is_local.then(|| "localtime".to_owned()));
    if slew || base.is_some() {
        out.switch(&Rtc { slew, base });
    }
}

/// Sleep is off since 9.2+pve1: a guest that sleeps looks dead, and many did so by themselves.
fn sleep_states(at: &Situation<'_>, out: &mut Assembly) {
    let by_default = !at.board.is_at_least(9, 2, 1);
    let machine = &at.vm.machine;
    let (s3, s4) = match at.board.kind {
        MachineKind::Pc => ("PIIX4_PM.disable_s3", "PIIX4_PM.disable_s4"),
        MachineKind::Q35 => ("ICH9-LPC.disable_s3", "ICH9-LPC.disable_s4"),
        MachineKind::Virt | MachineKind::Microvm => return,
    };
    for (property, _) in [(s3, machine.enable_s3), (s4, machine.enable_s4)].into_iter().filter(|(_, on)| !on.unwrap_or(by_default)) {
        out.switch(&Global { property, value: 1u8.into() });
    }
    // Under UEFI a recent Q35 board plugs behind its bridges by PCI Express itself, not through ACPI.
    if at.board.kind == MachineKind::Q35 && at.vm.bios == Firmware::Ovmf && at.board.is_at_least(11, 0, 0) {
        out.switch(&Global { property: "ICH9-LPC.acpi-pci-hotplug-with-bridge-support", value: false.into() });
    }
}

/// Systems with a clock of their own, which an HPET only costs time: Windows since Vista, and Linux from board 10.1 on.
fn has_no_hpet(at: &Situation<'_>) -> bool {
    let is_modern_linux = at.vm.os_type == OsType::L26 && at.board.is_at_least(10, 1, 0);
    let has_hpet = matches!(at.board.kind, MachineKind::Pc | MachineKind::Q35);
    has_hpet && (is_modern_linux || at.windows.is_some_and(|version| version >= 6))
}

fn kernel(at: &Situation<'_>, out: &mut Assembly) {
    let (Some(asked), Some(files)) = (&at.vm.kernel, &at.host.kernel) else { return };
    out.late(&Kernel(files.kernel.clone()));
    if let Some(initrd) = &files.initrd {
        out.late(&Initrd(initrd.clone()));
    }
    if !asked.cmdline.is_empty() {
        out.late(&Append(asked.cmdline.clone()));
    }
}

fn finish(at: &Situation<'_>, out: Assembly) -> Result<Composed, Refusal> {
    let mut line = out.early;
    if at.board.kind == MachineKind::Q35 {
        line.extend(&layout::q35_board(!at.board.is_at_least(4, 0, 0)));
    }
    line.extend(&layout::bridges(at.board.kind, &out.buses, at.beside_igd));
    line.append(out.late);
    line.push(&Machine { kind: at.board.name(), properties: out.machine });
    if at.vm.template {
        line.push(&Snapshot);
    }
    for raw in &at.vm.args {
        line.push_raw(raw.as_ref());
    }
    Ok(Composed { arguments: line.into_arguments()?, warnings: out.warnings })
}
