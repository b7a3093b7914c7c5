//! Configuration files of Proxmox VE's nodes: the reference suites, and what they do not say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gpve_api::pve2::conf::{ConfFile, Mode, Restore, Section, Unique, device_map};
use gpve_api::pve2::config::VmConfig;
use gpve_core::types::{DiskSlot, MacAddr, Vmid};
use proptest::prelude::*;
use uuid::Uuid;

fn vmid(n: u32) -> Vmid {
    n.try_into().unwrap()
}

fn read(text: &str) -> ConfFile {
    ConfFile::parse(vmid(8006), text, Mode::Strict).unwrap().file
}

/// The files of a folder of reference data whose name ends so, in order; none if the data are absent.
fn files(folder: &str, end: &str) -> Option<Vec<PathBuf>> {
    let folder = crate::reference(folder)?;
    let named = |path: &PathBuf| path.to_str().is_some_and(|p| p.ends_with(end));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(named).collect();
    files.sort();
    Some(files)
}

/// Runs every case of a suite and says how many passed; fails if one did not.
fn suite(name: &str, cases: &[PathBuf], case: impl Fn(&Path) -> Result<(), String>) {
    let failures: Vec<String> = cases.iter().filter_map(|path| case(path).err().map(|why| format!("{}: {why}", path.display()))).collect();
    println!("SUITE {name} {}/{}", cases.len() - failures.len(), cases.len());
    assert!(failures.is_empty() && !cases.is_empty(), "{}", failures.join("\n"));
}

fn same(what: &str, is: &str, expected: &str) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what}: got\n{is}\nexpected\n{expected}")) }
}

#[test]
fn suite_parse_config() {
    let Some(cases) = files("qemu-server/parse-config-input", ".conf") else { return };
    suite("parse-config", &cases, |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let expected = path.parent().unwrap().with_file_name("parse-config-expected").join(path.file_name().unwrap());
        let golden = |end: &str| std::fs::read_to_string(format!("{}{end}", expected.display())).ok();
        for (mode, errors) in [(Mode::Strict, ".strict.error"), (Mode::Lenient, ".non-strict.error")] {
            let outcome = ConfFile::parse(vmid(8006), &text, mode);
            match (outcome, golden(errors)) {
                (Err(error), Some(wording)) => same(errors, &format!("{error}\n"), &wording)?,
                (Err(error), None) => return Err(format!("{mode:?}: {error}")),
                (Ok(_), Some(wording)) => return Err(format!("{mode:?}: is read, but '{wording}' was expected")),
                (Ok(parsed), None) => same("written back", &parsed.file.to_string(), &golden("").unwrap_or_else(|| text.clone()))?,
            }
        }
        Ok(())
    });
}

#[test]
fn suite_restore_config() {
    let Some(cases) = files("qemu-server/restore-config-input", ".conf") else { return };
    suite("restore-config", &cases, |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let id = path.file_stem().unwrap().to_str().unwrap();
        let volume = |(n, drive): (usize, &str), format: &str| {
            let format = if format.is_empty() { "raw" } else { format };
            (drive.to_owned(), format!("target:{id}/vm-{id}-disk-{n}.{format}").parse().unwrap())
        };
        let mapped = device_map(&text);
        let volumes: BTreeMap<_, _> = mapped.iter().enumerate().map(|(n, m)| volume((n, &m.drive), &m.format)).collect();
        let rewritten = Restore { volumes: &volumes, generation_id: Uuid::from_u128(7), unique: None }.rewrite(&text);
        let expected = path.parent().unwrap().with_file_name("restore-config-expected").join(path.file_name().unwrap());
        same("rewritten", &rewritten, &std::fs::read_to_string(expected).unwrap())
    });
}

