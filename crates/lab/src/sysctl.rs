//! The kernel's settings inside the lab's namespaces.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::LabError;

/// What must be so, and is written to every namespace before it has a link: `default` only reaches interfaces
/// that are made afterwards.
const NEEDED: &[(&str, &str)] = &[
    // The kernel takes the larger of `all` and the interface's own value.
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // A hairpin leaves by the interface it came from, and must not be answered with "go there yourself".
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    // Refusals must be answered each time: a probe that gets no answer counts as denied.
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv4/icmp_ratemask", "0"),
    ("net/ipv4/ping_group_range", "0 0"),
    ("net/core/somaxconn", "4096"),
];

/// The same for IPv6.
const NEEDED_IPV6: &[(&str, &str)] = &[
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/default/disable_ipv6", "0"),
    // Addresses must be usable at once.
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/dad_transmits", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
];

/// What helps where the kernel has it and lets us.
const WELCOME: &[(&str, &str)] = &[
    ("net/ipv4/icmp_msgs_per_sec", "1000000"),
    ("net/ipv4/icmp_msgs_burst", "1000000"),
    ("net/ipv4/conf/all/accept_redirects", "0"),
    ("net/ipv4/conf/default/accept_redirects", "0"),
    ("net/ipv6/conf/all/accept_redirects", "0"),
    ("net/ipv6/conf/default/accept_redirects", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    ("net/ipv6/icmp/ratemask", "\n"),
    // What waits while a neighbour is looked up: a probe of many ports begins with many packets at once.
    ("net/ipv4/neigh/default/unres_qlen_bytes", "4194304"),
    ("net/ipv6/neigh/default/unres_qlen_bytes", "4194304"),
];

const FORWARDING: &[(&str, &str)] =
    &[("net/ipv4/ip_forward", "1"), ("net/ipv4/conf/default/forwarding", "1")];
const FORWARDING_IPV6: &[(&str, &str)] =
    &[("net/ipv6/conf/all/forwarding", "1"), ("net/ipv6/conf/default/forwarding", "1")];

/// Settings of the namespace that this thread is in.
pub fn prepare(forwarding: bool, ipv6: bool) -> Result<(), LabError> {
    for (name, value) in NEEDED {
        write(name, value)?;
    }
    // Before anything else of IPv6 is tried: a kernel without it has no such folder.
    if ipv6 && !Path::new("/proc/sys/net/ipv6").exists() {
        return Err(LabError::machine("IPv6 probes were asked for", "this kernel has no IPv6"));
    }
    if ipv6 {
        for (name, value) in NEEDED_IPV6 {
            write(name, value)?;
        }
    }
    for (name, value) in WELCOME {
        let _ = fs::write(path(name), value);
    }
    if forwarding {
        let families: &[_] = if ipv6 { &[FORWARDING, FORWARDING_IPV6] } else { &[FORWARDING] };
        for (name, value) in families.iter().copied().flatten() {
            write(name, value)?;
        }
    }
    Ok(())
}

/// What shows bridged packets to nftables, per family.
const BRIDGE_HOOKS: [&str; 2] = ["net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"];

/// Fails when packets between the bridged pods of `node` would pass by its policies; in the node's namespace.
pub fn check_bridge(node: &str) -> Result<(), LabError> {
    let failed = |found: &str, remedy: &str| {
        let operation = format!("policies would not be enforced between the bridged pods of node {node}");
        Err(LabError::machine(operation, format!("{found}; {remedy}")))
    };
    for setting in BRIDGE_HOOKS {
        let name = setting.replace('/', ".");
        match fs::read_to_string(path(setting)) {
            Ok(value) if value.trim() == "1" => {}
            Ok(value) => {
                let found = format!("{name} is {}", value.trim());
                return failed(&found, &format!("set it: sysctl -w {name}=1"));
            }
            Err(_) => {
                return failed(&format!("there is no {name}"), "load the module: modprobe br_netfilter");
            }
        }
    }
    Ok(())
}

/// Sets one setting of the namespace that this thread is in.
pub fn write(name: &str, value: &str) -> Result<(), LabError> {
    fs::write(path(name), value).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::ReadOnlyFilesystem => " (in a container, /proc/sys must be writable)",
            _ => "",
        };
        LabError::machine(format!("cannot set {}", name.replace('/', ".")), format!("{error}{hint}"))
    })
}

fn path(name: &str) -> String {
    format!("/proc/sys/{name}")
}
