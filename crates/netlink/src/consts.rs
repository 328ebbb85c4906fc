//! The kernel's numbers (`linux/netfilter/nf_tables.h`, `nfnetlink.h`, `nfnetlink_conntrack.h`, `netlink.h`). They are kernel ABI and never
//! change. Written out in one place and one integer type each, because `libc` has some of them, in mixed types.

pub(crate) const SUBSYSTEM: u16 = 10;
pub(crate) const BATCH_BEGIN: u16 = 0x10;
pub(crate) const BATCH_END: u16 = 0x11;

pub(crate) const NEW_TABLE: u16 = 0;
pub(crate) const GET_TABLE: u16 = 1;
pub(crate) const DELETE_TABLE: u16 = 2;
pub(crate) const NEW_CHAIN: u16 = 3;
pub(crate) const GET_CHAIN: u16 = 4;
pub(crate) const DELETE_CHAIN: u16 = 5;
pub(crate) const NEW_RULE: u16 = 6;
pub(crate) const GET_RULE: u16 = 7;
pub(crate) const DELETE_RULE: u16 = 8;
pub(crate) const NEW_SET: u16 = 9;
pub(crate) const GET_SET: u16 = 10;
pub(crate) const DELETE_SET: u16 = 11;
pub(crate) const NEW_ELEMENT: u16 = 12;
pub(crate) const GET_ELEMENT: u16 = 13;
pub(crate) const DELETE_ELEMENT: u16 = 14;
pub(crate) const NEW_GENERATION: u16 = 15;
pub(crate) const GET_GENERATION: u16 = 16;
pub(crate) const GET_OBJECT: u16 = 19;
pub(crate) const GET_FLOWTABLE: u16 = 23;

/// The bit of the multicast group that hears of changes of nftables.
pub(crate) const GROUP_NFTABLES: u32 = 1 << 6;
/// The table that a chain, rule, set, element, object or flowtable is in, and a table's own name.
pub(crate) const ANY_TABLE: u16 = 1;
/// A chain's own name.
pub(crate) const CHAIN_OWN_NAME: u16 = 3;
/// The chain that a rule is in.
pub(crate) const RULE_OWNING_CHAIN: u16 = 2;
pub(crate) const ELEMENTS_TABLE: u16 = 1;
pub(crate) const ELEMENTS_SET: u16 = 2;
pub(crate) const ELEMENTS_LIST: u16 = 3;
pub(crate) const ELEMENTS_SET_ID: u16 = 4;
pub(crate) const ELEMENT_OWN_KEY: u16 = 1;
pub(crate) const ELEMENT_OWN_DATA: u16 = 2;
pub(crate) const ELEMENT_OWN_FLAGS: u16 = 3;
pub(crate) const ELEMENT_OWN_USERDATA: u16 = 6;
pub(crate) const DATA_VALUE: u16 = 1;
pub(crate) const DATA_OF_VERDICT: u16 = 2;
pub(crate) const VERDICT_CODE: u16 = 1;
pub(crate) const VERDICT_CHAIN: u16 = 2;
pub(crate) const GENERATION_ID: u16 = 1;
pub(crate) const GENERATION_PROCESS: u16 = 2;
pub(crate) const GENERATION_PROCESS_NAME: u16 = 3;

pub(crate) const SUBSYSTEM_CONNTRACK: u16 = 1;
pub(crate) const CONNTRACK_NEW: u16 = 0;
pub(crate) const CONNTRACK_GET: u16 = 1;
pub(crate) const ENTRY_ORIGINAL: u16 = 1;
pub(crate) const ENTRY_REPLY: u16 = 2;
pub(crate) const ENTRY_STATUS: u16 = 3;
pub(crate) const ENTRY_MARK: u16 = 8;
pub(crate) const ENTRY_ID: u16 = 12;
pub(crate) const ENTRY_ZONE: u16 = 18;
pub(crate) const ENTRY_MARK_MASK: u16 = 21;
pub(crate) const STATUS_SEEN_REPLY: u32 = 2;
pub(crate) const STATUS_ASSURED: u32 = 4;
pub(crate) const TUPLE_ADDRESSES: u16 = 1;
pub(crate) const TUPLE_PROTOCOL: u16 = 2;
pub(crate) const TUPLE_ZONE: u16 = 3;
pub(crate) const ADDRESS_IPV4_SOURCE: u16 = 1;
pub(crate) const ADDRESS_IPV4_DESTINATION: u16 = 2;
pub(crate) const ADDRESS_IPV6_SOURCE: u16 = 3;
pub(crate) const ADDRESS_IPV6_DESTINATION: u16 = 4;
pub(crate) const PROTOCOL_NUMBER: u16 = 1;
pub(crate) const PROTOCOL_SOURCE_PORT: u16 = 2;
pub(crate) const PROTOCOL_DESTINATION_PORT: u16 = 3;
pub(crate) const PROTOCOL_ICMP_ID: u16 = 4;
pub(crate) const PROTOCOL_ICMP_TYPE: u16 = 5;
pub(crate) const PROTOCOL_ICMP_CODE: u16 = 6;
/// From the attributes of ICMP to those of ICMPv6.
pub(crate) const PROTOCOL_ICMPV6_OFFSET: u16 = 3;

