//! The attributes of libnftnl's objects and expressions that we use.
//!
//! The setters of [`crate::nftnl`] believe what is said here about owners and shapes: a wrong entry is a wrong
//! length in a copy. Attributes are made in this file only.

use std::ffi::CStr;

use nftnl_sys as sys;

/// How libnftnl keeps the value of an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Number,
    /// 2 bytes.
    ShortNumber,
    /// 8 bytes.
    LongNumber,
    /// An expression, which the owner takes over.
    Expression,
    Text,
    /// Copied to the heap.
    Bytes,
    /// Copied into a register of [`VALUE_BYTES_MAX`] bytes.
    Value,
    /// Never set, only asked for.
    Other,
}

/// An attribute of one kind of object or expression.
#[derive(Clone, Copy)]
pub(crate) struct Attribute {
    pub(crate) owner: &'static CStr,
    pub(crate) id: u16,
    pub(crate) shape: Shape,
}

/// Reads attributes of anything.
pub(crate) trait Read {
    /// The value, if there is one. Numbers are in host byte order, texts end in NUL.
    fn get(&self, attribute: Attribute) -> Option<&[u8]>;

    fn number(&self, attribute: Attribute) -> Option<u32> {
        self.get(attribute)?.try_into().ok().map(u32::from_ne_bytes)
    }

    fn long_number(&self, attribute: Attribute) -> Option<u64> {
        self.get(attribute)?.try_into().ok().map(u64::from_ne_bytes)
    }

    fn text(&self, attribute: Attribute) -> Option<String> {
        let text = CStr::from_bytes_until_nul(self.get(attribute)?).ok()?;
        Some(text.to_string_lossy().into_owned())
    }
}

macro_rules! attributes {
    ($owner:expr; $($name:ident = $id:ident: $shape:ident),* $(,)?) => {
        $(pub(crate) const $name: Attribute =
            Attribute { owner: $owner, id: sys::$id as u16, shape: Shape::$shape };)*
    };
}

attributes!(c"table"; TABLE_NAME = NFTNL_TABLE_NAME: Text, TABLE_FLAGS = NFTNL_TABLE_FLAGS: Number);
attributes!(c"chain";
    CHAIN_TABLE = NFTNL_CHAIN_TABLE: Text, CHAIN_NAME = NFTNL_CHAIN_NAME: Text,
    CHAIN_TYPE = NFTNL_CHAIN_TYPE: Text, CHAIN_HOOK = NFTNL_CHAIN_HOOKNUM: Number,
    CHAIN_PRIORITY = NFTNL_CHAIN_PRIO: Number, CHAIN_POLICY = NFTNL_CHAIN_POLICY: Number,
    CHAIN_FLAGS = NFTNL_CHAIN_FLAGS: Number, CHAIN_USERDATA = NFTNL_CHAIN_USERDATA: Bytes,
);
attributes!(c"rule";
    RULE_TABLE = NFTNL_RULE_TABLE: Text, RULE_CHAIN = NFTNL_RULE_CHAIN: Text,
    RULE_USERDATA = NFTNL_RULE_USERDATA: Bytes,
);
attributes!(c"set";
    SET_TABLE = NFTNL_SET_TABLE: Text, SET_NAME = NFTNL_SET_NAME: Text, SET_FLAGS = NFTNL_SET_FLAGS: Number,
    SET_KEY_TYPE = NFTNL_SET_KEY_TYPE: Number, SET_KEY_LENGTH = NFTNL_SET_KEY_LEN: Number,
    SET_DATA_TYPE = NFTNL_SET_DATA_TYPE: Number, SET_DATA_LENGTH = NFTNL_SET_DATA_LEN: Number,
    SET_ID = NFTNL_SET_ID: Number, SET_SIZE = NFTNL_SET_DESC_SIZE: Number,
    SET_USERDATA = NFTNL_SET_USERDATA: Bytes, SET_TIMEOUT = NFTNL_SET_TIMEOUT: LongNumber,
    SET_GC_INTERVAL = NFTNL_SET_GC_INTERVAL: Other, SET_OBJECT = NFTNL_SET_OBJ_TYPE: Other,
    SET_EXPRESSION = NFTNL_SET_EXPR: Other, SET_EXPRESSIONS = NFTNL_SET_EXPRESSIONS: Other,
);
attributes!(c"element";
    ELEMENT_FLAGS = NFTNL_SET_ELEM_FLAGS: Number, ELEMENT_KEY = NFTNL_SET_ELEM_KEY: Value,
    ELEMENT_VERDICT = NFTNL_SET_ELEM_VERDICT: Number, ELEMENT_CHAIN = NFTNL_SET_ELEM_CHAIN: Text,
    ELEMENT_USERDATA = NFTNL_SET_ELEM_USERDATA: Bytes, ELEMENT_KEY_END = NFTNL_SET_ELEM_KEY_END: Other,
    ELEMENT_DATA = NFTNL_SET_ELEM_DATA: Other, ELEMENT_TIMEOUT = NFTNL_SET_ELEM_TIMEOUT: Other,
    ELEMENT_EXPRESSION = NFTNL_SET_ELEM_EXPR: Other, ELEMENT_EXPRESSIONS = NFTNL_SET_ELEM_EXPRESSIONS: Other,
    ELEMENT_OBJECT = NFTNL_SET_ELEM_OBJREF: Other,
);
attributes!(c"meta"; META_KEY = NFTNL_EXPR_META_KEY: Number, META_TO = NFTNL_EXPR_META_DREG: Number,
    META_FROM = NFTNL_EXPR_META_SREG: Number);
