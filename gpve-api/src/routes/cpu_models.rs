//! Names of CPU models and flags that a guest may ask for, as QEMU knows them.

/// Flags that may be set per guest; all others belong in a custom model.
pub(super) const VM_FLAGS: &[&str] = &[
    "aes", "amd-no-ssb", "amd-ssbd", "hv-evmcs", "hv-tlbflush", "ibpb", "md-clear", "nested-virt", "pcid", "pdpe1gb", "spec-ctrl", "ssbd",
    "virt-ssbd",
];

/// Whether `name` is a model of QEMU or one of Proxmox VE's baseline models, with or without a version (`EPYC-v2`).
pub(super) fn is_builtin(name: &str) -> bool {
    let (stem, version) = name.rsplit_once("-v").unwrap_or((name, "1"));
    MODELS.contains(&name) || (version.len() == 1 && version.bytes().all(|b| b.is_ascii_digit()) && VERSIONED.contains(&stem))
}

const MODELS: &[&str] = &[
    "486", "athlon", "Broadwell", "Broadwell-IBRS", "Broadwell-noTSX", "Broadwell-noTSX-IBRS", "Cascadelake-Server",
    "Cascadelake-Server-noTSX", "ClearwaterForest", "Conroe", "Cooperlake", "core2duo", "coreduo", "Denverton", "DiamondRapids", "Dhyana",
    "EPYC", "EPYC-Genoa", "EPYC-IBPB", "EPYC-Milan", "EPYC-Rome", "EPYC-Turin", "GraniteRapids", "Haswell", "Haswell-IBRS",
    "Haswell-noTSX", "Haswell-noTSX-IBRS", "host", "Icelake-Client", "Icelake-Client-noTSX", "Icelake-Server", "Icelake-Server-noTSX",
    "IvyBridge", "IvyBridge-IBRS", "KnightsMill", "kvm32", "kvm64", "max", "Nehalem", "Nehalem-IBRS", "Opteron_G1", "Opteron_G2",
    "Opteron_G3", "Opteron_G4", "Opteron_G5", "Penryn", "pentium", "pentium2", "pentium3", "phenom", "qemu32", "qemu64", "SandyBridge",
    "SandyBridge-IBRS", "SapphireRapids", "SierraForest", "Skylake-Client", "Skylake-Client-IBRS", "Skylake-Client-noTSX-IBRS",
    "Skylake-Server", "Skylake-Server-IBRS", "Skylake-Server-noTSX-IBRS", "Snowridge", "Westmere", "Westmere-IBRS", "x86-64-v2",
    "x86-64-v2-AES", "x86-64-v3", "x86-64-v4", "YongFeng", "cortex-a35", "cortex-a53", "cortex-a55", "cortex-a57", "cortex-a72",
    "cortex-a76", "cortex-a710", "neoverse-n1", "neoverse-n2", "neoverse-v1", "a64fx",
];

const VERSIONED: &[&str] = &[
    "Broadwell", "Cascadelake-Server", "ClearwaterForest", "Cooperlake", "Denverton", "Dhyana", "EPYC", "EPYC-Genoa", "EPYC-Milan",
    "EPYC-Rome", "EPYC-Turin", "GraniteRapids", "Haswell", "Icelake-Client", "Icelake-Server", "IvyBridge", "KnightsMill", "Nehalem",
    "SandyBridge", "SapphireRapids", "SierraForest", "Skylake-Client", "Skylake-Server", "Snowridge", "Westmere", "YongFeng",
];
