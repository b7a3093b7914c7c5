//! Sets of small numbers, written as numbers and ranges.

/// Declares a set of numbers and ranges joined by one character. It keeps the order it was written in.
macro_rules! number_set {
    ($(#[$doc:meta])* $name:ident, $separator:literal, $what:literal, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(Vec<(u16, u16)>);

        impl $name {
            /// First and last number of each range, as written; a single number is a range of itself.
            pub fn ranges(&self) -> &[(u16, u16)] {
                &self.0
            }

            /// Every number, in the order written.
            pub fn numbers(&self) -> impl Iterator<Item = u16> + '_ {
                self.0.iter().flat_map(|(first, last)| *first..=*last)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::types::TextError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                let refused = || $crate::types::TextError::new(s, $what, $allowed);
                let ranges = s.split($separator).map(|r| $crate::types::ranges::range(r.trim()));
                let ranges: Option<Vec<_>> = ranges.take(MAX_RANGES + 1).collect();
                ranges.filter(|r| r.len() <= MAX_RANGES).map(Self).ok_or_else(refused)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                for (i, (first, last)) in self.0.iter().enumerate() {
                    if i > 0 {
                        write!(f, "{}", $separator)?;
                    }
                    if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
                }
                Ok(())
            }
        }

        $crate::types::text::serde_as_text!($name);
    };
}

/// Most ranges in one set: more than a host has processors.
const MAX_RANGES: usize = 1024;

number_set!(
    /// Processors of the host (`0,5,8-11`).
    CpuSet, ',', "list of processors", "numbers from 0 to 9999 and ranges of them joined by ',', such as 0,5,8-11"
);

number_set!(
    /// Processors of a guest, or NUMA nodes of the host (`0-3;8`).
    NumberSet, ';', "list of numbers", "numbers from 0 to 9999 and ranges of them joined by ';', such as 0-3;8"
);

/// `7` or `3-5`, the first not after the last.
fn range(text: &str) -> Option<(u16, u16)> {
    let number = |t: &str| {
        let digits = (1..=4).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| t.parse().ok()).flatten()
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}