/// Every file that the other suites start from is read, means a guest, and prints back with the same settings.
#[test]
fn suite_every_reference_file_means_a_guest_and_prints_back() {
    let folders = ["cfg2cmd", "cfg2cmd/aarch64", "parse-config-expected", "restore-config-expected"].map(|f| format!("qemu-server/{f}"));
    let snapshots = |side: &str| {
        ["commit", "create", "delete", "prepare", "rollback"].map(|op| format!("qemu-server/snapshot-{side}/{op}/qemu-server"))
    };
    let folders: Vec<String> = folders.into_iter().chain(snapshots("input")).chain(snapshots("expected")).collect();
    let found: Option<Vec<Vec<PathBuf>>> = folders.iter().map(|folder| files(folder, ".conf")).collect();
    let Some(cases) = found else { return };
    suite("conf-round-trip", &cases.concat(), |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let file = ConfFile::parse(vmid(8006), &text, Mode::Strict).map_err(|e| e.to_string())?.file;
        let again = ConfFile::parse(vmid(8006), &file.to_string(), Mode::Strict).map_err(|e| e.to_string())?.file;
        if again != file {
            return Err(format!("{file}\nreads as\n{again}"));
        }
        for section in std::iter::once(&file.main).chain(file.snapshots.values()) {
            shows_what_it_says(section)?;
        }
        Ok(())
    });
}

fn shows_what_it_says(section: &Section) -> Result<(), String> {
    let definition = section.define().map_err(|e| format!("{e}"))?;
    let shown = VmConfig::of(&definition);
    let notes = ["parent", "snaptime", "snapstate", "vmstate", "runningmachine", "runningcpu", "running-nets-host-mtu"];
    for (key, value) in section.values.iter().filter(|(k, _)| !notes.contains(&k.as_str())) {
        if shown.get(key) != Some(value) {
            return Err(format!("{key}: {value} is shown as {:?}", shown.get(key)));
        }
    }
    Ok(())
}

#[test]
fn a_file_with_everything_prints_in_the_canonical_form() {
    let text = "\n# two%3A words\ncores: 02\n#and ü\n\nnuma: yes\nscsi0: local:100/a.raw,ssd=1,size=1024M\nide2: local:iso/debian.iso,media=cdrom\n\
                smp: 4\ndescription: more\nunused0: local:100/a.raw\nunused1: local:100/b.raw\nargs: -x  y \n\
                [pending]\n#\ndelete: cores,vga\nballoon: 0\n[special:CloudInit]\nname: not/checked\n[Snap-1]\n#then\nsnaptime: 5\nsnapstate: prepare\n";
    let written = "# two%3A words\n#and %C3%BC\n#more\nargs: -x  y\nide2: local:iso/debian.iso,media=cdrom\nnuma: 1\n\
                   scsi0: local:100/a.raw,size=1G,ssd=1\nsockets: 4\nunused1: local:100/b.raw\n\
                   \n[PENDING]\n#\nballoon: 0\ndelete: cores,vga\n\n[Snap-1]\n#then\nsnapstate: prepare\nsnaptime: 5\n";
    assert_eq!(read(text).to_string(), written);
    assert_eq!(read(written).to_string(), written);
}

/// Reading takes one pair of quotes and the blanks around a text away; printing gives back what would be lost.
#[test]
fn quotes_and_blanks_of_a_text_survive() {
    for value in ["\"\"\"\"", "\"\"", "\" backup\"", "\"a\" \"b\"", "backup"] {
        let once = read(&format!("lock: {value}\n"));
        let printed = once.to_string();
        assert_eq!(read(&printed), once, "{printed:?}");
        assert_eq!(read(&printed).to_string(), printed);
    }
    assert_eq!(read("lock: \"\"backup\"\"\n").main.values["lock"], "\"backup\"");
}

#[test]
fn what_was_last_given_to_cloud_init_is_kept_while_there_is_a_drive_for_it() {
    let section = "\n[special:cloudinit]\nname: old\n";
    for (drive, kept) in [
        ("ide2: local:100/vm-100-cloudinit.qcow2,media=cdrom\n", true),
        ("scsi3: lvm:vm-100-cloudinit,media=cdrom\n", true),
        ("ide2: local:cloudinit,media=cdrom\n", true),
        ("ide2: local:iso/cloudinit.iso,media=cdrom\n", false),
        ("scsi0: lvm:vm-100-cloudinit\n", false),
    ] {
        assert_eq!(read(&format!("{drive}{section}")).to_string().contains("special:cloudinit"), kept, "{drive}");
    }
}

