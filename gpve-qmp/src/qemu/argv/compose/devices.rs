//! Everything on the board that is neither disk nor card.

use gpve_core::types::{AgentSpec, AudioDevice, AudioDriver, AudioSpec, DiskBus, MachineKind, ResolvedVm, RngSpec, WatchdogModel};

use super::super::device::{Address, Device, Object};
use super::super::layout::Place;
use super::super::refusal::Refusal;
use super::super::switches::{Audiodev, Chardev, Tpmdev, WatchdogAction};
use super::situation::Situation;
use super::{Assembly, display, passthrough, ports, usb};

/// The agent's name of its channel.
const AGENT_PORT: &str = "org.qemu.guest_agent.0";

/// QEMU's id of that channel, which its events name.
pub(crate) const AGENT_PORT_ID: &str = "qga0-port";

/// Bytes of entropy a guest may take in a period unless told otherwise, as PVE.
const RNG_MAX_BYTES: u32 = 1024;
/// That period in milliseconds.
const RNG_PERIOD_MS: u32 = 1000;

pub(super) fn devices(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    if let Some(id) = at.vm.generation_id.filter(|_| at.board.has_pci()) {
        out.device(&Device::new("vmgenid").set("guid", id.to_string()));
    }
    usb::controllers(at, out)?;
    passthrough::devices(at, out)?;
    usb::devices(at, out)?;
    display::adapter(at, out)?;
    ports::serials(at, out);
    ports::parallels(at, out);
    if let Some(audio) = at.vm.audio {
        sound(at, out, audio);
    }
    tpm(at, out)?;
    agent(at, out);
    display::spice(at, out);
    if let Some(rng) = &at.vm.rng {
        random(at, out, rng);
    }
    watchdog(at, out);
    balloon(at, out);
    shared_memory(at, out)?;
    panic_notifier(at, out);
    Ok(())
}

fn agent(at: &Situation<'_>, out: &mut Assembly) {
    let (Some(agent), Some(socket)) = (&at.vm.agent, &at.host.agent) else { return };
    let address = at.address(Place::Agent);
    out.use_bus(address.filter(|_| !agent.isa));
    out.late(&Chardev::Socket { id: "qga0".to_owned(), socket: socket.clone(), log: None });
    agent_devices(at.vm, agent, address).iter().for_each(|device| out.device(device));
}

/// The agent's channel, on a chardev named `qga0`.
#[must_use]
pub fn agent_devices(vm: &ResolvedVm, agent: &AgentSpec, address: Option<Address>) -> Vec<Device> {
    if agent.isa {
        return vec![Device::new("isa-serial").set("chardev", "qga0")];
    }
    let bus = if vm.machine.kind == MachineKind::Microvm { "virtio-serial-device" } else { "virtio-serial" };
    // With an id of its own QEMU tells us when the agent comes and goes.
    let port = Device::new("virtserialport").set("chardev", "qga0").set("name", AGENT_PORT).set("id", AGENT_PORT_ID);
    vec![Device::new(bus).set("id", "qga0").at(address), port]
}

fn random(at: &Situation<'_>, out: &mut Assembly, rng: &RngSpec) {
    out.object(&Object::new("rng-random", "rng0").set("filename", &*rng.source));
    let limit = Some(rng.max_bytes.unwrap_or(RNG_MAX_BYTES)).filter(|bytes| *bytes > 0);
    let period = limit.map(|_| rng.period_ms.unwrap_or(RNG_PERIOD_MS));
    let driver = if at.board.has_pci() { "virtio-rng-pci" } else { "virtio-rng-device" };
    out.place(at, Device::new(driver).set("rng", "rng0").maybe("max-bytes", limit).maybe("period", period), Place::Rng);
}

