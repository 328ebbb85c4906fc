//! What is found, kept, moved and left behind when nobody lies.

use std::time::Duration;

use super::links::{Link, LinkKind, Update};
use super::testing::{Scene, address, closed, hardware, port, routed, veth};

#[test]
fn a_route_tells_at_once() {
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.route("10.0.0.5", 5);
    scene.route("fd00::5", 5);
    scene.pod("a", &["10.0.0.5", "fd00::5"]);
    assert_eq!(scene.attachment("a"), routed("veth5"));
    assert_eq!(scene.looked, 0, "nobody had to look");
    assert_eq!((scene.closed(), scene.problems()), (closed(&[], &[]), vec![]));
    assert_eq!(scene.finder.next_at(), None);
}

#[test]
fn a_route_may_come_after_the_pod_and_before_the_link() {
    let mut scene = Scene::new();
    scene.pod("a", &["10.0.0.5"]);
    scene.route("10.0.0.5", 5);
    scene.settle();
    assert_eq!(scene.attachment("a"), None);
    scene.add_veth(5, "veth5");
    scene.settle();
    assert_eq!(scene.attachment("a"), routed("veth5"));
}

#[test]
fn routes_to_what_is_no_pods_tell_nothing() {
    let mut scene = Scene::new();
    scene.links.apply(Update::Link(2, hardware("eth0")));
    scene.add_port(5, "veth5");
    scene.route("10.0.0.5", 1);
    scene.route("10.0.0.6", 2);
    scene.inside(5, &["10.0.0.5"]);
    scene.pod("a", &["10.0.0.5"]);
    scene.pod("b", &["10.0.0.6"]);
    assert_eq!((scene.attachment("a"), scene.attachment("b")), (port("veth5", 5), None));
}

#[test]
fn a_far_side_tells_which_port() {
    let mut scene = Scene::new();
    scene.add_port(5, "veth5");
    scene.add_port(6, "veth6");
    scene.inside(5, &["10.0.0.5", "fe80::5"]);
    scene.pod("a", &["10.0.0.5"]);
    assert_eq!(scene.attachment("a"), port("veth5", 5));
    assert_eq!(scene.looked, 2);
    scene.pod("no-address-yet", &[]);
    assert_eq!(scene.looked, 2, "nobody waits");
}

#[test]
fn a_far_side_is_looked_at_again_until_it_is_ready() {
    let mut scene = Scene::new();
    scene.pod("a", &["10.0.0.5"]);
    scene.add_port(5, "veth5");
    scene.settle();
    assert_eq!(scene.attachment("a"), None);
    scene.inside(5, &["10.0.0.5"]);
    scene.wait(Duration::from_millis(25));
    assert_eq!(scene.attachment("a"), port("veth5", 5));
    assert_eq!(scene.finder.next_at(), None, "nothing is waited for");
}

#[test]
fn a_pod_without_a_veth_is_a_problem_after_a_while_and_once() {
    let mut scene = Scene::new();
    scene.pod("a", &["10.0.0.5"]);
    scene.wait(Duration::from_secs(9));
    assert_eq!(scene.problems(), Vec::<String>::new());
    scene.wait(Duration::from_secs(2));
    let problems = scene.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("Pod default/a: no interface"), "{problems:?}");
    scene.wait(Duration::from_secs(60));
    assert_eq!(scene.problems(), problems);
    scene.add_veth(5, "veth5");
    scene.route("10.0.0.5", 5);
    scene.settle();
    assert_eq!(scene.problems(), Vec::<String>::new());
}

#[test]
fn a_deleted_link_ends_what_was_found_and_its_index_may_be_used_again() {
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.route("10.0.0.5", 5);
    scene.pod("a", &["10.0.0.5"]);
    scene.links.apply(Update::LinkGone(5));
    scene.links.apply(Update::Link(5, veth("veth-other")));
    scene.settle();
    assert_eq!(scene.attachment("a"), None);
    scene.route("10.0.0.6", 5);
    scene.pod("b", &["10.0.0.6"]);
    assert_eq!(scene.attachment("b"), routed("veth-other"));
}

