//! Settings that are kept and shown and that no part of this version carries out yet.

use super::vm::VmSpec;

impl VmSpec {
    /// The settings that have no effect yet, by Proxmox VE's names (`watchdog`, `scsi0.queues`). A start names them in
    /// its log, so that nobody takes them for done.
    pub fn without_effect(&self) -> Vec<String> {
        let other = self.other.keys().filter(|k| !k.is_note()).map(ToString::to_string);
        let named = |(asked, name): (bool, &str)| asked.then(|| name.to_owned());
        let single = self.processors().into_iter().chain(self.upkeep());
        let disks = self.disks.iter().flat_map(|(slot, disk)| disk.options.other.keys().map(move |key| format!("{slot}.{key}")));
        other.chain(single.filter_map(named)).chain(disks).collect()
    }

    fn processors(&self) -> Vec<(bool, &'static str)> {
        let (cpu, memory) = (&self.cpu, &self.memory);
        vec![
            (cpu.reported_model.is_some(), "cpu.reported-model"),
            (cpu.affinity.is_some(), "affinity"),
            (memory.keep_hugepages == Some(true), "keephugepages"),
            (self.freeze == Some(true), "freeze"),
        ]
    }

    fn upkeep(&self) -> Vec<(bool, &'static str)> {
        vec![
            (self.migration.downtime_ms.is_some(), "migrate_downtime"),
            (self.migration.speed_mb.is_some(), "migrate_speed"),
            (self.state_storage.is_some(), "vmstatestorage"),
            (self.lock.is_some(), "lock"),
        ]
    }
}
