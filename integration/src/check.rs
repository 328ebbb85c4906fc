//! Whether packets do what the specification says of the objects that the API server has.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use podwall_lab::{Party, Probe, ProbeResult, Question, plan, service_addresses};
use podwall_policy::{Cluster, Transport};

use crate::reading::read_cluster;
use crate::world::World;

/// How many wrong pairs are named.
const SHOWN: usize = 10;

/// Every packet did as the specification says.
#[derive(Debug)]
pub struct Agreement {
    /// How long it took until the last one did.
    pub took: Duration,
    /// How many of the first round did not.
    pub wrong_at_first: usize,
    /// The last round, which is wholly right.
    pub results: Vec<ProbeResult>,
}

impl World {
    /// Probes all pairs until each goes as the specification says; fails with the wrong ones when that takes longer
    /// than `limit`.
    pub fn until_agreed(&mut self, limit: Duration) -> Result<Agreement> {
        let started = Instant::now();
        let cluster = read_cluster(&self.objects, &self.options.nodes)?;
        let probes = self.plan(&cluster);
        let (mut took, mut wrong_at_first) = (Duration::ZERO, 0);
        loop {
            let results = self.ask(probes.clone())?;
            let mut wrong: Vec<ProbeResult> =
                results.iter().filter(|result| is_wrong(result)).cloned().collect();
            if wrong.is_empty() {
                let took = if took.is_zero() { started.elapsed() } else { took };
                return Ok(Agreement { took, wrong_at_first, results });
            }
            wrong_at_first = wrong_at_first.max(wrong.len());
            // Only these, until they are right; then all of them once more.
            while !wrong.is_empty() {
                if started.elapsed() > limit {
                    bail!("{} probes are wrong after {limit:?}:\n{}", wrong.len(), describe(&wrong));
                }
                wrong = self.ask(wrong.into_iter().map(|result| result.probe).collect())?;
                wrong.retain(is_wrong);
            }
            took = started.elapsed();
        }
    }

    /// Probes all pairs once, and returns those that went otherwise than the specification says.
    pub fn wrong_pairs(&mut self) -> Result<Vec<ProbeResult>> {
        let cluster = read_cluster(&self.objects, &self.options.nodes)?;
        let mut results = self.ask(self.plan(&cluster))?;
        results.retain(is_wrong);
        Ok(results)
    }

    fn plan(&self, cluster: &Cluster) -> Vec<Probe> {
        // A pod whose addresses nobody here has matters to no packet here, and there may be many.
        let mut near = cluster.clone();
        let addresses = |party: Party| self.scene.addresses(&party).to_vec();
        let here: Vec<_> =
            self.scene.pods.keys().flat_map(|key| addresses(Party::Pod(key.clone()))).collect();
        near.pods.retain(|_, pod| pod.addresses.iter().any(|address| here.contains(address)));
        let mut scene = self.scene.clone();
        scene.unknown = scene.pods.keys().filter(|key| !near.pods.contains_key(*key)).cloned().collect();
        let services = service_addresses(&near, &scene);
        plan(Question {
            cluster: &near,
            scene: &scene,
            services: &services,
            chosen: &self.transports,
            closes_unknown: self.options.drop_unknown,
        })
    }

    fn ask(&mut self, probes: Vec<Probe>) -> Result<Vec<ProbeResult>> {
        let (topology, scene) = (&self.topology, &self.scene);
        let place =
            |probe: &Probe| topology.namespace(&scene.host_of(&probe.from)).expect("hosts that are there");
        let outcomes = self.prober.run(&probes, place, |_| {})?;
        Ok(probes.into_iter().zip(outcomes).map(|(probe, outcome)| ProbeResult { probe, outcome }).collect())
    }
}

/// What could not be asked is as wrong as what went wrong.
fn is_wrong(result: &ProbeResult) -> bool {
    result.allowed() != Some(result.evaluated())
}

/// The first of some results, a line each.
pub fn describe(results: &[ProbeResult]) -> String {
    let line = |result: &ProbeResult| {
        let probe = &result.probe;
        let should = if result.evaluated() { "allowed" } else { "denied" };
        let transport = match probe.transport {
            Transport::Port(protocol, port) => format!("{protocol}/{port}"),
            Transport::Other => "ICMP".to_owned(),
        };
        let (from, to, address) = (&probe.from, &probe.to, probe.address);
        format!("  {from} -> {to} {transport} ({address}): {:?}, should be {should}\n", result.outcome)
    };
    results.iter().take(SHOWN).map(line).collect()
}
