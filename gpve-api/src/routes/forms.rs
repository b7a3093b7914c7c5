//! Named forms of text that parameters have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gpve_auth::{Privilege, Realm, UserId};

use crate::route::{Format, split_list};

fn only(s: &str, extra: &str) -> bool {
    s.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

fn digits(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit())
}

fn starts_with_letter(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn dns_label(s: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    !s.is_empty() && s.len() <= 63 && only(s, "-") && s.starts_with(ends) && s.ends_with(ends)
}

fn one_of(s: &str, words: &[&str]) -> bool {
    words.contains(&s)
}

pub(super) static NODE: Format = Format::new("pve-node", "a node name", dns_label);
pub(super) static DNS_NAME: Format =
    Format::new("dns-name", "a DNS name (labels of letters, digits and '-' joined by '.')", |s| s.split('.').all(dns_label)).max(253);
pub(super) static STORAGE_ID: Format =
    Format::new("pve-storage-id", "a storage id (a letter, then letters, digits, '-', '_' or '.')", |s| {
        s.len() >= 2 && starts_with_letter(s) && only(s, "-_.") && s.ends_with(|c: char| c.is_ascii_alphanumeric())
    })
    .max(100);
pub(crate) static CONFIG_ID: Format =
    Format::new("pve-configid", "an id (a letter, then letters, digits, '-' or '_'; two or more characters)", |s| {
        s.len() >= 2 && starts_with_letter(s) && only(s, "-_")
    });
pub(super) static SNAPSHOT_NAME: Format = Format::new("pve-configid", CONFIG_ID.what, CONFIG_ID.check).max(40);
pub(super) static POOL_ID: Format =
    Format::new("pve-poolid", "a pool id (letters, digits, '-', '_', '.' in up to three parts joined by '/')", |s| {
        s.split('/').count() <= 3 && s.split('/').all(|p| !p.is_empty() && only(p, "-_."))
    });
pub(super) static REALM: Format = Format::new("pve-realm", "a realm name", |s| s.parse::<Realm>().is_ok()).max(32);
pub(super) static USER_ID: Format = Format::new("pve-userid", "a user id (name@realm)", |s| s.parse::<UserId>().is_ok()).max(64);
pub(super) static TOKEN_NAME: Format = Format::new("pve-tokenid", "a token name (a letter, then letters, digits, '.', '-' or '_')", |s| {
    s.parse::<gpve_auth::TokenName>().is_ok()
});
pub(super) static PRIVILEGES: Format =
    Format::new("pve-priv-list", "a list of privileges", |s| split_list(s).all(|p| p.parse::<Privilege>().is_ok())).max(64);
pub(super) static UPID: Format =
    Format::new("pve-upid", "a task id: unable to parse worker upid", |s| s.parse::<gpve_core::types::Upid>().is_ok());
pub(super) static TASK_STATUS: Format =
    Format::new("pve-task-status-type-list", "one of: ok, error, warning, unknown", |s| one_of(s, &["ok", "error", "warning", "unknown"]));

pub(crate) static VOLUME_ID: Format = Format::new("pve-volume-id", "a volume id (STORAGE:NAME): unable to parse volume ID", is_volume_id);
pub(super) static VOLUME_OR_PATH: Format = Format::new(
    "pve-volume-id-or-qm-path",
    "a volume id (STORAGE:NAME), STORAGE:SIZE, 'none', 'cdrom' or an absolute path: unable to parse volume ID",
    |s| one_of(s, &["none", "cdrom"]) || s.starts_with('/') || is_volume_id(s),
);
pub(super) static VOLUME_OR_ABSOLUTE: Format =
    Format::new("pve-volume-id-or-absolute-path", "a volume id (STORAGE:NAME) or an absolute path: unable to parse volume ID", |s| {
        s.starts_with('/') || is_volume_id(s)
    });

fn is_volume_id(s: &str) -> bool {
    s.split_once(':').is_some_and(|(storage, name)| (STORAGE_ID.check)(storage) && !name.is_empty() && !name.contains(char::is_whitespace))
}

pub(super) static DISK_SIZE: Format = Format::new("disk-size", "a size (a number with an optional unit K, M, G or T)", |s| {
    let number = s.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(s);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    digits(whole) && digits(fraction)
})
.pattern(r"\d+(\.\d+)?[KMGT]?");
pub(super) static RESIZE: Format =
    Format::new("disk-size", "a size, or + and a size to add", |s| (DISK_SIZE.check)(s.strip_prefix('+').unwrap_or(s)))
        .pattern(r"\+?\d+(\.\d+)?[KMGT]?");
pub(super) static ALLOC_SIZE: Format =
    Format::new("alloc-size", "a size in KiB, or with unit M or G", |s| digits(s.strip_suffix(['M', 'G']).unwrap_or(s)))
        .pattern(r"\d+[MG]?");
pub(super) static URL_ENCODED: Format = Format::new("urlencoded", "percent-encoded text", |s| only(s, "-_.~%+!*'();:@&=$,/?[]"));
pub(super) static MAC: Format =
    Format::new("mac-addr", "a unicast MAC address such as BC:24:11:00:00:01", |s| s.parse::<gpve_core::types::MacAddr>().is_ok());
pub(super) static BRIDGE: Format =
    Format::new("pve-bridge-id", "a bridge name", |s| !s.is_empty() && only(s, "-_.") && !s.starts_with('-') && !s.contains(".."));
pub(super) static RANGES: Format =
    Format::new("ranges", "numbers and ranges joined by ';'", |s| s.split(';').all(is_range)).pattern(r"\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*");
pub(super) static CPU_SET: Format =
    Format::new("pve-cpuset", "a list of processors such as 0,4-7", |s| s.split(',').all(|r| is_range(r.trim())));

fn is_range(s: &str) -> bool {
    let (from, to) = s.split_once('-').unwrap_or((s, s));
    digits(from) && digits(to) && from.len() < 10 && to.len() < 10
}

pub(super) static ADDRESS: Format =
    Format::new("address", "an IP address or DNS name", |s| s.parse::<IpAddr>().is_ok() || (DNS_NAME.check)(s));
pub(super) static IPV4: Format = Format::new("ipv4", "an IPv4 address", |s| s.parse::<Ipv4Addr>().is_ok());
pub(super) static IPV6: Format = Format::new("ipv6", "an IPv6 address", |s| s.parse::<Ipv6Addr>().is_ok());
pub(super) static IPV4_CONFIG: Format =
    Format::new("pve-ipv4-config", "an IPv4 address with prefix length, or 'dhcp'", |s| s == "dhcp" || is_cidr::<Ipv4Addr>(s, 32));
pub(super) static IPV6_CONFIG: Format = Format::new("pve-ipv6-config", "an IPv6 address with prefix length, 'dhcp' or 'auto'", |s| {
    one_of(s, &["dhcp", "auto"]) || is_cidr::<Ipv6Addr>(s, 128)
});
pub(super) static CIDR: Format =
    Format::new("CIDR", "an address with prefix length", |s| is_cidr::<Ipv4Addr>(s, 32) || is_cidr::<Ipv6Addr>(s, 128));

fn is_cidr<A: std::str::FromStr>(s: &str, longest: u8) -> bool {
    s.split_once('/').is_some_and(|(a, n)| a.parse::<A>().is_ok() && digits(n) && n.parse::<u8>().is_ok_and(|n| n <= longest))
}

pub(super) static TAG: Format = Format::new("pve-tag-list", "a list of tags (letters, digits, '_', '-', '+' and '.')", |s| {
    s.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && only(s, "_-+.")
})
.max(128);
pub(super) static HOTPLUG: Format =
    Format::new("pve-hotplug-features", "a list of network, disk, cpu, memory, usb, cloudinit; or 1 or 0: invalid hotplug feature", |s| {
        one_of(s, &["0", "1"]) || split_list(s).all(|w| one_of(w, &["network", "disk", "cpu", "memory", "usb", "cloudinit"]))
    });
pub(super) static STARTUP: Format =
    Format::new("pve-startup-order", "[order=]N, up=SECONDS and down=SECONDS: unable to parse startup options", |s| {
        s.split(',').filter(|p| !p.is_empty()).all(|part| {
            let (key, value) = part.split_once('=').unwrap_or(("order", part));
            one_of(key, &["order", "up", "down"]) && digits(value) && value.len() < 10
        })
    });
pub(super) static BOOT_LEGACY: Format = Format::new("boot-legacy", "one to four of the letters a, c, d and n", |s| {
    (1..=4).contains(&s.len()) && s.bytes().all(|b| b"acdn".contains(&b))
})
.pattern("[acdn]{1,4}");
pub(super) static BOOT_DEVICES: Format = Format::new("pve-qm-bootdev-list", "a list of devices such as scsi0;net0", |s| {
    let device = |d: &str| {
        let stem = d.trim_end_matches(|c: char| c.is_ascii_digit());
        one_of(stem, &["ide", "sata", "scsi", "virtio", "nvme", "net", "usb", "hostpci"]) && digits(&d[stem.len()..])
    };
    s.split(';').filter(|d| !d.is_empty()).all(device)
});
pub(super) static BOOT_DISK: Format = Format::new("pve-qm-bootdisk", "a disk such as scsi0", |s| {
    let stem = s.trim_end_matches(|c: char| c.is_ascii_digit());
    one_of(stem, &["ide", "sata", "scsi", "virtio"]) && digits(&s[stem.len()..])
})
.pattern(r"(ide|sata|scsi|virtio)\d+");
pub(super) static SERIAL_PORT: Format =
    Format::new("serial-port", "'socket' or a host device (/dev/...)", |s| s == "socket" || host_device(s)).pattern("(/dev/[^,]+|socket)");
pub(super) static PARALLEL_PORT: Format = Format::new("parallel-port", "a host device (/dev/parportN or /dev/usb/lpN)", |s| {
    ["/dev/parport", "/dev/usb/lp"].iter().any(|p| s.strip_prefix(p).is_some_and(digits))
})
.pattern(r"/dev/parport\d+|/dev/usb/lp\d+");

fn host_device(s: &str) -> bool {
    s.strip_prefix("/dev/").is_some_and(|rest| !rest.is_empty() && only(rest, "-_./:") && !rest.contains(".."))
}

pub(super) static START_DATE: Format = Format::new("startdate", "'now', a date, or date and time such as 2006-06-17T16:01:21", |s| {
    let (date, time) = s.split_once('T').unwrap_or((s, "0:0:0"));
    let numbers = |text: &str, by: char, n: usize| text.split(by).count() == n && text.split(by).all(|p| digits(p) && p.len() <= 4);
    s == "now" || (numbers(date, '-', 3) && numbers(time, ':', 3))
})
.pattern(r"(now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?)");
pub(super) static GENERATION_ID: Format =
    Format::new("vmgenid", "a UUID, 1 to make one, or 0 for none", |s| one_of(s, &["0", "1"]) || is_uuid(s))
        .pattern("(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])");
pub(super) static UUID: Format = Format::new("uuid", "a UUID", is_uuid).pattern("[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}");

fn is_uuid(s: &str) -> bool {
    let lengths: Vec<usize> = s.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && s.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

pub(super) static SMBIOS_TEXT: Format = Format::new("smbios-text", "base64 text", |s| only(s, "+/=")).pattern("[A-Za-z0-9+\\/]+={0,2}");
pub(super) static MACHINE_TYPE: Format = Format::new(
    "machine-type",
    "a machine type: pc, q35, virt, microvm, or one with a version such as pc-q35-9.2",
    |s| {
        let named = |prefix: &str| s.strip_prefix(prefix).is_some_and(|v| version(v.strip_suffix(".pxe").unwrap_or(v)));
        one_of(s, &["pc", "q35", "virt", "microvm"]) || ["pc-i440fx-", "pc-q35-", "pc-", "virt-"].iter().any(|p| named(p))
    },
)
.max(40)
.pattern(
    r"(pc|pc(-i440fx)?-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|q35|pc-q35-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|virt(?:-\d+(\.\d+)+)?(\+pve\d+)?|microvm)",
);

fn version(s: &str) -> bool {
    let (numbers, revision) = s.split_once("+pve").unwrap_or((s, "0"));
    numbers.split('.').count() >= 2 && numbers.split('.').all(digits) && digits(revision)
}

pub(super) static WWN: Format = Format::new("wwn", "0x and 16 hex digits", |s| {
    s.strip_prefix("0x").is_some_and(|h| h.len() == 16 && h.bytes().all(|b| b.is_ascii_hexdigit()))
})
.pattern("0x[0-9a-fA-F]{16}");
pub(super) static SCSI_VENDOR: Format =
    Format::new("scsi-vendor", "letters, digits, '-', '_' and spaces", |s| only(s, "-_ ")).max(8).pattern(r"[A-Za-z0-9\-_\s]{,8}");
pub(super) static SCSI_PRODUCT: Format =
    Format::new("scsi-product", "letters, digits, '-', '_' and spaces", |s| only(s, "-_ ")).max(16).pattern(r"[A-Za-z0-9\-_\s]{,16}");
pub(super) static IVSHMEM_NAME: Format =
    Format::new("ivshmem-name", "letters, digits and '-'", |s| !s.is_empty() && only(s, "-")).pattern(r"[a-zA-Z0-9\-]+");
pub(super) static USB_HOST: Format = Format::new("pve-usb-device", "VENDOR:PRODUCT in hex, BUS-PORT, or spice", |s| {
    let hex = |h: &str| {
        let h = h.strip_prefix("0x").unwrap_or(h);
        h.len() == 4 && h.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let by_id = s.split_once(':').is_some_and(|(v, p)| hex(v) && hex(p));
    let by_port = s.split_once('-').is_some_and(|(bus, port)| digits(bus) && port.split('.').all(digits));
    s.eq_ignore_ascii_case("spice") || by_id || by_port
});
pub(super) static PCI_HOST: Format = Format::new("pci-id", "PCI addresses ([DOMAIN:]BUS:DEVICE[.FUNCTION]) joined by ';'", |s| {
    s.split(';').all(|id| !id.is_empty() && id.contains(':') && id.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b)))
});
pub(super) static PCI_NUMBER: Format = Format::new("pci-number", "0x and four hex digits", |s| {
    s.strip_prefix("0x").is_some_and(|h| h.len() == 4 && h.bytes().all(|b| b.is_ascii_hexdigit()))
});
pub(super) static FILE_NAME: Format = Format::new("file-name", "a file name without '/'", |s| !s.is_empty() && !s.contains(['/', '\0']));
pub(super) static CPU_TYPE: Format = Format::new("pve-cpu-model", "a known CPU model; names of one's own begin with 'custom-'", |s| {
    s.strip_prefix("custom-").map_or_else(|| super::cpu_models::is_builtin(s), |n| !n.is_empty() && only(n, "-_"))
});
pub(super) static CPU_FLAGS: Format = Format::new(
    "cpu-flags",
    "a list of +FLAG or -FLAG joined by ';', of: aes, amd-no-ssb, amd-ssbd, hv-evmcs, hv-tlbflush, ibpb, md-clear, nested-virt, pcid, pdpe1gb, spec-ctrl, ssbd, virt-ssbd",
    |s| {
        s.split(';').filter(|f| !f.is_empty()).all(|f| f.strip_prefix(['+', '-']).is_some_and(|n| super::cpu_models::VM_FLAGS.contains(&n)))
    },
);
pub(super) static PHYS_BITS: Format = Format::new("pve-phys-bits", "an integer from 8 to 64, or 'host'", |s| {
    s == "host" || (digits(s) && s.parse::<u8>().is_ok_and(|n| (8..=64).contains(&n)))
});
pub(super) static HV_VENDOR: Format = Format::new("hv-vendor-id", "up to 12 letters and digits", |s| only(s, "")).max(12);
pub(super) static CONTENT: Format =
    Format::new("pve-storage-content", "a content type: images, rootdir, vztmpl, iso, backup, snippets, import", |s| {
        one_of(s, &["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import"])
    });
pub(super) static CONTENT_LIST: Format =
    Format::new("pve-storage-content-list", "a list of content types: images, rootdir, vztmpl, iso, backup, snippets, import, none", |s| {
        split_list(s).all(|w| w == "none" || (CONTENT.check)(w))
    });
pub(super) static STORAGE_PAIRS: Format = Format::new("storage-pair-list", "a list of SOURCE:TARGET storages, or 1", |s| {
    split_list(s).all(|p| p == "1" || p.split(':').all(|id| (STORAGE_ID.check)(id)))
});
pub(super) static NETS_MTU: Format = Format::new("nets-host-mtu", "netN=MTU, joined by commas", |s| {
    s.split(',').all(|p| p.split_once('=').is_some_and(|(net, mtu)| net.strip_prefix("net").is_some_and(digits) && digits(mtu)))
})
.pattern(r"net\d+=\d+(,net\d+=\d+)*");
pub(super) static ABSOLUTE_PATH: Format = Format::new("pve-storage-path", "an absolute path", |s| {
    s.starts_with('/') && !s.split('/').any(|p| p == "..") && !s.contains(['\n', '\0', ','])
});
