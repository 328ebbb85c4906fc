//! What the agent hears: from the API server, or from a folder of manifests. Bytes become objects here, once, and
//! everything after sees [`WatchEvent`](crate::event::WatchEvent)s only.
//!
//! ```text
//! kube      (API server) ─┐
//!                         ├─► WatchEvent ─► the loop
//! manifests (folder)     ─┘
//! report    ◄── problems of policies, to be seen with kubectl
//! ```
//!
//! What has been said stays in force while its source is away.

pub mod kube;
pub mod manifests;
pub mod report;
