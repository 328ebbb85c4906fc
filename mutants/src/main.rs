//! Every small change that cargo-mutants lists, in one build: each is switched on by its number in `MUTANT`, so that a
//! mutant costs the tests that reach it, and no compiler. Two thousand of them take a quarter of an hour and not a day.
//!
//! ```text
//! list ─► weave ─► build ─► reach ─► trial ─► survivors
//!           ▲        │
//!           └────────┘  without those that the compiler refuses
//! ```

mod build;
mod mutant;
mod site;
mod survivors;
mod trial;
mod weave;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use mutant::Mutant;
use trial::{Outcome, Trial};
use weave::Woven;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [list, tree, known, results] = arguments.as_slice() else {
        bail!(
            "usage: podwall-mutants LIST TREE SURVIVORS RESULTS; TREE is a copy of the workspace, which is changed"
        )
    };
    let began = Instant::now();
    let mutants = read_list(list)?;
    fs::create_dir_all(results)?;
    let mut left_out = BTreeMap::new();
    let programs = weave_and_build(tree, &mutants, &mut left_out)?;
    let woven: Vec<&Mutant> = mutants.iter().filter(|it| !left_out.contains_key(&it.id)).collect();
    println!("{} changes listed, {} in the build after {:.0?}", mutants.len(), woven.len(), began.elapsed());
    write_left_out(&results.join("left-out"), &mutants, &left_out)?;

    let trial = Trial::new(tree, &programs, results)?;
    let outcomes = trial.run(&woven, &results.join("outcomes"))?;
    let count = |outcome| outcomes.values().filter(|it| **it == outcome).count();
    println!(
        "{} noticed, {} never end, {} not noticed, {} not reached; {} s",
        count(Outcome::Failed),
        count(Outcome::TimedOut),
        count(Outcome::Passed),
        count(Outcome::Unreached),
        began.elapsed().as_secs()
    );
    let mut unknown = survivors::unknown(known, &survived(&woven, &outcomes))?;
    // What is drawn by chance may miss a mutant once.
    for round in 1..=3 {
        let outcomes = trial.run(&unknown, &results.join(format!("outcomes-again-{round}")))?;
        unknown = survived(&unknown, &outcomes);
    }
    for mutant in &unknown {
        println!("not noticed: {} (line {})", mutant.title(), mutant.line());
    }
    ensure!(unknown.is_empty(), "write a test for each, or say in mutants/survivors why it is well");
    Ok(())
}

fn survived<'a>(mutants: &[&'a Mutant], outcomes: &BTreeMap<u32, Outcome>) -> Vec<&'a Mutant> {
    let survives = |it: &&Mutant| matches!(outcomes[&it.id], Outcome::Passed | Outcome::Unreached);
    mutants.iter().copied().filter(survives).collect()
}

fn read_list(path: &Path) -> Result<Vec<Mutant>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut mutants: Vec<Mutant> = serde_json::from_str(&text).context("the list of cargo-mutants")?;
    for (id, mutant) in (1..).zip(&mut mutants) {
        mutant.id = id;
    }
    Ok(mutants)
}

/// Builds with as many mutants as the compiler takes; says of the others why not.
fn weave_and_build(
    tree: &Path,
    mutants: &[Mutant],
    left_out: &mut BTreeMap<u32, String>,
) -> Result<Vec<build::Program>> {
    let sources = read_sources(tree, mutants)?;
    loop {
        let woven = write_sources(tree, &sources, mutants, left_out)?;
        match build::build(tree, &woven)? {
            Ok(programs) => return Ok(programs),
            Err(refused) => {
                ensure!(!refused.is_empty(), "it does not build, and no mutant is to blame");
                left_out.extend(refused);
            }
        }
    }
}

/// The files in which something is changed, and the root of each crate, where the switch stands.
fn read_sources(tree: &Path, mutants: &[Mutant]) -> Result<BTreeMap<String, String>> {
    let mut files: BTreeSet<String> = mutants.iter().map(|mutant| mutant.file.clone()).collect();
    let root = |file: &String| Some(format!("{}/src/lib.rs", file.split_once("/src/")?.0));
    let roots: Vec<String> = files.iter().filter_map(root).collect();
    files.extend(roots);
    files.into_iter().map(|file| Ok((file.clone(), fs::read_to_string(tree.join(file))?))).collect()
}

fn write_sources(
    tree: &Path,
    sources: &BTreeMap<String, String>,
    mutants: &[Mutant],
    left_out: &mut BTreeMap<u32, String>,
) -> Result<BTreeMap<String, Woven>> {
    let switch = include_str!("switch.rs").replace("COUNT", &(mutants.len() + 1).to_string());
    let mut all = BTreeMap::new();
    for (file, source) in sources {
        let of_file = mutants.iter().filter(|it| it.file == *file && !left_out.contains_key(&it.id));
        let mut woven = weave::weave(source, &of_file.collect::<Vec<_>>());
        left_out.extend(
            woven.unplaced.iter().map(|id| (*id, "has no place where it could be switched".to_owned())),
        );
        if file.ends_with("/src/lib.rs") {
            woven.text.push_str(&switch);
        }
        // What is as it was is not built again.
        if fs::read_to_string(tree.join(file))? != woven.text {
            fs::write(tree.join(file), &woven.text)?;
        }
        all.insert(file.clone(), woven);
    }
    Ok(all)
}

fn write_left_out(path: &Path, mutants: &[Mutant], left_out: &BTreeMap<u32, String>) -> Result<()> {
    let line =
        |it: &Mutant| Some(format!("{} (line {}): {}\n", it.title(), it.line(), left_out.get(&it.id)?));
    fs::write(path, mutants.iter().filter_map(line).collect::<String>())?;
    Ok(())
}
