//! The guest's real-time clock.

use serde::{Deserialize, Serialize};

use super::text::text_type;

text_type!(
    /// What the clock shows at start: `now`, a date, or date and time (`2006-06-17T16:01:21`).
    StartDate, "start date", "'now', YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SS",
    |s| {
        let (date, time) = s.split_once('T').unwrap_or((s, "0:0:0"));
        let numbers = |text: &str, by: char, longest: [usize; 3]| {
            let parts: Vec<&str> = text.split(by).collect();
            let fits = |(part, max): (&&str, usize)| !part.is_empty() && part.len() <= max && part.bytes().all(|b| b.is_ascii_digit());
            parts.len() == 3 && parts.iter().zip(longest).all(fits)
        };
        s == "now" || numbers(date, '-', [4, 2, 2]) && date.starts_with(|c: char| c.is_ascii_digit()) && numbers(time, ':', [2, 2, 2])
    }
);

/// The clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClockSpec {
    /// It shows local time; absent: only to Windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_time: Option<bool>,
    /// What it shows at start; absent: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<StartDate>,
    /// Lost ticks are made up for; absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_fix: Option<bool>,
}

impl ClockSpec {
    /// True if nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
