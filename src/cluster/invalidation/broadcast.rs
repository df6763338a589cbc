//! What one front tells the others: what was purged or made invalid, for their own copies (docs/link.md, From front to
//! front). It goes to where they serve clients, and each message carries its proof: their admin API may be on loopback.

use crate::cluster::health::monitor::Health;
use crate::cluster::views::Outdated;
use crate::config::ClusterConfig as Secrets;
use crate::net::prove::nonce;
use crate::wire::link as wire;
use crate::wire::proof::{self, Nonce, Tag};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Where it is told, `POST`.
pub const PATH: &str = "/invalidate";
const LIMIT: Duration = Duration::from_secs(1);
/// The label of what an announcement seals.
const ANNOUNCES: &str = "ringhold announces";
/// A text and the proof that a member of the cluster has written it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub text: String,
    /// `None`: the cluster has no secret, and all of it is on one machine.
    mac: Option<Tag>,
}

/// Who has sealed a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Teller,
    Listener,
}

/// In the head of what is told: the proof that it comes from a member of the cluster, before anything of it is read.
/// A nonce and the mac over it, over the id of the front that is meant and over the length of the content.
pub fn announcement(secret: &str, to: &str, nonce: &Nonce, length: u64) -> String {
    format!("{nonce} {}", proof::seal(secret, ANNOUNCES, announced(to, nonce, length).as_bytes()))
}

/// Whether the head of a request for the front `own` has one that holds. What is repeated tells no more than it did.
pub fn is_announced(secrets: &Secrets, headers: &HeaderMap, own: &str, length: u64) -> bool {
    let said = headers.get(wire::TELLER).and_then(|said| said.to_str().ok()?.split_once(' '));
    let Some((Some(nonce), Some(mac))) = said.map(|(nonce, mac)| (Nonce::parse(nonce), Tag::parse(mac))) else {
        return false;
    };
    let text = announced(own, &nonce, length);
    secrets.secrets().any(|secret| proof::is_sealed(&mac, secret, ANNOUNCES, text.as_bytes()))
}

fn announced(to: &str, nonce: &Nonce, length: u64) -> String {
    format!("{nonce} {length} {to}")
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The id of the front that is meant: on another machine an address may be somebody else's.
    pub to: String,
    pub nonce: Nonce,
    pub what: Vec<Outdated>,
}

/// The answer: it has forgotten that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    pub front: String,
    pub nonce: Nonce,
}

impl Sealed {
    pub fn by(who: Who, secret: Option<&str>, text: String) -> Sealed {
        let mac = secret.map(|secret| proof::seal(secret, who.label(), text.as_bytes()));
        Sealed { text, mac }
    }

    /// With which secret it was sealed; `None`: with none of them.
    pub fn opens<'a>(&self, who: Who, secrets: &'a Secrets) -> Option<Option<&'a str>> {
        let mut secrets = secrets.secrets().peekable();
        if secrets.peek().is_none() {
            return Some(None);
        }
        let mac = self.mac?;
        secrets.find(|secret| proof::is_sealed(&mac, secret, who.label(), self.text.as_bytes())).map(Some)
    }
}

impl Who {
    fn label(self) -> &'static str {
        match self {
            Who::Teller => "ringhold tells",
            Who::Listener => "ringhold heard",
        }
    }
}

/// Another front, as far as telling it something goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontListener {
    pub id: String,
    /// Where clients reach it; `None`: only those on its own machine, which is not this one.
    pub address: Option<String>,
    /// Its session has ended: it may be dead, or cut off.
    pub past: bool,
    /// It is told inside TLS, and in no other way.
    pub tls: bool,
}

/// What became of telling a front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hearing {
    Told,
    /// It cannot be told from here: its copies have to run out.
    Apart,
    /// The same, with the reason.
    Missed(String),
    /// Nothing listens there, though its session has not ended: it serves nobody just now.
    Refused(String),
    /// Its process has ended, and its copies with it.
    Ended,
}

/// Tells all of them at the same time.
pub async fn tell(
    health: &Arc<Health>,
    secrets: &Secrets,
    listeners: Vec<FrontListener>,
    what: &[Outdated],
) -> Vec<(String, Hearing)> {
    let mut telling = JoinSet::new();
    for listener in listeners {
        let (health, secrets, what) = (health.clone(), secrets.clone(), what.to_vec());
        telling.spawn(async move {
            let hearing = one(&health, &secrets, &listener, what).await;
            (listener.id, hearing)
        });
    }
    let mut hearings = telling.join_all().await;
    hearings.sort_by(|a, b| a.0.cmp(&b.0));
    hearings
}

