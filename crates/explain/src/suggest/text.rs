//! Suggested policies as YAML. Every value of an object is quoted as JSON quotes it, which YAML reads.

use std::fmt::Write;

use podwall_policy::NAMESPACE_NAME_LABEL;

use super::workload::Workload;
use super::{SuggestedPeer, SuggestedPolicy, SuggestedRule, Suggestion};
use crate::field::Direction;
use crate::page::escaped;

impl Suggestion {
    /// The policies as manifests, each rule with the flows that asked for it.
    pub fn to_yaml(&self) -> String {
        let mut yaml = Yaml::default();
        for policy in &self.policies {
            yaml.policy(policy);
        }
        yaml.0
    }
}

#[derive(Default)]
struct Yaml(String);

impl Yaml {
    fn line(&mut self, indent: usize, text: &str) {
        writeln!(self.0, "{:indent$}{text}", "").expect("a String takes everything");
    }

    fn policy(&mut self, policy: &SuggestedPolicy) {
        self.line(0, "---");
        self.line(0, "apiVersion: networking.k8s.io/v1");
        self.line(0, "kind: NetworkPolicy");
        self.line(0, "metadata:");
        self.line(2, &format!("name: {}", quoted(&policy.name)));
        self.line(2, &format!("namespace: {}", quoted(&policy.workload.namespace)));
        self.line(0, "spec:");
        self.line(2, "podSelector:");
        self.labels(4, &policy.workload);
        self.line(2, "policyTypes: [Ingress, Egress]");
        self.rules(Direction::Ingress, &policy.ingress);
        self.rules(Direction::Egress, &policy.egress);
    }

    fn labels(&mut self, indent: usize, workload: &Workload) {
        self.line(indent, "matchLabels:");
        for (key, value) in &workload.labels {
            self.line(indent + 2, &format!("{}: {}", quoted(key), quoted(value)));
        }
        if !workload.absent.is_empty() {
            self.line(indent, "matchExpressions: # other workloads have the same labels and these");
        }
        for key in &workload.absent {
            self.line(indent, &format!("- {{ key: {}, operator: DoesNotExist }}", quoted(key)));
        }
    }

    fn rules(&mut self, direction: Direction, rules: &[SuggestedRule]) {
        if rules.is_empty() {
            self.line(2, &format!("{}: [] # nothing was seen", direction.name()));
            return;
        }
        self.line(2, &format!("{}:", direction.name()));
        for rule in rules {
            for evidence in rule.peers.values().flatten() {
                self.line(2, &format!("# {}", escaped(&evidence.0)));
            }
            self.line(2, &format!("- {}:", direction.peers()));
            rule.peers.keys().for_each(|peer| self.peer(peer));
            self.line(4, "ports:");
            for (protocol, port) in &rule.ports {
                self.line(4, &format!("- {{ protocol: {protocol}, port: {port} }}"));
            }
        }
    }

    fn peer(&mut self, peer: &SuggestedPeer) {
        match peer {
            SuggestedPeer::Address(address) => {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                self.line(4, "- ipBlock:");
                self.line(8, &format!("cidr: {}", quoted(&format!("{address}/{bits}"))));
            }
            // With the namespace also where it is the policy's own: it means the same, and says it.
            SuggestedPeer::Workload(workload) => {
                self.line(4, "- namespaceSelector:");
                self.line(8, "matchLabels:");
                let namespace = quoted(&workload.namespace);
                self.line(10, &format!("{}: {namespace}", quoted(NAMESPACE_NAME_LABEL)));
                self.line(6, "podSelector:");
                self.labels(8, workload);
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}
