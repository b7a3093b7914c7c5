//! Who owns which field of an object.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::types::FieldManager;

/// Fields by the manager that applied them. A field may have several owners as long as they agree on its value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldOwners(BTreeMap<FieldManager, BTreeSet<String>>);

/// A field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnerConflict {
    /// Who owns it.
    pub manager: FieldManager,
    /// Which field.
    pub field: String,
}

impl FieldOwners {
    /// Most managers of one object: each is a controller or a person's tool, of which an object has a handful.
    pub const MAX_MANAGERS: usize = 32;

    /// Fields of `manager`.
    pub fn of(&self, manager: &FieldManager) -> impl Iterator<Item = &str> {
        self.0.get(manager).into_iter().flatten().map(String::as_str)
    }

    /// Every manager with its fields.
    pub fn iter(&self) -> impl Iterator<Item = (&FieldManager, &BTreeSet<String>)> {
        self.0.iter()
    }

    /// True if nobody owns anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fields among `changed` that others than `manager` own.
    pub fn conflicts<'a>(&self, manager: &FieldManager, changed: impl Iterator<Item = &'a str>) -> Vec<OwnerConflict> {
        let changed: Vec<&str> = changed.collect();
        let others = self.0.iter().filter(|(m, _)| *m != manager);
        let owned = others.flat_map(|(m, fields)| changed.iter().filter(|f| fields.contains(**f)).map(move |f| (m, *f)));
        owned.map(|(m, f)| OwnerConflict { manager: m.clone(), field: f.to_owned() }).collect()
    }

    /// Fields that `manager` alone owns and that are not in `applied`: they go with its new apply.
    pub fn dropped(&self, manager: &FieldManager, applied: &BTreeSet<String>) -> BTreeSet<String> {
        let shared = |field: &str| self.0.iter().any(|(m, fields)| m != manager && fields.contains(field));
        self.of(manager).filter(|f| !applied.contains(*f) && !shared(f)).map(str::to_owned).collect()
    }

    /// Makes `applied` the fields of `manager`, and takes those in `seized` from everyone else.
    pub fn set(&mut self, manager: &FieldManager, applied: BTreeSet<String>, seized: &BTreeSet<String>) {
        for (other, fields) in &mut self.0 {
            if other != manager {
                fields.retain(|f| !seized.contains(f));
            }
        }
        self.0.insert(manager.clone(), applied);
        self.0.retain(|_, fields| !fields.is_empty());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn fields(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_shared_field_is_dropped_only_with_its_last_owner() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut owners = FieldOwners::default();
        owners.set(&a, fields(&["x", "y"]), &fields(&[]));
        owners.set(&b, fields(&["x"]), &fields(&[]));
        assert_eq!(owners.dropped(&a, &fields(&[])), fields(&["y"]));
        owners.set(&a, fields(&[]), &fields(&[]));
        assert_eq!(owners.dropped(&b, &fields(&[])), fields(&["x"]));
    }

    #[test]
    fn a_change_conflicts_with_every_other_owner_until_it_is_seized() {
        let [a, b, c] = ["a", "b", "c"].map(|m| m.parse::<FieldManager>().unwrap());
        let mut owners = FieldOwners::default();
        owners.set(&a, fields(&["x"]), &fields(&[]));
        owners.set(&b, fields(&["x", "y"]), &fields(&[]));
        let conflicts = owners.conflicts(&c, ["x", "z"].into_iter());
        assert_eq!(conflicts.iter().map(|c| (c.manager.as_str(), c.field.as_str())).collect::<Vec<_>>(), [("a", "x"), ("b", "x")]);
        assert!(owners.conflicts(&a, ["x"].into_iter()).iter().all(|c| c.manager == b));
        owners.set(&c, fields(&["x"]), &fields(&["x"]));
        assert_eq!(owners.iter().map(|(m, _)| m.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    }
}
