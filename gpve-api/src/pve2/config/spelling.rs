//! How settings were spelled, where the spec alone would spell them otherwise.
//!
//! Clients compare what they read with what they wrote: a provider that sent `cores=1` or `agent=enabled=1` and reads back
//! nothing, or `1`, reports a drift. So what differs from the plain spelling is kept in the spec. It is used only while it
//! means what the spec says; after a change through the native API the plain spelling shows.

use std::collections::BTreeMap;

use gpve_core::types::{LegacyBoot, PropertyValue};

use super::{Definition, VmConfig, from_spec, option, to_spec};
use crate::route::Kind;

/// The key in [`VmSpec::other`](gpve_core::types::VmSpec) that holds spellings. It is no setting of the guest: engines
/// leave it out when they name settings without effect.
pub const SPELLING: &str = "pve-spelling";

/// Texts by setting; `None` is a setting that was left out although the spec says something.
type Spellings = BTreeMap<String, Option<String>>;

/// Keeps in `definition` what `config` spells otherwise than plainly.
pub(super) fn remember(config: &VmConfig, definition: &mut Definition) {
    let plain = from_spec::plain(definition);
    let mut spellings = Spellings::new();
    // A secret has one spelling, that of its hash: what the client wrote is not kept.
    let is_secret = |key: &str| matches!(option(key).map(|p| p.kind), Some(Kind::Secret { .. }));
    for (key, value) in config.iter().filter(|(k, v)| plain.get(k) != Some(v) && !is_secret(k)) {
        spellings.insert(key.to_owned(), Some(value.to_owned()));
    }
    for (key, _) in plain.iter().filter(|(k, _)| config.get(k).is_none()) {
        spellings.insert(key.to_owned(), None);
    }
    let key = SPELLING.parse();
    // Too long a text is not kept: the plain spelling means the same.
    let text = serde_json::to_string(&spellings).ok().and_then(|t| PropertyValue::try_from(t).ok());
    if let (Ok(key), Some(text), false) = (key, text, spellings.is_empty()) {
        definition.spec.other.insert(key, text);
    }
}

/// Puts remembered spellings into `config`, the plain settings of `definition`, where they still mean the same.
pub(super) fn recall(definition: &Definition, config: &mut VmConfig) {
    let stored = definition.spec.other.iter().find(|(k, _)| k.as_str() == SPELLING);
    let Some(spellings) = stored.and_then(|(_, v)| serde_json::from_str::<Spellings>(v.as_str()).ok()) else { return };
    let mut wanted = definition.clone();
    wanted.spec.other.retain(|k, _| k.as_str() != SPELLING);
    // No setting says that a guest boots by class: a file without boot order does.
    wanted.spec.legacy_boot = wanted.spec.legacy_boot.filter(|legacy| *legacy != LegacyBoot::default());
    for (key, text) in spellings {
        let mut tried = config.clone();
        match text {
            Some(text) => tried.set(&key, text),
            None => drop(tried.remove(&key)),
        }
        if to_spec::meaning(&tried).is_ok_and(|meaning| meaning == wanted) {
            *config = tried;
        }
    }
}
