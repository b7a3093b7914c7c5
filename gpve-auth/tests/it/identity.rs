//! Ids parse, print back, and refuse what could be misread elsewhere.

use gpve_auth::{Identity, ObjectPath, Privilege, PrivilegeSet, Realm, TokenId, UserId};
use proptest::prelude::*;

#[test]
fn ids_that_could_be_misread_are_refused() {
    for bad in ["", "root", "@pam", "root@", "ro ot@pam", "a:b@pam", "a/b@pam", "a!b@pam", "-x@pam", "a\n@pam", "a@1x", "a@p", "a=b@pam"] {
        assert!(bad.parse::<UserId>().is_err(), "{bad:?}");
    }
    let long = format!("{}@pam", "a".repeat(61));
    assert_eq!(
        long.parse::<UserId>().unwrap_err().to_string().split(':').next().unwrap(),
        format!("invalid user name '{}'", "a".repeat(61))
    );
    assert!("a@b.c@pve".parse::<UserId>().is_ok(), "mail addresses are names");
    assert!("root@pam!1x".parse::<TokenId>().is_err());
    assert!("pam\0".parse::<Realm>().is_err());
}

#[test]
fn the_administrator_is_root_by_ticket_or_by_a_token_without_separation() {
    let token = |id: &str, separated| Identity::Token { id: id.parse().unwrap(), separated };
    assert!(Identity::user(UserId::root()).is_root());
    assert!(token("root@pam!ci", false).is_root());
    assert!(!token("root@pam!ci", true).is_root());
    assert!(!token("eve@pve!ci", false).is_root());
    assert!(!Identity::user("root@pve".parse().unwrap()).is_root());
}

#[test]
fn a_path_is_normalized_and_knows_its_ancestors() {
    let path: ObjectPath = "//vms/100/".parse().unwrap();
    assert_eq!(path, ObjectPath::vm(100));
    assert_eq!(path.ancestry().collect::<Vec<_>>(), ["/vms/100", "/vms", "/"]);
    assert_eq!(ObjectPath::root().ancestry().collect::<Vec<_>>(), ["/"]);
    for bad in ["", "vms", "/../x", "/a b", "/a/b/c/d/e/f/g/h/i"] {
        assert!(bad.parse::<ObjectPath>().is_err(), "{bad:?}");
    }
}

#[test]
fn every_privilege_has_its_own_bit_and_name() {
    for (i, p) in Privilege::ALL.iter().enumerate() {
        assert_eq!(p.name().parse(), Ok(*p));
        let only: PrivilegeSet = [*p].into_iter().collect();
        assert_eq!(only.iter().collect::<Vec<_>>(), [*p], "{i}");
        assert!(PrivilegeSet::ALL.contains(*p));
    }
    assert_eq!(PrivilegeSet::ALL.iter().count(), Privilege::ALL.len());
    assert_eq!("VM.Monitor".parse::<Privilege>().unwrap_err().to_string(), "invalid privilege 'VM.Monitor'");
}

proptest! {
    #[test]
    fn any_accepted_id_prints_back_to_itself(text in "\\PC{0,80}") {
        if let Ok(user) = text.parse::<UserId>() {
            prop_assert_eq!(user.to_string(), text.clone());
            prop_assert_eq!(serde_json::from_str::<UserId>(&serde_json::to_string(&user).unwrap()).unwrap(), user);
        }
        if let Ok(token) = text.parse::<TokenId>() {
            prop_assert_eq!(token.to_string(), text);
        }
    }
}
