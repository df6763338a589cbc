//! Ends that pause: what is quiet is not dead before its own time is over, and whose time it is depends on nobody else's.

use crate::support::*;
use std::io::Read;
use std::thread::sleep;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(1600);
const BODY: usize = 8 << 20;
const SOON: Duration = Duration::from_secs(8);

/// With each limit shorter than the pause, but those named here.
fn setup(long: &[&str]) -> Setup {
    let keys = ["origin_silence", "client_silence", "first_byte", "header", "idle"];
    let time = |key: &&str| if long.contains(key) { "5s" } else { "500ms" };
    keys.iter().fold(Setup::default().nodes(1), |setup, key| setup.set("timeouts", key, time(key)))
}

/// A connection that lives on, and one that ends with the answer.
const EDGES: [&str; 2] = ["", "Connection: close\r\n"];

fn noisy(origin: &Origin, path: &str, fields: &'static str) {
    origin.on(path, move |x| {
        x.begin_sized(fields, BODY as u64)?;
        x.noise(7, BODY as u64)
    });
}

/// Reads the head and a little of the body, pauses, and reads the rest; how much came.
fn paused(cluster: &Cluster, url: &str, fields: &str, pause: Duration) -> usize {
    let mut client = cluster.connect();
    socket2::SockRef::from(client.stream()).set_recv_buffer_size(64 * 1024).unwrap();
    client.request("GET", url, fields, b"").unwrap();
    client.final_head().unwrap();
    let begun = client.read_exact(1000).unwrap().len();
    sleep(pause);
    let (mut rest, mut buffer) = (0, vec![0; 64 * 1024]);
    while rest + begun < BODY {
        match client.read(&mut buffer) {
            Ok(n) if n > 0 => rest += n,
            _ => break,
        }
    }
    begun + rest
}

#[test]
fn a_client_may_pause_in_the_middle_of_whatever_it_reads() {
    let (origin, cluster) = (Origin::start(), setup(&["client_silence"]).start());
    noisy(&origin, "/miss*", "Cache-Control: max-age=60\r\n");
    noisy(&origin, "/hit", "Cache-Control: max-age=60\r\n");
    noisy(&origin, "/none", "Cache-Control: no-store\r\n");
    assert_eq!(cluster.get(&origin.url("/hit")).body.len(), BODY);
    let rows: Vec<(String, &str)> = EDGES
        .iter()
        .enumerate()
        .flat_map(|(i, edge)| [format!("/miss{i}"), "/hit".into(), "/none".into()].map(|path| (path, *edge)))
        .collect();
    let (origin, cluster) = (&origin, &cluster);
    std::thread::scope(|all| {
        for (path, edge) in &rows {
            all.spawn(move || {
                assert_eq!(paused(cluster, &origin.url(path), edge, PAUSE), BODY, "{path} {edge:?}");
            });
        }
    });
}

#[test]
fn a_client_that_has_taken_all_for_longer_than_its_time_may_pause_as_long_as_any() {
    let (cluster, origin) =
        (setup(&["origin_silence"]).set("timeouts", "client_silence", "2s").start(), Origin::start());
    let little = 100;
    origin.on("/stream", move |x| {
        x.begin_sized("Cache-Control: no-store\r\n", (little + BODY) as u64)?;
        x.drip(&vec![b'x'; little], 20, Duration::from_millis(3000))?;
        x.noise(7, BODY as u64)
    });
    let mut client = cluster.connect();
    socket2::SockRef::from(client.stream()).set_recv_buffer_size(64 * 1024).unwrap();
    client.request("GET", &origin.url("/stream"), "", b"").unwrap();
    client.final_head().unwrap();
    client.read_exact(little).unwrap();
    sleep(Duration::from_millis(1000));
    assert_eq!(client.read_exact(BODY).map(|body| body.len()).ok(), Some(BODY));
}

#[test]
fn a_client_that_pauses_for_longer_than_its_time_is_cut_off() {
    let (origin, cluster) = (Origin::start(), setup(&["origin_silence", "first_byte"]).start());
    noisy(&origin, "/none", "Cache-Control: no-store\r\n");
    for edge in EDGES {
        assert!(paused(&cluster, &origin.url("/none"), edge, PAUSE + SOON / 4) < BODY, "{edge:?}");
    }
}

#[test]
fn a_stream_of_events_may_be_quiet_and_neither_the_client_nor_the_link_is_blamed_for_it() {
    let (origin, cluster) = (Origin::start(), setup(&["origin_silence"]).start());
    for (path, fields) in
        [("/none", "Cache-Control: no-store\r\n"), ("/kept", "Cache-Control: max-age=60\r\n"), ("/plain", "")]
    {
        origin.on(path, move |x| {
            x.begin_chunked(&format!("Content-Type: text/event-stream\r\n{fields}"))?;
            for n in 0..2 {
                x.chunk(format!("data: {n}\n\n"))?;
                sleep(PAUSE);
            }
            x.end_chunked("")
        });
    }
    let (origin, cluster) = (&origin, &cluster);
    std::thread::scope(|all| {
        for path in ["/none", "/kept", "/plain"] {
            for edge in EDGES {
                all.spawn(move || {
                    let answer = cluster.ask("GET", &origin.url(path), edge, b"");
                    assert_eq!(answer.text(), "data: 0\n\ndata: 1\n\n", "{path} {edge:?}");
                });
            }
        }
    });
    // The second time the node knows that it cannot be stored.
    assert_eq!(cluster.get(&origin.url("/none")).text(), "data: 0\n\ndata: 1\n\n");
}

