//! The readers of what comes from outside, for whatever bytes: none of them may end us. The fuzzer calls them, and the
//! tests here read its corpus.

/// Pages of lists, lines of streams and objects of the API.
pub fn objects(bytes: &[u8]) {
    crate::watch::kube::read_anything(bytes);
}

/// What the kernel says of links, addresses and routes.
pub fn links(bytes: &[u8]) {
    crate::interfaces::hear_anything(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(folder: &str, read: fn(&[u8])) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(folder);
        let files =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for file in files {
            read(&std::fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "the corpus is gone");
    }

    #[test]
    fn the_corpus_ends_nobody() {
        read_all("objects", objects);
        read_all("links", links);
    }
}
