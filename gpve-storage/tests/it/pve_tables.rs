//! Cases of Proxmox VE's own, read from outside the source tree.

use std::path::PathBuf;

use gpve_core::ports::{ContentKind, StoragePlugin as _, VolumeFilter};
use gpve_storage::DirConfig;
use gpve_storage::dir::{Place, subdirectory};
use serde_json::{Value, json};

use crate::support::{Local, cx, needs_qemu_img, qemu_img};

/// The reference document, or nothing and a loud word.
pub(crate) fn document(file: &str) -> Option<Value> {
    let directory = std::env::var_os("GPVE_PVE_DATA").map_or_else(|| PathBuf::from("../../shared/pve"), PathBuf::from);
    let path = directory.join(file);
    match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice::<Value>(&text).unwrap()),
        Err(error) => {
            println!("SKIP pve_tables::{file}: {}: {error}; set GPVE_PVE_DATA", path.display());
            None
        }
    }
}

fn table(name: &str) -> Option<Vec<Value>> {
    Some(document(&format!("pve-storage/tables/{name}.json"))?["tests"].as_array().unwrap().clone())
}

/// What PVE answers for a volume name: content, file, guest, base, base's guest, is a base, format.
fn facts(place: &Place) -> Value {
    match place {
        Place::Disk(disk) => {
            let (base_id, base) = disk.base.as_ref().map(|(id, file)| (id.to_string(), file.name().to_owned())).unzip();
            json!([
                "images",
                disk.file.name(),
                disk.vmid.to_string(),
                base,
                base_id,
                disk.file.is_base().then_some("base-"),
                disk.file.format()
            ])
        }
        Place::File(file) => {
            let name = file.inner.as_ref().map_or(file.file.clone(), |inner| format!("{}/{inner}", file.file));
            let name = if file.content == ContentKind::Rootdir { file.owner.unwrap().to_string() } else { name };
            let format = match file.content {
                ContentKind::Import => json!(file.format),
                ContentKind::Rootdir => Value::Null,
                _ => json!("raw"),
            };
            json!([file.content.as_str(), name, file.owner.map(|id| id.to_string()), null, null, null, format])
        }
    }
}

#[test]
fn volume_names_mean_what_they_mean_to_pve() {
    for case in table("parse_volname").unwrap_or_default() {
        let (text, expected) = (case["volname"].as_str().unwrap(), &case["expected"]);
        match (Place::parse(text), expected.as_array()) {
            (Ok(place), Some(expected)) => {
                let mut facts = facts(&place);
                // PVE's answers end early for some contents.
                facts.as_array_mut().unwrap().truncate(expected.len());
                assert_eq!(&facts, &case["expected"], "{}", case["description"]);
                assert_eq!(place.name(), text);
            }
            (Err(_), None) => {}
            (parsed, _) => panic!("{}: {parsed:?} instead of {expected}", case["description"]),
        }
    }
}

#[test]
fn paths_belong_to_the_volumes_that_pve_says() {
    let local = Local::new();
    for case in table("path_to_volume_id").unwrap_or_default() {
        let path = case["volname"].as_str().unwrap().replace("/STORAGE_DIR", local.directory.path().to_str().unwrap());
        let found = match local.storage.place_of(path.as_ref()) {
            Some(place) => json!([place.content().as_str(), format!("local:{}", place.name())]),
            None => json!([""]),
        };
        assert_eq!(found, case["expected"], "{}", case["description"]);
    }
}

#[test]
fn a_directory_of_a_container_is_a_volume_with_and_without_a_slash_behind_it() {
    for path in ["private/1234", "private/1234/"] {
        assert_eq!(Place::of_path(path).unwrap().name(), "rootdir/1234");
    }
    assert!(Place::of_path("private/1234//").is_err() && Place::of_path("private/subvol-1234-disk-0/").is_err());
}

