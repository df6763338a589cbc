//! `ringhold disk`: what the nodes of this machine have on disk.

use super::args::DiskCommand;
use super::done::CommandFailure;
use crate::config::{Config, size};
use crate::store::disk::{Denied, Ended, Folder, FolderReport, boot_of_machine, look, verify, wipe};
use crate::wire::date::{self, Timestamp};
use std::fs::{DirEntry, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Runs one of the commands; `config` names the folder that has those of the nodes.
pub fn run(config: &Config, what: &DiskCommand) -> Result<(), CommandFailure> {
    let (DiskCommand::Show { ids } | DiskCommand::Verify { ids } | DiskCommand::Wipe { ids, .. }) = what;
    let (mut damaged, mut failures) = (0, Vec::new());
    for (id, path) in folders(config, ids)? {
        match of_one(what, &path, &mut damaged) {
            Ok(line) => writeln!(io::stdout(), "{id}: {line}")?,
            Err(denied) => failures.push(refusal(&path, denied)),
        }
    }
    if damaged > 0 {
        failures.push(format!("{damaged} records are damaged: nobody is answered with them"));
    }
    if failures.is_empty() { Ok(()) } else { Err(CommandFailure(failures.join("\n"))) }
}

/// What is to be said of one folder.
fn of_one(what: &DiskCommand, path: &Path, damaged: &mut u64) -> Result<String, Denied> {
    let (folder, is_ours) = Folder::inspected(path)?;
    Ok(match what {
        DiskCommand::Show { .. } => shown(&look(&folder, boot_of_machine().unwrap_or(0))?, is_ours),
        _ if !is_ours => return Err(Denied::InUse),
        DiskCommand::Verify { .. } => {
            let report = verify(&folder)?;
            *damaged += report.damaged;
            format!("{} URLs have a whole record, {} have not", report.whole, report.damaged)
        }
        DiskCommand::Wipe { .. } => {
            wipe(&folder)?;
            "all that was stored is removed".to_owned()
        }
    })
}

/// The nodes' folders, by id: those that are named, or all.
fn folders(config: &Config, ids: &[String]) -> Result<Vec<(String, PathBuf)>, CommandFailure> {
    let path = &config.disk.path;
    let none = |what: String| CommandFailure(format!("{what} on disk ([disk] path of {})", config.source));
    if !ids.is_empty() {
        let there = |id: &String| match path.join(id) {
            folder if may_be_a_nodes(&folder.join("id").metadata()) => Ok((id.clone(), folder)),
            folder => Err(none(format!("{}: {id} has nothing", folder.display()))),
        };
        return ids.iter().map(there).collect();
    }
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let found = match entries {
        Ok(found) => found,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(none(format!("{}: no node has anything", path.display())));
        }
        Err(cause) => return Err(CommandFailure(refusal(path, Denied::System(cause)))),
    };
    let folders = found.iter().map(DirEntry::path).filter(|folder| may_be_a_nodes(&folder.join("id").metadata()));
    let named = folders.filter_map(|folder| Some((folder.file_name()?.to_str()?.to_owned(), folder)));
    let mut named: Vec<_> = named.collect();
    named.sort();
    if named.is_empty() { Err(none(format!("{}: no node has anything", path.display()))) } else { Ok(named) }
}

/// By its file `id`. Where that cannot be seen it may be one: what is in the way is said when it is opened.
fn may_be_a_nodes(id: &io::Result<Metadata>) -> bool {
    match id {
        Ok(about) => about.is_file(),
        Err(cause) => !matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

fn shown(report: &FolderReport, is_ours: bool) -> String {
    let FolderReport { urls, doubtful, segments, bytes, oldest, ended, is_damaged, emptied } = report;
    let next = match (emptied, is_ours) {
        (Some(why), _) => format!("dropped at the next start, because {why}"),
        (None, false) => "a node has it".to_owned(),
        (None, true) if *is_damaged => "all to be validated: its journal is damaged".to_owned(),
        (None, true) => match ended {
            Ended::InOrder => "ended in order".to_owned(),
            Ended::Killed => "its node was killed; what it had written is there".to_owned(),
            Ended::PowerCut => "all to be validated: the machine or the disk failed while it was in use".to_owned(),
        },
    };
    let since = oldest.map(|at| {
        let date = date::format(Timestamp(at));
        format!(", the oldest of {}", String::from_utf8_lossy(&date))
    });
    let bytes = size(*bytes);
    format!(
        "{urls} URLs ({doubtful} to be validated), {bytes} in {segments} segments{}; {next}",
        since.unwrap_or_default()
    )
}

fn refusal(path: &Path, denied: Denied) -> String {
    let why = match denied {
        Denied::InUse => "a node has it: end that one first".to_owned(),
        Denied::NotPrivate | Denied::Foreign(_) => {
            "it is not this user's alone: run this as the user of the node".to_owned()
        }
        Denied::NoFolder => "it is a link, or no folder, and no node uses it: remove it".to_owned(),
        Denied::System(cause) => match cause.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("{cause}: run this as the user of the node, and let that one in (chmod 700)")
            }
            io::ErrorKind::ReadOnlyFilesystem => format!("{cause}: mount its file system for writing"),
            _ => cause.to_string(),
        },
    };
    format!("{}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_nothing() {
        let refused = |errno: i32| Err(io::Error::from_raw_os_error(errno));
        // ENOENT, ENOTDIR; EIO, EACCES, ELOOP.
        assert_eq!([2, 20, 5, 13, 40].map(|errno| may_be_a_nodes(&refused(errno))), [false, false, true, true, true]);
        let folder = tempfile::tempdir().unwrap();
        assert!(!may_be_a_nodes(&folder.path().metadata()), "an id is a file");
        let said = refusal(Path::new("/d/n1"), Denied::System(io::Error::from_raw_os_error(13)));
        assert!(said.starts_with("/d/n1: Permission denied") && said.contains("chmod 700"), "{said}");
    }
}
