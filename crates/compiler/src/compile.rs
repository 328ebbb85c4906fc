//! The whole at once: the reference that the engine is held to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use podwall_policy::{Labels, Mode, ObjectKey, Pod};
use podwall_ruleset::{Chain, Element, Name, Ruleset, Set, Table};

use crate::chains::GroupChains;
use crate::dispatch::conflict;
use crate::frame::{Frame, Shape};
use crate::group::{Group, excesses, selecting};
use crate::local::{Contribution, Judges, LocalPod, TableKind, Unit};
use crate::program::Direction;
use crate::selection::{Identity, Selection};
use crate::source::is_checked;
use crate::value::{FAMILIES, family_of};
use crate::{Compiled, NodeState};

/// Turns what the cluster says into what this node's kernel should hold. Total: same state in, same ruleset out,
/// whatever the order in which the state came about.
pub fn compile(state: NodeState<'_>) -> Compiled {
    let owners = Owners::of(state);
    let mut groups = BTreeMap::new();
    let pods: Vec<LocalPod> =
        state.local_pods().map(|(key, pod)| local_pod(state, &owners, &mut groups, key, pod)).collect();
    let frame = Frame::of(state.options, Shape::of(pods.iter(), state.closed));
    let mut tables: BTreeMap<TableKind, Table> = BTreeMap::new();
    for ((table, name), chain) in frame.chains {
        tables.entry(table).or_default().chains.insert(name, Chain::clone(&chain));
    }
    for ((table, name), set) in frame.constants {
        tables.entry(table).or_default().sets.insert(name, set);
    }
    for set in frame.local_sets {
        tables.entry(set.table()).or_default().sets.insert(set.name(), set.definition());
    }
    let packets = tables.entry(TableKind::Packets).or_default();
    for group in groups.values() {
        let chains = group.chains.iter().map(|(name, chain)| (name.clone(), Chain::clone(chain)));
        packets.chains.extend(chains);
        packets.sets.extend(group.blocks.iter().map(|(name, set)| (name.clone(), Set::clone(set))));
        for (names, selection) in &group.selections {
            owners.fill(names, selection, packets);
        }
    }
    let mut problems = Vec::new();
    for (unit, pods) in units(state, &pods) {
        if let (Unit::Interface(interface), [one, other, ..]) = (&unit, &pods[..]) {
            problems.push(conflict(interface, [&one.key, &other.key]));
        }
        let contribution = Contribution::of(&unit, &pods, state.closed, state.options);
        for ((set, key), element) in contribution.elements {
            let table = tables.get_mut(&set.table()).expect("the frame has the table");
            let set = table.sets.get_mut(&set.name()).expect("the frame has the set");
            set.elements.insert(key, element);
        }
        for (name, chain) in contribution.chains {
            tables.entry(TableKind::Frames).or_default().chains.insert(name, Chain::clone(&chain));
        }
    }
    problems.extend(excesses(groups.iter(), &state.cluster.policies));
    let tables = tables.into_iter().map(|(table, it)| (table.id(), it)).collect();
    Compiled { ruleset: Ruleset { tables }, problems }
}

fn local_pod(
    state: NodeState<'_>,
    owners: &Owners<'_>,
    groups: &mut BTreeMap<Group, Arc<GroupChains>>,
    key: &ObjectKey,
    pod: &Pod,
) -> LocalPod {
    let selecting = selecting(state.cluster, &key.namespace, &pod.labels);
    let mut chains = |mode, direction| {
        let group = Group::of(&selecting, mode, direction, &key.namespace, &pod.ports)?;
        let make = || Arc::new(GroupChains::of(&group, &state.cluster.policies, state.options));
        Some(groups.entry(group.clone()).or_insert_with(make).clone())
    };
    let mut judges =
        |mode| Judges { ingress: chains(mode, Direction::Ingress), egress: chains(mode, Direction::Egress) };
    let has_addresses = !pod.addresses.is_empty();
    LocalPod {
        key: key.clone(),
        attachment: state.attachments.get(key).cloned(),
        has_addresses,
        addresses: owners.owned_by(key, pod),
        enforced: judges(Mode::Enforce),
        audited: if state.options.flow_log.is_some() { judges(Mode::Audit) } else { Judges::default() },
        checked: is_checked(state.options, pod.anti_spoofing, has_addresses),
    }
}

/// All units, each with the pods that have a part in it.
fn units<'a>(state: NodeState<'_>, pods: &'a [LocalPod]) -> BTreeMap<Unit, Vec<&'a LocalPod>> {
    let mut units: BTreeMap<Unit, Vec<&LocalPod>> = BTreeMap::new();
    for pod in pods {
        for unit in pod.units() {
            units.entry(unit).or_default().push(pod);
        }
    }
    let interfaces = state.closed.interfaces.iter().cloned().map(Unit::Interface);
    for unit in interfaces.chain(state.closed.addresses.iter().copied().map(Unit::Address)) {
        units.entry(unit).or_default();
    }
    units
}

/// Every address of a pod that takes part, with its pod (S36, S84).
struct Owners<'a> {
    state: NodeState<'a>,
    pods: BTreeMap<&'a ObjectKey, Vec<IpAddr>>,
    namespaces: BTreeMap<&'a Arc<str>, Labels>,
}

impl<'a> Owners<'a> {
    fn of(state: NodeState<'a>) -> Self {
        let mut pods: BTreeMap<&ObjectKey, Vec<IpAddr>> = BTreeMap::new();
        for (address, key) in state.cluster.address_owners() {
            pods.entry(key).or_default().push(address);
        }
        let labels = |key: &&'a ObjectKey| (&key.namespace, state.cluster.namespace_labels(&key.namespace));
        let namespaces = pods.keys().map(labels).collect();
        Self { state, pods, namespaces }
    }

    /// The addresses that a pod owns, as it reports them, each once.
    fn owned_by(&self, key: &ObjectKey, pod: &Pod) -> Vec<IpAddr> {
        let mut owned = self.pods.get(key).cloned().unwrap_or_default();
        owned.sort_by_key(|address| pod.addresses.iter().position(|it| it == address));
        owned
    }

    /// Adds the sets of a selection, unless they are there.
    fn fill(&self, names: &[Name; 2], selection: &Selection, table: &mut Table) {
        if table.sets.contains_key(&names[0]) {
            return;
        }
        let mut sets: BTreeMap<_, Set> = FAMILIES.map(|it| (it, selection.definition(it))).into();
        for (key, addresses) in &self.pods {
            let (namespace_labels, pod) = (&self.namespaces[&key.namespace], &self.state.cluster.pods[*key]);
            let identity = Identity { namespace: &key.namespace, namespace_labels, labels: &pod.labels };
            if !selection.concerns(identity) {
                continue;
            }
            for address in addresses {
                let set = sets.get_mut(&family_of(address)).expect("made for both families");
                selection.members(identity, &pod.ports, *address, |member| {
                    set.elements.insert(member.key(), Element::default());
                });
            }
        }
        table.sets.extend(names.iter().cloned().zip(sets.into_values()));
    }
}
