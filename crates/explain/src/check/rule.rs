//! The rules by name.

use serde::{Serialize, Serializer};

/// How bad a finding is, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what was meant.
    Warning,
    /// Not understood, or does not do what it says.
    Error,
}

impl Severity {
    /// `note`, `warning` or `error`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

macro_rules! rules {
    ($($rule:ident $name:literal $severity:ident $summary:literal)*) => {
        /// What is looked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $summary] $rule,)*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &[Rule] = &[$(Rule::$rule),*];

            /// As findings and annotations name it.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$rule => $name),* }
            }

            /// How bad its findings are.
            pub fn severity(self) -> Severity {
                match self { $(Rule::$rule => Severity::$severity),* }
            }

            /// What it finds.
            pub fn summary(self) -> &'static str {
                match self { $(Rule::$rule => $summary),* }
            }
        }
    };
}

rules! {
    UnreadableText "unreadable-text" Error "Text that cannot be read as objects, as when its indentation was lost"
    RefusedObject "refused-object" Error "An object that is not what the API takes: a misspelt field, a key given twice"
    ClosedEntry "closed-entry" Error "A peer or port that makes no sense, and so matches nothing"
    IgnoredObject "ignored-object" Note "An object that is passed over, or replaced by a later one of its name"
    SelectsNoPod "selects-no-pod" Warning "A policy that selects no pod"
    PeerMatchesNothing "peer-matches-nothing" Warning "A peer that matches no pod"
    NamespaceLabelMissing "namespace-label-missing" Warning "A namespaceSelector that matches no namespace"
    DnsForgotten "dns-forgotten" Warning "Pods that are isolated for egress and cannot look up names"
    DnsOverTcpForgotten "dns-over-tcp-forgotten" Note "Pods that can look up names over UDP only"
    EmptyPeerList "empty-peer-list" Warning "An empty from or to, which is everyone and not nobody"
    IngressClosedByDefault "ingress-closed-by-default" Warning "Egress rules without policyTypes, which close ingress too"
    RulesIgnored "rules-ignored" Warning "Rules of a direction that policyTypes leaves out"
    PortProtocol "port-protocol" Warning "A port without protocol, so TCP, that usually is UDP"
    NamedPortUndeclared "named-port-undeclared" Warning "A port by a name that no pod declares"
    ServicePort "service-port" Warning "A Service's port where the pod's port is meant"
    BlockCoversPods "block-covers-pods" Note "An ipBlock that covers addresses of pods"
    ExceptWithoutEffect "except-without-effect" Warning "An except whose addresses another rule allows"
    RedundantPolicy "redundant-policy" Warning "A policy that another makes irrelevant"
    BadSuppression "bad-suppression" Warning "A podwall.io/ignore without a reason, or of a rule that is not there"
}

impl Rule {
    /// The rule of this name.
    pub fn of(name: &str) -> Option<Rule> {
        Rule::ALL.iter().copied().find(|rule| rule.name() == name)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
