//! Rules back from the kernel's expressions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podwall_ruleset::{CtState, Family, Field, InterfaceName, Match, Protocol, Rule, SetRef, Statement};

use crate::consts::*;
use crate::expression::{
    Dependency, Expression, Lookup, LookupSet, NEIGHBOUR_TARGET, dependencies, loaded, of_rule,
};
use crate::value;

/// The rule that `expressions` stand for in a table of `family`, without its comment; `set` finds the sets that it
/// looks up. `Err` says what is not ours.
pub(crate) fn rule(
    family: Family,
    expressions: &[Expression],
    mut set: impl FnMut(&str) -> Result<SetRef, String>,
) -> Result<Rule, String> {
    let mut cursor =
        Cursor { family, rest: expressions, pending: Vec::new(), matches: Vec::new(), counter: false };
    let statement = loop {
        if let Some(statement) = cursor.step(&mut set)? {
            break statement;
        }
    };
    let rule = Rule { matches: cursor.matches, counter: cursor.counter, statement, comment: None };

    // What was read is what we would have written, to the last register.
    let mut names = expressions.iter().filter_map(|expression| match expression {
        Expression::Lookup { set, .. } => Some(set.name.clone()),
        _ => None,
    });
    let again = of_rule(&rule, family, |_| LookupSet { name: names.next().unwrap_or_default(), id: None });
    if again? == expressions {
        Ok(rule)
    } else {
        Err("expressions that we would write differently".to_owned())
    }
}

struct Cursor<'a> {
    family: Family,
    rest: &'a [Expression],
    /// Families and protocols that were compared, and are either matches of their own or what the next match
    /// depends on.
    pending: Vec<Dependency>,
    matches: Vec<Match>,
    counter: bool,
}

