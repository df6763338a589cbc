//! `ringhold ca install` and `ca remove`: the trust stores of this machine and this user, each step said before it is done.

use super::super::done::{CommandFailure, Done};
use crate::cluster::membership::state::replace;
use crate::config::line;
use crate::proxy::https::ca::CertificateAuthority;
use crate::proxy::https::folder::{AuthorityFolder, roots};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// One program's; Debian's takes seconds where it has Java's store to write.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreVerb {
    Install,
    Remove,
}

/// A certificate and the name that it has in stores.
struct Root {
    name: String,
    /// PEM, this one alone.
    file: PathBuf,
}

/// What is done to one store.
#[derive(Debug, PartialEq, Eq)]
struct StoreStep {
    store: String,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// In this order, up to the first that fails.
    Run(Vec<Vec<String>>),
    /// And why.
    Skip(String),
}

/// What there is to be found here.
struct Machine<'a> {
    has: &'a dyn Fn(&str) -> bool,
    home: Option<PathBuf>,
    /// The folder of the user's data (XDG base directory specification).
    data: Option<PathBuf>,
}

/// `print`: what is to be done is only said, as a shell can run it.
pub async fn run(
    folder: &AuthorityFolder,
    authorities: &[CertificateAuthority],
    verb: StoreVerb,
    print: bool,
) -> Result<Done, CommandFailure> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = variable("HOME");
    let data = variable("XDG_DATA_HOME").or_else(|| Some(home.as_ref()?.join(".local/share")));
    let machine = Machine { has: &has, home, data };
    let mut whole = Done::Whole;
    for authority in authorities {
        let root = written(folder, authority)?;
        for step in steps(&machine, &root, verb) {
            if print {
                show(&step)?;
            } else if !done(&step).await? {
                whole = Done::Partly;
            }
        }
    }
    Ok(whole)
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Beside the usual folders of users, root's: theirs is what is to be run as root.
    if folders.iter().any(|folder| folder == Path::new("/usr/bin")) {
        folders.push(PathBuf::from("/usr/sbin"));
    }
    folders.iter().any(|folder| folder.join(program).is_file())
}

/// Stores take one certificate a file.
fn written(folder: &AuthorityFolder, authority: &CertificateAuthority) -> Result<Root, CommandFailure> {
    let name = authority.name().to_lowercase().replace(' ', "-");
    let file = folder.roots().with_file_name(format!("{name}.pem"));
    let text = roots(std::slice::from_ref(authority));
    replace(&file, text.as_bytes())
        .map_err(|cause| CommandFailure(format!("{}: cannot be written ({cause})", file.display())))?;
    Ok(Root { name, file })
}

fn steps(machine: &Machine<'_>, root: &Root, verb: StoreVerb) -> Vec<StoreStep> {
    let mut all = vec![system(machine, root, verb)];
    all.extend(browsers(machine, root, verb));
    all.push(java(machine, root, verb));
    all
}

/// A command, its words given as text.
fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn system(machine: &Machine<'_>, root: &Root, verb: StoreVerb) -> StoreStep {
    const DEBIAN: (&str, &str) = ("update-ca-certificates", "/usr/local/share/ca-certificates");
    const FEDORA: (&str, &str) = ("update-ca-trust", "/etc/pki/ca-trust/source/anchors");
    let store = "the system's store".to_owned();
    let Some((program, folder)) = [DEBIAN, FEDORA].into_iter().find(|(program, _)| (machine.has)(program)) else {
        let why = "neither update-ca-certificates nor update-ca-trust is here; install the package ca-certificates";
        return StoreStep { store, what: What::Skip(why.to_owned()) };
    };
    let at = format!("{folder}/{}.crt", root.name);
    let from = root.file.display().to_string();
    let what = match verb {
        StoreVerb::Install => vec![command(&["install", "-D", "-m", "644", &from, &at]), command(&[program])],
        // Debian's forgets a certificate only when it makes all links anew.
        StoreVerb::Remove if program == DEBIAN.0 => vec![command(&["rm", "-f", &at]), command(&[program, "--fresh"])],
        StoreVerb::Remove => vec![command(&["rm", "-f", &at]), command(&[program])],
    };
    StoreStep { store, what: What::Run(what) }
}

/// Chromium reads one of two folders, by its age, and takes the older one where that exists.
fn browsers(machine: &Machine<'_>, root: &Root, verb: StoreVerb) -> Vec<StoreStep> {
    let older = machine.home.as_ref().map(|home| home.join(".pki/nssdb")).filter(|path| path.is_dir());
    let newer = machine.data.as_ref().map(|data| data.join("pki/nssdb"));
    let newer = newer.filter(|path| verb == StoreVerb::Install || path.is_dir());
    let step = |path: PathBuf| {
        let store = format!("Chromium's store, {}", path.display());
        if !(machine.has)("certutil") {
            return StoreStep {
                store,
                what: What::Skip("certutil is not here; install libnss3-tools (Debian) or nss-tools".to_owned()),
            };
        }
        StoreStep { store, what: What::Run(certutil(&path, root, verb)) }
    };
    older.into_iter().chain(newer).map(step).collect()
}

fn certutil(path: &Path, root: &Root, verb: StoreVerb) -> Vec<Vec<String>> {
    let (database, file) = (format!("sql:{}", path.display()), root.file.display().to_string());
    let own = |words: &[&str]| command(&[&["certutil", "-d", &database], words].concat());
    let is_new = !path.join("cert9.db").is_file();
    let make = [command(&["mkdir", "-p", &path.display().to_string()]), own(&["-N", "--empty-password"])];
    match verb {
        StoreVerb::Install => {
            let trust = own(&["-A", "-t", "C,,", "-n", &root.name, "-i", &file]);
            make.into_iter().filter(|_| is_new).chain([trust]).collect()
        }
        StoreVerb::Remove => vec![own(&["-D", "-n", &root.name])],
    }
}

