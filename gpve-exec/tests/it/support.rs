use std::path::Path;
use std::time::Duration;

use gpve_exec::{System, Tool, Tools};

pub(crate) const SH: Tool = Tool::new("sh", "dash");
pub(crate) const CAT: Tool = Tool::new("cat", "coreutils");
pub(crate) const ENV: Tool = Tool::new("env", "coreutils");
pub(crate) const SLEEP: Tool = Tool::new("sleep", "coreutils");
/// This test program, run again to play the part that [`ROLE`] names.
pub(crate) const SELF: Tool = Tool::new("self", "none");
pub(crate) const ROLE: &str = "GPVE_EXEC_TEST_ROLE";

/// Far longer than anything here takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn tools() -> Tools {
    Tools::system().with(SELF, std::env::current_exe().unwrap())
}

pub(crate) fn system() -> System {
    System::new(tools())
}

/// What `path` holds, as soon as it ends with a newline.
pub(crate) async fn line_of(path: &Path) -> String {
    until(|| std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))).await.trim().to_owned()
}

/// Asks until there is an answer.
pub(crate) async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let answer = async {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.expect("the awaited state never came")
}
