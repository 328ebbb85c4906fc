//! What the API server says of itself, and of the rights of the account that asks.

use std::time::Instant;

use kube::Client;
use serde_json::{Value as Json, json};

use super::facts::{ApiServer, RIGHTS, Right};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const UNAUTHORIZED: u16 = 401;

/// Asks the API server.
pub async fn ask(client: &Client) -> ApiServer {
    let started = Instant::now();
    let version: Json = match get(client, "/version").await {
        Ok(version) => version,
        Err(error) => return ApiServer::Silent(format!("it does not answer: {}", chain(&error))),
    };
    let took = started.elapsed();
    let version = format!("Kubernetes {}", version["gitVersion"].as_str().unwrap_or("of no version"));
    match missing(client).await {
        Err(kube::Error::Api(status)) if status.code == UNAUTHORIZED => {
            ApiServer::Silent(format!("{version} does not accept our credentials (401)"))
        }
        missing => ApiServer::Answered { took, version, missing: missing.map_err(|error| chain(&error)) },
    }
}

/// The rights that this account lacks.
async fn missing(client: &Client) -> Result<Vec<Right>, kube::Error> {
    let mut missing = Vec::new();
    for right in RIGHTS {
        if !may(client, &right).await? {
            missing.push(right);
        }
    }
    Ok(missing)
}

async fn may(client: &Client, right: &Right) -> Result<bool, kube::Error> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"group": right.group, "resource": right.resource, "verb": right.verb}},
    });
    let request = http::Request::post(REVIEWS)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(review.to_string().into_bytes())
        .expect("a path and a body");
    let answer: Json = client.request(request).await?;
    Ok(answer["status"]["allowed"] == true)
}

async fn get(client: &Client, path: &str) -> Result<Json, kube::Error> {
    client.request(http::Request::get(path).body(Vec::new()).expect("a path")).await
}

/// The error with what is behind it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
