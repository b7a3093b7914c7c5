//! The one question every handler asks: may this identity do this here.

use thiserror::Error;

use crate::{Identity, ObjectPath, Privilege, PrivilegeSet};

/// The answer, with the reason for a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Go ahead.
    Allowed,
    /// Refuse; the text is fit for the user.
    Denied(Denied),
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    /// None of the privileges that would do is held on the path.
    #[error("Permission check failed ({path}, {})", privileges.iter().map(|p| p.name()).collect::<Vec<_>>().join("|"))]
    Missing {
        /// Where it was asked.
        path: ObjectPath,
        /// Any one of these would have done.
        privileges: Vec<Privilege>,
    },
    /// Only `root@pam` may.
    #[error("only root may use '{0}'")]
    RootOnly(&'static str),
}

impl Decision {
    /// Whether the answer is yes.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed)
    }

    /// The refusal as an error.
    ///
    /// # Errors
    /// [`Denied`] when the answer is no.
    pub fn into_result(self) -> Result<(), Denied> {
        match self {
            Self::Allowed => Ok(()),
            Self::Denied(why) => Err(why),
        }
    }
}

/// Knows who holds which privileges where. Role based access control implements this; callers do not change.
pub trait Authority: Send + Sync {
    /// What `who` holds on `path`, propagation included.
    fn privileges(&self, who: &Identity, path: &ObjectPath) -> PrivilegeSet;

    /// May `who` do what `privilege` stands for, on `path`?
    fn authorize(&self, who: &Identity, privilege: Privilege, path: &ObjectPath) -> Decision {
        self.authorize_any(who, &[privilege], path)
    }

    /// Is any one of `privileges` held on `path`? An empty list asks for nothing and is allowed.
    fn authorize_any(&self, who: &Identity, privileges: &[Privilege], path: &ObjectPath) -> Decision {
        let held = self.privileges(who, path);
        if privileges.is_empty() || privileges.iter().any(|p| held.contains(*p)) {
            return Decision::Allowed;
        }
        Decision::Denied(Denied::Missing { path: path.clone(), privileges: privileges.to_vec() })
    }

    /// May `who` use what is reserved to `root@pam` (see [`Identity::is_root`])? `what` names it, such as a parameter.
    fn authorize_root(&self, who: &Identity, what: &'static str) -> Decision {
        if who.is_root() { Decision::Allowed } else { Decision::Denied(Denied::RootOnly(what)) }
    }
}

/// The authority of a server that has one administrator and no roles yet: `root@pam` holds everything, and so do its tokens
/// without privilege separation. A separated token holds what was granted to it, and nothing can be granted yet: nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Administrator;

impl Authority for Administrator {
    fn privileges(&self, who: &Identity, _path: &ObjectPath) -> PrivilegeSet {
        if who.is_root() { PrivilegeSet::ALL } else { PrivilegeSet::EMPTY }
    }
}
