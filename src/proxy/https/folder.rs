//! The authority's folder: `signer.pem` (root, signer and the signer's key in one file, which is the only truth), `next.pem`
//! (the same of a second authority, while clients get to know it), and what is written from those: `ca.pem` (the roots), and
//! in `clients` whatever else clients are to read.

use super::ca::{AuthorityTrouble, CertificateAuthority, Parts};
use crate::cluster::membership::state::replace;
use crate::private;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

const SIGNER: &str = "signer.pem";
const NEXT: &str = "next.pem";
const CLIENTS: &str = "clients";
const ROOTS: &str = "ca.pem";
const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";
/// A file of ours has 8 KiB or so; that of many names more.
const LARGEST: u64 = 1 << 20;

/// Where an authority is kept.
#[derive(Clone, Debug)]
pub struct AuthorityFolder {
    path: PathBuf,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    First,
    Next,
}

impl AuthorityFolder {
    /// What is said of it holds for whoever stands in another folder.
    pub fn at(path: &Path) -> AuthorityFolder {
        AuthorityFolder { path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()) }
    }

    /// Where files for clients are, which are not the authority's own: whatever lies beside that is trusted for no origin.
    pub fn for_clients(&self) -> PathBuf {
        self.path.join(CLIENTS)
    }

    /// Where clients find the roots.
    pub fn roots(&self) -> PathBuf {
        self.path.join(ROOTS)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, which: Which) -> PathBuf {
        self.path.join(match which {
            Which::First => SIGNER,
            Which::Next => NEXT,
        })
    }

    /// The authorities there, the first one first; none where there is none. A key that others may read is refused.
    pub fn load(&self) -> Result<Vec<CertificateAuthority>, AuthorityTrouble> {
        let all = [Which::First, Which::Next].map(|which| self.read(&self.file(which)));
        all.into_iter().filter_map(Result::transpose).collect()
    }

    fn read(&self, file: &Path) -> Result<Option<CertificateAuthority>, AuthorityTrouble> {
        let name = file.display().to_string();
        let about = match fs::metadata(file) {
            Ok(about) => about,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(unreadable(&name, &cause)),
        };
        let folder = fs::metadata(&self.path).map_err(|cause| unreadable(&self.path.display().to_string(), &cause))?;
        for (path, about, mode) in [(&*self.path, &folder, private::FOLDER), (file, &about, private::FILE)] {
            if !private::is_closed(about) {
                return Err(open_to_others(path, mode));
            }
        }
        let mut text = Vec::new();
        // No pipe is waited for, and no device read to its end.
        if about.is_file() {
            let opened = fs::File::open(file).map_err(|cause| unreadable(&name, &cause))?;
            opened.take(LARGEST).read_to_end(&mut text).map_err(|cause| unreadable(&name, &cause))?;
        }
        let parts = parts(&text).ok_or_else(|| {
            AuthorityTrouble(format!(
                "{name}: not the root, the signer and its key in PEM; move it away, and make a new authority with: ringhold \
                 ca init"
            ))
        })?;
        CertificateAuthority::open(parts, &name).map(Some)
    }

    /// Writes an authority, and then `ca.pem`; where there is one already it is replaced whole or not at all.
    pub fn write(&self, which: Which, parts: &Parts) -> Result<(), AuthorityTrouble> {
        let unwritable = |cause: io::Error| {
            AuthorityTrouble(format!(
                "{}: cannot be written ({cause}); name a folder of yours by `[https] ca`",
                self.path.display()
            ))
        };
        private::make_folder(&self.path).map_err(unwritable)?;
        if !private::is_closed(&fs::metadata(&self.path).map_err(unwritable)?) {
            return Err(open_to_others(&self.path, private::FOLDER));
        }
        let certificates = [&parts.root, &parts.signer].map(|der| pem::Pem::new(CERTIFICATE, der.as_slice()));
        let key = pem::Pem::new(PRIVATE_KEY, parts.key.as_slice());
        let text: String = certificates.iter().chain([&key]).map(written).collect();
        // What is made new is 0600, whatever the umask.
        replace(&self.file(which), text.as_bytes()).map_err(unwritable)?;
        self.publish(&self.load()?).map_err(unwritable)
    }

    /// Writes `ca.pem` where it is not what these authorities make of it.
    pub fn publish(&self, authorities: &[CertificateAuthority]) -> io::Result<()> {
        let text = roots(authorities);
        if fs::read_to_string(self.roots()).is_ok_and(|there| there == text) {
            return Ok(());
        }
        replace(&self.roots(), text.as_bytes())
    }
}

