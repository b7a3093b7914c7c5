//! What is no virtual hardware and may therefore be different. All of it, and nowhere else:
//!
//! - **The process**: its number and name, where it writes its number, its sandbox, its monitors and its host's
//!   processors; that it starts halted and in the background.
//! - **Who opens things**: paths of sockets, descriptors instead of paths, names and scripts of tap interfaces, folders
//!   of firmware files. Where VNC listens.
//! - **Names of block nodes** below the one that the device is on, and how images below the top are opened: ours are
//!   read-only, and what they are based on is always said.
//! - **`-drive`**: machines before 10.0 are given the same nodes in that older form ([`drives`]).
//! - **Files of devices** that Proxmox VE ships: the same devices, one by one.
//! - **The accelerator** as a switch of its own, `kvm` being the default of Proxmox VE's program.
//! - **`+pveN`** of the machine's name, and the picture shown while it boots.
//! - **Spelling**: `yes` is `on`, and QEMU implies the key of a first value.
//! - **What is ours**: the device that reports a panicked kernel, and the name of the agent's port.

use serde_json::Value;

use gpve_qmp::qemu::argv::device::Device;
use gpve_qmp::qemu::argv::layout;
use gpve_qmp::qemu::argv::line::Switch as _;

use super::command::{Command, Operand, Switch};
use super::drives;

/// Switches of the process.
const PROCESS: [&str; 15] = [
    "-id", "-name", "-no-shutdown", "-pidfile", "-daemonize", "-mon", "-S", "-sandbox", "-no-user-config", "-action", "-add-fd",
    "-nographic", "-vga", "--cpu-list", "--all-tasks",
];

pub(super) fn ours(command: Command) -> Vec<String> {
    let mut switches = command.0;
    if let Some(at) = switches.iter().position(|switch| switch.is("-accel", "tcg")) {
        switches.remove(at);
        machine(&mut switches, "accel", "tcg");
    }
    switches.retain(|switch| !switch.is("-accel", "kvm") && !switch.is("-device", "pvpanic"));
    for switch in &mut switches {
        if switch.get("name") == Some("org.qemu.guest_agent.0") {
            switch.drop_keys(&["id"]);
        }
    }
    both(switches)
}

pub(super) fn theirs(command: Command) -> Vec<String> {
    let mut switches = drives::as_nodes(command.0);
    let shipped = |switch: &Switch, file: &str| switch.flag == "-readconfig" && switch.get("").is_some_and(|path| path.ends_with(file));
    let files =
        [("pve-q35-4.0.cfg", layout::q35_board(false)), ("pve-q35.cfg", layout::q35_board(true)), ("pve-usb.cfg", layout::pc_usb2())];
    for (file, devices) in files {
        if let Some(at) = switches.iter().position(|switch| shipped(switch, file)) {
            switches.remove(at);
            switches.extend(devices.iter().map(device));
        }
    }
    both(switches)
}

fn device(device: &Device) -> Switch {
    Switch::with_keys("-device", &device.operand().unwrap())
}

/// Adds a property of the board.
pub(super) fn machine(switches: &mut [Switch], key: &str, value: &str) {
    for switch in switches.iter_mut().filter(|switch| switch.flag == "-machine") {
        switch.add(key, value);
    }
}

fn both(switches: Vec<Switch>) -> Vec<String> {
    let is_process = |switch: &Switch| PROCESS.contains(&switch.flag.as_str()) || switch.is("-display", "none");
    let is_monitor = |switch: &Switch| switch.flag == "-chardev" && switch.get("id").is_some_and(|id| id.starts_with("qmp"));
    let kept = switches.into_iter().filter(|switch| !is_process(switch) && !is_monitor(switch));
    kept.map(|switch| one(switch).text()).collect()
}

fn one(mut switch: Switch) -> Switch {
    if let Operand::Keys(keys) = &mut switch.operand {
        for (_, value) in keys.iter_mut().filter(|(_, value)| value == "yes") {
            *value = "on".to_owned();
        }
        // The keys that QEMU implies, where they are written.
        for (key, _) in keys.iter_mut().filter(|(key, _)| switch.flag == "-m" && key == "size") {
            key.clear();
        }
    }
    match switch.flag.as_str() {
        "-vnc" => switch.operand = Operand::None,
        "-boot" => switch.drop_keys(&["splash"]),
        "-chardev" if switch.get("") == Some("socket") => switch.drop_keys(&["path", "fd"]),
        "-netdev" => switch.drop_keys(&["ifname", "script", "downscript"]),
        "-machine" => {
            let kind = switch.get("type").unwrap_or_default().split('+').next().unwrap().to_owned();
            switch.drop_keys(&["type"]);
            switch.add("type", &kind);
        }
        "-bios" => {
            let name = switch.get("").unwrap_or_default().rsplit('/').next().unwrap().to_owned();
            switch.operand = Operand::Keys(vec![(String::new(), name)]);
        }
        "-object" => object(&mut switch),
        "-blockdev" => {
            if let Operand::Tree(tree) = &mut switch.operand {
                nodes(tree);
            }
        }
        _ => {}
    }
    switch
}

/// An object is the same in both forms.
fn object(switch: &mut Switch) {
    if let Operand::Tree(Value::Object(members)) = &mut switch.operand
        && let Some(Value::String(kind)) = members.remove("qom-type")
    {
        members.insert("".to_owned(), Value::String(kind));
    }
}

fn nodes(top: &mut Value) {
    if top["node-name"] == "pflash0" {
        let name = top["file"]["filename"].as_str().unwrap_or_default().rsplit('/').next().unwrap().to_owned();
        top["file"] = Value::String(name);
        return;
    }
    if let Some(file) = top.get_mut("file") {
        below(file, false);
    }
}

/// A node under the one that the device is on. `is_base` is one that another is based on.
fn below(node: &mut Value, is_base: bool) {
    let Some(members) = node.as_object_mut() else { return };
    members.remove("node-name");
    if is_base {
        ["read-only", "discard", "detect-zeroes", "discard-no-unref"].iter().for_each(|key| drop(members.remove(*key)));
    }
    match members.get_mut("backing") {
        Some(Value::Null) => drop(members.remove("backing")),
        Some(backing) => below(backing, true),
        None => {}
    }
    if let Some(file) = members.get_mut("file") {
        below(file, is_base);
    }
}
