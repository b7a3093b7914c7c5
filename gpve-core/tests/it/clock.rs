//! The two clocks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gpve_core::clock::SystemClock;
use gpve_core::ports::Clock;
use gpve_core::testing::ManualClock;
use gpve_core::types::Timestamp;

const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test]
async fn sleepers_wake_in_order_each_at_its_time() {
    let clock = ManualClock::at(Timestamp::from_secs(1000));
    let woken = Arc::new(Mutex::new(Vec::new()));
    for (name, at) in [("c", 30), ("a", 10), ("b", 10)] {
        let (clock, woken) = (clock.clone(), woken.clone());
        tokio::spawn(async move {
            clock.sleep_until(s(at)).await;
            woken.lock().unwrap().push((name, clock.now().secs()));
        });
    }
    tokio::task::yield_now().await;
    assert_eq!(clock.sleepers(), 3);
    clock.advance(s(9)).await;
    assert!(woken.lock().unwrap().is_empty());
    clock.advance(s(30)).await;
    assert_eq!(*woken.lock().unwrap(), [("a", 1010), ("b", 1010), ("c", 1030)]);
    assert_eq!((clock.monotonic(), clock.now()), (s(39), Timestamp::from_secs(1039)));
}

#[tokio::test]
async fn a_sleeper_that_sleeps_again_while_the_clock_is_turned_wakes_every_time() {
    let clock = ManualClock::default();
    let ticks = Arc::new(Mutex::new(0));
    let task = tokio::spawn({
        let (clock, ticks) = (clock.clone(), ticks.clone());
        async move {
            loop {
                clock.sleep_until(clock.monotonic() + s(10)).await;
                *ticks.lock().unwrap() += 1;
            }
        }
    });
    tokio::task::yield_now().await;
    clock.advance(s(95)).await;
    assert_eq!(*ticks.lock().unwrap(), 9);
    assert!(clock.advance_to_next().await);
    assert_eq!((*ticks.lock().unwrap(), clock.monotonic()), (10, s(100)));
    task.abort();
}

#[tokio::test]
async fn a_time_that_has_come_is_not_slept_for_and_a_dropped_sleep_is_forgotten() {
    let clock = ManualClock::default();
    clock.sleep_until(s(0)).await;
    {
        let sleep = clock.sleep_until(s(5));
        tokio::select! { biased; () = sleep => panic!("the clock stands still"), () = std::future::ready(()) => {} }
    }
    assert_eq!(clock.sleepers(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_system_clock_sleeps_and_shows_a_time_of_this_century() {
    let clock = SystemClock::new();
    assert!(clock.now() > Timestamp::from_secs(1_700_000_000));
    clock.sleep_until(s(5)).await;
    assert_eq!(clock.monotonic(), s(5));
}
