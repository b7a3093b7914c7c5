use proptest::prelude::*;
use uuid::Uuid;

use super::super::Mode;
use super::*;

fn read(text: &str) -> ConfFile {
    ConfFile::parse(100.try_into().unwrap(), text, Mode::Strict).unwrap().file
}

fn new(secs: u64) -> NewSnapshot {
    NewSnapshot { time_secs: secs, ..NewSnapshot::default() }
}

const TREE: &str = "parent: leaf\nscsi0: st:a,size=1G\n\
                    [leaf]\nparent: middle\nscsi0: st:a\nsnaptime: 3\n\
                    [middle]\nparent: root\nscsi0: st:a\nscsi1: st:b\nsnaptime: 2\nvmstate: st:state\n\
                    [root]\nscsi0: st:a\nsnaptime: 1\n[twig]\nparent: middle\nscsi0: st:a\nsnaptime: 4\n";

#[test]
fn a_snapshot_has_the_settings_and_nothing_of_the_work() {
    let mut file = read("#main\ncores: 2\nide2: none,media=cdrom\nlock: backup\nscsi0: st:a\nunused0: st:c\n");
    assert_eq!(file.prepare_snapshot("one", &new(5)), Err(SnapshotError::Locked("backup".to_owned())));
    file.main.values.remove("lock");
    let state = SavedState { volume: "st:state".to_owned(), machine: Some("pc+x".to_owned()), cpu: Some("kvm64".to_owned()) };
    file.prepare_snapshot("one", &NewSnapshot { time_secs: 5, description: Some("then".to_owned()), state: Some(state) }).unwrap();
    let expected = "#main\ncores: 2\nide2: none,media=cdrom\nlock: snapshot\nscsi0: st:a\nunused0: st:c\n\n[one]\n#then\ncores: 2\n\
                    ide2: none,media=cdrom\nrunningcpu: kvm64\nrunningmachine: pc+x\nscsi0: st:a\nsnapstate: prepare\nsnaptime: 5\nvmstate: st:state\n";
    assert_eq!(file.to_string(), expected);
    assert_eq!(file.snapshot_drives("one").unwrap(), [("scsi0".to_owned(), "st:a".to_owned())]);
    file.commit_snapshot("one").unwrap();
    assert_eq!((file.lock(), file.main.values["parent"].as_str()), (None, "one"));
    assert_eq!(file.commit_snapshot("one"), Err(SnapshotError::NoLock));
    assert_eq!(file.check_new_snapshot("one"), Err(SnapshotError::Taken("one".to_owned())));
}

#[test]
fn what_is_refused_changes_nothing() {
    let template = read("template: 1\n[one]\nsnaptime: 1\n");
    let locked = read("lock: backup\n[one]\nsnaptime: 1\n");
    type Step = fn(&mut ConfFile) -> Result<(), SnapshotError>;
    let cases: [(&ConfFile, Step, SnapshotError); 9] = [
        (&template, |f| f.prepare_snapshot("two", &new(1)), SnapshotError::TakeOfTemplate),
        (&template, |f| f.begin_snapshot_deletion("one", false), SnapshotError::DeleteOfTemplate),
        (&template, |f| f.begin_rollback("one"), SnapshotError::RollbackOfTemplate),
        (&locked, |f| f.begin_snapshot_deletion("one", false), SnapshotError::Locked("backup".to_owned())),
        (&locked, |f| f.begin_rollback("one"), SnapshotError::Locked("backup".to_owned())),
        (&locked, |f| f.end_rollback("one", Uuid::nil()), SnapshotError::WrongLock),
        (&locked, |f| f.commit_snapshot("one"), SnapshotError::NoLock),
        (&locked, |f| f.begin_snapshot_deletion("two", false), SnapshotError::Missing("two".to_owned())),
        (&locked, |f| f.describe_snapshot("two", ""), SnapshotError::Missing("two".to_owned())),
    ];
    for (before, step, why) in cases {
        let mut file = before.clone();
        assert_eq!(step(&mut file), Err(why));
        assert_eq!(&file, before);
    }
}

#[test]
fn a_deletion_in_the_middle_keeps_the_tree_and_the_volumes() {
    let mut file = read(TREE);
    file.begin_snapshot_deletion("middle", false).unwrap();
    assert_eq!(file.check_rollback("middle"), Err(SnapshotError::Incomplete("delete".to_owned())));
    file.drop_from_snapshot("middle", "vmstate").unwrap();
    file.drop_from_snapshot("middle", "scsi0").unwrap();
    let section = &file.snapshots["middle"].values;
    assert_eq!((section.get("vmstate"), section.get("scsi0"), section["unused0"].as_str()), (None, None, "st:a"));
    file.end_snapshot_deletion("middle", &["st:a".to_owned(), "st:b".to_owned()]).unwrap();
    let parent = |name: &str| file.snapshots[name].values.get("parent").map(String::as_str);
    assert_eq!((parent("leaf"), parent("twig"), parent("root")), (Some("root"), Some("root"), None));
    assert_eq!((file.lock(), file.main.values["unused0"].as_str(), file.main.values.get("unused1")), (None, "st:b", None));
    // The root's heirs have no parent.
    file.begin_snapshot_deletion("root", false).unwrap();
    file.end_snapshot_deletion("root", &[]).unwrap();
    assert!(["leaf", "twig"].iter().all(|name| !file.snapshots[*name].values.contains_key("parent")));
}

