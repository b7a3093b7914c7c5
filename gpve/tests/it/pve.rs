//! The virtual hardware beside Proxmox VE's: every configuration of its `cfg2cmd` suite, from the file to QEMU's
//! command line, where the reference data is at hand (`GPVE_PVE_DATA`, by default `shared/pve` beside the checkout).

mod case;
mod command;
mod drives;
mod images;
mod migration;
mod normal;
mod reservation;
mod world;

use std::path::PathBuf;

use case::Case;

/// Cases that cannot pass, with the reason. One that passes fails the suite: the list is to be shortened.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Where the reference data of Proxmox VE's machines is.
fn data(test: &str) -> Option<PathBuf> {
    let data = std::env::var_os("GPVE_PVE_DATA").map_or_else(|| PathBuf::from("../../shared/pve"), PathBuf::from);
    let data = data.join("qemu-server");
    if data.join("cfg2cmd").is_dir() {
        return Some(data);
    }
    println!("SKIP pve::{test}: {} is not there; set GPVE_PVE_DATA", data.display());
    None
}

#[test]
fn virtual_hardware_is_that_of_proxmox_ve() {
    let Some(data) = data("virtual_hardware_is_that_of_proxmox_ve") else { return };
    let suite = data.join("cfg2cmd");
    let cases = Case::all(&suite);
    assert!(!cases.is_empty(), "{} holds no case", suite.display());
    let mut wrong = Vec::new();
    let mut passed = 0;
    for case in &cases {
        let exception = EXCEPTIONS.iter().find(|(name, _)| *name == case.name);
        match (case.check(&suite), exception) {
            (Ok(()), None) => passed += 1,
            (Err(why), None) => wrong.push(format!("{}:\n{why}", case.name)),
            (Ok(()), Some(_)) => wrong.push(format!("{}: is an exception and passes", case.name)),
            (Err(_), Some((name, reason))) => println!("EXCEPTION {name}: {reason}"),
        }
    }
    println!("SUITE cfg2cmd {passed}/{}", cases.len());
    assert!(wrong.is_empty(), "{} cases are wrong\n{}", wrong.len(), wrong.join("\n"));
}
