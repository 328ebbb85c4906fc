//! Just enough of HTTP/1.1, and the faults that are about bytes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Fault;

/// The connection is of no more use.
#[derive(Debug)]
pub struct Broken;

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Broken
    }
}

/// What a request asks for.
pub struct Query {
    pub path: String,
    fields: Vec<(String, String)>,
}

impl Query {
    pub fn of(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let fields = query.split('&').filter_map(|field| field.split_once('='));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { path: path.to_owned(), fields }
    }

    pub fn get(&self, name: &str) -> Option<String> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
    }
}

/// Requests and answers of one connection.
pub struct Exchange {
    stream: TcpStream,
    /// What goes wrong with this answer.
    pub fault: Option<Fault>,
    /// The body of the request.
    pub body: Vec<u8>,
    written: usize,
}

impl Exchange {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, fault: None, body: Vec::new(), written: 0 }
    }

    /// The target of the next request.
    pub async fn next_request(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        self.body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut self.body).await.ok()?;
        (self.fault, self.written) = (None, 0);
        head.split(' ').nth(1).map(str::to_owned)
    }

    /// A whole answer with a status object.
    pub async fn status(&mut self, code: u16, retry_after: Option<u64>, message: &str) -> Result<(), Broken> {
        let body = json!({"kind": "Status", "code": code, "message": message}).to_string();
        let wait = retry_after.map_or(String::new(), |wait| format!("retry-after: {wait}\r\n"));
        let head = format!("HTTP/1.1 {code} Status\r\n{wait}content-length: {}\r\n\r\n", body.len());
        Ok(self.stream.write_all((head + &body).as_bytes()).await?)
    }

    /// Answers that what was sent is what there is now.
    pub async fn echo(&mut self) -> Result<(), Broken> {
        let head = format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n", self.body.len());
        self.stream.write_all(head.as_bytes()).await?;
        Ok(self.stream.write_all(&self.body).await?)
    }

    pub async fn hang(&mut self) -> Result<(), Broken> {
        // Until the other side gives up.
        self.stream.read_u8().await?;
        Err(Broken)
    }

    pub async fn begin(&mut self) -> Result<(), Broken> {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        Ok(self.stream.write_all(head).await?)
    }

    /// A piece of the body, as far as it comes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let limit = match self.fault {
            Some(Fault::Truncated(limit) | Fault::Reset(limit) | Fault::HangAfter(limit)) => limit,
            Some(Fault::Dribble) => return self.dribble(bytes).await,
            _ => usize::MAX,
        };
        let fits = bytes.len().min(limit - self.written.min(limit));
        self.chunk(&bytes[..fits]).await?;
        if fits == bytes.len() {
            return Ok(());
        }
        self.stream.flush().await?;
        match self.fault {
            Some(Fault::HangAfter(_)) => self.hang().await,
            Some(Fault::Reset(_)) => {
                self.stream.set_zero_linger()?;
                Err(Broken)
            }
            _ => Err(Broken),
        }
    }

    async fn dribble(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        for piece in bytes.chunks(3) {
            self.chunk(piece).await?;
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.written += bytes.len();
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        Ok(self.stream.write_all(&chunk).await?)
    }

    pub async fn end(&mut self) -> Result<(), Broken> {
        Ok(self.stream.write_all(b"0\r\n\r\n").await?)
    }

    /// The code of the error that this stream is to begin with.
    pub fn stream_error(&self) -> Option<u16> {
        match self.fault {
            Some(Fault::StreamError(code)) => Some(code),
            _ => None,
        }
    }

    pub async fn event(&mut self, name: &str, object: &Value) -> Result<(), Broken> {
        if self.fault == Some(Fault::Malformed) && name != "ERROR" {
            self.fault = None;
            self.write(b"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":nonsense}}}\n").await?;
        }
        let repeats = if self.fault == Some(Fault::Repeated) { 2 } else { 1 };
        for _ in 0..repeats {
            self.write(format!("{{\"type\":\"{name}\",\"object\":{object}}}\n").as_bytes()).await?;
        }
        Ok(())
    }

    /// Changes in their order; with a fault, the last two swapped.
    pub async fn changes(&mut self, mut changes: Vec<(u64, &'static str, Value)>) -> Result<(), Broken> {
        if self.fault == Some(Fault::Reordered) && changes.len() > 1 {
            let last = changes.len() - 1;
            changes.swap(last - 1, last);
            self.fault = None;
        }
        for (_, name, object) in &changes {
            self.event(name, object).await?;
        }
        Ok(())
    }

    pub async fn bookmark(&mut self, version: u64, ends_list: bool) -> Result<(), Broken> {
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if ends_list {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let repeated = self.fault.take_if(|fault| *fault == Fault::Repeated);
        let written = self.event("BOOKMARK", &json!({"kind": "Bookmark", "metadata": metadata})).await;
        self.fault = self.fault.take().or(repeated);
        written
    }
}
