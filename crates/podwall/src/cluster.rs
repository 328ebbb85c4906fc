//! The state of a cluster from its API server, as `kubectl get -o json` would give it: reading only.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use http::{HeaderName, HeaderValue};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use podwall_policy::ObjectKey;
use podwall_policy::read::Source;
use serde_json::{Map, Value as Json};

/// Which cluster is asked.
#[derive(Args)]
pub struct ClusterOptions {
    /// The kubeconfig of the cluster, where no manifests are given [default: that of kubectl]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Ask as another user or service account, as kubectl does
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

/// Objects of one answer; the server says where the next ones begin.
const PAGE_SIZE: usize = 500;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A kind that is listed, and the fields that are kept of it: the server may be newer than we are, and what it has
/// beside them has no bearing. What is in the `spec` of a policy is kept whole: what we do not know there closes.
struct Kind {
    name: &'static str,
    api_version: &'static str,
    path: &'static str,
    kept: &'static [(&'static str, &'static [&'static str])],
    /// Without it there is no answer worth giving.
    needed: bool,
}

const METADATA: (&str, &[&str]) = (
    "metadata",
    &["name", "namespace", "labels", "annotations", "uid", "creationTimestamp", "ownerReferences"],
);

const KINDS: [Kind; 5] = [
    Kind {
        name: "Namespace",
        api_version: "v1",
        path: "/api/v1/namespaces",
        kept: &[METADATA],
        needed: true,
    },
    Kind {
        name: "Pod",
        api_version: "v1",
        path: "/api/v1/pods",
        kept: &[
            METADATA,
            ("spec", &["nodeName", "hostNetwork", "containers", "initContainers"]),
            ("status", &["phase", "podIP", "podIPs", "startTime"]),
        ],
        needed: true,
    },
    Kind {
        name: "NetworkPolicy",
        api_version: "networking.k8s.io/v1",
        path: "/apis/networking.k8s.io/v1/networkpolicies",
        kept: &[METADATA, ("spec", &[])],
        needed: true,
    },
    Kind {
        name: "Service",
        api_version: "v1",
        path: "/api/v1/services",
        kept: &[METADATA, ("spec", &["selector", "ports", "clusterIP", "clusterIPs", "type"])],
        needed: false,
    },
    Kind {
        name: "Node",
        api_version: "v1",
        path: "/api/v1/nodes",
        kept: &[METADATA, ("status", &["addresses"])],
        needed: false,
    },
];

impl ClusterOptions {
    /// Lists what policy depends on: one source for each object, named as `kubectl` names it, so that lines are those of
    /// the object alone. What may not be read and can be done without is said on standard error.
    pub fn list(&self) -> anyhow::Result<Vec<Source>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = self.client().await?;
            let mut sources = Vec::new();
            for kind in &KINDS {
                match list(&client, kind).await {
                    Ok(items) => sources.extend(items.iter().map(|item| source(kind, item))),
                    Err(error) if kind.needed => {
                        return Err(error.context(format!("cannot list the cluster's {}", kind.plural())));
                    }
                    Err(error) => {
                        eprintln!("podwall: answered without the cluster's {}: {error:#}", kind.plural());
                    }
                }
            }
            Ok(sources)
        })
    }

    /// True when somebody said which cluster.
    pub fn is_named(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    /// The way to the cluster: that of the kubeconfig or, without one, that of the pod that this runs in.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let mut config = self.config().await?;
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(PATIENCE);
        if let Some(user) = &self.user {
            let user = HeaderValue::from_str(user).context("--as: no name of a user")?;
            config.headers.push((HeaderName::from_static("impersonate-user"), user));
        }
        Client::try_from(config).context("the kubeconfig cannot be used")
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let no_way = "no cluster to ask: give manifests with -f, or a kubeconfig with --kubeconfig";
        let kubeconfig = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        if kubeconfig.is_err()
            && !self.is_named()
            && let Ok(config) = Config::incluster()
        {
            return Ok(config);
        }
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        Config::from_custom_kubeconfig(kubeconfig.context(no_way)?, &options).await.context(no_way)
    }
}

impl Kind {
    fn plural(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

/// All objects of a kind, page by page.
async fn list(client: &Client, kind: &Kind) -> anyhow::Result<Vec<Json>> {
    let (mut items, mut next) = (Vec::new(), String::new());
    loop {
        // Tokens are URL-safe base64: nothing in them needs escaping.
        let start = if next.is_empty() { String::new() } else { format!("&continue={next}") };
        let request =
            http::Request::get(format!("{}?limit={PAGE_SIZE}{start}", kind.path)).body(Vec::new())?;
        let mut page: Json = client.request(request).await?;
        let Json::Array(more) = page["items"].take() else { bail!("the answer is not a list") };
        items.extend(more);
        next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if next.is_empty() {
            return Ok(items);
        }
    }
}

/// An object with the fields that are kept of it.
fn source(kind: &Kind, item: &Json) -> Source {
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), kind.api_version.into());
    object.insert("kind".to_owned(), kind.name.into());
    for (field, kept) in kind.kept {
        if let Some(value) = item.get(field) {
            object.insert((*field).to_owned(), only(value, kept));
        }
    }
    let name = match key(item) {
        key if key.namespace.is_empty() => format!("cluster:{}/{}", kind.name, key.name),
        key => format!("cluster:{}/{key}", kind.name),
    };
    Source { name, bytes: format!("{:#}\n", Json::Object(object)).into_bytes() }
}

/// The fields named, or all when none is.
fn only(value: &Json, kept: &[&str]) -> Json {
    match value {
        Json::Object(fields) if !kept.is_empty() => {
            let kept = fields.iter().filter(|(name, _)| kept.contains(&name.as_str()));
            kept.map(|(name, value)| (name.clone(), value.clone())).collect()
        }
        _ => value.clone(),
    }
}

fn key(item: &Json) -> ObjectKey {
    let text = |name: &str| item["metadata"][name].as_str().unwrap_or_default();
    ObjectKey::new(text("namespace"), text("name"))
}

/// True for the word that stands for the cluster where a path is expected; a folder of that name is `./cluster`.
pub fn is_meant(path: &Path) -> bool {
    path == Path::new("cluster")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_keeps_what_has_a_bearing() {
        let pod = json!({"metadata": {"namespace": "shop", "name": "web", "managedFields": []},
            "spec": {"nodeName": "a", "fieldOfNextYear": 1}, "status": {"podIP": "10.0.0.1"}});
        let source = source(&KINDS[1], &pod);
        assert_eq!(source.name, "cluster:Pod/shop/web");
        let read: Json = serde_json::from_slice(&source.bytes).unwrap();
        let kept = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"nodeName": "a"}, "status": {"podIP": "10.0.0.1"}});
        assert_eq!(read, kept);
    }
}
