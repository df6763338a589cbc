//! Values that cannot work together are found before they do harm.

use super::check;
use crate::support::cluster::run;
use crate::support::*;

/// What `check` must name; an error ends with 2, a warning with 0.
#[test]
fn check_finds_values_that_cannot_work_and_names_the_cure() {
    let rows: &[(&str, Option<i32>, &[&str])] = &[
        ("[cache]\nmemory = '0'", Some(0), &["warning", "memory", "nothing is stored"]),
        ("[cache]\nmemory = '1KiB'", Some(0), &["warning", "memory", "nothing is stored"]),
        ("[cache]\nin_flight = 0", Some(0), &["warning", "in_flight", "nothing is stored"]),
        ("[cache]\nmax_object = 0", Some(0), &["warning", "max_object", "nothing is stored"]),
        ("[cache]\nmemory = '8MiB'\nmax_object = '9MiB'", Some(0), &["warning", "max_object", "raise memory"]),
        ("[cache]\nin_flight = '8MiB'\nmax_object = '9MiB'", Some(0), &["warning", "max_object", "raise in_flight"]),
        ("[cache]\nmemory = '100TiB'", Some(0), &["warning", "this machine has"]),
        ("[access]\nopen = ['0.0.0.0/0']", Some(0), &["warning", "open", "169.254.169.254", "10.1.0.0/16"]),
        ("[access]\nopen = ['::/0']", Some(0), &["warning", "open", "loopback"]),
        ("[access]\nopen = ['0.0.0.0/1', '128.0.0.0/1']", Some(0), &["warning", "open"]),
        (
            "[access]\nclients = []\n[proxy]\nlisten = ['0.0.0.0:3128']",
            Some(0),
            &["warning", "clients", "this machine"],
        ),
        ("[access]\nclients = ['0.0.0.0/0']\n[proxy]\nlisten = ['0.0.0.0:3128']", Some(0), &["warning", "everybody"]),
        ("[proxy]\nworkers = 1000", Some(0), &["warning", "workers", "cores"]),
        ("[limits]\nfields = 3", Some(0), &["warning", "fields"]),
        ("[timeouts]\nfirst_byte = '200ms'\nprobe = '5s'", Some(0), &["warning", "probe", "first_byte"]),
        (
            "[proxy]\nlisten = ['0.0.0.0:3128', '127.0.0.1:3128']",
            Some(2),
            &["cluster.toml:2", "0.0.0.0:3128", "remove one"],
        ),
        ("[proxy]\nlisten = ['[::]:3129']", Some(2), &["127.0.0.1:3129", "another port"]),
        ("[proxy]\nlisten = ['0.0.0.0:3129']", Some(2), &["127.0.0.1:3129", "another port"]),
        ("[[nodes]]\nid = 'a'\naddress = '127.0.0.1:3128'", Some(2), &["cluster.toml:3", "the proxy itself"]),
        ("[[nodes]]\nid = 'a'\naddress = 'localhost:3129'", Some(2), &["cluster.toml:3", "the admin API"]),
        (
            "[[nodes]]\nid = 'a'\naddress = 'h:1'\n[[nodes]]\nid = 'b'\naddress = 'h:1'\n[cluster]\nsecret = '0123456789abcdef'",
            Some(2),
            &["cluster.toml:6", "`a`", "one of its own"],
        ),
        ("[zookeeper]\nconnect = 'zk1:2181'", Some(2), &["127.0.0.1", "--advertise"]),
        ("[zookeeper]\nconnect = 'zk1:2181'\nadvertise = 'localhost'", Some(0), &["warning", "localhost", "advertise"]),
        ("[zookeeper]\nconnect = 'zk1:2181'\nadvertise = '10.0.0.7'", Some(2), &["[cluster] secret"]),
    ];
    let mut wrong = Vec::new();
    for (text, code, words) in rows {
        let (ended, said) = check(text);
        if ended != *code || !words.iter().all(|word| said.contains(word)) {
            wrong.push(format!("{text}\n  ended with {ended:?} and said: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_fine_has_no_warning() {
    for text in ["", "[cache]\nmemory = '8MiB'\nin_flight = '4MiB'", "[proxy]\nlisten = ['0.0.0.0:3128', '[::]:3128']"]
    {
        let (code, said) = check(text);
        assert!(code == Some(0) && !said.contains("warning"), "{said}");
    }
}

#[test]
fn a_start_says_the_same_warnings() {
    let cluster = Setup::default().nodes(1).set("cache", "memory", "64KiB").set("cache", "max_object", "1MiB").start();
    let said = cluster.said();
    assert_eq!(said.matches("max_object").count(), 1, "once, and not by each node: {said}");
}

#[test]
fn what_cannot_be_kept_is_not_said_to_be_stored() {
    let origin = Origin::start();
    let big = "x".repeat(100_000);
    origin.on("/big", move |x| x.reply(200, "Cache-Control: max-age=60\r\n", big.as_str()));
    origin.on("/empty", |x| x.reply(200, "Cache-Control: max-age=60\r\n", ""));
    let rows: [(&str, &[(&str, &str)]); 4] = [
        ("/big", &[("memory", "64KiB")]),
        ("/big", &[("memory", "100000"), ("max_object", "1MiB")]),
        ("/big", &[("in_flight", "64KiB"), ("max_object", "1MiB")]),
        ("/empty", &[("memory", "0")]),
    ];
    for (path, keys) in rows {
        let set = |setup: Setup, (key, value): &(&str, &str)| setup.set("cache", key, *value);
        let cluster = keys.iter().fold(Setup::default().nodes(1), set).start();
        for _ in 0..2 {
            let answer = cluster.get(&origin.url(path));
            let status = answer.cache_status();
            assert!(answer.status == 200 && !status.contains("stored") && !answer.is_hit(), "{keys:?}: {status}");
        }
        let why = cluster.manage("GET", &format!("/v1/explain?url={}", origin.url(path)), "").json();
        assert!(why["stored"].as_array().unwrap().is_empty() && why["answer"]["does"] == "forward", "{why}");
        assert!(why["remedy"].as_str().is_some_and(|cure| cure.contains("raise cache.")), "{why}");
    }
}

#[test]
fn a_key_in_the_wrong_place_is_shown_the_right_one() {
    let rows: &[(&str, &str)] = &[
        ("listen = ['127.0.0.1:3128']", "[proxy]"),
        ("memory = '1GiB'", "[cache]"),
        ("[proxy]\ntoken = 'x'", "[admin]"),
        ("[nodes]\nid = 'a'\nspawn = true", "[[nodes]]"),
        ("[[proxy]]\nlisten = ['127.0.0.1:3128']", "[proxy]"),
        ("[proxy]\nlisten = ['3128']", "127.0.0.1:3128"),
    ];
    for (text, cure) in rows {
        let (code, said) = check(text);
        assert!(code == Some(2) && said.contains(cure) && said.lines().count() == 1, "{text}: {said}");
    }
}

#[test]
fn an_address_that_is_a_port_alone_is_shown_how_to_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let rows: &[(&[&str], &str)] = &[
        (&["serve", "--listen", "3128"], "127.0.0.1:3128"),
        (&["--listen", "localhost:3128", "serve"], "127.0.0.1:3128"),
        (&["serve", "--admin", "3129"], "127.0.0.1:3129"),
        (&["nodes", "list", "--admin", "3129"], "127.0.0.1:3129"),
        (&["get", "http://h/", "--proxy", "3128"], "127.0.0.1:3128"),
        (&["nodes", "add", "n4"], "--address"),
        (&["ring", "plan"], "--remove"),
    ];
    for (words, cure) in rows {
        let (code, said) = run(folder.path(), words);
        assert!(code.is_some_and(|code| code > 0) && said.contains(cure), "{words:?}: {said}");
    }
}
