//! Network cards: `virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=5`.

use gpve_core::types::{NicIndex, NicSpec, VlanTag};

use crate::pve2::property::PropertyString;
use crate::routes::properties::NET;

use super::{Problems, words};

/// Parses card `index`; what is wrong goes to `problems`.
pub(super) fn parse(index: NicIndex, text: &str, problems: &mut Problems) -> Option<NicSpec> {
    let name = index.to_string();
    let parsed = PropertyString::parse(&NET, text).map_err(|e| e.to_string()).and_then(|parts| card(index, &parts));
    parsed.map_err(|why| problems.field(&name, why)).ok()
}

fn card(index: NicIndex, parts: &PropertyString) -> Result<NicSpec, String> {
    fn one<T: std::str::FromStr<Err: std::fmt::Display>>(parts: &PropertyString, key: &str) -> Result<Option<T>, String> {
        parts.get(key).map(|v| v.parse().map_err(|e: T::Err| format!("{key}: {e}"))).transpose()
    }
    let rate = parts.get("rate").map(|v| words::scaled(v, 1000).ok_or_else(|| format!("rate: '{v}' is too large"))).transpose()?;
    Ok(NicSpec {
        name: index,
        model: one(parts, "model")?.ok_or("model: required key is missing")?,
        mac_address: one(parts, "macaddr")?,
        bridge: one(parts, "bridge")?,
        vlan: one(parts, "tag")?,
        trunks: parts.get("trunks").map(trunks).transpose()?.unwrap_or_default(),
        firewall: parts.flag("firewall"),
        link_down: parts.flag("link_down"),
        mtu: one(parts, "mtu")?,
        queues: one(parts, "queues")?,
        rate_kb: rate,
    })
}

fn trunks(text: &str) -> Result<Vec<VlanTag>, String> {
    let tag = |t: &str| t.parse::<VlanTag>().map_err(|e| format!("trunks: {e}"));
    let mut tags = Vec::new();
    for range in text.split(';') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to) = (tag(from)?, tag(to)?);
        for n in from.get()..=to.get() {
            tags.push(VlanTag::try_from(n).map_err(|e| format!("trunks: {e}"))?);
        }
    }
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

/// The text of a card.
pub(super) fn render(card: &NicSpec) -> String {
    let mut parts = PropertyString::new(&NET);
    let flag = |v: bool| u8::from(v).to_string();
    let pairs = [
        ("model", Some(card.model.to_string())),
        ("macaddr", card.mac_address.map(|v| v.to_string())),
        ("bridge", card.bridge.as_ref().map(ToString::to_string)),
        ("tag", card.vlan.map(|v| v.to_string())),
        ("trunks", (!card.trunks.is_empty()).then(|| ranges(&card.trunks))),
        ("firewall", card.firewall.map(flag)),
        ("link_down", card.link_down.map(flag)),
        ("mtu", card.mtu.map(|v| v.to_string())),
        ("queues", card.queues.map(|v| v.to_string())),
        ("rate", card.rate_kb.map(words::thousandths)),
    ];
    for (key, value) in pairs.into_iter().filter_map(|(k, v)| Some((k, v?))) {
        let _ = parts.set(key, &value);
    }
    parts.to_string()
}

/// `[1, 2, 3, 7]` as `1-3;7`.
fn ranges(tags: &[VlanTag]) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for tag in tags.iter().map(|t| t.get()) {
        match runs.last_mut() {
            Some((_, to)) if *to + 1 == tag => *to = tag,
            _ => runs.push((tag, tag)),
        }
    }
    let show = |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    runs.iter().map(show).collect::<Vec<_>>().join(";")
}
