//! Many small pages of one origin, each of which can be told from the others.

use super::{Origin, Response};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// An origin with so many cacheable objects of 1 KiB that begin with their own path.
pub fn objects(count: usize) -> (Origin, Arc<Vec<String>>) {
    objects_at(Ipv4Addr::LOCALHOST.into(), count)
}

/// The same on another address of this machine.
pub fn objects_at(ip: IpAddr, count: usize) -> (Origin, Arc<Vec<String>>) {
    let origin = Origin::at(ip);
    origin.on("/o/*", |x| {
        let mut body = x.target().to_owned().into_bytes();
        body.resize(1024, b' ');
        x.reply(200, "Cache-Control: max-age=3600\r\n", body)
    });
    let urls = (0..count).map(|i| origin.url(&format!("/o/{i}"))).collect();
    (origin, Arc::new(urls))
}

/// Whether an answer is the object that was asked for.
pub fn is_whole(url: &str, answer: &Response) -> Result<(), String> {
    let path = &url[url.find("/o/").expect("an object")..];
    match answer.body.len() == 1024 && answer.text().trim_end() == path {
        true => Ok(()),
        false => Err(format!("a wrong body: {:.60}", answer.text())),
    }
}

/// From now on the object is of this edition, which the one before does not know of: it has to be purged.
pub fn renew(origin: &Origin, url: &str, edition: usize) {
    origin.on(&url[url.find("/o/").expect("an object")..], move |x| {
        let mut body = x.target().to_owned().into_bytes();
        body.resize(1024, b' ');
        x.reply(200, &format!("Cache-Control: max-age=3600\r\nX-Edition: {edition}\r\n"), body)
    });
}

/// Of which edition an answer is; 0: of the first.
pub fn edition(answer: &Response) -> usize {
    answer.get("x-edition").map_or(0, |edition| edition.parse().expect("a number"))
}
