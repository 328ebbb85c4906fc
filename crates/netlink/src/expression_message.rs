//! Expressions as libnftnl's objects, and back.

use podwall_ruleset::{Comment, Limit, Log, Verdict};

use crate::attribute::*;
use crate::consts::*;
use crate::expression::{Expression, Lookup, LookupSet};
use crate::nftnl;
use crate::parse::Parsed;
use crate::value;

/// The object of an expression. `Err` if it needs registers that do not exist.
pub(crate) fn write(expression: &Expression) -> Result<nftnl::Expression, &'static str> {
    let to_register = |to: &u32| {
        let exists = *to <= REGISTER_32_0 + 15;
        if exists { Ok(*to) } else { Err("the fields of a lookup are longer than 64 bytes") }
    };
    Ok(match expression {
        Expression::Meta { key, to } => {
            let mut out = nftnl::Expression::new(c"meta");
            out.set_number(META_KEY, *key).set_number(META_TO, to_register(to)?);
            out
        }
        Expression::Ct { key, to } => {
            let mut out = nftnl::Expression::new(c"ct");
            out.set_number(CT_KEY, *key).set_number(CT_TO, to_register(to)?);
            out
        }
        Expression::Payload { base, offset, length, to } => {
            let mut out = nftnl::Expression::new(c"payload");
            out.set_number(PAYLOAD_BASE, *base)
                .set_number(PAYLOAD_OFFSET, *offset)
                .set_number(PAYLOAD_LENGTH, *length)
                .set_number(PAYLOAD_TO, to_register(to)?);
            out
        }
        Expression::Compare { how, with } => {
            let mut out = nftnl::Expression::new(c"cmp");
            out.set_number(COMPARE_FROM, REGISTER_1)
                .set_number(COMPARE_HOW, *how)
                .set_value(COMPARE_WITH, with);
            out
        }
        Expression::Mask { mask } => {
            let mut out = nftnl::Expression::new(c"bitwise");
            out.set_number(BITWISE_FROM, REGISTER_1)
                .set_number(BITWISE_TO, REGISTER_1)
                .set_number(BITWISE_LENGTH, 4)
                .set_value(BITWISE_MASK, mask)
                .set_value(BITWISE_XOR, &[0; 4]);
            out
        }
        Expression::Lookup { set, how } => {
            let mut out = nftnl::Expression::new(c"lookup");
            out.set_number(LOOKUP_FROM, REGISTER_1).set_text(LOOKUP_SET, &set.name);
            match how {
                Lookup::In => {}
                Lookup::NotIn => {
                    out.set_number(LOOKUP_FLAGS, LOOKUP_INVERSE);
                }
                Lookup::Verdict => {
                    out.set_number(LOOKUP_TO, REGISTER_VERDICT);
                }
            }
            if let Some(id) = set.id {
                out.set_number(LOOKUP_SET_ID, id);
            }
            out
        }
        Expression::Data { to, data } => {
            let mut out = nftnl::Expression::new(c"immediate");
            out.set_number(IMMEDIATE_TO, *to).set_value(IMMEDIATE_DATA, data);
            out
        }
        Expression::Verdict(verdict) => {
            let mut out = nftnl::Expression::new(c"immediate");
            let (code, chain) = value::verdict_code(verdict);
            out.set_number(IMMEDIATE_TO, REGISTER_VERDICT).set_number(IMMEDIATE_VERDICT, code);
            if let Some(chain) = chain {
                out.set_text(IMMEDIATE_CHAIN, chain.as_str());
            }
            out
        }
        Expression::Nat { family } => {
            let mut out = nftnl::Expression::new(c"nat");
            out.set_number(NAT_TYPE, NAT_DESTINATION)
                .set_number(NAT_FAMILY, *family)
                .set_number(NAT_ADDRESS, REGISTER_1)
                .set_number(NAT_PORT, REGISTER_2)
                .set_number(NAT_FLAGS, NAT_PORT_GIVEN);
            out
        }
        Expression::Masquerade => nftnl::Expression::new(c"masq"),
        Expression::Limit(limit) => limit_message(limit),
        Expression::Update { set, limit } => {
            let mut out = nftnl::Expression::new(c"dynset");
            out.set_text(UPDATE_SET, &set.name)
                .set_number(UPDATE_FROM, REGISTER_1)
                .set_number(UPDATE_HOW, DYNAMIC_UPDATE)
                .hold(UPDATE_EXPRESSION, limit_message(limit));
            out
        }
        Expression::Log(log) => {
            let mut out = nftnl::Expression::new(c"log");
            out.set_short_number(LOG_GROUP, log.group).set_text(LOG_PREFIX, log.prefix.as_str());
            out
        }
        // Counts from zero.
        Expression::Counter => nftnl::Expression::new(c"counter"),
    })
}

