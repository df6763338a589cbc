//! Single values of the file, each checked where it is read, so that an error points at its line.

use super::model::{Address, Secret};
use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A value that is written as text or as a whole number.
pub(super) trait Scalar: Sized {
    /// What it is and how to write it, after "is not ".
    fn wanted() -> String;
    fn from_text(_: &str) -> Option<Self> {
        None
    }
    fn from_whole(_: i64) -> Option<Self> {
        None
    }
}

struct Reading<T>(std::marker::PhantomData<T>);

pub(super) fn read<'de, T: Scalar, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(Reading(std::marker::PhantomData))
}

impl<T: Scalar> Visitor<'_> for Reading<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&T::wanted())
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).ok_or_else(|| E::custom(format!("\"{}\" is not {}", shortened(text), T::wanted())))
    }
    fn visit_i64<E: Error>(self, whole: i64) -> Result<T, E> {
        T::from_whole(whole).ok_or_else(|| E::custom(format!("{whole} is not {}", T::wanted())))
    }
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Makes scalars readable: generics in brackets, then the type.
macro_rules! deserialize {
    ($([$($generics:tt)*] $name:ty),* $(,)?) => {$(
        impl<'de, $($generics)*> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                read(from)
            }
        }
    )*};
}
pub(super) use deserialize;

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct WholeNumber<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> Scalar for WholeNumber<MIN, MAX> {
    fn wanted() -> String {
        format!("allowed here; write a whole number from {MIN} to {MAX}")
    }
    fn from_whole(whole: i64) -> Option<Self> {
        u32::try_from(whole).ok().filter(|n| (MIN..=MAX).contains(n)).map(WholeNumber)
    }
}

/// A network, or one address.
#[derive(Clone, Copy, Debug)]
pub struct Net(pub IpNet);

impl Scalar for Net {
    fn wanted() -> String {
        "a network; write for example \"10.0.0.0/8\", \"fc00::/7\" or \"192.0.2.1\"".to_owned()
    }
    fn from_text(text: &str) -> Option<Net> {
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(|net: IpNet| Net(net.trunc()))
    }
}

/// A file or a folder.
#[derive(Clone, Debug)]
pub struct FilePath(pub PathBuf);

impl Scalar for FilePath {
    fn wanted() -> String {
        "a path; write for example \"/var/lib/ringhold\"".to_owned()
    }
    fn from_text(text: &str) -> Option<FilePath> {
        Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty()).map(FilePath)
    }
}

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Listen(pub SocketAddr);

impl Scalar for Listen {
    fn wanted() -> String {
        "an address to listen on; write for example \"127.0.0.1:3128\" or \"[::1]:3128\"".to_owned()
    }
    fn from_text(text: &str) -> Option<Listen> {
        text.parse().ok().map(Listen)
    }
}

impl Scalar for Address {
    fn wanted() -> String {
        "an address; write \"host:port\", \"[2001:db8::1]:port\" or \"unix:/path\"".to_owned()
    }
    fn from_text(text: &str) -> Option<Address> {
        text.parse().ok()
    }
}

/// An address of a node. (`Address` itself is written by the derived serialisation, between processes.)
#[derive(Clone, Debug)]
pub struct At(pub Address);

/// A secret as the file writes it: what a field value can carry.
#[derive(Clone, Debug)]
pub struct Hidden(pub Secret);

// A wrong secret is not shown in the message, so it has no `Scalar`.
impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Hidden, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(D::Error::custom(
                "not a secret; write visible ASCII without spaces, for example from `openssl rand -hex 32`",
            ));
        }
        Ok(Hidden(Secret(text)))
    }
}

/// A token of RFC 9110 section 5.6.2: a field name, a pseudonym.
#[derive(Clone, Debug)]
pub struct Token(pub String);

impl Scalar for Token {
    fn wanted() -> String {
        "a token; write letters, digits and `-`".to_owned()
    }
    fn from_text(text: &str) -> Option<Token> {
        let tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        (!text.is_empty() && text.len() <= 64 && text.bytes().all(tchar)).then(|| Token(text.to_owned()))
    }
}

/// 0 (off) or more than 1.
#[derive(Clone, Copy, Debug)]
pub struct LoadFactor(pub f64);

