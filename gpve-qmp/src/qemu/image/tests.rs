#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use gpve_core::ports::BackingFile;

use super::*;

fn file(path: PathBuf, backing: Vec<BackingFile>) -> VolumeAccess {
    VolumeAccess::File { path, format: DiskFormat::Qcow2, read_only: false, backing }
}

fn mode(read_only: bool) -> OpenMode {
    OpenMode { read_only, direct: false }
}

fn backing(path: PathBuf) -> BackingFile {
    BackingFile { path, format: DiskFormat::Raw }
}

#[test]
fn a_chain_is_opened_from_top_to_base_and_only_the_top_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let [top, middle, base] = ["top", "middle", "base"].map(|name| dir.path().join(name));
    for path in [&top, &middle, &base] {
        std::fs::write(path, name_of(path)).unwrap();
    }
    let chain = open_chain(&file(top, vec![backing(middle), backing(base)]), mode(false)).unwrap();
    let shapes: Vec<_> = chain.into_iter().map(|file| file.into_parts().1).collect();
    assert_eq!(shapes.iter().map(|shape| shape.read_only).collect::<Vec<_>>(), [false, true, true]);
    let image = nodes(shapes.into_iter().zip([1, 2, 3])).unwrap();
    assert_eq!((image.format, image.file), (DiskFormat::Qcow2, FileSource::Descriptor(1)));
    assert_eq!(image.backing.unwrap().backing.unwrap().file, FileSource::Descriptor(3));
}

fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn what_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let gone = open_chain(&file(dir.path().join("gone"), Vec::new()), mode(true)).unwrap_err();
    assert!(gone.to_string().ends_with("/gone cannot be opened"), "{gone}");
    assert!(matches!(open_chain(&file(dir.path().into(), Vec::new()), mode(true)), Err(ImageError::NotAnImage { .. })));
    let long = file("/top".into(), (0..8).map(|_| backing("/base".into())).collect());
    assert!(matches!(open_chain(&long, mode(true)), Err(ImageError::TooLong { below: 8, .. })));
}

#[test]
fn a_pipe_is_no_image_and_does_not_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    assert!(matches!(open_chain(&file(path, Vec::new()), mode(true)), Err(ImageError::NotAnImage { .. })));
}
