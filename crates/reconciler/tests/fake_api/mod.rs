//! An API server in this process that lists and watches, and fails on demand. HTTP is spoken by hand over sockets, so
//! that a test decides where in the bytes an answer breaks.

mod http;
pub mod object;
pub mod view;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use http::{Broken, Exchange, Query};

/// What goes wrong with one answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Another status, with `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// The body ends after so many bytes, and with it the connection.
    Truncated(usize),
    /// The connection is reset after so many bytes.
    Reset(usize),
    /// Nothing comes at all.
    HangBeforeHeaders,
    /// Nothing comes after so many bytes.
    HangAfter(usize),
    /// The page is whole, but where it goes on is forgotten before anybody asks.
    TokenExpires,
    /// Three bytes at a time, slower than anyone would wait for.
    Dribble,
    /// A status object with this code as the first event of a stream.
    StreamError(u16),
    /// An event or item that is no JSON.
    Malformed,
    /// Two changes of a stream come in the wrong order.
    Reordered,
    /// Every change of a stream comes twice.
    Repeated,
}

/// How the server behaves as long as nothing else is said.
#[derive(Debug, Clone)]
pub struct Manners {
    /// Answers `sendInitialEvents`; else 422.
    pub streaming_lists: bool,
    /// A version that is too old is 410 as a status, and not within the stream.
    pub gone_as_status: bool,
    /// What a second of `timeoutSeconds` lasts.
    pub second: Duration,
    /// How often a stream has a bookmark.
    pub bookmark_interval: Duration,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            streaming_lists: true,
            gone_as_status: false,
            second: Duration::from_millis(400),
            bookmark_interval: Duration::from_millis(150),
        }
    }
}

/// The resource of each kind.
pub const PLURALS: [&str; 3] = ["pods", "namespaces", "networkpolicies"];

#[derive(Default, Clone)]
struct Resource {
    objects: BTreeMap<String, Value>,
    /// Version, type and object of every change since `oldest`.
    changes: VecDeque<(u64, &'static str, Value)>,
    oldest: u64,
}

struct State {
    version: u64,
    /// How often it was restored from a backup.
    restores: u64,
    resources: BTreeMap<&'static str, Resource>,
    /// What goes wrong with the next requests of a resource; `true` for those that watch.
    faults: Vec<(&'static str, Option<bool>, Fault)>,
    requests: Vec<String>,
    manners: Manners,
}

/// What a server had at some time.
pub struct Backup {
    version: u64,
    resources: BTreeMap<&'static str, Resource>,
}

impl State {
    /// Forgets all versions of a resource up to this one; there is a newer one.
    fn compact_past(&mut self, plural: &str, version: u64) {
        self.version = self.version.max(version + 1);
        let resource = self.resources.get_mut(plural).expect("a resource");
        resource.changes.retain(|(of, ..)| *of > version);
        resource.oldest = version + 1;
    }
}

/// The server. Dropping it stops it.
pub struct FakeApi {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

impl FakeApi {
    pub async fn start(manners: Manners) -> Self {
        let resources = PLURALS.map(|plural| (plural, Resource::default())).into();
        let state =
            State { version: 10, restores: 0, resources, faults: Vec::new(), requests: Vec::new(), manners };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (changed, _) = watch::channel(10);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, state.clone(), changed.clone()));
        Self { address, state, changed, _tasks: tasks }
    }

    pub fn config(&self) -> kube::Config {
        kube::Config::new(format!("http://{}", self.address).parse().unwrap())
    }

    /// Adds or changes an object; `None` deletes it.
    pub fn set(&self, plural: &'static str, name: &str, object: Option<Value>) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let version = state.version;
        let resource = state.resources.get_mut(plural).unwrap();
        let event = match object {
            Some(mut object) => {
                object["metadata"]["resourceVersion"] = json!(version.to_string());
                let before = resource.objects.insert(name.to_owned(), object.clone());
                Some((if before.is_some() { "MODIFIED" } else { "ADDED" }, object))
            }
            None => resource.objects.remove(name).map(|mut object| {
                object["metadata"]["resourceVersion"] = json!(version.to_string());
                ("DELETED", object)
            }),
        };
        if let Some((name, object)) = event {
            resource.changes.push_back((version, name, object));
        }
        drop(state);
        self.changed.send_replace(version);
    }