fn java(machine: &Machine<'_>, root: &Root, verb: StoreVerb) -> StoreStep {
    let store = "Java's store".to_owned();
    if !(machine.has)("keytool") {
        return StoreStep { store, what: What::Skip("keytool is not here, so there is no Java".to_owned()) };
    }
    let own = ["-cacerts", "-storepass", "changeit", "-alias", &root.name];
    let file = root.file.display().to_string();
    let words = match verb {
        StoreVerb::Install => [&["keytool", "-importcert", "-noprompt"], &own[..], &["-file", &file]].concat(),
        StoreVerb::Remove => [&["keytool", "-delete"], &own[..]].concat(),
    };
    StoreStep { store, what: What::Run(vec![command(&words)]) }
}

fn show(step: &StoreStep) -> Result<(), CommandFailure> {
    let mut out = std::io::stdout();
    match &step.what {
        What::Skip(why) => writeln!(out, "# {}: {why}", step.store)?,
        What::Run(commands) => {
            writeln!(out, "# {}", step.store)?;
            for words in commands {
                writeln!(out, "{}", line(words))?;
            }
        }
    }
    Ok(())
}

/// Whether it has been done, or there was nothing to do.
async fn done(step: &StoreStep) -> Result<bool, CommandFailure> {
    let mut out = std::io::stdout();
    let commands = match &step.what {
        What::Skip(why) => {
            writeln!(out, "{}: left out: {why}", step.store)?;
            return Ok(true);
        }
        What::Run(commands) => commands,
    };
    for words in commands {
        writeln!(out, "{}: {}", step.store, line(words))?;
        if let Err(why) = ran(words).await {
            let rest: Vec<String> = commands.iter().map(|words| line(words)).collect();
            writeln!(out, "{}: not done: {why}; run as root: {}", step.store, rest.join(" && "))?;
            return Ok(false);
        }
    }
    writeln!(out, "{}: done", step.store)?;
    Ok(true)
}

/// Errors are what it said, in one line.
async fn ran(words: &[String]) -> Result<(), String> {
    let [program, arguments @ ..] = words else { return Ok(()) };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env_remove("JAVA_TOOL_OPTIONS").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .map_err(|_| format!("{program} did not end within {} s", PATIENCE.as_secs()))?
        .map_err(|cause| format!("{program} cannot be run ({cause})"))?;
    if output.status.success() {
        return Ok(());
    }
    // Java's says it on the other stream.
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    let first = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
    Err(format!("{program}: {first}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn lines(programs: &[&str], home: &Path, verb: StoreVerb) -> Vec<String> {
        let has = |program: &str| programs.contains(&program);
        let machine = Machine { has: &has, home: Some(home.to_owned()), data: Some(home.join("data")) };
        let root = Root { name: "ringhold-ca-1".to_owned(), file: PathBuf::from("/ca/1.pem") };
        let all = steps(&machine, &root, verb).into_iter();
        all.flat_map(|step| match step.what {
            What::Skip(why) => vec![format!("skip: {why}")],
            What::Run(commands) => commands.iter().map(|words| line(words)).collect(),
        })
        .collect()
    }

    #[test]
    fn each_store_that_is_there_gets_its_own_programs() {
        let home = TempDir::new().unwrap();
        let data = home.path().join("data/pki/nssdb");
        let all = ["update-ca-certificates", "certutil", "keytool"];
        let expected = [
            "install -D -m 644 /ca/1.pem /usr/local/share/ca-certificates/ringhold-ca-1.crt".to_owned(),
            "update-ca-certificates".to_owned(),
            format!("mkdir -p {}", data.display()),
            format!("certutil -d sql:{} -N --empty-password", data.display()),
            format!("certutil -d sql:{} -A -t C,, -n ringhold-ca-1 -i /ca/1.pem", data.display()),
            "keytool -importcert -noprompt -cacerts -storepass changeit -alias ringhold-ca-1 -file /ca/1.pem"
                .to_owned(),
        ];
        assert_eq!(lines(&all, home.path(), StoreVerb::Install), expected);
        // The older folder counts where it is there, and what is there is not made anew.
        let older = home.path().join(".pki/nssdb");
        for folder in [&older, &data] {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("cert9.db"), "").unwrap();
        }
        let both = lines(&["certutil"], home.path(), StoreVerb::Install);
        assert!(both[0].starts_with("skip: neither update-ca-certificates nor"), "{both:?}");
        assert!(both[1].contains(&*older.to_string_lossy()) && both[1].contains(" -A "), "{both:?}");
        assert!(both[2].contains(&*data.to_string_lossy()) && both[2].contains(" -A "), "{both:?}");
        assert!(both[3].starts_with("skip: keytool"), "{both:?}");
    }

    #[test]
    fn what_is_removed_is_what_was_installed() {
        let home = TempDir::new().unwrap();
        let removed = lines(&["update-ca-trust", "keytool"], home.path(), StoreVerb::Remove);
        let expected = [
            "rm -f /etc/pki/ca-trust/source/anchors/ringhold-ca-1.crt",
            "update-ca-trust",
            "keytool -delete -cacerts -storepass changeit -alias ringhold-ca-1",
        ];
        assert_eq!(removed, expected, "no store of a browser is made to be emptied");
    }
}
