//! Login and tokens.

use std::time::Duration;

use gpve_api::pve2::answer::{NewToken, RealmEntry, Session, TokenEntry, TokenInfo, capabilities, login_user, permissions as shown};
use gpve_api::pve2::{Failure, Reply};
use gpve_auth::{Identity, Login, ObjectPath, Secret, TokenId, TokenRecord, TokenSecret, UserId};
use gpve_core::error::{Error, ErrorKind};
use gpve_core::ports::AuditEntry;
use tokio::sync::Semaphore;

use super::{Answered, Ctx, nothing};

/// Passwords hashed at a time: each takes a core and tens of megabytes, and anybody may ask for one.
static HASHING: Semaphore = Semaphore::const_new(4);
/// How long a refused login waits for its answer: guessing is slow, a typing mistake hardly noticed.
const REFUSED_LOGIN: Duration = Duration::from_secs(1);

pub(super) async fn login(cx: &Ctx<'_>) -> Answered {
    let place = HASHING.acquire().await.map_err(|_| Failure::login_refused())?;
    let user = login_user(&cx.params);
    let password = Secret::from(cx.params.text("password").unwrap_or_default());
    let (app, now) = (cx.app.clone(), cx.app.now());
    // Hashing takes tens of milliseconds of a core on purpose: not on a thread that serves others.
    let checked = tokio::task::spawn_blocking(move || Login::new(&app.keys, &app.accounts).with_password(user.as_ref(), &password, now));
    let Some(user) = checked.await.ok().and_then(Result::ok) else {
        drop(place);
        audit(cx, "login", "tickets", cx.params.text("username").unwrap_or_default(), 401).await;
        tokio::time::sleep(REFUSED_LOGIN).await;
        return Err(Failure::login_refused());
    };
    let who = Identity::user(user.clone());
    if let (Some(path), Some(privileges)) = (cx.params.text("path"), cx.params.text("privs")) {
        return check(cx, &who, path, privileges);
    }
    Ok(Reply::data(&Session {
        username: user.to_string(),
        ticket: Some(cx.app.keys.issue_ticket(&user, now).expose().clone()),
        csrf_token: Some(cx.app.keys.issue_csrf(&user, now).expose().clone()),
        cap: capabilities(cx.app.authority.as_ref(), &who),
    }))
}

/// Writes down who did what to whose access. The call has happened: a log that fails does not undo it.
async fn audit(cx: &Ctx<'_>, verb: &str, resource: &str, name: &str, status_code: u16) {
    let entry = AuditEntry {
        timestamp: cx.app.clock.now(),
        request_id: cx.call.request_id.clone(),
        user: if status_code == 401 { String::new() } else { cx.who.to_string() },
        user_groups: Vec::new(),
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        name: name.chars().take(128).collect(),
        namespace: gpve_core::types::Namespace::default(),
        source_ip: cx.call.source_ip.clone(),
        user_agent: cx.call.user_agent.clone(),
        status_code,
        message: String::new(),
        extra: std::collections::BTreeMap::new(),
    };
    if let Err(e) = cx.app.plane.audit_log().record(entry).await {
        tracing::error!(error = %e.report(), "an audit entry was not written");
    }
}

/// A login that asks for privileges instead of a session.
fn check(cx: &Ctx<'_>, who: &Identity, path: &str, privileges: &str) -> Answered {
    let path: ObjectPath = path.parse().map_err(|_| Failure::login_refused())?;
    let held = cx.app.authority.privileges(who, &path);
    let all = privileges.split([',', ' ', ';']).filter(|p| !p.is_empty()).all(|p| p.parse().is_ok_and(|p| held.contains(p)));
    if !all {
        return Err(Failure::login_refused());
    }
    let cap = capabilities(cx.app.authority.as_ref(), who);
    Ok(Reply::data(&Session { username: who.to_string(), ticket: None, csrf_token: None, cap }))
}

pub(super) fn realms() -> Answered {
    Ok(Reply::data(&[
        RealmEntry { realm: "pam", kind: "pam", comment: "The administrator root@pam" },
        RealmEntry { realm: "pve", kind: "pve", comment: "Users of this cluster" },
    ]))
}

pub(super) fn permissions(cx: &Ctx<'_>) -> Answered {
    let path = cx.params.parse_opt::<ObjectPath>("path").map_err(|e| Failure::from(&e))?;
    let who = match cx.params.text("userid") {
        None => cx.who.clone(),
        Some(id) => identity(cx, id)?,
    };
    Ok(Reply::data(&shown(cx.app.authority.as_ref(), &who, path.as_ref())))
}

