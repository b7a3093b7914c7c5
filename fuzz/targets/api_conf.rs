//! Configuration files of Proxmox VE's nodes: no text stops the reader, what is printed reads as the same file without
//! complaint, every file becomes a guest, and a rewrite at restore leaves nothing of the old node.
#![no_main]

use std::collections::BTreeMap;

use gpve_api::pve2::conf::{ConfFile, Mode, Restore, device_map};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let vmid = 100.try_into().unwrap();
    let strict = ConfFile::parse(vmid, text, Mode::Strict);
    let Ok(lenient) = ConfFile::parse(vmid, text, Mode::Lenient) else { return };
    assert_eq!(strict.is_ok(), lenient.passed_over.is_empty());
    let printed = lenient.file.to_string();
    let again = ConfFile::parse(vmid, &printed, Mode::Strict).unwrap_or_else(|e| panic!("{e}: {printed:?}"));
    assert_eq!(again.file.to_string(), printed);
    assert_eq!(without_unused(&again.file), without_unused(&lenient.file), "{printed:?}");
    let _ = lenient.file.import();
    let volumes = device_map(text).into_iter().filter_map(|m| Some((m.drive, "new:100/x.raw".parse().ok()?))).collect::<BTreeMap<_, _>>();
    let rewritten = Restore { volumes: &volumes, generation_id: Default::default(), unique: None }.rewrite(text);
    assert!(!rewritten.lines().any(|line| line.starts_with("#qmdump#") || line.starts_with("lock:")));
});

/// Printing leaves out what a drive uses.
fn without_unused(file: &ConfFile) -> Vec<(&String, &String)> {
    file.main.values.iter().filter(|(key, _)| !key.starts_with("unused")).collect()
}
