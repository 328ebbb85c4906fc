//! The protocol and port that somebody asks about.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use podwall_policy::{Pod, Protocol, Transport};

/// What is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialled {
    /// A protocol and port by number, or ICMP.
    Number(Transport),
    /// A port by the name that the destination's containers give it.
    Named(Protocol, Arc<str>),
}

impl FromStr for Dialled {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected TCP/80, UDP/53, SCTP/9, TCP/NAME or ICMP";
        let (protocol, port) = match text.split_once('/') {
            Some((protocol, port)) => (protocol, Some(port)),
            None => (text, None),
        };
        let protocol = match (protocol.to_ascii_uppercase().as_str(), port) {
            ("ICMP", None) => return Ok(Dialled::Number(Transport::Other)),
            ("TCP", Some(_)) => Protocol::Tcp,
            ("UDP", Some(_)) => Protocol::Udp,
            ("SCTP", Some(_)) => Protocol::Sctp,
            _ => return Err(EXPECTED.to_owned()),
        };
        let port = port.unwrap_or_default();
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(number) if number > 0 => Ok(Dialled::Number(Transport::Port(protocol, number))),
            _ if is_number => Err("expected a port from 1 to 65535".to_owned()),
            _ if port.contains(['/', ' ']) => Err(EXPECTED.to_owned()),
            _ => Ok(Dialled::Named(protocol, port.into())),
        }
    }
}

impl Dialled {
    /// What it means on this pod; `None` when the pod gives no port this name.
    pub fn on(&self, pod: Option<&Pod>) -> Option<Transport> {
        match self {
            Dialled::Number(transport) => Some(*transport),
            Dialled::Named(protocol, name) => {
                named(pod?, *protocol, name).map(|it| Transport::Port(*protocol, it))
            }
        }
    }
}

/// The port that a pod's containers declare by this name; the first counts (S105).
pub fn named(pod: &Pod, protocol: Protocol, name: &str) -> Option<u16> {
    let mut ports = pod.ports.iter().filter(|port| port.protocol == protocol);
    ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.port)
}

impl fmt::Display for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dialled::Number(transport) => f.write_str(&transport_name(*transport)),
            Dialled::Named(protocol, name) => write!(f, "{protocol}/{name}"),
        }
    }
}

/// `TCP/80`, or `ICMP`.
pub fn transport_name(transport: Transport) -> String {
    match transport {
        Transport::Port(protocol, port) => format!("{protocol}/{port}"),
        Transport::Other => "ICMP".to_owned(),
    }
}

/// The ports that a pod declares, as `TCP/80 (http), UDP/53`.
pub fn declared(pod: &Pod) -> String {
    let ports = pod.ports.iter().map(|port| match &port.name {
        Some(name) => format!("{}/{} ({name})", port.protocol, port.port),
        None => format!("{}/{}", port.protocol, port.port),
    });
    match ports.collect::<Vec<_>>() {
        none if none.is_empty() => "none".to_owned(),
        some => some.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_dialled() {
        assert_eq!("TCP/80".parse(), Ok(Dialled::Number(Transport::Port(Protocol::Tcp, 80))));
        assert_eq!("udp/dns".parse(), Ok(Dialled::Named(Protocol::Udp, "dns".into())));
        assert_eq!("icmp".parse(), Ok(Dialled::Number(Transport::Other)));
        for bad in ["TCP", "TCP/", "TCP/0", "TCP/65536", "ICMP/8", "80", "QUIC/443", "", "TCP/a/b"] {
            assert!(bad.parse::<Dialled>().is_err(), "{bad:?} was taken");
        }
    }
}
