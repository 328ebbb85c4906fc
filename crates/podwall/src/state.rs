//! States of clusters from manifests, for the subcommands that answer questions without a kernel.

use std::path::PathBuf;

use clap::Args;
use podwall_explain::Snapshot;
use podwall_lab::Families;
use podwall_policy::PlacementOptions;

use crate::input;
use crate::options::IpFamilies;

/// The input is no manifests at all, or a name that is asked about is not in it.
pub const UNREADABLE: u8 = 3;

/// What the manifests leave open.
#[derive(Args)]
pub struct StateOptions {
    /// The namespace of objects that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// How many nodes there are, if the manifests name fewer
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub nodes: u16,
    /// The families of the addresses that are assigned
    #[arg(long, value_enum, default_value = "ipv4")]
    pub ip_families: IpFamilies,
}

impl StateOptions {
    /// Reads a state; what is wrong with it is among its problems.
    pub fn read(&self, paths: &[PathBuf], previous: Option<&Snapshot>) -> anyhow::Result<Snapshot> {
        let Families { ipv4, ipv6 } = self.ip_families.into();
        let placement = PlacementOptions { node_count: self.nodes.into(), ipv4, ipv6 };
        Ok(Snapshot::read(&input::read(paths)?, &self.namespace, &placement, previous))
    }

    /// Reads a state and prints what is wrong with it; `None` when it cannot be used.
    pub fn read_usable(
        &self,
        paths: &[PathBuf],
        previous: Option<&Snapshot>,
    ) -> anyhow::Result<Option<Snapshot>> {
        let snapshot = self.read(paths, previous)?;
        for problem in snapshot.problems() {
            eprintln!("{problem}");
        }
        Ok((!snapshot.manifests.unreadable()).then_some(snapshot))
    }
}
