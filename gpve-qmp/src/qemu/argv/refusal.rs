//! Why a machine cannot be composed, and what of it will not be as asked.

use std::fmt;

use gpve_core::error::{Error, ErrorKind, FieldError};

use super::line::BadOperand;

/// A machine that cannot be composed: names the setting and says what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The setting, by PVE's name; `qemu` where the program itself is meant.
    pub field: String,
    /// What is wrong.
    pub reason: String,
    /// The setting itself is wrong, on whatever host; else this host cannot do it.
    pub is_setting: bool,
}

impl Refusal {
    /// A setting that no host can do.
    #[must_use]
    pub fn setting(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), is_setting: true }
    }

    /// A setting that this host cannot do.
    #[must_use]
    pub fn host(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), is_setting: false }
    }

    /// As an error of the operation `op`.
    #[must_use]
    pub fn into_error(self, op: &'static str) -> Error {
        if self.is_setting {
            return Error::invalid(op, vec![FieldError { field: self.field, reason: self.reason }]);
        }
        Error::new(ErrorKind::FailedPrecondition, op, self.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Refusal {}

impl From<BadOperand> for Refusal {
    fn from(bad: BadOperand) -> Self {
        Self::setting(bad.flag, "the value holds a NUL byte or a line break")
    }
}

/// What of a machine is not as its settings say, although it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The setting.
    pub field: String,
    /// What is different.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.text)
    }
}