impl Cursor<'_> {
    /// Reads a match (`None`) or the statement.
    fn step(
        &mut self,
        set: &mut impl FnMut(&str) -> Result<SetRef, String>,
    ) -> Result<Option<Statement>, String> {
        if let Some(dependency) = self.dependency() {
            self.pending.push(dependency);
            return Ok(None);
        }
        let mut fields: Vec<Field> = Vec::new();
        while let Some(field) = self.rest.get(fields.len()).and_then(loaded) {
            fields.push(field);
        }
        if let Some(Expression::Lookup { set: found, how }) =
            self.rest.get(fields.len()).filter(|_| !fields.is_empty())
        {
            self.rest = &self.rest[fields.len() + 1..];
            self.settle_fields(&mut fields)?;
            let reference = set(&found.name)?;
            let condition = match (how, &fields[..], reference) {
                (Lookup::Verdict, _, map) => {
                    return self.end(Statement::VerdictMap(fields.into_iter().collect(), map));
                }
                (Lookup::In, _, set) => Match::In(fields.into_iter().collect(), set),
                (Lookup::NotIn, [field], SetRef::Named(set)) => Match::NotIn(*field, set),
                (Lookup::NotIn, ..) => {
                    return Err("a lookup of several fields, or in a constant, that is to fail".to_owned());
                }
            };
            self.matches.push(condition);
            return Ok(None);
        }
        match self.rest {
            [
                Expression::Payload { base: PAYLOAD_TRANSPORT, offset: 0, length: 2, .. },
                Expression::Compare { how: COMPARE_AT_LEAST, with: first },
                Expression::Compare { how: COMPARE_AT_MOST, with: last },
                rest @ ..,
            ] => {
                let protocol = match self.pending.pop() {
                    Some(Dependency::Protocol(number)) => value::protocol(number),
                    _ => None,
                };
                let port = |bytes: &[u8]| bytes.try_into().ok().map(u16::from_be_bytes);
                let (Some(protocol), Some(first), Some(last)) = (protocol, port(first), port(last)) else {
                    return Err("a range of source ports of no protocol".to_owned());
                };
                self.flush()?;
                self.matches.push(Match::SourcePorts(protocol, first, last));
                self.rest = rest;
                Ok(None)
            }
            [
                Expression::Ct { key, .. },
                Expression::Mask { mask },
                Expression::Compare { how: COMPARE_NOT_EQUAL, .. },
                rest @ ..,
            ] => {
                self.flush()?;
                self.matches.push(bits(*key, u32::from_ne_bytes(*mask))?);
                self.rest = rest;
                Ok(None)
            }
            [NEIGHBOUR_TARGET, Expression::Compare { how: COMPARE_EQUAL, with }, rest @ ..] => {
                let address = <[u8; 16]>::try_from(&with[..]).map_err(|_| "half an address".to_owned())?;
                self.flush()?;
                self.matches.push(Match::NeighbourTarget(address.into()));
                self.rest = rest;
                Ok(None)
            }
            [load, Expression::Compare { how: COMPARE_EQUAL, with }, rest @ ..]
                if loaded(load).is_some_and(is_interface) =>
            {
                let prefix = std::str::from_utf8(with).ok().and_then(|text| InterfaceName::new(text).ok());
                let (Some(field), Some(prefix)) = (loaded(load), prefix) else {
                    return Err("a comparison with a whole interface's name".to_owned());
                };
                self.flush()?;
                self.matches.push(Match::InterfacePrefix(field, prefix));
                self.rest = rest;
                Ok(None)
            }
            [Expression::Counter, rest @ ..] => {
                self.flush()?;
                self.counter = true;
                self.rest = rest;
                Ok(None)
            }
            [Expression::Verdict(verdict), rest @ ..] => {
                self.rest = rest;
                self.end(Statement::Verdict(verdict.clone()))
            }
            [Expression::Masquerade, rest @ ..] => {
                self.rest = rest;
                self.end(Statement::Masquerade)
            }
            [
                Expression::Data { data: address, .. },
                Expression::Data { data: port, .. },
                Expression::Nat { .. },
                rest @ ..,
            ] => {
                let ip = <[u8; 4]>::try_from(&address[..])
                    .map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)))
                    .or_else(|_| {
                        <[u8; 16]>::try_from(&address[..]).map(|bytes| Ipv6Addr::from(bytes).into())
                    });
                let port = <[u8; 2]>::try_from(&port[..]).map(u16::from_be_bytes);
                let (Ok(ip), Ok(port)) = (ip, port) else {
                    return Err("a translation to no address".to_owned());
                };
                self.rest = rest;
                self.end(Statement::Dnat((ip, port).into()))
            }
            [] => Err("a rule without a statement".to_owned()),
            [other, ..] => Err(format!("an expression out of place: {other:?}")),
        }
    }

    fn dependency(&mut self) -> Option<Dependency> {
        let [load, Expression::Compare { how: COMPARE_EQUAL, with }, rest @ ..] = self.rest else {
            return None;
        };
        let dependency = Dependency::checked(load, with, self.family)?;
        self.rest = rest;
        Some(dependency)
    }

    /// Takes what the fields depend on from the pending comparisons; those before are matches of their own. A
    /// destination port is of the protocol that was compared for it, unless the protocol is looked up with it.
    fn settle_fields(&mut self, fields: &mut [Field]) -> Result<(), String> {
        let compared = self.pending.iter().rev().find_map(|dependency| match dependency {
            Dependency::Protocol(number) => value::protocol(*number),
            Dependency::Family(_) | Dependency::Ethertype(_) => None,
        });
        if let Some(protocol) = compared.filter(|_| !fields.contains(&Field::Protocol)) {
            let of_protocol: Vec<Field> = fields.iter().map(|field| port_of(*field, protocol)).collect();
            if self.pending.ends_with(&dependencies(&of_protocol)) {
                fields.copy_from_slice(&of_protocol);
            }
        }
        let needed = dependencies(fields);
        if !self.pending.ends_with(&needed) {
            return Err("a field of a packet that was not checked to have it".to_owned());
        }
        self.pending.truncate(self.pending.len() - needed.len());
        self.flush()
    }

    /// The pending comparisons are matches.
    fn flush(&mut self) -> Result<(), String> {
        for dependency in self.pending.drain(..) {
            self.matches.push(match dependency {
                Dependency::Family(family) => Match::Family(family),
                Dependency::Ethertype(number) => {
                    return Err(format!("a comparison with ethertype {number:#06x}"));
                }
                Dependency::Protocol(number) => Match::Protocol(
                    value::protocol(number)
                        .ok_or_else(|| format!("a comparison with IP protocol {number}"))?,
                ),
            });
        }
        Ok(())
    }

    fn end(&mut self, statement: Statement) -> Result<Option<Statement>, String> {
        self.flush()?;
        if self.rest.is_empty() {
            Ok(Some(statement))
        } else {
            Err("something after a rule's statement".to_owned())
        }
    }
}

fn is_interface(field: Field) -> bool {
    matches!(field, Field::InputInterface | Field::OutputInterface)
}

fn port_of(field: Field, protocol: Protocol) -> Field {
    if field == Field::DestinationPort { Field::DestinationPortOf(protocol) } else { field }
}

fn bits(key: u32, bits: u32) -> Result<Match, String> {
    match (key, bits) {
        (CT_STATUS, CT_STATUS_DNAT) => Ok(Match::CtStatusDnat),
        (CT_STATE, bits) if bits != 0 && bits & !(CT_STATE_ESTABLISHED | CT_STATE_RELATED) == 0 => {
            let states = [(CT_STATE_ESTABLISHED, CtState::Established), (CT_STATE_RELATED, CtState::Related)];
            Ok(Match::CtState(
                states.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, state)| state).collect(),
            ))
        }
        _ => Err(format!("a test of the bits {bits:#x} of connection tracking's {key}")),
    }
}

#[cfg(test)]
mod tests {
    use podwall_ruleset::{IpFamily, Name, Verdict};

    use super::*;

    fn comes_back(family: Family, expected: &Rule) {
        let mut sets = Vec::new();
        let expressions = of_rule(expected, family, |reference| {
            sets.push(reference.clone());
            LookupSet { name: format!("set{}", sets.len()), id: None }
        })
        .unwrap();
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
}
