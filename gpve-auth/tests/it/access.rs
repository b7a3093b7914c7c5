//! Who may do what while there is one administrator.

use gpve_auth::{Administrator, Authority, Denied, Identity, ObjectPath, Privilege, PrivilegeSet, UserId};

fn token(id: &str, separated: bool) -> Identity {
    Identity::Token { id: id.parse().unwrap(), separated }
}

#[test]
fn root_holds_every_privilege_everywhere() {
    for privilege in Privilege::ALL {
        assert!(Administrator.authorize(&Identity::user(UserId::root()), *privilege, &ObjectPath::vm(100)).is_allowed());
    }
    assert!(Administrator.authorize_root(&token("root@pam!ci", false), "args").is_allowed());
}

#[test]
fn a_separated_token_holds_nothing_and_the_refusal_names_path_and_privilege() {
    let denied = Administrator.authorize(&token("root@pam!ci", true), Privilege::VmAudit, &ObjectPath::vm(100));
    assert_eq!(denied.into_result().unwrap_err().to_string(), "Permission check failed (/vms/100, VM.Audit)");
    let denied = Administrator.authorize_root(&token("root@pam!ci", true), "args");
    assert_eq!(denied.into_result().unwrap_err(), Denied::RootOnly("args"));
}

#[test]
fn a_route_that_asks_for_no_privilege_is_open_to_any_identity() {
    assert!(Administrator.authorize_any(&token("root@pam!ci", true), &[], &ObjectPath::root()).is_allowed());
}

#[test]
fn an_authority_needs_only_to_say_what_is_held() {
    struct Auditor;
    impl Authority for Auditor {
        fn privileges(&self, _: &Identity, path: &ObjectPath) -> PrivilegeSet {
            if path.ancestry().any(|p| p == "/vms") { [Privilege::VmAudit].into_iter().collect() } else { PrivilegeSet::EMPTY }
        }
    }
    let eve = Identity::user("eve@pve".parse().unwrap());
    assert!(Auditor.authorize_any(&eve, &[Privilege::VmPowerMgmt, Privilege::VmAudit], &ObjectPath::vm(7)).is_allowed());
    assert!(!Auditor.authorize(&eve, Privilege::VmAudit, &ObjectPath::root()).is_allowed());
}
