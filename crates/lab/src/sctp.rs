//! SCTP: sockets where the kernel has them; where not, its first packets, made and read by ourselves, for all kernels
//! track and filter them.
//!
//! A prober sends INIT; a port that is listened on answers INIT ACK, any other ABORT. Nothing more is said, so no
//! association ever exists. Connection tracking drops packets with a wrong checksum or verification tag.

/// The protocol number in the IP header.
pub const PROTOCOL: i32 = 132;

/// True when the kernel's own SCTP is there. It then answers every packet, so we must not.
pub fn kernel_has_it() -> bool {
    let protocols = std::fs::read_to_string("/proc/net/protocols").unwrap_or_default();
    protocols.lines().any(|line| line.starts_with("SCTP"))
}

/// The kinds of packet that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// May I? Carries the tag by which answers are recognised.
    Init {
        /// The tag that answers must carry.
        tag: u32,
    },
    /// You may.
    InitAck,
    /// You may not.
    Abort,
}

/// A packet, as far as we read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The port it comes from.
    pub source_port: u16,
    /// The port it goes to.
    pub destination_port: u16,
    /// The tag of the receiver; 0 in an INIT.
    pub verification_tag: u32,
    /// The first chunk.
    pub chunk: Chunk,
}

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const COMMON_HEADER_BYTES: usize = 12;
const CHECKSUM: std::ops::Range<usize> = 8..12;

impl Packet {
    /// The bytes from the SCTP header on.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40);
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.destination_port.to_be_bytes());
        bytes.extend(self.verification_tag.to_be_bytes());
        bytes.extend([0; 4]);
        match self.chunk {
            Chunk::Init { tag } => push_init(&mut bytes, INIT, tag, &[]),
            // The peer would send the cookie back; nobody does.
            Chunk::InitAck => {
                push_init(&mut bytes, INIT_ACK, 0x706f_6477, &[0, 7, 0, 8, b'p', b'o', b'd', b'w'])
            }
            Chunk::Abort => bytes.extend([ABORT, 0, 0, 4]),
        }
        // Unlike every other field, the checksum is sent with its lowest byte first.
        let checksum = crc32c::crc32c(&bytes);
        bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the bytes from the SCTP header on; `None` for what we do not know and for damaged packets.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let two = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let four = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let mut unsigned = bytes.to_vec();
        unsigned.get_mut(CHECKSUM)?.fill(0);
        if bytes[CHECKSUM] != crc32c::crc32c(&unsigned).to_le_bytes() {
            return None;
        }
        let chunk = match *bytes.get(COMMON_HEADER_BYTES)? {
            INIT => Chunk::Init { tag: four(COMMON_HEADER_BYTES + 4)? },
            INIT_ACK => Chunk::InitAck,
            ABORT => Chunk::Abort,
            _ => return None,
        };
        Some(Self { source_port: two(0)?, destination_port: two(2)?, verification_tag: four(4)?, chunk })
    }

    /// The answer to an INIT; `None` to anything else, so that two hosts never answer each other's answers.
    pub fn answer(self, listening: bool) -> Option<Self> {
        let Chunk::Init { tag } = self.chunk else { return None };
        Some(Self {
            source_port: self.destination_port,
            destination_port: self.source_port,
            verification_tag: tag,
            chunk: if listening { Chunk::InitAck } else { Chunk::Abort },
        })
    }
}

/// INIT and INIT ACK share a layout: tag, window, streams out and in, first sequence number, parameters.
fn push_init(bytes: &mut Vec<u8>, kind: u8, tag: u32, parameters: &[u8]) {
    let length = 20 + parameters.len() as u16;
    bytes.extend([kind, 0]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(tag.to_be_bytes());
    bytes.extend(65_536_u32.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes());
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend(parameters);
}

/// What follows the IP header. Raw sockets of IPv4 deliver it, those of IPv6 do not.
pub fn payload(received: &[u8], ipv4: bool) -> Option<&[u8]> {
    if !ipv4 {
        return Some(received);
    }
    let header_bytes = usize::from(received.first()? & 0x0f) * 4;
    received.get(header_bytes..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT_PACKET: Packet = Packet {
        source_port: 40_000,
        destination_port: 9,
        verification_tag: 0,
        chunk: Chunk::Init { tag: 0x0102_0304 },
    };

    #[test]
    fn crc32c_is_the_one_of_the_specification() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    }

    #[test]
    fn an_init_has_the_bytes_of_rfc_9260() {
        let bytes = INIT_PACKET.to_bytes();
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[..8], [0x9c, 0x40, 0, 9, 0, 0, 0, 0]);
        assert_eq!(bytes[12..20], [1, 0, 0, 20, 1, 2, 3, 4]);
    }

    #[test]
    fn packets_survive_the_wire() {
        for chunk in [Chunk::Init { tag: 7 }, Chunk::InitAck, Chunk::Abort] {
            let packet = Packet { chunk, ..INIT_PACKET };
            assert_eq!(Packet::from_bytes(&packet.to_bytes()), Some(packet));
        }
    }

    #[test]
    fn damaged_packets_are_not_read() {
        let mut bytes = INIT_PACKET.to_bytes();
        bytes[3] ^= 1;
        assert_eq!(Packet::from_bytes(&bytes), None);
        assert_eq!(Packet::from_bytes(&bytes[..10]), None);
        assert_eq!(Packet::from_bytes(&[]), None);
    }

    #[test]
    fn only_an_init_is_answered() {
        let answer = INIT_PACKET.answer(true).unwrap();
        assert_eq!((answer.source_port, answer.destination_port), (9, 40_000));
        assert_eq!(answer.verification_tag, 0x0102_0304);
        assert_eq!(INIT_PACKET.answer(false).unwrap().chunk, Chunk::Abort);
        assert_eq!(answer.answer(true), None);
    }

    #[test]
    fn the_ip_header_is_skipped() {
        let mut received = vec![0x46; 24];
        received.push(9);
        assert_eq!(payload(&received, true), Some(&[9][..]));
        assert_eq!(payload(&received, false).unwrap().len(), 25);
        assert_eq!(payload(&[], true), None);
    }
}