impl<'de> Deserialize<'de> for LoadFactor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<LoadFactor, D::Error> {
        let factor = f64::deserialize(from)?;
        if factor == 0.0 || (factor > 1.0 && factor.is_finite()) {
            return Ok(LoadFactor(factor.abs()));
        }
        Err(D::Error::custom(format!(
            "{factor} is not a load factor; write more than 1, for example 1.5, or 0 for off"
        )))
    }
}

/// A filter for diagnostics.
#[derive(Clone, Debug)]
pub struct Filter(pub String);

impl Scalar for Filter {
    fn wanted() -> String {
        "a log filter; write error, warn, info, debug, trace or off, or for example \"info,ringhold::node=debug\""
            .to_owned()
    }
    fn from_text(text: &str) -> Option<Filter> {
        text.split(',').all(is_directive).then(|| Filter(text.to_owned()))
    }
}

/// `EnvFilter` takes any word for the name of a module, so a misspelt level would silently switch everything off.
fn is_directive(text: &str) -> bool {
    let level = text.rsplit('=').next().unwrap_or(text).trim();
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    known.iter().any(|k| level.eq_ignore_ascii_case(k)) && tracing_subscriber::EnvFilter::try_new(text).is_ok()
}

deserialize!([const MIN: u32, const MAX: u32] WholeNumber<MIN, MAX>, [] FilePath, [] Net, [] Listen, [] Token, [] Filter, [] Ensemble, [] ZnodePath, [] PlainHost);

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<At, D::Error> {
        read(from).map(At)
    }
}

/// `host:port,host:port`
#[derive(Clone, Debug)]
pub struct Ensemble(pub String);

/// Where the records are.
#[derive(Clone, Debug)]
pub struct ZnodePath(pub String);

/// A name or an address, without a port.
#[derive(Clone, Debug)]
pub struct PlainHost(pub String);

impl Default for ZnodePath {
    fn default() -> ZnodePath {
        ZnodePath("/ringhold".to_owned())
    }
}

impl Scalar for Ensemble {
    fn wanted() -> String {
        "a ZooKeeper ensemble; write for example \"zk1:2181,zk2:2181,zk3:2181\"".to_owned()
    }
    fn from_text(text: &str) -> Option<Ensemble> {
        let servers: Vec<&str> = text.split(',').map(str::trim).collect();
        let good = |server: &&str| server.parse::<Address>().is_ok_and(|a| a.port().is_some_and(|port| port != 0));
        servers.iter().all(good).then(|| Ensemble(servers.join(",")))
    }
}

impl Scalar for ZnodePath {
    fn wanted() -> String {
        "a path in ZooKeeper; write for example \"/ringhold\"".to_owned()
    }
    fn from_text(text: &str) -> Option<ZnodePath> {
        let part = |part: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            !part.is_empty() && part != "." && part != ".." && part != "zookeeper" && part.bytes().all(plain)
        };
        let good = text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part));
        (good && text.len() <= 256).then(|| ZnodePath(text.to_owned()))
    }
}

impl Scalar for PlainHost {
    fn wanted() -> String {
        "a host; write the name or address by which other machines reach this one, without a port".to_owned()
    }
    fn from_text(text: &str) -> Option<PlainHost> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let name = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && text.bytes().all(plain);
        let anywhere = |ip: IpAddr| ip.is_unspecified() || ip.is_multicast();
        match text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(ip) => (!anywhere(ip)).then(|| PlainHost(ip.to_string())),
            Err(_) => (name && text.len() <= 253).then(|| PlainHost(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_module() {
        for good in ["info", "WARN", "off", "info,ringhold=debug", "ringhold::node=trace"] {
            assert!(Filter::from_text(good).is_some(), "{good}");
        }
        for bad in ["inof", "", "ringhold", "info,", "ringhold=loud"] {
            assert!(Filter::from_text(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn one_address_is_a_network_too() {
        assert_eq!(Net::from_text("192.0.2.1").unwrap().0.to_string(), "192.0.2.1/32");
        assert_eq!(Net::from_text("10.1.2.3/8").unwrap().0.to_string(), "10.0.0.0/8");
        assert!(Net::from_text("10.0.0.0/33").is_none());
    }
}
