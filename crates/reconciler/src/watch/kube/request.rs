//! The requests of a watch, as addresses.

use std::fmt::Write;

use super::WatchOptions;
use super::backoff::random;
use crate::event::Kind;

/// What the API calls a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resource(pub Kind);

/// What is done with a resource, as RBAC names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    List,
    Watch,
}

impl Verb {
    pub fn name(self) -> &'static str {
        match self {
            Verb::List => "list",
            Verb::Watch => "watch",
        }
    }
}

impl Resource {
    pub fn plural(self) -> &'static str {
        self.0.plural()
    }

    pub fn group(self) -> &'static str {
        match self.0 {
            Kind::Pod | Kind::Namespace => "",
            Kind::NetworkPolicy => "networking.k8s.io",
        }
    }

    pub fn path(self) -> String {
        match self.group() {
            "" => format!("/api/v1/{}", self.plural()),
            group => format!("/apis/{group}/v1/{}", self.plural()),
        }
    }

    /// A page of a list as of now, which is never older than what was seen before.
    pub fn page(self, options: &WatchOptions, next: Option<&str>) -> String {
        let mut address = format!("{}?limit={}", self.path(), options.page_size);
        if let Some(token) = next {
            write!(address, "&continue={}", encoded(token)).ok();
        }
        address
    }

    /// The changes since a version.
    pub fn changes(self, options: &WatchOptions, since: &str) -> String {
        // Not all at the same second, or all agents of a cluster would come back together for ever.
        let timeout_s = options.watch_timeout.mul_f64(0.8 + 0.2 * random()).as_secs_f64().round().max(1.0);
        format!(
            "{}?watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={timeout_s}",
            self.path(),
            encoded(since)
        )
    }

    /// A list as of now and the changes since, as one stream. A list may take its time, so that it is for us to end
    /// the stream.
    pub fn list_and_changes(self) -> String {
        format!(
            "{}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
             &timeoutSeconds=3600",
            self.path()
        )
    }
}

/// Text as the value of a query's field.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => {
                write!(encoded, "%{byte:02X}").ok();
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let options = WatchOptions::default();
        assert_eq!(Resource(Kind::Pod).page(&options, None), "/api/v1/pods?limit=250");
        assert_eq!(
            Resource(Kind::NetworkPolicy).page(&options, Some("a=/&é")),
            "/apis/networking.k8s.io/v1/networkpolicies?limit=250&continue=a%3D%2F%26%C3%A9"
        );
        let changes = Resource(Kind::Namespace).changes(&options, "12");
        let (rest, timeout_s) = changes.rsplit_once('=').unwrap();
        assert_eq!(
            rest,
            "/api/v1/namespaces?watch=true&allowWatchBookmarks=true&resourceVersion=12&timeoutSeconds"
        );
        assert!((40..=50).contains(&timeout_s.parse::<u32>().unwrap()), "{timeout_s}");
    }
}