#[test]
fn a_strict_reading_ends_at_the_first_line_that_proxmox_ve_does_not_take() {
    let refused = [
        ("numa: perhaps", "unable to parse value of 'numa' - type check ('boolean') failed - got 'perhaps'"),
        ("cores: -1", "unable to parse value of 'cores' - type check ('integer') failed - got '-1'"),
        ("cpulimit: 1.", "unable to parse value of 'cpulimit' - type check ('number') failed - got '1.'"),
        ("shape: round", "unable to parse value of 'shape' - unknown setting 'shape'"),
        ("nvme0: local:1/a.raw", "unable to parse value of 'nvme0' - unknown setting 'nvme0'"),
        ("net32: virtio", "unable to parse value of 'net32' - unknown setting 'net32'"),
        ("delete: cores", "property 'delete' is only allowed in [PENDING]"),
        ("cores 2", "unable to parse config: cores 2"),
        ("cores:", "unable to parse config: cores:"),
        ("Cores: 2", "unable to parse config: Cores: 2"),
        ("name: a_b", "unable to parse value of 'name' - value does not look like a valid DNS name"),
        (
            "agent: 1,shape=round",
            "unable to parse value of 'agent' - format error\nshape: property is not defined in schema and the schema does not allow additional properties",
        ),
        ("cpu: none", "unable to parse value of 'cpu' - Built-in cputype 'none' is not defined (missing 'custom-' prefix?)"),
        ("hotplug: disk,nope", "unable to parse value of 'hotplug' - invalid hotplug feature 'nope'"),
        ("usb0: x", "unable to parse value of 'usb0' - format error\nhost: value does not match the regex pattern"),
        (
            "ipconfig0: ip=x,gw=y",
            "unable to parse value of 'ipconfig0' - format error\ngw: invalid format - value does not look like a valid IPv4 address\n\n\
             ip: invalid format - value does not look like a valid ipv4 network configuration",
        ),
        ("agent: 1,enabled=1", "unable to parse value of 'agent' - duplicate key in comma-separated list property: enabled"),
        ("agent: type=isa", "unable to parse value of 'agent' - format error\nenabled: property is missing and it is not optional"),
        (
            "scsi0: local:1/a.raw,cache=x,iothread=y",
            "unable to parse value of 'scsi0' - format error\ncache: value 'x' does not have a value in the enumeration 'none, writethrough, \
             writeback, unsafe, directsync'\niothread: type check ('boolean') failed - got 'y'",
        ),
        (
            "ide2: debian.iso,media=cdrom",
            "unable to parse value of 'ide2' - format error\nfile: invalid format - unable to parse volume ID 'debian.iso'",
        ),
        ("scsi0: local:1/a.raw,mbps=1,mbps_rd=2", "unable to parse value of 'scsi0'"),
        ("virtio0: local:1/a.raw,media=cdrom", "unable to parse value of 'virtio0'"),
        ("[special:other]", "skipping unknown section: 'special:other'"),
        ("[]", "skipping unknown section: ''"),
    ];
    for (line, reason) in refused {
        let error = ConfFile::parse(vmid(100), &format!("#x\n{line}\nname: bad_name"), Mode::Strict).unwrap_err();
        assert_eq!((error.to_string(), error.line), (format!("vm 100 - {reason}"), 2));
    }
    // What a file is not checked for: bounds and lists of words.
    for line in ["cores: 0", "ostype: plan9", "cpuunits: 999999999", "hugepages: 3", "serial0: anything"] {
        assert_eq!(read(line).to_string(), format!("{line}\n"));
    }
}

