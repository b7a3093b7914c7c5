//! Everything on the board that is not a disk.

use gpve_core::types::{AgentSpec, BootDevice, MachineKind, NicIndex, NicModel, ResolvedNic, ResolvedVm, RngSpec, SerialPort, Vga};

use super::super::device::{Address, Device, Object};
use super::super::layout::{Place, tablet};
use super::super::line::CommandLine;
use super::super::switches::{Chardev, Netdev};
use super::{Host, NicBackend, boot_index, taken};

/// The agent's name of its channel.
const AGENT_PORT: &str = "org.qemu.guest_agent.0";

/// QEMU's id of that channel, which its events name.
pub(crate) const AGENT_PORT_ID: &str = "qga0-port";

/// Bytes of entropy a guest may take in a period unless told otherwise, as PVE.
const RNG_MAX_BYTES: u32 = 1024;
/// That period in milliseconds.
const RNG_PERIOD_MS: u32 = 1000;

/// Devices with what they are connected to, in the order of the command line.
#[derive(Default)]
pub(super) struct Devices {
    parts: Vec<Part>,
    pub(super) addresses: Vec<Address>,
}

enum Part {
    Device(Device),
    Object(Object),
    Chardev(Chardev),
}

impl Devices {
    pub(super) fn push(&self, line: &mut CommandLine) {
        for part in &self.parts {
            match part {
                Part::Device(device) => line.push(device),
                Part::Object(object) => line.push(object),
                Part::Chardev(chardev) => line.push(chardev),
            }
        }
    }

    fn add(&mut self, device: Device) {
        self.parts.push(Part::Device(device));
    }

    fn add_at(&mut self, device: Device, address: Option<Address>) {
        self.addresses.extend(address);
        self.add(device.at(address));
    }
}

pub(super) fn of_machine(vm: &ResolvedVm, host: &Host) -> Devices {
    let mut devices = Devices::default();
    let microvm = is_microvm(vm);
    if let Some(id) = vm.generation_id.filter(|_| !microvm) {
        devices.add(Device::new("vmgenid").set("guid", id.to_string()));
    }
    if vm.tablet && has_display(vm) {
        tablet(vm.machine.kind).into_iter().for_each(|device| devices.add(device));
    }
    if let Some(driver) = display_driver(vm) {
        devices.add_at(Device::new(driver).set("id", "vga"), taken(vm, Place::Vga));
    }
    serials(&mut devices, vm, host);
    if let (Some(agent), Some(socket)) = (&vm.agent, &host.agent) {
        let address = taken(vm, Place::Agent);
        devices.addresses.extend(address);
        devices.parts.push(Part::Chardev(Chardev::Socket { id: "qga0".to_owned(), socket: socket.clone(), log: None }));
        agent_devices(vm, agent, address).into_iter().for_each(|device| devices.add(device));
    }
    if let Some(rng) = &vm.rng {
        add_rng(&mut devices, vm, rng);
    }
    if vm.balloon {
        let device = Device::new(if microvm { "virtio-balloon-device" } else { "virtio-balloon-pci" }).set("id", "balloon0");
        let address = taken(vm, Place::Balloon);
        devices.addresses.extend(address);
        devices.add(device.at(address).set("free-page-reporting", true));
    }
    if !microvm {
        // How we hear that the guest's kernel panicked.
        devices.add(Device::new("pvpanic"));
    }
    devices.addresses.extend(vm.networks.keys().filter_map(|index| taken(vm, Place::Net(index.get()))));
    devices
}

fn is_microvm(vm: &ResolvedVm) -> bool {
    vm.machine.kind == MachineKind::Microvm
}

/// Whether there is a display for VNC to show.
pub(crate) fn has_display(vm: &ResolvedVm) -> bool {
    display_driver(vm).is_some()
}

fn display_driver(vm: &ResolvedVm) -> Option<&'static str> {
    if is_microvm(vm) {
        return None;
    }
    match vm.vga {
        Vga::Std => Some("VGA"),
        Vga::Cirrus => Some("cirrus-vga"),
        Vga::Vmware => Some("vmware-svga"),
        Vga::Qxl => Some("qxl-vga"),
        // OpenGL needs a render node of the host; without it the same adapter in two dimensions.
        Vga::Virtio | Vga::VirtioGl => Some("virtio-vga"),
        Vga::Serial0 | Vga::Serial1 | Vga::Serial2 | Vga::Serial3 | Vga::None => None,
    }
}

