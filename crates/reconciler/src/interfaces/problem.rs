//! What may be wrong with a pod's interface, in words. The names of interfaces are printed as Rust prints strings:
//! whoever made them, they cannot become anything else in a log.

use std::collections::BTreeSet;
use std::net::IpAddr;

use podwall_policy::{Consequence, ObjectKey, Problem};

use super::links::Links;

/// What is wrong with a pod's interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// None was found.
    Missing,
    /// Its addresses lead to several.
    Several(BTreeSet<u32>),
    /// Its address is another interface's.
    Held { address: IpAddr, interface: u32 },
    /// The interface that its addresses are routed to is another pod's.
    Shared { interface: u32, pod: ObjectKey },
    /// The name of its interface is not one that we can write.
    Name(u32),
    /// Its interface is part of something that is not a bridge.
    Master { interface: u32, master: u32 },
    /// Its hardware address was another's before.
    Hardware(u32),
}

impl Trouble {
    /// The interfaces that are closed because nobody can say whose they are. Of several, those that are surely
    /// another's are not: else a pod could close its neighbours.
    pub fn doubtful(&self, is_free: impl Fn(u32) -> bool) -> BTreeSet<u32> {
        match self {
            Trouble::Several(interfaces) => interfaces.iter().copied().filter(|it| is_free(*it)).collect(),
            Trouble::Shared { interface, .. } => [*interface].into(),
            _ => BTreeSet::new(),
        }
    }

    /// True when it is told by the link's state, and not by the search.
    pub fn is_of_link(&self) -> bool {
        matches!(self, Trouble::Name(_) | Trouble::Master { .. } | Trouble::Hardware(_))
    }

    fn consequence(&self) -> Consequence {
        match self {
            Trouble::Missing | Trouble::Name(_) | Trouble::Master { .. } | Trouble::Held { .. } => {
                Consequence::Ignored
            }
            Trouble::Several(_) | Trouble::Shared { .. } | Trouble::Hardware(_) => Consequence::Closed,
        }
    }
}

/// A problem of a pod.
pub(super) fn describe(key: &ObjectKey, trouble: &Trouble, links: &Links) -> Problem {
    let name = |index: &u32| match links.link(*index) {
        Some(link) => format!("{:?}", link.name),
        None => format!("number {index}"),
    };
    let message = match trouble {
        Trouble::Missing => "no interface of this node leads to it, so its policies are enforced by address and its \
             source addresses are not checked; if its network is not made of veth pairs (ipvlan, macvlan, SR-IOV), \
             nothing can be done; if it is, see that the agent runs in the host's network with CAP_NET_ADMIN"
            .to_owned(),
        Trouble::Several(interfaces) => format!(
            "its addresses lead to several interfaces: {}; those that are no known pod's are closed until one is \
             left; look for a stale route (ip route), or for a pod that gave itself the address of another",
            interfaces.iter().map(name).collect::<Vec<_>>().join(", ")
        ),
        Trouble::Held { address, interface } => format!(
            "its address {address} is bound to interface {}, which is still there, so its policies are enforced by \
             address; the binding ends when that interface is deleted",
            name(interface)
        ),
        Trouble::Shared { interface, pod } => format!(
            "the host routes its addresses to interface {}, which is that of pod {pod}, so both are closed; see which of the two routes \
             is stale (ip route)",
            name(interface)
        ),
        Trouble::Name(index) => format!(
            "its interface is called {}, which nftables cannot write, so its policies are enforced by address; give \
             the interface a plain name",
            name(index)
        ),
        Trouble::Master { interface, master } => format!(
            "its interface {} is a part of {}, which is not a bridge of the kernel, so its policies are enforced by \
             address and its source addresses are not checked; packets that pass by the host's IP stack are not \
             seen at all",
            name(interface),
            name(master)
        ),
        Trouble::Hardware(index) => format!(
            "the hardware address behind port {} is that of the bridge or of another port, so the port is closed; \
             find out who changed it, and make the pod anew",
            name(index)
        ),
    };
    let object = Some(format!("Pod {key}"));
    Problem { file: None, line: None, object, field: None, message, consequence: trouble.consequence() }
}
