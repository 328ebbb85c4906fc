//! What the agent answers: metrics and health over HTTP (`http.rs`), its status and the flow log over sockets that are
//! root's alone.
//!
//! Every answer comes from the loop: a loop that hangs is not healthy.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::flows::Subscription;
use crate::status::{FLOW_SOCKET, FlowsHeader, FlowsSkipped, Status};

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
    /// The flow log.
    Flows(oneshot::Sender<(FlowsHeader, Subscription)>),
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
    /// The status socket, or that of the flow log.
    #[error("cannot make the socket {} ({source}): choose another place with --status-socket", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes the status as JSON to everyone who connects.
pub fn status_socket(path: &Path, questions: mpsc::Sender<Question>) -> Result<(), ServeError> {
    let listener = listen(path)?;
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

/// Writes lines of JSON to everyone who connects: a header, the records that are kept, an empty line, and then those that
/// come, until the other side has enough.
pub fn flow_socket(status_socket: &Path, questions: mpsc::Sender<Question>) -> Result<(), ServeError> {
    let listener = listen(&status_socket.with_file_name(FLOW_SOCKET))?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let questions = questions.clone();
            tokio::spawn(async move {
                if let Some((header, subscription)) = ask(&questions, Question::Flows).await {
                    // That the other side is gone is no reason to complain.
                    let _ = tell_flows(stream, &header, subscription).await;
                }
            });
        }
    });
    Ok(())
}

async fn tell_flows(
    mut stream: UnixStream,
    header: &FlowsHeader,
    subscription: Subscription,
) -> io::Result<()> {
    let Subscription { records, mut following } = subscription;
    let mut text = line(header);
    records.iter().for_each(|record| text.extend(line(record)));
    text.push(b'\n');
    write(&mut stream, &text).await?;
    let mut ignored = [0; 64];
    loop {
        let text = tokio::select! {
            came = following.recv() => match came {
                Ok(record) => line(&*record),
                Err(broadcast::error::RecvError::Lagged(skipped)) => line(&FlowsSkipped { skipped }),
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
            // Nothing is expected from there but the end.
            read = stream.read(&mut ignored) => match read? {
                0 => return Ok(()),
                _ => continue,
            },
        };
        write(&mut stream, &text).await?;
    }
}

/// Who does not read for so long is left alone.
async fn write(stream: &mut UnixStream, text: &[u8]) -> io::Result<()> {
    tokio::time::timeout(PATIENCE, stream.write_all(text)).await?
}

fn line(of: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(of).expect("plain data");
    text.push(b'\n');
    text
}

/// A socket at this path. The folder and the socket are for their owner alone.
fn listen(path: &Path) -> Result<UnixListener, ServeError> {
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
    Ok(listener)
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