#[test]
fn a_lenient_reading_reports_what_it_passes_over_and_keeps_what_is_unknown() {
    let text = "cores: 2\nshape: round\nnuma: perhaps\n\n[special:other]\nsockets: 3\n\n[snap]\nshape: square\ncores: 1\n";
    let parsed = ConfFile::parse(vmid(100), text, Mode::Lenient).unwrap();
    let reported: Vec<(usize, Option<&str>)> = parsed.passed_over.iter().map(|p| (p.line, p.key.as_deref())).collect();
    assert_eq!(reported, [(2, Some("shape")), (3, Some("numa")), (5, None), (9, Some("shape"))]);
    assert_eq!(parsed.file.to_string(), "cores: 2\n\n[snap]\ncores: 1\n");
    assert_eq!(parsed.file.with_unknown().to_string(), "cores: 2\nshape: round\n\n[snap]\ncores: 1\nshape: square\n");
}

#[test]
fn a_file_defines_a_guest_even_where_gpve_cannot_do_all_of_it() {
    let file = read(
        "cores: 2\nscsi0: /dev/sdb\nide2: cdrom,media=cdrom\nide3: /srv/../x.iso\nostype: plan9\nsata0: st:%x,size=1G\nmemory: 1024\nbootdisk: scsi0\n",
    );
    assert!(file.main.define().is_err());
    let (definition, refused) = file.main.define_what_can_be();
    assert_eq!((definition.spec.cpu.cores, definition.spec.memory.size.get()), (2, 1024));
    let keys: Vec<&str> = refused.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["ostype", "sata0"]);
    let paths: Vec<_> = definition.spec.disks.values().filter_map(|d| d.host_path()).collect();
    assert_eq!(paths, ["/dev/sdb", "/dev/cdrom", "/srv/../x.iso"].map(Path::new));
    assert_eq!(definition.spec.check()[0].field, "ide3", "what is no plain path is refused with the machine");
    let legacy = definition.spec.legacy_boot.unwrap();
    assert_eq!((legacy.classes, legacy.disk), (None, Some("scsi0".parse::<DiskSlot>().unwrap())));
}

#[test]
fn a_guest_is_imported_as_it_would_be_at_its_next_start() {
    let text = "#web\ncores: 2\nballoon: 0\nshape: round\nostype: plan9\nwatchdog: ib700\nparent: before\nlock: backup\n\
                meta: creation-qemu=9.0.2,ctime=1725975013\n[PENDING]\ncores: 4\ndelete: balloon,!lock\n[before]\ncores: 1\nsnaptime: 4\n";
    let file = ConfFile::parse(vmid(100), text, Mode::Lenient).unwrap().file;
    let imported = file.import();
    let spec = &imported.definition.spec;
    assert_eq!((spec.cpu.cores, spec.lock, spec.memory.ballooning), (4, None, gpve_core::types::Ballooning::On));
    assert_eq!(imported.taken, ["cores", "meta", "watchdog"]);
    assert_eq!(imported.refused[0].0, "ostype");
    assert_eq!(
        (imported.pending, imported.snapshots),
        (["cores", "balloon", "lock"].map(str::to_owned).to_vec(), vec!["before".to_owned()])
    );
    assert!(imported.without_effect.contains(&"shape".to_owned()), "{:?}", imported.without_effect);
    assert_eq!(spec.origin.as_ref().unwrap().created.unwrap().secs(), 1_725_975_013);
    assert_eq!(VmConfig::of(&imported.definition).get("shape"), Some("round"));
}