#[test]
fn volumes_are_where_pve_looks_for_them() {
    let local = Local::with(|config| DirConfig { path: "/some/path".into(), mkdir: false, ..config });
    for case in table("filesystem_path").unwrap_or_default() {
        let Some(expected) = case["expected"].as_array() else {
            // A snapshot of a raw image has no path; here a snapshot never has one of its own.
            assert!(case["snapname"].is_string(), "{case}");
            continue;
        };
        let place = Place::parse(case["volname"].as_str().unwrap()).unwrap();
        let found = json!([local.storage.host_path(&place), place.owner().map(|id| id.to_string()), place.content().as_str()]);
        assert_eq!(&found, &case["expected"], "{expected:?}");
    }
}

#[test]
fn contents_are_in_the_folders_that_pve_has_for_them() {
    for case in table("get_subdir").unwrap_or_default() {
        let (config, content, expected) = (&case[0], case[1].as_str().unwrap(), case[2].as_str().unwrap());
        if config.get("content-dirs").is_some() {
            println!("SKIP get_subdir {config}: folders of one's own are no option here");
            continue;
        }
        match content.parse::<ContentKind>() {
            Ok(content) => assert_eq!(format!("{}/{}", config["path"].as_str().unwrap(), subdirectory(content)), expected),
            Err(_) => assert!(expected.starts_with("unknown vtype"), "{case}"),
        }
    }
}

/// Makes the files of a case below the storage, images with their backing files.
fn lay_out(local: &Local, case: &Value) {
    let parents = case["parent"].as_array();
    for (index, file) in case["files"].as_array().unwrap().iter().enumerate() {
        let relative = file.as_str().unwrap().strip_prefix("/STORAGE_DIR/").unwrap();
        let path = local.file(relative, b"");
        let format =
            ["qcow2", "vmdk"].into_iter().find(|format| relative.ends_with(&format!(".{format}")) && relative.starts_with("images/"));
        let parent = parents.and_then(|parents| parents.get(index)).and_then(Value::as_str);
        let mut args = vec!["create", "-q", "-u", "-f", format.unwrap_or("raw")];
        if let Some(parent) = parent {
            args.extend(["-b", parent, "-F", "qcow2"]);
        }
        args.extend([path.to_str().unwrap(), "128K"]);
        if relative.starts_with("private/") || relative.ends_with(".subvol") {
            std::fs::remove_file(&path).unwrap();
            std::fs::create_dir(&path).unwrap();
        } else {
            qemu_img(&args);
        }
    }
}

#[tokio::test]
async fn a_listing_shows_what_pve_lists() {
    needs_qemu_img!();
    for case in table("list_volumes").unwrap_or_default() {
        let local = Local::new();
        lay_out(&local, &case);
        let listed = local.storage.list(&cx(), &VolumeFilter::default()).await.unwrap();
        let mut found: Vec<_> = listed
            .iter()
            .map(|volume| {
                let place = Place::parse(volume.id.name().as_str()).unwrap();
                let format = match &place {
                    Place::Disk(disk) => disk.file.format().to_owned(),
                    Place::File(file) => file.format.clone(),
                };
                let made = if volume.content == ContentKind::Backup { volume.created.unwrap().secs() } else { 1_234_567_890 };
                let owner = volume.owner.map(|id| id.to_string());
                let parent = volume.parent.as_ref().map(|parent| parent.name().to_string());
                json!([volume.id.to_string(), volume.content.as_str(), format, volume.size.bytes(), made, owner, parent])
            })
            .collect();
        let mut expected: Vec<_> = case["expected"].as_array().unwrap().iter().map(expected_row).collect();
        found.sort_by_key(Value::to_string);
        expected.sort_by_key(Value::to_string);
        assert_eq!(found, expected, "{}", case["description"]);
    }
}

fn expected_row(entry: &Value) -> Value {
    // PVE shows the reference as it stands in the image; a volume's parent here is a volume, or nothing if it is elsewhere.
    let parent = entry["parent"].as_str().and_then(|parent| parent.strip_prefix("../")).filter(|parent| Place::parse(parent).is_ok());
    // A disk of a container is a "rootdir" to PVE; whose disk it is the storage does not know.
    let is_disk = entry["volid"].as_str().is_some_and(|id| id["local:".len()..].starts_with(|c: char| c.is_ascii_digit()));
    let content = if is_disk { json!("images") } else { entry["content"].clone() };
    json!([entry["volid"], content, entry["format"], entry["size"], entry["ctime"], entry["vmid"], parent])
}
