//! What is on a host, comparable.

use std::fmt;

use super::host::State;

/// Everything on a host that an operation could leak, one line each, in a fixed order: processes, runtime directories,
/// ports, volumes with a digest of their bytes. What changes by itself (use, time) is left out.
#[derive(Clone, PartialEq, Eq)]
pub struct Dump(Vec<String>);

impl Dump {
    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.0
    }

    /// What is in one and not in the other: `- ` only before, `+ ` only now.
    pub fn difference(&self, now: &Dump) -> Vec<String> {
        let gone = self.0.iter().filter(|l| !now.0.contains(l)).map(|l| format!("- {l}"));
        let new = now.0.iter().filter(|l| !self.0.contains(l)).map(|l| format!("+ {l}"));
        gone.chain(new).collect()
    }

    pub(super) fn of(state: &State) -> Self {
        let mut lines = Vec::new();
        for process in state.processes.values() {
            let disks: Vec<String> = process.volumes.iter().map(|(slot, v)| format!("{slot}={}", v.volume)).collect();
            lines.push(format!("process of vm {} pid {} {:?} [{}]", process.vmid(), process.id.pid, process.state, disks.join(" ")));
        }
        lines.extend(state.runtime_dirs.iter().map(|vmid| format!("runtime directory of vm {vmid}")));
        for (id, port) in &state.ports {
            lines.push(format!("port {id}: {:?} up {}", port.request, port.up));
        }
        for (storage, volumes) in &state.storages {
            for (name, v) in volumes {
                let snapshots: Vec<String> = v.snapshots.iter().map(|s| format!("{}={:x}", s.name, s.image.digest())).collect();
                lines.push(format!(
                    "volume {storage}:{name} {} {} {} bytes {:x} owner {:?} parent {:?} base {} attached {:?} [{}]",
                    v.content,
                    v.format,
                    v.size.bytes(),
                    v.image.digest(),
                    v.owner.map(crate::types::Vmid::get),
                    v.parent.as_ref().map(ToString::to_string),
                    v.base,
                    v.attached,
                    snapshots.join(" ")
                ));
            }
        }
        Self(lines)
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}
