//! The answer to a request, read piece by piece, each within its time.

use std::io::BufRead;
use std::time::Duration;

use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;

/// The longest object: etcd takes 1.5 MiB, and JSON is larger than what etcd keeps.
pub(super) const OBJECT_LIMIT: usize = 16 << 20;

/// How much is read of an answer that is no success.
const STATUS_LIMIT: usize = 16 << 10;

/// The body of an answer that promises success.
pub(super) struct Answer {
    body: Body,
    /// What has arrived and was not taken as lines yet, from `taken` on.
    received: Vec<u8>,
    taken: usize,
    /// Up to where `received` has no end of a line.
    searched: usize,
}

impl Answer {
    /// Sends a request and waits for the answer to begin.
    pub async fn of(client: &Client, address: &str, timeout: Duration) -> Result<Self, Failure> {
        let deadline = Instant::now() + timeout;
        let request = Request::get(address)
            .header(header::ACCEPT, "application/json")
            .body(Body::empty())
            .map_err(|error| Failure::Unreadable(error.to_string()))?;
        let response = match timeout_at(deadline, client.send(request)).await {
            Err(_) => return Err(Failure::Timeout),
            Ok(Err(error)) => return Err(Failure::Disconnected(error.to_string())),
            Ok(Ok(response)) => response,
        };
        if response.status() == StatusCode::OK {
            let body = response.into_body();
            return Ok(Self { body, received: Vec::new(), taken: 0, searched: 0 });
        }
        Err(refusal(response, deadline).await)
    }

    /// The next piece of the body, whatever it holds; none at the end.
    pub async fn chunk(&mut self, deadline: Instant) -> Result<Option<impl AsRef<[u8]> + use<>>, Failure> {
        loop {
            let frame = timeout_at(deadline, self.body.frame()).await.map_err(|_| Failure::Timeout)?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(Failure::Disconnected(error.to_string())),
                // What is no data is trailers.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The next line that is not empty, without its end; none at the end of the body. A last line without an end is
    /// not whole, and a failure.
    pub async fn line(&mut self, deadline: Instant) -> Result<Option<&[u8]>, Failure> {
        loop {
            while let Some(end) = self.find_end() {
                let start = std::mem::replace(&mut self.taken, end);
                if !self.received[start..end].trim_ascii().is_empty() {
                    return Ok(Some(&self.received[start..end - 1]));
                }
            }
            self.received.drain(..self.taken);
            (self.taken, self.searched) = (0, self.received.len());
            if self.received.len() > OBJECT_LIMIT {
                return Err(Failure::Unreadable(format!("a line of more than {OBJECT_LIMIT} bytes")));
            }
            match self.chunk(deadline).await? {
                Some(chunk) => self.received.extend_from_slice(chunk.as_ref()),
                None if self.received.trim_ascii().is_empty() => return Ok(None),
                None => return Err(Failure::Disconnected("the stream ended within an event".to_owned())),
            }
        }
    }

    /// The place after the next end of a line.
    fn find_end(&mut self) -> Option<usize> {
        let mut rest = &self.received[self.searched..];
        // Of all that finds a byte in the standard library, the fastest; reading from memory does not fail.
        let length = rest.skip_until(b'\n').unwrap_or_default();
        let end = self.searched + length;
        let found = length > 0 && self.received[end - 1] == b'\n';
        if found {
            self.searched = end;
        }
        found.then_some(end)
    }
}

/// The answer that is no success, as a failure.
async fn refusal(response: Response<Body>, deadline: Instant) -> Failure {
    #[derive(Deserialize)]
    struct Status {
        message: Option<String>,
    }
    let code = response.status().as_u16();
    if code == StatusCode::GONE.as_u16() {
        return Failure::Expired;
    }
    let wait = response.headers().get(header::RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
    let (mut body, mut text) = (response.into_body(), Vec::new());
    // The message is welcome, and no more: how it ends does not matter.
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if text.len() > STATUS_LIMIT {
            break;
        }
    }
    let message = match serde_json::from_slice::<Status>(&text) {
        Ok(Status { message: Some(message) }) => message,
        _ => String::from_utf8_lossy(&text).into_owned(),
    };
    Failure::Refused { code, message, retry_after: wait.map(Duration::from_secs) }
}
