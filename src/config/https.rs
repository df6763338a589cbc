//! `--https`, and what comes of the `[https]` table.

use super::error::ConfigError;
use super::model::Config;
use super::shell::quoted;
use crate::wire::https::{HostEntry, Listed};

impl Config {
    /// The same with the `hosts` of the command line: entries with commas between them, in place of the file's.
    pub fn with_https(mut self, list: Option<&str>) -> Result<Config, ConfigError> {
        const OPTION: &str = "--https";
        let Some(list) = list else { return Ok(self) };
        let mut hosts: Vec<Listed> = Vec::new();
        for text in list.split(',').map(str::trim) {
            let entry = HostEntry::parse(text).map_err(|message| ConfigError::option(OPTION, message))?;
            if hosts.iter().any(|other| other.entry == entry) {
                return Err(ConfigError::option(OPTION, format!("a second \"{entry}\"; keep one of them")));
            }
            hosts.push(Listed { entry, place: OPTION.to_owned() });
        }
        self.https.list.hosts = hosts;
        Ok(self)
    }

    /// What a client's shell runs to use the proxy at that address and to trust the authority.
    pub fn for_a_shell(&self, proxy: Option<&str>) -> String {
        // Without a file the authority is looked for where it is by default.
        let elsewhere = self.https.ca != Config::default().https.ca;
        let file = if elsewhere { format!(" --config {}", quoted(&absolute(&self.source))) } else { String::new() };
        let proxy = proxy.map_or_else(String::new, |proxy| format!(" --proxy {}", quoted(proxy)));
        format!("eval \"$(ringhold ca env{file}{proxy})\"")
    }
}

/// For a shell that stands in another folder.
fn absolute(path: &str) -> String {
    std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn each_entry_knows_its_line_and_paths_start_at_the_file() {
        let text = "[https]\nhosts = [\n  'preset:npm',\n  'A.example:8443',\n]\npass = ['b.example']\n\
                    ca = 'keys'\nroots = ['corp.pem', '/etc/other.pem']\nlearn = '2min'";
        let https = Config::parse(text, "/etc/ringhold/a.toml").unwrap().https;
        let shown = |lines: &[Listed]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            shown(&https.list.hosts),
            ["\"preset:npm\" (/etc/ringhold/a.toml:3)", "\"a.example:8443\" (/etc/ringhold/a.toml:4)"]
        );
        assert_eq!(shown(&https.list.pass), ["\"b.example\" (/etc/ringhold/a.toml:6)"]);
        assert_eq!(https.ca, Path::new("/etc/ringhold/keys"));
        assert_eq!(https.roots, [Path::new("/etc/ringhold/corp.pem"), Path::new("/etc/other.pem")]);
        assert_eq!(https.learn.as_secs(), 120);
    }

    #[test]
    fn it_is_off_unless_hosts_are_named() {
        let https = Config::default().https;
        assert!(!https.list.is_on());
        assert_eq!((https.roots.len(), https.learn.as_secs()), (0, 600));
    }

    #[test]
    fn the_authority_lies_with_the_state_that_is_named_or_where_every_shell_finds_it() {
        let ca = |text: &str, source: &str| Config::parse(text, source).unwrap().https.ca;
        assert_eq!(ca("[state]\npath = 's'", "/etc/a.toml"), Path::new("/etc/s/ca"));
        assert_eq!(ca("", "/etc/a.toml"), ca("", "/elsewhere/b.toml"));
        assert!(ca("", "/etc/a.toml").ends_with("ringhold/ca"));
    }

    #[test]
    fn the_command_lines_list_takes_the_place_of_the_files() {
        let file = || Config::parse("[https]\nhosts = ['a.example']\npass = ['b.example']", "a.toml").unwrap();
        let config = file().with_https(Some("preset:python, *.c.example")).unwrap();
        let shown: Vec<_> = config.https.list.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["\"preset:python\" (--https)", "\"*.c.example\" (--https)"]);
        assert_eq!(config.https.list.pass.len(), 1);
        assert_eq!(file().with_https(None).unwrap().https.list, file().https.list);
        for (list, why) in [
            ("", "--https: \"\" is no host"),
            ("a.example,", "--https: \"\" is no host"),
            ("*", "--https: \"*\" is every host there is"),
            ("preset:pip", "--https: there is no preset `pip`; write one of preset:python, "),
            ("a.example,A.example:443", "--https: a second \"a.example\"; keep one of them"),
        ] {
            let said = file().with_https(Some(list)).unwrap_err().to_string();
            assert!(said.starts_with(why), "{said}");
        }
    }
}
