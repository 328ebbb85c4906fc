//! Names of what we make in the kernel: a readable part, and a hash of what the thing is.
//!
//! A name is made from content, so equal content has one name and is shared, and a name never changes its
//! meaning: what a name defines is never edited, only made and removed. (Sharing by policy names or label texts
//! is how others made pods inherit strangers' policies.) The hash has 65 bits of SHA-256: a tenant who can write
//! selectors must not be able to find one that takes another tenant's name.

use std::hash::{Hash, Hasher};

use podwall_policy::{LabelSelector, Mode, ObjectKey};
use podwall_ruleset::{Comment, IpFamily, Name};
use sha2::{Digest, Sha256};

use crate::peers::{PodPeer, Scope};
use crate::program::Direction;
use crate::value::FAMILIES;

const READABLE_CHARACTERS_MAX: usize = 40;

/// The table.
pub fn table() -> Name {
    name("podwall")
}

/// The dispatch map by interface.
pub fn dispatch(direction: Direction) -> Name {
    name(direction.word())
}

/// The dispatch map by address, for pods without an interface of their own.
pub fn dispatch_by_address(direction: Direction, family: IpFamily) -> Name {
    of_family(direction.word(), family)
}

/// The map by interface to what judges for policies in audit mode.
pub fn audit(direction: Direction) -> Name {
    name(&format!("audit-{}", direction.word()))
}

/// The same by address.
pub fn audit_by_address(direction: Direction, family: IpFamily) -> Name {
    of_family(&format!("audit-{}", direction.word()), family)
}

/// The chain for what policy denies.
pub fn denied(direction: Direction) -> Name {
    name(&format!("denied/{}", direction.word()))
}

/// The chain for what policies in audit mode would deny.
pub fn audited(direction: Direction) -> Name {
    name(&format!("audited/{}", direction.word()))
}

/// The chain for what is let pass.
pub fn allowed() -> Name {
    name("allowed")
}

/// The sets of the addresses that a chain of the log has seen lately, one for each of [`FAMILIES`].
pub fn recent_sets(chain: &Name) -> [Name; 2] {
    of_families(chain.as_str())
}

/// The table in which it is tried whether the kernel takes the log.
pub fn trial_table() -> Name {
    name("podwall-trial")
}

/// The set of interfaces that lead a pod back to itself.
pub fn hairpin() -> Name {
    name("hairpin")
}

/// The set of address pairs that lead a pod back to itself.
pub fn hairpin_by_address(family: IpFamily) -> Name {
    of_family("hairpin", family)
}

/// The set of the addresses that a pod's interface may send from.
pub fn sources(family: IpFamily) -> Name {
    of_family("sources", family)
}

/// The set of interfaces whose sources are checked.
pub fn checked() -> Name {
    name("checked")
}

/// The chain for what was sent from an address that is not the pod's.
pub fn spoofed() -> Name {
    name("spoofed")
}

/// The set of IPv6 link-local addresses.
pub fn link_local() -> Name {
    name("link-local")
}

/// The set of ports whose pod's hardware address is known.
pub fn bound() -> Name {
    name("bound")
}

/// The set of the hardware addresses that a port's frames may come from.
pub fn hardware() -> Name {
    name("hardware-addresses")
}

/// The chain that judges the hardware address of a frame.
pub fn hardware_chain() -> Name {
    name("hardware")
}

/// The map from a bridge's ports to what they may advertise.
pub fn neighbours() -> Name {
    name("neighbours")
}

/// The set of the one ICMPv6 type of neighbour advertisements.
pub fn advertisement() -> Name {
    name("advertisement")
}

/// The chain for what one port may advertise.
pub fn neighbour_chain(content: &impl Hash) -> Name {
    name(&format!("neighbour/{}", hash(content)))
}

/// The set of the interfaces of pods that we know.
pub fn known() -> Name {
    name("known")
}

/// The set of the addresses of local pods that we know.
pub fn known_addresses(family: IpFamily) -> Name {
    of_family("known", family)
}

/// The set of the addresses that pods of this node's bridge may have.
pub fn bridge_range(family: IpFamily) -> Name {
    of_family("bridge-range", family)
}

/// A base chain.
pub fn base_chain(hook: &str) -> Name {
    name(hook)
}

/// The set of the address and port of all DHCP servers on a link.
pub fn dhcp(family: IpFamily) -> Name {
    of_family("dhcp", family)
}

/// The chain that judges a group's ports.
pub fn group_chain(mode: Mode, direction: Direction, namespace: &str, content: &impl Hash) -> Name {
    name(&format!("{}{}/{namespace}/{}", of_mode(mode), direction.word(), hash(content)))
}

/// The chain that counts what a group's chain is asked and what it allows.
pub fn counted_chain(group_chain: &Name) -> Name {
    name(&format!("counted/{group_chain}"))
}

/// The chain that judges peers.
pub fn peer_chain(mode: Mode, direction: Direction, content: &impl Hash) -> Name {
    let word = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    name(&format!("{}{word}/{}", of_mode(mode), hash(content)))
}

