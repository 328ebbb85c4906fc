//! What nft prints in its own way: names instead of numbers.

use podwall_ruleset::{BaseChain, ChainType, Hook, InterfaceName, Match, Name, Protocol, Statement, Value};

#[test]
fn a_priority_near_a_well_known_one_has_its_name() {
    let expected = [
        (Hook::Forward, 0, "filter"),
        (Hook::Forward, 10, "filter + 10"),
        (Hook::Forward, -10, "filter - 10"),
        (Hook::Forward, 11, "11"),
        (Hook::Forward, -11, "-11"),
        (Hook::Prerouting, -300, "raw"),
        (Hook::Prerouting, -290, "raw + 10"),
        (Hook::Prerouting, -150, "mangle"),
        (Hook::Output, 50, "security"),
        // These two are known by name at one hook alone.
        (Hook::Prerouting, -100, "dstnat"),
        (Hook::Output, -100, "-100"),
        (Hook::Postrouting, 100, "srcnat"),
        (Hook::Postrouting, 99, "srcnat - 1"),
        (Hook::Prerouting, 100, "100"),
    ];
    for (hook, priority, name) in expected {
        let text = BaseChain { chain_type: ChainType::Filter, hook, priority }.to_string();
        assert!(text.contains(&format!(" priority {name}; ")), "{priority}: {text}");
    }
}

#[test]
fn matches_and_statements() {
    let ports = |first, last| Match::SourcePorts(Protocol::Udp, first, last).to_string();
    assert_eq!([ports(53, 53), ports(53, 54)], ["udp sport 53", "udp sport 53-54"]);
    let to = |address: &str| Statement::Dnat(address.parse().unwrap()).to_string();
    assert_eq!(
        [to("10.0.0.1:80"), to("[fd00::1]:80")],
        ["dnat ip to 10.0.0.1:80", "dnat ip6 to [fd00::1]:80"]
    );
}

#[test]
fn a_name_that_is_refused_is_named() {
    let long = InterfaceName::new("veth0123456789ab").unwrap_err().to_string();
    assert_eq!(long, "\"veth0123456789ab\": an interface name has 1 to 15 bytes");
    assert_eq!(Name::new("9").unwrap_err().to_string(), "\"9\": does not start with a letter");
}

#[test]
fn types_of_icmpv6_have_names() {
    let expected = [
        (1, "destination-unreachable"),
        (2, "packet-too-big"),
        (3, "time-exceeded"),
        (4, "parameter-problem"),
        (128, "echo-request"),
        (129, "echo-reply"),
        (130, "mld-listener-query"),
        (131, "mld-listener-report"),
        (132, "mld-listener-done"),
        (133, "nd-router-solicit"),
        (134, "nd-router-advert"),
        (135, "nd-neighbor-solicit"),
        (136, "nd-neighbor-advert"),
        (137, "nd-redirect"),
        (138, "router-renumbering"),
        (141, "ind-neighbor-solicit"),
        (142, "ind-neighbor-advert"),
        (143, "mld2-listener-report"),
        (139, "139"),
    ];
    for (number, name) in expected {
        assert_eq!(Value::Icmpv6Type(number).to_string(), name);
    }
}
