//! Rules back from the kernel's expressions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podwall_ruleset::{CtState, Field, IpFamily, Match, Protocol, Rule, SetRef, Statement};

use crate::consts::*;
use crate::expression::{Dependency, Expression, LookupSet, dependencies, loaded, of_rule};
use crate::value;

/// The rule that `expressions` stand for, without its comment; `set` finds the sets that it looks up. `Err` says
/// what is not ours.
pub(crate) fn rule(
    expressions: &[Expression],
    mut set: impl FnMut(&str) -> Result<SetRef, String>,
) -> Result<Rule, String> {
    let mut cursor = Cursor { rest: expressions, pending: Vec::new(), matches: Vec::new() };
    let statement = loop {
        if let Some(statement) = cursor.step(&mut set)? {
            break statement;
        }
    };
    let rule = Rule { matches: cursor.matches, statement, comment: None };

    // What was read is what we would have written, to the last register.
    let mut names = expressions.iter().filter_map(|expression| match expression {
        Expression::Lookup { set, .. } => Some(set.name.clone()),
        _ => None,
    });
    let again = of_rule(&rule, |_| LookupSet { name: names.next().unwrap_or_default(), id: None });
    if again == expressions {
        Ok(rule)
    } else {
        Err("expressions that we would write differently".to_owned())
    }
}

struct Cursor<'a> {
    rest: &'a [Expression],
    /// Families and protocols that were compared, and are either matches of their own or what the next match
    /// depends on.
    pending: Vec<Dependency>,
    matches: Vec<Match>,
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
        if let Some(Expression::Lookup { set: found, verdict }) =
            self.rest.get(fields.len()).filter(|_| !fields.is_empty())
        {
            self.rest = &self.rest[fields.len() + 1..];
            self.settle_fields(&mut fields)?;
            let reference = set(&found.name)?;
            let fields = fields.into_iter().collect();
            if *verdict {
                return self.end(Statement::VerdictMap(fields, reference));
            }
            self.matches.push(Match::In(fields, reference));
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
        let [
            Expression::Meta { key, to: REGISTER_1 },
            Expression::Compare { how: COMPARE_EQUAL, with },
            rest @ ..,
        ] = self.rest
        else {
            return None;
        };
        let dependency = match (*key, &with[..]) {
            (META_FAMILY, [FAMILY_IPV4]) => Dependency::Family(IpFamily::Ipv4),
            (META_FAMILY, [FAMILY_IPV6]) => Dependency::Family(IpFamily::Ipv6),
            (META_PROTOCOL, [number]) => Dependency::Protocol(*number),
            _ => return None,
        };
        self.rest = rest;
        Some(dependency)
    }

    /// Takes what the fields depend on from the pending comparisons; those before are matches of their own. A
    /// destination port is of the protocol that was compared for it, unless the protocol is looked up with it.
    fn settle_fields(&mut self, fields: &mut [Field]) -> Result<(), String> {
        let compared = self.pending.iter().rev().find_map(|dependency| match dependency {
            Dependency::Protocol(number) => value::protocol(*number),
            Dependency::Family(_) => None,
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
    use podwall_ruleset::{Name, Verdict};

    use super::*;

    fn comes_back(expected: &Rule) {
        let mut sets = Vec::new();
        let expressions = of_rule(expected, |reference| {
            sets.push(reference.clone());
            LookupSet { name: format!("set{}", sets.len()), id: None }
        });
        let mut sets = sets.into_iter();
        let found = rule(&expressions, |_| sets.next().ok_or_else(|| "no set".to_owned()));
        assert_eq!(found.as_ref(), Ok(expected), "{expressions:?}");
    }

    fn all_matches() -> Vec<Match> {
        use Field::{
            DestinationIpv6, DestinationPort, DestinationPortOf, Icmpv6Type, InputInterface, OutputInterface,
            SourceIpv4, SourceIpv6,
        };
        let set = || SetRef::Named(Name::new("s").unwrap());
        let is_in = |fields: &[Field]| Match::In(fields.iter().copied().collect(), set());
        let (tcp, udp) = (DestinationPortOf(Protocol::Tcp), DestinationPortOf(Protocol::Udp));
        vec![
            Match::CtState([CtState::Established, CtState::Related].into_iter().collect()),
            Match::CtStatusDnat,
            Match::Family(IpFamily::Ipv4),
            Match::Family(IpFamily::Ipv6),
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
        ]
    }

    #[test]
    fn matches_never_run_into_each_other() {
        let all = all_matches();
        let drop = |matches: Vec<Match>| Rule::verdict(matches, Verdict::Drop);
        comes_back(&drop(vec![]));
        for one in &all {
            comes_back(&drop(vec![one.clone()]));
            for two in &all {
                comes_back(&drop(vec![one.clone(), two.clone()]));
                for three in &all {
                    comes_back(&drop(vec![one.clone(), two.clone(), three.clone()]));
                    let Match::In(fields, set) = three else { continue };
                    let map = Statement::VerdictMap(fields.clone(), set.clone());
                    comes_back(&Rule::new([one.clone(), two.clone()], map));
                }
            }
        }
    }

    #[test]
    fn what_we_would_not_write_is_not_ours() {
        let name = |_: &str| Ok(SetRef::Named(Name::new("s").unwrap()));
        let drop = Expression::Verdict(Verdict::Drop);
        let load = Expression::Payload { base: PAYLOAD_NETWORK, offset: 12, length: 4, to: REGISTER_1 };
        let lookup = Expression::Lookup { set: LookupSet { name: "s".to_owned(), id: None }, verdict: false };
        for expressions in [
            vec![],
            vec![load.clone(), lookup.clone(), drop.clone()],
            vec![drop.clone(), drop.clone()],
            vec![lookup, drop.clone()],
            vec![load, drop],
        ] {
            assert!(rule(&expressions, name).is_err(), "{expressions:?}");
        }
    }
}
