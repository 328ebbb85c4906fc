//! Looking at the node: reads, and changes nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use podwall_compiler::{bridge_table_id, table_id};
use podwall_netlink::{Conntrack, ConntrackFilter, ForeignTable, Kernel, MarkFilter, ReadBack};
use podwall_reconciler::interfaces::{
    BRIDGE_SETTINGS, CniConfiguration, IP_VS, Watch, check_ipvs, hiding_bridge_settings,
};
use podwall_reconciler::status::Status;

use super::facts::{ApiServer, Connections, Facts};
use super::rule_trial;
use crate::status;

/// Where kube-proxy says its mode, unless it was told otherwise.
const PROXY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 10249);
const PROXY_PATIENCE: Duration = Duration::from_millis(500);
/// How often the agent and the kernel are asked, when the agent writes between the two.
const ATTEMPTS: usize = 5;

/// Looks at everything but the API server.
pub fn gather(socket: &Path, cni_configuration: &Path, api: ApiServer) -> Facts {
    let mut kernel = Kernel::open();
    let nftables = kernel.as_ref().map(|_| ()).map_err(ToString::to_string);
    let others = kernel.as_mut().map(others).unwrap_or_default();
    let (agent, held) = match kernel.as_mut() {
        Ok(kernel) => agent_and_kernel(socket, kernel),
        Err(error) => (ask_agent(socket), Err(error.to_string())),
    };
    Facts {
        release: read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "of no known release".to_owned()),
        nftables,
        rules: rule_trial::run(),
        connections: connections(),
        others,
        ipvs: Watch::open()
            .ok()
            .and_then(|watch| check_ipvs(watch.table(), Path::new(IP_VS)).err())
            .map(|found| found.found.to_owned()),
        proxy_says: ask_proxy(),
        hiding_bridges: hiding_bridge_settings(Path::new(BRIDGE_SETTINGS)),
        cni: CniConfiguration::read(cni_configuration),
        agent,
        held,
        api,
    }
}

fn others(kernel: &mut Kernel) -> Vec<ForeignTable> {
    kernel.foreign_tables(&[table_id(), bridge_table_id()]).unwrap_or_default()
}

/// Both of one moment: the agent wrote nothing between its two answers.
fn agent_and_kernel(
    socket: &Path,
    kernel: &mut Kernel,
) -> (Result<Status, String>, Result<ReadBack, String>) {
    let mut agent = ask_agent(socket);
    for _ in 0..ATTEMPTS {
        let held = kernel.read(&[table_id(), bridge_table_id()]).map_err(|error| error.to_string());
        let after = ask_agent(socket);
        let wrote = |status: &Result<Status, String>| status.as_ref().map(|it| it.transactions).ok();
        if wrote(&agent) == wrote(&after) {
            return (after, held);
        }
        agent = after;
    }
    let held = kernel.read(&[table_id(), bridge_table_id()]).map_err(|error| error.to_string());
    (agent, held)
}

fn ask_agent(socket: &Path) -> Result<Status, String> {
    status::ask(socket).map_err(|error| format!("{error:#}"))
}

/// A list of connections that nothing has: whether there may be one.
fn connections() -> Result<Connections, String> {
    let mut conntrack = Conntrack::open().map_err(|error| error.to_string())?;
    let nothing = MarkFilter { value: u32::MAX, mask: u32::MAX };
    let filter = ConntrackFilter { mark: Some(nothing), ..ConntrackFilter::default() };
    conntrack.list(filter, drop).map_err(|error| error.to_string())?;
    let number = |name: &str| read(&format!("/proc/sys/net/netfilter/{name}"))?.parse().ok();
    match number("nf_conntrack_count") {
        Some(count) => Ok(Connections { count, max: number("nf_conntrack_max") }),
        None => Err("net.netfilter.nf_conntrack_count cannot be read".to_owned()),
    }
}

/// Anybody may listen there: only a word that is a mode is believed.
fn ask_proxy() -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(PROXY), PROXY_PATIENCE).ok()?;
    stream.set_read_timeout(Some(PROXY_PATIENCE)).ok()?;
    stream.write_all(b"GET /proxyMode HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer).ok()?;
    let (_, mode) = answer.split_once("\r\n\r\n")?;
    ["nftables", "iptables", "ipvs"].into_iter().find(|it| *it == mode.trim()).map(str::to_owned)
}

fn read(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