#[test]
fn a_stream_that_is_quiet_for_longer_than_its_time_is_broken_off() {
    let (origin, cluster) = (Origin::start(), setup(&["client_silence", "first_byte"]).start());
    origin.on("/quiet", |x| {
        x.begin_chunked("Cache-Control: no-store\r\n")?;
        x.chunk("data: 0\n\n")?;
        x.until_closed()
    });
    for edge in EDGES {
        let mut client = cluster.connect();
        client.request("GET", &origin.url("/quiet"), edge, b"").unwrap();
        assert!(client.response("GET").is_err(), "{edge:?}");
    }
}

#[test]
fn a_client_may_pause_in_the_middle_of_an_upload() {
    let (origin, cluster) = (Origin::start(), setup(&["client_silence"]).start());
    origin.on("/up", |x| x.digest());
    let (origin, cluster) = (&origin, &cluster);
    std::thread::scope(|all| {
        for edge in EDGES {
            for chunked in [false, true] {
                all.spawn(move || {
                    let (framing, first, last) = match chunked {
                        true => ("Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n", "4\r\nlast\r\n0\r\n\r\n"),
                        false => ("Content-Length: 9\r\n", "first", "last"),
                    };
                    let mut client = cluster.connect();
                    client.request("POST", &origin.url("/up"), &format!("{edge}{framing}"), b"").unwrap();
                    client.send(first).unwrap();
                    sleep(PAUSE);
                    client.send(last).unwrap();
                    let answer = client.response("POST").unwrap_or_else(|e| panic!("{edge:?} {chunked}: {e}"));
                    assert!(
                        answer.status == 200 && answer.text().starts_with("9 "),
                        "{} {}",
                        answer.status,
                        answer.text()
                    );
                });
            }
        }
    });
}

#[test]
fn an_origin_may_pause_in_the_middle_of_an_upload() {
    let (origin, cluster) = (Origin::start(), setup(&["origin_silence"]).start());
    origin.on("/slow", |x| {
        sleep(PAUSE);
        // No digest: it takes longer than first_byte on a busy machine.
        let mut length = 0;
        x.body(|piece| length += piece.len())?;
        x.reply(200, "", format!("{length} bytes"))
    });
    let body = noise::Noise::bytes(7, BODY as u64);
    for edge in EDGES {
        let answer = cluster.ask("POST", &origin.url("/slow"), edge, &body);
        assert!(
            answer.status == 200 && answer.text().starts_with(&format!("{BODY} ")),
            "{} {}",
            answer.status,
            answer.text()
        );
    }
}

#[test]
fn a_client_that_pauses_its_upload_for_longer_than_its_time_is_cut_off() {
    let (origin, cluster) = (Origin::start(), setup(&["origin_silence", "first_byte"]).start());
    origin.on("/up", |x| x.digest());
    let mut client = cluster.connect();
    client.request("POST", &origin.url("/up"), "Content-Length: 9\r\n", b"").unwrap();
    client.send("first").unwrap();
    client.patience(SOON);
    let mut rest = Vec::new();
    let ended = match client.read_to_end() {
        Ok(bytes) => {
            rest = bytes;
            true
        }
        Err(e) => !matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    };
    assert!(ended && !rest.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn an_older_key_is_read_for_both_and_one_line_says_what_to_write() {
    let setup = Setup::default().nodes(1).set("timeouts", "body_stall", "500ms");
    let (origin, cluster) = (Origin::start(), setup.start());
    let said = cluster.said();
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains("body_stall")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("origin_silence"), "{said}");
    origin.on("/quiet", |x| {
        x.begin_chunked("Cache-Control: no-store\r\n")?;
        x.chunk("data: 0\n\n")?;
        x.until_closed()
    });
    let mut client = cluster.connect();
    client.request("GET", &origin.url("/quiet"), "", b"").unwrap();
    assert!(client.response("GET").is_err());
    let mut line = String::new();
    let folder = cluster.folder().join("cluster.toml");
    std::fs::File::open(folder).unwrap().read_to_string(&mut line).unwrap();
    let (code, said) = cluster::run(cluster.folder(), &["check", "--config", "cluster.toml"]);
    assert!(code == Some(0) && said.contains("warning: ") && said.contains("client_silence"), "{said}");
}

#[test]
fn an_interim_response_says_that_the_origin_is_at_work() {
    let (origin, cluster) = (Origin::start(), setup(&[]).start());
    for (path, interim) in [("/102", 102), ("/103", 103), ("/199", 199)] {
        origin.on(path, move |x| {
            x.whole_body()?;
            for _ in 0..24 {
                sleep(PAUSE / 24);
                x.raw(format!("HTTP/1.1 {interim} X\r\n\r\n"))?;
            }
            x.reply(200, "Cache-Control: no-store\r\n", "at last")
        });
    }
    let (origin, cluster) = (&origin, &cluster);
    std::thread::scope(|all| {
        for path in ["/102", "/103", "/199"] {
            all.spawn(move || {
                // The second time by the bytes, the last with a body.
                for (method, body) in [("GET", ""), ("GET", ""), ("POST", "x")] {
                    let answer = cluster.ask(method, &origin.url(path), "", body.as_bytes());
                    assert_eq!((answer.status, answer.text().as_str()), (200, "at last"), "{method} {path}");
                }
            });
        }
    });
}
