//! The API server: pods, namespaces and NetworkPolicies of the whole cluster.
//!
//! Why not kube's own watcher: one object that it cannot read stops it, as do a server that refuses streaming lists
//! and a 410 before the stream begins, and it notices a dead connection after five minutes. A watch here is a list,
//! then a stream of changes from where the list stood:
//!
//! * The list is the beginning of the stream (`sendInitialEvents`) or, where the server refuses that, comes in pages.
//! * A stream lasts less than a minute by agreement with the server and is then taken up where it ended. So a dead
//!   connection is noticed within a minute, whatever it died of.
//! * After an absence of the server, and after a stream that said nothing, its version is compared with ours: an etcd that
//!   was restored from an older backup keeps silent until its versions are past ours.
//! * Every wait has an end, and every failure a pause that grows, at random, to half a minute.
//! * Objects are parsed one by one as bytes arrive; a body is never held whole.

mod answer;
mod backoff;
mod failure;
mod object;
mod page;
mod recent;
mod request;
mod sink;
mod watcher;

use std::time::Duration;

use ::kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::event::{Kind, WatchEvent};
use watcher::Watcher;

/// How to watch. The default is for production; tests shorten the times.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// How many objects a page of a list has.
    pub page_size: usize,
    /// Ask for streaming lists as long as the server does not refuse them.
    pub streaming_lists: bool,
    /// How long the server may take to begin an answer.
    pub answer_timeout: Duration,
    /// How long it may take from one object of a list to the next.
    pub progress_timeout: Duration,
    /// How long a stream of changes lasts. The server is asked for whole seconds.
    pub watch_timeout: Duration,
    /// By how much the server may exceed that until the connection counts as dead.
    pub watch_grace: Duration,
    /// The longest first pause after a failure; it doubles from there.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// The longest pause while no connection can be made.
    pub longest_absence: Duration,
    /// How long a stream must last to end the growth of pauses; so does hearing of a change.
    pub healthy_after: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            page_size: 250,
            streaming_lists: true,
            answer_timeout: Duration::from_secs(20),
            progress_timeout: Duration::from_secs(15),
            watch_timeout: Duration::from_secs(50),
            watch_grace: Duration::from_secs(8),
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(30),
            longest_absence: Duration::from_secs(1),
            healthy_after: Duration::from_secs(10),
        }
    }
}

/// A client as the watches need it: without retries below them, which would hide what the server says, and with a
/// bound on connecting.
///
/// # Errors
///
/// What kube says of the configuration: certificates or credentials that cannot be used.
pub fn client(mut config: ::kube::Config) -> Result<Client, ::kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    Client::try_from(config)
}

/// Watches all kinds on the current tokio runtime until the receiver or the returned set is dropped. Never fails: what
/// goes wrong is an event, and is tried again.
#[must_use = "dropping the set stops the watches"]
pub fn start(client: Client, options: WatchOptions, events: mpsc::Sender<WatchEvent>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for kind in Kind::ALL {
        tasks.spawn(Watcher::new(kind, client.clone(), options.clone(), events.clone()).run());
    }
    tasks
}

/// Reads whatever bytes as what a server sends, once as a page of a list and once as lines of a stream. The first byte
/// decides of which kind, and in which pieces they arrive.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_anything(bytes: &[u8]) {
    let [choice, text @ ..] = bytes else { return };
    let kind = Kind::ALL[usize::from(*choice) % Kind::ALL.len()];
    let understand = |tree: &podwall_policy::Tree| drop(format!("{:?}", object::read_object(kind, tree)));
    let mut cutter = page::Cutter::default();
    for mut piece in text.chunks(1 + usize::from(*choice) / Kind::ALL.len()) {
        while let Ok(Some(item)) = cutter.cut(&mut piece) {
            object::parse_item(kind, item).iter().for_each(understand);
        }
    }
    let _ = cutter.finish();
    for line in text.split(|byte| *byte == b'\n') {
        if let Ok(object::Event::Object { tree, .. }) = object::read_event(kind, line) {
            understand(&tree);
        }
    }
}
