//! States of clusters from manifests, for the subcommands that answer questions without a kernel.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use podwall_explain::Snapshot;
use podwall_lab::Families;
use podwall_policy::{Manifests, ObjectKey, PlacementOptions};

use crate::cluster::{ClusterOptions, is_meant};
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
    #[command(flatten)]
    pub cluster: ClusterOptions,
}

impl StateOptions {
    /// Reads a state; what is wrong with it is among its problems. It is the cluster's when there are no paths, or one
    /// of them is `cluster`: then the manifests of the others are applied on top, as `kubectl apply` would, and the pods
    /// of a workload among them are as it makes them then.
    pub fn read(&self, paths: &[PathBuf], previous: Option<&Snapshot>) -> anyhow::Result<Snapshot> {
        let (cluster, files): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| is_meant(path));
        let Families { ipv4, ipv6 } = self.ip_families.into();
        if !paths.is_empty() && cluster.is_empty() {
            let placement = PlacementOptions { node_count: self.nodes.into(), ipv4, ipv6 };
            return Ok(Snapshot::read(&input::read(&files)?, &self.namespace, &placement, previous));
        }
        // A cluster's nodes are those it names: none is made up beside them.
        let placement = PlacementOptions { node_count: 1, ipv4, ipv6 };
        let mut sources = self.cluster.list()?;
        let applied = input::read(&files)?;
        let manifests = podwall_policy::read::read(&applied, &self.namespace);
        let replaced = names(&manifests);
        sources.retain(|source| !replaced.contains(&source.name));
        sources.extend(applied);
        let rolled_out = manifests.workloads.into_keys().collect();
        Ok(Snapshot::read_rolled_out(&sources, &self.namespace, &placement, previous, &rolled_out))
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

/// What the objects of manifests are called among those of a cluster.
fn names(manifests: &Manifests) -> BTreeSet<String> {
    let named = |kind: &'static str| move |key: &ObjectKey| format!("cluster:{kind}/{key}");
    let namespaces = manifests.namespaces.keys().map(|name| format!("cluster:Namespace/{name}"));
    let policies = manifests.policies.keys().map(named("NetworkPolicy"));
    let services = manifests.services.keys().map(named("Service"));
    namespaces.chain(policies).chain(services).chain(manifests.pods.keys().map(named("Pod"))).collect()
}
