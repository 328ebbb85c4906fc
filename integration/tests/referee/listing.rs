//! Listings, compared as what they say.

/// Our tables of a listing.
pub fn ours(listing: &str) -> String {
    tables(listing).into_iter().filter(|table| is_ours(table)).collect()
}

/// The rest of it.
pub fn without_ours(listing: &str) -> String {
    tables(listing).into_iter().filter(|table| !is_ours(table)).collect()
}

fn is_ours(table: &str) -> bool {
    table.starts_with("table inet podwall {\n") || table.starts_with("table bridge podwall {\n")
}

/// Each with what stands between it and the one before: nft warns there of tables that iptables made.
fn tables(listing: &str) -> Vec<&str> {
    listing.split_inclusive("\n}\n").collect()
}

pub fn same(what: &str, left: &str, right: &str) -> Result<(), String> {
    let (left, right) = (canonical(left), canonical(right));
    if left == right {
        Ok(())
    } else {
        Err(format!("{what} differ:\n{}\n---\n{}", left.join("\n"), right.join("\n")))
    }
}

/// Blocks sorted by name, white space squeezed, elements sorted: nft lists objects in order of creation, wraps
/// long element lists, and shows the elements of hash tables in any order.
fn canonical(text: &str) -> Vec<String> {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut blocks: Vec<String> = Vec::new();
    for word in joined.split(' ') {
        match word {
            "set" | "map" | "chain" => blocks.push(word.to_owned()),
            _ => match blocks.last_mut() {
                Some(block) => {
                    block.push(' ');
                    block.push_str(word);
                }
                None => blocks.push(word.to_owned()),
            },
        }
    }
    let mut blocks: Vec<String> =
        blocks.iter().map(|block| sort_elements(block.trim_end_matches([' ', '}']))).collect();
    blocks.sort();
    blocks
}

/// Sorts what stands between inner braces.
fn sort_elements(block: &str) -> String {
    let Some((head, body)) = block.split_once('{') else { return block.to_owned() };
    let mut parts = body.split('{');
    let mut result = format!("{head}{{{}", parts.next().unwrap_or_default());
    for part in parts {
        let (elements, rest) = part.split_once('}').unwrap_or((part, ""));
        let mut elements: Vec<&str> = elements.split(", ").map(str::trim).collect();
        elements.sort_unstable();
        result.push_str(&format!("{{ {} }}{rest}", elements.join(", ")));
    }
    result
}
