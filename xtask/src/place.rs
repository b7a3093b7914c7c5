use std::path::{Path, PathBuf};

use crate::failure::{Context as _, Failure, Result};

/// The directory of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where things are kept that are costly to make and not part of the clone: `$GPVE_CACHE`, else `gpve` in the user's cache directory.
pub(crate) fn cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("GPVE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("gpve")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/gpve")))
        .ok_or_else(|| Failure::new("neither GPVE_CACHE nor HOME is set: there is no place for the cache"))?;
    std::fs::create_dir_all(&cache).context(format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    match set {
        Some(target) if target.is_absolute() => target,
        Some(target) => root().join(target),
        None => root().join("target"),
    }
}
