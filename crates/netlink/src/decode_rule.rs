//! Rules back from the kernel's expressions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podwall_ruleset::{CtState, Family, Field, InterfaceName, Match, Protocol, Rule, SetRef, Statement};

use crate::consts::*;
use crate::expression::{
    Dependency, Expression, Lookup, LookupSet, NEIGHBOUR_TARGET, dependencies, loaded, of_rule, of_text,
};
use crate::value;

/// The rule that `expressions` stand for in a table of `family`, without its comment; `set` finds the sets that it
/// looks up. `Err` says what is not ours.
pub(crate) fn rule(
    family: Family,
    expressions: &[Expression],
    mut set: impl FnMut(&str) -> Result<SetRef, String>,
) -> Result<Rule, String> {
    let mut cursor = Cursor {
        family,
        rest: expressions,
        pending: Vec::new(),
        checked: Vec::new(),
        matches: Vec::new(),
        counter: false,
    };
    let statement = loop {
        if let Some(statement) = cursor.step(&mut set)? {
            break statement;
        }
    };
    let rule = Rule { matches: cursor.matches, counter: cursor.counter, statement, comment: None };

    // What was read is what we would have written, or nft of our text, to the last register.
    let names = || {
        let mut names = expressions.iter().filter_map(|expression| match expression {
            Expression::Lookup { set, .. } | Expression::Update { set, .. } => Some(set.name.clone()),
            _ => None,
        });
        move |_: &SetRef| LookupSet { name: names.next().unwrap_or_default(), id: None }
    };
    if of_rule(&rule, family, names())? == expressions || of_text(&rule, family, names())? == expressions {
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
    /// Those that earlier matches took: nft does not check them again.
    checked: Vec<Dependency>,
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
        if let Some(Expression::Update { set: found, limit }) =
            self.rest.get(fields.len()).filter(|_| !fields.is_empty())
        {
            self.rest = &self.rest[fields.len() + 1..];
            self.settle_fields(&mut fields)?;
            let ([field], SetRef::Named(set)) = (&fields[..], set(&found.name)?) else {
                return Err("an update of several fields, or of a constant".to_owned());
            };
            self.matches.push(Match::LimitEach(*field, set, *limit));
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
            [
                Expression::Ct { key: CT_MARK, .. },
                Expression::Mask { mask },
                Expression::Compare { how: COMPARE_EQUAL, with },
                rest @ ..,
            ] => {
                let value = <[u8; 4]>::try_from(&with[..]).map_err(|_| "half a ct mark".to_owned())?;
                self.flush()?;
                let (mask, value) = (u32::from_ne_bytes(*mask), u32::from_ne_bytes(value));
                self.matches.push(Match::CtMark { mask, value });
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
            [Expression::Limit(limit), rest @ ..] => {
                self.flush()?;
                self.matches.push(Match::Limit(*limit));
                self.rest = rest;
                Ok(None)
            }
            [Expression::Log(log), rest @ ..] => {
                self.rest = rest;
                self.end(Statement::Log(log.clone()))
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
        let compared = self.pending.iter().rev().chain(self.checked.iter().rev()).find_map(|dependency| {
            let Dependency::Protocol(number) = dependency else { return None };
            value::protocol(*number)
        });
        if let Some(protocol) = compared.filter(|_| !fields.contains(&Field::Protocol)) {
            let of_protocol: Vec<Field> = fields.iter().map(|field| port_of(*field, protocol)).collect();
            if self.taken(&of_protocol).is_some() {
                fields.copy_from_slice(&of_protocol);
            }
        }
        let taken = self.taken(fields).ok_or("a field of a packet that was not checked to have it")?;
        self.checked.extend(self.pending.drain(self.pending.len() - taken..));
        self.flush()
    }

    /// How many of the pending comparisons the fields take; `None` if one that they need was never made.
    fn taken(&self, fields: &[Field]) -> Option<usize> {
        let mut needed = dependencies(fields);
        if !self.pending.ends_with(&needed) {
            needed.retain(|dependency| !self.checked.contains(dependency));
        }
        self.pending.ends_with(&needed).then_some(needed.len())
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