fn watchdog(at: &Situation<'_>, out: &mut Assembly) {
    let Some(watchdog) = at.vm.watchdog else { return };
    let device = Device::new(watchdog.model.as_str());
    match watchdog.model {
        WatchdogModel::I6300esb => drop(out.place(at, device, Place::Watchdog)),
        // On the ISA bus, at ports of its own.
        WatchdogModel::Ib700 => out.device(&device),
    }
    if let Some(action) = watchdog.action {
        out.switch(&WatchdogAction(action.to_string()));
    }
}

/// Pages that the guest does not use go back to the host since 6.2.
fn balloon(at: &Situation<'_>, out: &mut Assembly) {
    if !at.vm.balloon {
        return;
    }
    let driver = if at.board.has_pci() { "virtio-balloon-pci" } else { "virtio-balloon-device" };
    let reports = at.board.is_at_least(6, 2, 0).then_some(true);
    let address = at.address(Place::Balloon);
    out.device(&Device::new(driver).set("id", "balloon0").at(address).maybe("free-page-reporting", reports));
}

fn sound(at: &Situation<'_>, out: &mut Assembly, audio: AudioSpec) {
    // Without SPICE there is nobody to hear it; the guest keeps its card.
    let asked = audio.driver.unwrap_or(AudioDriver::Spice);
    let driver = if at.host.spice.is_none() { AudioDriver::None } else { asked };
    if driver != asked {
        out.warn("audio0", "this node serves no SPICE: nobody hears this card");
    }
    let backend = format!("{driver}-backend0");
    // Boards before 4.2 use the one backend that there is.
    let named = at.board.is_at_least(4, 2, 0).then(|| backend.clone());
    let card = Device::new(audio.device.as_str()).set("id", "audiodev0");
    match audio.device {
        AudioDevice::Ac97 => drop(out.place(at, card.maybe("audiodev", named), Place::Audio)),
        AudioDevice::Ich9IntelHda | AudioDevice::IntelHda => {
            out.place(at, card, Place::Audio);
            for (slot, codec) in [(0u8, "hda-micro"), (1, "hda-duplex")] {
                let device = Device::new(codec).set("id", format!("audiodev0-codec{slot}")).set("bus", "audiodev0.0");
                out.device(&device.set("cad", slot).maybe("audiodev", named.clone()));
            }
        }
    }
    out.switch(&Audiodev { driver: driver.as_str(), id: backend });
}

fn tpm(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    let has_state = at.vm.disks.keys().any(|slot| slot.bus() == DiskBus::Tpm);
    if !has_state || at.vm.template {
        return Ok(());
    }
    let socket = at.host.tpm.as_ref().ok_or_else(|| Refusal::host("tpmstate0", "nothing on this node emulates its TPM"))?;
    out.late(&Chardev::Client { id: "tpmchar".to_owned(), socket: socket.clone() });
    out.late(&Tpmdev { id: "tpmdev", chardev: "tpmchar" });
    let driver = if at.board.is_x86() { "tpm-tis" } else { "tpm-tis-device" };
    out.device(&Device::new(driver).set("tpmdev", "tpmdev"));
    Ok(())
}

fn shared_memory(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    let Some(shared) = &at.vm.shared_memory else { return Ok(()) };
    let path = at.host.shared_memory.as_ref();
    let path = path.ok_or_else(|| Refusal::host("ivshmem", "the file of the shared memory was not made on this node"))?;
    let object = Object::new("memory-backend-file", "ivshmem").set("share", true);
    out.object(&object.set("mem-path", path.to_string_lossy().into_owned()).set("size", format!("{}M", shared.size_mib)));
    out.place(at, Device::new("ivshmem-plain").set("memdev", "ivshmem"), Place::SharedMemory);
    Ok(())
}

/// How we hear that the guest's kernel panicked. PVE has none, and Windows would show a device without a driver.
fn panic_notifier(at: &Situation<'_>, out: &mut Assembly) {
    let has_ports = matches!(at.board.kind, MachineKind::Pc | MachineKind::Q35);
    if has_ports && at.windows.is_none() && !at.vm.template {
        out.device(&Device::new("pvpanic"));
    }
}
