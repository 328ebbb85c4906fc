//! The bytes of messages, each under the text for which nft 1.0.6 sends the same: the attributes, without the
//! headers. Where nft says more (the number of a set that has a name), the kernel does not need it.

use podwall_ruleset::*;

use crate::batch::encode;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn table() -> TableId {
    TableId { family: Family::Inet, name: name("t") }
}

fn bridge_table() -> TableId {
    TableId { family: Family::Bridge, name: name("t") }
}

/// The last message of an operation: its kind, and its attributes in hexadecimal, by their numbers: nft and libnftnl
/// send them in different orders.
fn bytes_of(operation: Operation) -> String {
    let encoded = encode(&Transaction { operations: vec![operation] }, 0).unwrap();
    let (_, message) = encoded.messages().last().unwrap();
    let kind = message[4];
    let mut attributes = Vec::new();
    let mut rest = &message[20..];
    while let [low, high, number, ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).next_multiple_of(4);
        attributes.push((*number, &rest[..length]));
        rest = &rest[length..];
    }
    attributes.sort();
    let bytes = attributes.into_iter().flat_map(|(_, bytes)| bytes);
    format!("{kind} {}", bytes.map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// The family in the header of an operation's message.
fn family_of(operation: Operation) -> u8 {
    let encoded = encode(&Transaction { operations: vec![operation] }, 0).unwrap();
    encoded.messages().last().unwrap().1[16]
}

fn chain(text: &str, base: Option<BaseChain>, comment: Option<&str>) -> String {
    let comment = comment.map(Comment::new);
    bytes_of(Operation::AddChain { table: table(), name: name(text), base, comment })
}

fn set(text: &str, set: Set) -> String {
    bytes_of(Operation::AddSet { table: table(), name: name(text), set: Box::new(set) })
}

fn elements(text: &str, elements: Vec<(Key, Element)>) -> String {
    bytes_of(Operation::AddElements { table: table(), set: name(text), elements })
}

fn rule(text: &str, rule: Rule) -> String {
    bytes_of(Operation::AddRule { table: table(), chain: name(text), rule: Box::new(rule) })
}

fn ip(text: &str) -> Value {
    Value::Ipv4(text.parse().unwrap())
}

#[test]
fn tables_and_chains() {
    // table inet t
    assert_eq!(bytes_of(Operation::AddTable(table())), "0 06000100740000000800020000000000");
    // table bridge t: the same but for the family in the header
    assert_eq!(family_of(Operation::AddTable(table())), 1);
    assert_eq!(family_of(Operation::AddTable(bridge_table())), 7);
    // chain c { comment "y"; }
    assert_eq!(chain("c", None, Some("y")), "3 0600010074000000060003006300000008000c0000027900");
    // chain f { type filter hook input priority -5; policy accept; }
    let base = BaseChain { chain_type: ChainType::Filter, hook: Hook::Input, priority: -5 };
    assert_eq!(
        chain("f", Some(base), None),
        "3 0600010074000000060003006600000014000480080001000000000108000200\
         fffffffb08000500000000010b00070066696c7465720000"
    );
}

#[test]
fn sets() {
    // set pods { type ipv4_addr; comment "x"; }
    assert_eq!(
        set("pods", Set::new(&[ValueType::Ipv4]).with_comment(Comment::new("x"))),
        "9 060001007400000009000200706f647300000000080003000000000008000400\
         00000007080005000000000408000a00000000010e000d00000402000000070278000000"
    );
    // map m { type ifname : verdict; }
    assert_eq!(
        set("m", Set::new(&[ValueType::Interface]).to_verdicts()),
        "9 0600010074000000060002006d00000008000300000000080800040000000029\
         080005000000001008000600ffffff00080007000000000008000a000000000116000d000004010000000104\
         000000000604000000000000"
    );
    // set b { type ipv4_addr; flags interval; }
    assert_eq!(
        set("b", Set::new(&[ValueType::Ipv4]).of_ranges()),
        "9 0600010074000000060002006200000008000300000000040800040000000007\
         080005000000000408000a00000000010a000d000004020000000000"
    );
}

#[test]
fn elements_of_sets() {
    // add element inet t pods { 10.0.1.7 comment "z", 10.0.2.9 }
    let commented = Element { verdict: None, comment: Some(Comment::new("z")) };
    let pods = vec![(Key::one(ip("10.0.1.7")), commented), (Key::one(ip("10.0.2.9")), Element::default())];
    assert_eq!(
        elements("pods", pods),
        "12 060001007400000009000200706f6473000000002c000380180001800c000180\
         080001000a0001070800060000027a00100002800c000180080001000a000209"
    );
    // add element inet t m { "veth1" : jump c }
    let veth = Key::one(Value::Interface(InterfaceName::new("veth1").unwrap()));
    assert_eq!(
        elements("m", vec![(veth, Element::verdict(Verdict::Jump(name("c"))))]),
        "12 0600010074000000060002006d00000038000380340001801800018014000100\
         76657468310000000000000000000000180002801400028008000100fffffffd0600020063000000"
    );
    // add element inet t b { 0.0.0.0-0.0.0.5, 224.0.0.0/3 }
    let blocks = [("0.0.0.0", "0.0.0.5"), ("224.0.0.0", "255.255.255.255")]
        .map(|(first, last)| (Key::Range(ip(first), ip(last)), Element::default()));
    assert_eq!(
        elements("b", blocks.to_vec()),
        "12 0600010074000000060002006200000048000380100001800c00018008000100\
         000000001800028008000300000000010c00018008000100000000061c0003800c00018008000100e0000000\
         0a0006000104010000000000"
    );
}

#[test]
fn rules() {
    // add rule inet t c ip saddr @pods return
    let pods = Match::in_set(Field::SourceIpv4, &name("pods"));
    assert_eq!(
        rule("c", Rule::verdict([pods], Verdict::Return)),
        "6 06000100740000000600020063000000e000048024000180090001006d657461\
         0000000014000280080002000000000f08000100000000012c00018008000100636d70002000028008000100\
         0000000108000200000000000c0003800500010002000000340001800c0001007061796c6f61640024000280\
         08000100000000010800020000000001080003000000000c0800040000000004280001800b0001006c6f6f6b\
         7570000018000280080002000000000109000100706f647300000000300001800e000100696d6d6564696174\
         650000001c0002800800010000000000100002800c00028008000100fffffffb"
    );
    // add rule inet t c tcp sport 7-9 meta nfproto ipv4 drop comment "w"
    let matches = [Match::SourcePorts(Protocol::Tcp, 7, 9), Match::Family(IpFamily::Ipv4)];
    let commented = Rule { comment: Some(Comment::new("w")), ..Rule::verdict(matches, Verdict::Drop) };
    assert_eq!(
        rule("c", commented),
        "6 060001007400000006000200630000006001048024000180090001006d657461\
         0000000014000280080002000000001008000100000000012c00018008000100636d70002000028008000100\
         0000000108000200000000000c0003800500010006000000340001800c0001007061796c6f61640024000280\
         08000100000000010800020000000002080003000000000008000400000000022c00018008000100636d7000\
         20000280080001000000000108000200000000050c00038006000100000700002c00018008000100636d7000\
         20000280080001000000000108000200000000030c000380060001000009000024000180090001006d657461\
         0000000014000280080002000000000f08000100000000012c00018008000100636d70002000028008000100\
         0000000108000200000000000c0003800500010002000000300001800e000100696d6d656469617465000000\
         1c0002800800010000000000100002800c00028008000100000000000800070000027700"
    );
    // add rule inet t c ip daddr . meta l4proto . th dport { 10.0.0.1 . tcp . 80 } accept
    let mut set = Set::new(&[ValueType::Ipv4, ValueType::Protocol, ValueType::Port]);
    let key = [ip("10.0.0.1"), Value::Protocol(Protocol::Tcp), Value::Port(80)];
    set.elements.insert(Key::Exact(key.into_iter().collect()), Element::default());
    let fields = [Field::DestinationIpv4, Field::Protocol, Field::DestinationPort];
    let service = Match::In(fields.into_iter().collect(), SetRef::Anonymous(Box::new(set)));
    assert_eq!(
        rule("c", Rule::verdict([service], Verdict::Accept)),
        "6 060001007400000006000200630000004001048024000180090001006d657461\
         0000000014000280080002000000000f08000100000000012c00018008000100636d70002000028008000100\
         0000000108000200000000000c0003800500010002000000340001800c0001007061796c6f61640024000280\
         080001000000000108000200000000010800030000000010080004000000000424000180090001006d657461\
         000000001400028008000200000000100800010000000009340001800c0001007061796c6f61640024000280\
         080001000000000a080002000000000208000300000000020800040000000002300001800b0001006c6f6f6b\
         757000002000028008000200000000010c0001005f5f7365742564000800040000000001300001800e000100\
         696d6d6564696174650000001c0002800800010000000000100002800c0002800800010000000001"
    );
    // add rule inet t f iifname vmap @m
    let fields = [Field::InputInterface].into_iter().collect();
    let map = Statement::VerdictMap(fields, SetRef::Named(name("m")));
    assert_eq!(
        rule("f", Rule::new([], map)),
        "6 060001007400000006000200660000005400048024000180090001006d657461\
         0000000014000280080002000000000608000100000000012c0001800b0001006c6f6f6b757000001c000280\
         08000200000000010800030000000000060001006d000000"
    );
    // add rule inet t f ct state established,related accept
    let states = Match::CtState([CtState::Established, CtState::Related].into_iter().collect());
    assert_eq!(
        rule("f", Rule::verdict([states], Verdict::Accept)),
        "6 06000100740000000600020066000000c4000480200001800700010063740000\
         1400028008000200000000000800010000000001440001800c00010062697477697365003400028008000100\
         00000001080002000000000108000300000000040c00048008000100060000000c0005800800010000000000\
         2c00018008000100636d700020000280080001000000000108000200000000010c0003800800010000000000\
         300001800e000100696d6d6564696174650000001c0002800800010000000000100002800c00028008000100\
         00000001"
    );
}

#[test]
fn rules_of_bridges() {
    let rule = |content: Rule| {
        bytes_of(Operation::AddRule { table: bridge_table(), chain: name("c"), rule: Box::new(content) })
    };
    // add rule bridge t c ip saddr @s counter drop
    let source = Match::in_set(Field::SourceIpv4, &name("s"));
    assert_eq!(
        rule(Rule::verdict([source], Verdict::Drop).counted()),
        "6 06000100740000000600020063000000f000048024000180090001006d657461\
         0000000014000280080002000000000108000100000000012c00018008000100636d70002000028008000100\
         0000000108000200000000000c0003800600010008000000340001800c0001007061796c6f61640024000280\
         08000100000000010800020000000001080003000000000c0800040000000004240001800b0001006c6f6f6b\
         757000001400028008000200000000010600010073000000140001800c000100636f756e7465720004000280\
         300001800e000100696d6d6564696174650000001c0002800800010000000000100002800c00028008000100\
         00000000"
    );
    // add rule bridge t c iifname . arp saddr ip @p accept
    let pair = [Field::InputInterface, Field::ArpSource].into_iter().collect();
    assert_eq!(
        rule(Rule::verdict([Match::In(pair, SetRef::Named(name("p")))], Verdict::Accept)),
        "6 0600010074000000060002006300000010010480340001800c0001007061796c\
         6f6164002400028008000100000000010800020000000000080003000000000c08000400000000022c000180\
         08000100636d700020000280080001000000000108000200000000000c000380060001000806000024000180\
         090001006d657461000000001400028008000200000000060800010000000001340001800c0001007061796c\
         6f6164002400028008000100000000020800020000000001080003000000000e080004000000000424000180\
         0b0001006c6f6f6b757000001400028008000200000000010600010070000000300001800e000100696d6d65\
         64696174650000001c0002800800010000000000100002800c0002800800010000000001"
    );
    // add rule bridge t c meta protocol ip6 icmpv6 type @y @th,64,128 0xfd000000000000000000000000000001 return
    let target = Match::NeighbourTarget("fd00::1".parse().unwrap());
    assert_eq!(
        rule(Rule::verdict([Match::in_set(Field::Icmpv6Type, &name("y")), target], Verdict::Return)),
        "6 060001007400000006000200630000009801048024000180090001006d657461\
         0000000014000280080002000000000108000100000000012c00018008000100636d70002000028008000100\
         0000000108000200000000000c0003800600010086dd000024000180090001006d6574610000000014000280\
         080002000000001008000100000000012c00018008000100636d700020000280080001000000000108000200\
         000000000c000380050001003a000000340001800c0001007061796c6f616400240002800800010000000001\
         080002000000000208000300000000000800040000000001240001800b0001006c6f6f6b7570000014000280\
         08000200000000010600010079000000340001800c0001007061796c6f616400240002800800010000000001\
         0800020000000002080003000000000808000400000000103800018008000100636d70002c00028008000100\
         0000000108000200000000001800038014000100fd000000000000000000000000000001300001800e000100\
         696d6d6564696174650000001c0002800800010000000000100002800c00028008000100fffffffb"
    );
    // add rule bridge t c iifname "veth*" ip6 saddr != @k drop
    let veth = Match::InterfacePrefix(Field::InputInterface, InterfaceName::new("veth").unwrap());
    assert_eq!(
        rule(Rule::verdict([veth, Match::NotIn(Field::SourceIpv6, name("k"))], Verdict::Drop)),
        "6 060001007400000006000200630000003401048024000180090001006d657461\
         0000000014000280080002000000000608000100000000012c00018008000100636d70002000028008000100\
         0000000108000200000000000c000380080001007665746824000180090001006d6574610000000014000280\
         080002000000000108000100000000012c00018008000100636d700020000280080001000000000108000200\
         000000000c0003800600010086dd0000340001800c0001007061796c6f616400240002800800010000000001\
         0800020000000001080003000000000808000400000000102c0001800b0001006c6f6f6b757000001c000280\
         0800020000000001060001006b0000000800050000000001300001800e000100696d6d656469617465000000\
         1c0002800800010000000000100002800c0002800800010000000000"
    );
}