/// Chains of policies in audit mode end otherwise.
fn of_mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "",
        Mode::Audit => "audit/",
    }
}

/// The sets of the addresses of the pods that a peer selects, one for each of [`FAMILIES`].
pub fn pod_sets(peer: &PodPeer) -> [Name; 2] {
    let scope = match &peer.scope {
        Scope::Namespace(namespace) => readable(namespace),
        Scope::Selected(selector) => readable(&text_or(selector, "any")),
    };
    let pods = readable(&text_or(&peer.pods, "all"));
    of_families(&format!("pods/{scope}/{pods}-{}", hash(peer)))
}

/// What a peer selects, for people.
pub fn pod_set_comment(peer: &PodPeer) -> Comment {
    let pods = match peer.pods.is_empty() {
        true => "all pods".to_owned(),
        false => format!("pods {}", peer.pods),
    };
    Comment::new(&match &peer.scope {
        Scope::Namespace(namespace) => format!("{pods} of namespace {namespace}"),
        Scope::Selected(selector) if selector.is_empty() => format!("{pods} of any namespace"),
        Scope::Selected(selector) => format!("{pods} of namespaces {selector}"),
    })
}

/// The sets of the addresses of several peers.
pub fn union_sets(content: &impl Hash) -> [Name; 2] {
    of_families(&format!("pods/union-{}", hash(content)))
}

/// The set of the addresses of ipBlocks.
pub fn block_set(content: &impl Hash, family: IpFamily) -> Name {
    of_family(&format!("blocks/{}", hash(content)), family)
}

/// The sets of the address, protocol and port of what pods call by name.
pub fn named_port_sets(content: &impl Hash) -> [Name; 2] {
    of_families(&format!("ports/{}", hash(content)))
}

/// The names of policies, for people.
pub fn policies_comment<'a>(policies: impl Iterator<Item = &'a ObjectKey>) -> Comment {
    let names: Vec<String> = policies.map(ToString::to_string).collect();
    Comment::new(&names.join(", "))
}

fn of_families(text: &str) -> [Name; 2] {
    FAMILIES.map(|family| of_family(text, family))
}

fn of_family(text: &str, family: IpFamily) -> Name {
    match family {
        IpFamily::Ipv4 => name(&format!("{text}.v4")),
        IpFamily::Ipv6 => name(&format!("{text}.v6")),
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("made of checked parts")
}

fn text_or(selector: &LabelSelector, everything: &str) -> String {
    if selector.is_empty() { everything.to_owned() } else { selector.to_string() }
}

/// What an nft identifier can keep of a text.
fn readable(text: &str) -> String {
    let mut result = String::new();
    for c in text.chars() {
        if result.len() == READABLE_CHARACTERS_MAX {
            break;
        }
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
            result.push(c);
        } else if !result.ends_with('-') {
            result.push('-');
        }
    }
    result.trim_end_matches('-').to_owned()
}

/// 13 characters of a-z and 2-7.
fn hash(content: &impl Hash) -> String {
    let mut hasher = ContentHasher(Sha256::new());
    content.hash(&mut hasher);
    let digest = hasher.0.finalize();
    let number = digest[..9].iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    let symbol = |index: u32| b"abcdefghijklmnopqrstuvwxyz234567"[(number >> (index * 5)) as usize & 31];
    (0..13).map(|index| char::from(symbol(index))).collect()
}

/// Feeds what `#[derive(Hash)]` says of a value to SHA-256. Collections write their length and enums their
/// discriminant, so different values feed different bytes.
struct ContentHasher(Sha256);

impl Hasher for ContentHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the digest is taken whole")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podwall_policy::{Operator, Requirement};

    #[test]
    fn the_longest_legal_names_fit() {
        let peer = PodPeer { scope: Scope::Namespace("n".repeat(63).into()), pods: LabelSelector::default() };
        assert!(pod_sets(&peer).iter().all(|name| name.as_str().len() < 128));
        assert!(group_chain(Mode::Audit, Direction::Ingress, &"n".repeat(63), &1).as_str().len() < 128);
    }

    #[test]
    fn a_peer_is_described_as_people_say_it() {
        let text = |scope, pods| pod_set_comment(&PodPeer { scope, pods }).to_string();
        let all = LabelSelector::default;
        let web = || LabelSelector::new([Requirement { key: "app".into(), operator: Operator::Exists }]);
        assert_eq!(text(Scope::Namespace("n".into()), all()), "all pods of namespace n");
        assert_eq!(text(Scope::Selected(all()), web()), format!("pods {} of any namespace", web()));
        assert_eq!(text(Scope::Selected(web()), all()), format!("all pods of namespaces {}", web()));
    }

    #[test]
    fn different_content_has_different_names() {
        assert_ne!(hash(&("ab", "c")), hash(&("a", "bc")));
        assert_ne!(hash(&vec![vec![1], vec![]]), hash(&vec![vec![], vec![1]]));
        assert_eq!(hash(&"x").len(), 13);
    }
}
