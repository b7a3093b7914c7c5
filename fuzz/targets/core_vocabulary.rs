//! Every word of the vocabulary: what is accepted is written back so that it is accepted again, as the same; an id is safe as an argument.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use gpve_core::types::{
    BridgeName, ByteSize, DiskSlot, GuestName, IfName, MacAddr, MemMib, NodeName, SnapName, StorageId, Tag, Upid, UserId, Vmid, VolumeId,
    VolumeName,
};

libfuzzer_sys::fuzz_target!(|text: &str| {
    id::<BridgeName>(text);
    id::<GuestName>(text);
    id::<IfName>(text);
    id::<NodeName>(text);
    id::<SnapName>(text);
    id::<StorageId>(text);
    id::<Tag>(text);
    id::<Vmid>(text);
    word::<ByteSize>(text);
    word::<DiskSlot>(text);
    word::<MacAddr>(text);
    word::<MemMib>(text);
    word::<Upid>(text);
    word::<UserId>(text);
    word::<VolumeId>(text);
    word::<VolumeName>(text);
});

fn word<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let shown = value.to_string();
    assert!(!shown.starts_with('-') && !shown.contains(['\0', '\n']), "{shown:?} is not safe as an argument");
    assert_eq!(shown.parse::<T>().ok().as_ref(), Some(&value), "{text:?} is shown as {shown:?}");
}

fn id<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let shown = value.to_string();
        assert!(!shown.contains("..") && !shown.contains(['/', ',']), "{shown:?} is not safe inside an option or a path");
    }
    word::<T>(text);
}
