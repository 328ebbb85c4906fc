//! What messages of nftables say. Without libnftnl, which ends the process (`exit`) where a value does not have the
//! length that it expects: a kernel newer than the library must not be able to do that.

use std::ffi::CStr;

use crate::attribute::*;
use crate::consts::{DATA_OF_VERDICT, DATA_VALUE, ELEMENTS_LIST, VERDICT_CHAIN, VERDICT_CODE};
use crate::nftnl::HEADER_BYTES;
use crate::wire::attributes_in;

/// How a value is made in a message, and which attribute it is of.
enum Value {
    /// 4 bytes in network byte order.
    Number(Attribute),
    /// 2 bytes in network byte order.
    ShortNumber(Attribute),
    /// 8 bytes in network byte order.
    LongNumber(Attribute),
    /// Ends in NUL.
    Text(Attribute),
    Bytes(Attribute),
    /// Only that it is there matters.
    Present(Attribute),
    Nested(Values),
    /// An expression.
    Held,
}
/// By the number that the attribute has in a message. Others are passed over.
type Values = &'static [(u16, Value)];

use Value::{Bytes, Held, LongNumber, Nested, Number, Present, ShortNumber, Text};

const TABLE: Values = &[(1, Text(TABLE_NAME)), (2, Number(TABLE_FLAGS))];
const CHAIN: Values = &[
    (1, Text(CHAIN_TABLE)),
    (3, Text(CHAIN_NAME)),
    (4, Nested(&[(1, Number(CHAIN_HOOK)), (2, Number(CHAIN_PRIORITY))])),
    (5, Number(CHAIN_POLICY)),
    (7, Text(CHAIN_TYPE)),
    (10, Number(CHAIN_FLAGS)),
    (12, Bytes(CHAIN_USERDATA)),
];
const SET: Values = &[
    (1, Text(SET_TABLE)),
    (2, Text(SET_NAME)),
    (3, Number(SET_FLAGS)),
    (4, Number(SET_KEY_TYPE)),
    (5, Number(SET_KEY_LENGTH)),
    (6, Number(SET_DATA_TYPE)),
    (9, Nested(&[(1, Number(SET_SIZE))])),
    (11, LongNumber(SET_TIMEOUT)),
    (12, Present(SET_GC_INTERVAL)),
    (13, Bytes(SET_USERDATA)),
    (15, Present(SET_OBJECT)),
    (17, Present(SET_EXPRESSION)),
    (18, Present(SET_EXPRESSIONS)),
];
const ELEMENT: Values = &[
    (1, Nested(&[(DATA_VALUE, Bytes(ELEMENT_KEY))])),
    (
        2,
        Nested(&[
            (DATA_VALUE, Present(ELEMENT_DATA)),
            (
                DATA_OF_VERDICT,
                Nested(&[(VERDICT_CODE, Number(ELEMENT_VERDICT)), (VERDICT_CHAIN, Text(ELEMENT_CHAIN))]),
            ),
        ]),
    ),
    (3, Number(ELEMENT_FLAGS)),
    (4, Present(ELEMENT_TIMEOUT)),
    (6, Bytes(ELEMENT_USERDATA)),
    (7, Present(ELEMENT_EXPRESSION)),
    (9, Present(ELEMENT_OBJECT)),
    (10, Present(ELEMENT_KEY_END)),
    (11, Present(ELEMENT_EXPRESSIONS)),
];
const RULE: Values = &[(1, Text(RULE_TABLE)), (2, Text(RULE_CHAIN)), (7, Bytes(RULE_USERDATA))];
/// Where a rule has its expressions; each has a name and what the name decides.
const RULE_EXPRESSIONS: u16 = 4;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
/// The expressions that we use.
const EXPRESSIONS: &[(&CStr, Values)] = &[
    (c"meta", &[(1, Number(META_TO)), (2, Number(META_KEY)), (3, Number(META_FROM))]),
    (c"ct", &[(1, Number(CT_TO)), (2, Number(CT_KEY)), (3, Present(CT_DIRECTION)), (4, Number(CT_FROM))]),
    (
        c"payload",
        &[
            (1, Number(PAYLOAD_TO)),
            (2, Number(PAYLOAD_BASE)),
            (3, Number(PAYLOAD_OFFSET)),
            (4, Number(PAYLOAD_LENGTH)),
            (5, Number(PAYLOAD_FROM)),
        ],
    ),
    (
        c"cmp",
        &[
            (1, Number(COMPARE_FROM)),
            (2, Number(COMPARE_HOW)),
            (3, Nested(&[(DATA_VALUE, Bytes(COMPARE_WITH))])),
        ],
    ),
    (
        c"bitwise",
        &[
            (1, Number(BITWISE_FROM)),
            (2, Number(BITWISE_TO)),
            (3, Number(BITWISE_LENGTH)),
            (4, Nested(&[(DATA_VALUE, Bytes(BITWISE_MASK))])),
            (5, Nested(&[(DATA_VALUE, Bytes(BITWISE_XOR))])),
            (6, Number(BITWISE_HOW)),
        ],
    ),
    (
        c"lookup",
        &[(1, Text(LOOKUP_SET)), (2, Number(LOOKUP_FROM)), (3, Number(LOOKUP_TO)), (5, Number(LOOKUP_FLAGS))],
    ),
    (
        c"immediate",
        &[
            (1, Number(IMMEDIATE_TO)),
            (
                2,
                Nested(&[
                    (DATA_VALUE, Bytes(IMMEDIATE_DATA)),
                    (
                        DATA_OF_VERDICT,
                        Nested(&[
                            (VERDICT_CODE, Number(IMMEDIATE_VERDICT)),
                            (VERDICT_CHAIN, Text(IMMEDIATE_CHAIN)),
                        ]),
                    ),
                ]),
            ),
        ],
    ),
    (c"counter", &[(1, LongNumber(COUNTER_BYTES)), (2, LongNumber(COUNTER_PACKETS))]),
    (
        c"limit",
        &[
            (1, LongNumber(LIMIT_RATE)),
            (2, LongNumber(LIMIT_UNIT)),
            (3, Number(LIMIT_BURST)),
            (4, Number(LIMIT_TYPE)),
            (5, Number(LIMIT_FLAGS)),
        ],
    ),
    (
        c"log",
        &[
            (1, ShortNumber(LOG_GROUP)),
            (2, Text(LOG_PREFIX)),
            (3, Present(LOG_SNAPLEN)),
            (4, Present(LOG_QTHRESHOLD)),
            (5, Present(LOG_LEVEL)),
            (6, Present(LOG_FLAGS)),
        ],
    ),
    (
        c"dynset",
        &[
            (1, Text(UPDATE_SET)),
            (3, Number(UPDATE_HOW)),
            (4, Number(UPDATE_FROM)),
            (5, Present(UPDATE_DATA)),
            (6, LongNumber(UPDATE_TIMEOUT)),
            (7, Held),
            (9, Number(UPDATE_FLAGS)),
            (10, Present(UPDATE_EXPRESSIONS)),
        ],
    ),
    (
        c"nat",
        &[
            (1, Number(NAT_TYPE)),
            (2, Number(NAT_FAMILY)),
            (3, Number(NAT_ADDRESS)),
            (4, Number(NAT_ADDRESS_MAX)),
            (5, Number(NAT_PORT)),
            (6, Number(NAT_PORT_MAX)),
            (7, Number(NAT_FLAGS)),
        ],
    ),
    (c"masq", &[(1, Number(MASQUERADE_FLAGS)), (2, Number(MASQUERADE_PORT)), (3, Number(MASQUERADE_PORT))]),
];

