//! Network cards.

use gpve_core::types::{BootDevice, MachineKind, NicIndex, NicModel, ResolvedNic, ResolvedVm};

use super::super::board::Board;
use super::super::device::Device;
use super::super::layout::{self, Place};
use super::super::refusal::Refusal;
use super::super::switches::Netdev;
use super::situation::Situation;
use super::{Assembly, Facts, NicBackend};

/// An MTU that stands for that of the bridge.
const OF_THE_BRIDGE: u16 = 1;

pub(super) fn nics(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    for (index, nic) in &at.vm.networks {
        out.use_bus(at.address(Place::Net(index.get())));
        let Some(backend) = at.host.nics.get(index) else { continue };
        if nic.spec.mtu.is_some() && nic.spec.model != NicModel::Virtio {
            out.warn(index.to_string(), "an MTU is told to virtio cards only");
        }
        out.late(&netdev(at.vm, &at.host.facts, *index, nic, backend));
        out.device(&nic_device(at.vm, &at.host.facts, *index, nic, backend)?);
    }
    Ok(())
}

/// The host's side of a card.
pub(crate) fn netdev(vm: &ResolvedVm, host: &Facts, index: NicIndex, nic: &ResolvedNic, backend: &NicBackend) -> Netdev {
    let id = index.to_string();
    match backend {
        NicBackend::Tap { source, .. } => {
            let vhost = host.vhost_net && nic.spec.model == NicModel::Virtio;
            Netdev::Tap { id, source: source.clone(), queues: queues(nic), vhost }
        }
        NicBackend::User => Netdev::User { id, hostname: vm.name.to_string() },
    }
}

/// The card that the guest sees, on a netdev of the same name.
///
/// # Errors
/// An MTU larger than its bridge's; a host on which the machine cannot run.
pub fn nic_device(vm: &ResolvedVm, host: &Facts, index: NicIndex, nic: &ResolvedNic, backend: &NicBackend) -> Result<Device, Refusal> {
    let board = Board::of(vm, host)?;
    let is_virtio = nic.spec.model == NicModel::Virtio;
    let queues = queues(nic).filter(|_| is_virtio);
    let device = Device::new(driver(&board, nic.spec.model)).set("mac", nic.mac.to_string()).set("netdev", index.to_string());
    let device = if nic.spec.model == NicModel::Ne2kIsa { device } else { device.at(layout::address(board.kind, Place::Net(index.get()))) };
    let device = device.set("id", index.to_string());
    // One vector per direction and queue, one for changes, one for control.
    let device = device.maybe("vectors", queues.filter(|_| board.has_pci()).map(|queues| 2 * u32::from(queues) + 2));
    let device = device.maybe("mq", queues.map(|_| true));
    // Rings as long as virtio allows, since 7.1: short ones lose packets in bursts.
    let long = (is_virtio && board.is_at_least(7, 1, 0)).then_some(());
    let device = device.maybe("packed", queues.and(long).map(|()| true));
    let device = device.maybe("rx_queue_size", long.map(|()| 1024u16)).maybe("tx_queue_size", long.map(|()| 256u16));
    let device = device.maybe("bootindex", vm.boot_index.get(&BootDevice::Net(index)).copied());
    let told = if is_virtio { told_mtu(&board, index, nic, backend)? } else { None };
    // Tunnelled segments came with 10.2: off, so that a guest can move to a kernel without them.
    let tunnels = (is_virtio && board.is_at_least(10, 2, 0)).then_some(false);
    let device = device.maybe("host_mtu", told).maybe("host_tunnel", tunnels);
    Ok(device.maybe("romfile", board.has_old_roms.then(|| old_rom(nic.spec.model)).flatten()))
}

/// The MTU that the guest is told: what was asked for, or, since 10.0+pve1, what the bridge has.
fn told_mtu(board: &Board, index: NicIndex, nic: &ResolvedNic, backend: &NicBackend) -> Result<Option<u16>, Refusal> {
    let NicBackend::Tap { mtu: of_bridge, .. } = backend else { return Ok(None) };
    let asked = nic.spec.mtu.map(u16::from);
    match (asked, of_bridge) {
        (None, _) if !board.is_at_least(10, 0, 1) => Ok(None),
        (None | Some(OF_THE_BRIDGE), of_bridge) => Ok(*of_bridge),
        (Some(asked), Some(of_bridge)) if asked > *of_bridge => {
            Err(Refusal::setting(index.to_string(), format!("MTU {asked} is larger than the bridge's, {of_bridge}")))
        }
        (Some(asked), _) => Ok(Some(asked)),
    }
}

fn driver(board: &Board, model: NicModel) -> &'static str {
    match model {
        NicModel::Virtio if board.kind == MachineKind::Microvm => "virtio-net-device",
        NicModel::Virtio => "virtio-net-pci",
        other => other.as_str(),
    }
}

/// The boot ROM that a card had in QEMU 0.12: its size is part of a running guest's memory.
fn old_rom(model: NicModel) -> Option<&'static str> {
    Some(match model {
        NicModel::Virtio => "pxe-virtio.rom",
        NicModel::E1000 => "pxe-e1000.rom",
        NicModel::Ne2kPci => "pxe-ne2k_pci.rom",
        NicModel::Pcnet => "pxe-pcnet.rom",
        NicModel::Rtl8139 => "pxe-rtl8139.rom",
        _ => return None,
    })
}

/// Packet queues of a card, if more than one.
pub(crate) fn queues(nic: &ResolvedNic) -> Option<u8> {
    nic.spec.queues.filter(|queues| *queues > 1)
}
