//! Login, tokens and the version.

use gpve_auth::Privilege as P;

use super::{Operation as Op, forms as f};
use crate::route::{Access, Answer, Dialect, Kind, Method, Param, Require, Route};

const fn route(method: Method, path: &'static str, operation: Op, summary: &'static str) -> Route {
    Route::new(Dialect::Pve2, method, path, operation, summary)
}

const OWNER: Access = Access::SelfOr("userid", Require { any: &[P::UserModify], on: "/access/groups" });

const USER: &[Param] = &[Param::new("userid", Kind::Format(&f::USER_ID), "The user.")];
const TOKEN: &[Param] = &[
    Param::new("userid", Kind::Format(&f::USER_ID), "The user."),
    Param::new("tokenid", Kind::Format(&f::TOKEN_NAME), "The token's name."),
];
const TOKEN_INFO: &[Param] = &[
    Param::optional("comment", Kind::text(4096), "Free text."),
    Param::optional("expire", Kind::COUNT, "Unix time of expiry; 0 is never.").default("0"),
    Param::optional("privsep", Kind::Boolean, "Give it only privileges of its own, not those of the user.").default("1"),
];
const TOKEN_CHANGE: &[Param] = &[
    Param::optional("delete", Kind::List(&f::CONFIG_ID), "Settings to remove."),
    Param::optional("regenerate", Kind::Boolean, "Make a new secret.").default("0"),
];
const LOGIN: &[Param] = &[
    Param::new("username", Kind::text(64), "User id, or name with the parameter realm."),
    Param::new("password", Kind::Secret { max: gpve_auth::password::MAX_PASSWORD_BYTES }, "Password, or a ticket to renew."),
    Param::optional("realm", Kind::Format(&f::REALM), "Realm of the name."),
    Param::optional("new-format", Kind::Boolean, "Has no effect.").default("1"),
    Param::optional("otp", Kind::Secret { max: 64 }, "One-time password."),
    Param::optional("tfa-challenge", Kind::Secret { max: 4096 }, "The challenge that is answered."),
    Param::optional("privs", Kind::Format(&f::PRIVILEGES), "Check for these privileges instead of logging in.").requires("path"),
    Param::optional("path", Kind::text(64), "Where to check for privileges.").requires("privs"),
];
const PERMISSIONS: &[Param] =
    &[Param::optional("path", Kind::text(256), "Only this path."), Param::optional("userid", Kind::text(128), "Of this user or token.")];

pub(super) const ROUTES: &[Route] = &[
    route(Method::Get, "/", Op::ApiIndex, "The parts of the API.").answers(Answer::List("Index")),
    route(Method::Get, "/version", Op::Version, "Version of the API.").answers(Answer::Object("Version")),
    route(Method::Get, "/access", Op::AccessIndex, "The parts of access control.").answers(Answer::List("Index")),
    route(Method::Get, "/access/ticket", Op::TicketProbe, "Nothing; for login pages.").access(Access::Public),
    route(Method::Post, "/access/ticket", Op::TicketCreate, "Log in, renew a ticket, or check for privileges.")
        .params(&[LOGIN])
        .access(Access::Public)
        .answers(Answer::Object("Session")),
    route(Method::Get, "/access/domains", Op::RealmList, "Realms that users log in to.")
        .access(Access::Public)
        .answers(Answer::List("Realm")),
    route(Method::Get, "/access/permissions", Op::PermissionList, "Privileges by path.")
        .params(&[PERMISSIONS])
        .answers(Answer::Object("Permissions")),
    route(Method::Get, "/access/users/{userid}/token", Op::TokenList, "A user's API tokens.")
        .params(&[USER])
        .access(OWNER)
        .answers(Answer::List("Token")),
    route(Method::Get, "/access/users/{userid}/token/{tokenid}", Op::TokenRead, "An API token.")
        .params(&[TOKEN])
        .access(OWNER)
        .answers(Answer::Object("Token")),
    route(Method::Post, "/access/users/{userid}/token/{tokenid}", Op::TokenCreate, "Make an API token; shows its secret, once.")
        .params(&[TOKEN, TOKEN_INFO])
        .access(OWNER)
        .answers(Answer::Object("NewToken")),
    route(Method::Put, "/access/users/{userid}/token/{tokenid}", Op::TokenUpdate, "Change an API token.")
        .params(&[TOKEN, TOKEN_INFO, TOKEN_CHANGE])
        .access(OWNER)
        .answers(Answer::Object("Token")),
    route(Method::Delete, "/access/users/{userid}/token/{tokenid}", Op::TokenDelete, "Remove an API token.").params(&[TOKEN]).access(OWNER),
];
