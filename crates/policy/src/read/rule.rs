//! The rules of a NetworkPolicy. A rule that cannot be read refuses the policy; a peer or port that cannot be read
//! matches nothing, and the rest of the policy stands (S38, S49, S166).

use super::address::parse_block;
use super::fault::{Fault, Reading, printable};
use super::field::Field;
use super::metadata::check_indentation;
use super::selector::read_selector;
use crate::model::{IpBlock, Namespaces, Peer, Peers, PortMatch, Ports, Protocol, Rule};
use crate::selector::LabelSelector;

/// Which list of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    /// The field that names the peers.
    fn peers(self) -> &'static str {
        match self {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        }
    }
}

/// Reads a list of rules: absent or empty, there are none, and nothing is allowed (S21, S29b).
pub(super) fn read_rules(
    field: Option<Field>,
    direction: Direction,
    closed: &mut Vec<Fault>,
) -> Reading<Vec<Rule>> {
    let Some(field) = field else { return Ok(Vec::new()) };
    field.list()?.map(|rule| read_rule(&rule, direction, closed)).collect()
}

fn read_rule(rule: &Field, direction: Direction, closed: &mut Vec<Fault>) -> Reading<Rule> {
    const DEEPER: [&str; 9] = [
        "podSelector",
        "namespaceSelector",
        "ipBlock",
        "matchLabels",
        "matchExpressions",
        "cidr",
        "except",
        "port",
        "protocol",
    ];
    if rule.tree.is_null() {
        return Err(rule.fault("the rule is empty: write {} if it is meant to allow everything"));
    }
    rule.mapping()?;
    check_indentation(rule, &[], &DEEPER, "a rule")?;
    rule.known(&[direction.peers(), "ports"])?;
    Ok(Rule {
        peers: match read_entries(rule.get(direction.peers()), read_peer, || Peer::Unreadable, closed)? {
            peers if peers.is_empty() => Peers::Any,
            peers => Peers::Only(peers),
        },
        ports: match read_entries(rule.get("ports"), read_port, || PortMatch::Unreadable, closed)? {
            ports if ports.is_empty() => Ports::Any,
            ports => Ports::Only(ports),
        },
    })
}

/// Reads the entries of a rule. Unlike in a list of rules, absent or empty means everything (S22, S23, S29b).
fn read_entries<T>(
    field: Option<Field>,
    read: fn(&Field) -> Reading<T>,
    nothing: fn() -> T,
    closed: &mut Vec<Fault>,
) -> Reading<Vec<T>> {
    let Some(field) = field else { return Ok(Vec::new()) };
    let mut entry = |field: Field| {
        read(&field).unwrap_or_else(|fault| {
            closed.push(fault);
            nothing()
        })
    };
    Ok(field.list()?.map(&mut entry).collect())
}

fn read_peer(peer: &Field) -> Reading<Peer> {
    peer.known(&["podSelector", "namespaceSelector", "ipBlock"])?;
    let (pods, namespaces) = (peer.get("podSelector"), peer.get("namespaceSelector"));
    match (peer.get("ipBlock"), pods, namespaces) {
        (None, None, None) => Err(peer.fault(
            "the peer names nobody: write podSelector: {} for every pod of the namespace, \
             namespaceSelector: {} for every pod of the cluster, or an ipBlock",
        )),
        (Some(block), None, None) => read_block(&block).map(Peer::Block),
        (Some(block), ..) => Err(block.fault(
            "ipBlock cannot be combined with podSelector or namespaceSelector: write two entries, each with its `-`",
        )),
        // An absent podSelector beside a namespaceSelector is every pod there (S32); an absent namespaceSelector is
        // the policy's own namespace (S27, S31).
        (None, pods, namespaces) => Ok(Peer::Pods {
            pods: pods.map_or(Ok(LabelSelector::default()), |field| read_selector(&field))?,
            namespaces: match namespaces {
                None => Namespaces::Own,
                Some(field) => Namespaces::Selected(read_selector(&field)?),
            },
        }),
    }
}

fn read_block(block: &Field) -> Reading<IpBlock> {
    block.known(&["cidr", "except"])?;
    let read_cidr = |field: &Field| {
        let text = field.string()?;
        parse_block(text).ok_or_else(|| {
            let hint =
                if text.contains('/') { "" } else { ": write the length of the prefix too, as 10.0.0.1/32" };
            field.fault(format!("\"{}\" is not a block of addresses{hint}", printable(text)))
        })
    };
    let cidr = read_cidr(&block.require("cidr")?)?;
    let mut except = Vec::new();
    if let Some(list) = block.get("except") {
        for field in list.list()? {
            let inner = read_cidr(&field)?;
            // A strict subset (S133). `contains` is false across families.
            if !cidr.contains(&inner) || inner.prefix_len() <= cidr.prefix_len() {
                return Err(
                    field.fault(format!("{inner} is not a smaller part of {cidr}, so it cannot be left out"))
                );
            }
            except.push(inner);
        }
    }
    Ok(IpBlock { cidr, except })
}

fn read_port(entry: &Field) -> Reading<PortMatch> {
    entry.known(&["protocol", "port", "endPort"])?;
    let protocol = read_protocol(entry)?;
    let end = entry.get("endPort");
    let Some(port) = entry.get("port") else {
        // A protocol alone is all its ports; `{}` is all of TCP (S23, S25, S96).
        return match end {
            None => Ok(PortMatch::Range { protocol, first: 0, last: u16::MAX }),
            Some(end) => Err(end.fault("endPort needs port, the number that the range begins with")),
        };
    };
    if let Ok(text) = port.string() {
        check_port_name(text).map_err(|message| port.fault(message))?;
        return match end {
            None => Ok(PortMatch::Named { protocol, name: text.clone() }),
            Some(end) => Err(end.fault("endPort needs a number as port, not a name")),
        };
    }
    let first = port.port()?;
    let last = match end {
        None => first,
        Some(end) => {
            let last = end.port()?;
            if last < first {
                return Err(end.fault(format!("endPort {last} is less than port {first}")));
            }
            last
        }
    };
    Ok(PortMatch::Range { protocol, first, last })
}

/// Reads `protocol` of a port of any object: TCP unless given (S24).
pub(super) fn read_protocol(entry: &Field) -> Reading<Protocol> {
    let Some(field) = entry.get("protocol") else { return Ok(Protocol::Tcp) };
    let text = field.string()?;
    Protocol::ALL.into_iter().find(|protocol| protocol.to_string() == **text).ok_or_else(|| {
        let upper = text.to_uppercase();
        let hint = match Protocol::ALL.into_iter().find(|protocol| protocol.to_string() == upper) {
            Some(protocol) => format!("write {protocol}"),
            None => "it may be TCP, UDP or SCTP".to_owned(),
        };
        field.fault(format!("unknown protocol {}; {hint}", printable(text)))
    })
}

/// Checks the name of a port: an IANA service name (S108). A number in quotes is none (S111).
pub(super) fn check_port_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        let name = printable(name);
        return Err(format!("\"{name}\" in quotes is the name of a port: write {name} without quotes"));
    }
    let valid = (1..=15).contains(&name.len())
        && name.bytes().all(allowed)
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if valid {
        return Ok(());
    }
    let name = printable(name);
    Err(format!(
        "\"{name}\" is not the name of a port: 1 to 15 of a-z, 0-9 and single `-` inside, with at least one letter"
    ))
}
