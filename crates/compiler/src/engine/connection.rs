//! Whether a connection would be let pass, by following its first packet through the chains that are there.

use std::net::IpAddr;

use podwall_policy::Protocol;
use podwall_ruleset::{Chain, Hook, InterfaceName, Lookup, Name, Packet, Rule, Value, Verdict, follow};

use super::Engine;
use super::layout::SetId;
use crate::Attachment;
use crate::local::TableKind;
use crate::selection::Member;
use crate::value::protocol_of;

/// A connection as conntrack sees it: where it came from before any translation, and where it went after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The source address, before it was masqueraded.
    pub source: IpAddr,
    /// The destination address, after a Service was translated.
    pub destination: IpAddr,
    /// The number of the transport protocol.
    pub protocol: u8,
    /// The destination port after translation, if the protocol has ports.
    pub destination_port: Option<u16>,
    /// True when the destination is the node itself.
    pub to_node: bool,
}

impl Engine {
    /// True when the kernel, holding the ruleset as it was asked for last, lets a new connection like this pass on this
    /// node. For connections that the node itself opens do not ask: they are never judged (S60).
    pub fn allows(&self, connection: &Connection) -> bool {
        let interface = |address: IpAddr| self.interface_of(address);
        let outside = || InterfaceName::new("other").expect("a short word");
        let (from, to) = (interface(connection.source), interface(connection.destination));
        let packet = Packet {
            hook: if connection.to_node { Hook::Input } else { Hook::Forward },
            // What a pod sends to its own address leaves it only if a Service was translated to it.
            translated: connection.source == connection.destination || (from.is_some() && from == to),
            input_interface: Some(from.unwrap_or_else(outside)),
            output_interface: (!connection.to_node).then(|| to.unwrap_or_else(outside)),
            source: connection.source,
            destination: connection.destination,
            protocol: connection.protocol,
            source_port: Some(0),
            destination_port: connection.destination_port,
            icmpv6_type: None,
            mark: 0,
            state: None,
        };
        let at_hook = |chain: &&Chain| chain.base.is_some_and(|base| base.hook == packet.hook);
        let mut base_chains = self.node.base_chains().filter(at_hook);
        base_chains.all(|chain| follow(&Present { engine: self }, &chain.rules, &packet))
    }

    fn interface_of(&self, address: IpAddr) -> Option<InterfaceName> {
        let owner = self.census.owners.get(address)?;
        match self.node.attachments.get(&self.census.key(owner))? {
            Attachment::Routed(interface) => Some(interface.clone()),
            Attachment::Bridged { .. } => None,
        }
    }
}

/// The table of packets as it is now. Sets of selections are not made for it: their members are asked.
struct Present<'a> {
    engine: &'a Engine,
}

impl Lookup for Present<'_> {
    fn rules(&self, chain: &Name) -> Option<&[Rule]> {
        let chain = self.engine.node.layout.chain(&(TableKind::Packets, chain.clone()))?;
        Some(&chain.rules)
    }

    fn element(&self, set: &Name, key: &[Value]) -> Option<Option<&Verdict>> {
        let census = &self.engine.census;
        if let Some(id) = census.selections.find(set) {
            return census.holds(id, member(key)?).then_some(None);
        }
        let layout = &self.engine.node.layout;
        let id = match self.engine.node.local_set(set) {
            Some(set) => SetId::Local(set),
            None => SetId::Constant(TableKind::Packets, set.clone()),
        };
        layout.set(&id).unwrap_or_else(|| panic!("no set {set}")).element(key)
    }
}

/// The member of a selection's set that a key stands for.
fn member(key: &[Value]) -> Option<Member> {
    let address = match key.first()? {
        Value::Ipv4(address) => IpAddr::V4(*address),
        Value::Ipv6(address) => IpAddr::V6(*address),
        _ => return None,
    };
    let port = match key {
        [_, Value::Protocol(protocol), Value::Port(port)] => {
            let protocol = Protocol::ALL.into_iter().find(|it| protocol_of(*it) == *protocol)?;
            Some((protocol, *port))
        }
        _ => None,
    };
    Some(Member { address, port })
}
