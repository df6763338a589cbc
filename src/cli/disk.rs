//! `ringhold disk`: what the nodes of this machine have on disk.

use super::args::DiskCommand;
use super::done::CommandFailure;
use crate::config::{Config, size};
use crate::store::disk::{Denied, Ended, Folder, FolderReport, boot_of_machine, look, verify, wipe};
use crate::wire::date::{self, Timestamp};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Runs one of the commands; `config` names the folder that has those of the nodes.
pub fn run(config: &Config, what: &DiskCommand) -> Result<(), CommandFailure> {
    let (DiskCommand::Show { ids } | DiskCommand::Verify { ids } | DiskCommand::Wipe { ids, .. }) = what;
    let mut damaged = 0;
    for (id, path) in folders(config, ids)? {
        let failed = |cause: &io::Error| CommandFailure(format!("{}: {cause}", path.display()));
        let (folder, is_ours) = Folder::inspected(&path).map_err(|denied| denied_for(&path, denied))?;
        let line = match what {
            DiskCommand::Show { .. } => {
                let report = look(&folder, boot_of_machine().unwrap_or(0)).map_err(|cause| failed(&cause))?;
                shown(&report, is_ours)
            }
            _ if !is_ours => return Err(in_use(&path)),
            DiskCommand::Verify { .. } => {
                let report = verify(&folder).map_err(|cause| failed(&cause))?;
                damaged += report.damaged;
                format!("{} URLs have a whole record, {} have not", report.whole, report.damaged)
            }
            DiskCommand::Wipe { .. } => {
                wipe(&folder).map_err(|cause| failed(&cause))?;
                "all that was stored is removed".to_owned()
            }
        };
        writeln!(io::stdout(), "{id}: {line}")?;
    }
    match damaged {
        0 => Ok(()),
        _ => Err(CommandFailure(format!("{damaged} records are damaged: nobody is answered with them"))),
    }
}

/// The nodes' folders, by id: those that are named, or all.
fn folders(config: &Config, ids: &[String]) -> Result<Vec<(String, PathBuf)>, CommandFailure> {
    let path = &config.disk.path;
    let none = |what: String| CommandFailure(format!("{what} on disk ([disk] path of {})", config.source));
    if !ids.is_empty() {
        let there = |id: &String| match path.join(id) {
            folder if folder.join("id").is_file() => Ok((id.clone(), folder)),
            folder => Err(none(format!("{}: {id} has nothing", folder.display()))),
        };
        return ids.iter().map(there).collect();
    }
    let found = match std::fs::read_dir(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(none(format!("{}: no node has anything", path.display())));
        }
        Err(cause) => return Err(CommandFailure(format!("{}: {cause}", path.display()))),
    };
    let folders = found.filter_map(|entry| Some(entry.ok()?.path())).filter(|folder| folder.join("id").is_file());
    let named = folders.filter_map(|folder| Some((folder.file_name()?.to_str()?.to_owned(), folder)));
    let mut named: Vec<_> = named.collect();
    named.sort();
    if named.is_empty() { Err(none(format!("{}: no node has anything", path.display()))) } else { Ok(named) }
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

fn denied_for(path: &Path, denied: Denied) -> CommandFailure {
    match denied {
        Denied::InUse => in_use(path),
        Denied::NotPrivate | Denied::Foreign(_) => {
            CommandFailure(format!("{}: it is not this user's alone: run this as the user of the node", path.display()))
        }
        Denied::System(cause) => CommandFailure(format!("{}: {cause}", path.display())),
    }
}

fn in_use(path: &Path) -> CommandFailure {
    CommandFailure(format!("{}: a node has it: end that one first", path.display()))
}
