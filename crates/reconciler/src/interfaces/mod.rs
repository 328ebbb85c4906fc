//! Which interface is behind which pod of this node.
//!
//! ```text
//! kernel ─► watch (a thread) ─► Update ─► Links ─► Finder ─► attachments, what is closed, problems
//!                 ▲                                 │  └───► UnknownRule ─► what becomes of unknown pods
//!                 └────────── Look ─────────────────┘
//! ```
//!
//! [`Links`], [`Finder`] and [`UnknownRule`] are pure and have no clock. [`Watch`] is the only one that speaks to
//! rtnetlink.

mod cni;
mod enforcers;
mod finder;
#[cfg(test)]
mod finder_tests;
mod links;
#[cfg(test)]
mod links_tests;
mod message;
mod outcome;
mod preconditions;
mod problem;
mod rtnetlink;
mod search;
#[cfg(test)]
mod spoofing_tests;
#[cfg(test)]
mod testing;
mod unknown;
mod watch;

pub use cni::{CniConfiguration, PodNetwork};
pub use enforcers::other_enforcers;
pub use finder::{Finder, LocalPod, Patience};
pub use links::{HostRoute, Inside, Link, LinkKind, Links, Look, Snapshot, Update};
pub use preconditions::{
    BRIDGE_SETTINGS, BridgeHooks, IP_VS, IpvsInUse, KernelLacks, bridge_hooks, check_ipvs, check_kernel,
    hiding_bridge_settings,
};
pub use unknown::UnknownRule;
pub use watch::{Watch, WatchError};

/// Reads whatever bytes as what the kernel says of links, and keeps account of it.
#[cfg(any(test, fuzzing))]
pub(crate) fn hear_anything(bytes: &[u8]) {
    let mut links = Links::default();
    for received in message::messages(bytes) {
        if let message::Message::Update(update) = received.message {
            links.apply(update);
        }
    }
}
