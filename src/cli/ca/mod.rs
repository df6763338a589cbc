//! `ringhold ca`: the certificate authority for the caching of https.

mod bundle;
mod env;
mod stores;

use super::args::Ca;
use super::done::{CommandFailure, Done};
use crate::clock;
use crate::config::Config;
use crate::proxy::https::ca::{AuthorityTrouble, CertificateAuthority, make};
use crate::proxy::https::folder::{AuthorityFolder, Which};
use crate::proxy::https::start::names;
use crate::wire::civil::Civil;
use crate::wire::https::HostEntry;
use crate::wire::https::name::Name;
use std::io::Write;

/// Runs one of the commands; `config` names the folder.
pub async fn run(config: &Config, what: &Ca) -> Result<Done, CommandFailure> {
    let folder = AuthorityFolder::at(&config.https.ca);
    match what {
        Ca::Init { names, next } => init(config, &folder, names, *next)?,
        Ca::Show => show(&there(config, &folder)?)?,
        Ca::Env { proxy } => env::run(config, &folder, &there(config, &folder)?, proxy.as_deref())?,
        Ca::Install { print } => {
            return stores::run(&folder, &there(config, &folder)?, stores::StoreVerb::Install, *print).await;
        }
        Ca::Remove { print } => {
            return stores::run(&folder, &there(config, &folder)?, stores::StoreVerb::Remove, *print).await;
        }
    }
    Ok(Done::Whole)
}

impl From<AuthorityTrouble> for CommandFailure {
    fn from(AuthorityTrouble(what): AuthorityTrouble) -> CommandFailure {
        CommandFailure(what)
    }
}

fn there(config: &Config, folder: &AuthorityFolder) -> Result<Vec<CertificateAuthority>, CommandFailure> {
    let authorities = folder.load()?;
    if authorities.is_empty() {
        return Err(CommandFailure(format!(
            "{}: there is no certificate authority; make one with `ringhold ca init`, or name the configuration of another with \
             --config (this is that of {})",
            config.https.ca.display(),
            config.source
        )));
    }
    Ok(authorities)
}

fn init(config: &Config, folder: &AuthorityFolder, said: &[HostEntry], next: bool) -> Result<(), CommandFailure> {
    let there = folder.load()?;
    let [first, second] = [Which::First, Which::Next].map(|which| folder.file(which));
    let (first, second) = (first.display(), second.display());
    let which = match (there.len(), next) {
        (0, false) => Which::First,
        (1, true) => Which::Next,
        (0, true) => return Err(CommandFailure("there is none yet: run this without --next".to_owned())),
        (_, false) => {
            return Err(CommandFailure(format!(
                "{first}: there is one already, which clients may trust; make a second one beside it with --next, or move it away \
                 first"
            )));
        }
        (_, true) => {
            return Err(CommandFailure(format!(
                "{second}: there is a second one already; when all clients trust it, let it take the place of the first, and \
                 run this again: mv {second} {first}"
            )));
        }
    };
    let names: Vec<Name> = match said {
        [] => names(&config.https.list),
        said => said.iter().flat_map(HostEntry::names).collect(),
    };
    folder.write(which, &make(&names, clock::wall())?)?;
    let all = folder.load()?;
    show(all.last().map_or(&[], std::slice::from_ref))?;
    let mut out = std::io::stdout();
    writeln!(out, "\nClients are to trust {}:", folder.roots().display())?;
    writeln!(out, "  a shell of this user:   {}", config.for_a_shell(None))?;
    writeln!(out, "  this machine's stores:  ringhold ca install")?;
    writeln!(
        out,
        "A front that runs signs with it after a restart. Of several fronts one makes it: copy this folder to the others:"
    )?;
    Ok(writeln!(out, "  {}", folder.path().display())?)
}

fn show(authorities: &[CertificateAuthority]) -> Result<(), CommandFailure> {
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
