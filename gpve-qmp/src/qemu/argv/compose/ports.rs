//! Serial and parallel ports, and folders of the host.

use gpve_core::types::{MachineKind, SerialPort};

use super::super::device::Device;
use super::super::refusal::Refusal;
use super::super::switches::{Chardev, PeerSocket, Serial};
use super::Assembly;
use super::situation::Situation;

pub(super) fn serials(at: &Situation<'_>, out: &mut Assembly) {
    for (number, port) in &at.vm.serials {
        let id = format!("serial{number}");
        let chardev = match (port, at.host.serials.get(number)) {
            (SerialPort::Socket, Some(socket)) => Chardev::Socket { id: id.clone(), socket: socket.clone(), log: None },
            (SerialPort::Device(path), _) => Chardev::Host { id: id.clone(), is_parallel: false, path: path.clone() },
            (SerialPort::Socket, None) => continue,
        };
        out.late(&chardev);
        // The first port of an ARM board is part of it: no device, but a connection.
        if at.board.kind == MachineKind::Virt && *number == 0 {
            out.late(&Serial(format!("chardev:{id}")));
        } else {
            out.device(&Device::new("isa-serial").set("chardev", id));
        }
    }
}

pub(super) fn parallels(at: &Situation<'_>, out: &mut Assembly) {
    for (number, port) in &at.vm.parallels {
        let id = format!("parallel{number}");
        // A USB printer has no parallel port to drive.
        let is_parallel = !port.as_str().starts_with("/dev/usb/lp");
        out.late(&Chardev::Host { id: id.clone(), is_parallel, path: port.as_str().into() });
        out.device(&Device::new("isa-parallel").set("chardev", id));
    }
}

/// Packets that a folder's channel holds.
const FOLDER_QUEUE: u16 = 1024;

pub(super) fn shared_folders(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    for (number, folder) in &at.vm.shared_folders {
        let id = format!("virtiofs{number}");
        let path = at.host.folders.get(number);
        let path = path.ok_or_else(|| Refusal::host(&*id, format!("nothing on this node serves the folder '{}'", folder.mapping)))?;
        out.late(&Chardev::Client { id: id.clone(), socket: PeerSocket::Path(path.clone()) });
        let device = Device::new("vhost-user-fs-pci").set("queue-size", FOLDER_QUEUE).set("chardev", id);
        out.device(&device.set("tag", folder.mapping.to_string()));
    }
    Ok(())
}
