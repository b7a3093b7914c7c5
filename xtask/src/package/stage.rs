use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::VERSION;
use crate::failure::{Context as _, Failure, Result};
use crate::place;
use crate::program::Program;

/// Files of the clone, where they go, and their mode.
const FILES: &[(&str, &str, u32)] = &[
    ("deploy/etc/server.yaml", "etc/gpve/server.yaml", 0o644),
    ("deploy/systemd/gpve-server.service", "usr/lib/systemd/system/gpve-server.service", 0o644),
    ("deploy/systemd/gpve-agent.service", "usr/lib/systemd/system/gpve-agent.service", 0o644),
    ("deploy/systemd/gpve.sysusers", "usr/lib/sysusers.d/gpve.conf", 0o644),
    ("deploy/systemd/gpve.tmpfiles", "usr/lib/tmpfiles.d/gpve.conf", 0o644),
    ("deploy/debian/copyright", "usr/share/doc/gpve/copyright", 0o644),
    ("CHANGELOG.md", "usr/share/doc/gpve/changelog", 0o644),
    ("LICENSE", "usr/share/doc/gpve/LICENSE", 0o644),
    ("README.md", "usr/share/doc/gpve/README.md", 0o644),
];

/// What dpkg runs and reads, in its own directory.
const CONTROL: &[(&str, u32)] = &[("conffiles", 0o644), ("postinst", 0o755), ("prerm", 0o755), ("postrm", 0o755)];

/// Where each shell looks for completions.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions"),
    ("zsh", "usr/share/zsh/vendor-completions"),
    ("fish", "usr/share/fish/vendor_completions.d"),
];

/// The tree of files as it will be on the host.
pub(super) struct Stage {
    root: PathBuf,
    program: PathBuf,
}

impl Stage {
    /// Makes it anew at `root` around the built `program`.
    pub(super) fn new(root: &Path, program: &Path) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(root).context(root.display())?;
        }
        let stage = Self { root: root.to_owned(), program: program.to_owned() };
        stage.put(program, "usr/bin/gpve", 0o755)?;
        for name in ["gpve-server", "gpve-agent", "gpvectl"] {
            symlink("gpve", stage.root.join("usr/bin").join(name))?;
        }
        for (from, to, mode) in FILES {
            stage.put(&place::root().join(from), to, *mode)?;
        }
        super::materials(&stage.root.join("usr/share/doc/gpve/sbom.cdx.json"))?;
        stage.manual()?;
        // Policy: what is long is packed, without a time in it.
        Program::new("gzip").args(["-9n"]).arg(stage.root.join("usr/share/doc/gpve/changelog")).quiet()?;
        Ok(stage)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Adds dpkg's own files.
    pub(super) fn control(&self) -> Result {
        for (name, mode) in CONTROL {
            self.put(&place::root().join("deploy/debian").join(name), &format!("DEBIAN/{name}"), *mode)?;
        }
        let kib = Program::new("du").args(["-sk", "--apparent-size"]).arg(&self.root).read()?;
        let template = fs::read_to_string(place::root().join("deploy/debian/control"))?;
        let control = template
            .replace("@version@", VERSION)
            .replace("@installed-size@", kib.split_whitespace().next().unwrap_or("0"))
            .replace("@libc@", &libc_version(&fs::read(&self.program)?)?);
        fs::write(self.root.join("DEBIAN/control"), control)?;
        Ok(())
    }

    /// Manual pages and completions, which the program writes itself.
    fn manual(&self) -> Result {
        let made = self.root.with_extension("manual");
        Program::new(&self.program).arg("manual").arg(&made).quiet()?;
        for section in ["man1", "man8"] {
            for page in files(&made.join("man").join(section))? {
                let to = format!("usr/share/man/{section}/{}", name(&page));
                self.put(&page, &to, 0o644)?;
                Program::new("gzip").args(["-9n"]).arg(self.root.join(to)).quiet()?;
            }
        }
        for (shell, to) in COMPLETIONS {
            for file in files(&made.join("completions").join(shell))? {
                self.put(&file, &format!("{to}/{}", name(&file)), 0o644)?;
            }
        }
        fs::remove_dir_all(&made).context(made.display())
    }

    fn put(&self, from: &Path, to: &str, mode: u32) -> Result {
        let to = self.root.join(to);
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory).context(directory.display())?;
        }
        fs::copy(from, &to).context(from.display())?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).context(to.display())
    }
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).context(directory.display())? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The oldest C library that has every symbol that the program asks for: the highest `GLIBC_2.N` in it.
fn libc_version(program: &[u8]) -> Result<String> {
    const MARK: &[u8] = b"GLIBC_2.";
    let minors = program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK).filter_map(|(at, _)| {
        let digits: String = program[at + MARK.len()..].iter().take_while(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
        digits.parse::<u32>().ok()
    });
    minors.max().map(|minor| format!("2.{minor}")).ok_or_else(|| Failure::new("the program names no version of the C library"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_decides_which_c_library_is_needed() {
        assert_eq!(libc_version(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0").unwrap(), "2.34");
        assert!(libc_version(b"static").is_err());
    }

    #[test]
    fn every_file_of_the_package_is_in_the_clone() {
        let control = CONTROL.iter().map(|(name, _)| format!("deploy/debian/{name}"));
        for file in FILES.iter().map(|(from, ..)| (*from).to_owned()).chain(control) {
            assert!(place::root().join(&file).is_file(), "{file}");
        }
    }

    #[test]
    fn every_file_that_an_image_copies_is_in_the_clone() {
        let dockerfile = fs::read_to_string(place::root().join("deploy/docker/Dockerfile")).unwrap();
        let copies = dockerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from="));
        let sources: Vec<&str> = copies.filter_map(|line| line.split_whitespace().skip(1).find(|word| !word.starts_with("--"))).collect();
        assert!(sources.len() >= 3, "{sources:?}");
        for source in sources {
            assert!(place::root().join(source).exists(), "{source}");
        }
    }
}
