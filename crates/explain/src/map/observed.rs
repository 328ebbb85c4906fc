//! Recorded flows on a map.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podwall_policy::{FlowEnd, FlowRecord, FlowVerdict};

use super::{Map, Observed, Places};
use crate::page::escaped;

impl Map {
    pub(super) fn add_observed(&mut self, places: &Places, records: &[FlowRecord]) {
        let mut counts: BTreeMap<(usize, usize, String, FlowVerdict), u64> = BTreeMap::new();
        for record in records {
            let (Some(from), Some(to)) = (places.end(&record.from), places.end(&record.to)) else {
                self.unplaced += 1;
                continue;
            };
            let protocol = escaped(&record.protocol);
            let port = record.port.map_or(protocol.clone(), |port| format!("{protocol}/{port}"));
            *counts.entry((from, to, port, record.verdict)).or_default() += record.count;
        }
        let observed = |((from, to, port, verdict), count)| Observed { from, to, port, verdict, count };
        self.observed = counts.into_iter().map(observed).collect();
    }
}

impl Places<'_> {
    fn end(&self, end: &FlowEnd) -> Option<usize> {
        if let Some(pod) = &end.pod {
            return self.pods.get(self.residents.find(pod)?).copied();
        }
        let number = match end.address {
            IpAddr::V4(it) => u32::from(it).into(),
            IpAddr::V6(it) => u128::from(it),
        };
        let ipv4 = end.address.is_ipv4();
        let holds = |range: &crate::diff::space::AddressRange| {
            range.ipv4 == ipv4 && (range.first..=range.last).contains(&number)
        };
        self.outside.iter().find(|(range, _)| holds(range)).map(|(_, end)| *end)
    }
}