attributes!(c"ct"; CT_KEY = NFTNL_EXPR_CT_KEY: Number, CT_TO = NFTNL_EXPR_CT_DREG: Number,
    CT_FROM = NFTNL_EXPR_CT_SREG: Number, CT_DIRECTION = NFTNL_EXPR_CT_DIR: Other);
attributes!(c"payload";
    PAYLOAD_BASE = NFTNL_EXPR_PAYLOAD_BASE: Number, PAYLOAD_OFFSET = NFTNL_EXPR_PAYLOAD_OFFSET: Number,
    PAYLOAD_LENGTH = NFTNL_EXPR_PAYLOAD_LEN: Number, PAYLOAD_TO = NFTNL_EXPR_PAYLOAD_DREG: Number,
    PAYLOAD_FROM = NFTNL_EXPR_PAYLOAD_SREG: Number,
);
attributes!(c"cmp"; COMPARE_FROM = NFTNL_EXPR_CMP_SREG: Number, COMPARE_HOW = NFTNL_EXPR_CMP_OP: Number,
    COMPARE_WITH = NFTNL_EXPR_CMP_DATA: Value);
attributes!(c"bitwise";
    BITWISE_FROM = NFTNL_EXPR_BITWISE_SREG: Number, BITWISE_TO = NFTNL_EXPR_BITWISE_DREG: Number,
    BITWISE_LENGTH = NFTNL_EXPR_BITWISE_LEN: Number, BITWISE_MASK = NFTNL_EXPR_BITWISE_MASK: Value,
    BITWISE_XOR = NFTNL_EXPR_BITWISE_XOR: Value, BITWISE_HOW = NFTNL_EXPR_BITWISE_OP: Number,
);
attributes!(c"lookup";
    LOOKUP_FROM = NFTNL_EXPR_LOOKUP_SREG: Number, LOOKUP_TO = NFTNL_EXPR_LOOKUP_DREG: Number,
    LOOKUP_SET = NFTNL_EXPR_LOOKUP_SET: Text, LOOKUP_SET_ID = NFTNL_EXPR_LOOKUP_SET_ID: Number,
    LOOKUP_FLAGS = NFTNL_EXPR_LOOKUP_FLAGS: Number,
);
attributes!(c"immediate";
    IMMEDIATE_TO = NFTNL_EXPR_IMM_DREG: Number, IMMEDIATE_DATA = NFTNL_EXPR_IMM_DATA: Value,
    IMMEDIATE_VERDICT = NFTNL_EXPR_IMM_VERDICT: Number, IMMEDIATE_CHAIN = NFTNL_EXPR_IMM_CHAIN: Text,
);
attributes!(c"counter"; COUNTER_PACKETS = NFTNL_EXPR_CTR_PACKETS: Other,
    COUNTER_BYTES = NFTNL_EXPR_CTR_BYTES: Other);
attributes!(c"limit";
    LIMIT_RATE = NFTNL_EXPR_LIMIT_RATE: LongNumber, LIMIT_UNIT = NFTNL_EXPR_LIMIT_UNIT: LongNumber,
    LIMIT_BURST = NFTNL_EXPR_LIMIT_BURST: Number, LIMIT_TYPE = NFTNL_EXPR_LIMIT_TYPE: Number,
    LIMIT_FLAGS = NFTNL_EXPR_LIMIT_FLAGS: Number,
);
attributes!(c"log";
    LOG_GROUP = NFTNL_EXPR_LOG_GROUP: ShortNumber, LOG_PREFIX = NFTNL_EXPR_LOG_PREFIX: Text,
    LOG_SNAPLEN = NFTNL_EXPR_LOG_SNAPLEN: Other, LOG_QTHRESHOLD = NFTNL_EXPR_LOG_QTHRESHOLD: Other,
    LOG_LEVEL = NFTNL_EXPR_LOG_LEVEL: Other, LOG_FLAGS = NFTNL_EXPR_LOG_FLAGS: Other,
);
attributes!(c"dynset";
    UPDATE_SET = NFTNL_EXPR_DYNSET_SET_NAME: Text,
    UPDATE_FROM = NFTNL_EXPR_DYNSET_SREG_KEY: Number, UPDATE_HOW = NFTNL_EXPR_DYNSET_OP: Number,
    UPDATE_DATA = NFTNL_EXPR_DYNSET_SREG_DATA: Other, UPDATE_TIMEOUT = NFTNL_EXPR_DYNSET_TIMEOUT: LongNumber,
    UPDATE_FLAGS = NFTNL_EXPR_DYNSET_FLAGS: Number, UPDATE_EXPRESSION = NFTNL_EXPR_DYNSET_EXPR: Expression,
    UPDATE_EXPRESSIONS = NFTNL_EXPR_DYNSET_EXPRESSIONS: Other,
);
attributes!(c"nat";
    NAT_TYPE = NFTNL_EXPR_NAT_TYPE: Number, NAT_FAMILY = NFTNL_EXPR_NAT_FAMILY: Number,
    NAT_ADDRESS = NFTNL_EXPR_NAT_REG_ADDR_MIN: Number, NAT_ADDRESS_MAX = NFTNL_EXPR_NAT_REG_ADDR_MAX: Number,
    NAT_PORT = NFTNL_EXPR_NAT_REG_PROTO_MIN: Number, NAT_PORT_MAX = NFTNL_EXPR_NAT_REG_PROTO_MAX: Number,
    NAT_FLAGS = NFTNL_EXPR_NAT_FLAGS: Number,
);
attributes!(c"masq"; MASQUERADE_FLAGS = NFTNL_EXPR_MASQ_FLAGS: Number,
    MASQUERADE_PORT = NFTNL_EXPR_MASQ_REG_PROTO_MIN: Number);