fn identity(cx: &Ctx<'_>, id: &str) -> Result<Identity, Failure> {
    let refused = |e: &dyn std::fmt::Display| Failure::from(&Error::field("permissions", "userid", e.to_string()));
    match id.parse::<TokenId>() {
        Ok(id) => {
            let separated = gpve_auth::Accounts::token(&cx.app.accounts, &id).is_none_or(|t| t.separated);
            Ok(Identity::Token { id, separated })
        }
        Err(_) => Ok(Identity::user(id.parse().map_err(|e| refused(&e))?)),
    }
}

fn user(cx: &Ctx<'_>) -> Result<UserId, Failure> {
    let user: UserId = cx.params.parse("userid").map_err(|e| Failure::from(&e))?;
    let missing = || Failure::from(&Error::new(ErrorKind::NotFound, "user", format!("no such user ('{user}')")));
    if cx.app.accounts.has_user(&user) { Ok(user) } else { Err(missing()) }
}

fn token_id(cx: &Ctx<'_>) -> Result<TokenId, Failure> {
    let name = cx.params.parse("tokenid").map_err(|e| Failure::from(&e))?;
    Ok(TokenId { user: user(cx)?, name })
}

fn token(cx: &Ctx<'_>, id: &TokenId) -> Result<TokenRecord, Failure> {
    let missing = || Error::new(ErrorKind::NotFound, "token", format!("no such token '{}' for user '{}'", id.name, id.user));
    gpve_auth::Accounts::token(&cx.app.accounts, id).ok_or_else(|| Failure::from(&missing()))
}

pub(super) fn token_list(cx: &Ctx<'_>) -> Answered {
    let tokens = cx.app.accounts.tokens_of(&user(cx)?);
    let entry = |(id, record): (TokenId, TokenRecord)| TokenEntry { tokenid: id.name.to_string(), info: TokenInfo::from(&record) };
    Ok(Reply::data(&tokens.into_iter().map(entry).collect::<Vec<_>>()))
}

pub(super) fn token_read(cx: &Ctx<'_>) -> Answered {
    Ok(Reply::data(&TokenInfo::from(&token(cx, &token_id(cx)?)?)))
}

pub(super) async fn token_create(cx: &Ctx<'_>) -> Answered {
    let id = token_id(cx)?;
    if gpve_auth::Accounts::token(&cx.app.accounts, &id).is_some() {
        return Err(Failure::refused(gpve_api::route::Refused::one("tokenid", "Token already exists.")));
    }
    let secret = TokenSecret::from_random(rand::random());
    let record = TokenRecord {
        comment: cx.params.text("comment").map(str::to_owned),
        expire: cx.params.count("expire").unwrap_or(0),
        separated: cx.params.bool("privsep").unwrap_or(true),
        digest: secret.digest(),
    };
    cx.app.accounts.add_token(id.clone(), record).await.map_err(|e| Failure::from(&e))?;
    audit(cx, "create", "tokens", &id.to_string(), 200).await;
    Ok(Reply::data(&NewToken::new(&id, secret.expose(), &cx.params)))
}

pub(super) async fn token_update(cx: &Ctx<'_>) -> Answered {
    let id = token_id(cx)?;
    let mut record = token(cx, &id)?;
    if let Some(comment) = cx.params.text("comment") {
        record.comment = Some(comment.to_owned());
    }
    record.expire = cx.params.count("expire").unwrap_or(record.expire);
    record.separated = cx.params.bool("privsep").unwrap_or(record.separated);
    if cx.params.list("delete").iter().any(|d| d == "comment") {
        record.comment = None;
    }
    let fresh = cx.params.flag("regenerate").then(|| TokenSecret::from_random(rand::random()));
    if let Some(secret) = &fresh {
        record.digest = secret.digest();
    }
    cx.app.accounts.set_token(id.clone(), record.clone()).await.map_err(|e| Failure::from(&e))?;
    audit(cx, "update", "tokens", &id.to_string(), 200).await;
    match fresh {
        Some(secret) => Ok(Reply::data(&NewToken::new(&id, secret.expose(), &cx.params))),
        None => Ok(Reply::data(&TokenInfo::from(&record))),
    }
}

pub(super) async fn token_delete(cx: &Ctx<'_>) -> Answered {
    let id = token_id(cx)?;
    token(cx, &id)?;
    cx.app.accounts.remove_token(&id).await.map_err(|e| Failure::from(&e))?;
    audit(cx, "delete", "tokens", &id.to_string(), 200).await;
    nothing()
}
