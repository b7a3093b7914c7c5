use std::time::Duration;

use super::{StoreFixture, key, next, told};
use crate::ports::{LeaseId, Revision, StoreError, Txn};

pub(super) async fn keys_vanish_with_their_lease_as_one_revision(to: &StoreFixture) {
    let (short, long) = (to.lease(2).await, to.lease(600).await);
    let bound = Txn::default().and_put_leased(key("/s/1"), "1", short).and_put_leased(key("/s/2"), "2", short);
    let made = to.commit(bound.and_put_leased(key("/l/1"), "3", long).and_put(key("/free"), "4")).await;
    assert_eq!(to.get("/s/1").await.and_then(|e| e.lease), Some(short), "an entry names its lease");
    let mut watch = to.watch("", made).await;
    to.pass(3).await;
    let end = next(&mut watch).await;
    assert_eq!((end.revision, told(&end)), (Revision(made.0 + 1), vec!["delete /s/1".to_owned(), "delete /s/2".to_owned()]));
    assert_eq!(to.get("/s/1").await, None);
    assert!(to.get("/l/1").await.is_some() && to.get("/free").await.is_some(), "the others stay");
    let late = to.store.commit(Txn::default().and_put_leased(key("/s/3"), "", short)).await;
    assert_eq!(late, Err(StoreError::NoSuchLease(short)), "an expired lease binds nothing");
    assert_eq!(to.store.renew(short).await, Err(StoreError::NoSuchLease(short)), "and does not come back");
}

pub(super) async fn a_renewed_lease_lives_on(to: &StoreFixture) {
    let (kept, witness) = (to.lease(3).await, to.lease(3).await);
    let made = to.commit(Txn::default().and_put_leased(key("/kept"), "", kept).and_put_leased(key("/witness"), "", witness)).await;
    let mut watch = to.watch("", made).await;
    for _ in 0..2 {
        to.pass(2).await;
        to.store.renew(kept).await.expect("a living lease is renewed");
    }
    assert_eq!(told(&next(&mut watch).await), ["delete /witness"], "without renewal it ends");
    assert!(to.get("/kept").await.is_some(), "with renewal it lives");
    to.pass(4).await;
    assert_eq!(told(&next(&mut watch).await), ["delete /kept"], "until nobody renews it");
}

pub(super) async fn a_revoked_lease_takes_its_keys_along(to: &StoreFixture) {
    let lease = to.lease(600).await;
    let made = to.commit(Txn::default().and_put_leased(key("/a"), "", lease).and_put_leased(key("/b"), "", lease)).await;
    to.store.revoke(lease).await.expect("a lease is revoked");
    assert_eq!(to.revision().await, Revision(made.0 + 1), "as one revision");
    assert!(to.get("/a").await.is_none() && to.get("/b").await.is_none());
    to.store.revoke(lease).await.expect("revoking an unknown lease is no error");
    let empty = to.lease(600).await;
    to.store.revoke(empty).await.expect("a lease without keys is revoked");
    assert_eq!(to.revision().await, Revision(made.0 + 1), "a lease without keys ends without a revision");
    assert_ne!(empty, lease, "ids of leases are not used again");
}

pub(super) async fn a_key_written_without_its_lease_stays(to: &StoreFixture) {
    let (first, second) = (to.lease(600).await, to.lease(600).await);
    to.commit(Txn::default().and_put_leased(key("/freed"), "", first).and_put_leased(key("/moved"), "", first)).await;
    to.put("/freed", "").await;
    to.commit(Txn::default().and_put_leased(key("/moved"), "", second)).await;
    to.store.revoke(first).await.expect("a lease is revoked");
    assert_eq!(to.get("/freed").await.map(|e| e.lease), Some(None), "a plain write unbinds");
    assert_eq!(to.get("/moved").await.map(|e| e.lease), Some(Some(second)), "a write binds to its own lease");
}

pub(super) async fn an_unknown_lease_binds_nothing(to: &StoreFixture) {
    let unknown = LeaseId(u64::MAX >> 1);
    let bound = Txn::put(key("/a"), "").and_put_leased(key("/b"), "", unknown);
    assert_eq!(to.store.commit(bound).await, Err(StoreError::NoSuchLease(unknown)));
    assert_eq!(to.revision().await, Revision(0), "nothing of it was written");
    assert_eq!(to.store.renew(unknown).await, Err(StoreError::NoSuchLease(unknown)));
}

pub(super) async fn a_lease_has_whole_seconds(to: &StoreFixture) {
    for ttl in [Duration::ZERO, Duration::from_millis(999), Duration::from_millis(1500), Duration::from_secs(31 * 24 * 3600)] {
        let refused = to.store.grant(ttl).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{ttl:?}: {refused:?}");
    }
    to.store.grant(Duration::from_secs(1)).await.expect("a second is allowed");
}
