//! What goes is seen to go, even when the kernel cannot tell.

use std::process::Command;
use std::time::{Duration, Instant};

use podwall_compiler::Attachment;
use podwall_reconciler::interfaces::Watch;
use podwall_ruleset::InterfaceName;

use crate::WITHOUT_RIGHTS;
use crate::host::{Loop, add_bridge, bridged_pod, ip, key, routed_pod};

fn name(text: &str) -> InterfaceName {
    InterfaceName::new(text).expect("a name")
}

pub fn a_deleted_link_is_gone() {
    let _pod = routed_pod("veth1", "10.1.0.1");
    let mut agent = Loop::start();
    agent.set_pod("a", &["10.1.0.1"]);
    agent.until_found("a");
    agent.finder.remove_pod(&key("a"));
    let closed = |it: &mut Loop| it.finder.closed(it.watch.links()).interfaces.contains(&name("veth1"));
    agent.until("what is left behind is closed", closed);
    ip("link del veth1\n");
    let took = agent.until("it is gone", |it| it.finder.closed(it.watch.links()).interfaces.is_empty());
    println!("     a deleted link is known after {took:?}");
}

pub fn a_left_bridge_and_a_new_name_are_seen() {
    add_bridge();
    let _pod = bridged_pod("veth1", "10.22.0.5");
    let mut agent = Loop::start();
    agent.set_pod("a", &["10.22.0.5"]);
    agent.until_found("a");
    ip("link set veth1 nomaster\n");
    let is_routed =
        |interface| move |it: &mut Loop| it.attachment("a") == Some(&Attachment::Routed(name(interface)));
    agent.until("it has left the bridge and is there", is_routed("veth1"));
    ip("link set veth1 down\nlink set veth1 name renamed\n");
    agent.until("the new name is known", is_routed("renamed"));
}

pub fn a_replaced_route_moves_the_address() {
    let _one = routed_pod("veth1", "10.1.0.1");
    let _other = routed_pod("veth2", "10.1.0.2");
    let mut agent = Loop::start();
    agent.set_pod("a", &["10.1.0.1"]);
    agent.until_found("a");
    ip("route replace 10.1.0.1 dev veth2\n");
    let moved = |it: &mut Loop| it.attachment("a") == Some(&Attachment::Routed(name("veth2")));
    agent.until("the address has moved", moved);
}

pub fn lost_events_lose_nothing() {
    let _stays = routed_pod("veth1", "10.1.0.1");
    let _goes = routed_pod("veth2", "10.1.0.2");
    let mut agent = Loop::start();
    agent.set_pod("stays", &["10.1.0.1"]);
    agent.set_pod("goes", &["10.1.0.2"]);
    agent.until_found("goes");
    // Nobody takes the reports meanwhile, so the thread stands and the kernel's buffer fills.
    ip("link add storm type bridge\n");
    ip(&"link set storm up\nlink set storm down\n".repeat(20_000));
    ip("link del veth2\nlink set veth1 down\nlink set veth1 name renamed\nlink set renamed up\n");
    let took = agent.until("the truth is known", |it| {
        let renamed = Some(&Attachment::Routed(name("renamed")));
        it.attachment("goes").is_none() && it.attachment("stays") == renamed && it.watch.relists() > 0
    });
    println!("     after lost events: all known in {took:?}, listed again {} times", agent.watch.relists());
}

/// In a process of its own, in this namespace.
pub fn without_rights_routes_still_tell() {
    add_bridge();
    let _routed = routed_pod("veth1", "10.1.0.1");
    let _bridged = bridged_pod("veth2", "10.22.0.5");
    let myself = std::env::current_exe().expect("the path of this program");
    let mut child = Command::new("setpriv");
    child.args(["--inh-caps=-net_admin", "--bounding-set=-net_admin"]).arg(myself);
    let status = child.env(WITHOUT_RIGHTS, "1").status().expect("setpriv");
    assert!(status.success());
}

pub fn look_without_rights() {
    let mut agent = Loop::start();
    agent.set_pod("bridged", &["10.22.0.5"]);
    agent.set_pod("routed", &["10.1.0.1"]);
    agent.until_found("routed");
    let started = Instant::now();
    agent.until("it was tried", |_| started.elapsed() > Duration::from_millis(300));
    assert_eq!(agent.attachment("bridged"), None, "it cannot be seen");
}

pub fn a_dropped_watch_ends_its_thread() {
    let is_watch = |task: &std::path::Path| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "interfaces")
    };
    let watches = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
        tasks.filter(|task| task.as_ref().is_ok_and(|task| is_watch(&task.path()))).count()
    };
    let wait_for = |count| {
        let started = Instant::now();
        while watches() != count {
            assert!(started.elapsed() < Duration::from_secs(5), "not {count} threads");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    // Those of other tests end by themselves, and a new one is not called so at once.
    wait_for(0);
    let watch = Watch::open().expect("a watch");
    wait_for(1);
    drop(watch);
    wait_for(0);
}
