//! How what no known pod is behind can be told to be a pod's: by the name of its interface, or by its address.

use std::collections::BTreeSet;

use ipnet::IpNet;
use podwall_compiler::UnknownPods;
use podwall_ruleset::InterfaceName;

use super::cni::{PodNetwork, is_pod_range};
use super::finder::Finder;
use super::links::{LinkKind, Links};

/// How plugins begin the names of pods' interfaces. What follows may be letters too, so that the name of one pod's
/// interface does not tell where the beginning ends.
const KNOWN_PREFIXES: [&str; 8] = ["veth", "cali", "eni", "gke", "azv", "lxc", "nk", "tap"];
/// A shorter beginning says nothing.
const PREFIX_LETTERS_MIN: usize = 3;
/// How many names tell where a beginning ends that we do not know.
const NAMES_MIN: usize = 3;

/// Decides what becomes of unknown pods, from what is configured and from what was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownRule {
    network: Option<PodNetwork>,
    /// The last that was learned: when all pods have gone, the next one is still unknown.
    prefix: Option<String>,
    ranges: BTreeSet<IpNet>,
}

impl UnknownRule {
    /// `network` is what the CNI configuration says, if it says anything.
    pub fn new(network: Option<PodNetwork>) -> Self {
        Self { network, ..Self::default() }
    }

    /// Takes in a new CNI configuration. What was learned under the old one is forgotten.
    pub fn set_network(&mut self, network: Option<PodNetwork>) {
        if self.network != network {
            *self = Self::new(network);
        }
    }

    /// What becomes of unknown pods; `None` when they cannot be told apart (yet).
    pub fn decide(&mut self, links: &Links, finder: &Finder) -> Option<UnknownPods> {
        let mut prefixes = Vec::new();
        match &self.network {
            Some(PodNetwork::Routed { prefix }) => prefixes.push(prefix.clone()),
            Some(PodNetwork::Bridged { bridge, ranges }) => {
                self.ranges.extend(ranges);
                let bridge = links.links().find(|(_, link)| link.name == *bridge);
                self.ranges.extend(bridge.iter().flat_map(|(index, _)| bridge_ranges(*index, links)));
            }
            None => {
                self.learn(links, finder);
                prefixes.extend(self.prefix.clone());
            }
        }
        prefixes.retain(|prefix| !is_of_others(prefix, links));
        let interface_prefixes: Vec<InterfaceName> =
            prefixes.iter().filter_map(|prefix| InterfaceName::new(prefix).ok()).collect();
        if interface_prefixes.is_empty() && self.ranges.is_empty() {
            return None;
        }
        Some(UnknownPods::Drop { interface_prefixes, bridge_ranges: self.ranges.iter().copied().collect() })
    }

    fn learn(&mut self, links: &Links, finder: &Finder) {
        let pods: Vec<_> = finder.bound().filter_map(|index| links.link(index)).collect();
        let bridges: BTreeSet<u32> = pods.iter().filter_map(|link| link.master).collect();
        self.ranges.extend(bridges.into_iter().flat_map(|bridge| bridge_ranges(bridge, links)));
        let names: Vec<&str> =
            pods.iter().filter(|link| link.master.is_none()).map(|link| link.name.as_str()).collect();
        if let Some(prefix) = common_prefix(&names) {
            self.prefix = Some(prefix);
        }
    }
}

/// The letters that all names begin with; `None` when they say nothing.
fn common_prefix(names: &[&str]) -> Option<String> {
    let first = names.first()?;
    let is_common = |prefix: &&&str| names.iter().all(|name| name.starts_with(**prefix));
    if let Some(known) = KNOWN_PREFIXES.iter().find(is_common) {
        return Some((*known).to_owned());
    }
    let is_shared = |(index, letter): &(usize, char)| {
        letter.is_ascii_alphabetic() && names.iter().all(|name| name[*index..].starts_with(*letter))
    };
    let prefix: String = first.char_indices().take_while(is_shared).map(|(_, letter)| letter).collect();
    (names.len() >= NAMES_MIN && prefix.len() >= PREFIX_LETTERS_MIN).then_some(prefix)
}

