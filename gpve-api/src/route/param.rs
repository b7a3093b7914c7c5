//! One parameter of a route.

use gpve_auth::Privilege;

use super::Kind;

/// A parameter: name, type, bounds and words about it.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name; for an indexed parameter the stem (`net` of `net[n]`).
    pub name: &'static str,
    /// Its type and bounds.
    pub kind: Kind,
    /// May be left out.
    pub optional: bool,
    /// How many indexes there are: `net0` to `net31` is 32; 0 is a plain parameter.
    pub indexes: u16,
    /// What holds when it is left out, in words of the wire.
    pub default: Option<&'static str>,
    /// Only allowed together with this one.
    pub requires: Option<&'static str>,
    /// Only `root@pam` may give it.
    pub root_only: bool,
    /// Needed on the guest to give it, beside what the route asks.
    pub privilege: Option<Privilege>,
    /// One line for people.
    pub text: &'static str,
}

impl Param {
    /// A required parameter.
    pub const fn new(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { name, kind, optional: false, indexes: 0, default: None, requires: None, root_only: false, privilege: None, text }
    }

    /// A parameter that may be left out.
    pub const fn optional(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { optional: true, ..Self::new(name, kind, text) }
    }

    /// `name0` to `name{count-1}`, all of which may be left out.
    pub const fn indexed(name: &'static str, count: u16, kind: Kind, text: &'static str) -> Self {
        Self { indexes: count, ..Self::optional(name, kind, text) }
    }

    /// With a default.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// Only together with `other`.
    #[must_use]
    pub const fn requires(mut self, other: &'static str) -> Self {
        self.requires = Some(other);
        self
    }

    /// Only for `root@pam`.
    #[must_use]
    pub const fn root_only(mut self) -> Self {
        self.root_only = true;
        self
    }

    /// Only with `privilege` on the guest.
    #[must_use]
    pub const fn needs(mut self, privilege: Privilege) -> Self {
        self.privilege = Some(privilege);
        self
    }

    /// Whether a request's `name` means this parameter.
    pub fn covers(&self, name: &str) -> bool {
        if self.indexes == 0 {
            return name == self.name;
        }
        let Some(digits) = name.strip_prefix(self.name) else { return false };
        let canonical = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
        canonical && digits.parse::<u16>().is_ok_and(|n| n < self.indexes)
    }

    /// The name as documents show it: `net[n]`.
    pub fn shown_name(&self) -> String {
        if self.indexes == 0 { self.name.to_owned() } else { format!("{}[n]", self.name) }
    }
}
