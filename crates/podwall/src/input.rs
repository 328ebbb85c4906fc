//! Files, folders and standard input into sources of manifests.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use podwall_policy::read::Source;

/// The endings of files that are read from folders.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads all `paths`: files, folders with all below them, and `-` for standard input.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
            sources.push(Source { name: "-".to_owned(), bytes });
        } else if metadata(path)?.is_dir() {
            let before = sources.len();
            read_folder(path, &mut sources)?;
            if sources.len() == before {
                bail!("{}: no .yaml, .yml or .json file in this folder", path.display());
            }
        } else {
            sources.push(read_file(path)?);
        }
    }
    Ok(sources)
}

fn metadata(path: &Path) -> anyhow::Result<fs::Metadata> {
    fs::metadata(path).with_context(|| path.display().to_string())
}

fn read_file(path: &Path) -> anyhow::Result<Source> {
    let name = path.display().to_string();
    let bytes = fs::read(path).with_context(|| name.clone())?;
    Ok(Source { name, bytes })
}

/// In the order of names, so that the same folder always reads the same. Folders behind links are left out: they
/// may lead back.
fn read_folder(folder: &Path, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    let name = || folder.display().to_string();
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).with_context(name)?.collect();
    let mut entries = entries.with_context(name)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().with_context(name)?.is_dir() {
            read_folder(&path, sources)?;
        } else if path.extension().is_some_and(|ending| ENDINGS.iter().any(|it| ending == *it))
            && metadata(&path)?.is_file()
        {
            sources.push(read_file(&path)?);
        }
    }
    Ok(())
}
