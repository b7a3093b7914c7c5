use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gpve_core::types::{ByteSize, DiskFormat};
use gpve_exec::{System, Tools};
use gpve_storage::image::{
    ImageFile, NewImage, Preallocation, Progress, QCOW2_SIZE_MAX, QemuImg, ReferenceKind, parse_info, read_header, read_snapshots,
    write_blank,
};

use crate::support::{needs_qemu_img, qemu_img};

fn golden(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/qemu-img").join(file)).unwrap()
}

fn format(path: &Path) -> DiskFormat {
    path.extension().unwrap().to_str().unwrap().parse().unwrap()
}

#[test]
fn what_qemu_img_printed_is_understood() {
    let info = |file: &str| parse_info(&golden(&format!("info-{file}.json"))).unwrap();
    let plain = info("plain.qcow2");
    assert_eq!((plain.virtual_size, plain.format.as_str(), plain.backing_filename), (10 << 30, "qcow2", None));
    let backed = info("backed.qcow2");
    assert_eq!((backed.backing_filename.as_deref(), backed.backing_filename_format.as_deref()), (Some("plain.qcow2"), Some("qcow2")));
    let names: Vec<_> = info("snapshots.qcow2").snapshots.into_iter().map(|snapshot| snapshot.name).collect();
    assert_eq!(names, ["before", "after"]);
    assert_eq!(info("data-file.qcow2").foreign_data("data-file.qcow2"), ["/images/data.raw"]);
    assert_eq!(info("sparse.vmdk").foreign_data("sparse.vmdk"), [""; 0]);
    assert_eq!(info("stream.vmdk").foreign_data("stream.vmdk"), [""; 0]);
    assert_eq!(info("split.vmdk").foreign_data("split.vmdk"), ["split-s001.vmdk", "split-s002.vmdk", "split-s003.vmdk"]);
    assert_eq!(info("flat.vmdk").foreign_data("flat.vmdk"), ["flat-flat.vmdk"]);
    assert_eq!(info("child.vmdk").backing_filename.as_deref(), Some("/images/sparse.vmdk"));
    assert_eq!(info("plain.raw").virtual_size, 1 << 30);
    assert!(parse_info(b"{}").is_err());
}

#[test]
fn the_progress_that_qemu_img_printed_is_understood() {
    let mut progress = Progress::default();
    let told: Vec<_> = golden("convert-progress.txt").chunks(5).filter_map(|piece| progress.take(piece)).collect();
    assert_eq!((told.first(), told.last()), (Some(&0), Some(&100)));
    assert!(told.is_sorted() && told.len() > 10, "{told:?}");
}

/// Images of every kind that `qemu-img` makes.
fn zoo(directory: &Path) -> Vec<PathBuf> {
    let data = format!("data_file={}", directory.join("data.raw").display());
    let makes: &[(&str, &[&str], &str)] = &[
        ("plain.raw", &["-f", "raw"], "1234K"),
        ("plain.qcow2", &["-f", "qcow2"], "10G"),
        ("old.qcow2", &["-f", "qcow2", "-o", "compat=0.10"], "1G"),
        ("small-clusters.qcow2", &["-f", "qcow2", "-o", "cluster_size=512"], "1M"),
        ("large-clusters.qcow2", &["-f", "qcow2", "-o", "cluster_size=2M,lazy_refcounts=on,extended_l2=on"], "1T"),
        ("zstd.qcow2", &["-f", "qcow2", "-o", "compression_type=zstd"], "1G"),
        ("full.qcow2", &["-f", "qcow2", "-o", "preallocation=metadata"], "64M"),
        ("backed.qcow2", &["-f", "qcow2", "-b", "plain.qcow2", "-F", "qcow2"], "20G"),
        ("old-backed.qcow2", &["-f", "qcow2", "-o", "compat=0.10", "-b", "plain.raw", "-F", "raw"], "1G"),
        ("data.qcow2", &["-f", "qcow2", "-o", &data], "1M"),
        ("sparse.vmdk", &["-f", "vmdk"], "3G"),
        ("stream.vmdk", &["-f", "vmdk", "-o", "subformat=streamOptimized"], "1G"),
        ("flat.vmdk", &["-f", "vmdk", "-o", "subformat=monolithicFlat"], "1M"),
        ("split.vmdk", &["-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"], "5G"),
        ("child.vmdk", &["-f", "vmdk", "-b", "sparse.vmdk", "-F", "vmdk"], "3G"),
    ];
    let make = |(file, options, size): &(&str, &[&str], &str)| {
        let path = directory.join(file);
        qemu_img(&[&["create", "-q"], *options, &[path.to_str().unwrap(), size]].concat());
        path
    };
    makes.iter().map(make).collect()
}

