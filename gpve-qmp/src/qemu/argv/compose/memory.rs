//! Memory: one piece, or one per NUMA node, from the pages that were asked for; what is plugged beyond that.

use gpve_core::types::{CpuSpec, HotplugFeature, Hugepages, NumaNode};

use super::super::device::{Device, Object};
use super::super::refusal::Refusal;
use super::super::switches::{Memory, Numa, Smp, range_text};
use super::situation::Situation;
use super::{Assembly, cpu};

/// What is always there in a guest whose memory can be plugged, in MiB.
const STATIC: u32 = 1024;

/// The smallest piece that is plugged, in MiB; each size is used for so many pieces before it doubles.
const SMALLEST_DIMM: u32 = 512;
const DIMMS_OF_A_SIZE: usize = 32;
const DIMM_SIZES: usize = 8;

/// No guest has more, in MiB: 4 TiB.
const MOST: u64 = 4_194_304;

/// Processors, memory, NUMA nodes, and the pieces that are plugged.
pub(super) fn memory(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    processors(at, out)?;
    let plan = Plan::of(at)?;
    out.switch(&Memory { size: plan.fixed, most: plan.most });
    if at.vm.hugepages.is_some() && !at.vm.cpu.numa {
        return Err(Refusal::setting("hugepages", "need numa: 1"));
    }
    if at.vm.cpu.numa {
        let nodes = nodes(at, plan.fixed)?;
        for (number, node) in nodes {
            node_memory(at, out, number, &node)?;
        }
    } else if !at.vm.shared_folders.is_empty() {
        // Whoever serves a folder reads the guest's memory.
        out.object(&Object::new("memory-backend-memfd", "virtiofs-mem").set("size", mib(plan.fixed)).set("share", true));
        out.machine("memory-backend", "virtiofs-mem");
    }
    plug(at, out, &plan)
}

/// All processors at once, or, where they can be plugged, the first and each further one as a device.
fn processors(at: &Situation<'_>, out: &mut Assembly) -> Result<(), Refusal> {
    let CpuSpec { sockets, cores, .. } = at.vm.cpu;
    let vcpus = at.vm.cpu.vcpus.unwrap_or(at.vm.cpu.total());
    let by_device = at.vm.hotplug.has(HotplugFeature::Cpu) && at.board.is_x86() && at.board.has_pci();
    out.switch(&Smp { vcpus: if by_device { 1 } else { vcpus }, sockets, cores });
    if !by_device {
        return Ok(());
    }
    let driver = format!("{}-x86_64-cpu", cpu::model_name(at)?);
    for number in 2..=vcpus {
        let place = number - 1;
        let device = Device::new(driver.clone()).set("id", format!("cpu{number}"));
        out.device(&device.set("socket-id", place / cores).set("core-id", place % cores).set("thread-id", 0u8));
    }
    Ok(())
}

/// How much memory is there from the start, and how much there can be.
struct Plan {
    total: u32,
    fixed: u32,
    most: Option<u64>,
}

impl Plan {
    fn of(at: &Situation<'_>) -> Result<Self, Refusal> {
        let total = at.vm.memory.get();
        if !at.vm.hotplug.has(HotplugFeature::Memory) {
            return Ok(Self { total, fixed: total, most: None });
        }
        let refuse = |reason: String| Err(Refusal::setting("memory", reason));
        if !at.vm.cpu.numa {
            return Err(Refusal::setting("hotplug", "memory can be plugged into NUMA nodes only: set numa: 1"));
        }
        if !at.vm.cpu.numa_nodes.is_empty() {
            return Err(Refusal::setting("hotplug", "memory cannot be plugged into NUMA nodes of one's own making"));
        }
        // Half of the address space is left for devices.
        let most = (1u64 << cpu::physical_bits(at.vm, at).saturating_sub(21).min(63)).min(MOST);
        if u64::from(total) > most {
            return refuse(format!("{total} MiB are more than the {most} MiB that fit into the guest's address space"));
        }
        let fixed = if at.vm.hugepages == Some(Hugepages::OneGib) { STATIC * u32::from(at.vm.cpu.sockets) } else { STATIC };
        if total < fixed {
            return refuse(format!("a guest whose memory can be plugged needs {fixed} MiB at least"));
        }
        Ok(Self { total, fixed, most: Some(most) })
    }
}

/// The nodes that were asked for, or one for each socket.
fn nodes(at: &Situation<'_>, fixed: u32) -> Result<Vec<(u8, Node)>, Refusal> {
    let asked = &at.vm.cpu.numa_nodes;
    if asked.is_empty() {
        let CpuSpec { sockets, cores, .. } = at.vm.cpu;
        return (0..sockets).map(|number| Ok((number, Node::of_socket(at, number, cores, fixed / u32::from(sockets))?))).collect();
    }
    let nodes: Vec<_> =
        asked.iter().map(|(number, node)| Ok((*number, Node::asked(at, *number, node)?))).collect::<Result<_, Refusal>>()?;
    let total: u32 = nodes.iter().map(|(_, node)| node.memory).sum();
    if total != fixed {
        return Err(Refusal::setting("numa0", format!("the memory of all nodes, {total} MiB, must be that of the guest, {fixed} MiB")));
    }
    Ok(nodes)
}

