//! nft lists our rulesets as they were meant.

use podwall_netlink::{Kernel, ReadBack};
use podwall_ruleset::*;

use crate::fixture::*;
use crate::round_trip::all_sets;

/// Text with single spaces, and with what is between braces on one line in order: the kernel keeps the elements
/// of hashes in an order of its own.
pub fn normal(text: &str) -> Vec<String> {
    let mut joined = String::new();
    for line in text.lines() {
        // nft breaks lists of elements after commas.
        let separator = if joined.ends_with(',') { ' ' } else { '\n' };
        joined.push(separator);
        joined.push_str(&line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    joined.lines().filter(|line| !line.is_empty()).map(sorted_braces).collect()
}

fn sorted_braces(line: &str) -> String {
    let Some((before, rest)) = line.split_once("{ ") else { return line.to_owned() };
    let Some((list, after)) = rest.rsplit_once(" }") else { return line.to_owned() };
    let mut elements: Vec<&str> = list.split(", ").collect();
    elements.sort_unstable();
    format!("{before}{{ {} }}{after}", elements.join(", "))
}

const EVERYTHING: &str = r#"
table inet podwall {
	set blocks.v4 {
		type ipv4_addr
		flags interval
		elements = { 0.0.0.0/0 }
	}

	map egress {
		type ifname : verdict
		elements = { "veth1" : jump egress/web,
			     "vvvvvvvvvvvvvvv" : goto from-1 }
	}

	set hairpin {
		type ifname . ifname
		elements = { "veth1" . "veth1",
			     "vvvvvvvvvvvvvvv" . "vvvvvvvvvvvvvvv" }
	}

	set pods.v4 {
		type ipv4_addr
		elements = { 10.0.0.1, 10.0.0.2 }
	}

	set pods.v6 {
		type ipv6_addr
		comment "app=web, tier in (a, b)"
	}

	set recent-interfaces {
		type ifname
		size 512
		flags dynamic,timeout
		timeout 30s
	}

	set recent.v4 {
		type ipv4_addr
		size 512
		flags dynamic,timeout
		timeout 30s
	}

	set recent.v6 {
		type ipv6_addr
		size 512
		flags dynamic,timeout
		timeout 30s
		comment "who"
	}

	map service {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.96.0.1 . tcp . 80 : jump from-1 }
	}

	set six {
		type ipv6_addr . inet_proto . inet_service
		elements = { fd00::1 . sctp . 53 }
	}

	set types {
		type icmpv6_type
		elements = { destination-unreachable }
	}

	chain denied/egress {
		update @recent.v4 { ip saddr limit rate 10/second burst 20 packets } limit rate 200/second burst 20 packets counter packets 0 bytes 0 log prefix "podwall denied egress" group 9427
		update @recent.v6 { ip6 saddr limit rate 10/second burst 20 packets } log prefix "podwall denied egress" group 0
		limit rate 1/second burst 20 packets update @recent-interfaces { iifname limit rate 10/second burst 20 packets } log prefix "podwall denied egress" group 65535
		meta l4proto udp update @recent.v4 { ip daddr limit rate 10/second burst 20 packets } log prefix "podwall denied egress" group 1
		log prefix "podwall denied egress" group 2 comment "all"
		limit rate 7/second burst 20 packets counter packets 0 bytes 0 drop
	}

	chain egress/web {
		comment "default/allow-db, default/deny-all"
		tcp dport vmap { 80 : goto from-1, 81-89 : return, 90-99 : accept, 32000-65535 : goto from-1 }
		udp dport vmap { 0-65535 : goto from-1 }
		meta l4proto vmap { tcp : goto from-1, sctp : drop }
		meta l4proto . th dport vmap { tcp . 80 : jump from-1 }
		ip daddr . meta l4proto . th dport vmap @service
		meta l4proto sctp goto from-1
		ip6 saddr . meta l4proto . th dport @six return
		tcp dport { 0-5, 80 } ip saddr @pods.v4 return
		udp sport 0-65535 return
		meta nfproto ipv4 tcp sport 7-9 return
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state established,related accept
		ct state related accept
		ct state established ct mark & 0x10000000 == 0x00000000 accept
		ct mark & 0x10000000 == 0x10000000 counter packets 0 bytes 0 drop
		ct mark & 0x0000f0f0 == 0x00000030 meta nfproto ipv4 accept
		icmpv6 type { 130-137, mld2-listener-report } accept
		iifname . oifname @hairpin accept
		icmpv6 type @types accept
		iifname vmap @egress
		oifname vmap @egress
	}

	chain from-1 {
		ip saddr @pods.v4 return
		ip6 saddr @pods.v6 return
		ip daddr @blocks.v4 return
		ip6 daddr @pods.v6 return
		meta nfproto ipv4 meta l4proto udp return
		meta nfproto ipv6 drop
		drop comment "LONG"
	}

	chain input {
		type filter hook input priority filter - 5; policy accept;
		udp dport { 67, 547 } accept
	}

	chain output {
		type filter hook output priority filter + 10; policy accept;
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ct status dnat iifname . oifname { "a" . "b" } masquerade
	}

	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		tcp sport 1024-9999 dnat ip to 10.0.0.1:8080
		meta nfproto ipv6 meta l4proto udp dnat ip6 to [fd00::1]:53
	}
}
table inet podwall-empty {
}
"#;

fn everything_text() -> String {
    EVERYTHING.replace("LONG", Comment::new(&"c".repeat(200)).as_str())
}

pub fn nft_lists_what_we_mean() {
    let mut kernel = Kernel::open().unwrap();
    kernel.apply(&creation(&everything())).unwrap();
    assert_lines(&normal(&nft(&["list", "ruleset"], "")), &normal(&everything_text()));
}

pub fn assert_lines(listed: &[String], expected: &[String]) {
    for (listed, expected) in listed.iter().zip(expected) {
        assert_eq!(listed, expected);
    }
    assert_eq!(listed.len(), expected.len());
}

/// What nft lists, loaded by nft and listed again, is the same: it takes our sets for its own.
pub fn nft_lists_sets_as_we_mean() {
    let mut kernel = Kernel::open().unwrap();
    let ruleset = all_sets();
    kernel.apply(&creation(&ruleset)).unwrap();
    let listed = nft(&["-n", "list", "ruleset"], "");
    nft(&["-f", "-"], &format!("flush ruleset\n{listed}"));
    assert_lines(&normal(&nft(&["-n", "list", "ruleset"], "")), &normal(&listed));
    assert_is(&mut kernel, &ruleset);

    let expected = [
        "elements = { 0.0.0.0, 0.0.0.1-0.255.255.255, 10.0.0.0/8, 11.0.0.0-11.0.0.8, 224.0.0.0/3 }",
        "elements = { 0-79, 80, 81-89, 100-65534, 65535 }",
        r#"elements = { "0123456789abcde" . fd00::1 . udp . 65535 . 1.2.3.4 }"#,
    ];
    let symbolic = normal(&nft(&["list", "ruleset"], ""));
    for line in expected {
        assert!(symbolic.contains(&sorted_braces(line)), "{line}\nis not in\n{}", symbolic.join("\n"));
    }
}

pub fn we_read_what_nft_makes() {
    let mut kernel = Kernel::open().unwrap();
    nft(&["-f", "-"], &everything_text());
    let tables: Vec<TableId> = everything().tables.into_keys().collect();
    assert_eq!(kernel.read(&tables).unwrap(), ReadBack::Exactly(everything()));
}