#[tokio::test]
async fn headers_read_here_say_what_qemu_img_says() {
    needs_qemu_img!();
    let directory = tempfile::tempdir().unwrap();
    let tool = QemuImg::new(Arc::new(System::new(Tools::system())));
    for path in zoo(directory.path()) {
        let printed = qemu_img(&["info", "-f", format(&path).as_str(), "--output=json", path.to_str().unwrap()]);
        let info = parse_info(printed.as_bytes()).unwrap();
        let header = read_header(&File::open(&path).unwrap(), format(&path)).unwrap();
        let own = path.to_str().unwrap();
        assert_eq!(header.virtual_size.bytes(), info.virtual_size, "{own}");
        assert_eq!(header.backing().map(|backing| backing.target.as_str()), info.backing_filename.as_deref(), "{own}");
        if format(&path) == DiskFormat::Qcow2 {
            let declared = header.backing().and_then(|backing| backing.format.as_deref());
            assert_eq!(declared, info.backing_filename_format.as_deref(), "{own}");
        }
        let foreign = header.references.iter().filter(|reference| reference.kind != ReferenceKind::Backing).count();
        assert_eq!(foreign, info.foreign_data(own).len(), "{own}: {:?}", header.references);
        if header.references.is_empty() {
            let asked = tool.info(&ImageFile::new(File::open(&path).unwrap(), format(&path))).await.unwrap();
            assert_eq!((asked.virtual_size, asked.format), (info.virtual_size, info.format), "{own} by descriptor");
        }
    }
}

#[test]
fn snapshots_read_here_are_those_that_qemu_img_shows() {
    needs_qemu_img!();
    let directory = tempfile::tempdir().unwrap();
    for compat in ["0.10", "1.1"] {
        let path = directory.path().join(format!("{compat}.qcow2"));
        let own = path.to_str().unwrap();
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", &format!("compat={compat}"), own, "1G"]);
        assert_eq!(read_snapshots(&File::open(&path).unwrap()).unwrap(), []);
        for number in 0..40 {
            qemu_img(&["snapshot", "-q", "-c", &"s".repeat(1 + number), own]);
        }
        let info = parse_info(qemu_img(&["info", "-f", "qcow2", "--output=json", own]).as_bytes()).unwrap();
        let here = read_snapshots(&File::open(&path).unwrap()).unwrap();
        let here: Vec<_> = here.iter().map(|snapshot| (snapshot.name.as_str(), snapshot.taken.secs())).collect();
        let there: Vec<_> = info.snapshots.iter().map(|snapshot| (snapshot.name.as_str(), snapshot.date_sec)).collect();
        assert_eq!(here, there);
    }
}

#[test]
fn an_image_cut_short_anywhere_is_an_error_and_no_more() {
    needs_qemu_img!();
    let directory = tempfile::tempdir().unwrap();
    for path in zoo(directory.path()).into_iter().filter(|path| format(path) != DiskFormat::Raw) {
        let bytes = std::fs::read(&path).unwrap();
        for len in (0..bytes.len().min(20 * 512 + 600)).step_by(37) {
            let _ = read_header(&bytes[..len], format(&path));
        }
    }
}

#[tokio::test]
async fn an_empty_image_written_here_is_what_qemu_img_makes() {
    needs_qemu_img!();
    let directory = tempfile::tempdir().unwrap();
    let tool = QemuImg::new(Arc::new(System::new(Tools::system())));
    let backing = || Some(("../100/base-100-disk-0.raw".to_owned(), DiskFormat::Raw));
    let largest = QCOW2_SIZE_MAX.bytes();
    for (number, (bytes, backing)) in
        [(512, None), (1 << 20, backing()), (513 << 20, None), (1 << 45, backing()), (largest, None)].into_iter().enumerate()
    {
        let image = NewImage { size: ByteSize::from_bytes(bytes), preallocation: Preallocation::Off, backing };
        let of = |who: &str| {
            let path = directory.path().join(format!("{number}-{who}.qcow2"));
            let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            (path, file)
        };
        let ((ours, our_file), (theirs, their_file)) = (of("ours"), of("theirs"));
        write_blank(&our_file, &image).unwrap();
        tool.create(&their_file, &image).await.unwrap();
        let facts = |path: &Path| {
            let printed = qemu_img(&["info", "-f", "qcow2", "--output=json", path.to_str().unwrap()]);
            let mut info: serde_json::Value = serde_json::from_str(&printed).unwrap();
            for own in ["filename", "actual-size", "children", "full-backing-filename"] {
                info.as_object_mut().unwrap().remove(own);
            }
            info
        };
        assert_eq!(facts(&ours), facts(&theirs));
        if image.backing.is_none() {
            let checked = qemu_img(&["check", "-f", "qcow2", ours.to_str().unwrap()]);
            assert!(checked.contains("No errors were found"), "{checked}");
        }
    }
    let too_large = NewImage { size: ByteSize::from_bytes(largest + 512), preallocation: Preallocation::Off, backing: None };
    assert!(write_blank(&File::create(directory.path().join("x")).unwrap(), &too_large).is_err());
}