fn limit_message(limit: &Limit) -> nftnl::Expression {
    let mut out = nftnl::Expression::new(c"limit");
    out.set_long_number(LIMIT_RATE, limit.rate_per_s.into())
        .set_long_number(LIMIT_UNIT, LIMIT_SECOND)
        .set_number(LIMIT_BURST, limit.burst)
        .set_number(LIMIT_TYPE, LIMIT_OF_PACKETS)
        .set_number(LIMIT_FLAGS, 0);
    out
}

/// The expression that the kernel holds; `Err` names what is not ours.
pub(crate) fn read(parsed: &Result<Parsed, String>) -> Result<Expression, String> {
    let view = parsed.as_ref().map_err(|kind| used_differently(kind))?;
    let kind = view.kind().to_str().unwrap_or_default();
    let known = match kind {
        "meta" => meta(view),
        "ct" => ct(view),
        "payload" => payload(view),
        "cmp" => compare(view),
        "bitwise" => mask(view),
        "lookup" => lookup(view),
        "immediate" => immediate(view),
        "nat" => nat(view),
        "masq" => masquerade(view),
        "counter" => Some(Expression::Counter),
        "limit" => limit(view).map(Expression::Limit),
        "dynset" => update(view),
        "log" => log(view),
        _ => None,
    };
    known.ok_or_else(|| used_differently(kind))
}

fn used_differently(kind: &str) -> String {
    format!("the expression `{kind}`, used as we never do")
}

fn meta(view: &Parsed) -> Option<Expression> {
    absent(view, META_FROM)?;
    Some(Expression::Meta { key: view.number(META_KEY)?, to: view.number(META_TO)? })
}

fn ct(view: &Parsed) -> Option<Expression> {
    absent(view, CT_FROM)?;
    absent(view, CT_DIRECTION)?;
    Some(Expression::Ct { key: view.number(CT_KEY)?, to: view.number(CT_TO)? })
}

fn payload(view: &Parsed) -> Option<Expression> {
    absent(view, PAYLOAD_FROM)?;
    Some(Expression::Payload {
        base: view.number(PAYLOAD_BASE)?,
        offset: view.number(PAYLOAD_OFFSET)?,
        length: view.number(PAYLOAD_LENGTH)?,
        to: view.number(PAYLOAD_TO)?,
    })
}

fn compare(view: &Parsed) -> Option<Expression> {
    is(view, COMPARE_FROM, REGISTER_1)?;
    Some(Expression::Compare { how: view.number(COMPARE_HOW)?, with: view.get(COMPARE_WITH)?.to_vec() })
}

fn mask(view: &Parsed) -> Option<Expression> {
    is(view, BITWISE_FROM, REGISTER_1)?;
    is(view, BITWISE_TO, REGISTER_1)?;
    is_or_absent(view, BITWISE_HOW, 0)?;
    let xor = view.get(BITWISE_XOR)?;
    let mask = view.get(BITWISE_MASK)?.try_into().ok()?;
    (*xor == [0; 4]).then_some(Expression::Mask { mask })
}

fn lookup(view: &Parsed) -> Option<Expression> {
    is(view, LOOKUP_FROM, REGISTER_1)?;
    let how = match (view.number(LOOKUP_TO), view.number(LOOKUP_FLAGS)) {
        (None, None | Some(0)) => Lookup::In,
        (None, Some(LOOKUP_INVERSE)) => Lookup::NotIn,
        (Some(REGISTER_VERDICT), None | Some(0)) => Lookup::Verdict,
        _ => return None,
    };
    let set = LookupSet { name: view.text(LOOKUP_SET)?, id: None };
    Some(Expression::Lookup { set, how })
}

