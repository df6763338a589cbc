//! Cache groups (RFC 9875): one unsafe request makes a whole group invalid, on every node and in the front's hot copy.

use crate::support::*;

const PAGES: usize = 12;

fn origin() -> Origin {
    let origin = Origin::start();
    origin.on("/page/*", |x| {
        let group = if x.target().ends_with('0') { "\"other\"" } else { "\"x\", \"news\";q" };
        x.reply(200, &format!("Cache-Control: max-age=60\r\nCache-Groups: {group}\r\n"), "page")
    });
    origin.on("/edit", |x| {
        x.whole_body()?;
        x.reply(200, "Cache-Group-Invalidation: \"news\"\r\n", "done")
    });
    origin.on("/failed", |x| {
        x.whole_body()?;
        x.reply(500, "Cache-Group-Invalidation: \"news\"\r\n", "not done")
    });
    origin
}

fn pages(origin: &Origin) -> Vec<String> {
    (0..PAGES).map(|n| origin.url(&format!("/page/{n:02}"))).collect()
}

#[test]
fn a_group_becomes_invalid_on_every_node_and_what_is_in_another_group_stays() {
    let (origin, cluster) = (origin(), Cluster::start());
    let mut client = cluster.connect();
    let urls = pages(&origin);
    let nodes: std::collections::BTreeSet<_> = urls.iter().map(|url| client.get(url).node()).collect();
    assert!(nodes.len() > 1, "the pages live on several nodes");
    client.ask("POST", &origin.url("/failed"), "", b"x");
    client.ask("GET", &origin.url("/edit"), "", b"");
    assert!(urls.iter().all(|url| client.get(url).is_hit()), "RFC 9875 section 3: neither an error nor a safe method");
    client.ask("POST", &origin.url("/edit"), "", b"x");
    for url in &urls {
        let again = client.get(url);
        assert_eq!(again.is_hit(), url.ends_with('0'), "{url}: {}", again.cache_status());
        assert!(client.get(url).is_hit(), "it is as good as any once it was asked for again");
    }
}

#[test]
fn a_hot_copy_of_the_group_is_gone_as_well() {
    let (origin, cluster) = (origin(), Setup::default().set("hot", "memory", "8MiB").start());
    let mut client = cluster.connect();
    let url = origin.url("/page/01");
    (0..5).for_each(|_| drop(client.get(&url)));
    assert!(client.get(&url).is_hit());
    assert_eq!(origin.count("/page/01"), 1);
    client.ask("POST", &origin.url("/edit"), "", b"x");
    assert!(!client.get(&url).is_hit());
    assert_eq!(origin.count("/page/01"), 2);
}
