//! The door that every textual id goes through.

/// Why a text was refused as an id, size or name. `Display` names what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{value}' is not a valid {what}: {allowed}")]
pub struct TextError {
    /// The refused text, shortened and with control characters escaped.
    pub value: String,
    /// What it should have been.
    pub what: &'static str,
    /// What is allowed.
    pub allowed: &'static str,
}

impl TextError {
    /// Refuses `value` as a `what`. Long values are cut at 64 characters and control characters escaped, so that an
    /// error text can be logged and sent as an HTTP reason phrase.
    pub fn new(value: &str, what: &'static str, allowed: &'static str) -> Self {
        let mut shown: String = value.chars().take(64).flat_map(char::escape_default).collect();
        if value.chars().count() > 64 {
            shown.push('…');
        }
        Self { value: shown, what, allowed }
    }
}

/// Declares a textual newtype: private field, `FromStr`/`TryFrom<String>` through `$check`, serde through the same
/// door, `Display` that parses back.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $allowed:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::types::TextError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> bool = $check;
                if check(s) { Ok(Self(s.to_owned())) } else { Err($crate::types::TextError::new(s, $what, $allowed)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::types::TextError;
            fn try_from(s: String) -> Result<Self, Self::Error> {
                s.parse()
            }
        }

        impl From<$name> for String {
            fn from(v: $name) -> String {
                v.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Serde through `Display` and `FromStr`, for types that are text on the wire but not inside.
macro_rules! serde_as_text {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use {serde_as_text, text_type};

/// True for letters, digits and the characters of `extra`.
pub(crate) fn only(s: &str, extra: &str) -> bool {
    s.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

/// True if the first character is a letter or digit.
pub(crate) fn starts_alnum(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphanumeric())
}
