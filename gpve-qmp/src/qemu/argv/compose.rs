//! From a resolved machine and the host's side of it to the whole command line. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gpve_core::types::{Aio, BootDevice, DiskSlot, MachineKind, NicIndex, OsType, ResolvedVm};

use super::blockdev::Image;
use super::line::{BadOperand, CommandLine};
use super::switches::TapSource;
use super::switches::{
    Accelerator, Action, AddFd, Append, Boot, Display, Global, Initrd, Kernel, Keyboard, ListeningSocket, Machine, Memory, Monitor, Name,
    NoDefaults, NoReboot, NoUserConfig, Paused, Pidfile, Rtc, Sandbox, Smbios, Smp, Vnc,
};
use super::{device, layout, switches};

mod cpu;
mod devices;
mod disks;

pub(crate) use devices::{AGENT_PORT_ID, has_display, netdev, queues};
pub use devices::{agent_devices, nic_device};
pub use disks::{DiskDevices, disk_devices};

/// Where the guest's firmware waits before it tries to boot again.
const REBOOT_TIMEOUT_MS: u32 = 1000;

/// The host's side of a machine: what was decided and opened for it.
#[derive(Debug, Clone)]
pub struct Host {
    /// How its processors are driven.
    pub accelerator: Accelerator,
    /// I/O mode of disks that ask for none.
    pub default_aio: Aio,
    /// The image in each slot that has one.
    pub images: BTreeMap<DiskSlot, Image>,
    /// How each card reaches the network.
    pub nics: BTreeMap<NicIndex, NicBackend>,
    /// The monitor.
    pub qmp: ListeningSocket,
    /// The agent's channel, for a machine that has one.
    pub agent: Option<ListeningSocket>,
    /// Serial ports that are sockets.
    pub serials: BTreeMap<u8, ListeningSocket>,
    /// The VNC server's socket.
    pub vnc: PathBuf,
    /// The kernel's and the RAM disk's file, as QEMU can open them, for a machine that starts one.
    pub kernel: Option<KernelFiles>,
    /// Where QEMU writes its number.
    pub pidfile: PathBuf,
    /// Inherited descriptors that images refer to.
    pub descriptors: Vec<AddFd>,
}

/// The host's side of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NicBackend {
    /// A tap interface.
    Tap {
        /// How QEMU reaches it.
        source: TapSource,
        /// MTU for the guest to be told.
        mtu: Option<u16>,
    },
    /// QEMU's user-mode stack.
    User,
}

/// Files of a kernel to start directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFiles {
    /// The kernel.
    pub kernel: String,
    /// The RAM disk.
    pub initrd: Option<String>,
}

/// The command line of `vm` on `host`. Halted before its first instruction, sandboxed, without default devices.
///
/// # Errors
/// A value that no argument can hold.
pub fn compose(vm: &ResolvedVm, host: &Host) -> Result<Vec<String>, BadOperand> {
    let mut line = CommandLine::new();
    process(&mut line, vm, host);
    board(&mut line, vm, host);
    let disks = disks::of_machine(vm, host);
    line.extend(&disks.objects);
    globals(&mut line, vm, host);
    let placed = devices::of_machine(vm, host);
    let used = disks.addresses.iter().chain(&placed.addresses).copied().collect::<Vec<_>>();
    line.extend(&layout::bridges(vm.machine.kind, &used));
    placed.push(&mut line);
    disks.push(&mut line);
    devices::push_nics(&mut line, vm, host);
    kernel(&mut line, vm, host);
    line.push(&machine(vm));
    for raw in &vm.args {
        line.push_raw(raw.as_ref());
    }
    line.into_arguments()
}

fn process(line: &mut CommandLine, vm: &ResolvedVm, host: &Host) {
    line.push(&Name { guest: vm.name.to_string(), debug_threads: true });
    line.push(&NoUserConfig);
    line.push(&NoDefaults);
    line.push(&Paused);
    line.push(&Sandbox);
    if vm.no_reboot {
        line.push(&NoReboot);
    }
    line.push(&Action);
    line.extend(&host.descriptors);
    line.push(&switches::Chardev::Socket { id: "qmp".to_owned(), socket: host.qmp.clone(), log: None });
    line.push(&Monitor { chardev: "qmp".to_owned() });
    line.push(&Pidfile(host.pidfile.to_string_lossy().into_owned()));
}

