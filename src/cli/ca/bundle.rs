//! Files for clients that know one file of roots only: the system's roots and ours together, in PEM and for Java.

use crate::net::tls::BUNDLES;
use crate::wire::date::Timestamp;
use std::path::{Path, PathBuf};

/// The system's file, where it has one.
pub fn system() -> Option<PathBuf> {
    BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Those files one after the other, then ours.
pub fn joined(files: &[PathBuf], ours: &str) -> Result<String, String> {
    let mut all = String::new();
    for file in files {
        let text = std::fs::read(file).map_err(|cause| unreadable(file, &cause))?;
        all.push_str(&String::from_utf8_lossy(&text));
        if !all.ends_with('\n') {
            all.push('\n');
        }
    }
    Ok(all + ours)
}

fn unreadable(file: &Path, cause: &std::io::Error) -> String {
    format!("{}: cannot be read ({cause}); correct `[https] roots`", file.display())
}

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;
/// In place of the SHA-1 that is asked for by who gives a password; trust stores are opened without one.
const NO_DIGEST: [u8; 20] = [0; 20];

/// The certificates of a PEM text as a Java key store (JKS): made here, so that no JDK is needed where it is made.
pub fn for_java(pem: &str, now: Timestamp) -> Option<Vec<u8>> {
    let certificates = pem::parse_many(pem).ok()?;
    let mut store = Vec::with_capacity(pem.len());
    let number = |store: &mut Vec<u8>, n: u32| store.extend_from_slice(&n.to_be_bytes());
    let text = |store: &mut Vec<u8>, text: &str| {
        store.extend_from_slice(&(text.len() as u16).to_be_bytes());
        store.extend_from_slice(text.as_bytes());
    };
    number(&mut store, MAGIC);
    number(&mut store, VERSION);
    number(&mut store, u32::try_from(certificates.len()).ok()?);
    for (at, certificate) in certificates.iter().enumerate() {
        number(&mut store, TRUSTED_CERTIFICATE);
        text(&mut store, &format!("root-{at}"));
        store.extend_from_slice(&now.0.to_be_bytes());
        text(&mut store, "X.509");
        number(&mut store, u32::try_from(certificate.contents().len()).ok()?);
        store.extend_from_slice(certificate.contents());
    }
    store.extend_from_slice(&NO_DIGEST);
    Some(store)
}
