//! Types of parameters.

use super::{Format, PropertyFormat};

/// The type of a parameter, with its bounds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `1/0/on/off/yes/no/true/false` in any case, or a JSON boolean.
    Boolean,
    /// A whole number.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A decimal number; kept as it was written.
    Number {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// Any text of a length in characters.
    Text {
        /// Shortest.
        min: usize,
        /// Longest.
        max: usize,
    },
    /// A text that is never logged or shown in an error.
    Secret {
        /// Longest.
        max: usize,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text of a named form.
    Format(&'static Format),
    /// A list of texts of a named form, separated by comma, semicolon, space or NUL.
    List(&'static Format),
    /// `key=value,...`
    Property(&'static PropertyFormat),
    /// A real list: a repeated form key or a JSON array.
    Array(&'static Kind),
}

/// The longest text that is accepted where no other limit is stated. Proxmox VE has none there; this one is far above what
/// any of its clients sends and far below what would hurt.
pub const LONGEST_TEXT: usize = 64 * 1024;

impl Kind {
    /// Any text.
    pub const TEXT: Self = Self::Text { min: 0, max: LONGEST_TEXT };
    /// Any whole number.
    pub const INTEGER: Self = Self::Integer { min: i64::MIN, max: i64::MAX };
    /// A whole number, not negative.
    pub const COUNT: Self = Self::at_least(0);

    /// A text of at most `max` characters.
    pub const fn text(max: usize) -> Self {
        Self::Text { min: 0, max }
    }

    /// A whole number not below `min`.
    pub const fn at_least(min: i64) -> Self {
        Self::Integer { min, max: i64::MAX }
    }

    /// A whole number within bounds.
    pub const fn between(min: i64, max: i64) -> Self {
        Self::Integer { min, max }
    }

    /// A decimal number not below `min`.
    pub const fn number_from(min: f64) -> Self {
        Self::Number { min, max: f64::INFINITY }
    }

    /// The JSON type that Proxmox VE's schema states: a list in one text is a string there.
    pub const fn schema_type(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer { .. } => "integer",
            Self::Number { .. } => "number",
            Self::Array(_) => "array",
            Self::Text { .. } | Self::Secret { .. } | Self::Word(_) | Self::Format(_) | Self::List(_) | Self::Property(_) => "string",
        }
    }
}
