//! Limits of a disk's speed: `mbps_rd=10,iops=500,iops_max_length=3`.

use gpve_core::types::{Rate, Rates, Throttle};

use crate::pve2::property::PropertyString;

use super::words;

const MEGABYTE: u64 = 1 << 20;

/// Which requests a limit is about, as the names of options say it.
const WAYS: [&str; 3] = ["", "_rd", "_wr"];

/// Takes the limits out of a drive's parts.
pub(super) fn take(parts: &mut PropertyString) -> Result<Throttle, String> {
    Ok(Throttle { bytes: bytes(parts)?, operations: operations(parts)? })
}

fn bytes(parts: &mut PropertyString) -> Result<Rates, String> {
    let [total, read, write] = WAYS.map(|way| {
        let megabytes = |key: String, parts: &mut PropertyString| {
            let scaled = |v: String| words::floored(&v, MEGABYTE).ok_or_else(|| format!("{key}: '{v}' is too large"));
            parts.take(&key).map(scaled).transpose()
        };
        let limit = megabytes(format!("mbps{way}"), parts)?;
        let plain = number(parts, &format!("bps{way}"))?;
        if limit.is_some() && plain.is_some() {
            return Err(format!("both mbps{way} and bps{way} are given"));
        }
        let burst = megabytes(format!("mbps{way}_max"), parts)?;
        Ok(Rate { limit: limit.or(plain), burst, burst_seconds: number(parts, &format!("bps{way}_max_length"))? })
    });
    Ok(Rates { total: total?, read: read?, write: write? })
}

fn operations(parts: &mut PropertyString) -> Result<Rates, String> {
    let [total, read, write] = WAYS.map(|way| {
        Ok::<_, String>(Rate {
            limit: number(parts, &format!("iops{way}"))?,
            burst: number(parts, &format!("iops{way}_max"))?,
            burst_seconds: number(parts, &format!("iops{way}_max_length"))?,
        })
    });
    Ok(Rates { total: total?, read: read?, write: write? })
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(parts: &mut PropertyString, key: &str) -> Result<Option<T>, String> {
    parts.take(key).map(|v| v.parse().map_err(|e: T::Err| format!("{key}: {e}"))).transpose()
}

/// The options of limits.
pub(super) fn pairs(throttle: &Throttle) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut put = |key: String, value: Option<String>| pairs.extend(value.map(|v| (key, v)));
    let each = |rates: &Rates| [rates.total, rates.read, rates.write];
    for (way, rate) in WAYS.iter().zip(each(&throttle.bytes)) {
        put(format!("mbps{way}"), rate.limit.map(|n| words::decimal(n, MEGABYTE)));
        put(format!("mbps{way}_max"), rate.burst.map(|n| words::decimal(n, MEGABYTE)));
        put(format!("bps{way}_max_length"), rate.burst_seconds.map(|n| n.to_string()));
    }
    for (way, rate) in WAYS.iter().zip(each(&throttle.operations)) {
        put(format!("iops{way}"), rate.limit.map(|n| n.to_string()));
        put(format!("iops{way}_max"), rate.burst.map(|n| n.to_string()));
        put(format!("iops{way}_max_length"), rate.burst_seconds.map(|n| n.to_string()));
    }
    pairs
}
