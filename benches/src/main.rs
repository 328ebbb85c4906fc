//! What is made of the benches' figures: `report`, `check`, and `baseline`, which makes what `check` compares with.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use podwall_benches::figure::{folder, load_all};
use podwall_benches::{gate, page, table};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json");

fn main() -> ExitCode {
    match run(std::env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(word: Option<&str>) -> Result<()> {
    let figures = load_all()?;
    let now = gate::ratios(&figures);
    match word {
        Some("report") => {
            let write = |name: &str, text: String| {
                let path = folder().join(name);
                fs::write(&path, text).with_context(|| path.display().to_string())
            };
            write("figures.md", table::markdown(&figures))?;
            write("figures.csv", table::csv(&figures))?;
            write("figures.json", serde_json::to_string_pretty(&figures)?)?;
            write("index.html", page::html(&figures)?)?;
            println!("target/bench: index.html, figures.md, figures.csv, figures.json");
        }
        Some("baseline") => {
            fs::write(BASELINE, serde_json::to_string_pretty(&now)? + "\n")?;
            println!("benches/baseline.json: {} ratios", now.len());
        }
        Some("check") => {
            let baseline: BTreeMap<String, f64> =
                serde_json::from_slice(&fs::read(BASELINE).context(BASELINE)?)?;
            let failures = gate::failures(&baseline, &now);
            if !failures.is_empty() {
                bail!("slower than benches/baseline.json by more than is allowed:\n{}", failures.join("\n"));
            }
            println!(
                "{} ratios are within {} times those of benches/baseline.json",
                baseline.len(),
                gate::TOLERANCE
            );
        }
        _ => bail!("podwall-benches report|check|baseline"),
    }
    Ok(())
}
