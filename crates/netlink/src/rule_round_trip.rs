//! Rules to expressions and back: matches never run into each other, and what we would not write is not ours.

use std::net::Ipv6Addr;

use podwall_ruleset::{
    Comment, CtState, Family, Field, InterfaceName, IpFamily, Limit, Log, Match, Name, Protocol, Rule,
    SetRef, Statement, Verdict,
};

use crate::consts::*;
use crate::decode_rule::rule;
use crate::expression::{Expression, Lookup, LookupSet, NEIGHBOUR_TARGET, of_rule, of_text};

fn comes_back(family: Family, expected: &Rule) {
    comes_back_from(family, expected, false);
}

/// From the expressions that we make of the rule, or from those that nft makes of its text.
fn comes_back_from(family: Family, expected: &Rule, text: bool) {
    let mut sets = Vec::new();
    let set = |reference: &SetRef| {
        sets.push(reference.clone());
        LookupSet { name: format!("set{}", sets.len()), id: None }
    };
    let expressions = if text { of_text(expected, family, set) } else { of_rule(expected, family, set) };
    let expressions = expressions.unwrap();
    let mut sets = sets.into_iter();
    let found = rule(family, &expressions, |_| sets.next().ok_or_else(|| "no set".to_owned()));
    assert_eq!(found.as_ref(), Ok(expected), "{expressions:?}");
}

fn all_matches(family: Family) -> Vec<Match> {
    use Field::{
        ArpSource, DestinationIpv6, DestinationPort, DestinationPortOf, Icmpv6Type, InputInterface,
        OutputInterface, SourceIpv4, SourceIpv6,
    };
    let name = || Name::new("s").unwrap();
    let set = || SetRef::Named(name());
    let is_in = |fields: &[Field]| Match::In(fields.iter().copied().collect(), set());
    let (tcp, udp) = (DestinationPortOf(Protocol::Tcp), DestinationPortOf(Protocol::Udp));
    let of_family = match family {
        Family::Inet => vec![Match::Family(IpFamily::Ipv4), Match::Family(IpFamily::Ipv6)],
        Family::Bridge => vec![
            is_in(&[ArpSource]),
            is_in(&[InputInterface, Field::SourceHardware]),
            is_in(&[Field::SourceHardware]),
            is_in(&[InputInterface, ArpSource]),
            Match::NotIn(ArpSource, name()),
        ],
    };
    let of_all = vec![
        Match::CtState([CtState::Established, CtState::Related].into_iter().collect()),
        Match::CtStatusDnat,
        Match::CtMark { mask: 0x1000_0000, value: 0 },
        Match::CtMark { mask: 0xf0f0, value: 0x1010 },
        Match::Protocol(Protocol::Tcp),
        Match::SourcePorts(Protocol::Tcp, 1, 2),
        is_in(&[InputInterface]),
        is_in(&[SourceIpv4]),
        is_in(&[DestinationIpv6]),
        is_in(&[Field::Protocol]),
        is_in(&[Field::Protocol, DestinationPort]),
        is_in(&[SourceIpv4, Field::Protocol, DestinationPort]),
        is_in(&[OutputInterface, SourceIpv6, Field::Protocol, DestinationPort]),
        is_in(&[tcp]),
        is_in(&[udp, SourceIpv4]),
        is_in(&[SourceIpv4, tcp]),
        is_in(&[Icmpv6Type]),
        Match::NotIn(InputInterface, name()),
        Match::NotIn(SourceIpv6, name()),
        Match::NotIn(tcp, name()),
        Match::InterfacePrefix(InputInterface, InterfaceName::new("v").unwrap()),
        Match::InterfacePrefix(OutputInterface, InterfaceName::new("0123456789abcde").unwrap()),
        Match::NeighbourTarget(Ipv6Addr::LOCALHOST),
        Match::Limit(Limit { rate_per_s: 1, burst: 2 }),
        Match::LimitEach(InputInterface, name(), Limit { rate_per_s: 1, burst: 2 }),
        Match::LimitEach(SourceIpv4, name(), Limit { rate_per_s: 1, burst: 2 }),
    ];
    [of_family, of_all].concat()
}

