//! Numbers and addresses of guests: each given out once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::cache::Cache;
use super::keys;
use super::records::Records;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::ports::{Expect, Mutation, Txn, TxnOutcome};
use crate::types::{MacAddr, VmSpec, Vmid};

/// How long a number given out by `next_vmid` is kept for its caller: the time between asking and creating.
pub const VMID_LEASE: Duration = Duration::from_secs(60);
/// Most numbers given out and not yet used; a caller that only asks is told to stop.
pub const VMID_LEASES_MAX: usize = 10_000;
/// Most numbers tried for one guest: each failed try means that another server took one at the same moment.
pub(super) const VMID_TRIES: usize = 64;
/// Most random addresses tried for one card: with a million cards in use one in sixteen is taken.
const MAC_TRIES: usize = 32;

/// Gives out numbers. Callers in this process never try the same one; between processes the store decides.
#[derive(Default)]
pub(super) struct Ids {
    picked: Arc<Mutex<BTreeSet<Vmid>>>,
}

/// A number that no other caller in this process tries while this is held: until the cache shows what became of it.
pub(super) struct Picked {
    pub(super) vmid: Vmid,
    picked: Arc<Mutex<BTreeSet<Vmid>>>,
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.picked.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.vmid);
    }
}

impl Ids {
    /// The lowest number that is neither used, given out nor being tried.
    pub(super) fn pick(&self, cache: &Cache) -> Result<Picked> {
        let mut picked = self.picked.lock().unwrap_or_else(PoisonError::into_inner);
        let vmid = cache.lowest_free(|v| picked.contains(&v)).ok_or_else(none_left)?;
        picked.insert(vmid);
        Ok(Picked { vmid, picked: self.picked.clone() })
    }

    /// The lowest number that is neither used nor given out, kept for the caller for [`VMID_LEASE`].
    pub(super) async fn lease(&self, records: &Records) -> Result<Vmid> {
        if records.cache.leased() >= VMID_LEASES_MAX {
            let message = format!("{VMID_LEASES_MAX} guest ids are given out and unused: create guests or wait a minute");
            return Err(Error::new(ErrorKind::ResourceExhausted, "vmid.next", message));
        }
        let lease = records.store.grant(VMID_LEASE).await?;
        for _ in 0..VMID_TRIES {
            let picked = self.pick(&records.cache)?;
            let (vmid, key) = (picked.vmid, keys::vmid_lease(picked.vmid)?);
            let put = Mutation::Put { key: key.clone(), value: Vec::new().into(), lease: Some(lease) };
            let expect = vec![Expect::Absent(keys::guest(vmid)?), Expect::Absent(key)];
            match records.store.commit(Txn { expect, then: vec![put] }).await? {
                TxnOutcome::Committed(revision) => {
                    records.cache.reached(revision).await?;
                    return Ok(vmid);
                }
                TxnOutcome::Refused { current, .. } => records.cache.reached(current.map(|e| e.modified).unwrap_or_default()).await?,
            }
        }
        Err(Error::new(ErrorKind::Conflict, "vmid.next", "too many guest ids are being given out at once: retry").retry(Retry::Later))
    }
}

pub(super) fn none_left() -> Error {
    Error::new(ErrorKind::ResourceExhausted, "vmid.next", "every guest id from 100 to 999999999 is in use")
}

/// Fills in what is allocated at creation: system UUID, generation id, and an address for every card without one.
/// Addresses are random and differ from those `in_use`; two guests made at the same time can meet with a chance of one
/// in 16 million per pair.
pub(super) fn allocate(spec: &mut VmSpec, in_use: &BTreeSet<MacAddr>, mut random: impl FnMut() -> Uuid) -> Result<()> {
    spec.uuid.get_or_insert_with(&mut random);
    spec.generation_id.get_or_insert_with(&mut random);
    let mut own: BTreeSet<MacAddr> = spec.networks.values().filter_map(|n| n.mac_address).collect();
    for nic in spec.networks.values_mut().filter(|n| n.mac_address.is_none()) {
        let address = std::iter::repeat_with(|| mac_from(random())).take(MAC_TRIES).find(|m| !in_use.contains(m) && !own.contains(m));
        let address =
            address.ok_or_else(|| Error::new(ErrorKind::ResourceExhausted, "nic.address", "no address was found that is free"))?;
        own.insert(address);
        nic.mac_address = Some(address);
    }
    Ok(())
}

fn mac_from(random: Uuid) -> MacAddr {
    let [a, b, c, ..] = *random.as_bytes();
    MacAddr::local([a, b, c])
}

/// Addresses of all cards of all guests.
pub(super) fn addresses(cache: &Cache) -> BTreeSet<MacAddr> {
    cache.snapshot().iter().flat_map(|e| e.guest.spec().networks.values()).filter_map(|n| n.mac_address).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::types::{NicIndex, NicSpec};

    fn with_cards(macs: &[Option<&str>]) -> VmSpec {
        let mut spec = VmSpec::of("64Mi".parse().unwrap());
        for (n, mac) in (0u8..).zip(macs) {
            let name = NicIndex::try_from(n).unwrap();
            let nic: NicSpec = serde_json::from_value(serde_json::json!({ "name": name, "macAddress": mac })).unwrap();
            spec.networks.insert(name, nic);
        }
        spec
    }

    #[test]
    fn given_addresses_stay_and_missing_ones_avoid_those_in_use() {
        let mut spec = with_cards(&[None, Some("BC:24:11:00:00:01"), None]);
        let taken = MacAddr::local([1, 1, 1]);
        let mut n = 0u8;
        let counting = || {
            n += 1;
            Uuid::from_bytes([n; 16])
        };
        // 1 and 2 go to the system's UUID and the generation id; 3 is in use.
        allocate(&mut spec, &BTreeSet::from([taken, MacAddr::local([3, 3, 3])]), counting).unwrap();
        let macs: Vec<MacAddr> = spec.networks.values().map(|n| n.mac_address.unwrap()).collect();
        assert_eq!(macs, [MacAddr::local([4, 4, 4]), "BC:24:11:00:00:01".parse().unwrap(), MacAddr::local([5, 5, 5])]);
        assert_eq!(spec.uuid, Some(Uuid::from_bytes([1; 16])));
    }

    #[test]
    fn two_cards_of_one_guest_never_share_an_address() {
        let mut spec = with_cards(&[None, None]);
        let e = allocate(&mut spec, &BTreeSet::new(), || Uuid::from_bytes([9; 16])).unwrap_err();
        assert_eq!(e.kind, ErrorKind::ResourceExhausted);
    }
}