fn immediate(view: &Parsed) -> Option<Expression> {
    let to = view.number(IMMEDIATE_TO)?;
    if to != REGISTER_VERDICT {
        return Some(Expression::Data { to, data: view.get(IMMEDIATE_DATA)?.to_vec() });
    }
    let chain = view.text(IMMEDIATE_CHAIN);
    let verdict: Verdict = value::verdict(view.number(IMMEDIATE_VERDICT)?, chain.as_deref())?;
    Some(Expression::Verdict(verdict))
}

fn nat(view: &Parsed) -> Option<Expression> {
    is(view, NAT_TYPE, NAT_DESTINATION)?;
    is(view, NAT_ADDRESS, REGISTER_1)?;
    is(view, NAT_PORT, REGISTER_2)?;
    // The kernel repeats the first register as the last of a range.
    is_or_absent(view, NAT_ADDRESS_MAX, REGISTER_1)?;
    is_or_absent(view, NAT_PORT_MAX, REGISTER_2)?;
    // Nor does it matter whether the flags repeat that there is an address; kernels differ.
    let flags = view.number(NAT_FLAGS)?;
    if flags | NAT_ADDRESS_GIVEN != NAT_ADDRESS_GIVEN | NAT_PORT_GIVEN {
        return None;
    }
    Some(Expression::Nat { family: view.number(NAT_FAMILY)? })
}

fn masquerade(view: &Parsed) -> Option<Expression> {
    is_or_absent(view, MASQUERADE_FLAGS, 0)?;
    absent(view, MASQUERADE_PORT)?;
    Some(Expression::Masquerade)
}

fn limit(view: &Parsed) -> Option<Limit> {
    is_or_absent(view, LIMIT_TYPE, LIMIT_OF_PACKETS)?;
    is_or_absent(view, LIMIT_FLAGS, 0)?;
    if view.long_number(LIMIT_UNIT)? != LIMIT_SECOND {
        return None;
    }
    let rate_per_s = u32::try_from(view.long_number(LIMIT_RATE)?).ok()?;
    Some(Limit { rate_per_s, burst: view.number(LIMIT_BURST)? })
}

fn update(view: &Parsed) -> Option<Expression> {
    is(view, UPDATE_FROM, REGISTER_1)?;
    is(view, UPDATE_HOW, DYNAMIC_UPDATE)?;
    absent(view, UPDATE_DATA)?;
    absent(view, UPDATE_EXPRESSIONS)?;
    let plain = |attribute, ours: u64| view.long_number(attribute).is_none_or(|number| number == ours);
    let flags = view.number(UPDATE_FLAGS).unwrap_or(0);
    if !plain(UPDATE_TIMEOUT, 0) || flags & !DYNAMIC_EXPRESSIONS != 0 {
        return None;
    }
    let inner = view.held()?;
    let limit = (inner.kind() == c"limit").then(|| limit(inner)).flatten()?;
    let set = LookupSet { name: view.text(UPDATE_SET)?, id: None };
    Some(Expression::Update { set, limit })
}

fn log(view: &Parsed) -> Option<Expression> {
    [LOG_SNAPLEN, LOG_QTHRESHOLD, LOG_LEVEL, LOG_FLAGS].into_iter().try_for_each(|it| absent(view, it))?;
    let group = u16::try_from(view.number(LOG_GROUP)?).ok()?;
    let text = view.text(LOG_PREFIX)?;
    let prefix = Comment::new(&text);
    (prefix.as_str() == text).then_some(Expression::Log(Log { group, prefix }))
}

fn is(view: &Parsed, attribute: Attribute, number: u32) -> Option<()> {
    (view.number(attribute)? == number).then_some(())
}

fn is_or_absent(view: &Parsed, attribute: Attribute, number: u32) -> Option<()> {
    if view.get(attribute).is_some() { is(view, attribute, number) } else { Some(()) }
}

fn absent(view: &Parsed, attribute: Attribute) -> Option<()> {
    view.get(attribute).is_none().then_some(())
}
