//! Processors and memory.

use gpve_core::types::{Ballooning, ByteSize, MemMib, NumaNode, SharedMemory, VmSpec};

use crate::routes::properties as forms;

use super::parts::{Pairs, flag, number_of, one, parse, read, required, shown, write};
use super::words;

/// Sets one of these settings; false if `key` is none of them.
pub(super) fn set(key: &str, value: &str, spec: &mut VmSpec) -> Result<bool, String> {
    let (cpu, memory) = (&mut spec.cpu, &mut spec.memory);
    match key {
        "sockets" => cpu.sockets = parse(value)?,
        "cores" => cpu.cores = parse(value)?,
        "vcpus" => cpu.vcpus = Some(parse(value)?),
        "cpuunits" => cpu.units = Some(parse(value)?),
        "numa" => cpu.numa = value == "1",
        "affinity" => cpu.affinity = Some(parse(value)?),
        "cpulimit" => {
            let zero = value.chars().all(|c| c == '0' || c == '.');
            cpu.limit = if zero { None } else { Some(parse(value)?) };
        }
        "cpu" => model(value, spec)?,
        "memory" => memory.size = mib(read(&forms::MEMORY, value)?.get("current").unwrap_or_default())?,
        "balloon" if value == "0" => memory.ballooning = Ballooning::Off,
        "balloon" => memory.ballooning = Ballooning::Min(mib(value)?),
        "shares" => memory.shares = Some(parse(value)?),
        "hugepages" => memory.hugepages = Some(parse(value)?),
        "keephugepages" => memory.keep_hugepages = Some(value == "1"),
        "allow-ksm" => memory.allow_ksm = Some(value == "1"),
        "ivshmem" => {
            let parts = read(&forms::IVSHMEM, value)?;
            spec.shared_memory = Some(SharedMemory { size_mib: required(&parts, "size")?, name: one(&parts, "name")? });
        }
        _ => match number_of(key, "numa") {
            Some(n) => drop(cpu.numa_nodes.insert(n, numa_node(value)?)),
            None => return Ok(false),
        },
    }
    Ok(true)
}

fn mib(text: &str) -> Result<MemMib, String> {
    text.parse::<u64>().map_err(|e| e.to_string()).and_then(|n| MemMib::try_from(n).map_err(|e| e.to_string()))
}

fn model(value: &str, spec: &mut VmSpec) -> Result<(), String> {
    let parts = read(&forms::CPU, value)?;
    let cpu = &mut spec.cpu;
    cpu.model = one(&parts, "cputype")?;
    cpu.flags = super::parts::list(&parts, "flags")?;
    cpu.hidden = parts.flag("hidden").unwrap_or(false);
    cpu.hv_vendor_id = one(&parts, "hv-vendor-id")?;
    cpu.phys_bits = one(&parts, "phys-bits")?;
    cpu.guest_phys_bits = one(&parts, "guest-phys-bits")?;
    cpu.reported_model = one(&parts, "reported-model")?;
    cpu.level = one(&parts, "level")?;
    Ok(())
}

fn numa_node(value: &str) -> Result<NumaNode, String> {
    let parts = read(&forms::NUMA, value)?;
    let memory =
        |text: &str| words::scaled(text, 1 << 20).map(ByteSize::from_bytes).ok_or_else(|| format!("memory: '{text}' is too large"));
    Ok(NumaNode {
        cpus: required(&parts, "cpus")?,
        host_nodes: one(&parts, "hostnodes")?,
        memory: parts.get("memory").map(memory).transpose()?,
        policy: one(&parts, "policy")?,
    })
}

/// These settings of a spec.
pub(super) fn pairs(spec: &VmSpec) -> Pairs {
    let (cpu, memory) = (&spec.cpu, &spec.memory);
    let balloon = match memory.ballooning {
        Ballooning::On => None,
        Ballooning::Off => Some("0".to_owned()),
        Ballooning::Min(mib) => Some(mib.get().to_string()),
    };
    let flags: Vec<String> = cpu.flags.iter().map(ToString::to_string).collect();
    let model = [
        ("cputype", shown(cpu.model.as_ref())),
        ("flags", (!flags.is_empty()).then(|| flags.join(";"))),
        ("hidden", cpu.hidden.then(|| flag(true))),
        ("hv-vendor-id", shown(cpu.hv_vendor_id.as_ref())),
        ("phys-bits", shown(cpu.phys_bits.as_ref())),
        ("guest-phys-bits", shown(cpu.guest_phys_bits.as_ref())),
        ("reported-model", shown(cpu.reported_model.as_ref())),
        ("level", shown(cpu.level.as_ref())),
    ];
    let single = [
        ("sockets", (cpu.sockets != 1).then(|| cpu.sockets.to_string())),
        ("cores", (cpu.cores != 1).then(|| cpu.cores.to_string())),
        ("numa", cpu.numa.then(|| flag(true))),
        ("vcpus", shown(cpu.vcpus.as_ref())),
        ("cpulimit", shown(cpu.limit.as_ref())),
        ("cpuunits", shown(cpu.units.as_ref())),
        ("affinity", shown(cpu.affinity.as_ref())),
        ("cpu", Some(write(&forms::CPU, model)).filter(|t| !t.is_empty())),
        ("memory", Some(memory.size.get().to_string())),
        ("balloon", balloon),
        ("shares", shown(memory.shares.as_ref())),
        ("hugepages", shown(memory.hugepages.as_ref())),
        ("keephugepages", memory.keep_hugepages.map(flag)),
        ("allow-ksm", memory.allow_ksm.map(flag)),
        ("ivshmem", spec.shared_memory.as_ref().map(shared_memory)),
    ];
    let nodes = cpu.numa_nodes.iter().map(|(n, node)| (format!("numa{n}"), node_text(node)));
    single.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).chain(nodes).collect()
}

fn shared_memory(memory: &SharedMemory) -> String {
    write(&forms::IVSHMEM, [("size", Some(memory.size_mib.to_string())), ("name", shown(memory.name.as_ref()))])
}

fn node_text(node: &NumaNode) -> String {
    let parts = [
        ("cpus", Some(node.cpus.to_string())),
        ("hostnodes", shown(node.host_nodes.as_ref())),
        ("memory", node.memory.map(|m| words::decimal(m.bytes(), 1 << 20))),
        ("policy", shown(node.policy.as_ref())),
    ];
    write(&forms::NUMA, parts)
}
