//! The Python package `gpve`. Each object is one Rust value with two faces: `await vm.start()` and `vm.start_sync()`.
//!
//! # Invariants
//! - Both faces of an operation are made by [`faces`] from one piece of [`Work`](work::Work): they cannot drift apart.
//! - No thread of ours touches Python after the interpreter's `atexit`: the runtime is stopped there.
//! - Python's lock is never held while waiting.

mod client;
mod console;
mod errors;
mod job;
mod json;
mod machine;
mod machines;
mod node;
mod pending;
mod runtime;
mod storage;
mod watch;
mod work;

use pyo3::prelude::*;

/// Writes a class's methods: those under `both` twice, as a coroutine and as its blocking twin, and those under `plain` as they are.
macro_rules! faces {
    (impl $class:ident {
        both { $( $(#[$meta:meta])* fn $name:ident / $sync:ident ( &$me:ident $(, $($args:tt)*)? ) { $($work:tt)* } )* }
        plain { $($plain:tt)* }
    }) => {
        #[pyo3::pymethods]
        impl $class {
            $(
                $(#[$meta])*
                #[allow(clippy::too_many_arguments, reason = "most are keywords with defaults")]
                fn $name(&$me $(, $($args)*)?) -> pyo3::PyResult<$crate::pending::Pending> {
                    let work = || -> pyo3::PyResult<$crate::work::Work> { $($work)* };
                    Ok($crate::pending::Pending::new(stringify!($name), work()?))
                }

                $(#[$meta])*
                #[allow(clippy::too_many_arguments, reason = "most are keywords with defaults")]
                fn $sync(&$me, py: pyo3::Python<'_> $(, $($args)*)?) -> pyo3::PyResult<pyo3::Py<pyo3::PyAny>> {
                    let work = || -> pyo3::PyResult<$crate::work::Work> { $($work)* };
                    work()?.block(py)
                }
            )*
            $($plain)*
        }
    };
}
pub(crate) use faces;

/// The version of this package and of the library in it.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The compiled half of the package.
#[pymodule]
mod _gpve {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::client::Client;
    #[pymodule_export]
    use super::console::Console;
    #[pymodule_export]
    use super::job::{Job, Progress};
    #[pymodule_export]
    use super::machine::VirtualMachine;
    #[pymodule_export]
    use super::machines::VirtualMachines;
    #[pymodule_export]
    use super::node::Node;
    #[pymodule_export]
    use super::pending::Pending;
    #[pymodule_export]
    use super::storage::Storage;
    #[pymodule_export]
    use super::version;
    #[pymodule_export]
    use super::watch::{Watch, WatchEvent};

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        let stop = pyo3::wrap_pyfunction!(super::runtime::stop, m)?;
        m.py().import("atexit")?.call_method1("register", (stop,)).map(drop)
    }
}