/// What a message says of a table, a chain, a set, an element or a rule, or what a rule says of an expression.
#[derive(Debug)]
pub(crate) struct Parsed {
    owner: &'static CStr,
    /// Attributes by their number in libnftnl. Numbers are in host byte order.
    values: Vec<(u16, Vec<u8>)>,
    /// The expression of an expression.
    held: Option<Box<Parsed>>,
}

/// A rule and its expressions in order; of those that we do not use, the names.
#[derive(Debug)]
pub(crate) struct ParsedRule {
    pub(crate) attributes: Parsed,
    pub(crate) expressions: Vec<Result<Parsed, String>>,
}

/// The table that a message is about; `None` if the message is misshapen.
pub(crate) fn table(message: &[u8]) -> Option<Parsed> {
    Parsed::new(c"table", TABLE, payload(message)?)
}

/// The chain that a message is about.
pub(crate) fn chain(message: &[u8]) -> Option<Parsed> {
    Parsed::new(c"chain", CHAIN, payload(message)?)
}

/// The set that a message is about.
pub(crate) fn set(message: &[u8]) -> Option<Parsed> {
    Parsed::new(c"set", SET, payload(message)?)
}

/// The elements in a message.
pub(crate) fn elements(message: &[u8]) -> Option<Vec<Parsed>> {
    let lists = attributes_in(payload(message)?).filter(|(kind, _)| *kind == ELEMENTS_LIST);
    lists
        .flat_map(|(_, list)| attributes_in(list))
        .map(|(_, bytes)| Parsed::new(c"element", ELEMENT, bytes))
        .collect()
}

