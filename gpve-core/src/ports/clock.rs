//! The `Clock` port: the only source of time.

use std::time::Duration;

use async_trait::async_trait;

use crate::types::Timestamp;

/// Time. Tests turn a [`crate::testing::ManualClock`] by hand.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time. May jump; never use differences of it as a timeout.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start that never jumps.
    fn monotonic(&self) -> Duration;

    /// Returns once [`Clock::monotonic`] has reached `at`. Cancel safe.
    async fn sleep_until(&self, at: Duration);
}
