//! What the guest is seen by: adapter, VNC, SPICE.

use gpve_core::types::{Clipboard, Firmware, MachineKind, OsType, ResolvedVm, Vga};

use super::super::device::Device;
use super::super::layout::Place;
use super::super::refusal::Refusal;
use super::super::switches::{Chardev, Display, Global, Keyboard, Spice, Vnc};
use super::Assembly;
use super::situation::Situation;

/// Memory of QXL adapters beside the first, in bytes.
const SECOND_RAM: u64 = 64 << 20;
const SECOND_VRAM: u64 = 32 << 20;

/// Memory of one QXL adapter that shows several screens, in bytes.
const SHARED_RAM: u64 = 128 << 20;
const SHARED_VRAM: u64 = 64 << 20;

/// Whether there is a display for VNC to show.
pub(crate) fn has_display(vm: &ResolvedVm) -> bool {
    let is_shown = |vga: Vga| vga.serial_port().is_none() && vga != Vga::None;
    let by_default = vm.host_pci.values().all(|device| device.x_vga != Some(true));
    vm.machine.kind != MachineKind::Microvm && vm.vga.map_or(by_default, is_shown)
}

/// The first adapter and its console.
pub(super) fn adapter(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    check_clipboard(at)?;
    if !has_display(at.vm) {
        return Ok(());
    }
    let device = with_memory(at, first_adapter(at));
    // Linux shows several screens on one adapter, if the board is recent enough to let it.
    let is_linux = matches!(at.vm.os_type, OsType::Other | OsType::L24 | OsType::L26);
    let screens = at.vga.qxl_screens().filter(|_| is_linux && at.board.is_at_least(4, 1, 0)).map(|_| 4u8);
    // Windows takes the adapter's list of resolutions as complete under a BIOS.
    let no_edid = at.vga == Vga::Std && at.windows.is_some() && at.vm.bios == Firmware::Seabios;
    out.place(at, device.maybe("max_outputs", screens).maybe("edid", no_edid.then_some(false)), Place::Vga);
    if at.vga == Vga::VirtioGl {
        if !at.host.facts.has_render_node {
            return Err(Refusal::host("vga", "virtio-gl needs a GPU of this host to render (/dev/dri/renderD*), and there is none"));
        }
        out.switch(&Display("egl-headless,gl=core".to_owned()));
    }
    out.switch(&Vnc { socket: at.host.vnc.clone() });
    if let Some(keyboard) = &at.vm.keyboard {
        out.switch(&Keyboard(keyboard.to_string()));
    }
    Ok(())
}

fn first_adapter(at: &Situation<'_>) -> Device {
    let driver = match at.vga {
        Vga::Cirrus => "cirrus-vga",
        Vga::Vmware => "vmware-svga",
        Vga::Qxl | Vga::Qxl2 | Vga::Qxl3 | Vga::Qxl4 => "qxl-vga",
        // ARM has no VGA registers.
        Vga::Virtio if !at.board.is_x86() => "virtio-gpu",
        Vga::Virtio => "virtio-vga",
        Vga::VirtioGl => "virtio-vga-gl",
        Vga::Std | Vga::Serial0 | Vga::Serial1 | Vga::Serial2 | Vga::Serial3 | Vga::None => "VGA",
    };
    Device::new(driver).set("id", "vga")
}

fn with_memory(at: &Situation<'_>, device: Device) -> Device {
    let Some(mib) = at.vm.vga_memory_mib else { return device };
    if at.vga.qxl_screens().is_some() {
        return device.set("vgamem_mb", mib).set("ram_size_mb", u32::from(mib) * 4).set("vram_size_mb", u32::from(mib) * 2);
    }
    match at.vga {
        Vga::Virtio | Vga::VirtioGl => device.set("max_hostmem", u64::from(mib) << 20),
        _ => device.set("vgamem_mb", mib),
    }
}

fn check_clipboard(at: &Situation<'_>) -> Result<(), Refusal> {
    let has_none = at.vga == Vga::None || at.vga.serial_port().is_some();
    if at.vm.clipboard == Some(Clipboard::Vnc) && has_none {
        return Err(Refusal::setting("vga", format!("a clipboard needs a display, and '{}' is none", at.vga)));
    }
    Ok(())
}

/// SPICE with its agent, or the agent alone for VNC's clipboard.
pub(super) fn spice(at: &Situation<'_>, out: &mut Assembly) {
    let is_spice = at.has_spice() && has_display(at.vm);
    let is_clipboard = at.vm.clipboard == Some(Clipboard::Vnc);
    let server = at.host.spice.as_ref().filter(|_| is_spice);
    if is_spice && server.is_none() {
        out.warn("vga", format!("this node serves no SPICE: '{}' is shown through VNC only", at.vga));
    }
    if is_spice {
        further_screens(at, out);
    }
    if server.is_none() && !is_clipboard {
        return;
    }
    out.place(at, Device::new("virtio-serial").set("id", "spice"), Place::Spice);
    let agent = "vdagent".to_owned();
    out.late(&match is_clipboard {
        true => Chardev::ClipboardAgent { id: agent },
        false => Chardev::Spice { id: agent, backend: "spicevmc", name: "vdagent" },
    });
    out.device(&Device::new("virtserialport").set("chardev", "vdagent").set("name", "com.redhat.spice.0"));
    let Some(server) = server else { return };
    if at.vm.spice.folder_sharing == Some(true) {
        let name = "org.spice-space.webdav.0";
        out.late(&Chardev::Spice { id: "foldershare".to_owned(), backend: "spiceport", name });
        out.device(&Device::new("virtserialport").set("chardev", "foldershare").set("name", name));
    }
    let video = at.vm.spice.video_streaming.map(gpve_core::types::VideoStreaming::as_str);
    out.switch(&Spice { port: server.port, address: server.address.clone(), video });
}

/// Windows wants an adapter for each screen; other systems show all on one, which needs more memory.
fn further_screens(at: &Situation<'_>, out: &mut Assembly) {
    let Some(screens) = at.vga.qxl_screens().filter(|screens| *screens > 1) else { return };
    if at.windows.is_some() {
        for number in 1..screens {
            let device = Device::new("qxl").set("id", format!("vga{number}"));
            let device = match at.vm.vga_memory_mib {
                Some(_) => with_memory(at, device),
                None => device.set("ram_size", SECOND_RAM).set("vram_size", SECOND_VRAM),
            };
            out.place(at, device, Place::SecondVga(number));
        }
        return;
    }
    let all = at.vm.vga_memory_mib.map(|mib| (u64::from(screens) * u64::from(mib)) << 20);
    let (ram, vram) = all.map_or((SHARED_RAM, SHARED_VRAM), |all| (all * 4, all * 2));
    out.switch(&Global { property: "qxl-vga.ram_size", value: ram.into() });
    out.switch(&Global { property: "qxl-vga.vram_size", value: vram.into() });
}
