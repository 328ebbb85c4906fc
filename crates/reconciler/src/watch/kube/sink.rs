//! Where the events of one kind go.

use podwall_policy::{ObjectKey, Problem};
use tokio::sync::mpsc;
use tokio::task::coop::consume_budget;

use super::failure::Failure;
use super::object::Said;
use crate::event::{Kind, WatchEvent};

/// The sender of the events of one kind.
pub(super) struct Sink {
    kind: Kind,
    events: mpsc::Sender<WatchEvent>,
}

impl Sink {
    pub fn new(kind: Kind, events: mpsc::Sender<WatchEvent>) -> Self {
        Self { kind, events }
    }

    pub async fn send(&self, event: WatchEvent) -> Result<(), Failure> {
        self.events.send(event).await.map_err(|_| Failure::Unheard)
    }

    pub async fn problem(&self, key: Option<ObjectKey>, problem: Problem) -> Result<(), Failure> {
        self.send(WatchEvent::Problem { kind: self.kind, key, problem }).await
    }

    /// Sends what was said of an object. False when it could not be told of which.
    pub async fn said(&self, said: Said) -> Result<bool, Failure> {
        // However many objects have arrived, others of this thread have their turn.
        consume_budget().await;
        match said {
            Said::Present(object, problems) => {
                let key = Some(object.key().clone()).filter(|_| !problems.is_empty());
                self.send(WatchEvent::Present(object)).await?;
                for problem in problems {
                    self.problem(key.clone(), problem).await?;
                }
            }
            Said::Gone(key) => self.send(WatchEvent::Gone(self.kind, key)).await?,
            Said::Unread(key, problem) => {
                self.send(WatchEvent::Unread { kind: self.kind, key, problem }).await?;
            }
            Said::Nameless(problem) => {
                self.problem(None, problem).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }
}