fn serials(devices: &mut Devices, vm: &ResolvedVm, host: &Host) {
    for (position, (number, port)) in vm.serials.iter().enumerate() {
        let id = format!("serial{number}");
        let chardev = match (port, host.serials.get(number)) {
            (SerialPort::Socket, Some(socket)) => Chardev::Socket { id: id.clone(), socket: socket.clone(), log: None },
            (SerialPort::Device(path), _) => Chardev::Host { id: id.clone(), path: path.clone() },
            (SerialPort::Socket, None) => continue,
        };
        devices.parts.push(Part::Chardev(chardev));
        // QEMU counts from zero by itself; a gap before this port has to be said.
        let index = (position != usize::from(*number)).then_some(*number);
        devices.add(Device::new("isa-serial").set("chardev", id).maybe("index", index));
    }
}

fn add_rng(devices: &mut Devices, vm: &ResolvedVm, rng: &RngSpec) {
    devices.parts.push(Part::Object(Object::RngFile { id: "rng0".to_owned(), filename: rng.source.clone() }));
    let limit = Some(rng.max_bytes.unwrap_or(RNG_MAX_BYTES)).filter(|bytes| *bytes > 0);
    let period = limit.map(|_| rng.period_ms.unwrap_or(RNG_PERIOD_MS));
    let driver = if is_microvm(vm) { "virtio-rng-device" } else { "virtio-rng-pci" };
    let device = Device::new(driver).set("rng", "rng0").maybe("max-bytes", limit).maybe("period", period);
    devices.add_at(device, taken(vm, Place::Rng));
}

/// The agent's channel, on a chardev named `qga0`.
#[must_use]
pub fn agent_devices(vm: &ResolvedVm, agent: &AgentSpec, address: Option<Address>) -> Vec<Device> {
    if agent.isa {
        return vec![Device::new("isa-serial").set("chardev", "qga0")];
    }
    let bus = if is_microvm(vm) { "virtio-serial-device" } else { "virtio-serial" };
    // With an id of its own QEMU tells us when the agent comes and goes.
    let port = Device::new("virtserialport").set("chardev", "qga0").set("name", AGENT_PORT).set("id", AGENT_PORT_ID);
    vec![Device::new(bus).set("id", "qga0").at(address), port]
}

pub(super) fn push_nics(line: &mut CommandLine, vm: &ResolvedVm, host: &Host) {
    for (index, nic) in &vm.networks {
        let Some(backend) = host.nics.get(index) else { continue };
        line.push(&netdev(vm, *index, nic, backend));
        line.push(&nic_device(vm, *index, nic, backend));
    }
}

/// The host's side of a card.
pub(crate) fn netdev(vm: &ResolvedVm, index: NicIndex, nic: &ResolvedNic, backend: &NicBackend) -> Netdev {
    let id = index.to_string();
    match backend {
        NicBackend::Tap { source, .. } => Netdev::Tap { id, source: source.clone(), queues: queues(nic) },
        NicBackend::User => Netdev::User { id, hostname: vm.name.to_string() },
    }
}

/// The card that the guest sees, on a netdev of the same name.
#[must_use]
pub fn nic_device(vm: &ResolvedVm, index: NicIndex, nic: &ResolvedNic, backend: &NicBackend) -> Device {
    let virtio = nic.spec.model == NicModel::Virtio;
    let driver = match nic.spec.model {
        NicModel::Virtio if is_microvm(vm) => "virtio-net-device",
        NicModel::Virtio => "virtio-net-pci",
        NicModel::E1000 => "e1000",
        NicModel::E1000e => "e1000e",
        NicModel::Rtl8139 => "rtl8139",
        NicModel::Vmxnet3 => "vmxnet3",
    };
    let mtu = match backend {
        NicBackend::Tap { mtu, .. } => mtu.filter(|_| virtio),
        NicBackend::User => None,
    };
    let queues = queues(nic).filter(|_| virtio);
    let device = Device::new(driver).set("mac", nic.mac.to_string()).set("netdev", index.to_string());
    let device = device.at(taken(vm, Place::Net(index.get()))).set("id", index.to_string());
    // One vector per direction and queue, one for changes, one for control.
    let device = device.maybe("vectors", queues.filter(|_| !is_microvm(vm)).map(|queues| 2 * u32::from(queues) + 2));
    let device = device.maybe("mq", queues.map(|_| true));
    let device = device.maybe("rx_queue_size", virtio.then_some(1024u16)).maybe("tx_queue_size", virtio.then_some(256u16));
    device.maybe("bootindex", boot_index(vm, BootDevice::Net(index))).maybe("host_mtu", mtu)
}

/// Packet queues of a card, if more than one.
pub(crate) fn queues(nic: &ResolvedNic) -> Option<u8> {
    nic.spec.queues.filter(|queues| *queues > 1)
}
