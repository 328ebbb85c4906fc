//! What stands whatever pods and policies there are: base chains, and the sets and maps that they look up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podwall_ruleset::{Chain, Name, Set};

use crate::local::{LocalPod, LocalSet, TableKind};
use crate::{Attachment, Closed, NodeOptions, dispatch, source};

/// Tables without what policies and pods add to them.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Base chains and chains that hold the same for all pods.
    pub chains: BTreeMap<(TableKind, Name), Arc<Chain>>,
    /// Sets that hold the same for all pods.
    pub constants: BTreeMap<(TableKind, Name), Set>,
    /// Sets whose elements move with the pods of this node.
    pub local_sets: BTreeSet<LocalSet>,
}

/// What the frame depends on beside the options.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// Something is keyed by address: a local pod with addresses and no interface, or an address that is closed.
    pub by_address: bool,
    /// A local pod with an interface is held to its addresses.
    pub checked: bool,
    /// So is one on a bridge: there is a table of frames.
    pub frames: bool,
    /// Policies in audit mode select a local pod.
    pub audits: bool,
}

impl Frame {
    /// Adds a chain.
    pub fn add_chain(&mut self, table: TableKind, name: Name, chain: Chain) {
        self.chains.insert((table, name), Arc::new(chain));
    }

    /// The frame of a shape.
    pub fn of(options: &NodeOptions, shape: Shape) -> Self {
        let mut frame = Self::default();
        dispatch::add_frame(options, shape, &mut frame);
        if shape.checked {
            source::add_routed_frame(&mut frame);
        }
        if shape.frames {
            source::add_bridged_frame(&mut frame);
        }
        frame
    }
}

impl Shape {
    /// What the pods of this node ask for.
    pub fn of<'a>(pods: impl Iterator<Item = &'a LocalPod>, closed: &Closed) -> Self {
        let mut shape = Self::default();
        let mut unowned = closed.addresses.clone();
        for pod in pods {
            let routed = pod.routed_interface().is_some();
            shape.by_address |= !routed && pod.has_addresses;
            shape.checked |= routed && pod.checked;
            shape.audits |= pod.audited.any();
            shape.frames |= pod.checked && matches!(pod.attachment, Some(Attachment::Bridged { .. }));
            if !unowned.is_empty() {
                pod.addresses.iter().for_each(|address| {
                    unowned.remove(address);
                });
            }
        }
        shape.by_address |= !unowned.is_empty();
        shape
    }
}