/// The roots, as PEM: for clients.
pub fn roots(authorities: &[CertificateAuthority]) -> String {
    authorities.iter().map(|authority| written(&pem::Pem::new(CERTIFICATE, authority.root()))).collect()
}

fn written(pem: &pem::Pem) -> String {
    pem::encode_config(pem, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
}

fn parts(text: &[u8]) -> Option<Parts> {
    let found = pem::parse_many(text).ok()?;
    let of = |tag: &'static str| found.iter().filter(move |pem| pem.tag() == tag).map(|pem| pem.contents().to_vec());
    let mut certificates = of(CERTIFICATE);
    Some(Parts { root: certificates.next()?, signer: certificates.next()?, key: of(PRIVATE_KEY).next()? })
}

fn unreadable(name: &str, cause: &io::Error) -> AuthorityTrouble {
    AuthorityTrouble(format!("{name}: cannot be read ({cause}); run this as the user that the front runs as"))
}

fn open_to_others(path: &Path, mode: u32) -> AuthorityTrouble {
    let path = path.display();
    AuthorityTrouble(format!(
        "{path}: others may read the key that signs for your hosts, or put another there; run: chmod {mode:o} {path}"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::ca::make;
    use super::*;
    use crate::wire::date::Timestamp;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    const NOW: Timestamp = Timestamp(1_795_956_577_000);

    fn made(which: &[Which]) -> (TempDir, AuthorityFolder) {
        let home = TempDir::new().unwrap();
        let folder = AuthorityFolder::at(&home.path().join("a/ca"));
        which.iter().for_each(|which| folder.write(*which, &make(&[], NOW).unwrap()).unwrap());
        (home, folder)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_read_again_and_for_nobody_else() {
        let (_home, folder) = made(&[Which::First, Which::Next]);
        let all = folder.load().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(mode(&folder.path), 0o700);
        assert_eq!(mode(&folder.file(Which::First)), 0o600);
        let shown = fs::read_to_string(folder.roots()).unwrap();
        assert_eq!(shown, roots(&all));
        assert_eq!(shown.matches("BEGIN CERTIFICATE").count(), 2);
        let key = fs::read_to_string(folder.file(Which::First)).unwrap();
        assert_eq!(key.matches("PRIVATE KEY").count(), 2, "one key: the root's is gone");
    }

    #[test]
    fn a_folder_without_an_authority_has_none() {
        let (_home, folder) = made(&[]);
        assert!(folder.load().unwrap().is_empty());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_cure() {
        let (_home, folder) = made(&[Which::First]);
        let refused = |path: &Path, mode: u32, cure: &str| {
            let before = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let said = folder.load().map(|_| ()).unwrap_err().0;
            assert!(said.ends_with(&format!("; run: {cure} {}", path.display())), "{said}");
            fs::set_permissions(path, before).unwrap();
        };
        let file = folder.file(Which::First);
        for mode in [0o640, 0o604, 0o620, 0o610] {
            refused(&file, mode, "chmod 600");
        }
        for mode in [0o750, 0o701, 0o770] {
            refused(&folder.path, mode, "chmod 700");
        }
        assert_eq!(folder.load().unwrap().len(), 1);
    }

    #[test]
    fn a_damaged_file_is_refused_and_nothing_of_it_believed() {
        let (_home, folder) = made(&[Which::First]);
        let file = folder.file(Which::First);
        let whole = fs::read(&file).unwrap();
        for cut in [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 20] {
            fs::write(&file, &whole[..cut]).unwrap();
            let said = folder.load().map(|_| ()).unwrap_err().0;
            assert!(said.contains("ringhold ca init"), "{cut}: {said}");
        }
    }

    #[test]
    fn the_roots_for_clients_are_written_again_where_they_are_lost() {
        let (_home, folder) = made(&[Which::First]);
        let all = folder.load().unwrap();
        for damage in ["", "other"] {
            fs::write(folder.roots(), damage).unwrap();
            folder.publish(&all).unwrap();
            assert_eq!(fs::read_to_string(folder.roots()).unwrap(), roots(&all));
        }
    }
}
