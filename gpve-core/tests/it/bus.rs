//! Events inside one process.

use gpve_core::bus::Bus;
use gpve_core::ports::{Event, EventFilter, EventKind, Events, Received};
use gpve_core::types::Timestamp;

fn event(n: u64) -> Event {
    let vmid = u32::try_from(100 + n % 2).unwrap().try_into().unwrap();
    Event {
        time: Timestamp::from_millis(n),
        kind: EventKind::GuestPhaseChanged,
        node: "pve1".parse().unwrap(),
        vmid: Some(vmid),
        details: [("n".to_owned(), n.to_string())].into(),
    }
}

#[tokio::test]
async fn a_subscriber_gets_what_is_published_after_it_came_in_order() {
    let bus = Bus::new();
    bus.publish(event(0));
    let mut subscriber = bus.subscribe(EventFilter::default());
    for n in 1..=3 {
        bus.publish(event(n));
    }
    drop(bus);
    for n in 1..=3 {
        assert_eq!(subscriber.next().await, Some(Received::Event(event(n))));
    }
    assert_eq!(subscriber.next().await, None, "the bus is closed");
}

#[tokio::test]
async fn a_filter_passes_only_its_guest_and_kinds() {
    let bus = Bus::new();
    let mut odd = bus.subscribe(EventFilter { kinds: vec![EventKind::GuestPhaseChanged], vmid: event(1).vmid });
    let mut other = bus.subscribe(EventFilter { kinds: vec![EventKind::TaskEnded], vmid: None });
    for n in 0..4 {
        bus.publish(event(n));
    }
    drop(bus);
    assert_eq!(odd.next().await, Some(Received::Event(event(1))));
    assert_eq!(odd.next().await, Some(Received::Event(event(3))));
    assert_eq!(odd.next().await, None);
    assert_eq!(other.next().await, None);
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_is_told_how_many_it_missed_and_then_goes_on() {
    let bus = Bus::new();
    let mut slow = bus.subscribe(EventFilter::default());
    let too_many = Bus::CAPACITY as u64 + 10;
    for n in 0..too_many {
        bus.publish(event(n));
    }
    assert_eq!(slow.next().await, Some(Received::Lagged(10)));
    for n in 10..too_many {
        assert_eq!(slow.next().await, Some(Received::Event(event(n))));
    }
}

#[tokio::test]
async fn waiting_for_an_event_may_be_given_up_without_losing_one() {
    let bus = Bus::new();
    let mut subscriber = bus.subscribe(EventFilter::default());
    tokio::select! {
        biased;
        got = subscriber.next() => panic!("nothing was published, got {got:?}"),
        () = std::future::ready(()) => {}
    }
    bus.publish(event(7));
    assert_eq!(subscriber.next().await, Some(Received::Event(event(7))));
}
