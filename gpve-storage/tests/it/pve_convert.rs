//! Copies of volumes beside Proxmox VE's: its table of `qemu-img convert` command lines (`GPVE_PVE_DATA`).
//!
//! What may differ, all of it: the order of options; `-U`, without which a stock QEMU refuses to read a snapshot of an
//! image in use; a raw format that Proxmox VE leaves to be guessed (gpve never lets bytes of a guest decide that); and the
//! driver for targets that are zero, which is a patch of Proxmox VE's QEMU where stock QEMU has a switch.

use std::path::Path;

use gpve_core::types::{SnapName, VolumeId};
use gpve_storage::image::CopyCommand;
use gpve_storage::location::{Definition, Location};
use serde_json::Value;

use crate::pve_tables::document;

/// Cases that cannot pass, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Facts of the recorded host.
const INITIATOR: &str = "foobar";
const LUN: u32 = 1;

#[test]
fn suite_qemu_img_convert() {
    let Some(table) = document("qemu-server/tables/qemu-img-convert.json") else { return };
    let cases = table["tests"].as_array().unwrap();
    assert!(!cases.is_empty());
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let exception = EXCEPTIONS.iter().find(|(exception, _)| *exception == name);
        match (check(&table["storage_config"]["ids"], case), exception) {
            (Ok(()), None) => passed += 1,
            (Err(why), None) => wrong.push(format!("{name}: {why}")),
            (Ok(()), Some(_)) => wrong.push(format!("{name}: is an exception and passes")),
            (Err(_), Some((_, reason))) => println!("EXCEPTION {name}: {reason}"),
        }
    }
    println!("SUITE qemu-img-convert {passed}/{}", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(storages: &Value, case: &Value) -> Result<(), String> {
    let composed = compose(storages, &case["parameters"]);
    match (&case["expected"], composed) {
        (Value::Array(theirs), Ok(ours)) => {
            let theirs: Vec<_> = theirs.iter().skip(1).map(|word| word.as_str().unwrap().to_owned()).collect();
            let (ours, theirs) = (normal(ours), normal(theirs));
            if ours == theirs { Ok(()) } else { Err(format!("\n  is       {ours:?}\n  expected {theirs:?}")) }
        }
        (Value::Array(_), Err(why)) => Err(format!("refused: {why}")),
        (_, Err(_)) => Ok(()),
        (error, Ok(ours)) => Err(format!("is {ours:?}; expected the error {error}")),
    }
}

fn compose(storages: &Value, parameters: &Value) -> Result<Vec<String>, String> {
    let options = &parameters[3];
    let snapshot = options["snapname"].as_str().map(|name| name.parse().unwrap());
    let source = locate(storages, parameters[0].as_str().unwrap(), snapshot.as_ref())?;
    let target = locate(storages, parameters[1].as_str().unwrap(), None)?;
    let mut command = CopyCommand::between(&source, &target, Some(INITIATOR));
    command.limit_kib = options["bwlimit"].as_u64().or_else(|| options["bwlimit"].as_str()?.parse().ok());
    command.target_is_zero = options["is_zero_initialized"] == 1;
    let invocation = command.invocation();
    Ok(invocation.arguments().iter().map(|word| word.to_str().unwrap().to_owned()).collect())
}

fn locate(storages: &Value, text: &str, snapshot: Option<&SnapName>) -> Result<Location, String> {
    let Some(volume) = text.parse::<VolumeId>().ok().filter(|_| !text.starts_with(['/', '.'])) else {
        return if text.contains('/') { Ok(Location::of_host(Path::new(text))) } else { Err("neither a volume nor a file".to_owned()) };
    };
    let entry = storages.get(volume.storage().to_string()).ok_or("there is no such storage")?;
    let lines: Vec<(&String, String)> = entry.as_object().unwrap().iter().map(|(key, value)| (key, text_of(value))).collect();
    let property = |key: &str| lines.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
    let definition = Definition::parse(entry["type"].as_str().unwrap(), property).map_err(|error| error.report())?;
    definition.locate(volume.name(), snapshot, LUN).map_err(|error| error.report())
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The options with their values, in an order, and the two images at the end.
fn normal(mut words: Vec<String>) -> Vec<String> {
    let images = words.split_off(words.len() - 2);
    let mut options: Vec<String> = Vec::new();
    for word in words {
        match options.last_mut().filter(|last| matches!(last.as_str(), "-f" | "-O" | "-l" | "-t" | "-T" | "-r")) {
            Some(flag) => *flag = format!("{flag} {word}"),
            None => options.push(word),
        }
    }
    options.retain(|option| option != "-U");
    // Where neither is said, their QEMU guesses.
    for (flag, other) in [("-f", "--image-opts"), ("-O", "--target-image-opts")] {
        if !options.iter().any(|option| option.starts_with(&format!("{flag} ")) || option == other) {
            options.push(format!("{flag} raw"));
        }
    }
    let images: Vec<String> = images
        .into_iter()
        .map(|image| match image.strip_prefix("zeroinit:") {
            Some(rest) => {
                options.push("--target-is-zero".to_owned());
                rest.to_owned()
            }
            None => image,
        })
        .collect();
    options.sort();
    options.into_iter().chain(images).collect()
}
