//! What must be so on this host for policy to be enforced at all.

use std::io::{self, ErrorKind};
use std::path::Path;

use podwall_netlink::{Feature, Kernel};
use podwall_policy::{Consequence, Problem};

use super::links::Links;
use crate::error::AgentError;
use crate::settings::Settings;

/// Why this host cannot be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "kube-proxy uses IPVS on this node ({found}), which takes packets to Services past the forward hook: \
     NetworkPolicy cannot be enforced; run kube-proxy in mode nftables or iptables, and clean up after IPVS \
     (kube-proxy --cleanup)"
)]
pub struct IpvsInUse {
    /// What gave it away.
    pub found: &'static str,
}

/// Refuses a host on which kube-proxy uses IPVS. `ip_vs` is the file of its services, `/proc/net/ip_vs`.
pub fn check_ipvs(links: &Links, ip_vs: &Path) -> Result<(), IpvsInUse> {
    if links.links().any(|(_, link)| link.name == "kube-ipvs0") {
        return Err(IpvsInUse { found: "the interface kube-ipvs0" });
    }
    let services = std::fs::read_to_string(ip_vs).unwrap_or_default();
    // Three lines of heading, then one for each service and server.
    if services.lines().any(|line| ["TCP ", "UDP ", "SCTP ", "FWM "].iter().any(|it| line.starts_with(it))) {
        return Err(IpvsInUse { found: "services in /proc/net/ip_vs" });
    }
    Ok(())
}

/// The file of the services of IPVS.
pub const IP_VS: &str = "/proc/net/ip_vs";
/// The folder of what shows bridged packets to nftables.
pub const BRIDGE_SETTINGS: &str = "/proc/sys/net/bridge";

/// What this kernel must have for the ruleset of these settings.
fn needed(settings: &Settings) -> Vec<Feature> {
    let mut needed = vec![Feature::Inet, Feature::Maps, Feature::ConnectionTracking, Feature::Counters];
    needed.extend(settings.revoked_mark.is_some().then_some(Feature::ConnectionMarks));
    needed
}

/// What the kernel lacks, and why that is no place to enforce.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this kernel cannot enforce NetworkPolicy: it lacks {}; load the module, or run another kernel{}",
    list(lacking),
    advice(lacking)
)]
pub struct KernelLacks {
    /// All of it.
    pub lacking: Vec<Feature>,
}

fn list(lacking: &[Feature]) -> String {
    lacking.iter().map(Feature::to_string).collect::<Vec<_>>().join(" and ")
}

fn advice(lacking: &[Feature]) -> &'static str {
    match lacking {
        [Feature::ConnectionMarks] => ", or go without: --revocation off",
        _ => "",
    }
}

/// Refuses a kernel that would refuse every ruleset of these settings. What only pods on bridges need is told and no
/// more: there may never be one.
pub fn check_kernel(kernel: &mut Kernel, settings: &Settings) -> Result<(), AgentError> {
    let asked = [&needed(settings)[..], &[Feature::Bridge]].concat();
    let mut lacking = kernel.lacks(&asked).map_err(AgentError::Features)?;
    let lacks_bridge = lacking.contains(&Feature::Bridge);
    lacking.retain(|feature| *feature != Feature::Bridge);
    // Without the one nobody can tell of the other.
    if lacking.contains(&Feature::ConnectionTracking) {
        lacking.retain(|feature| *feature != Feature::ConnectionMarks);
    }
    if !lacking.is_empty() {
        return Err(KernelLacks { lacking }.into());
    }
    if lacks_bridge {
        tracing::warn!("this kernel lacks {}: no policy holds for pods on a bridge", Feature::Bridge);
    }
    Ok(())
}

/// What shows bridged packets to nftables, per family.
const SETTINGS: [&str; 2] = ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"];

/// Whether packets between pods on one bridge are shown to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BridgeHooks {
    /// The settings that were wrong and are right now, because we set them.
    pub corrected: Vec<&'static str>,
    /// What is wrong still.
    pub problems: Vec<Problem>,
}

/// Looks at the settings, and corrects them where that is allowed. To be called when pods are on bridges. `folder` is
/// `/proc/sys/net/bridge`.
pub fn bridge_hooks(folder: &Path) -> BridgeHooks {
    let mut hooks = BridgeHooks::default();
    if !folder.is_dir() {
        let message = "net.bridge.bridge-nf-call-iptables does not exist, so packets between pods of one bridge are \
                       not shown to nftables and no policy holds between them; load the module: modprobe br_netfilter";
        hooks.problems.push(problem(message.to_owned()));
        return hooks;
    }
    for setting in SETTINGS {
        let file = folder.join(setting);
        match ensure_one(&file) {
            Ok(false) => {}
            Ok(true) => hooks.corrected.push(setting),
            Err(error) => hooks.problems.push(problem(format!(
                "net.bridge.{setting} is not 1 and cannot be set from here ({}), so no policy holds between pods of \
                 one bridge; on the node: sysctl -w net.bridge.{setting}=1",
                reason(&error)
            ))),
        }
    }
    hooks
}

