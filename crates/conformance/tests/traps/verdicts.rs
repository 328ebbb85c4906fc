//! Traps that let through what must not pass, or drop what must.

use crate::{expect, grid_with, policy};

/// kube-router #2064, its first break: what one rule's `except` leaves out is lost to the next rule, too.
#[test]
fn an_except_of_one_rule_leaves_the_others_alone() {
    let rules = "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16, except: [10.244.1.0/24]}}]}, \
                 {from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]";
    // b of x and a of y are on node-2, b of y is on node-1.
    expect(
        &grid_with(&policy("x", "except", rules)),
        "x/b -> x/a TCP/80 no\ny/a -> x/a TCP/80 yes\ny/b -> x/a TCP/80 yes",
    );
}

/// kube-router's nftables mode puts the excepts of all blocks of a rule into one set.
#[test]
fn an_except_of_one_block_leaves_the_other_block_alone() {
    let rules = "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.0/26]}}, \
                 {ipBlock: {cidr: 203.0.113.0/26}}]}]";
    expect(
        &grid_with(&policy("x", "except", rules)),
        "203.0.113.9 -> x/a TCP/80 yes\n203.0.113.200 -> x/a TCP/80 yes\n203.0.114.1 -> x/a TCP/80 no",
    );
}

/// kube-router's nftables mode reads `::/0` as 2000::/3 and fd00::/8.
#[test]
fn all_of_ipv6_is_all_of_it() {
    let rules = "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::/0'}}]}]";
    expect(
        &grid_with(&policy("x", "ipv6", rules)),
        "2001:db8::1 -> x/a TCP/80 yes\nfc00::1 -> x/a TCP/80 yes\n64:ff9b::1 -> x/a TCP/80 yes\n\
         ::2 -> x/a TCP/80 yes\nffff::1 -> x/a TCP/80 yes\n203.0.113.9 -> x/a TCP/80 no",
    );
}

/// kube-router #2064: a protocol without a port was no rule at all, and all policies after it were lost.
#[test]
fn a_protocol_without_a_port_is_all_its_ports_and_harms_no_other_policy() {
    let objects = [
        policy(
            "x",
            "a-protocol",
            "podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{protocol: UDP}]}]",
        ),
        policy("x", "b-after-it", "podSelector: {matchLabels: {pod: b}}"),
    ];
    expect(
        &grid_with(&objects.concat()),
        "y/a -> x/a UDP/1 yes\ny/a -> x/a UDP/65535 yes\ny/a -> x/a TCP/80 no\ny/a -> x/b TCP/80 no",
    );
}

/// kube-network-policies #65, kind #3875: probes of the node's own agents were dropped.
#[test]
fn the_own_node_gets_through_whatever_is_denied() {
    let deny = policy("x", "deny", "podSelector: {}, policyTypes: [Ingress, Egress]");
    expect(
        &grid_with(&deny),
        "node-1 -> x/a TCP/80 yes\nnode-2 -> x/a TCP/80 no\nnode-2 -> x/b TCP/80 yes\nx/a -> node-1 TCP/80 no",
    );
}

/// kube-network-policies #389, kube-router #1067: pods of the host's network put the node's address into sets.
#[test]
fn a_pod_on_the_hosts_network_neither_isolates_its_node_nor_lends_it_labels() {
    let host = "apiVersion: v1\nkind: Pod\nmetadata: {name: host, namespace: x, labels: {pod: b}}\n\
                spec: {nodeName: node-2, hostNetwork: true}\n";
    let allow_b =
        policy("x", "b", "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]");
    expect(
        &grid_with(&format!("{host}{allow_b}")),
        "x/b -> x/a TCP/80 yes\nnode-2 -> x/a TCP/80 no\ny/a -> node-2 TCP/80 yes\n203.0.113.9 -> x/b TCP/80 no",
    );
}

/// kube-router #85: nobody matched the peer, so the match was left out, and everybody was let in.
#[test]
fn a_peer_that_matches_nobody_lets_nobody_in() {
    let rules = "podSelector: {}, policyTypes: [Ingress, Egress], \
                 ingress: [{from: [{podSelector: {matchLabels: {pod: nobody}}}], ports: [{port: 80}]}], \
                 egress: [{to: [{namespaceSelector: {matchLabels: {ns: nowhere}}}]}, {ports: [{port: no-such-name}]}]";
    expect(
        &grid_with(&policy("x", "nobody", rules)),
        "x/b -> x/a TCP/80 no\ny/a -> x/a TCP/80 no\n203.0.113.9 -> x/a TCP/80 no\nx/a -> y/a TCP/80 no\n\
         node-1 -> x/a TCP/80 yes",
    );
}

