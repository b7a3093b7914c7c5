//! Who the client is to the server.

use gpve_auth::Secret;

use crate::route::Method;

/// What a login gave, to be stored for the next run.
#[derive(Clone)]
pub struct SessionSecrets {
    /// The user.
    pub username: String,
    /// The ticket; good for two hours.
    pub ticket: Secret<String>,
    /// The CSRF token that goes with it.
    pub csrf: Secret<String>,
}

impl std::fmt::Debug for SessionSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionSecrets").field("username", &self.username).finish_non_exhaustive()
    }
}

/// How the client proves who it is.
#[derive(Debug, Clone, Default)]
pub enum Session {
    /// It does not.
    #[default]
    Anonymous,
    /// By a ticket.
    Ticket(SessionSecrets),
    /// By an API token, `user@realm!name=secret`.
    Token(Secret<String>),
}

impl Session {
    /// Headers for a request.
    pub(super) fn headers(&self, method: Method) -> Vec<(&'static str, String)> {
        match self {
            Self::Anonymous => Vec::new(),
            Self::Token(token) => vec![("authorization", format!("PVEAPIToken={}", token.expose()))],
            Self::Ticket(s) => {
                let cookie = ("cookie", format!("PVEAuthCookie={}", super::request::encode(s.ticket.expose())));
                let csrf = (!method.is_read()).then(|| ("csrfpreventiontoken", s.csrf.expose().clone()));
                std::iter::once(cookie).chain(csrf).collect()
            }
        }
    }
}
