//! Who may call a route.

use gpve_auth::{Authority, Decision, Identity, ObjectPath, Privilege};

use super::{Given, Matched, boolean};

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// Nothing, not even a login.
    Public,
    /// Any identity; the handler shows each caller what it may see.
    Anyone,
    /// All of these requirements.
    All(&'static [Require]),
    /// The user named by this parameter itself, or whoever holds the privilege.
    SelfOr(&'static str, Require),
}

/// Any one of some privileges on a path that is made of the request's path parameters.
#[derive(Debug, Clone, Copy)]
pub struct Require {
    /// Any one of these.
    pub any: &'static [Privilege],
    /// Such as `/vms/{vmid}`.
    pub on: &'static str,
}

impl Access {
    /// Decides for `who`; `value` gives the path parameters.
    ///
    /// A path that does not parse (`/vms/a b`) is asked about as `/`: whoever holds the privilege everywhere gets the error
    /// about the parameter, everybody else a refusal.
    pub fn decide(&self, authority: &dyn Authority, who: &Identity, value: impl Fn(&str) -> Option<String>) -> Decision {
        match self {
            Self::Public | Self::Anyone => Decision::Allowed,
            Self::All(requirements) => {
                for r in *requirements {
                    let decision = r.decide(authority, who, &value);
                    if !decision.is_allowed() {
                        return decision;
                    }
                }
                Decision::Allowed
            }
            Self::SelfOr(param, otherwise) => {
                // A token without separation acts as its owner; a separated one needs the privilege.
                let acts_for_owner = !matches!(who, Identity::Token { separated: true, .. });
                let same = value(param).is_some_and(|user| user == who.owner().to_string());
                if same && acts_for_owner { Decision::Allowed } else { otherwise.decide(authority, who, &value) }
            }
        }
    }

    /// What is asked, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Public => "everyone, without login".into(),
            Self::Anyone => "every logged-in user; sees what it may".into(),
            Self::All(requirements) => requirements.iter().map(Require::describe).collect::<Vec<_>>().join(" and "),
            Self::SelfOr(param, otherwise) => format!("the user `{param}` itself, or {}", otherwise.describe()),
        }
    }
}

impl Require {
    fn decide(&self, authority: &dyn Authority, who: &Identity, value: &impl Fn(&str) -> Option<String>) -> Decision {
        let filled: Vec<String> = self
            .on
            .split('/')
            .map(|part| {
                let name = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
                name.map_or_else(|| part.to_owned(), |n| value(n).unwrap_or_default())
            })
            .collect();
        let path = filled.join("/").parse().unwrap_or_else(|_| ObjectPath::root());
        authority.authorize_any(who, self.any, &path)
    }

    /// What is asked, in words.
    pub fn describe(&self) -> String {
        let names: Vec<&str> = self.any.iter().map(|p| p.name()).collect();
        format!("`{}` on `{}`", names.join("` or `"), self.on)
    }
}

impl Matched {
    /// Decides whether `who` may send this request: what the route asks, and what each given parameter asks beside it.
    /// A parameter that is only for `root@pam` counts as given unless it is a boolean that says no.
    pub fn authorize(&self, authority: &dyn Authority, who: &Identity, given: &Given) -> Decision {
        let value = |name: &str| self.value(name).or_else(|| given.get(name)).map(str::to_owned);
        let decision = self.route.access.decide(authority, who, value);
        if !decision.is_allowed() || who.is_root() {
            return decision;
        }
        for (name, text) in given.iter() {
            let Some(param) = self.route.param(name).filter(|_| boolean(text) != Some(false)) else { continue };
            let asked = match param.privilege {
                _ if param.root_only => authority.authorize_root(who, param.name),
                Some(privilege) => {
                    let path = value("vmid").and_then(|id| format!("/vms/{id}").parse().ok()).unwrap_or_else(ObjectPath::root);
                    authority.authorize(who, privilege, &path)
                }
                None => Decision::Allowed,
            };
            if !asked.is_allowed() {
                return asked;
            }
        }
        Decision::Allowed
    }
}
