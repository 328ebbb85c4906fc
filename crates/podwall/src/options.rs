//! Options that several subcommands take.

use clap::ValueEnum;
use podwall_lab::Families;
use podwall_ruleset::InterfaceName;

/// Which address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IpFamilies {
    /// IPv4 only
    Ipv4,
    /// IPv6 only
    Ipv6,
    /// Both
    Dual,
}

impl From<IpFamilies> for Families {
    fn from(families: IpFamilies) -> Self {
        Families { ipv4: families != IpFamilies::Ipv6, ipv6: families != IpFamilies::Ipv4 }
    }
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On
    On,
    /// Off
    Off,
}

/// What becomes of pods that no one has told their node of yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UnknownPods {
    /// They are open until they are known
    Accept,
    /// They are closed for all but their own node
    Drop,
}

/// The name of an interface, or the beginning of one.
pub fn parse_interface(text: &str) -> Result<InterfaceName, String> {
    InterfaceName::new(text).map_err(|error| error.to_string())
}
