//! A folder of manifests in place of an API server: the same events, for trying things out and for nodes without one.
//!
//! Files are read when whoever writes them is done: closed after writing, or moved into place. What cannot be read
//! changes nothing: the last version that could be read stays in force, of a file and of an object. Files and folders
//! whose names begin with a dot are passed over: they are editors', or the inside of a mounted ConfigMap.

mod cluster;
mod folder;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use inotify::EventStream;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use crate::event::WatchEvent;
use cluster::Known;
use folder::Folder;
use futures::StreamExt;

/// Changes that follow one another so closely are read together.
const QUIET: Duration = Duration::from_millis(10);

/// Changes are read after this time however many follow.
const LONGEST: Duration = Duration::from_millis(200);

/// The namespace of objects that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// How many bytes of notifications are taken at a time.
const BUFFER_BYTES: usize = 16 << 10;

/// Watches a folder, with all below it, until the receiver or the returned set is dropped.
///
/// # Errors
///
/// When the folder cannot be read or inotify has no room; what happens later is events.
#[must_use = "dropping the set stops the watch"]
pub fn start(folder: PathBuf, events: mpsc::Sender<WatchEvent>) -> io::Result<JoinSet<()>> {
    let inotify = inotify::Inotify::init()?;
    let folder = Folder::open(folder, inotify.watches())?;
    let notifications = inotify.into_event_stream(vec![0; BUFFER_BYTES])?;
    let mut tasks = JoinSet::new();
    tasks.spawn(run(folder, notifications, events));
    Ok(tasks)
}

async fn run(mut folder: Folder, mut notifications: EventStream<Vec<u8>>, events: mpsc::Sender<WatchEvent>) {
    let mut known = Known::default();
    loop {
        // Reading a large folder takes longer than the loop may stand still.
        let read = spawn_blocking(move || {
            folder.read();
            let news = known.take(&folder);
            (folder, known, news)
        });
        let Ok((read_folder, now_known, news)) = read.await else { return };
        (folder, known) = (read_folder, now_known);
        for event in news {
            if events.send(event).await.is_err() {
                return;
            }
        }
        tokio::select! {
            heard = hear(&mut folder, &mut notifications) => if !heard { return },
            () = events.closed() => return,
        }
    }
}

/// Waits for changes, and a little longer for those that belong together. False when there will be none.
async fn hear(folder: &mut Folder, notifications: &mut EventStream<Vec<u8>>) -> bool {
    let mut deadline = None;
    loop {
        let next = match deadline {
            None => notifications.next().await,
            Some(end) => {
                match timeout_at(Instant::min(end, Instant::now() + QUIET), notifications.next()).await {
                    Ok(next) => next,
                    Err(_) => return true,
                }
            }
        };
        match next {
            None => return false,
            Some(Err(_)) => folder.distrust(),
            Some(Ok(event)) => folder.note(&event),
        }
        if folder.has_changed() {
            deadline.get_or_insert_with(|| Instant::now() + LONGEST);
        }
        if deadline.is_some_and(|end| Instant::now() >= end) {
            return true;
        }
    }
}
