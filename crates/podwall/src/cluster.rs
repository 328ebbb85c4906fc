//! The state of a cluster from its API server, as `kubectl get -o json` would give it: reading only.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use http::{HeaderName, HeaderValue};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use podwall_policy::read::Source;
use podwall_policy::{ObjectKey, WorkloadKind};
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

/// What a cluster has: its objects as sources, and whose each pod is.
pub struct Listing {
    /// One source for each object, named as `kubectl` names it, so that lines are those of the object alone.
    pub sources: Vec<Source>,
    /// The workloads of the pods that have one.
    pub owners: Vec<((WorkloadKind, ObjectKey), ObjectKey)>,
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

const METADATA: (&str, &[&str]) =
    ("metadata", &["name", "namespace", "labels", "annotations", "uid", "creationTimestamp"]);

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
    /// Lists what policy depends on. What may not be read and can be done without is said on standard error.
    pub fn list(&self) -> anyhow::Result<Listing> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = self.client().await?;
            let mut listing = Listing { sources: Vec::new(), owners: Vec::new() };
            for kind in &KINDS {
                match list(&client, kind).await {
                    Ok(items) => items.into_iter().for_each(|item| listing.add(kind, &item)),
                    Err(error) if kind.needed => {
                        return Err(error.context(format!("cannot list the cluster's {}", kind.plural())));
                    }
                    Err(error) => {
                        eprintln!("podwall: answered without the cluster's {}: {error:#}", kind.plural());
                    }
                }
            }
            Ok(listing)
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

impl Listing {
    fn add(&mut self, kind: &Kind, item: &Json) {
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
        let text = format!("{:#}\n", Json::Object(object));
        self.sources.push(Source { name, bytes: text.into_bytes() });
        if kind.name == "Pod"
            && let Some(owner) = owner(item)
        {
            self.owners.push((owner, key(item)));
        }
    }
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

/// The workload that made a pod. A Deployment's pods belong to its ReplicaSet, which is called as the Deployment and
/// the hash that the pod has as a label: nobody needs to read ReplicaSets for that.
fn owner(pod: &Json) -> Option<(WorkloadKind, ObjectKey)> {
    let owners = pod["metadata"]["ownerReferences"].as_array()?;
    let controller = owners.iter().find(|owner| owner["controller"] == true)?;
    let (kind, name) = (controller["kind"].as_str()?, controller["name"].as_str()?);
    let namespace = pod["metadata"]["namespace"].as_str()?;
    let hash = pod["metadata"]["labels"]["pod-template-hash"].as_str();
    let deployment = hash.and_then(|hash| name.strip_suffix(hash)).and_then(|name| name.strip_suffix('-'));
    let (kind, name) = match (kind, deployment) {
        ("ReplicaSet", Some(deployment)) => (WorkloadKind::Deployment, deployment),
        ("ReplicaSet", None) => (WorkloadKind::ReplicaSet, name),
        ("StatefulSet", _) => (WorkloadKind::StatefulSet, name),
        ("DaemonSet", _) => (WorkloadKind::DaemonSet, name),
        ("Job", _) => (WorkloadKind::Job, name),
        _ => return None,
    };
    Some((kind, ObjectKey::new(namespace, name)))
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
    fn a_deployments_pods_are_its_own() {
        let pod = |kind: &str, name: &str, labels: Json| {
            json!({"metadata": {"namespace": "shop", "name": "web-7d9-abc", "labels": labels,
                "ownerReferences": [{"kind": kind, "name": name, "controller": true}]}})
        };
        let hash = json!({"pod-template-hash": "7d9"});
        let shop = |name: &str| ObjectKey::new("shop", name);
        assert_eq!(owner(&pod("ReplicaSet", "web-7d9", hash)), Some((WorkloadKind::Deployment, shop("web"))));
        let bare = owner(&pod("ReplicaSet", "web-7d9", json!({})));
        assert_eq!(bare, Some((WorkloadKind::ReplicaSet, shop("web-7d9"))));
        assert_eq!(owner(&pod("Node", "worker-1", json!({}))), None, "a static pod is nobody's");
    }

    #[test]
    fn an_object_keeps_what_has_a_bearing() {
        let mut listing = Listing { sources: Vec::new(), owners: Vec::new() };
        let pod = json!({"metadata": {"namespace": "shop", "name": "web", "managedFields": []},
            "spec": {"nodeName": "a", "fieldOfNextYear": 1}, "status": {"podIP": "10.0.0.1"}});
        listing.add(&KINDS[1], &pod);
        assert_eq!(listing.sources[0].name, "cluster:Pod/shop/web");
        let read: Json = serde_json::from_slice(&listing.sources[0].bytes).unwrap();
        let kept = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"nodeName": "a"}, "status": {"podIP": "10.0.0.1"}});
        assert_eq!(read, kept);
    }
}
