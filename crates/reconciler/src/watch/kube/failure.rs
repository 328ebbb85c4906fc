//! Why a request to the API server came to nothing.

use std::time::Duration;

use podwall_policy::read::printable;
use podwall_policy::{Consequence, Problem};

use super::request::{Resource, Verb};

/// Why a list or a stream broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server no longer knows the version that we asked for: 410.
    Expired,
    /// The server's versions are older than ours: its storage was restored from a backup.
    Restored,
    /// The server answered, and not with what we asked for.
    Refused {
        /// The HTTP status, or the code of the status object.
        code: u16,
        /// What the server says.
        message: String,
        /// How long it wants us to wait.
        retry_after: Option<Duration>,
    },
    /// The connection could not be made, or ended in the middle of something.
    Disconnected(String),
    /// The server, or what is between, said nothing for too long.
    Timeout,
    /// What the server said is no list or no event.
    Unreadable(String),
    /// Nobody listens to us any more.
    Unheard,
}

impl Failure {
    /// As a word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Failure::Expired => "expired",
            Failure::Restored => "restored",
            Failure::Refused { code: 429 | 500.., .. } => "unavailable",
            Failure::Refused { .. } => "refused",
            Failure::Disconnected(_) => "disconnected",
            Failure::Timeout => "timeout",
            Failure::Unreadable(_) => "unreadable",
            Failure::Unheard => "unheard",
        }
    }

    /// True when the server cannot do streaming lists, or something between us and it cannot.
    pub fn refuses_streaming_lists(&self) -> bool {
        matches!(self, Failure::Refused { code: 400 | 405 | 406 | 415 | 422 | 501, .. })
    }

    /// How long the server wants us to wait, within reason.
    pub fn retry_after(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(60);
        match self {
            Failure::Refused { retry_after: Some(wait), .. } => (*wait).min(LONGEST),
            _ => Duration::ZERO,
        }
    }

    /// What an operator has to know, and can do something about; the rest is left to metrics.
    pub fn problem(&self, resource: Resource, verb: Verb) -> Option<Problem> {
        let (path, verb) = (resource.path(), verb.name());
        let message = match self {
            Failure::Refused { code: 401, .. } => {
                "the API server does not accept our credentials (401): check the \
                service account token or the kubeconfig"
                    .to_owned()
            }
            Failure::Refused { code: 403, .. } => format!(
                "the API server forbids us to {verb} {} (403): check that a ClusterRole with apiGroups \
                 [\"{}\"], resources [\"{}\"], verbs [\"list\", \"watch\"] is bound to our service account",
                resource.plural(),
                resource.group(),
                resource.plural(),
            ),
            Failure::Refused { code, message, .. } if (400..500).contains(code) && *code != 429 => {
                format!("the API server refuses GET {path} ({code}): {}", printable(message))
            }
            Failure::Unreadable(message) => {
                format!("the answer to GET {path} cannot be read: {}", printable(message))
            }
            _ => return None,
        };
        Some(Problem {
            file: None,
            line: None,
            object: None,
            field: None,
            message: format!("{message}; what the API server said before stays in force, and we keep trying"),
            consequence: Consequence::Unreadable,
        })
    }
}
