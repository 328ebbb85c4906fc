//! What is found when somebody lies, or when the host itself is at odds.

use std::time::Duration;

use podwall_compiler::Attachment;
use podwall_ruleset::HardwareAddress;

use super::links::{Link, Update};
use super::testing::{Scene, closed, port, routed, veth};

/// A pod on port 5 that gave itself the address of another, on port 6.
fn liar_and_victim() -> Scene {
    let mut scene = Scene::new();
    scene.add_port(5, "veth5");
    scene.add_port(6, "veth6");
    scene.inside(5, &["10.0.0.5", "10.0.0.6"]);
    scene.inside(6, &["10.0.0.6"]);
    scene
}

#[test]
fn a_known_pod_cannot_take_anothers_address() {
    let mut scene = liar_and_victim();
    scene.pod("liar", &["10.0.0.5"]);
    scene.pod("victim", &["10.0.0.6"]);
    assert_eq!((scene.attachment("liar"), scene.attachment("victim")), (port("veth5", 5), port("veth6", 6)));
    assert_eq!(scene.closed(), closed(&[], &[]));
}

#[test]
fn an_unknown_pod_can_close_and_not_take() {
    let mut scene = liar_and_victim();
    scene.pod("victim", &["10.0.0.6"]);
    assert_eq!(scene.attachment("victim"), None);
    assert!(
        scene.problems()[0].contains(r#"several interfaces: "veth5", "veth6""#),
        "{:?}",
        scene.problems()
    );
    assert_eq!(scene.closed(), closed(&["veth5", "veth6"], &[]));
    scene.pod("liar", &["10.0.0.5"]);
    assert_eq!((scene.attachment("liar"), scene.attachment("victim")), (port("veth5", 5), port("veth6", 6)));
    assert_eq!((scene.closed(), scene.problems()), (closed(&[], &[]), vec![]));
}

#[test]
fn a_bound_address_does_not_move_by_what_a_far_side_says() {
    let mut scene = Scene::new();
    scene.add_port(6, "veth6");
    scene.inside(6, &["10.0.0.6"]);
    scene.pod("victim", &["10.0.0.6"]);
    scene.add_port(5, "veth5");
    scene.inside(5, &["10.0.0.6"]);
    scene.inside(6, &[]);
    scene.pod("other", &["10.0.0.7"]);
    scene.wait(Duration::from_secs(1));
    assert_eq!(scene.attachment("victim"), port("veth6", 6));
    // Not even when the victim is gone and a pod with its address comes, as long as its interface is there.
    scene.remove("victim");
    scene.pod("next", &["10.0.0.6"]);
    assert_eq!(scene.attachment("next"), None);
    assert!(scene.problems().iter().any(|it| it.contains(r#"10.0.0.6 is bound to interface "veth6""#)));
    scene.delete_link(6);
    assert_eq!(scene.attachment("next"), port("veth5", 5));
}

/// All far sides are looked at after the pod is known: what was seen before does not count.
#[test]
fn an_old_look_does_not_count() {
    let mut scene = liar_and_victim();
    scene.inside(6, &[]);
    scene.pod("waiting", &["10.0.0.9"]);
    scene.inside(6, &["10.0.0.6"]);
    scene.pod("victim", &["10.0.0.6"]);
    assert_eq!(scene.attachment("victim"), None, "two claim it by now");
    scene.inside(5, &["10.0.0.5"]);
    scene.wait(Duration::from_secs(1));
    assert_eq!(scene.attachment("victim"), port("veth6", 6));
}

#[test]
fn a_round_counts_when_all_of_it_is_answered() {
    let mut scene = liar_and_victim();
    scene.finder.set_pod(
        super::testing::key("victim"),
        super::finder::LocalPod {
            uid: "1".into(),
            addresses: vec!["10.0.0.6".parse().unwrap()],
            started: "".into(),
        },
    );
    scene.finder.update(&mut scene.links, scene.now);
    let looks = scene.finder.take_looks();
    assert_eq!(looks.len(), 2);
    let lie =
        super::links::Inside { addresses: ["10.0.0.6".parse().unwrap()].into(), hardware_address: None };
    scene.links.apply(Update::Inside(looks[0], Some(lie.clone())));
    scene.finder.update(&mut scene.links, scene.now);
    assert_eq!(scene.finder.take_changes(), [], "the other has not been looked at");
    assert_eq!(scene.finder.next_at(), Some(scene.now + Duration::from_secs(10)), "no retry meanwhile");
    scene.links.apply(Update::Inside(looks[1], Some(lie)));
    scene.finder.update(&mut scene.links, scene.now);
    assert_eq!(scene.finder.take_changes(), []);
    assert_eq!(scene.problems().len(), 1);
}

#[test]
fn families_that_disagree_give_nothing() {
    let mut scene = Scene::new();
    scene.add_port(5, "veth5");
    scene.add_port(6, "veth6");
    scene.inside(5, &["10.0.0.5"]);
    scene.inside(6, &["fd00::5"]);
    scene.pod("a", &["10.0.0.5", "fd00::5"]);
    assert_eq!((scene.attachment("a"), scene.closed()), (None, closed(&["veth5", "veth6"], &[])));
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.add_veth(6, "veth6");
    scene.route("10.0.0.5", 5);
    scene.pod("a", &["10.0.0.5", "fd00::5"]);
    assert_eq!(scene.attachment("a"), routed("veth5"));
    scene.route("fd00::5", 6);
    scene.settle();
    assert_eq!(scene.attachment("a"), routed("veth5"), "the first binding is kept");
    assert_eq!(scene.closed(), closed(&["veth6"], &[]));
    assert_eq!(scene.problems().len(), 1);
}

#[test]
fn routes_win_over_far_sides() {
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.add_veth(6, "veth6");
    scene.inside(5, &["10.0.0.6"]);
    scene.pod("a", &["10.0.0.6"]);
    assert_eq!(scene.attachment("a"), routed("veth5"));
    scene.route("10.0.0.6", 6);
    scene.settle();
    assert_eq!((scene.attachment("a"), scene.closed()), (routed("veth6"), closed(&["veth5"], &[])));
}

#[test]
fn an_interface_goes_to_the_pod_whose_address_is_routed_to_it() {
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.inside(5, &["10.0.0.5", "10.0.0.6"]);
    scene.pod("wrong", &["10.0.0.6"]);
    assert_eq!(scene.attachment("wrong"), routed("veth5"));
    scene.route("10.0.0.5", 5);
    scene.pod("right", &["10.0.0.5"]);
    assert_eq!((scene.attachment("right"), scene.attachment("wrong")), (routed("veth5"), None));
}

#[test]
fn two_pods_that_are_routed_to_one_interface_close_it() {
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.route("10.0.0.5", 5);
    scene.route("10.0.0.6", 5);
    scene.pod("a", &["10.0.0.5"]);
    scene.pod("b", &["10.0.0.6"]);
    assert_eq!((scene.attachment("a"), scene.attachment("b")), (routed("veth5"), None));
    assert_eq!(scene.closed(), closed(&["veth5"], &[]));
    assert!(scene.problems()[0].contains("that of pod default/a"), "{:?}", scene.problems());
    scene.unroute("10.0.0.6", 5);
    scene.settle();
    assert_eq!(scene.closed(), closed(&[], &[]));
}

#[test]
fn a_hardware_address_is_kept_as_it_was_when_the_port_was_found() {
    let mut scene = liar_and_victim();
    scene.pod("liar", &["10.0.0.5"]);
    scene.hardware_inside(5, HardwareAddress([2, 0, 0, 0, 0, 6]));
    scene.links.apply(Update::Link(5, Link { master: Some(1), up: false, ..veth("veth5") }));
    scene.pod("liar", &["10.0.0.5", "fd00::5"]);
    assert_eq!(scene.attachment("liar"), port("veth5", 5));
}

#[test]
fn a_hardware_address_that_was_anothers_closes_the_port() {
    for taken in [[2, 0, 0, 0, 0, 6], [9; 6]] {
        let mut scene = liar_and_victim();
        scene.inside(5, &["10.0.0.5"]);
        scene.hardware_inside(5, HardwareAddress(taken));
        scene.pod("victim", &["10.0.0.6"]);
        scene.pod("liar", &["10.0.0.5"]);
        assert_eq!(scene.attachment("victim"), port("veth6", 6));
        let Some(Attachment::Bridged { hardware_address, .. }) = scene.attachment("liar") else {
            panic!("a port")
        };
        assert_eq!(hardware_address, Some(HardwareAddress([0; 6])), "no frame comes from it");
        assert!(scene.problems()[0].contains("is that of the bridge or of another port"));
    }
}

/// A thousand events of links that are nobody's, while one pod waits, must not mean a thousand rounds.
#[test]
fn a_storm_of_links_is_looked_at_in_rounds() {
    let mut scene = Scene::new();
    scene.pod("a", &["10.0.0.5"]);
    for index in 10..1010 {
        scene.add_veth(index, &format!("veth{index}"));
    }
    scene.settle();
    assert_eq!(scene.looked, 1000);
    scene.links.apply(Update::Link(10, Link { up: false, ..veth("veth10") }));
    scene.settle();
    assert_eq!(scene.looked, 2000);
}
