//! What is spoken over a connection, as packets and the flow log name it (S120, S125).

use podwall_policy::{FlowRecord, ObjectKey, Protocol, Transport};

const NUMBERS: [(u8, Protocol); 3] = [(6, Protocol::Tcp), (17, Protocol::Udp), (132, Protocol::Sctp)];

#[test]
fn protocols_with_ports_have_their_numbers_s120() {
    for (number, protocol) in NUMBERS {
        assert_eq!(Protocol::from_number(number), Some(protocol));
        assert_eq!(Transport::of(number, Some(80)), Transport::Port(protocol, 80));
        assert_eq!(Transport::of(number, None), Transport::Other, "a fragment has no port");
    }
    for number in [0, 1, 47, 58, 133, 255] {
        assert_eq!(Protocol::from_number(number), None);
        assert_eq!(Transport::of(number, Some(80)), Transport::Other);
    }
}

#[test]
fn a_record_says_what_was_spoken_and_between_whom() {
    let line = |protocol: &str, port: &str| {
        format!(
            "{{\"first_seen_ms\":1,\"last_seen_ms\":2,\"verdict\":\"denied\",\"direction\":\"ingress\",\
             \"from\":{{\"address\":\"10.0.0.1\",\"pod\":\"default/a\"}},\"to\":{{\"address\":\"10.0.0.2\"}},\
             \"protocol\":\"{protocol}\"{port},\"count\":1}}"
        )
    };
    let read =
        |protocol: &str, port: &str| serde_json::from_str::<FlowRecord>(&line(protocol, port)).unwrap();
    for (_, protocol) in NUMBERS {
        let record = read(&protocol.to_string(), ",\"port\":80");
        assert_eq!(record.transport(), Transport::Port(protocol, 80));
        assert_eq!((record.from.pod, record.to.pod), (Some(ObjectKey::new("default", "a")), None));
    }
    assert_eq!(read("TCP", "").transport(), Transport::Other);
    assert_eq!(read("ICMP", "").transport(), Transport::Other);
}
