//! Where the cluster's state comes from.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use podwall_policy::Problem;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::AgentError;
use crate::event::WatchEvent;
use crate::mirror::Mirror;
use crate::settings::{Settings, Source};
use crate::watch::kube::WatchOptions;
use crate::watch::report::PolicyReporter;
use crate::watch::{kube as api, manifests};

/// Events that may wait for the loop: about as many as come while the kernel is given a large change.
const EVENTS: usize = 4096;

/// The watches that run.
pub struct Watches {
    /// What they say.
    pub events: mpsc::Receiver<WatchEvent>,
    reporter: Option<PolicyReporter>,
    _tasks: JoinSet<()>,
}

impl Watches {
    /// Starts them.
    pub async fn start(settings: &Settings) -> Result<Self, AgentError> {
        let (sender, events) = mpsc::channel(EVENTS);
        let (tasks, reporter) = match &settings.source {
            Source::Manifests(folder) => {
                (manifests::start(folder.clone(), sender).map_err(AgentError::Manifests)?, None)
            }
            Source::Api { kubeconfig } => {
                let client = connect(kubeconfig.as_deref()).await?;
                let reporter = PolicyReporter::new(client.clone(), &settings.node);
                (api::start(client, WatchOptions::default(), sender), Some(reporter))
            }
        };
        Ok(Self { events, reporter, _tasks: tasks })
    }

    /// Writes problems of policies where `kubectl describe` shows them.
    pub fn report(&mut self, problems: &[Problem], mirror: &Mirror) {
        let Some(reporter) = &mut self.reporter else { return };
        for problem in problems {
            if let Some((key, uid)) = mirror.policy_of(problem) {
                reporter.report(key, uid, problem);
            }
        }
    }
}

async fn connect(kubeconfig: Option<&Path>) -> Result<Client, AgentError> {
    let credentials = |error: &dyn std::fmt::Display| AgentError::Credentials(error.to_string());
    let config = match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| credentials(&error))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| credentials(&error))?
        }
        None => Config::incluster().map_err(|error| credentials(&error))?,
    };
    api::client(config).map_err(|error| credentials(&error))
}
