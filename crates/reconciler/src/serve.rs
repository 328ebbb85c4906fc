//! What the agent answers: metrics and health over HTTP (`http.rs`), its status over a socket that is root's alone.
//!
//! Every answer comes from the loop: a loop that hangs is not healthy.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::status::Status;

/// How long the loop may take to answer. It is long at the start of a large node, when the kernel is given everything.
const PATIENCE: Duration = Duration::from_secs(5);

/// A question to the loop.
#[derive(Debug)]
pub enum Question {
    /// Are you there?
    Alive(oneshot::Sender<()>),
    /// The metrics, as text.
    Metrics(oneshot::Sender<String>),
    /// The status.
    Status(oneshot::Sender<Status>),
}

/// Why the agent cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address for HTTP.
    #[error("cannot listen on {address} ({source}): choose another with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The status socket.
    #[error("cannot make the status socket {} ({source}): choose another place with --status-socket", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes the status as JSON to everyone who connects. The folder and the socket are for their owner alone.
pub fn status_socket(path: &Path, questions: mpsc::Sender<Question>) -> Result<(), ServeError> {
    let error = |source| ServeError::Socket { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(error)?;
    }
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(error(source)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(error)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(error)?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let questions = questions.clone();
            tokio::spawn(async move {
                if let Some(status) = ask(&questions, Question::Status).await {
                    let text = serde_json::to_vec(&status).expect("plain data");
                    let _ = tokio::time::timeout(PATIENCE, stream.write_all(&text)).await;
                }
            });
        }
    });
    Ok(())
}

/// Asks the loop; nothing when it does not answer in time.
pub(crate) async fn ask<T>(
    questions: &mpsc::Sender<Question>,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    let answer = async {
        questions.send(question(sender)).await.ok()?;
        receiver.await.ok()
    };
    tokio::time::timeout(PATIENCE, answer).await.ok().flatten()
}