pub(crate) const SUBSYSTEM_LOG: u16 = 4;
pub(crate) const LOG_PACKET: u16 = 0;
pub(crate) const LOG_CONFIG: u16 = 1;
pub(crate) const CONFIG_COMMAND: u16 = 1;
pub(crate) const CONFIG_MODE: u16 = 2;
pub(crate) const CONFIG_BUFFER: u16 = 3;
pub(crate) const CONFIG_DELAY: u16 = 4;
pub(crate) const CONFIG_AT_ONCE: u16 = 5;
pub(crate) const CONFIG_FLAGS: u16 = 6;
pub(crate) const COMMAND_BIND: u8 = 1;
pub(crate) const COPY_PACKET: u8 = 2;
/// Every packet that is logged has the next number.
pub(crate) const NUMBERED: u16 = 1;
pub(crate) const LOGGED_PAYLOAD: u16 = 9;
pub(crate) const LOGGED_PREFIX: u16 = 10;
pub(crate) const LOGGED_NUMBER: u16 = 12;

/// In an attribute's kind: attributes are nested in it.
pub(crate) const NESTED: u16 = 0x8000;
pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACKNOWLEDGE: u16 = 0x4;
pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const EXCLUSIVE: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;
/// In an error message: the refused message is not repeated in full.
pub(crate) const CAPPED: u16 = 0x100;
/// In an error message: attributes of the refusal follow.
pub(crate) const ERROR_ATTRIBUTES: u16 = 0x200;
pub(crate) const ERROR_TEXT: u16 = 1;

/// The families that we meet: of tables, of packets, of addresses to translate to.
pub(crate) const FAMILY_INET: u8 = 1;
pub(crate) const FAMILY_IPV4: u8 = 2;
pub(crate) const FAMILY_BRIDGE: u8 = 7;
pub(crate) const FAMILY_IPV6: u8 = 10;

pub(crate) const CHAIN_BASE: u32 = 1;
pub(crate) const POLICY_ACCEPT: u32 = 1;

pub(crate) const SET_ANONYMOUS: u32 = 1;
pub(crate) const SET_CONSTANT: u32 = 2;
pub(crate) const SET_INTERVAL: u32 = 4;
pub(crate) const SET_MAP: u32 = 8;
pub(crate) const SET_TIMEOUT_FLAG: u32 = 0x10;
/// Rules may put elements into the set.
pub(crate) const SET_DYNAMIC: u32 = 0x20;
pub(crate) const DATA_VERDICT: u32 = 0xffff_ff00;
pub(crate) const ELEMENT_INTERVAL_END: u32 = 1;
/// The longest key and the longest data of a register, in bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 64;
/// The most expressions that the kernel takes in one rule.
pub(crate) const EXPRESSIONS_MAX: usize = 128;

pub(crate) const VERDICT_DROP: u32 = 0;
pub(crate) const VERDICT_ACCEPT: u32 = 1;
pub(crate) const VERDICT_JUMP: u32 = -3_i32 as u32;
pub(crate) const VERDICT_GOTO: u32 = -4_i32 as u32;
pub(crate) const VERDICT_RETURN: u32 = -5_i32 as u32;

/// The register of verdicts.
pub(crate) const REGISTER_VERDICT: u32 = 0;
/// The first data register, by its 16-byte name.
pub(crate) const REGISTER_1: u32 = 1;
/// The second data register, by its 16-byte name.
pub(crate) const REGISTER_2: u32 = 2;
/// The first data register, by its 4-byte name.
pub(crate) const REGISTER_32_0: u32 = 8;

/// What the frame carries, as an ethertype.
pub(crate) const META_ETHERTYPE: u32 = 1;
pub(crate) const META_INPUT_INTERFACE_NAME: u32 = 6;
pub(crate) const META_OUTPUT_INTERFACE_NAME: u32 = 7;
pub(crate) const META_FAMILY: u32 = 15;
pub(crate) const META_PROTOCOL: u32 = 16;

pub(crate) const CT_STATE: u32 = 0;
pub(crate) const CT_STATUS: u32 = 2;
pub(crate) const CT_MARK: u32 = 3;
pub(crate) const CT_STATE_ESTABLISHED: u32 = 2;
pub(crate) const CT_STATE_RELATED: u32 = 4;
pub(crate) const CT_STATUS_DNAT: u32 = 0x20;

pub(crate) const PAYLOAD_LINK: u32 = 0;
pub(crate) const PAYLOAD_NETWORK: u32 = 1;
pub(crate) const PAYLOAD_TRANSPORT: u32 = 2;

pub(crate) const COMPARE_EQUAL: u32 = 0;
pub(crate) const COMPARE_NOT_EQUAL: u32 = 1;
pub(crate) const COMPARE_AT_MOST: u32 = 3;
pub(crate) const COMPARE_AT_LEAST: u32 = 5;

pub(crate) const LOOKUP_INVERSE: u32 = 1;

/// Of what a rule puts into a set: a new element, or new life for one that is there.
pub(crate) const DYNAMIC_UPDATE: u32 = 1;
/// The element has expressions of its own.
pub(crate) const DYNAMIC_EXPRESSIONS: u32 = 2;
/// Of a limit: packets, and not bytes.
pub(crate) const LIMIT_OF_PACKETS: u32 = 0;
/// A limit's unit of time: a second.
pub(crate) const LIMIT_SECOND: u64 = 1;

pub(crate) const NAT_DESTINATION: u32 = 1;
pub(crate) const NAT_ADDRESS_GIVEN: u32 = 1;
pub(crate) const NAT_PORT_GIVEN: u32 = 2;

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;

pub(crate) const PROTOCOL_ICMPV6: u8 = 58;
