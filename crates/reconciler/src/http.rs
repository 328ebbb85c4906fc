//! Metrics and health over HTTP. Whoever reaches the address may ask, so that room and time are bounded: a connection is
//! one request of bounded size, and there are only so many at once.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::serve::{Question, ServeError, ask};

/// How many connections may be open at once; others wait in the kernel.
const CONNECTIONS_MAX: usize = 32;
/// What may be read of a request before it is understood.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// How long a request may take to arrive.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);
/// How long a connection may last, the answer included.
const CONNECTION_LIMIT: Duration = Duration::from_secs(15);
/// How long nobody is let in after the system refused a connection, as it does when there is no descriptor left.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// Serves `/metrics`, `/healthz` and `/readyz`.
pub(crate) async fn serve(address: SocketAddr, questions: mpsc::Sender<Question>) -> Result<(), ServeError> {
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::spawn(async move {
        loop {
            let place = room.clone().acquire_owned().await.expect("nobody closes it");
            let Ok((stream, _)) = listener.accept().await else {
                sleep(REFUSED_PAUSE).await;
                continue;
            };
            let questions = questions.clone();
            tokio::spawn(async move {
                // Whoever hangs up or is too slow has no answer, and that is all.
                let _ = timeout(CONNECTION_LIMIT, connection(stream, questions)).await;
                drop(place);
            });
        }
    });
    Ok(())
}

async fn connection(stream: TcpStream, questions: mpsc::Sender<Question>) -> Result<(), hyper::Error> {
    let service = service_fn(|request| answer(request, &questions));
    http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES_MAX)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(
    request: Request<Incoming>,
    questions: &mpsc::Sender<Question>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "GET\n"));
    }
    let answered = match request.uri().path() {
        "/metrics" => ask(questions, Question::Metrics).await.map(metrics),
        "/healthz" => ask(questions, Question::Alive).await.map(|()| text(StatusCode::OK, "ok\n")),
        "/readyz" => ask(questions, Question::Status).await.map(|status| match status.not_ready.as_slice() {
            [] => text(StatusCode::OK, "ok\n"),
            reasons => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))),
        }),
        _ => Some(text(StatusCode::NOT_FOUND, "/metrics, /healthz, /readyz\n")),
    };
    let hanging = || text(StatusCode::INTERNAL_SERVER_ERROR, "the agent's loop does not answer\n");
    Ok(answered.unwrap_or_else(hanging))
}

fn metrics(metrics: String) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, metrics);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    response
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_TYPE));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What is answered to these bytes, by a loop that answers every question but that for its status.
    async fn asked(request: &[u8]) -> String {
        let address = serving().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(CONNECTION_LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn serving() -> SocketAddr {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (sender, mut questions) = mpsc::channel(1);
        serve(free, sender).await.unwrap();
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                match question {
                    Question::Alive(answer) => answer.send(()).unwrap(),
                    Question::Metrics(answer) => answer.send("podwall_ready 1\n".to_owned()).unwrap(),
                    _ => {}
                }
            }
        });
        free
    }

    #[tokio::test]
    async fn answers_end_the_connection() {
        let metrics = asked(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(
            metrics.starts_with("HTTP/1.1 200") && metrics.ends_with("\r\n\r\npodwall_ready 1\n"),
            "{metrics}"
        );
        assert!(asked(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.ends_with("\r\n\r\nok\n"));
        assert!(asked(b"GET /other HTTP/1.1\r\nhost: a\r\n\r\n").await.starts_with("HTTP/1.1 404"));
        assert!(asked(b"POST /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.starts_with("HTTP/1.1 405"));
    }

    #[tokio::test]
    async fn a_loop_that_does_not_answer_is_not_well() {
        assert!(asked(b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n").await.starts_with("HTTP/1.1 500"));
    }

    #[tokio::test]
    async fn requests_are_bounded_in_size() {
        let long = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", "a".repeat(2 * REQUEST_BYTES_MAX));
        let answer = asked(long.as_bytes()).await;
        assert!(!answer.contains("podwall_ready") && answer.starts_with("HTTP/1.1 4"), "{answer}");
    }

    #[tokio::test]
    async fn those_who_say_nothing_keep_nobody_out() {
        let address = serving().await;
        let mut silent = Vec::new();
        for _ in 0..2 * CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        timeout(4 * REQUEST_LIMIT, stream.read_to_string(&mut answer))
            .await
            .expect("its turn comes")
            .unwrap();
        assert!(answer.ends_with("ok\n"), "{answer}");
    }
}
