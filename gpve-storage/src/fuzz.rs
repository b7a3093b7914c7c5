//! Entry points for the fuzzer: each takes bytes and returns, whatever they are.
#![doc(hidden)]

use gpve_core::types::DiskFormat;

use crate::dir::Place;
use crate::image::{Progress, parse_info, read_header, read_snapshots};

/// Reads `data` as an image of each format.
pub fn image_header(data: &[u8]) {
    for format in DiskFormat::ALL {
        let _ = read_header(data, *format);
    }
    let _ = read_snapshots(data);
}

/// Reads `data` as what `qemu-img` prints.
pub fn qemu_img_output(data: &[u8]) {
    let _ = parse_info(data);
    let mut progress = Progress::default();
    for piece in data.chunks(7) {
        let _ = progress.take(piece);
    }
}

/// Reads `data` as a volume name; what is accepted stays below the storage and is written back the same.
pub fn volume_name(data: &[u8]) {
    let Some(place) = std::str::from_utf8(data).ok().and_then(|text| Place::parse(text).ok().map(|place| (text, place))) else {
        return;
    };
    let (text, place) = place;
    let relative = place.relative();
    assert!(!relative.starts_with('/') && relative.split('/').all(|part| !part.is_empty() && part != "." && part != ".."), "{relative}");
    assert_eq!(place.name(), text, "a name is written back as it was read");
}