/// The settings that hide bridged packets from us, as they are; `None` when there are none, without the module.
pub fn hiding_bridge_settings(folder: &Path) -> Option<Vec<&'static str>> {
    let hides = |setting: &&str| !is_one(&folder.join(setting)).unwrap_or(false);
    folder.is_dir().then(|| SETTINGS.into_iter().filter(hides).collect())
}

fn is_one(file: &Path) -> io::Result<bool> {
    Ok(std::fs::read_to_string(file)?.trim() == "1")
}

/// Returns whether it had to be set.
fn ensure_one(file: &Path) -> io::Result<bool> {
    if is_one(file)? {
        return Ok(false);
    }
    std::fs::write(file, "1")?;
    // What is not ours to set may take the write and keep its value.
    match std::fs::read_to_string(file)?.trim() {
        "1" => Ok(true),
        value => Err(io::Error::other(format!("it stays {value:?}"))),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => "/proc/sys is read-only here".to_owned(),
        _ => error.to_string(),
    }
}

fn problem(message: String) -> Problem {
    let (file, line, object, field) = (None, None, None, None);
    Problem { file, line, object, field, message, consequence: Consequence::Ignored }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces::links::{Link, LinkKind, Update};
    use crate::interfaces::testing::hardware;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("podwall-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn all_that_is_lacking_is_named() {
        let error = KernelLacks { lacking: vec![Feature::ConnectionTracking, Feature::Inet] };
        assert_eq!(
            error.to_string(),
            "this kernel cannot enforce NetworkPolicy: it lacks connection tracking in nftables (CONFIG_NFT_CT, \
             module nft_ct) and tables of the family inet (CONFIG_NF_TABLES_INET); load the module, or run another kernel"
        );
        let error = KernelLacks { lacking: vec![Feature::ConnectionMarks] };
        assert!(error.to_string().ends_with(", or go without: --revocation off"), "{error}");
    }

    #[test]
    fn ipvs_is_refused() {
        let folder = folder("ipvs");
        let file = folder.join("ip_vs");
        let mut links = Links::default();
        assert_eq!(check_ipvs(&links, &file), Ok(()));
        let heading = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> \
                       RemoteAddress:Port Forward Weight ActiveConn InActConn\n";
        std::fs::write(&file, heading).unwrap();
        assert_eq!(check_ipvs(&links, &file), Ok(()), "loaded and not used");
        std::fs::write(&file, format!("{heading}TCP  0A600001:01BB rr\n")).unwrap();
        let refused = check_ipvs(&links, &file).unwrap_err();
        assert!(refused.to_string().contains("nftables or iptables"), "{refused}");
        std::fs::remove_dir_all(&folder).unwrap();
        links.apply(Update::Link(9, Link { kind: LinkKind::Dummy, ..hardware("kube-ipvs0") }));
        assert_eq!(check_ipvs(&links, &file), Err(IpvsInUse { found: "the interface kube-ipvs0" }));
    }

    #[test]
    fn settings_of_bridges_are_corrected_or_reported() {
        let folder = folder("bridge");
        std::fs::write(folder.join("bridge-nf-call-iptables"), "0\n").unwrap();
        std::fs::write(folder.join("bridge-nf-call-ip6tables"), "1\n").unwrap();
        assert_eq!(hiding_bridge_settings(&folder), Some(vec!["bridge-nf-call-iptables"]));
        std::fs::remove_file(folder.join("bridge-nf-call-ip6tables")).unwrap();
        let hooks = bridge_hooks(&folder);
        assert_eq!(hooks.corrected, ["bridge-nf-call-iptables"]);
        assert_eq!(hooks.problems.len(), 1);
        assert!(hooks.problems[0].message.contains("sysctl -w net.bridge.bridge-nf-call-ip6tables=1"));
        std::fs::write(folder.join("bridge-nf-call-ip6tables"), "1\n").unwrap();
        assert_eq!(bridge_hooks(&folder), BridgeHooks::default());
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(hiding_bridge_settings(&folder), None);
        assert!(bridge_hooks(&folder).problems[0].message.contains("modprobe br_netfilter"));
    }
}
