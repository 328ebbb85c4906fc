//! Netlink's own framing: messages, attributes, and the answers that are not about nftables.

use crate::consts::{CAPPED, ERROR_ATTRIBUTES, ERROR_TEXT, NESTED, NLMSG_ERROR};
use crate::nftnl::HEADER_BYTES;

const NLMSG_HEADER: usize = 16;

/// A message of the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// With its header, starting where the buffer is aligned.
    pub(crate) bytes: &'a [u8],
}

/// The messages in a buffer. What is cut off at the end is left out.
pub(crate) fn messages(mut buffer: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(buffer, 0)? as usize;
        let bytes = buffer.get(..length).filter(|bytes| bytes.len() >= NLMSG_HEADER)?;
        buffer = buffer.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            bytes,
        })
    })
}

/// What the kernel says of one message that we sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The sequence number of our message.
    pub(crate) sequence: u32,
    /// The error as a positive number, or 0: done.
    pub(crate) errno: i32,
    /// The kernel's words, if it had any.
    pub(crate) text: Option<String>,
}

impl Message<'_> {
    /// The answer, if this message is one.
    pub(crate) fn answer(&self) -> Option<Answer> {
        if self.kind != NLMSG_ERROR {
            return None;
        }
        let errno = u32_at(self.bytes, NLMSG_HEADER)? as i32;
        let text = (self.flags & ERROR_ATTRIBUTES != 0).then(|| self.text()).flatten();
        Some(Answer { sequence: self.sequence, errno: errno.saturating_neg(), text })
    }

    fn text(&self) -> Option<String> {
        let refused = if self.flags & CAPPED != 0 {
            NLMSG_HEADER
        } else {
            (u32_at(self.bytes, NLMSG_HEADER + 4)? as usize).next_multiple_of(4)
        };
        let attributes = self.bytes.get(NLMSG_HEADER + 4 + refused..)?;
        let text = attributes_in(attributes).find(|(kind, _)| *kind == ERROR_TEXT)?.1;
        Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
    }

    /// The family in the header of a message of netfilter.
    pub(crate) fn family(&self) -> Option<u8> {
        self.bytes.get(NLMSG_HEADER).copied()
    }

    /// The attributes of a message of netfilter.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (u16, &[u8])> {
        attributes_in(self.bytes.get(HEADER_BYTES..).unwrap_or_default())
    }

    /// The value of an attribute of a message of netfilter.
    pub(crate) fn attribute(&self, kind: u16) -> Option<&[u8]> {
        self.attributes().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The text of an attribute of a message of netfilter.
    pub(crate) fn text_attribute(&self, kind: u16) -> Option<String> {
        let text = self.attribute(kind)?;
        Some(String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(text)).into_owned())
    }
}

/// Begins a message of netfilter about `family` behind what is in `bytes`. Returns where, for [`finish`].
pub(crate) fn begin(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, family: u8) -> usize {
    let start = bytes.len();
    bytes.extend([0; 4]);
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // Port 0: the kernel. Then family, version, and a number that only batches need.
    bytes.extend([0, 0, 0, 0, family, 0, 0, 0]);
    start
}

/// Ends the message that begins at `start`.
pub(crate) fn finish(bytes: &mut [u8], start: usize) {
    let length = (bytes.len() - start) as u32;
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// Appends an attribute.
pub(crate) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    put_parts(bytes, kind, &[value]);
}

/// Appends an attribute whose value is in parts.
pub(crate) fn put_parts(bytes: &mut Vec<u8>, kind: u16, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    bytes.extend((length as u16 + 4).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Appends an attribute of what `content` appends.
pub(crate) fn nest(bytes: &mut Vec<u8>, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    put(bytes, kind | NESTED, &[]);
    content(bytes);
    let length = (bytes.len() - start) as u16;
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
}

/// The attributes nested in a value.
pub(crate) fn attributes_in(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        // The two high bits say how the value is made.
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(flags: u16, attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 36];
        bytes[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[16..20].copy_from_slice(&(-2_i32).to_ne_bytes());
        bytes.extend_from_slice(attributes);
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn answers_carry_the_kernels_words() {
        let text = [&[9, 0, 1, 0][..], b"gone\0\0\0\0"].concat();
        let bytes = [refusal(CAPPED | ERROR_ATTRIBUTES, &text), refusal(CAPPED, &[])].concat();
        let answers: Vec<_> = messages(&bytes).filter_map(|message| message.answer()).collect();
        assert_eq!(answers[0], Answer { sequence: 7, errno: 2, text: Some("gone".into()) });
        assert_eq!(answers[1], Answer { sequence: 7, errno: 2, text: None });
        assert_eq!(answers.len(), 2);
    }

    /// Found by fuzzing: the lowest number has no opposite.
    #[test]
    fn the_lowest_number_is_an_error_too() {
        let mut bytes = refusal(0, &[]);
        bytes[16..20].copy_from_slice(&i32::MIN.to_ne_bytes());
        let answer = messages(&bytes).next().and_then(|message| message.answer());
        assert_eq!(answer.map(|answer| answer.errno), Some(i32::MAX));
    }

    #[test]
    fn garbage_ends_the_reading() {
        for bytes in [&[][..], &[1, 2, 3], &[0; 16], &[255; 64]] {
            assert_eq!(messages(bytes).count(), 0);
        }
        assert_eq!(attributes_in(&[3, 0, 0, 0]).count(), 0);
    }
}