struct Node {
    memory: u32,
    cpus: Vec<(u16, u16)>,
    host: Option<(Vec<(u16, u16)>, &'static str)>,
}

impl Node {
    fn of_socket(at: &Situation<'_>, number: u8, cores: u16, memory: u32) -> Result<Self, Refusal> {
        let known = at.host.facts.numa_nodes.as_ref();
        if at.vm.hugepages.is_some() && known.is_some_and(|known| !known.contains(&number.into())) {
            return Err(Refusal::host(
                "sockets",
                format!("this host has no NUMA node {number}, which huge pages of socket {number} come from"),
            ));
        }
        let first = cores * u16::from(number);
        Ok(Self { memory, cpus: vec![(first, first + cores - 1)], host: None })
    }

    fn asked(at: &Situation<'_>, number: u8, node: &NumaNode) -> Result<Self, Refusal> {
        let refuse = |reason: &str| Refusal::setting(format!("numa{number}"), reason);
        let memory = node.memory.ok_or_else(|| refuse("how much memory it has must be said"))?;
        let memory = u32::try_from(memory.bytes() >> 20).map_err(|_| refuse("has too much memory"))?;
        let host = match (&node.host_nodes, node.policy) {
            (Some(_), None) => return Err(refuse("hostnodes need a policy")),
            (Some(nodes), Some(policy)) => Some((nodes.ranges().to_vec(), policy.as_str())),
            (None, _) if at.vm.hugepages.is_some() => return Err(refuse("huge pages need hostnodes")),
            (None, _) => None,
        };
        let known = at.host.facts.numa_nodes.as_ref();
        let missing = known.zip(node.host_nodes.as_ref()).and_then(|(known, asked)| asked.numbers().find(|number| !known.contains(number)));
        if let Some(missing) = missing {
            return Err(Refusal::host(format!("numa{number}"), format!("this host has no NUMA node {missing}")));
        }
        Ok(Self { memory, cpus: node.cpus.ranges().to_vec(), host })
    }
}

fn node_memory(at: &Situation<'_>, out: &mut Assembly, number: u8, node: &Node) -> Result<(), Refusal> {
    let folders = !at.vm.shared_folders.is_empty();
    let id = if folders { format!("virtiofs-mem{number}") } else { format!("ram-node{number}") };
    let mut object = piece(at, &id, node.memory, folders)?;
    if let Some((nodes, policy)) = &node.host {
        object = nodes.iter().fold(object, |object, range| object.set("host-nodes", range_text(*range))).set("policy", *policy);
    }
    out.object(&object);
    out.switch(&Numa { node: number, cpus: node.cpus.clone(), memory: id });
    Ok(())
}

/// A piece of memory from the pages that were asked for.
fn piece(at: &Situation<'_>, id: &str, size: u32, shared: bool) -> Result<Object, Refusal> {
    let Some(pages) = at.vm.hugepages else {
        let kind = if shared { "memory-backend-memfd" } else { "memory-backend-ram" };
        return Ok(Object::new(kind, id).set("size", mib(size)).maybe("share", shared.then_some(true)));
    };
    let path = pages_for(at, pages, size)?;
    let object = Object::new("memory-backend-file", id).set("size", mib(size)).set("mem-path", path);
    Ok(object.set("share", true).set("prealloc", true))
}

/// Where pages for `size` MiB are to be had.
fn pages_for(at: &Situation<'_>, pages: Hugepages, size: u32) -> Result<String, Refusal> {
    let known = &at.host.facts.hugepages;
    let path = |mib: u32| known.get(&mib).map(|path| path.to_string_lossy().into_owned());
    let wanted = match pages {
        Hugepages::OneGib => 1024,
        Hugepages::TwoMib => 2,
        Hugepages::Any => {
            let fits = |mib: &u32| size.is_multiple_of(*mib) && known.contains_key(mib);
            let largest = [1024, 2].into_iter().find(fits);
            largest.ok_or_else(|| Refusal::host("hugepages", format!("this host has no huge pages of a size that divides {size} MiB")))?
        }
    };
    if !size.is_multiple_of(wanted) {
        return Err(Refusal::setting("memory", format!("{size} MiB are no multiple of the {wanted} MiB of a huge page")));
    }
    path(wanted).ok_or_else(|| Refusal::host("hugepages", format!("this host has no huge pages of {wanted} MiB")))
}

/// The pieces beyond what is fixed, over all nodes in turn.
fn plug(at: &Situation<'_>, out: &mut Assembly, plan: &Plan) -> Result<(), Refusal> {
    let smallest = if at.vm.hugepages == Some(Hugepages::OneGib) { 1024 } else { SMALLEST_DIMM };
    let sizes = (0..DIMM_SIZES).flat_map(|doubled| std::iter::repeat_n(smallest << doubled, DIMMS_OF_A_SIZE));
    let mut there = plan.fixed;
    for (number, size) in sizes.enumerate().take_while(|_| plan.most.is_some()) {
        if there >= plan.total {
            break;
        }
        there += size;
        if there > plan.total {
            return Err(Refusal::setting(
                "memory",
                format!("{} MiB are not made of pieces of {size} MiB, as what is plugged is", plan.total),
            ));
        }
        let (id, node) = (format!("dimm{number}"), number % DIMMS_OF_A_SIZE % usize::from(at.vm.cpu.sockets));
        out.object(&piece(at, &format!("mem-{id}"), size, !at.vm.shared_folders.is_empty())?);
        let device = Device::new("pc-dimm").set("id", id.clone()).set("memdev", format!("mem-{id}"));
        out.device(&device.set("node", u32::try_from(node).unwrap_or_default()));
    }
    Ok(())
}

fn mib(size: u32) -> String {
    format!("{size}M")
}
