//! `ringhold ca`: the certificate authority for the caching of https.

mod bundle;
mod env;
mod stores;

use super::args::Ca;
use super::done::{Done, Failure};
use crate::clock;
use crate::config::Config;
use crate::proxy::https::ca::{Authority, Trouble, make};
use crate::proxy::https::folder::{Folder, Which};
use crate::proxy::https::start::names;
use crate::wire::civil::Civil;
use crate::wire::https::Entry;
use crate::wire::https::name::Name;
use std::io::Write;

/// Runs one of the commands; `config` names the folder.
pub async fn run(config: &Config, what: &Ca) -> Result<Done, Failure> {
    let folder = Folder::at(&config.https.ca);
    match what {
        Ca::Init { names, next } => init(config, &folder, names, *next)?,
        Ca::Show => show(&there(config, &folder)?)?,
        Ca::Env { proxy } => env::run(config, &folder, &there(config, &folder)?, proxy.as_deref())?,
        Ca::Install { print } => {
            return stores::run(&folder, &there(config, &folder)?, stores::Verb::Install, *print).await;
        }
        Ca::Remove { print } => {
            return stores::run(&folder, &there(config, &folder)?, stores::Verb::Remove, *print).await;
        }
    }
    Ok(Done::Whole)
}

impl From<Trouble> for Failure {
    fn from(Trouble(what): Trouble) -> Failure {
        Failure(what)
    }
}

fn there(config: &Config, folder: &Folder) -> Result<Vec<Authority>, Failure> {
    let authorities = folder.load()?;
    if authorities.is_empty() {
        return Err(Failure(format!(
            "{}: there is no certificate authority; make one with `ringhold ca init`, or name the configuration of another with \
             --config (this is that of {})",
            config.https.ca.display(),
            config.source
        )));
    }
    Ok(authorities)
}

fn init(config: &Config, folder: &Folder, said: &[Entry], next: bool) -> Result<(), Failure> {
    let there = folder.load()?;
    let [first, second] = [Which::First, Which::Next].map(|which| folder.file(which));
    let (first, second) = (first.display(), second.display());
    let which = match (there.len(), next) {
        (0, false) => Which::First,
        (1, true) => Which::Next,
        (0, true) => return Err(Failure("there is none yet: run this without --next".to_owned())),
        (_, false) => {
            return Err(Failure(format!(
                "{first}: there is one already, which clients may trust; make a second one beside it with --next, or move it away \
                 first"
            )));
        }
        (_, true) => {
            return Err(Failure(format!(
                "{second}: there is a second one already; when all clients trust it, let it take the place of the first, and \
                 run this again: mv {second} {first}"
            )));
        }
    };
    let names: Vec<Name> = match said {
        [] => names(&config.https.list),
        said => said.iter().flat_map(Entry::names).collect(),
    };
    folder.write(which, &make(&names, clock::wall())?)?;
    let all = folder.load()?;
    show(all.last().map_or(&[], std::slice::from_ref))?;
    let mut out = std::io::stdout();
    writeln!(out, "\nClients are to trust {}:", folder.roots().display())?;
    writeln!(out, "  a shell of this user:   {}", config.for_a_shell(None))?;
    Ok(writeln!(out, "  this machine's stores:  ringhold ca install")?)
}

fn show(authorities: &[Authority]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    for (at, authority) in authorities.iter().enumerate() {
        let permitted = authority.permitted();
        let addresses: Vec<String> = permitted.addresses.iter().map(ToString::to_string).collect();
        let addresses = if addresses.is_empty() { "none".to_owned() } else { addresses.join(", ") };
        let end = Civil::of(authority.end().seconds());
        writeln!(out, "{}{}", if at > 0 { "\n" } else { "" }, authority.name())?;
        writeln!(out, "  SHA-256:   {}", authority.fingerprint())?;
        writeln!(out, "  ends:      {:04}-{:02}-{:02}", end.year, end.month + 1, end.day)?;
        writeln!(out, "  addresses: {addresses}")?;
        writeln!(out, "  names, each with all below it:")?;
        for name in &permitted.names {
            writeln!(out, "    {name}")?;
        }
    }
    Ok(())
}
