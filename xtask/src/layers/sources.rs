use std::fs;
use std::path::{Path, PathBuf};

use super::Breach;
use crate::failure::{Context as _, Result};

/// Words that only some files may hold. Tests, benches and xtask are free.
struct Word {
    words: &'static [&'static str],
    /// Files and directories, from the workspace's root, that may hold it.
    places: &'static [&'static str],
    reason: &'static str,
}

const WORDS: &[Word] = &[
    Word {
        words: &["std::process::Command", "std::process::Child", "process::Command", "tokio::process", "CommandExt"],
        places: &["gpve-exec/src"],
        reason: "only gpve-exec starts programs",
    },
    Word {
        words: &["SystemTime::now", "Instant::now", "Zoned::now", "Timestamp::now"],
        places: &["gpve-core/src/clock.rs", "gpve-exec/src"],
        reason: "time comes through the Clock port",
    },
    Word { words: &["rusqlite::"], places: &["gpve-store/src"], reason: "only gpve-store makes state durable" },
    Word {
        words: &["axum::", "hyper::", "reqwest::"],
        places: &["gpve-api/src", "gpve-daemon/src"],
        reason: "only the API and the daemon know HTTP",
    },
    Word {
        words: &["allow(unsafe_code"],
        places: &["gpve-net/src/port.rs"],
        reason: "the published crates have no unsafe code but four ioctls (ADR 3)",
    },
];

/// Every breach in the sources of the crates under `root`.
pub(super) fn breaches(root: &Path) -> Result<Vec<Breach>> {
    let mut breaches = Vec::new();
    for file in crate_sources(root)? {
        let text = fs::read_to_string(&file).context(file.display())?;
        let inside = file.strip_prefix(root).unwrap_or(&file);
        breaches.extend(breaches_of(inside, &text));
    }
    Ok(breaches)
}

/// The breaches in one file, of which `path` is the place in the workspace.
pub(super) fn breaches_of(path: &Path, text: &str) -> Vec<Breach> {
    let free = path.components().any(|part| part.as_os_str() == "testing") || path.ends_with("tests.rs");
    if free {
        return Vec::new();
    }
    let turnable = text.lines().any(|line| line.starts_with("use tokio::time::") && line.contains("Instant"));
    let mut breaches = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // By convention a file's own test module is its end.
        if line.trim_start().starts_with("#[cfg(test)]") && text.lines().nth(index + 1).is_some_and(|next| next.trim_end().ends_with('{')) {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        // Tokio's clock is one that tests turn.
        if turnable && code.contains("Instant::now") {
            continue;
        }
        let word = WORDS.iter().find(|word| {
            word.words.iter().any(|forbidden| code.contains(forbidden)) && !word.places.iter().any(|place| path.starts_with(place))
        });
        if let Some(word) = word {
            breaches
                .push(Breach { place: format!("{}:{}", path.display(), index + 1), rule: format!("`{}`: {}", line.trim(), word.reason) });
        }
    }
    breaches
}

/// The Rust files of every published crate, without tests and benches.
fn crate_sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root)? {
        let directory = entry?;
        let name = directory.file_name();
        if name == "gpve" || name.to_string_lossy().starts_with("gpve-") {
            collect(&directory.path().join("src"), &mut files)?;
        }
    }
    files.sort();
    Ok(files)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result {
    for entry in fs::read_dir(directory).context(directory.display())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