#[test]
fn names_follow_the_link() {
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.route("10.0.0.5", 5);
    scene.pod("a", &["10.0.0.5"]);
    scene.links.apply(Update::Link(5, veth("renamed")));
    scene.settle();
    assert_eq!(scene.attachment("a"), routed("renamed"));
    scene.links.apply(Update::Link(5, veth("ve\"th")));
    scene.settle();
    assert_eq!(scene.attachment("a"), None);
    assert!(scene.problems()[0].contains(r#"called "ve\"th""#), "{:?}", scene.problems());
    scene.links.apply(Update::Link(5, veth("veth5")));
    scene.settle();
    assert_eq!((scene.attachment("a"), scene.problems()), (routed("veth5"), vec![]));
}

#[test]
fn a_port_may_be_found_before_its_bridge_is() {
    let mut scene = Scene::new();
    scene.links.apply(Update::Link(5, Link { master: Some(1), ..veth("veth5") }));
    scene.inside(5, &["10.0.0.5"]);
    scene.pod("a", &["10.0.0.5"]);
    scene.links.apply(Update::Link(1, Link { kind: LinkKind::Bridge, ..hardware("cni0") }));
    scene.settle();
    assert_eq!(scene.attachment("a"), port("veth5", 5));
    scene.links.apply(Update::Link(1, hardware("bond0")));
    scene.links.apply(Update::Link(5, Link { master: Some(1), ..veth("veth5b") }));
    scene.settle();
    assert_eq!(scene.attachment("a"), None, "not a bridge");
    assert!(scene.problems()[0].contains(r#"part of "bond0""#));
}

#[test]
fn what_a_pod_leaves_behind_is_closed_until_it_is_gone() {
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.route("10.0.0.5", 5);
    scene.pod("a", &["10.0.0.5"]);
    scene.add_port(6, "veth6");
    scene.inside(6, &["10.0.0.6"]);
    scene.pod("b", &["10.0.0.6"]);
    scene.remove("a");
    scene.remove("b");
    assert_eq!(scene.attachment("a"), None);
    assert_eq!(scene.closed(), closed(&["veth5"], &["10.0.0.6"]));
    scene.delete_link(5);
    assert_eq!(scene.closed(), closed(&[], &["10.0.0.6"]));
    scene.pod("c", &["10.0.0.6"]);
    assert_eq!(scene.closed(), closed(&[], &[]), "the address is another's (S84)");
    scene.remove("c");
    scene.delete_link(6);
    assert_eq!(scene.closed(), closed(&[], &[]));
}

#[test]
fn what_is_left_behind_ends_when_another_pod_has_it() {
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.route("10.0.0.5", 5);
    scene.pod("a", &["10.0.0.5"]);
    scene.remove("a");
    scene.pod("b", &["10.0.0.5"]);
    assert_eq!((scene.attachment("b"), scene.closed()), (routed("veth5"), closed(&[], &[])));
}

#[test]
fn another_uid_is_another_pod() {
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.route("10.0.0.5", 5);
    scene.pod_of("a", "1", "1", &["10.0.0.5"]);
    // Made again under the same name, while the containers of the first run on.
    scene.pod_of("a", "2", "2", &[]);
    assert_eq!((scene.attachment("a"), scene.closed()), (None, closed(&["veth5"], &[])));
    scene.add_veth(6, "veth6");
    scene.route("10.0.0.6", 6);
    scene.pod_of("a", "2", "2", &["10.0.0.6"]);
    assert_eq!((scene.attachment("a"), scene.closed()), (routed("veth6"), closed(&["veth5"], &[])));
    scene.delete_link(5);
    assert_eq!(scene.closed(), closed(&[], &[]));
}

#[test]
fn the_mirror_of_a_static_pod_finds_its_port_again() {
    let mut scene = Scene::new();
    scene.add_port(5, "veth5");
    scene.inside(5, &["10.0.0.5"]);
    scene.pod_of("a", "1", "1", &["10.0.0.5"]);
    scene.pod_of("a", "2", "1", &["10.0.0.5"]);
    assert_eq!((scene.attachment("a"), scene.closed()), (port("veth5", 5), closed(&[], &[])));
}

#[test]
fn a_second_address_stays_with_the_first() {
    let mut scene = Scene::new();
    scene.add_port(5, "veth5");
    scene.inside(5, &["10.0.0.5", "fd00::5"]);
    scene.pod("a", &["10.0.0.5"]);
    scene.pod("a", &["10.0.0.5", "fd00::5"]);
    assert_eq!(scene.attachment("a"), port("veth5", 5));
    scene.remove("a");
    assert_eq!(scene.closed(), closed(&[], &["10.0.0.5", "fd00::5"]));
}

#[test]
fn a_pod_with_all_new_addresses_is_looked_for_again() {
    let mut scene = Scene::new();
    scene.add_port(5, "veth5");
    scene.inside(5, &["10.0.0.5"]);
    scene.pod("a", &["10.0.0.5"]);
    // Its sandbox was made again.
    scene.add_port(6, "veth6");
    scene.inside(6, &["10.0.0.6"]);
    scene.pod("a", &["10.0.0.6"]);
    assert_eq!((scene.attachment("a"), scene.closed()), (port("veth6", 6), closed(&[], &["10.0.0.5"])));
}

#[test]
fn an_address_moves_to_the_later_pod_where_the_host_routes_it() {
    for order in [["old", "new"], ["new", "old"]] {
        let mut scene = Scene::new();
        scene.add_veth(5, "veth5");
        scene.add_veth(6, "veth6");
        scene.route("10.0.0.5", 5);
        if order[0] == "old" {
            scene.pod_of("old", "1", "1", &["10.0.0.5"]);
            assert_eq!(scene.attachment("old"), routed("veth5"));
        }
        scene.route("10.0.0.5", 6);
        scene.pod_of("new", "2", "2", &["10.0.0.5"]);
        scene.pod_of("old", "1", "1", &["10.0.0.5"]);
        assert_eq!(scene.attachment("new"), routed("veth6"), "{order:?}");
        let kept = if order[0] == "old" { routed("veth5") } else { None };
        assert_eq!(scene.attachment("old"), kept, "{order:?}");
        scene.remove("old");
        assert_eq!(scene.attachment("new"), routed("veth6"), "{order:?}");
    }
}

#[test]
fn a_lost_route_changes_nothing() {
    let mut scene = Scene::new();
    scene.add_veth(5, "veth5");
    scene.route("10.0.0.5", 5);
    scene.pod("a", &["10.0.0.5"]);
    scene.unroute("10.0.0.5", 5);
    scene.settle();
    assert_eq!(scene.attachment("a"), routed("veth5"));
    assert!(!scene.links.is_local(address("10.0.0.5")));
}
