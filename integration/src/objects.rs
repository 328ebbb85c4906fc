//! The API server's objects, by plain requests that wait for their answer.

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use podwall_policy::ObjectKey;
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How many requests of a batch are under way at once.
const PARALLEL: usize = 32;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The kinds that suites write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Namespaces; the namespace of their key is empty.
    Namespace,
    /// Pods
    Pod,
    /// NetworkPolicies
    NetworkPolicy,
    /// Services
    Service,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Namespace, Kind::Pod, Kind::NetworkPolicy, Kind::Service];

    /// The kind called `name` in manifests.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| format!("{kind:?}") == name)
    }

    /// As paths write it.
    pub(crate) fn plural(self) -> &'static str {
        self.folder().1
    }

    fn folder(self) -> (&'static str, &'static str) {
        match self {
            Kind::Namespace => ("/api/v1", "namespaces"),
            Kind::Pod => ("/api/v1", "pods"),
            Kind::NetworkPolicy => ("/apis/networking.k8s.io/v1", "networkpolicies"),
            Kind::Service => ("/api/v1", "services"),
        }
    }

    /// The path of all objects, in one namespace or, when that is empty, in all of them.
    pub fn path(self, namespace: &str) -> String {
        let (group, plural) = self.folder();
        match namespace {
            "" => format!("{group}/{plural}"),
            _ => format!("{group}/namespaces/{namespace}/{plural}"),
        }
    }
}

/// A client of the API server.
pub struct Objects {
    runtime: Runtime,
    client: Client,
}

/// A request of a batch: method, path, body.
pub type Call = (Method, String, Json);

impl Objects {
    /// A client that is who the kubeconfig says.
    pub fn new(kubeconfig: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let client = runtime.block_on(async {
            let mut config =
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            config.read_timeout = Some(PATIENCE);
            config.default_retry = false;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        Ok(Self { runtime, client })
    }

    /// One request; the body is left out when it is null.
    pub fn call(&self, method: Method, path: &str, body: Json) -> Result<Json> {
        self.runtime.block_on(self.send(method, path.to_owned(), body))
    }

    /// Many requests at once, in no order.
    pub fn call_all(&self, calls: Vec<Call>) -> Result<()> {
        let calls = calls.into_iter().map(|(method, path, body)| self.send(method, path, body));
        let all = futures::stream::iter(calls).buffer_unordered(PARALLEL);
        self.runtime.block_on(all.try_for_each(|_| async { Ok(()) }))
    }

    /// The status code of a request that may be refused.
    pub fn status(&self, method: Method, path: &str, body: Json) -> Result<u16> {
        match self.call(method, path, body) {
            Ok(_) => Ok(200),
            Err(error) => match error.downcast_ref::<kube::Error>() {
                Some(kube::Error::Api(status)) => Ok(status.code),
                _ => Err(error),
            },
        }
    }

    /// True when a watch is granted. Its answer is no JSON, but a line for each event, and here mostly none.
    pub fn may_watch(&self, path: &str) -> Result<bool> {
        let request = Request::get(path).body(Vec::new())?;
        match self.runtime.block_on(self.client.request_text(request)) {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(false),
            Err(error) => Err(error).context(path.to_owned()),
        }
    }

    /// Creates an object.
    pub fn create(&self, kind: Kind, object: &Json) -> Result<Json> {
        let (method, path, body) = create(kind, object);
        self.call(method, &path, body)
    }

    /// Creates an object, or replaces the one of its name.
    pub fn put(&self, kind: Kind, object: &Json) -> Result<()> {
        let (method, path, body) = create(kind, object);
        if self.status(method, &path, body)? != 409 {
            return Ok(());
        }
        let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
        self.call(Method::PUT, &path, object.clone()).map(drop)
    }

    /// Changes some fields; null takes one away.
    pub fn patch(&self, kind: Kind, key: &ObjectKey, change: Json) -> Result<Json> {
        self.call(Method::PATCH, &one(kind, key), change)
    }

    /// Deletes an object at once. A namespace should be empty: nobody is there to empty it.
    pub fn delete(&self, kind: Kind, key: &ObjectKey) -> Result<()> {
        let path = one(kind, key);
        self.call(Method::DELETE, &path, json!({"gracePeriodSeconds": 0}))?;
        if kind == Kind::Namespace {
            let finalized = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": &*key.name},
                                   "spec": {"finalizers": []}});
            self.call(Method::PUT, &format!("{path}/finalize"), finalized)?;
        }
        Ok(())
    }

    /// All objects of a kind, as the API server lists them.
    pub fn list(&self, kind: Kind) -> Result<Json> {
        self.call(Method::GET, &kind.path(""), Json::Null)
    }

    /// The keys of all objects of a kind.
    pub fn keys(&self, kind: Kind) -> Result<Vec<ObjectKey>> {
        let list = self.list(kind)?;
        Ok(list["items"].as_array().into_iter().flatten().map(key_of).collect())
    }

    async fn send(&self, method: Method, path: String, body: Json) -> Result<Json> {
        let content = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body)? };
        let what = format!("{method} {path}");
        let request = Request::builder().method(method).uri(&path).header("content-type", content);
        let answer = self.client.request_text(request.body(bytes)?).await.with_context(|| what.clone())?;
        match serde_json::from_str(&answer) {
            Ok(answer) => Ok(answer),
            Err(_) if answer == "ok" => Ok(Json::Null),
            Err(error) => bail!("{what}: {error}"),
        }
    }
}

/// The request that creates an object.
pub fn create(kind: Kind, object: &Json) -> Call {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    (Method::POST, kind.path(namespace), object.clone())
}

/// The path of one object.
pub fn one(kind: Kind, key: &ObjectKey) -> String {
    format!("{}/{}", kind.path(&key.namespace), key.name)
}

/// What an object is called.
pub fn key_of(object: &Json) -> ObjectKey {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    ObjectKey::new(text("namespace"), text("name"))
}
