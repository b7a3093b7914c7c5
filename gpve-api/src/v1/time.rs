//! Points in time on the wire.

use std::fmt;

use gpve_core::types::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time as RFC 3339 in UTC: `2026-11-21T12:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rfc3339(pub Timestamp);

impl From<Timestamp> for Rfc3339 {
    fn from(t: Timestamp) -> Self {
        Self(t)
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rfc3339 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        let refuse = || serde::de::Error::custom(format!("'{text}' is no RFC 3339 time since 1970"));
        let time: jiff::Timestamp = text.parse().map_err(|_| refuse())?;
        let millis = u64::try_from(time.as_millisecond()).map_err(|_| refuse())?;
        Ok(Self(Timestamp::from_millis(millis)))
    }
}
