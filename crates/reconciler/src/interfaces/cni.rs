//! What the configuration of the CNI plugins says of pods' interfaces.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde_json::Value;

/// Where flannel writes which network this node's pods are in, unless its configuration says otherwise.
const FLANNEL_SUBNET_FILE: &str = "/run/flannel/subnet.env";

/// The configuration that the container runtime uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniConfiguration {
    /// The file.
    pub file: PathBuf,
    /// How it connects pods; `None` for a plugin that we do not know.
    pub network: Option<PodNetwork>,
}

/// How pods are connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodNetwork {
    /// Each by an interface of its own, whose name begins like this.
    Routed {
        /// The beginning.
        prefix: String,
    },
    /// By ports of a bridge.
    Bridged {
        /// The bridge, which is not there before the first pod is.
        bridge: String,
        /// The networks that its pods are in, as far as they are written down.
        ranges: Vec<IpNet>,
    },
}

impl CniConfiguration {
    /// Reads the configuration in a folder: the first by name that can be read, as the runtimes do. `None` if
    /// there is none yet.
    pub fn read(folder: &Path) -> Option<Self> {
        let entries = std::fs::read_dir(folder).ok()?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| {
            let extension = file.extension().and_then(|it| it.to_str());
            matches!(extension, Some("conflist" | "conf" | "json"))
        });
        files.sort();
        files.into_iter().find_map(|file| {
            let text = std::fs::read_to_string(&file).ok()?;
            let value: Value = serde_json::from_str(&text).ok()?;
            let network = pod_network(&value, &|path| std::fs::read_to_string(path).ok())?;
            Some(Self { file, network })
        })
    }
}

/// `None` when this is no configuration at all.
fn pod_network(value: &Value, read: &dyn Fn(&str) -> Option<String>) -> Option<Option<PodNetwork>> {
    let plugins = match value.get("plugins") {
        Some(plugins) => plugins.as_array()?.clone(),
        None => vec![value.clone()],
    };
    let types: Option<Vec<&str>> = plugins.iter().map(|plugin| plugin.get("type")?.as_str()).collect();
    if types?.iter().all(|kind| *kind == "loopback") {
        return None;
    }
    Some(plugins.iter().find_map(|plugin| of_plugin(plugin, read)))
}

fn of_plugin(plugin: &Value, read: &dyn Fn(&str) -> Option<String>) -> Option<PodNetwork> {
    let routed = |prefix: &str| Some(PodNetwork::Routed { prefix: prefix.to_owned() });
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    match plugin.get("type")?.as_str()? {
        "ptp" => routed("veth"),
        "calico" => routed("cali"),
        // The prefix can be chosen; without a choice it is this.
        "aws-cni" => Some(PodNetwork::Routed { prefix: text(plugin, "vethPrefix").unwrap_or("eni".into()) }),
        "gke" => routed("gke"),
        "azure-vnet" if text(plugin, "mode").as_deref() != Some("bridge") => routed("azv"),
        "bridge" => {
            let bridge = text(plugin, "bridge").unwrap_or("cni0".into());
            Some(PodNetwork::Bridged { bridge, ranges: ranges(plugin.get("ipam")) })
        }
        "flannel" => {
            let delegate = plugin.get("delegate").cloned().unwrap_or_default();
            if text(&delegate, "type").is_some_and(|kind| kind != "bridge") {
                return of_plugin(&delegate, read);
            }
            let bridge = text(&delegate, "bridge").unwrap_or("cni0".into());
            let file = text(plugin, "subnetFile").unwrap_or(FLANNEL_SUBNET_FILE.into());
            let ranges = read(&file).map(|text| flannel_subnets(&text)).unwrap_or_default();
            Some(PodNetwork::Bridged { bridge, ranges })
        }
        _ => None,
    }
}

/// What host-local gives addresses from: `subnet`, and `ranges`, which is a list of lists.
fn ranges(ipam: Option<&Value>) -> Vec<IpNet> {
    let Some(ipam) = ipam else { return Vec::new() };
    let lists = ipam.get("ranges").and_then(Value::as_array).into_iter().flatten();
    let of_lists = lists.filter_map(Value::as_array).flatten();
    let subnets = std::iter::once(ipam).chain(of_lists).filter_map(|range| range.get("subnet")?.as_str());
    subnets.filter_map(network).collect()
}

