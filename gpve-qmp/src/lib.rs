//! QEMU for gpve: QMP client, typed argument builder, launch, adoption and live control.
//!
//! # Map
//! - [`protocol`]: QMP and the guest agent: framing, connections, events, capabilities.
//! - [`qemu`]: the command line, and the driver that launches, adopts and controls guests.
//! - `testing`, a feature: a scripted QEMU peer.
//!
//! # Invariants
//! - A dropped future leaves its connection usable; a command is never sent by halves and never sent twice.
//! - An event or field of a later QEMU is passed on or passed over, never an error.
//! - What a QEMU can do is asked of its schema; versions are only shown.
//! - No value from outside becomes a switch, a key or a second value of QEMU's command line.
//! - A guest's QEMU gets the descriptors named for it and no others, and no path that it could open by itself is needed
//!   for its disks. A failed or dropped launch leaves nothing behind.
//! - A process is adopted only if its number, start time, boot and command line are those of the guest.
//!
//! # Example
//! ```no_run
//! use gpve_qmp::protocol::client::{Options, QmpClient};
//! use qapi::qmp;
//!
//! # async fn example() -> Result<(), gpve_qmp::protocol::error::QmpError> {
//! let client = QmpClient::connect("/run/vm.qmp".as_ref(), Options::default()).await?;
//! let mut events = client.subscribe();
//! let status = client.execute(&qmp::query_status {}).await?;
//! println!("{:?}", status.status);
//! client.execute(&qmp::system_powerdown {}).await?;
//! events.wait_for("SHUTDOWN").await;
//! # Ok(())
//! # }
//! ```

pub mod fuzz;
pub mod protocol;
pub mod qemu;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

/// The README's program, which tests compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
