//! The life of a guest as pure functions: what may be asked when, and what follows from it.
//!
//! [`Machine::admit`] decides whether a request may begin in a phase; [`Machine::step`] says which phase follows from
//! what happened. Both are total and know no clock, process or store: the node's engine performs the effects and feeds
//! the results back. Observation beats record: what a process does counts more than what was written down of it.
//!
//! ```
//! use gpve_core::lifecycle::vm::{Context, Input, Phase, Request, Vm};
//! use gpve_core::lifecycle::{Admission, Machine};
//! let context = Context { vmid: "100".parse()?, template: false, protected: false };
//! assert_eq!(Vm::admit(&Phase::Stopped, &context, Request::Start), Admission::Proceed);
//! let (starting, _) = Vm::step(Phase::Stopped, Input::Begin(Request::Start));
//! let (running, _) = Vm::step(starting, Input::Done(Request::Start));
//! assert_eq!(running, Phase::Running);
//! let again = Vm::admit(&running, &context, Request::Start);
//! assert!(matches!(again, Admission::Deny(d) if d.to_string() == "VM 100 already running"));
//! # Ok::<(), gpve_core::types::TextError>(())
//! ```

mod machine;
pub mod view;
pub mod vm;

pub use machine::{Admission, Machine};