#[test]
fn a_restored_guest_is_not_the_one_that_was_backed_up() {
    let text = "lock: backup\nparent: x\nunused0: a:b\nvlan7: e1000=02:00:00:00:00:09,rtl8139\nnet3: virtio=02:00:00:00:00:08,bridge=vmbr0\n\
                vmgenid: 145ced86-d86d-4d9c-89dd-f875ea8e8e0d\nsmbios1: uuid=145ced86-d86d-4d9c-89dd-f875ea8e8e0d\n\
                scsi1: old:b,format=qcow2,size=1G\nscsi2: old:c,backup=no\nscsi3: old:d\n#vzdump#x\n";
    let volumes = BTreeMap::from([("scsi1".to_owned(), "new:100/vm-100-disk-0.raw".parse().unwrap())]);
    let mut n = 0;
    let mut mac = || {
        n += 1;
        MacAddr::local([0, 0, n])
    };
    let unique = Unique { mac: &mut mac, uuid: Uuid::from_u128(5) };
    let rewritten = Restore { volumes: &volumes, generation_id: Uuid::from_u128(7), unique: Some(unique) }.rewrite(text);
    let expected = format!(
        "net0: e1000=02:67:70:00:00:01,bridge=vmbr7\nnet1: rtl8139=02:67:70:00:00:02,bridge=vmbr7\nnet3: virtio=02:67:70:00:00:03,bridge=vmbr0\n\
         vmgenid: {}\nsmbios1: uuid={}\nscsi1: new:100/vm-100-disk-0.raw,size=1G\n#scsi2: old:c,backup=no\nscsi3: old:d\n",
        Uuid::from_u128(7),
        Uuid::from_u128(5)
    );
    assert_eq!(rewritten, expected);
}

/// Lines of every setting, headings and comments, any of them with one character changed.
fn near_files() -> impl Strategy<Value = String> {
    let settings: Vec<String> = include_str!("../golden/every-setting.conf").lines().map(str::to_owned).collect();
    let other =
        ["[PENDING]", "[special:cloudinit]", "[special:fleecing]", "[snap]", "[a b]", "#text %3A %C3", "delete: cores", "lock: backup", ""];
    let lines: Vec<String> = settings.into_iter().chain(other.map(str::to_owned)).collect();
    let line = (prop::sample::select(lines), any::<prop::sample::Index>(), prop_oneof![3 => Just(None), 1 => any::<char>().prop_map(Some)]);
    let changed = line.prop_map(|(line, at, with)| {
        let mut chars: Vec<char> = line.chars().collect();
        if let (Some(c), false) = (with, chars.is_empty()) {
            let at = at.index(chars.len());
            chars[at] = c;
        }
        chars.into_iter().collect::<String>()
    });
    prop::collection::vec(changed, 0..24).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_file_near_a_real_one_is_read_printed_and_imported(text in near_files()) {
        let strict = ConfFile::parse(vmid(100), &text, Mode::Strict);
        let lenient = ConfFile::parse(vmid(100), &text, Mode::Lenient).unwrap();
        prop_assert_eq!(strict.is_ok(), lenient.passed_over.is_empty());
        let printed = lenient.file.to_string();
        let again = ConfFile::parse(vmid(100), &printed, Mode::Strict);
        prop_assert!(again.is_ok(), "{:?} of {:?}", again, printed);
        prop_assert_eq!(again.unwrap().file.to_string(), printed);
        let imported = lenient.file.import();
        let shown = VmConfig::of(&imported.definition);
        // A password in clear is taken over as its hash.
        for key in imported.taken.iter().filter(|k| !imported.pending.contains(k) && *k != "cipassword") {
            prop_assert_eq!(shown.get(key), lenient.file.main.values.get(key).map(String::as_str), "{}", key);
        }
        let rewritten = Restore { volumes: &BTreeMap::new(), generation_id: Uuid::nil(), unique: None }.rewrite(&text);
        prop_assert!(!rewritten.lines().any(|line| line.starts_with("lock:")));
    }

    #[test]
    fn what_is_printed_reads_as_the_same_file(text in "((#[ -~é]{0,8}|[a-z]{2,6}[0-9]?: ?[ -~]{0,12}|\\[[a-zA-Z:]{0,9}\\]|cores: [0-9]|scsi[0-3]: [a-z]{2}:[a-z0-9/.]{1,6}(,ssd=1)?|)\n){0,12}") {
        let first = ConfFile::parse(vmid(100), &text, Mode::Lenient).unwrap().file.to_string();
        let second = ConfFile::parse(vmid(100), &first, Mode::Strict).unwrap().file;
        prop_assert_eq!(second.to_string(), first);
    }
}
