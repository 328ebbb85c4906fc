//! The watch of one kind: list, follow, and begin again.

use std::time::Duration;

use kube::Client;
use podwall_policy::Problem;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::WatchOptions;
use super::answer::Answer;
use super::backoff::Backoff;
use super::failure::Failure;
use super::object::{Event, Said, parse_item, read_event, read_object, unreadable};
use super::page::Cutter;
use super::recent::Recent;
use super::request::{Resource, Verb};
use super::sink::Sink;
use crate::event::{Kind, WatchEvent};

/// After so many refusals in a row a version is given up, and so many streaming lists that come to no end are enough.
const PATIENCE: u32 = 3;

/// The watch of one kind.
pub(super) struct Watcher {
    resource: Resource,
    client: Client,
    options: WatchOptions,
    sink: Sink,
    /// Where the stream of changes is; `None` when a list is needed.
    version: Option<String>,
    /// Whether lists are asked for as streams.
    streaming_lists: bool,
    /// How many streaming lists came to no end, one after the other.
    endless_lists: u32,
    /// How often the server refused to go on from the version, one after the other.
    refusals: u32,
    /// The server was away, or says nothing: perhaps its storage was restored from a backup that is older than the
    /// version. It would keep silent until its own versions are past ours.
    version_in_doubt: bool,
    /// The stream under way has said where it is.
    arrived: bool,
    /// Since when changes are streaming.
    following_since: Option<Instant>,
    /// A change was heard since the last failure.
    progressed: bool,
    backoff: Backoff,
    recent: Recent,
    /// The problem of the watch itself that was sent last, not to repeat it.
    told: Option<Problem>,
    /// A list had something in it that has no name, and was said to be a problem.
    nameless: bool,
}

/// How a request ended that did not fail.
enum Ended {
    /// A list, and changes are to be asked for.
    List,
    /// A stream of changes, by agreement.
    Changes,
}

impl Watcher {
    pub fn new(kind: Kind, client: Client, options: WatchOptions, events: mpsc::Sender<WatchEvent>) -> Self {
        Self {
            resource: Resource(kind),
            client,
            sink: Sink::new(kind, events),
            version: None,
            streaming_lists: options.streaming_lists,
            endless_lists: 0,
            refusals: 0,
            version_in_doubt: false,
            arrived: false,
            following_since: None,
            progressed: false,
            backoff: Backoff::new(options.first_pause, options.longest_pause),
            recent: Recent::default(),
            told: None,
            nameless: false,
            options,
        }
    }

    /// Watches until nobody listens.
    pub async fn run(mut self) {
        loop {
            self.following_since = None;
            let outcome = match self.version {
                None if !self.streaming_lists => self.list_pages().await,
                _ => self.follow().await,
            };
            let healthy = self.following_since.is_some_and(|it| it.elapsed() >= self.options.healthy_after);
            if healthy {
                self.backoff.reset();
            }
            let silent = matches!(outcome, Ok(Ended::Changes)) && !self.arrived;
            self.version_in_doubt |=
                silent || matches!(outcome, Err(Failure::Disconnected(_) | Failure::Timeout));
            if self.nameless && matches!(outcome, Ok(Ended::Changes)) {
                // Perhaps the next list is complete, so that what is gone can be told.
                self.version = None;
            }
            let pause = match outcome {
                Ok(Ended::List) => Duration::ZERO,
                Ok(Ended::Changes) if healthy => Duration::ZERO,
                // Ended by agreement, but sooner than agreed.
                Ok(Ended::Changes) => self.next_pause(),
                Err(failure) => match self.recover(failure).await {
                    Ok(pause) => pause,
                    Err(_) => return,
                },
            };
            sleep(pause).await;
        }
    }

