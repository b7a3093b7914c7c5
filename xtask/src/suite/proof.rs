use std::fs;
use std::path::PathBuf;

use super::python::Environment;
use super::{Suite, follow};
use crate::failure::Result;
use crate::place;
use crate::program::{Program, say};
use crate::tally::Tally;

/// Proofs beside what they test: the Debian package, the container files.
const OF_DEPLOYMENT: &[&str] = &["deploy/debian/test/lifecycle.py", "deploy/docker/test/images.py"];

/// Runs the proofs: programs under `proof/` that use the built server as a stranger would, each in a language of its own.
///
/// A proof is an executable file or a Python file directly under `proof/`, its name not starting with `_`. It finds the server's program
/// in `GPVE_BIN`, the guest image's directory in `GPVE_GUEST`, prints `PASS name`, `FAIL name: why` or `SKIP name: why` per step, and
/// ends with 0 if nothing failed. Those of [`OF_DEPLOYMENT`] are proofs too. Python proofs run in an environment with the packages of `proof/requirements.txt`.
pub(super) fn run(suite: &Suite, tally: &mut Tally) -> Result {
    let proofs = proofs()?;
    if proofs.is_empty() {
        tally.skip("proofs", "there is nothing under proof/");
        return Ok(());
    }
    suite.cargo(&["build", "--quiet", "--package", "gpve-daemon"]).run()?;
    let program = suite.target.join("debug/gpve");
    for proof in proofs {
        let name = proof.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        say(format!("proof {name}"));
        let is_python = proof.extension().is_some_and(|extension| extension == "py");
        let run = if is_python { Program::new(python()?).arg("-u").arg(&proof) } else { Program::new(&proof) };
        let failed_before = tally.failed;
        let run = suite.prepare(run).env("GPVE_BIN", &program).directory(place::root());
        let passed = follow(run, "proofs", |line| tally.read_proof_line(line))?;
        if !passed && tally.failed == failed_before {
            tally.fail(&format!("proof {name} did not run to its end"));
        }
    }
    Ok(())
}

fn proofs() -> Result<Vec<PathBuf>> {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(entries) = fs::read_dir(place::root().join("proof")) else { return Ok(Vec::new()) };
    let mut proofs: Vec<PathBuf> = OF_DEPLOYMENT.iter().map(|path| place::root().join(path)).collect();
    for entry in entries {
        let entry = entry?;
        let (path, metadata) = (entry.path(), entry.metadata()?);
        let is_python = path.extension().is_some_and(|extension| extension == "py");
        let is_program = metadata.permissions().mode() & 0o111 != 0;
        if metadata.is_file() && (is_python || is_program) && !entry.file_name().to_string_lossy().starts_with('_') {
            proofs.push(path);
        }
    }
    proofs.sort();
    Ok(proofs)
}

/// A Python with the packages of `proof/requirements.txt`; proofs that need more than there is skip themselves.
fn python() -> Result<PathBuf> {
    let environment = Environment::of("python", &place::root().join("proof/requirements.txt"))?;
    if let Err(why) = environment.complete {
        say(format!("some proofs are skipped: {why}"));
    }
    Ok(environment.python)
}