/// The rule that a message is about.
pub(crate) fn rule(message: &[u8]) -> Option<ParsedRule> {
    let attributes = Parsed::new(c"rule", RULE, payload(message)?)?;
    let lists = attributes_in(payload(message)?).filter(|(kind, _)| *kind == RULE_EXPRESSIONS);
    let expressions = lists.flat_map(|(_, list)| attributes_in(list)).map(|(_, bytes)| expression(bytes));
    Some(ParsedRule { attributes, expressions: expressions.collect::<Option<_>>()? })
}

fn payload(message: &[u8]) -> Option<&[u8]> {
    message.get(HEADER_BYTES..)
}

fn expression(bytes: &[u8]) -> Option<Result<Parsed, String>> {
    let find = |wanted: u16| attributes_in(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let name = CStr::from_bytes_until_nul(find(EXPRESSION_NAME)?).ok()?;
    match EXPRESSIONS.iter().find(|(known, _)| *known == name) {
        Some((name, values)) => Parsed::new(name, values, find(EXPRESSION_DATA).unwrap_or_default()).map(Ok),
        None => Some(Err(name.to_string_lossy().into_owned())),
    }
}

impl Parsed {
    fn new(owner: &'static CStr, values: Values, bytes: &[u8]) -> Option<Self> {
        let mut parsed = Self { owner, values: Vec::new(), held: None };
        parsed.take(values, bytes)?;
        Some(parsed)
    }

    fn take(&mut self, known: Values, bytes: &[u8]) -> Option<()> {
        for (kind, bytes) in attributes_in(bytes) {
            let Some((_, value)) = known.iter().find(|(number, _)| *number == kind) else { continue };
            let (attribute, bytes) = match value {
                Number(attribute) => {
                    (attribute, u32::from_be_bytes(bytes.try_into().ok()?).to_ne_bytes().to_vec())
                }
                ShortNumber(attribute) => {
                    let number = u16::from_be_bytes(bytes.try_into().ok()?);
                    (attribute, u32::from(number).to_ne_bytes().to_vec())
                }
                LongNumber(attribute) => {
                    (attribute, u64::from_be_bytes(bytes.try_into().ok()?).to_ne_bytes().to_vec())
                }
                Text(attribute) => {
                    (attribute, CStr::from_bytes_until_nul(bytes).ok()?.to_bytes_with_nul().to_vec())
                }
                Bytes(attribute) | Present(attribute) => (attribute, bytes.to_vec()),
                Held => {
                    // One that we do not use is as good as none: nothing is an update without one.
                    self.held = expression(bytes)?.ok().filter(|it| it.held.is_none()).map(Box::new);
                    continue;
                }
                Nested(values) => {
                    self.take(values, bytes)?;
                    continue;
                }
            };
            self.values.push((attribute.id, bytes));
        }
        Some(())
    }

    /// Of an expression, its name: `meta`, `cmp`, ...
    pub(crate) fn kind(&self) -> &'static CStr {
        self.owner
    }

    /// The expression in it, if it has one.
    pub(crate) fn held(&self) -> Option<&Parsed> {
        self.held.as_deref()
    }

    /// True when the attribute was in the message.
    pub(crate) fn has(&self, attribute: Attribute) -> bool {
        self.get(attribute).is_some()
    }
}

