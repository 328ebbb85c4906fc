//! The table of links.

use ipnet::IpNet;

use super::links::{HostRoute, Inside, Link, Links, Look, Snapshot, Update};
use super::testing::{address, bridge, veth};

fn route(interface: u32, metric: u32) -> HostRoute {
    HostRoute { metric, interface }
}

#[test]
fn a_link_takes_along_what_was_on_it() {
    let mut links = Links::default();
    links.apply(Update::Link(5, veth("veth5")));
    let to = address("10.0.0.5");
    links.apply(Update::Route { to, route: route(5, 0), replaces: false });
    links.apply(Update::Address(5, "169.254.1.1/32".parse().unwrap()));
    let inside = Inside { addresses: [to].into(), hardware_address: None };
    links.apply(Update::Inside(Look { interface: 5, number: 1 }, Some(inside)));
    assert!(links.is_local(address("169.254.1.1")) && links.carriers(to).eq([5]));
    links.take_changes();
    links.apply(Update::LinkGone(5));
    assert!(!links.is_local(address("169.254.1.1")) && links.carriers(to).next().is_none());
    assert!(links.routed_to(to).is_empty());
    let changes = links.take_changes();
    assert_eq!((changes.gone, changes.routes), ([5].into(), [to].into()));
}

#[test]
fn the_best_route_counts_and_a_replaced_one_does_not() {
    let mut links = Links::default();
    let to = address("10.0.0.5");
    links.apply(Update::Route { to, route: route(5, 0), replaces: false });
    links.apply(Update::Route { to, route: route(6, 100), replaces: false });
    assert_eq!(links.routed_to(to), [5].into());
    links.apply(Update::Route { to, route: route(7, 0), replaces: true });
    assert_eq!(links.routed_to(to), [7].into());
    links.apply(Update::RouteGone(to, route(7, 0)));
    assert_eq!(links.routed_to(to), [6].into());
}

#[test]
fn a_link_that_goes_down_loses_its_ipv4_routes() {
    let mut links = Links::default();
    links.apply(Update::Link(5, veth("veth5")));
    for to in ["10.0.0.5", "fd00::5"] {
        links.apply(Update::Route { to: address(to), route: route(5, 0), replaces: false });
    }
    links.apply(Update::Link(5, Link { up: false, ..veth("veth5") }));
    assert!(links.routed_to(address("10.0.0.5")).is_empty());
    assert_eq!(links.routed_to(address("fd00::5")), [5].into());
}

#[test]
fn a_new_list_is_taken_as_a_difference() {
    let mut links = Links::default();
    links.apply(Update::Link(5, veth("veth5")));
    links.apply(Update::Link(6, veth("veth6")));
    links.apply(Update::Link(7, veth("veth7")));
    links.take_changes();
    let mut next = Snapshot::default();
    next.links.insert(5, Link { name: "renamed".into(), ..veth("veth5") });
    next.links.insert(6, bridge("another"));
    links.apply(Update::All(Box::new(next)));
    let changes = links.take_changes();
    assert_eq!(changes.gone, [6, 7].into(), "6 is another link now, 7 is gone");
    assert_eq!(changes.links, [5, 6].into());
}

#[test]
fn the_networks_of_a_bridge_are_masked() {
    let mut links = Links::default();
    links.apply(Update::Address(3, "10.22.0.1/16".parse().unwrap()));
    links.apply(Update::Address(4, "10.23.0.1/16".parse().unwrap()));
    assert_eq!(links.networks(3), ["10.22.0.0/16".parse::<IpNet>().unwrap()]);
}