#[test]
fn matches_never_run_into_each_other() {
    for family in [Family::Inet, Family::Bridge] {
        let all = all_matches(family);
        let comes_back = |rule: Rule| {
            comes_back(family, &rule);
            comes_back(family, &rule.counted());
        };
        let drop = |matches: Vec<Match>| Rule::verdict(matches, Verdict::Drop);
        comes_back(drop(vec![]));
        let log = Statement::Log(Log { group: 3, prefix: Comment::new("a b") });
        for one in &all {
            comes_back(Rule::new([one.clone()], log.clone()));
        }
        for one in &all {
            comes_back(drop(vec![one.clone()]));
            for two in &all {
                comes_back(drop(vec![one.clone(), two.clone()]));
                for three in &all {
                    comes_back(drop(vec![one.clone(), two.clone(), three.clone()]));
                    let Match::In(fields, set) = three else { continue };
                    let map = Statement::VerdictMap(fields.clone(), set.clone());
                    comes_back(Rule::new([one.clone(), two.clone()], map));
                }
            }
        }
    }
}

#[test]
fn matches_that_share_what_they_depend_on_come_back() {
    for family in [Family::Inet, Family::Bridge] {
        let all = all_matches(family);
        // Of two protocols no packet has ports, and nft takes no such text.
        let lookups = all.iter().filter(|it| match it {
            Match::In(fields, _) => !fields.contains(&Field::DestinationPortOf(Protocol::Udp)),
            Match::NotIn(..) => true,
            _ => false,
        });
        let lookups: Vec<&Match> = lookups.collect();
        for (one, two) in lookups.iter().flat_map(|one| lookups.iter().map(move |two| (one, two))) {
            let matches = [(*one).clone(), Match::CtStatusDnat, (*two).clone(), (*one).clone()];
            comes_back_from(family, &Rule::verdict(matches, Verdict::Drop).counted(), true);
        }
    }
}

#[test]
fn a_family_has_only_its_own_rules() {
    let comes_from = |from, to, condition| {
        let set = |_: &SetRef| LookupSet { name: "s".to_owned(), id: None };
        let drop = Rule::verdict([condition], Verdict::Drop);
        assert!(of_rule(&drop, to, set).is_err());
        let expressions = of_rule(&drop, from, set).unwrap();
        assert!(rule(to, &expressions, |_| Ok(SetRef::Named(Name::new("s").unwrap()))).is_err());
    };
    comes_from(Family::Inet, Family::Bridge, Match::Family(IpFamily::Ipv4));
    comes_from(Family::Bridge, Family::Inet, Match::in_set(Field::ArpSource, &Name::new("s").unwrap()));
}

#[test]
fn what_we_would_not_write_is_not_ours() {
    let name = |_: &str| Ok(SetRef::Named(Name::new("s").unwrap()));
    let drop = Expression::Verdict(Verdict::Drop);
    let load = Expression::Payload { base: PAYLOAD_NETWORK, offset: 12, length: 4, to: REGISTER_1 };
    let lookup_how = |how| Expression::Lookup { set: LookupSet { name: "s".to_owned(), id: None }, how };
    let lookup = lookup_how(Lookup::In);
    let interface = Expression::Meta { key: META_INPUT_INTERFACE_NAME, to: REGISTER_1 };
    let compare = |with: &[u8]| Expression::Compare { how: COMPARE_EQUAL, with: with.to_vec() };
    let ethertype = Expression::Payload { base: PAYLOAD_LINK, offset: 12, length: 2, to: REGISTER_1 };
    for expressions in [
        vec![],
        vec![load.clone(), lookup.clone(), drop.clone()],
        vec![drop.clone(), drop.clone()],
        vec![lookup.clone(), drop.clone()],
        vec![load, drop.clone()],
        vec![Expression::Counter],
        vec![Expression::Counter, Expression::Counter, drop.clone()],
        vec![Expression::Counter, interface.clone(), lookup, drop.clone()],
        vec![drop.clone(), Expression::Counter],
        vec![interface.clone(), compare(b"veth1\0\0\0\0\0\0\0\0\0\0\0"), drop.clone()],
        vec![interface.clone(), compare(b""), drop.clone()],
        vec![interface.clone(), interface, lookup_how(Lookup::NotIn), drop.clone()],
        vec![NEIGHBOUR_TARGET, compare(b"veth"), drop.clone()],
        vec![ethertype, compare(&[8, 0]), drop],
    ] {
        for family in [Family::Inet, Family::Bridge] {
            assert!(rule(family, &expressions, name).is_err(), "{expressions:?}");
        }
    }
}
