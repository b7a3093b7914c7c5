//! Nodes.

use gpve_api::pve2::answer::{BootInfo, CpuInfo, Kernel, Ksm, MemoryInfo, NodeEntry, NodeStatus, RootFs, Swap, Version};
use gpve_api::pve2::{Failure, Reply};
use gpve_core::error::{Error, ErrorKind};
use gpve_core::ports::NodeInfo;

use super::{Answered, Ctx};

pub(super) fn version() -> Answered {
    Ok(Reply::data(&Version::FOLLOWED))
}

pub(super) fn list(cx: &Ctx<'_>) -> Answered {
    let entry = |node: gpve_core::control::NodeStatus| {
        let base = NodeEntry {
            id: format!("node/{}", node.name),
            node: node.name.to_string(),
            kind: "node",
            status: if node.ready { "online" } else { "offline" },
            ssl_fingerprint: cx.app.fingerprint.clone(),
            ..NodeEntry::default()
        };
        let Some(info) = node.info else { return base };
        NodeEntry {
            cpu: info.cpu_used,
            maxcpu: info.cpus,
            mem: info.memory_used.bytes(),
            maxmem: info.memory.bytes(),
            disk: info.root_used.bytes(),
            maxdisk: info.root.bytes(),
            uptime: info.uptime_s,
            ..base
        }
    };
    Ok(Reply::data(&cx.app.plane.nodes().into_iter().map(entry).collect::<Vec<_>>()))
}

pub(super) fn status(cx: &Ctx<'_>) -> Answered {
    let node = cx.app.plane.node(&cx.node()?).map_err(|e| Failure::from(&e))?;
    let silent = || Error::new(ErrorKind::Unavailable, "node.status", format!("node '{}' has not told its status yet", node.name));
    let info = node.info.clone().ok_or_else(|| Failure::from(&silent()))?;
    Ok(Reply::data(&shown(&info)))
}

fn shown(info: &NodeInfo) -> NodeStatus {
    let [sysname, release, version, machine] = info.kernel.clone();
    let (memory, used) = (info.memory.bytes(), info.memory_used.bytes());
    let (root, root_used) = (info.root.bytes(), info.root_used.bytes());
    let hvm = if info.cpu_flags.split(' ').any(|f| f == "vmx" || f == "svm") { "1" } else { "0" };
    NodeStatus {
        boot_info: BootInfo { mode: if std::path::Path::new("/sys/firmware/efi").exists() { "efi" } else { "legacy-bios" } },
        cpu: info.cpu_used,
        cpuinfo: CpuInfo {
            cores: info.cpus / info.cpu_sockets.max(1),
            cpus: info.cpus,
            sockets: info.cpu_sockets,
            model: info.cpu_model.clone(),
            mhz: format!("{:.3}", info.cpu_mhz),
            flags: info.cpu_flags.clone(),
            hvm: hvm.to_owned(),
            user_hz: 100,
            ..CpuInfo::default()
        },
        idle: 0.0,
        ksm: Ksm::default(),
        kversion: format!("{sysname} {release} {version}"),
        current_kernel: Kernel { machine, release, sysname, version },
        loadavg: info.load.map(|l| format!("{l:.2}")),
        memory: MemoryInfo { available: memory - used.min(memory), free: memory - used.min(memory), total: memory, used },
        pveversion: format!("pve-manager/{}/{}", Version::FOLLOWED.version, Version::FOLLOWED.repoid),
        rootfs: RootFs { avail: root - root_used.min(root), free: root - root_used.min(root), total: root, used: root_used },
        swap: Swap {
            free: info.swap.bytes() - info.swap_used.bytes().min(info.swap.bytes()),
            total: info.swap.bytes(),
            used: info.swap_used.bytes(),
        },
        uptime: info.uptime_s,
        wait: info.io_wait,
    }
}
