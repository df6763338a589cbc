//! `ringhold explain` and the disk: where something lies, whether it is to be validated, or why it is not there.

use super::*;

fn explained(cluster: &Cluster, url: &str) -> String {
    let (file, admin) = (cluster.file().display().to_string(), cluster.admin.to_string());
    let (code, said) = cluster::run(cluster.folder(), &["explain", url, "--config", &file, "--admin", &admin]);
    assert_eq!(code, Some(0), "{said}");
    said
}

#[test]
fn it_says_where_something_lies_and_why_it_is_validated_or_not_written() {
    let setup = with_disk(1).set("disk", "max_object", "10KiB").set("timeouts", "probe", "300ms");
    let (origin, cluster) = (Origin::start(), setup.start());
    let local = Origin::at(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    until_on(&cluster);
    origin.on("/page", |x| x.reply(200, KEEP, "page"));
    origin.on("/brief", |x| x.reply(200, "Cache-Control: max-age=5\r\n", "brief"));
    origin.on("/large", |x| x.reply(200, KEEP, "x".repeat(20_000)));
    local.on("/local", |x| x.reply(200, KEEP, "local"));
    let page = origin.url("/page");
    for (url, why) in [
        (origin.url("/brief"), "of use for less than a minute"),
        (origin.url("/large"), "larger than [disk] max_object"),
        (local.url("/local"), "clients on this machine"),
    ] {
        assert_eq!(cluster.get(&url).status, 200);
        let said = explained(&cluster, &url);
        assert!(said.contains("Stored: 200") && said.contains("It is not on disk: ") && said.contains(why), "{said}");
    }
    cluster.get(&page);
    until_written(&cluster, &page);
    let said = explained(&cluster, &page);
    assert!(said.contains("It lies in memory and on disk: ") && said.contains("bytes of a segment"), "{said}");
    kill(&cluster, "n1");
    let said = explained(&cluster, &page);
    assert!(said.contains("It lies on disk alone") && !said.contains("validated"), "{said}");
    let is_up = || cluster.manage("GET", "/v1/nodes/n1", "").json()["up"] == true;
    cluster.signal_node("n1", Signal::STOP);
    until_true("it is passed over", PATIENCE, || !is_up());
    cluster.signal_node("n1", Signal::CONT);
    until_true("it is back", PATIENCE, is_up);
    let said = explained(&cluster, &page);
    assert!(said.contains("It is validated before it is answered with: this node was away"), "{said}");
}

#[test]
fn it_counts_the_file_that_has_a_large_body() {
    const LENGTH: u64 = 3_000_000;
    let (origin, cluster) = (Origin::start(), with_disk(1).start());
    until_on(&cluster);
    origin.on("/large", |x| {
        x.begin_sized(KEEP, LENGTH)?;
        x.noise(7, LENGTH)
    });
    let url = origin.url("/large");
    assert_eq!(cluster.get(&url).body.len() as u64, LENGTH);
    large::until_a_file(&cluster, 1);
    let (said, blocks) = (explained(&cluster, &url), LENGTH.div_ceil(64 << 10));
    assert!(said.contains(&format!(", and a file of {} bytes.", LENGTH + 8 * blocks)), "{said}");
}