fn board(line: &mut CommandLine, vm: &ResolvedVm, host: &Host) {
    line.push(&host.accelerator);
    if vm.machine.kind != MachineKind::Microvm {
        line.push(&Smbios { uuid: vm.uuid.to_string() });
    }
    let vcpus = vm.cpu.vcpus.unwrap_or(vm.cpu.total());
    line.push(&Smp { vcpus, sockets: vm.cpu.sockets, cores: vm.cpu.cores });
    if vm.machine.kind != MachineKind::Microvm {
        line.push(&Boot { strict: true, reboot_timeout_ms: REBOOT_TIMEOUT_MS });
    }
    line.push(&Display("none".to_owned()));
    if has_display(vm) {
        line.push(&Vnc { socket: host.vnc.clone() });
        if let Some(keyboard) = &vm.keyboard {
            line.push(&Keyboard(keyboard.to_string()));
        }
    }
    if let Some(cpu) = cpu::cpu(vm, host.accelerator) {
        line.push(&cpu);
    }
    line.push(&Memory(vm.memory.get()));
    if is_windows(vm.os_type) {
        line.push(&Rtc { slew: vm.machine.kind != MachineKind::Microvm, local_time: true });
    }
}

fn globals(line: &mut CommandLine, vm: &ResolvedVm, host: &Host) {
    let global = |property, value: u8| Global { property, value: value.into() };
    // Sleep is off as in PVE: a guest that sleeps looks dead. Without ACPI there is none.
    match vm.machine.kind {
        _ if !vm.acpi => {}
        MachineKind::Pc => line.extend(&[global("PIIX4_PM.disable_s3", 1), global("PIIX4_PM.disable_s4", 1)]),
        MachineKind::Q35 => line.extend(&[global("ICH9-LPC.disable_s3", 1), global("ICH9-LPC.disable_s4", 1)]),
        MachineKind::Microvm => {}
    }
    if is_windows(vm.os_type) && host.accelerator == Accelerator::Kvm {
        line.push(&Global { property: "kvm-pit.lost_tick_policy", value: "discard".into() });
    }
}

fn kernel(line: &mut CommandLine, vm: &ResolvedVm, host: &Host) {
    let (Some(asked), Some(files)) = (&vm.kernel, &host.kernel) else { return };
    line.push(&Kernel(files.kernel.clone()));
    if let Some(initrd) = &files.initrd {
        line.push(&Initrd(initrd.clone()));
    }
    if !asked.cmdline.is_empty() {
        line.push(&Append(asked.cmdline.clone()));
    }
}

fn machine(vm: &ResolvedVm) -> Machine {
    let microvm = vm.machine.kind == MachineKind::Microvm;
    // A revision such as `+pve1` is PVE's patch level; QEMU itself knows only the number.
    let version = vm.machine.version.as_ref().map(ToString::to_string);
    let number = version.as_deref().map(|version| version.split('+').next().unwrap_or_default());
    let kind = match (vm.machine.kind, number) {
        (MachineKind::Pc, None) => "pc".to_owned(),
        (MachineKind::Q35, None) => "q35".to_owned(),
        (MachineKind::Pc, Some(number)) => format!("pc-i440fx-{number}"),
        (MachineKind::Q35, Some(number)) => format!("pc-q35-{number}"),
        // Has no versions.
        (MachineKind::Microvm, _) => "microvm".to_owned(),
    };
    let knows_better = vm.os_type == OsType::L26 || is_modern_windows(vm.os_type);
    Machine { kind, acpi: vm.acpi, no_hpet: knows_better && !microvm, rtc: microvm.then_some(true) }
}

/// The rank of a device among those that are booted, as `bootindex`.
fn boot_index(vm: &ResolvedVm, device: BootDevice) -> Option<u32> {
    let rank = vm.boot.iter().position(|booted| *booted == device)?;
    u32::try_from(rank).ok().map(|rank| 100 + rank)
}

/// Whether the guest is a Windows: its clock holds local time.
fn is_windows(os: OsType) -> bool {
    matches!(os, OsType::Wxp | OsType::W2k | OsType::W2k3) || is_modern_windows(os)
}

/// Windows since Vista: has its own timers and knows Hyper-V's interfaces.
fn is_modern_windows(os: OsType) -> bool {
    matches!(os, OsType::W2k8 | OsType::Wvista | OsType::Win7 | OsType::Win8 | OsType::Win10 | OsType::Win11)
}

/// An address that is taken, if the board has addresses.
fn taken(vm: &ResolvedVm, place: layout::Place) -> Option<device::Address> {
    layout::address(vm.machine.kind, place)
}
