//! Connections that live when a policy comes that forbids them: they end soon, and no other is touched.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podwall_integration::arena::{enforced, from_friend_only, key, party};
use podwall_integration::{Agent, ApiServer, Connections, Kind, World};
use podwall_lab::Layout;
use podwall_policy::Protocol;

/// From the API server's answer to the last question on a forbidden connection that is answered.
const LIMIT: Duration = Duration::from_secs(1);
/// How long connections are asked after that.
const WATCHED: Duration = Duration::from_secs(4);

pub fn run(api: &mut ApiServer, count: usize) -> Result<String> {
    let mut world = enforced(api, Layout::Routed, false)?;
    world.objects.delete(Kind::NetworkPolicy, &key("server"))?;
    world.until_agreed(Duration::from_secs(5))?;
    let opened = Instant::now();
    let mut allowed = [
        open(&world, "friend", Protocol::Tcp, 7000, count)?,
        open(&world, "friend", Protocol::Udp, 7001, count)?,
    ];
    let mut forbidden = [
        open(&world, "stranger", Protocol::Tcp, 7002, count)?,
        open(&world, "stranger", Protocol::Udp, 7003, count)?,
    ];
    let opened = opened.elapsed();
    unenforced(&mut world, &mut forbidden, count)?;
    allowed.iter_mut().for_each(Connections::begin_silence);
    world.objects.put(Kind::NetworkPolicy, &from_friend_only("server"))?;
    let accepted = Instant::now();
    let mut slowest_round = Duration::ZERO;
    while accepted.elapsed() < WATCHED {
        let begun = Instant::now();
        allowed.iter_mut().chain(&mut forbidden).try_for_each(Connections::ask)?;
        slowest_round = slowest_round.max(begun.elapsed());
    }
    let silence = allowed.iter().map(Connections::longest_silence).max().context("allowed ones")?;
    for connections in &mut allowed {
        let live = connections.live()?;
        ensure!(live == count, "only {live} of {count} allowed connections live");
    }
    // Who is asked in one round is heard in the next, which on a busy machine is not soon.
    ensure!(
        silence < LIMIT.max(3 * slowest_round),
        "an allowed connection was silent for {silence:?}, and a round of questions takes {slowest_round:?} at most"
    );
    let late: usize = forbidden.iter().map(|it| it.answered_after(accepted + LIMIT)).sum();
    ensure!(late == 0, "{late} of {} forbidden connections live {LIMIT:?} later", 2 * count);
    let silent: Option<Vec<Duration>> = forbidden.iter().map(|it| it.silent_after(accepted)).collect();
    let ended =
        silent.and_then(|times| times.into_iter().max()).context("a forbidden connection still lives")?;
    Ok(format!(
        "{} connections, TCP and UDP, opened in {opened:.1?}; the last question on one of the forbidden half that was \
         answered was asked within {ended:.0?} (without agents all live {LIMIT:?} later); the others all live, silent for \
         {silence:.0?} at most (a round of questions takes up to {slowest_round:.0?})",
        4 * count
    ))
}

/// The measure can fail: while no agent runs, what a policy forbids lives on.
fn unenforced(world: &mut World, forbidden: &mut [Connections], count: usize) -> Result<()> {
    world.agents.values_mut().for_each(Agent::kill);
    world.objects.put(Kind::NetworkPolicy, &from_friend_only("server"))?;
    std::thread::sleep(LIMIT);
    for connections in forbidden {
        let live = connections.live()?;
        ensure!(live == count, "nobody enforces, and only {live} of {count} connections live");
    }
    world.objects.delete(Kind::NetworkPolicy, &key("server"))?;
    world.start_agents()?;
    world.until_agreed(Duration::from_secs(5)).map(drop)
}

fn open(world: &World, from: &str, protocol: Protocol, port: u16, count: usize) -> Result<Connections> {
    let (from, to) = (party(from), party("server"));
    let (source, server) = (world.namespace(&from)?, world.namespace(&to)?);
    Connections::open((&source, world.address(&from)?), (&server, world.address(&to)?), protocol, port, count)
}