/// `FLANNEL_SUBNET=10.244.0.1/24`, and `FLANNEL_IPV6_SUBNET`.
fn flannel_subnets(text: &str) -> Vec<IpNet> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let subnets = pairs.filter(|(name, _)| matches!(*name, "FLANNEL_SUBNET" | "FLANNEL_IPV6_SUBNET"));
    subnets.filter_map(|(_, value)| network(value.trim())).collect()
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().map(|network| network.trunc()).filter(is_pod_range)
}

/// What can be a range of pods: not a single address, and not what is on every link.
pub(super) fn is_pod_range(network: &IpNet) -> bool {
    let is_link_local = match network.addr() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    network.prefix_len() > 0 && network.prefix_len() < network.max_prefix_len() && !is_link_local
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Option<PodNetwork> {
        let read = |path: &str| {
            (path == "/run/flannel/subnet.env").then(|| {
                "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_IPV6_SUBNET=fd00:3::1/64\n\
                 FLANNEL_MTU=1450\n"
                    .to_owned()
            })
        };
        pod_network(&value, &read).expect("a configuration")
    }

    fn routed(prefix: &str) -> Option<PodNetwork> {
        Some(PodNetwork::Routed { prefix: prefix.into() })
    }

    fn bridged(bridge: &str, ranges: &[&str]) -> Option<PodNetwork> {
        let ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
        Some(PodNetwork::Bridged { bridge: bridge.into(), ranges })
    }

    #[test]
    fn plugins_that_give_each_pod_an_interface() {
        assert_eq!(of(json!({"plugins": [{"type": "ptp"}, {"type": "portmap"}]})), routed("veth"));
        assert_eq!(of(json!({"plugins": [{"type": "calico"}, {"type": "bandwidth"}]})), routed("cali"));
        assert_eq!(of(json!({"plugins": [{"type": "aws-cni"}]})), routed("eni"));
        assert_eq!(of(json!({"plugins": [{"type": "aws-cni", "vethPrefix": "vpc"}]})), routed("vpc"));
        assert_eq!(of(json!({"type": "azure-vnet", "mode": "transparent"})), routed("azv"));
        assert_eq!(of(json!({"plugins": [{"type": "somebodys"}]})), None);
    }

    #[test]
    fn plugins_that_put_pods_on_a_bridge() {
        let ipam = json!({"type": "host-local", "ranges": [[{"subnet": "10.22.1.7/16"}], [{"subnet": "fd00::/64"}]]});
        let plugin = json!({"plugins": [{"type": "bridge", "bridge": "pods0", "ipam": ipam}]});
        assert_eq!(of(plugin), bridged("pods0", &["10.22.0.0/16", "fd00::/64"]));
        let plugin = json!({"type": "bridge", "ipam": {"subnet": "10.1.0.0/24"}});
        assert_eq!(of(plugin), bridged("cni0", &["10.1.0.0/24"]));
        let plugin = json!({"plugins": [{"type": "flannel", "delegate": {"isDefaultGateway": true}}]});
        assert_eq!(of(plugin), bridged("cni0", &["10.244.3.0/24", "fd00:3::/64"]));
        let plugin = json!({"type": "flannel", "subnetFile": "/elsewhere", "delegate": {"bridge": "br1"}});
        assert_eq!(of(plugin), bridged("br1", &[]));
        assert_eq!(of(json!({"type": "flannel", "delegate": {"type": "ptp"}})), routed("veth"));
    }

    #[test]
    fn the_first_file_that_can_be_read_counts() {
        let folder = std::env::temp_dir().join(format!("podwall-cni-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        assert_eq!(CniConfiguration::read(&folder), None);
        write("00-other.txt", r#"{"type": "calico"}"#);
        write("05-broken.conflist", "{");
        write("06-loopback.conf", r#"{"type": "loopback"}"#);
        write("10-main.conflist", r#"{"plugins": [{"type": "ptp"}]}"#);
        write("20-later.conf", r#"{"type": "calico"}"#);
        let read = CniConfiguration::read(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!((read.file, read.network), (folder.join("10-main.conflist"), routed("veth")));
    }
}
