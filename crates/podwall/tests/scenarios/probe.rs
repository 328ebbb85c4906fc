//! Probes, as the lab reports them.

use serde_json::Value as Json;

use crate::Result;
use crate::run::Ran;

/// The one JSON object of standard output.
pub fn report(ran: &Ran) -> Result<Json> {
    serde_json::from_str(&ran.stdout)
        .map_err(|error| format!("standard output is not one JSON object: {error}"))
}

/// A probe, as the lab reports it.
pub struct Probe {
    pub key: ProbeKey,
    pub family: String,
    pub address: String,
    pub outcome: String,
    pub allowed: Option<bool>,
    pub evaluated: Option<bool>,
}

pub fn probes(report: &Json) -> Result<Vec<Probe>> {
    let steps = report["steps"].as_array().ok_or("the report has no steps")?;
    let mut found = Vec::new();
    for (step, value) in steps.iter().enumerate() {
        let probes = value["probes"].as_array().ok_or("a step of the report has no probes")?;
        for probe in probes {
            found.push(Probe::read(step, probe).ok_or_else(|| format!("not a probe: {probe}"))?);
        }
    }
    Ok(found)
}

impl Probe {
    pub fn read(step: usize, json: &Json) -> Option<Self> {
        let text = |key: &str| json[key].as_str().map(ToOwned::to_owned);
        Some(Self {
            key: ProbeKey {
                step,
                from: text("from")?,
                to: text("to")?,
                via: text("via")?,
                protocol: text("protocol")?,
                port: json["port"].as_u64(),
            },
            family: text("family")?,
            address: text("address")?,
            outcome: text("outcome")?,
            allowed: json["allowed"].as_bool(),
            evaluated: json["evaluated"].as_bool(),
        })
    }

    /// True when the kernel did what the specification says.
    pub fn agrees(&self) -> bool {
        self.allowed.is_some() && self.allowed == self.evaluated
    }

    pub fn describe(&self) -> String {
        format!("{}: {}", self.key.describe(), self.describe_end())
    }

    pub fn describe_end(&self) -> String {
        let evaluated = match self.evaluated {
            Some(true) => "allowed",
            Some(false) => "denied",
            None => "not evaluated",
        };
        format!("{} at {}, {evaluated} by the specification", self.outcome, self.address)
    }
}

impl ProbeKey {
    pub fn describe(&self) -> String {
        let port = self.port.map(|port| format!("/{port}")).unwrap_or_default();
        let via = if self.via == "service" { " by Service" } else { "" };
        format!("step {}: {} -> {}{via} {}{port}", self.step, self.from, self.to, self.protocol)
    }
}

/// What an expectation says about probes; several differ only in their address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeKey {
    pub step: usize,
    pub from: String,
    pub to: String,
    pub via: String,
    pub protocol: String,
    pub port: Option<u64>,
}
