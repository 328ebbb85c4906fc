//! The kernel as referee. For every golden case and for generated clusters:
//!
//! * what netlink loaded reads back as what was sent;
//! * it lists the same as what `nft -f` loaded from our text, and that text says the same as the listing;
//! * what nft -f loaded from our text reads back as the ruleset, too;
//! * the listing reloads to the same, and our text loaded twice equals our text loaded once;
//! * the difference to the next ruleset is one that the kernel takes, and leads to the next ruleset.
//!
//! Runs in a user and network namespace of its own: no root, nothing left behind. `NFT` names another nft. With `BESIDE`
//! it stays in the namespace that it was started in, where others' tables are: their listing must stay what it was.

#[path = "../../crates/compiler/tests/properties/cluster.rs"]
#[allow(dead_code)] // the connections: the properties' business
mod cluster;
#[path = "referee/listing.rs"]
mod listing;
#[path = "referee/nft.rs"]
mod nft;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use nix::sched::{CloneFlags, unshare};
use podwall_compiler::{
    Attachment, Closed, FlowLog, NodeOptions, NodeState, UnknownPods, bridge_table_id, compile, table_id,
};
use podwall_netlink::{Kernel, ReadBack};
use podwall_policy::read::{Source, read};
use podwall_policy::{Cluster, ObjectKey, PlacementOptions, place};
use podwall_ruleset::{HardwareAddress, InterfaceName, Known, Ruleset, diff};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use listing::{ours, same, without_ours};
use nft::Nft;

/// How many clusters are generated.
const CLUSTERS: usize = 150;

