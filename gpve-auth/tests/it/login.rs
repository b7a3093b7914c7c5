//! Credentials in, identity or refusal out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use gpve_auth::{
    Accounts, Credentials, Identity, Login, LoginRefused, PasswordError, PasswordHash, Secret, SessionKeys, TokenId, TokenRecord,
    TokenSecret, UnixTime, UserId,
};

const NOW: UnixTime = UnixTime(1_800_000_000);

struct World {
    keys: SessionKeys,
    accounts: Book,
}

#[derive(Default)]
struct Book {
    passwords: HashMap<UserId, PasswordHash>,
    tokens: HashMap<TokenId, TokenRecord>,
}

impl Accounts for Book {
    fn password(&self, user: &UserId) -> Option<PasswordHash> {
        self.passwords.get(user).cloned()
    }

    fn is_active(&self, user: &UserId) -> bool {
        self.passwords.contains_key(user)
    }

    fn token(&self, id: &TokenId) -> Option<TokenRecord> {
        self.tokens.get(id).cloned()
    }
}

fn world() -> World {
    let mut accounts = Book::default();
    accounts.passwords.insert(UserId::root(), PasswordHash::new(&"correct horse".into(), [3; 16]).unwrap());
    World { keys: SessionKeys::new([1; 32], None), accounts }
}

impl World {
    fn login(&self) -> Login<'_> {
        Login::new(&self.keys, &self.accounts)
    }

    fn add_token(&mut self, id: &str, expire: u64, separated: bool) -> Credentials {
        let secret = TokenSecret::from_random([9; 16]);
        let id: TokenId = id.parse().unwrap();
        self.accounts.tokens.insert(id.clone(), TokenRecord { comment: None, expire, separated, digest: secret.digest() });
        Credentials::Token { id, secret: secret.expose().into() }
    }
}

#[test]
fn a_password_logs_in_and_a_wrong_one_does_not() {
    let w = world();
    let root = UserId::root();
    assert_eq!(w.login().with_password(Some(&root), &"correct horse".into(), NOW), Ok(root.clone()));
    for wrong in ["", "correct horse ", "nope"] {
        assert_eq!(w.login().with_password(Some(&root), &wrong.into(), NOW), Err(LoginRefused));
    }
    assert_eq!(w.login().with_password(Some(&root), &Secret::new("x".repeat(100_000)), NOW), Err(LoginRefused));
    assert_eq!(w.login().with_password(None, &"correct horse".into(), NOW), Err(LoginRefused));
}

#[test]
fn a_good_ticket_of_the_same_user_renews_the_session() {
    let w = world();
    let root = UserId::root();
    let ticket = w.keys.issue_ticket(&root, NOW);
    assert_eq!(w.login().with_password(Some(&root), &ticket, NOW), Ok(root.clone()));
    let other: UserId = "eve@pve".parse().unwrap();
    assert_eq!(w.login().with_password(Some(&other), &ticket, NOW), Err(LoginRefused));
    let gone = w.keys.issue_ticket(&other, NOW);
    assert_eq!(w.login().with_password(Some(&other), &gone, NOW), Err(LoginRefused), "the user is not active");
    assert_eq!(w.login().with_password(Some(&root), &ticket, UnixTime(NOW.0 + 8000)), Err(LoginRefused));
}

#[test]
fn a_token_identifies_its_bearer_until_it_expires() {
    let mut w = world();
    let good = w.add_token("root@pam!ci", 0, false);
    let separated = w.add_token("root@pam!sep", NOW.0 + 1, true);
    let expired = w.add_token("root@pam!old", NOW.0, false);
    let orphan = w.add_token("eve@pve!x1", 0, false);
    assert!(matches!(w.login().identify(&good, NOW), Ok(Identity::Token { separated: false, .. })));
    assert!(matches!(w.login().identify(&separated, NOW), Ok(Identity::Token { separated: true, .. })));
    assert_eq!(w.login().identify(&expired, NOW), Err(LoginRefused));
    assert_eq!(w.login().identify(&orphan, NOW), Err(LoginRefused));
    let Credentials::Token { id, .. } = good else { panic!() };
    assert_eq!(w.login().identify(&Credentials::Token { id, secret: "guess".into() }, NOW), Err(LoginRefused));
}

#[test]
fn secrets_never_print_and_tokens_are_stored_hashed() {
    let mut w = world();
    let credentials = w.add_token("root@pam!ci", 0, false);
    let secret = TokenSecret::from_random([9; 16]);
    assert_eq!(secret.expose(), "09090909-0909-4909-8909-090909090909");
    let record = w.accounts.tokens.values().next().unwrap();
    for shown in [format!("{credentials:?}"), format!("{record:?}"), format!("{secret:?}"), serde_json::to_string(record).unwrap()] {
        assert!(!shown.contains("0909-"), "{shown}");
    }
    assert!(!format!("{:?}", w.accounts.passwords.values().next().unwrap()).contains('$'));
}

#[test]
fn a_stored_hash_outside_the_accepted_cost_is_refused() {
    let good = String::from(PasswordHash::new(&"correct horse".into(), [3; 16]).unwrap());
    assert!(PasswordHash::try_from(good.clone()).unwrap().verify(&"correct horse".into()));
    for bad in [
        good.replace("m=19456", "m=4000000"),
        good.replace("t=2", "t=1000"),
        good.replace("argon2id", "argon2i"),
        good[..40].to_owned(),
        String::new(),
    ] {
        assert_eq!(PasswordHash::try_from(bad.clone()), Err(PasswordError::BadHash), "{bad}");
    }
    assert_eq!(PasswordHash::new(&"short".into(), [0; 16]), Err(PasswordError::TooShort));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it measures time")]
fn an_unknown_user_costs_as_much_time_as_a_wrong_password() {
    let w = world();
    let fastest = |user: &UserId| -> Duration {
        let once = || {
            let start = Instant::now();
            let _ = w.login().with_password(Some(user), &"wrong password".into(), NOW);
            start.elapsed()
        };
        (0..5).map(|_| once()).min().unwrap()
    };
    let (known, unknown) = (fastest(&UserId::root()), fastest(&"nobody@pam".parse().unwrap()));
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    // The floor of five runs on a shared machine; a missing hash would make the ratio a thousand.
    assert!((0.33..3.0).contains(&ratio), "known {known:?}, unknown {unknown:?}");
}