impl Read for Parsed {
    fn get(&self, attribute: Attribute) -> Option<&[u8]> {
        assert!(attribute.owner == self.owner, "an attribute of something else");
        self.values.iter().find(|(id, _)| *id == attribute.id).map(|(_, value)| &value[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{begin, finish, nest, put};

    fn message(content: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let start = begin(&mut bytes, 0, 0, 1, 1);
        content(&mut bytes);
        finish(&mut bytes, start);
        bytes
    }

    #[test]
    fn a_chain_says_what_it_is() {
        let bytes = message(|bytes| {
            put(bytes, 1, b"podwall\0");
            put(bytes, 3, b"forward\0");
            nest(bytes, 4, |bytes| {
                put(bytes, 1, &2_u32.to_be_bytes());
                put(bytes, 2, &(-5_i32).to_be_bytes());
            });
            put(bytes, 99, b"of a later kernel");
        });
        let parsed = chain(&bytes).expect("well-formed");
        assert_eq!(parsed.text(CHAIN_NAME).as_deref(), Some("forward"));
        assert_eq!(parsed.number(CHAIN_HOOK), Some(2));
        assert_eq!(parsed.number(CHAIN_PRIORITY), Some(-5_i32 as u32));
        assert!(!parsed.has(CHAIN_USERDATA));
    }

    /// Found by fuzzing: libnftnl ended the process for each of these.
    #[test]
    fn a_value_of_another_length_is_misshapen_and_no_end() {
        let wrong: [(u16, &[u8]); 3] = [(2, &[1]), (2, &[0; 8]), (1, b"no end")];
        for (kind, value) in wrong {
            assert!(table(&message(|bytes| put(bytes, kind, value))).is_none(), "{kind}");
        }
        let element = |flags: &'static [u8]| {
            message(|bytes| nest(bytes, ELEMENTS_LIST, |bytes| nest(bytes, 1, |bytes| put(bytes, 3, flags))))
        };
        assert!(elements(&element(&[0, 0, 1])).is_none());
        assert!(elements(&element(&[0, 0, 0, 1])).is_some_and(|all| all.len() == 1));
        let compare = |how: &'static [u8]| {
            message(|bytes| {
                nest(bytes, RULE_EXPRESSIONS, |bytes| {
                    nest(bytes, 1, |bytes| {
                        put(bytes, EXPRESSION_NAME, b"cmp\0");
                        nest(bytes, EXPRESSION_DATA, |bytes| put(bytes, 2, how));
                    });
                });
            })
        };
        assert!(rule(&compare(&[0])).is_none());
        assert!(rule(&compare(&[0; 4])).is_some_and(|rule| rule.expressions.len() == 1));
    }

    #[test]
    fn an_expression_of_others_is_named() {
        let bytes = message(|bytes| {
            nest(bytes, RULE_EXPRESSIONS, |bytes| nest(bytes, 1, |bytes| put(bytes, 1, b"quota\0")));
        });
        assert_eq!(rule(&bytes).unwrap().expressions[0].as_ref().unwrap_err(), "quota");
    }
}
