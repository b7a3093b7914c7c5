//! Waiting longer from one attempt to the next.

use std::time::Duration;

use gpve_core::error::{Error, Retry};

/// Pauses between attempts: they double from [`Backoff::FIRST`] to [`Backoff::LONGEST`], and each is cut by up to half at
/// random, so that clients that failed together do not come back together.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The first pause, before randomness.
    pub const FIRST: Duration = Duration::from_millis(200);
    /// No pause is longer.
    pub const LONGEST: Duration = Duration::from_secs(5);
    /// Attempts at one request, the first included: some six seconds in all.
    pub const ATTEMPTS: u32 = 6;

    /// Whether another attempt is due after `error`.
    pub fn may_retry(&self, error: &Error) -> bool {
        error.retry == Retry::Later && self.attempts + 1 < Self::ATTEMPTS
    }

    /// The next pause; `random` is uniform in 0..1.
    pub fn next_pause(&mut self, random: f64) -> Duration {
        let doubled = Self::FIRST.saturating_mul(1 << self.attempts.min(10));
        self.attempts += 1;
        doubled.min(Self::LONGEST).mul_f64(1.0 - 0.5 * random.clamp(0.0, 1.0))
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.next_pause(rand::random())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_vary() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..7).map(|_| backoff.next_pause(0.0).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next_pause(1.0), Duration::from_millis(100));
    }
}
