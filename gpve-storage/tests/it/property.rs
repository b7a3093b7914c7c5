use gpve_storage::dir::Place;
use gpve_storage::fuzz;
use proptest::prelude::*;

/// A qcow2 header with the given fields, and bytes behind it.
fn qcow2(version: u32, cluster_bits: u32, backing: (u64, u32), snapshots: (u32, u64), rest: &[u8]) -> Vec<u8> {
    let mut image = b"QFI\xfb".to_vec();
    image.extend(version.to_be_bytes());
    image.extend(backing.0.to_be_bytes());
    image.extend(backing.1.to_be_bytes());
    image.extend(cluster_bits.to_be_bytes());
    image.extend([0; 36]);
    image.extend(snapshots.0.to_be_bytes());
    image.extend(snapshots.1.to_be_bytes());
    image.extend(rest);
    image
}

proptest! {
    #[test]
    fn any_bytes_are_an_image_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        fuzz::image_header(&bytes);
        fuzz::qemu_img_output(&bytes);
        for magic in [&b"QFI\xfb\0\0\0\x03"[..], b"KDMV", b"COWD", b"# Disk DescriptorFile\nRW "] {
            fuzz::image_header(&[magic, &bytes].concat());
        }
    }

    #[test]
    fn any_qcow2_header_is_read_or_refused(
        version in 2u32..4,
        cluster_bits in 8u32..23,
        backing in (any::<u64>(), 0u32..2000),
        snapshots in (any::<u32>(), any::<u64>()),
        small in any::<bool>(),
        rest in proptest::collection::vec(any::<u8>(), 0..1024),
    ) {
        let at = |offset: u64| if small { offset % 1100 } else { offset };
        let image = qcow2(version, cluster_bits, (at(backing.0), backing.1), (snapshots.0, at(snapshots.1)), &rest);
        fuzz::image_header(&image);
    }

    #[test]
    fn any_text_is_a_volume_name_that_is_written_back_or_refused(text in "\\PC{0,80}") {
        fuzz::volume_name(text.as_bytes());
    }

    #[test]
    fn a_place_is_found_again_by_its_path(
        id in 100u32..10_000,
        stem in "(vm|base)-[0-9]{3}-[a-z0-9-]{1,20}",
        format in "raw|qcow2|vmdk",
        content in "iso|vztmpl|snippets|import|backup",
        file in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,20}",
    ) {
        let disk = format!("{id}/{stem}.{format}");
        let place = Place::parse(&disk).unwrap();
        prop_assert_eq!(Place::of_path(&place.relative()).unwrap(), place);
        let ending = match content.as_str() { "iso" => "iso", "vztmpl" => "tar.zst", "import" => "qcow2", "backup" => "vma.zst", _ => "yaml" };
        let place = Place::parse(&format!("{content}/{file}.{ending}")).unwrap();
        prop_assert_eq!(Place::of_path(&place.relative()).unwrap(), place);
    }
}
