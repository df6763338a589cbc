//! What another front tells this one where clients come: inside TLS, and after both have proved the secret.

use super::*;
use crate::cluster::invalidation::broadcast::{Acknowledgement, Announcement, PATH, Sealed, Who, announcement};
use crate::cluster::views::Outdated;
use crate::config::{ClusterConfig, Secret};
use crate::net::http1::brief;
use crate::net::prove::{self, nonce};
use crate::net::tls::link as tls;
use std::io::ErrorKind::PermissionDenied;

const SECRET: &str = "0123456789abcdef";
const UPGRADE: &str = "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: ringhold-link\r\n\r\n";

fn secret(secret: &str) -> ClusterConfig {
    ClusterConfig { secret: Some(Secret(secret.to_owned())), previous_secret: None }
}

/// A front that is one of several: `front-1`.
fn one_of_several() -> Stage {
    Stage::with(Config { cluster: secret(SECRET), ..config() }, vec![vec![]])
}

/// What is told, and the request that tells it.
fn told(to: &str) -> (Announcement, Vec<u8>) {
    let what = vec![Outdated::Url("https://a.example/x".to_owned())];
    let told = Announcement { to: to.to_owned(), nonce: nonce().unwrap(), what };
    let sealed = Sealed::by(Who::Teller, Some(SECRET), serde_json::to_string(&told).unwrap());
    let body = serde_json::to_vec(&sealed).unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nRinghold-Teller: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        announcement(SECRET, to, &told.nonce, body.len() as u64),
        body.len()
    );
    (told, [head.as_bytes(), &body].concat())
}

#[test]
fn a_front_is_told_inside_tls_by_who_has_proved_the_secret() {
    run(async {
        let stage = one_of_several();
        let (told, request) = told("front-1");
        let address = stage.address.to_string();
        let mut session = prove::connect_front(&address, "front-1", &secret(SECRET)).await.unwrap();
        assert!(session.is_private());
        let answer = brief::ask(&mut session, &request).await.unwrap();
        assert_eq!(answer.status, 200);
        let sealed: Sealed = serde_json::from_slice(&answer.body).unwrap();
        assert!(sealed.opens(Who::Listener, &secret(SECRET)).is_some());
        let heard: Acknowledgement = serde_json::from_str(&sealed.text).unwrap();
        assert_eq!((heard.front.as_str(), heard.nonce), ("front-1", told.nonce));
    });
}

#[test]
fn another_front_than_was_meant_and_one_of_another_cluster_are_told_nothing() {
    run(async {
        let stage = one_of_several();
        for (id, cluster, why) in [
            ("front-2", secret(SECRET), "has the id `front-1`, not `front-2`"),
            ("front-1", secret("another-long-secret"), "it does not accept our proof"),
        ] {
            let refused = prove::connect_front(&stage.address.to_string(), id, &cluster).await.unwrap_err();
            assert!(refused.kind() == PermissionDenied && refused.to_string().contains(why), "{refused}");
        }
    });
}

#[test]
fn who_has_proved_nothing_tells_nothing_also_inside_tls() {
    run(async {
        let stage = one_of_several();
        let mut socket = TcpStream::connect(stage.address).await.unwrap();
        assert_eq!(brief::ask(&mut socket, UPGRADE.as_bytes()).await.unwrap().status, 101);
        let mut session = tls::connect(socket).await.unwrap();
        let answer = brief::ask(&mut session, &told("front-1").1).await.unwrap();
        assert_eq!((answer.status, answer.keep), (403, false));
    });
}

#[test]
fn a_front_without_a_secret_takes_up_no_tls_nor_does_one_for_what_came_through_a_proxy() {
    run(async {
        for (stage, request) in [
            (Stage::new(vec![vec![]]), UPGRADE.to_owned()),
            (one_of_several(), UPGRADE.replace("Host: x", "Host: x\r\nVia: 1.1 a")),
            (one_of_several(), UPGRADE.replace("ringhold-link", "h2c")),
        ] {
            let mut socket = TcpStream::connect(stage.address).await.unwrap();
            let answer = brief::ask_for(&mut socket, request.as_bytes(), 1 << 20).await.unwrap();
            assert!((400..500).contains(&answer.status), "{request}{}", answer.status);
        }
    });
}
