//! The nft that judges.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};

use ipnet::IpNet;

/// One version of nft.
pub struct Nft {
    program: String,
    version: Vec<u32>,
}

impl Nft {
    /// The one that `NFT` names, or else the system's.
    pub fn find() -> Result<Nft, String> {
        let program = std::env::var("NFT").unwrap_or_else(|_| "nft".to_owned());
        let nft = Nft { program, version: Vec::new() };
        let said = nft
            .run(&["--version"], "")
            .map_err(|error| format!("nft is missing: apt-get install nftables ({error})"))?;
        let version = said.split_whitespace().find_map(|word| word.strip_prefix('v')).unwrap_or_default();
        let version: Result<_, _> = version.split('.').map(str::parse).collect();
        Ok(Nft { version: version.map_err(|_| format!("which version is {said:?}?"))?, ..nft })
    }

    /// As people write it.
    pub fn version(&self) -> String {
        self.version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }

    /// How this version lists what we print. 0.9.8 writes out which family it is where an address and a port are looked
    /// up together, 16-byte numbers as decimal ones, and a block up to the last address of all as a range.
    pub fn shown(&self, text: &str) -> String {
        if self.version >= vec![1, 0, 6] {
            return text.to_owned();
        }
        let line = |line: &str| {
            let line = line
                .replace("\tip daddr . udp dport", "\tmeta nfproto ipv4 ip daddr . udp dport")
                .replace("\tip6 daddr . udp dport", "\tmeta nfproto ipv6 ip6 daddr . udp dport");
            line.split(' ').map(old_word).collect::<Vec<_>>().join(" ")
        };
        text.lines().map(|it| line(it) + "\n").collect()
    }

    /// What it says to this input.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        child.stdin.take().expect("piped").write_all(input.as_bytes()).map_err(|error| error.to_string())?;
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("nft {arguments:?}: {}: {said}\n{input}", output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn old_word(word: &str) -> String {
    let (value, comma) = word.strip_suffix(',').map_or((word, ""), |value| (value, ","));
    match (value.strip_prefix("0x"), value.parse::<IpNet>()) {
        (Some(digits), _) if digits.len() > 16 => u128::from_str_radix(digits, 16).unwrap().to_string(),
        (_, Ok(block)) if reaches_the_end(block.broadcast()) => {
            format!("{}-{}{comma}", block.network(), block.broadcast())
        }
        _ => word.to_owned(),
    }
}

fn reaches_the_end(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address == Ipv4Addr::BROADCAST,
        IpAddr::V6(address) => u128::from(address) == u128::MAX,
    }
}
