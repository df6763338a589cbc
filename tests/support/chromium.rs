//! A browser: Chromium without a screen, with a profile that was never used before.

use super::tools::{command, is_there, succeed};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// What it is called here.
pub fn chromium() -> Option<&'static str> {
    ["chromium", "chromium-browser"].into_iter().find(|name| is_there(name))
}

/// Prints the page in the end. `home`: where its user's store of authorities is. The other folder is to stay until it has ended.
pub fn dumping(browser: &str, home: &Path) -> (Command, TempDir) {
    let profile = TempDir::new().unwrap();
    let mut chromium = command(browser);
    chromium.env("HOME", home).env_remove("XDG_DATA_HOME");
    chromium.args([
        "--headless",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ]);
    chromium.args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--dump-dom"]);
    if rustix::process::getuid().is_root() {
        chromium.arg("--no-sandbox");
    }
    chromium.arg(format!("--user-data-dir={}", profile.path().display()));
    (chromium, profile)
}

/// Has the user of this folder trust an authority (by `certutil`).
pub fn trust(home: &Path, authority: &Path) {
    // Chromium has moved it.
    for store in [".pki/nssdb", ".local/share/pki/nssdb"] {
        let folder = home.join(store);
        fs::create_dir_all(&folder).unwrap();
        let store = format!("sql:{}", folder.display());
        succeed(command("certutil").args(["-d", &store, "-N", "--empty-password"]));
        succeed(command("certutil").args(["-d", &store, "-A", "-t", "C,,", "-n", "ringhold", "-i"]).arg(authority));
    }
}
