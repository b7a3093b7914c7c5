use gpve_core::ports::NetworkBackend as _;

use crate::frames::Guest;
use crate::namespace::{card, cx, inside, ip, plug, with_bridge};

#[test]
fn frames_pass_between_two_guests_while_both_links_are_up() {
    inside("host_packets::frames_pass_between_two_guests_while_both_links_are_up", || async {
        let network = with_bridge().await;
        let (one, two) = (card(0), card(1));
        network.attach(&cx(), &one).await.unwrap();
        network.attach(&cx(), &two).await.unwrap();
        let (first, second) = (Guest::open(&one), Guest::open(&two));
        assert!(first.send(&second, b"too early").is_err(), "a link that is down takes no frame");

        network.set_link(&cx(), one.id, true).await.unwrap();
        first.send(&second, b"to one that is down").unwrap();
        network.set_link(&cx(), two.id, true).await.unwrap();
        first.reach(&second);
        second.send(&first, b"back").unwrap();
        assert_eq!(first.receive(), b"back");

        network.set_link(&cx(), two.id, false).await.unwrap();
        first.send(&second, b"lost").unwrap();
        assert!(second.send(&first, b"from below").is_err());
        network.set_link(&cx(), two.id, true).await.unwrap();
        first.reach(&second);
    });
}

#[test]
fn frames_longer_than_the_bridges_mtu_do_not_pass() {
    inside("host_packets::frames_longer_than_the_bridges_mtu_do_not_pass", || async {
        let network = with_bridge().await;
        let (one, two) = (card(0), card(1));
        plug(&network, &one).await;
        plug(&network, &two).await;
        let (first, second) = (Guest::open(&one), Guest::open(&two));
        first.reach(&second);
        for (len, passes) in [(1500, true), (1600, false), (9000, false)] {
            first.send(&second, &vec![7; len]).unwrap();
            first.send(&second, b"after").unwrap();
            if passes {
                assert_eq!(second.receive().len(), len);
            }
            assert_eq!(second.receive(), b"after", "a frame of {len} bytes came through");
        }
    });
}

#[test]
fn a_bridge_of_jumbo_frames_passes_them_to_its_ports() {
    inside("host_packets::a_bridge_of_jumbo_frames_passes_them_to_its_ports", || async {
        let network = with_bridge().await;
        ip("link set vmbr0 mtu 9000");
        let (one, two) = (card(0), card(1));
        assert_eq!(network.attach(&cx(), &one).await.unwrap().into_inner().mtu.unwrap().get(), 9000);
        plug(&network, &one).await;
        plug(&network, &two).await;
        let (first, second) = (Guest::open(&one), Guest::open(&two));
        first.reach(&second);
        first.send(&second, &[7; 9000]).unwrap();
        assert_eq!(second.receive().len(), 9000);
    });
}
