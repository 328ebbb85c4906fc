//! The files of a folder, each in its last version that can be read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, mem};

use inotify::{Event, EventMask, WatchDescriptor, WatchMask, Watches};
use podwall_policy::read::{Source, printable, read};
use podwall_policy::{Consequence, Problem};

use super::DEFAULT_NAMESPACE;

/// The endings of manifests.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What is to be heard of a folder.
const MASK: WatchMask = WatchMask::CREATE
    .union(WatchMask::MODIFY)
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE)
    .union(WatchMask::ONLYDIR);

/// A folder with all below it.
pub(super) struct Folder {
    root: PathBuf,
    watches: Watches,
    /// The folders that are watched.
    folders: HashMap<WatchDescriptor, PathBuf>,
    files: BTreeMap<PathBuf, File>,
    /// Files that somebody is writing.
    open: BTreeSet<PathBuf>,
    /// Files that somebody has written, or taken away.
    changed: BTreeSet<PathBuf>,
    /// Folders have come or gone, or notifications were lost.
    folders_changed: bool,
    /// What is wrong with folders.
    problems: Vec<Problem>,
}

/// A manifest.
#[derive(Debug, Default)]
struct File {
    /// Which file it is, and in which version: number, size and time of the last change.
    stamp: Option<(u64, u64, i64, i64)>,
    /// The last version that can be read.
    good: Option<Vec<u8>>,
    /// What is wrong with the present version.
    problems: Vec<Problem>,
}

impl Folder {
    /// A folder of which nothing is read yet.
    pub fn open(root: PathBuf, watches: Watches) -> io::Result<Self> {
        fs::read_dir(&root)?;
        let mut folder = Self {
            root,
            watches,
            folders: HashMap::new(),
            files: BTreeMap::new(),
            open: BTreeSet::new(),
            changed: BTreeSet::new(),
            folders_changed: true,
            problems: Vec::new(),
        };
        let descriptor = folder.watches.add(&folder.root, MASK)?;
        folder.folders.insert(descriptor, folder.root.clone());
        Ok(folder)
    }

    /// The files that can be read, and all that is wrong with those that cannot.
    pub fn sources(&self) -> (Vec<Source>, Vec<Problem>) {
        let source =
            |(path, file): (&PathBuf, &File)| Some(Source { name: name(path), bytes: file.good.clone()? });
        let problems = self.files.values().flat_map(|file| &file.problems).chain(&self.problems);
        (self.files.iter().filter_map(source).collect(), problems.cloned().collect())
    }

    /// True when some file was never read, so that nobody knows what it says.
    pub fn is_incomplete(&self) -> bool {
        !self.problems.is_empty() || self.files.values().any(|file| file.good.is_none())
    }

    /// Takes a notification.
    pub fn note(&mut self, event: &Event<impl AsRef<OsStr>>) {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return self.distrust();
        }
        let (Some(folder), Some(name)) = (self.folders.get(&event.wd), &event.name) else { return };
        let path = folder.join(name.as_ref());
        if is_hidden(name.as_ref()) && !event.mask.contains(EventMask::ISDIR) {
            // The link that a mounted ConfigMap turns over, to other versions of all files.
            self.folders_changed |= event.mask.intersects(EventMask::MOVED_TO);
        } else if event.mask.contains(EventMask::ISDIR) {
            self.folders_changed |= event.mask.intersects(EventMask::CREATE | EventMask::MOVED_TO)
                || event.mask.intersects(EventMask::DELETE | EventMask::MOVED_FROM);
        } else if !is_manifest(&path) {
        } else if event.mask.intersects(EventMask::CREATE | EventMask::MODIFY) && !is_link(&path) {
            self.open.insert(path);
        } else {
            self.open.remove(&path);
            self.changed.insert(path);
        }
    }

    /// Notifications were lost: everything may have changed.
    pub fn distrust(&mut self) {
        self.open.clear();
        self.folders_changed = true;
    }

    /// True when there is something to read.
    pub fn has_changed(&self) -> bool {
        self.folders_changed || !self.changed.is_empty()
    }

    /// Reads what has changed.
    pub fn read(&mut self) {
        let mut changed = mem::take(&mut self.changed);
        if mem::take(&mut self.folders_changed) {
            let mut found = BTreeSet::new();
            self.problems.clear();
            self.walk(&self.root.clone(), &mut found);
            // What is below a folder that cannot be read may well be there still.
            if self.problems.is_empty() {
                self.files.retain(|path, _| found.contains(path));
            }
            changed.extend(found.into_iter().filter(|path| !self.open.contains(path)));
        }
        for path in changed {
            match stamp(&path) {
                None => {
                    self.files.remove(&path);
                }
                Some(stamp) => {
                    let file = self.files.entry(path.clone()).or_default();
                    if file.stamp.replace(stamp) != Some(stamp) {
                        file.read(&path);
                    }
                }
            }
        }
    }

    /// Finds all manifests, and watches all folders. Folders behind links are left out: they may lead back.
    fn walk(&mut self, folder: &Path, found: &mut BTreeSet<PathBuf>) {
        let entries = self.watches.add(folder, MASK).and_then(|descriptor| {
            self.folders.insert(descriptor, folder.to_owned());
            fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()
        });
        let entries = match entries {
            Ok(entries) => entries,
            // Gone since it was found, unless it is the root: then all would be gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder != self.root => return,
            Err(error) => return self.problems.push(unreadable(folder, &error)),
        };
        for entry in entries.into_iter().filter(|entry| !is_hidden(&entry.file_name())) {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.walk(&path, found);
            } else if is_manifest(&path) {
                found.insert(path);
            }
        }
    }
}

impl File {
    /// Reads the present version; if it says anything that cannot be understood as an object, the last one stays.
    fn read(&mut self, path: &Path) {
        self.problems.clear();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return self.problems.push(unreadable(path, &error)),
        };
        let source = Source { name: name(path), bytes };
        let problems = read(std::slice::from_ref(&source), DEFAULT_NAMESPACE).problems;
        let unreadable = |problem: &Problem| problem.consequence == Consequence::Unreadable;
        self.problems = problems.into_iter().filter(unreadable).collect();
        if self.problems.is_empty() {
            self.good = Some(source.bytes);
        }
    }
}

fn name(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem {
        file: Some(name(path)),
        line: None,
        object: None,
        field: None,
        message: format!("it cannot be read: {error}; what it said before stays in force"),
        consequence: Consequence::Unreadable,
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|it| ending == *it))
}

/// True for what is there at once, and never closed after writing: symbolic links, and further names of a file.
fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_symlink() || it.nlink() > 1)
}

/// None when there is no such file.
fn stamp(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}
