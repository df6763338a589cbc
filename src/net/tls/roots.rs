//! Whose signature on the certificate of an origin is believed: the system's authorities, and those of `[https] roots`.
//!
//! The environment has no say in that (`SSL_CERT_FILE`, `SSL_CERT_DIR`): the shell of a client of ours has our own authority
//! in it, and an origin that this one vouches for may be anybody who holds its key.

use crate::config::HttpsConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};

/// Where systems keep all authorities in one file: Debian and Alpine, Fedora and RHEL, SUSE, the BSDs.
pub const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// Files of certificates (PEM) beside the system's.
    pub more: Vec<PathBuf>,
    /// The folder of our own authority: what has a certificate there vouches for no origin, wherever it is installed.
    pub never: PathBuf,
}

impl Roots {
    pub fn of(https: &HttpsConfig) -> Roots {
        Roots { more: https.roots.clone(), never: https.ca.clone() }
    }

    /// Whether the files that are named can be read. Errors name the file and the cure.
    pub fn check(&self) -> Result<(), String> {
        self.of_files().map(drop)
    }

    fn of_files(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        for file in &self.more {
            let read = || format!("{} of [https] roots", file.display());
            for certificate in certificates(file).map_err(|why| format!("{}: {why}", read()))? {
                store.add(certificate).map_err(|why| format!("{}: {why}", read()))?;
            }
        }
        Ok(store)
    }

    /// Errors name the file and the cure.
    pub(super) fn load(&self) -> Result<RootCertStore, String> {
        let mut store = self.of_files()?;
        // Of a bundle as large as the system's, something is always too old to be read.
        let system = BUNDLES.iter().find_map(|bundle| certificates(Path::new(bundle)).ok());
        store.add_parsable_certificates(system.unwrap_or_default());
        let mut ours = RootCertStore::empty();
        ours.add_parsable_certificates(files_in(&self.never).flat_map(|file| certificates(&file).unwrap_or_default()));
        store
            .roots
            .retain(|root| ours.roots.iter().all(|our| our.subject_public_key_info != root.subject_public_key_info));
        match store.is_empty() {
            true => Err(format!(
                "no authority is there that could vouch for an origin: install the system's (the package \
                 ca-certificates), or name a file in [https] roots; looked for {}",
                BUNDLES.join(", ")
            )),
            false => Ok(store),
        }
    }
}

/// None, where there is no such folder.
fn files_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// All of a file; one at least.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).map_err(|e| e.to_string())?;
    let found = read.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    if found.is_empty() { Err("it has no certificate in it: give it as PEM".to_owned()) } else { Ok(found) }
}
