//! Comparing with files under `tests/golden`. `UPDATE_GOLDEN=1 cargo test` writes them anew; review the difference.

use std::path::PathBuf;

/// Fails unless `text` is what `tests/golden/NAME` holds.
pub(crate) fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|v| v == "1") {
        std::fs::write(&path, text).expect("golden file is writable");
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let mut lines = golden.lines().zip(text.lines()).enumerate();
    if let Some((n, (old, new))) = lines.find(|(_, (old, new))| old != new) {
        panic!("{name} differs in line {}:\n  golden: {old}\n  now:    {new}\nUPDATE_GOLDEN=1 accepts it", n + 1);
    }
    assert_eq!(golden.lines().count(), text.lines().count(), "{name} has another length; UPDATE_GOLDEN=1 accepts it");
}
