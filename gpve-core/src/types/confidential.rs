//! Memory encryption against the host.

use serde::{Deserialize, Serialize};

use super::disk::words;

words!(
    /// Generation of AMD's Secure Encrypted Virtualization.
    SevKind, "SEV type", "one of std, es, snp", {
        /// SEV: memory.
        Std = "std",
        /// SEV-ES: memory and registers.
        Es = "es",
        /// SEV-SNP: with integrity.
        Snp = "snp",
    }
);

/// AMD's memory encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SevSpec {
    /// Generation.
    pub kind: SevKind,
    /// The guest cannot be debugged; absent: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_debug: Option<bool>,
    /// Keys are not shared with other guests; absent: they may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_key_sharing: Option<bool>,
    /// Simultaneous multi-threading is allowed (SNP only); absent: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_smt: Option<bool>,
    /// Hashes of kernel, initial RAM disk and command line are measured; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_hashes: Option<bool>,
}

/// Intel's trust domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TdxSpec {
    /// The guest can prove what it runs.
    pub attestation: bool,
    /// vsock address of the quote generation service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vsock_cid: Option<u32>,
    /// vsock port of the quote generation service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vsock_port: Option<u32>,
}