fn main() -> ExitCode {
    if std::env::var_os("BESIDE").is_none()
        && let Err(error) = isolate()
    {
        eprintln!("cannot make a network namespace: {error}; allow user namespaces or run as root");
        return ExitCode::FAILURE;
    }
    let referee = match Nft::find().and_then(Referee::new) {
        Ok(referee) => referee,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    referee.judge_all()
}

struct Referee {
    kernel: Kernel,
    nft: Nft,
    /// What was listed before there was anything of ours.
    others: String,
}

/// What became of one ruleset.
#[derive(Default)]
struct Judgement {
    taken: bool,
    listed: bool,
    reloaded: bool,
    reasons: Vec<String>,
}

impl Judgement {
    fn good(&self) -> bool {
        self.taken && self.listed && self.reloaded
    }

    /// Whether it went well, and remembers why not.
    fn went_well(&mut self, result: Result<(), String>) -> bool {
        self.reasons.extend(result.as_ref().err().cloned());
        result.is_ok()
    }
}

impl Referee {
    fn new(nft: Nft) -> Result<Referee, String> {
        let others = nft.run(&["list", "ruleset"], "")?;
        Ok(Referee { kernel: Kernel::open().map_err(|error| error.to_string())?, nft, others })
    }

    fn judge_all(mut self) -> ExitCode {
        let mut known = Known::Unknown;
        let (mut all, mut good, mut taken, mut listed, mut reloaded) = (0, 0, 0, 0, 0);
        for (name, ruleset) in golden_cases().into_iter().chain(generated()) {
            let judgement = self.judge(&known, &ruleset);
            all += 1;
            taken += u32::from(judgement.taken);
            listed += u32::from(judgement.listed);
            reloaded += u32::from(judgement.reloaded);
            good += u32::from(judgement.good());
            for reason in &judgement.reasons {
                println!("test {name} ... FAILED\n{reason}");
            }
            known = reload(&mut self.kernel, &ruleset);
        }
        println!("nft {}: {good} passed, {} failed", self.nft.version(), all - good);
        println!("of {all} taken {taken} listed {listed} reloaded {reloaded}");
        if good == all && good as usize > CLUSTERS { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn judge(&mut self, known: &Known, ruleset: &Ruleset) -> Judgement {
        let mut judgement = Judgement::default();
        let taken = self.taken(known, ruleset);
        judgement.taken = judgement.went_well(taken);
        let listing = match self.listed(ruleset) {
            Ok(listing) => listing,
            Err(reason) => {
                judgement.reasons.push(reason);
                return judgement;
            }
        };
        judgement.listed = true;
        let reloaded = self.reloaded(ruleset, &listing);
        judgement.reloaded = judgement.went_well(reloaded);
        judgement
    }

    /// Netlink: the difference, and the whole.
    fn taken(&mut self, known: &Known, ruleset: &Ruleset) -> Result<(), String> {
        let mut apply = |transaction, what| {
            self.kernel.apply(&transaction).map_err(|error| format!("{what} was refused: {error}"))?;
            expect_holds(&mut self.kernel, ruleset, &format!("after {what}"))
        };
        apply(diff(known, ruleset), "the difference")?;
        apply(diff(&Known::Unknown, ruleset), "the whole")
    }

    /// The listing of what netlink loaded.
    fn listed(&mut self, ruleset: &Ruleset) -> Result<String, String> {
        let by_netlink = self.list()?;
        let text = format!("{}{ruleset}", clear(ruleset));
        self.nft.run(&["-f", "-"], &text)?;
        self.nft.run(&["-f", "-"], &text)?;
        let by_text = self.list()?;
        same("the listing of what netlink loaded and of what nft -f loaded", &by_netlink, &by_text)?;
        same("our text and the listing", &self.nft.shown(&ruleset.to_string()), &by_text)?;
        Ok(by_netlink)
    }

    fn reloaded(&mut self, ruleset: &Ruleset, listing: &str) -> Result<(), String> {
        self.nft.run(&["-f", "-"], &format!("{}{}", clear(ruleset), of_packets(ruleset)))?;
        expect_holds(&mut self.kernel, ruleset, "after nft -f")?;
        self.nft.run(&["-f", "-"], &format!("{}{listing}", clear(ruleset)))?;
        same("the listing and what it reloads to", listing, &self.list()?)
    }

    /// Our tables in the listing of all.
    fn list(&self) -> Result<String, String> {
        let all = self.nft.run(&["list", "ruleset"], "")?;
        if without_ours(&all) != self.others {
            return Err(format!("others' tables were\n{}and are\n{}", self.others, without_ours(&all)));
        }
        Ok(ours(&all))
    }
}

/// The beginning of a text that is to replace our tables and nobody else's.
fn clear(ruleset: &Ruleset) -> String {
    ruleset.tables.keys().map(|table| format!("table {table} {{}}\ndelete table {table}\n")).collect()
}

/// In a namespace where nothing is anybody else's.
fn isolate() -> nix::Result<()> {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    if uid.is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    let map = |file: &str, text: String| std::fs::write(file, text).map_err(|_| nix::Error::EPERM);
    map("/proc/self/setgroups", "deny".into())?;
    map("/proc/self/uid_map", format!("0 {uid} 1"))?;
    map("/proc/self/gid_map", format!("0 {gid} 1"))
}

fn golden_cases() -> Vec<(String, Ruleset)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/compiler/tests/cases");
    let cases = std::fs::read_dir(folder).expect("the golden cases").map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = cases.collect();
    cases.sort();
    let options = PlacementOptions { node_count: 1, ipv4: true, ipv6: true };
    let cluster =
        |bytes| place(&read(&[Source { name: "cluster.yaml".into(), bytes }], "default"), &options, None);
    cases
        .iter()
        .map(|case| {
            (
                case.display().to_string(),
                compiled(&cluster(std::fs::read(case.join("cluster.yaml")).unwrap())),
            )
        })
        .collect()
}

fn generated() -> Vec<(String, Ruleset)> {
    let mut runner = TestRunner::default();
    let mut one = || cluster::cluster().new_tree(&mut runner).expect("a cluster").current();
    (0..CLUSTERS).map(|index| (format!("generated-{index}"), compiled(&one()))).collect()
}

/// With pods of every kind of attachment, and everything switched on.
fn compiled(cluster: &Cluster) -> Ruleset {
    let attach = |key: &ObjectKey| {
        let interface = InterfaceName::new(&format!("veth-{}", key.name)).unwrap();
        let attachment = match key.name.as_bytes().last() {
            Some(b'3') => return None,
            Some(b'1' | b'4') => Attachment::Bridged {
                port: interface,
                hardware_address: Some(HardwareAddress([2, 0, 0, 0, 0xab, 1])),
            },
            _ => Attachment::Routed(interface),
        };
        Some((key.clone(), attachment))
    };
    let attachments: BTreeMap<_, _> = cluster.pods.keys().filter_map(attach).collect();
    let unknown_pods = UnknownPods::Drop {
        interface_prefixes: vec![InterfaceName::new("veth").unwrap()],
        bridge_ranges: vec!["10.244.0.0/24".parse().unwrap(), "fd00:10:244::/64".parse().unwrap()],
    };
    let options = NodeOptions {
        anti_spoofing: true,
        unknown_pods,
        revoked_mark: Some(0x1000_0000),
        counters: true,
        flow_log: Some(FlowLog { group: 9427, allowed: true }),
    };
    compile(NodeState {
        cluster,
        node: "node-1",
        attachments: &attachments,
        closed: &Closed::default(),
        options: &options,
    })
    .ruleset
}

/// The text, where the type of ICMPv6 messages on a bridge is that of the packet in the frame: without being told so,
/// nft looks for an ethertype in the frame's header, which is another rule.
fn of_packets(ruleset: &Ruleset) -> String {
    let text = ruleset.to_string();
    let Some((inet, bridge)) = text.split_once("table bridge") else { return text };
    let bridge = bridge.replace("icmpv6 type", "meta protocol ip6 icmpv6 type");
    format!("{inet}table bridge{bridge}")
}

fn expect_holds(kernel: &mut Kernel, ruleset: &Ruleset, when: &str) -> Result<(), String> {
    match kernel.read(&[table_id(), bridge_table_id()]).map_err(|error| error.to_string())? {
        ReadBack::Exactly(read) if read == *ruleset => Ok(()),
        ReadBack::Exactly(read) => Err(format!("{when} the kernel holds\n{read}instead of\n{ruleset}")),
        ReadBack::Foreign { table, what } => Err(format!("{when} {table} holds {what}, which is not ours")),
    }
}

/// The next case starts from what this one should have led to.
fn reload(kernel: &mut Kernel, ruleset: &Ruleset) -> Known {
    kernel.apply(&diff(&Known::Unknown, ruleset)).expect("taken before");
    Known::Exactly(ruleset.clone())
}
