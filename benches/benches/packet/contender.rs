//! Who is compared, at which sizes.

use std::fmt;

use anyhow::Result;
use podwall_benches::figure::Size;

use crate::layouts;
use crate::link::Nodes;

/// What is in force on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not even connection tracking.
    Nothing,
    /// Connection tracking, and no rule on the way.
    ConntrackOnly,
    /// Ours: policy alone, or with all that the agent switches on by default.
    Podwall { shipped: bool },
    /// A rule for each pod, then a chain for each policy.
    LinearPerPod,
    /// A map leads to the pod's chain, then a chain for each policy.
    ChainPerPolicy,
    /// A rule of iptables for each pod, then a chain for each policy with its ipset.
    Iptables,
}

/// One of those who are compared.
#[derive(Debug, Clone, Copy)]
pub struct Contender {
    /// Whose layout it is.
    pub kind: Kind,
    /// The pods that it knows: those that its sets hold, and for those who have rules for each pod, of the node.
    pub pods: u32,
    /// The policies that isolate the pod that is asked; the packet is allowed by the last.
    pub policies: u32,
}

/// All of them; the few that tell the most, unless `full`.
pub fn contenders(full: bool) -> Vec<Contender> {
    let of = |kind, pods, policies| Contender { kind, pods, policies };
    let mut all = vec![of(Kind::Nothing, 10, 0), of(Kind::ConntrackOnly, 10, 0)];
    let policies: &[u32] = if full { &[1, 3, 10, 30, 100] } else { &[1, 10, 100] };
    for policies in policies {
        all.push(of(Kind::Podwall { shipped: false }, 10_000, *policies));
    }
    all.push(of(Kind::Podwall { shipped: false }, 10, 100));
    all.extend([1, 100].map(|policies| of(Kind::Podwall { shipped: true }, 10_000, policies)));
    all.extend(policies.iter().map(|policies| of(Kind::ChainPerPolicy, 10_000, *policies)));
    let pods: &[u32] = if full { &[10, 100, 1_000, 10_000] } else { &[10, 100, 1_000] };
    for pods in pods {
        all.push(of(Kind::LinearPerPod, *pods, 10));
        if layouts::has_iptables() {
            all.push(of(Kind::Iptables, *pods, 10));
        }
    }
    if layouts::has_iptables() {
        all.push(of(Kind::Iptables, 100, 100));
    }
    all
}

impl Contender {
    /// Its size, as figures say it.
    pub fn size(&self) -> Size {
        let local_pods = match self.kind {
            Kind::LinearPerPod | Kind::Iptables => self.pods,
            Kind::Podwall { .. } | Kind::ChainPerPolicy => self.pods.min(layouts::LOCAL_PODS),
            Kind::Nothing | Kind::ConntrackOnly => 2,
        };
        Size { pods: self.pods, policies: self.policies, local_pods }
    }

    /// True when something is denied.
    pub fn is_firewall(&self) -> bool {
        !matches!(self.kind, Kind::Nothing | Kind::ConntrackOnly)
    }

    /// True when a packet takes tens of microseconds.
    pub fn is_slow(&self) -> bool {
        matches!(self.kind, Kind::LinearPerPod | Kind::Iptables) && self.pods >= 1_000
    }

    /// Puts it in force on a node.
    pub fn install(&self, nodes: &mut Nodes, index: usize) -> Result<()> {
        match self.kind {
            Kind::Nothing => Ok(()),
            Kind::ConntrackOnly => nodes.nft(index, layouts::CONNTRACK_ONLY),
            Kind::Podwall { shipped } => layouts::podwall(nodes, index, self, shipped),
            Kind::LinearPerPod => nodes.nft(index, &layouts::linear_per_pod(&nodes.ends(index), self)),
            Kind::ChainPerPolicy => nodes.nft(index, &layouts::chain_per_policy(&nodes.ends(index), self)),
            Kind::Iptables => layouts::iptables(nodes, index, self),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Nothing => f.write_str("no firewall, no connection tracking"),
            Kind::ConntrackOnly => f.write_str("connection tracking only"),
            Kind::Podwall { shipped: false } => f.write_str("podwall, policy alone"),
            Kind::Podwall { shipped: true } => f.write_str("podwall, as shipped"),
            Kind::LinearPerPod => f.write_str("nftables, a rule per pod"),
            Kind::ChainPerPolicy => f.write_str("nftables, map and chain per policy"),
            Kind::Iptables => f.write_str("iptables and ipset"),
        }
    }
}