/// True when something that is surely no pod's interface has a name that begins so: it would be cut off.
fn is_of_others(prefix: &str, links: &Links) -> bool {
    let is_other = |kind| !matches!(kind, LinkKind::Veth | LinkKind::Tap);
    prefix.is_empty() || links.links().any(|(_, link)| is_other(link.kind) && link.name.starts_with(prefix))
}

fn bridge_ranges(bridge: u32, links: &Links) -> Vec<IpNet> {
    let is_bridge = links.link(bridge).is_some_and(|link| link.kind == LinkKind::Bridge);
    let networks = if is_bridge { links.networks(bridge) } else { Vec::new() };
    networks.into_iter().filter(is_pod_range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces::links::{Link, Update};
    use crate::interfaces::testing::{Scene, bridge, hardware};

    fn routed(prefix: &str) -> Option<PodNetwork> {
        Some(PodNetwork::Routed { prefix: prefix.into() })
    }

    fn drops(prefixes: &[&str], ranges: &[&str]) -> Option<UnknownPods> {
        Some(UnknownPods::Drop {
            interface_prefixes: prefixes.iter().map(|it| InterfaceName::new(it).unwrap()).collect(),
            bridge_ranges: ranges.iter().map(|it| it.parse().unwrap()).collect(),
        })
    }

    #[test]
    fn configuration_tells_before_any_pod_is_there() {
        let scene = Scene::new();
        assert_eq!(
            UnknownRule::new(routed("veth")).decide(&scene.links, &scene.finder),
            drops(&["veth"], &[])
        );
        assert_eq!(UnknownRule::new(None).decide(&scene.links, &scene.finder), None);
    }

    #[test]
    fn a_bridge_tells_its_networks_when_it_comes() {
        let mut scene = Scene::new();
        let network = PodNetwork::Bridged { bridge: "cni0".into(), ranges: Vec::new() };
        let mut rule = UnknownRule::new(Some(network));
        assert_eq!(rule.decide(&scene.links, &scene.finder), None);
        scene.links.apply(Update::Link(3, bridge("cni0")));
        for address in ["10.22.0.1/16", "fe80::1/64", "fd00::1/128"] {
            scene.links.apply(Update::Address(3, address.parse().unwrap()));
        }
        assert_eq!(rule.decide(&scene.links, &scene.finder), drops(&[], &["10.22.0.0/16"]));
        scene.links.apply(Update::LinkGone(3));
        assert_eq!(
            rule.decide(&scene.links, &scene.finder),
            drops(&[], &["10.22.0.0/16"]),
            "it is remembered"
        );
    }

    #[test]
    fn names_are_learned_from_pods() {
        let mut scene = Scene::new();
        let mut rule = UnknownRule::new(None);
        for (number, name) in ["podaa", "podab", "podb1"].into_iter().enumerate() {
            assert_eq!(rule.decide(&scene.links, &scene.finder), None, "{number} names do not tell");
            let index = 10 + number as u32;
            let address = format!("10.0.0.{index}");
            scene.add_veth(index, name);
            scene.route(&address, index);
            scene.pod(name, &[&address]);
        }
        assert_eq!(rule.decide(&scene.links, &scene.finder), drops(&["pod"], &[]));
    }

    #[test]
    fn one_name_of_a_known_kind_is_enough() {
        assert_eq!(common_prefix(&["vethabcdef"]), Some("veth".into()));
        assert_eq!(common_prefix(&["cali01", "cali02"]), Some("cali".into()));
        assert_eq!(common_prefix(&["ab1", "ab2", "ab3"]), None);
        assert_eq!(common_prefix(&["podé1", "podé2", "podx"]), Some("pod".into()));
    }

    #[test]
    fn what_others_are_called_is_never_closed() {
        let mut scene = Scene::new();
        scene.links.apply(Update::Link(2, Link { name: "eni-uplink".into(), ..hardware("x") }));
        assert_eq!(UnknownRule::new(routed("eni")).decide(&scene.links, &scene.finder), None);
        assert_eq!(UnknownRule::new(routed("")).decide(&scene.links, &scene.finder), None);
    }
}
