//! Writes the man pages into a folder.

use std::path::PathBuf;
use std::{env, fs};

use podwall::reference;

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(env::args().nth(1).ok_or_else(|| anyhow::anyhow!("name the folder"))?);
    fs::create_dir_all(&folder)?;
    let mut result = Ok(());
    reference::each(&mut reference::definition(), &mut |command| {
        let name = reference::name(command);
        let page = name.replace(' ', "-");
        let man = clap_mangen::Man::new(command.clone().bin_name(name).display_name(&page));
        let mut text = Vec::new();
        let written = man.render(&mut text).and_then(|()| fs::write(folder.join(format!("{page}.1")), text));
        result = std::mem::replace(&mut result, Ok(())).and(written);
    });
    Ok(result?)
}
