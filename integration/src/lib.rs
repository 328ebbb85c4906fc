//! The harness of the suites that run the agent: a real etcd and kube-apiserver, pods as network namespaces, real
//! packets.
//!
//! ```text
//! ApiServer (etcd, kube-apiserver) ◄── Objects ◄── World: kubelet and CNI ──► lab: namespaces, links, listeners
//!      ▲ watches, as deploy/ allows                  │ starts, kills
//!      └───────────────────────────────── Agent, one in each node's network namespace ──► nftables
//!
//! World::until_agreed: objects read back ─► evaluate ─► compared with real packets, pair by pair
//! Stream, Connections: one packet after the other meanwhile, each with its time and what became of it
//! ```
//!
//! All of it runs in a user and network namespace of the test's own, and dies with the test.

mod agent;
mod api_server;
pub mod arena;
mod check;
mod connection;
mod json;
mod objects;
mod operator;
mod process;
pub mod random;
mod reading;
mod sample;
mod spread;
mod storage;
mod stream;
mod suite;
mod world;

pub use agent::Agent;
pub use api_server::{ApiServer, Direction};
pub use check::{Agreement, describe};
pub use connection::Connections;
pub use json::{documents, pod, service};
pub use objects::{Kind, Objects};
pub use operator::without_traffic;
pub use process::Process;
pub use reading::{read_cluster, read_kinds};
pub use sample::{KernelObjects, Sample};
pub use spread::Spread;
pub use storage::Storage;
pub use stream::{Shot, Stream, finish_all};
pub use suite::{Suite, is_full};
pub use world::{Order, World, WorldOptions};
