//! Others that enforce policy on this host. Two of them drop what either forbids, and what neither explains.

use std::collections::BTreeSet;

/// How others are recognised: by a table of theirs, or by how their chains begin. Those that use iptables are seen
/// through its nftables variant.
const TABLES: [(&str, &str); 7] = [
    ("calico", "Calico"),
    ("kube-router-filter-ipv4", "kube-router"),
    ("kube-router-filter-ipv6", "kube-router"),
    ("kube-network-policies", "kube-network-policies"),
    ("kindnet-network-policies", "kindnet"),
    ("antrea", "Antrea"),
    ("cilium", "Cilium"),
];
const CHAINS: [(&str, &str); 9] = [
    ("cali-", "Calico"),
    ("KUBE-ROUTER-", "kube-router"),
    ("KUBE-NWPLCY-", "kube-router"),
    ("KUBE-POD-FW-", "kube-router"),
    ("WEAVE-NPC", "Weave Net"),
    ("CILIUM_", "Cilium"),
    ("ANTREA-", "Antrea"),
    ("AZURE-NPM", "Azure NPM"),
    ("AWS-NETWORK-POLICY", "the AWS network policy agent"),
];

/// The names of others that are at work, from (family, table, chains) of each table of this host. Cilium, Antrea and
/// AWS also enforce where nftables shows nothing.
pub fn other_enforcers(tables: &[(String, String, Vec<String>)]) -> BTreeSet<&'static str> {
    let of_table =
        |table: &str| TABLES.iter().find(|(name, _)| *name == table).map(|(_, enforcer)| *enforcer);
    let of_chain = |chain: &str| {
        CHAINS.iter().find(|(prefix, _)| chain.starts_with(prefix)).map(|(_, enforcer)| *enforcer)
    };
    let found = tables.iter().flat_map(|(_, table, chains)| {
        let of_chains = chains.iter().filter_map(move |chain| of_chain(chain));
        of_table(table).into_iter().chain(of_chains)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_known_by_their_tables_and_chains() {
        let table = |family: &str, name: &str, chains: &[&str]| {
            (family.to_owned(), name.to_owned(), chains.iter().map(|chain| (*chain).to_owned()).collect())
        };
        let tables = [
            table("ip", "nat", &["KUBE-SERVICES", "POSTROUTING"]),
            table("ip", "kube-proxy", &["services", "calibrate"]),
            table("inet", "podwall", &["forward"]),
        ];
        assert!(other_enforcers(&tables).is_empty());
        let tables = [
            table("ip", "filter", &["FORWARD", "cali-FORWARD", "KUBE-NWPLCY-ABC"]),
            table("ip6", "calico", &[]),
            table("ip", "mangle", &["CILIUM_PRE_mangle"]),
        ];
        assert_eq!(other_enforcers(&tables), ["Calico", "Cilium", "kube-router"].into());
    }
}
