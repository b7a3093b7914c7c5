//! Tickets and CSRF tokens.

use gpve_auth::ticket::{LIFETIME_SECONDS, MAX_CLOCK_SKEW_SECONDS};
use gpve_auth::{SessionKeys, TicketError, UnixTime, UserId};
use proptest::prelude::*;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn keys() -> SessionKeys {
    SessionKeys::new([1; 32], None)
}

#[test]
fn a_ticket_has_the_form_that_clients_split_at_colons() {
    let ticket = keys().issue_ticket(&UserId::root(), NOW);
    let parts: Vec<&str> = ticket.expose().split(':').collect();
    assert_eq!(parts[..3], ["PVE", "root@pam", "6B49D200"]);
    assert_eq!((parts.len(), parts[3]), (5, ""));
}

#[test]
fn a_ticket_outlives_one_key_rotation_but_not_two() {
    let ticket = keys().issue_ticket(&UserId::root(), NOW);
    assert!(SessionKeys::new([2; 32], Some([1; 32])).verify_ticket(ticket.expose(), NOW).is_ok());
    let gone = SessionKeys::new([3; 32], Some([2; 32])).verify_ticket(ticket.expose(), NOW);
    assert_eq!(gone, Err(TicketError::Forged));
}

#[test]
fn a_ticket_is_good_for_its_lifetime_and_a_little_clock_skew() {
    let at = |t| keys().verify_ticket(keys().issue_ticket(&UserId::root(), NOW).expose(), UnixTime(t));
    assert!(at(NOW.0 + LIFETIME_SECONDS).is_ok());
    assert_eq!(at(NOW.0 + LIFETIME_SECONDS + 1), Err(TicketError::Stale));
    assert!(at(NOW.0 - MAX_CLOCK_SKEW_SECONDS).is_ok());
    assert_eq!(at(NOW.0 - MAX_CLOCK_SKEW_SECONDS - 1), Err(TicketError::Stale));
}

#[test]
fn every_tampered_byte_of_a_ticket_is_refused() {
    let ticket = keys().issue_ticket(&UserId::root(), NOW);
    for at in 0..ticket.expose().len() {
        for change in 1..=127_u8 {
            let mut bytes = ticket.expose().clone().into_bytes();
            bytes[at] = (bytes[at] ^ change) & 0x7F;
            let text = String::from_utf8(bytes).unwrap();
            assert!(keys().verify_ticket(&text, NOW).is_err(), "byte {at} changed by {change:#x} was accepted: {text}");
        }
    }
}

#[test]
fn a_csrf_token_is_bound_to_its_user_and_time() {
    let root = UserId::root();
    let token = keys().issue_csrf(&root, NOW);
    assert!(keys().verify_csrf(token.expose(), &root, NOW));
    assert!(SessionKeys::new([2; 32], Some([1; 32])).verify_csrf(token.expose(), &root, NOW));
    assert!(!keys().verify_csrf(token.expose(), &"eve@pve".parse().unwrap(), NOW));
    assert!(!keys().verify_csrf(token.expose(), &root, UnixTime(NOW.0 + LIFETIME_SECONDS + 1)));
    for at in 0..token.expose().len() {
        let mut bytes = token.expose().clone().into_bytes();
        bytes[at] ^= 1;
        assert!(!keys().verify_csrf(std::str::from_utf8(&bytes).unwrap(), &root, NOW), "byte {at}");
    }
}

#[test]
fn keys_print_nothing_of_themselves() {
    assert_eq!(format!("{:?}", SessionKeys::new([65; 32], None)), "SessionKeys { previous: false, .. }");
}

proptest! {
    #[test]
    fn no_text_is_a_ticket_unless_it_was_signed(text in "(PVE:)?[a-z]{1,8}@[a-z]{2,5}(:[0-9A-F]{8})?(::)?[A-Za-z0-9+/]{0,88}={0,2}") {
        prop_assert!(keys().verify_ticket(&text, NOW).is_err());
    }

    #[test]
    fn an_issued_ticket_verifies_exactly_while_it_is_fresh(name in "[a-z][a-z0-9.]{0,12}", realm in "[a-z]{2,8}", issued in 0_u64..0xFFFF_FFFF, age in -1000_i64..10_000) {
        let user: UserId = format!("{name}@{realm}").parse().unwrap();
        let now = UnixTime(issued.saturating_add_signed(age));
        let verified = keys().verify_ticket(keys().issue_ticket(&user, UnixTime(issued)).expose(), now);
        if now.is_fresh(UnixTime(issued)) {
            prop_assert_eq!(verified, Ok(user));
        } else {
            prop_assert_eq!(verified, Err(TicketError::Stale));
        }
    }

    #[test]
    fn other_keys_never_verify(seed in any::<[u8; 32]>()) {
        prop_assume!(seed != [1; 32]);
        let ticket = SessionKeys::new(seed, None).issue_ticket(&UserId::root(), NOW);
        prop_assert_eq!(keys().verify_ticket(ticket.expose(), NOW), Err(TicketError::Forged));
    }
}