    /// Says what happened, and decides where to begin again and after which pause.
    async fn recover(&mut self, failure: Failure) -> Result<Duration, Failure> {
        if failure == Failure::Unheard {
            return Err(failure);
        }
        let verb = if self.version.is_none() && !self.streaming_lists { Verb::List } else { Verb::Watch };
        if self.version.is_none() && self.streaming_lists && failure.refuses_streaming_lists() {
            self.streaming_lists = false;
            return Ok(Duration::ZERO);
        }
        self.sink.send(WatchEvent::Restarted { kind: self.resource.0, reason: failure.reason() }).await?;
        let problem = failure.problem(self.resource, verb);
        if let Some(problem) = problem.filter(|problem| self.told.as_ref() != Some(problem)) {
            self.told = Some(problem.clone());
            self.sink.problem(None, problem).await?;
        }
        let wait = failure.retry_after();
        let pause = match failure {
            Failure::Expired | Failure::Restored | Failure::Unreadable(_) => {
                self.version = None;
                // Lists are dear: hearing changes in between does not make them come faster.
                self.progressed = false;
                self.next_pause()
            }
            // Not when it is merely busy, away, or does not know us: then going on is cheaper than a list.
            Failure::Refused { code, .. } if !matches!(code, 401 | 403 | 429 | 503) => {
                self.refusals += 1;
                if self.refusals >= PATIENCE {
                    self.version = None;
                    self.refusals = 0;
                }
                self.next_pause()
            }
            // Nobody is there to be overrun, and what has changed is wanted as soon as somebody is.
            Failure::Disconnected(_) => {
                self.progressed = false;
                self.backoff.next_within(self.options.longest_absence)
            }
            Failure::Refused { .. } | Failure::Unheard => self.next_pause(),
            Failure::Timeout => {
                self.endless_lists += u32::from(self.version.is_none());
                self.next_pause()
            }
        };
        self.streaming_lists &= self.endless_lists < PATIENCE;
        Ok(pause.max(wait))
    }

    fn next_pause(&mut self) -> Duration {
        if std::mem::take(&mut self.progressed) {
            self.backoff.reset();
        }
        self.backoff.next()
    }

    /// Lists page by page.
    async fn list_pages(&mut self) -> Result<Ended, Failure> {
        self.sink.send(WatchEvent::ListStarted(self.resource.0)).await?;
        let (mut complete, mut next) = (true, None);
        loop {
            let address = self.resource.page(&self.options, next.as_deref());
            let mut answer = Answer::of(&self.client, &address, self.options.answer_timeout).await?;
            let mut cutter = Cutter::default();
            let mut deadline = Instant::now() + self.options.progress_timeout;
            while let Some(chunk) = answer.chunk(deadline).await? {
                let mut rest = chunk.as_ref();
                while let Some(item) = cutter.cut(&mut rest)? {
                    let said = parse_item(self.resource.0, item).map_or_else(
                        |error| unreadable(self.resource.0, &error),
                        |tree| read_object(self.resource.0, &tree),
                    );
                    complete &= self.sink.said(said).await?;
                    deadline = Instant::now() + self.options.progress_timeout;
                }
            }
            let page = cutter.finish()?;
            if page.next.is_none() {
                return self.listed(complete, page.version).await.map(|()| Ended::List);
            }
            next = page.next;
        }
    }

    /// Fails when the server's versions are older than ours, as after a restore from a backup.
    async fn compare_versions(&mut self, ours: &str) -> Result<(), Failure> {
        let one = WatchOptions { page_size: 1, ..self.options.clone() };
        let address = self.resource.page(&one, None);
        let mut answer = Answer::of(&self.client, &address, self.options.answer_timeout).await?;
        let mut cutter = Cutter::default();
        let deadline = Instant::now() + self.options.progress_timeout;
        while let Some(chunk) = answer.chunk(deadline).await? {
            let mut rest = chunk.as_ref();
            while cutter.cut(&mut rest)?.is_some() {}
        }
        let page = cutter.finish()?;
        self.version_in_doubt = false;
        // Versions that are no numbers cannot be compared.
        match (page.version.parse::<u64>(), ours.parse::<u64>()) {
            (Ok(theirs), Ok(ours)) if theirs < ours => Err(Failure::Restored),
            _ => Ok(()),
        }
    }