/// kube-router #916, k3s #2390: the first verdict was final, and a pod of the same node was reached unasked.
#[test]
fn on_one_node_too_ingress_is_asked_after_egress_has_allowed() {
    let objects = [
        policy("x", "to-all", "podSelector: {}, policyTypes: [Egress], egress: [{}]"),
        policy("z", "deny", "podSelector: {}"),
    ];
    // a of x and a of z are on node-1, b of z is on node-2.
    expect(
        &grid_with(&objects.concat()),
        "x/a -> z/a TCP/80 no\nx/a -> z/b TCP/80 no\nx/a -> y/a TCP/80 yes",
    );
}

/// kubernetes #125611, cilium #27709: a pod could not reach itself.
#[test]
fn a_pod_reaches_itself_and_no_replica() {
    let deny = policy("x", "deny", "podSelector: {}, policyTypes: [Ingress, Egress]");
    expect(&grid_with(&deny), "x/a -> x/a TCP/80 yes\nx/a -> x/b TCP/80 no");
}

/// aws-network-policy-agent #616, #206: programs were shared by name, and pods inherited those of strangers.
#[test]
fn equal_names_and_labels_in_two_namespaces_share_nothing() {
    let objects = [
        policy("x", "same", "podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {}}]}]"),
        policy("y", "same", "podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {}}]}]"),
        policy("z", "same", "podSelector: {matchLabels: {pod: a}}, ingress: [{}]"),
    ];
    expect(
        &grid_with(&objects.concat()),
        "x/b -> x/a TCP/80 yes\ny/b -> x/a TCP/80 no\ny/b -> y/a TCP/80 yes\nx/b -> y/a TCP/80 no\nx/b -> z/a TCP/80 yes",
    );
}

/// cilium #46189: ports beyond the fortieth were refused, or forgotten.
#[test]
fn a_hundred_ports_are_a_hundred_ports() {
    let ports: Vec<String> = (0..100).map(|index| format!("{{port: {}}}", 1000 + 3 * index)).collect();
    let rules = format!("podSelector: {{}}, ingress: [{{ports: [{}]}}]", ports.join(", "));
    let lines = (0..100).map(|index| {
        let port = 1000 + 3 * index;
        format!("y/a -> x/a TCP/{port} yes\ny/a -> x/a TCP/{} no\n", port + 1)
    });
    expect(&grid_with(&policy("x", "many", &rules)), &lines.collect::<String>());
}

/// calico #4373: a port that stood beside "any port" narrowed it.
#[test]
fn any_port_is_not_narrowed_by_a_port() {
    let rules = "podSelector: {}, ingress: [{ports: [{}, {port: 80}]}]";
    expect(
        &grid_with(&policy("x", "any", rules)),
        "y/a -> x/a TCP/80 yes\ny/a -> x/a TCP/443 yes\ny/a -> x/a UDP/80 no",
    );
}

/// cilium #24779, aws-network-policy-agent #52: a name was resolved once, and not on the pod that is called.
#[test]
fn a_name_is_what_the_called_pod_means_by_it() {
    let other = "apiVersion: v1\nkind: Pod\nmetadata: {name: other, namespace: y}\n\
                 spec: {nodeName: node-1, containers: [{name: c, ports: [{name: serve-80-tcp, containerPort: 8080}]}]}\n";
    let objects = [
        policy(
            "x",
            "to-name",
            "podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: serve-80-tcp}]}]",
        ),
        policy("y", "from-name", "podSelector: {}, ingress: [{ports: [{port: serve-80-tcp}]}]"),
    ];
    expect(
        &grid_with(&format!("{other}{}", objects.concat())),
        "x/a -> y/other TCP/8080 yes\nx/a -> y/other TCP/80 no\nx/a -> y/b TCP/80 yes\nx/a -> y/b TCP/8080 no\n\
         z/a -> y/other TCP/8080 yes\nz/a -> y/other TCP/80 no\nx/a -> 203.0.113.9 TCP/80 no",
    );
}