    /// Forgets all changes: versions before this one are too old.
    pub fn compact(&self) {
        let mut state = self.state.lock().unwrap();
        let version = state.version;
        for resource in state.resources.values_mut() {
            resource.changes.clear();
            resource.oldest = version;
        }
    }

    /// What it has now, to be restored later.
    pub fn backup(&self) -> Backup {
        let state = self.state.lock().unwrap();
        Backup { version: state.version, resources: state.resources.clone() }
    }

    /// Goes back to what it had, versions and all, as an etcd does that is restored; streams end.
    pub fn restore(&self, backup: Backup) {
        let mut state = self.state.lock().unwrap();
        state.restores += 1;
        (state.version, state.resources) = (backup.version, backup.resources);
        drop(state);
        self.changed.send_replace(backup.version);
    }

    /// The next request of this resource goes wrong.
    pub fn fail(&self, plural: &'static str, fault: Fault) {
        self.state.lock().unwrap().faults.push((plural, None, fault));
    }

    /// The next request that lists, or watches from a version, goes wrong.
    pub fn fail_at(&self, plural: &'static str, watches: bool, fault: Fault) {
        self.state.lock().unwrap().faults.push((plural, Some(watches), fault));
    }

    /// How many faults have not happened yet.
    pub fn faults_left(&self) -> usize {
        self.state.lock().unwrap().faults.len()
    }

    /// The requests so far that contain this.
    pub fn requests(&self, text: &str) -> usize {
        self.state.lock().unwrap().requests.iter().filter(|request| request.contains(text)).count()
    }