    /// Follows the changes, after a list as a stream where one is needed.
    async fn follow(&mut self) -> Result<Ended, Failure> {
        self.arrived = false;
        if let Some(version) = self.version.clone().filter(|_| self.version_in_doubt) {
            self.compare_versions(&version).await?;
        }
        let address = match &self.version {
            Some(version) => self.resource.changes(&self.options, version),
            None => self.resource.list_and_changes(),
        };
        let mut answer = Answer::of(&self.client, &address, self.options.answer_timeout).await?;
        let ours_to_end = self.version.is_none();
        if ours_to_end {
            self.read_initial_events(&mut answer).await?;
        }
        let begun = Instant::now();
        self.following_since = Some(begun);
        let grace = if ours_to_end { Duration::ZERO } else { self.options.watch_grace };
        let deadline = begun + self.options.watch_timeout + grace;
        while Instant::now() < deadline {
            match answer.line(deadline).await {
                Ok(Some(line)) => self.hear(line).await?,
                Ok(None) => break,
                Err(Failure::Timeout) if ours_to_end => break,
                Err(failure) => return Err(failure),
            }
        }
        Ok(Ended::Changes)
    }

    /// Reads a list that comes as a stream: what is there, and a bookmark at its end.
    async fn read_initial_events(&mut self, answer: &mut Answer) -> Result<(), Failure> {
        let kind = self.resource.0;
        self.sink.send(WatchEvent::ListStarted(kind)).await?;
        let mut complete = true;
        loop {
            let deadline = Instant::now() + self.options.progress_timeout;
            let Some(line) = answer.line(deadline).await? else {
                self.endless_lists += 1;
                return Err(Failure::Disconnected("the stream ended before the list did".to_owned()));
            };
            match read_event(kind, line) {
                Ok(Event::Object { tree, gone }) => {
                    complete &= self.sink.said(object(kind, &tree, gone)).await?;
                }
                Ok(Event::Bookmark { version, ends_list: true }) => {
                    return self.listed(complete, version).await;
                }
                Ok(Event::Bookmark { .. } | Event::Unknown) => {}
                Ok(Event::Failed(failure)) => return Err(failure),
                Err(error) => complete &= self.sink.said(unreadable(kind, &error)).await?,
            }
        }
    }

    async fn listed(&mut self, complete: bool, version: String) -> Result<(), Failure> {
        self.recent.clear();
        self.version = Some(version);
        (self.version_in_doubt, self.arrived) = (false, true);
        (self.endless_lists, self.refusals) = (0, 0);
        self.sink.send(WatchEvent::Listed { kind: self.resource.0, complete }).await?;
        let over = std::mem::replace(&mut self.nameless, !complete);
        self.recovered(over && complete).await
    }

    /// Says that a problem is over.
    async fn recovered(&mut self, over: bool) -> Result<(), Failure> {
        if self.told.take().is_some() || over {
            self.sink.send(WatchEvent::Recovered(self.resource.0)).await?;
        }
        Ok(())
    }

    /// Takes one line of the stream of changes.
    async fn hear(&mut self, line: &[u8]) -> Result<(), Failure> {
        let kind = self.resource.0;
        match read_event(kind, line) {
            Ok(Event::Object { tree, gone }) => {
                let said = object(kind, &tree, gone);
                let version = tree.text(&["metadata", "resourceVersion"]).map_or("", |version| version);
                if said.key().is_some_and(|key| self.recent.is_late(key, version)) {
                    return Ok(());
                }
                if !self.sink.said(said).await? {
                    // A change was missed, and it is not known of what.
                    return Err(Failure::Unreadable("an object without a name".to_owned()));
                }
                (self.progressed, self.refusals) = (true, 0);
                self.arrive(version).await?;
            }
            Ok(Event::Bookmark { version, .. }) => self.arrive(&version).await?,
            Ok(Event::Unknown) => {}
            Ok(Event::Failed(failure)) => return Err(failure),
            Err(error) => {
                return Err(Failure::Unreadable(error));
            }
        }
        Ok(())
    }

    /// Notes where the stream is.
    async fn arrive(&mut self, version: &str) -> Result<(), Failure> {
        self.arrived = true;
        if !version.is_empty() {
            self.version = Some(version.to_owned());
        }
        self.recovered(false).await
    }
}

/// What an event says of its object.
fn object(kind: Kind, tree: &podwall_policy::Tree, gone: bool) -> Said {
    match podwall_policy::read::api::key(tree) {
        Some(key) if gone => Said::Gone(key),
        _ => read_object(kind, tree),
    }
}