#[test]
fn a_rollback_keeps_what_is_the_guests_and_takes_the_rest_from_the_snapshot() {
    let text = "#mine\ncores: 4\nscsi0: st:a\nscsi1: st:b\nscsi2: /dev/sda\nunused3: st:c\nvmgenid: 145ced86-d86d-4d9c-89dd-f875ea8e8e0d\n\
                [PENDING]\ncores: 8\n[special:fleecing]\nfleecing-images: st:f\n\
                [one]\n#then\ncores: 2\nmachine: q35\nrunningcpu: x\nscsi0: st:a\nsnaptime: 1\nunused0: st:old\n\
                vmgenid: 245ced86-d86d-4d9c-89dd-f875ea8e8e0d\nvmstate: st:state\n";
    let mut file = read(text);
    file.begin_rollback("one").unwrap();
    file.end_rollback("one", Uuid::from_u128(7)).unwrap();
    let main = file.to_string();
    let expected = format!("#mine\ncores: 2\nparent: one\nscsi0: st:a\nunused0: st:b\nunused3: st:c\nvmgenid: {}\n", Uuid::from_u128(7));
    assert_eq!(main.split("\n[").next().unwrap(), expected.strip_suffix('\n').map(|text| format!("{text}\n")).unwrap());
    assert!(!main.contains("[PENDING]") && main.contains("[special:fleecing]"), "{main}");
    // A machine that was set before, and one that was noted as what ran, stay.
    for more in ["machine: pc\n", ""] {
        let run = if more.is_empty() { "runningmachine: q35\n" } else { "" };
        let mut file = read(&format!("{more}scsi0: st:a\n[one]\nmachine: q35\n{run}scsi0: st:a\nvmstate: st:state\n"));
        file.begin_rollback("one").unwrap();
        file.end_rollback("one", Uuid::nil()).unwrap();
        assert_eq!(file.main.values.get("machine").map(String::as_str), Some("q35"));
        assert_eq!(file.main.values.get("runningmachine"), None);
    }
}

#[test]
fn unfinished_work_of_a_node_is_brought_to_an_end() {
    let mut file = read(TREE);
    assert_eq!(file.mend_snapshots(), []);
    assert_eq!(file, read(TREE));
    file.begin_snapshot_deletion("middle", false).unwrap();
    assert_eq!(file.mend_snapshots(), [Mended::Deleting("middle".to_owned())]);
    assert_eq!((file.lock(), file.main.values["unused0"].as_str()), (None, "st:b"));
    file.prepare_snapshot("next", &new(9)).unwrap();
    assert_eq!(file.mend_snapshots(), [Mended::Taking("next".to_owned())]);
    assert_eq!((file.lock(), file.main.values["parent"].as_str()), (None, "leaf"));
    file.begin_rollback("leaf").unwrap();
    assert_eq!(file.mend_snapshots(), [Mended::RollingBack]);
    assert_eq!(file.lock(), Some("rollback"));
}

#[test]
fn drives_come_by_bus_and_number_and_unused_volumes_have_a_limit() {
    let file = read("[one]\nefidisk0: st:e\nsata0: st:d\nscsi10: st:c\nscsi2: st:b\nide0: st:a\nide2: st:iso/x.iso,media=cdrom\n");
    let keys: Vec<String> = file.snapshot_drives("one").unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["ide0", "scsi2", "scsi10", "sata0", "efidisk0"]);
    let mut section = Section::default();
    for number in 0..UNUSED_MAX {
        add_unused(&mut section, &format!("st:{number}")).unwrap();
    }
    add_unused(&mut section, "st:7").unwrap();
    assert_eq!(add_unused(&mut section, "st:more"), Err(SnapshotError::TooManyUnused));
}

proptest! {
    /// However work on snapshots is mixed, left unfinished and mended: parents exist, and the file reads back as it is.
    #[test]
    fn a_tree_stays_a_tree(steps in prop::collection::vec((0..8u8, 0..4usize), 0..40)) {
        let names = ["aa", "bb", "cc", "dd"];
        let mut file = read("parent: leaf\nscsi0: st:a\n[leaf]\nscsi0: st:a\nscsi1: st:b\nsnaptime: 1\n");
        for (step, name) in steps.into_iter().map(|(step, at)| (step, names[at])) {
            // Refusals are part of the mixture.
            let _ = match step {
                0 | 1 => file.prepare_snapshot(name, &new(1)),
                2 | 3 => file.commit_snapshot(name),
                4 => file.begin_snapshot_deletion(name, false),
                5 => file.end_snapshot_deletion(name, &["st:b".to_owned()]),
                6 => file.begin_rollback(name).and_then(|()| file.end_rollback(name, Uuid::nil())),
                _ => { file.mend_snapshots(); Ok(()) }
            };
            for section in std::iter::once(&file.main).chain(file.snapshots.values()) {
                prop_assert!(section.values.get("parent").is_none_or(|parent| file.snapshots.contains_key(parent)), "{file}");
            }
            prop_assert_eq!(read(&file.to_string()).to_string(), file.to_string());
        }
        file.mend_snapshots();
        prop_assert!(file.snapshots.values().all(|section| !section.values.contains_key("snapstate")));
    }
}
