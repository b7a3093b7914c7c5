//! Sizes, shares and times.

use std::time::Duration;

use proptest::prelude::*;

use crate::types::{ByteSize, CpuLimit, MemMib, Millicores, Timestamp};

const GI: u64 = 1 << 30;

#[test]
fn sizes_are_read_in_the_units_of_kubernetes_and_proxmox() {
    let cases = [
        ("0", 0),
        ("1000", 1000),
        ("1Ki", 1024),
        ("8Gi", 8 * GI),
        ("8G", 8 * GI),
        ("512Mi", 512 << 20),
        ("32M", 32 << 20),
        ("2Ti", 2 << 40),
        ("1Pi", 1 << 50),
    ];
    for (text, bytes) in cases {
        assert_eq!(text.parse::<ByteSize>().map(ByteSize::bytes), Ok(bytes), "{text}");
    }
    let refused = [
        "", "G", "i", "1i", "8GB", "8gi", "8 G", " 8G", "-1", "+1", "1.5G", "1e3", "0x10", "8Ei", "8192Pi", "18446744073709551616", "８G",
        "1GiGi",
    ];
    for text in refused {
        assert!(text.parse::<ByteSize>().is_err(), "{text:?} is taken");
    }
}

#[test]
fn sizes_print_in_the_largest_unit_that_divides_them() {
    for (bytes, kubernetes, pve) in [(0, "0", "0"), (1000, "1000", "1000"), (1536 << 20, "1536Mi", "1536M"), (32 * GI, "32Gi", "32G")] {
        let size = ByteSize::from_bytes(bytes);
        assert_eq!((size.to_string().as_str(), size.pve().as_str()), (kubernetes, pve));
    }
}

#[test]
fn memory_is_whole_mebibytes_within_limits() {
    for (text, mib) in
        [("16Mi", Some(16)), ("1Gi", Some(1024)), ("16Ti", Some(16 << 20)), ("15Mi", None), ("17Ti", None), ("1048577", None)]
    {
        assert_eq!(text.parse::<MemMib>().ok().map(MemMib::get), mib, "{text}");
    }
}

#[test]
fn cpu_limits_are_cores_with_up_to_three_decimals() {
    for (text, milli) in [("1", Some(1000)), ("1.5", Some(1500)), ("0.001", Some(1)), ("128", Some(128_000)), ("1.", Some(1000))] {
        assert_eq!(text.parse::<CpuLimit>().ok().map(|l| l.get().get()), milli, "{text}");
    }
    for text in ["0", "", ".5", "128.001", "1.0001", "-1", "1,5", "1e2", "999", "inf"] {
        assert!(text.parse::<CpuLimit>().is_err(), "{text:?} is taken");
    }
}

#[test]
fn points_in_time_print_as_rfc_3339_and_never_overflow() {
    assert_eq!(Timestamp::from_millis(1_700_000_000_123).to_string(), "2023-11-14T22:13:20.123Z");
    let end = Timestamp::from_secs(u64::MAX);
    assert_eq!(end.plus(Duration::from_secs(1)), end);
    assert!(!end.to_string().is_empty());
    assert_eq!(Timestamp::default().since(end), Duration::ZERO);
}

proptest! {
    #[test]
    fn every_size_survives_its_text_forms(bytes in prop_oneof![0u64..1 << 63, (0u64..1 << 13).prop_map(|n| n << 40), (0u64..1 << 20).prop_map(|n| n << 20)]) {
        let size = ByteSize::from_bytes(bytes);
        prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
        prop_assert_eq!(size.pve().parse::<ByteSize>(), Ok(size));
        let json = serde_json::to_string(&size).unwrap();
        prop_assert_eq!(serde_json::from_str::<ByteSize>(&json).ok(), Some(size));
    }

    #[test]
    fn sizes_are_read_or_refused_and_never_panic(text in "[0-9]{0,25}[a-zA-Z]{0,3}|\\PC{0,10}") {
        if let Ok(size) = text.parse::<ByteSize>() {
            prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
        }
        let _ = text.parse::<MemMib>();
        let _ = text.parse::<CpuLimit>();
    }

    #[test]
    fn rounding_up_gives_the_next_multiple(bytes in 0u64..1 << 50, unit in 0u64..1 << 20) {
        let up = ByteSize::from_bytes(bytes).round_up(unit).bytes();
        prop_assert!(up >= bytes && up - bytes < unit.max(1) && up.is_multiple_of(unit.max(1)));
    }

    #[test]
    fn memory_and_limits_survive_their_text_forms(mib in 16u64..=16 << 20, milli in 1u32..=128_000) {
        let memory = MemMib::try_from(mib).unwrap();
        prop_assert_eq!(memory.to_string().parse::<MemMib>(), Ok(memory));
        let limit = CpuLimit::try_from(Millicores::new(milli)).unwrap();
        prop_assert_eq!(limit.to_string().parse::<CpuLimit>(), Ok(limit));
        let json = serde_json::to_string(&(memory, limit)).unwrap();
        prop_assert_eq!(serde_json::from_str::<(MemMib, CpuLimit)>(&json).ok(), Some((memory, limit)));
    }
}
