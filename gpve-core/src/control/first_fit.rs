//! A scheduler of one trivial strategy.

use super::cache::Snapshot;
use super::nodes::NodeStatus;
use crate::ports::{NodeView, Placement, PlacementRequest, Scheduler, Unplaceable};
use crate::types::{ByteSize, Millicores};

/// The named node if it can be used; otherwise, of the ready, uncordoned nodes that reach the guest's storages, the one
/// with the most memory not given away, the first by name among equals. Memory may be given away more than once, as in
/// Proxmox VE.
#[derive(Debug, Clone, Copy, Default)]
pub struct FirstFit;

impl Scheduler for FirstFit {
    fn place(&self, request: &PlacementRequest, nodes: &[NodeView]) -> Result<Placement, Unplaceable> {
        let mut reasons = Vec::new();
        let mut fitting = Vec::new();
        for node in nodes.iter().filter(|n| request.node.as_ref().is_none_or(|wanted| *wanted == n.name)) {
            match obstacle(request, node) {
                Some(reason) => reasons.push((node.name.clone(), reason)),
                None => fitting.push(node),
            }
        }
        if let (Some(wanted), true, true) = (&request.node, reasons.is_empty(), fitting.is_empty()) {
            reasons.push((wanted.clone(), "there is no such node".to_owned()));
        }
        let free = |n: &NodeView| n.memory.bytes().saturating_sub(n.memory_allocated.bytes());
        let best = fitting.into_iter().max_by(|a, b| free(a).cmp(&free(b)).then_with(|| b.name.cmp(&a.name)));
        let Some(best) = best else { return Err(Unplaceable { reasons }) };
        let reason = match request.node {
            Some(_) => "it was named".to_owned(),
            None => format!("it has the most free memory ({} MiB)", free(best) >> 20),
        };
        Ok(Placement { node: best.name.clone(), reason })
    }
}

fn obstacle(request: &PlacementRequest, node: &NodeView) -> Option<String> {
    if !node.ready {
        return Some("it does not answer".to_owned());
    }
    if node.cordoned {
        return Some("it is cordoned".to_owned());
    }
    let missing = request.storages.iter().find(|s| !node.storages.contains(s))?;
    Some(format!("it does not reach storage '{missing}'"))
}

/// What a scheduler may know of the nodes. Memory and processors count as given away for every defined guest, running
/// or not, so that many guests made in a row spread.
pub(super) fn views(nodes: &[NodeStatus], guests: &Snapshot) -> Vec<NodeView> {
    let view = |node: &NodeStatus| {
        let here = || guests.iter().map(|e| &e.guest).filter(|g| *g.node() == node.name && !g.spec().template);
        NodeView {
            name: node.name.clone(),
            ready: node.ready,
            cordoned: node.settings.cordoned,
            labels: node.settings.labels.clone(),
            cpu: Millicores::new(node.info.as_ref().map_or(0, |i| i.cpus.saturating_mul(1000))),
            cpu_allocated: Millicores::new(here().map(|g| u32::from(g.spec().cpu.total()) * 1000).fold(0, u32::saturating_add)),
            memory: node.info.as_ref().map_or(ByteSize::ZERO, |i| i.memory),
            memory_allocated: here().map(|g| g.spec().memory.size.bytes()).sum(),
            storages: node.storages.keys().cloned().collect(),
        }
    };
    nodes.iter().map(view).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::types::{Labels, Vmid};

    fn node(name: &str, free_gib: u64) -> NodeView {
        NodeView {
            name: name.parse().unwrap(),
            ready: true,
            cordoned: false,
            labels: Labels::new(),
            cpu: Millicores::from_cores(8),
            cpu_allocated: Millicores::new(0),
            memory: ByteSize::from_gib(16),
            memory_allocated: ByteSize::from_gib(16 - free_gib),
            storages: vec!["local".parse().unwrap()],
        }
    }

    fn request(node: Option<&str>) -> PlacementRequest {
        PlacementRequest {
            vmid: Vmid::MIN,
            cpu: Millicores::from_cores(1),
            memory: ByteSize::from_gib(32),
            storages: vec!["local".parse().unwrap()],
            node: node.map(|n| n.parse().unwrap()),
        }
    }

    fn placed(request: &PlacementRequest, nodes: &[NodeView]) -> Result<String, String> {
        FirstFit.place(request, nodes).map(|p| p.node.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_most_free_memory_wins_and_the_first_name_among_equals() {
        assert_eq!(placed(&request(None), &[node("a", 1), node("b", 4), node("c", 2)]), Ok("b".to_owned()));
        assert_eq!(placed(&request(None), &[node("b", 4), node("a", 4)]), Ok("a".to_owned()));
        assert_eq!(placed(&request(Some("a")), &[node("a", 1), node("b", 4)]), Ok("a".to_owned()));
    }

    #[test]
    fn every_node_that_cannot_be_used_says_why() {
        let nodes = [
            NodeView { ready: false, ..node("a", 1) },
            NodeView { cordoned: true, ..node("b", 1) },
            NodeView { storages: Vec::new(), ..node("c", 1) },
        ];
        let reasons = "no node fits: a: it does not answer; b: it is cordoned; c: it does not reach storage 'local'";
        assert_eq!(placed(&request(None), &nodes), Err(reasons.to_owned()));
        assert_eq!(placed(&request(Some("d")), &nodes), Err("no node fits: d: there is no such node".to_owned()));
    }
}