    /// The objects of a resource, by name.
    pub fn objects(&self, plural: &str) -> BTreeMap<String, Value> {
        self.state.lock().unwrap().resources[plural].objects.clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>, changed: watch::Sender<u64>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (state, changed) = (state.clone(), changed.clone());
        connections.spawn(async move {
            let mut exchange = Exchange::new(stream);
            while let Some(target) = exchange.next_request().await {
                if answer(&mut exchange, &target, &state, changed.subscribe()).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn answer(
    exchange: &mut Exchange,
    target: &str,
    state: &Mutex<State>,
    changed: watch::Receiver<u64>,
) -> Result<(), Broken> {
    let query = Query::of(target);
    if query.path.ends_with("/events") {
        let sent = String::from_utf8_lossy(&exchange.body).into_owned();
        state.lock().unwrap().requests.push(format!("{target} {sent}"));
        return exchange.echo().await;
    }
    let Some(plural) = PLURALS.into_iter().find(|it| query.path.ends_with(it)) else {
        return exchange.status(404, None, "no such resource").await;
    };
    let watches = query.get("watch").is_some();
    let from_version = query.get("resourceVersion").is_some();
    let initial = query.get("sendInitialEvents").is_some();
    let (fault, manners) = {
        let mut state = state.lock().unwrap();
        state.requests.push(target.to_owned());
        let refused = initial && !state.manners.streaming_lists;
        let meant = |(of, when, _): &(&str, Option<bool>, Fault)| {
            *of == plural && !refused && when.is_none_or(|watches| watches == from_version)
        };
        let fault = state.faults.iter().position(meant).map(|index| state.faults.remove(index).2);
        (fault, state.manners.clone())
    };
    if initial && !manners.streaming_lists {
        return exchange.status(422, None, "sendInitialEvents is forbidden").await;
    }
    match &fault {
        Some(Fault::Status(code, wait)) => return exchange.status(*code, *wait, "on demand").await,
        Some(Fault::HangBeforeHeaders) => return exchange.hang().await,
        _ => {}
    }
    exchange.fault = fault;
    if watches {
        stream(exchange, &query, plural, initial, state, changed, &manners).await
    } else {
        page(exchange, &query, plural, state).await
    }
}

async fn page(
    exchange: &mut Exchange,
    query: &Query,
    plural: &'static str,
    state: &Mutex<State>,
) -> Result<(), Broken> {
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    // All pages are of the version of the first: what changes meanwhile comes as changes.
    let token = query.get("continue").unwrap_or_default();
    let (after, first) = token.split_once('_').unwrap_or_default();
    let asked: Option<u64> = first.parse().ok();
    if asked.is_some_and(|version| version < state.lock().unwrap().resources[plural].oldest) {
        return exchange.status(410, None, "the continue token is too old").await;
    }
    let (version, objects, more) = {
        let state = state.lock().unwrap();
        let rest = state.resources[plural].objects.iter().filter(|(name, _)| name.as_str() > after);
        let mut objects: Vec<(String, Value)> =
            rest.take(limit.saturating_add(1)).map(|(name, object)| (name.clone(), object.clone())).collect();
        let more = objects.len() > limit;
        objects.truncate(limit);
        (asked.unwrap_or(state.version), objects, more)
    };
    let token =
        objects.last().filter(|_| more).map_or(String::new(), |(name, _)| format!("{name}_{version}"));
    let metadata = json!({"resourceVersion": version.to_string(), "continue": token});
    exchange.begin().await?;
    exchange
        .write(format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{metadata},"items":["#).as_bytes())
        .await?;
    let malformed = exchange.fault == Some(Fault::Malformed);
    for (index, (_, object)) in objects.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        exchange.write(format!("{comma}{object}").as_bytes()).await?;
        if malformed && index == 0 {
            exchange.write(br#",{"metadata":{"name":nonsense}}"#).await?;
        }
    }
    exchange.write(b"]}\n").await?;
    if exchange.fault == Some(Fault::TokenExpires) {
        state.lock().unwrap().compact_past(plural, version);
    }
    exchange.end().await
}

async fn stream(
    exchange: &mut Exchange,
    query: &Query,
    plural: &str,
    initial: bool,
    state: &Mutex<State>,
    mut changed: watch::Receiver<u64>,
    manners: &Manners,
) -> Result<(), Broken> {
    let timeout_s: u32 = query.get("timeoutSeconds").and_then(|it| it.parse().ok()).unwrap_or(3600);
    let end = Instant::now() + manners.second * timeout_s;
    let mut sent: u64 = query.get("resourceVersion").and_then(|it| it.parse().ok()).unwrap_or_default();
    let (expired, restores) = {
        let state = state.lock().unwrap();
        (!initial && sent < state.resources[plural].oldest, state.restores)
    };
    if expired && manners.gone_as_status {
        return exchange.status(410, None, "too old resource version").await;
    }
    exchange.begin().await?;
    if let Some(code) = exchange.stream_error().or(expired.then_some(410)) {
        let status = json!({"kind": "Status", "code": code, "message": "on demand"});
        exchange.event("ERROR", &status).await?;
        return exchange.end().await;
    }
    if initial {
        let (version, objects) = {
            let state = state.lock().unwrap();
            (state.version, state.resources[plural].objects.values().cloned().collect::<Vec<_>>())
        };
        for object in &objects {
            exchange.event("ADDED", object).await?;
        }
        exchange.bookmark(version, true).await?;
        sent = version;
    }
    loop {
        let (version, changes) = {
            let state = state.lock().unwrap();
            if state.restores != restores {
                return Err(Broken);
            }
            let resource = &state.resources[plural];
            let new = resource.changes.iter().filter(|(version, ..)| *version > sent);
            let expired = sent < resource.oldest;
            (state.version, (!expired).then(|| new.cloned().collect::<Vec<_>>()))
        };
        let Some(changes) = changes else {
            exchange.event("ERROR", &json!({"kind": "Status", "code": 410})).await?;
            return exchange.end().await;
        };
        exchange.changes(changes).await?;
        // Who asks for what comes after a version that is yet to come hears nothing until then.
        let is_ahead = sent > version;
        sent = sent.max(version);
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep(manners.bookmark_interval), if !is_ahead => {
                exchange.bookmark(sent, false).await?;
            }
            () = sleep_until(end) => return exchange.end().await,
        }
    }
}