/// Tells one of them; nothing: whether it hears at all.
pub async fn one(health: &Health, secrets: &Secrets, listener: &FrontListener, what: Vec<Outdated>) -> Hearing {
    let Some(address) = &listener.address else { return Hearing::Apart };
    // One that is told in clear has no copy of what is https: its nodes are none that were to be asked for that.
    let (asks, all) = (what.is_empty(), what.into_iter());
    let what: Vec<Outdated> = all.filter(|what| listener.tls || !what.is_https()).collect();
    if what.is_empty() && !asks {
        return Hearing::Told;
    }
    let mut tries: Vec<Option<&str>> = secrets.secrets().map(Some).collect();
    if tries.is_empty() {
        tries.push(None);
    }
    let in_tls = listener.tls.then_some(&*listener.id);
    let mut hearing = Hearing::Apart;
    for secret in tries {
        let Ok(nonce) = nonce() else { return Hearing::Missed("there are no random numbers".to_owned()) };
        let told = Announcement { to: listener.id.clone(), nonce, what: what.clone() };
        let sealed = Sealed::by(Who::Teller, secret, serde_json::to_string(&told).unwrap_or_default());
        let body = serde_json::to_vec(&sealed).unwrap_or_default();
        let proof = secret.map(|secret| announcement(secret, &listener.id, &nonce, body.len() as u64));
        hearing = match health.link().tell(address, in_tls, PATH, proof, body.into(), LIMIT).await {
            Ok((status, body)) => heard(status, &body, &told, secrets),
            Err(trouble) if trouble.is_refusal() && listener.past => return Hearing::Ended,
            Err(trouble) if trouble.is_refusal() => return Hearing::Refused(trouble.to_string()),
            Err(trouble) => return Hearing::Missed(trouble.to_string()),
        };
        if hearing == Hearing::Told {
            break;
        }
    }
    hearing
}

/// Only the one who was meant can say that it has heard.
fn heard(status: StatusCode, body: &Bytes, told: &Announcement, secrets: &Secrets) -> Hearing {
    if !status.is_success() {
        return Hearing::Missed(format!("it answered with status {}", status.as_u16()));
    }
    let sealed: Option<Sealed> = serde_json::from_slice(body).ok();
    let sealed = sealed.filter(|sealed| sealed.opens(Who::Listener, secrets).is_some());
    let heard: Option<Acknowledgement> = sealed.and_then(|sealed| serde_json::from_str(&sealed.text).ok());
    match heard.is_some_and(|heard| heard.front == told.to && heard.nonce == told.nonce) {
        true => Hearing::Told,
        false => Hearing::Missed("something else answers there".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn secrets(secret: Option<&str>, previous: Option<&str>) -> Secrets {
        let secret_of = |s: &str| Secret(s.to_owned());
        Secrets { secret: secret.map(secret_of), previous_secret: previous.map(secret_of) }
    }

    #[test]
    fn a_text_opens_for_who_knows_the_secret_as_the_sides_own_and_unchanged() {
        let sealed = Sealed::by(Who::Teller, Some("new"), "text".to_owned());
        let forged = Sealed { text: "texts".to_owned(), ..sealed.clone() };
        let rows = [
            ("the same secret", &sealed, Who::Teller, secrets(Some("new"), None), Some(Some("new"))),
            ("in a rotation", &sealed, Who::Teller, secrets(Some("newer"), Some("new")), Some(Some("new"))),
            ("another secret", &sealed, Who::Teller, secrets(Some("other"), None), None),
            ("sent back", &sealed, Who::Listener, secrets(Some("new"), None), None),
            ("changed", &forged, Who::Teller, secrets(Some("new"), None), None),
            ("no secret here", &sealed, Who::Teller, secrets(None, None), Some(None)),
        ];
        for (what, sealed, who, secrets, expected) in rows {
            assert_eq!(sealed.opens(who, &secrets), expected, "{what}");
        }
        let bare = Sealed::by(Who::Teller, None, "text".to_owned());
        assert_eq!(bare.opens(Who::Teller, &secrets(Some("new"), None)), None, "without a proof");
    }

    #[test]
    fn what_is_announced_holds_for_its_secret_its_front_and_its_length() {
        let nonce = proof::Hex([1; 16]);
        let said = announcement("new", "b", &nonce, 7);
        let headers = |said: &str| HeaderMap::from_iter([(wire::TELLER, said.parse().unwrap())]);
        let holds = |said: &str, has: &Secrets, own, length| is_announced(has, &headers(said), own, length);
        let new = secrets(Some("new"), None);
        assert!(holds(&said, &new, "b", 7) && holds(&said, &secrets(Some("newer"), Some("new")), "b", 7));
        assert!(!holds(&said, &new, "b", 8) && !holds(&said, &new, "a", 7));
        assert!(!holds(&said, &secrets(Some("other"), None), "b", 7) && !holds(&said, &secrets(None, None), "b", 7));
        for odd in ["", " ", "x", &said[1..], &said[..said.len() - 1], &said.replace(' ', "")] {
            assert!(!holds(odd, &new, "b", 7), "{odd}");
        }
        assert!(!is_announced(&new, &HeaderMap::new(), "b", 7));
    }

    #[test]
    fn only_the_one_who_was_meant_has_heard() {
        let (nonce, other) = (proof::Hex([1; 16]), proof::Hex([2; 16]));
        let told = Announcement { to: "b".to_owned(), nonce, what: Vec::new() };
        let secrets = secrets(Some("s"), None);
        let answer = |front: &str, nonce, secret| {
            let text = serde_json::to_string(&Acknowledgement { front: front.to_owned(), nonce }).unwrap();
            Bytes::from(serde_json::to_vec(&Sealed::by(Who::Listener, Some(secret), text)).unwrap())
        };
        let rows = [
            (200, answer("b", nonce, "s"), true),
            (200, answer("a", nonce, "s"), false),
            (200, answer("b", other, "s"), false),
            (200, answer("b", nonce, "t"), false),
            (200, Bytes::from_static(b"hello"), false),
            (403, answer("b", nonce, "s"), false),
        ];
        for (status, body, expected) in rows {
            let hearing = heard(StatusCode::from_u16(status).unwrap(), &body, &told, &secrets);
            assert_eq!(hearing == Hearing::Told, expected, "{status} {body:?}");
        }
    }
}
