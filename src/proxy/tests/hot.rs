//! The hot copy between clients and a node.

use super::*;

/// A hit of a body so large that its hot copy is sent without a copy.
fn large(tag: &str, date: &str, body: &str) -> Act {
    let cache = "Cache-Status: n0; hit; ttl=60\r\nCache-Control: max-age=60\r\n";
    answer(&format!("{cache}Date: {date}\r\nETag: {tag}\r\n"), body)
}

/// The node's word that it holds the same.
fn same(date: &str) -> Act {
    let cache = "Cache-Status: n0; hit; ttl=70\r\nCache-Control: max-age=77\r\nAge: 7\r\n";
    Act::Write(format!("HTTP/1.1 304 Not Modified\r\n{cache}Date: {date}\r\n\r\n").into_bytes())
}

fn date(seconds_ago: u64) -> String {
    let at = crate::wire::date::Timestamp(crate::clock::now().0 - seconds_ago * 1000);
    String::from_utf8(crate::wire::date::format(at).to_vec()).unwrap()
}

/// One answer, by its `Content-Length`.
async fn answered(stage: &Stage) -> String {
    let mut client = TcpStream::connect(stage.address).await.unwrap();
    client.write_all(GET.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        assert!(client.read_buf(&mut bytes).await.unwrap() > 0, "it is whole");
        let text = std::str::from_utf8(&bytes).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_ascii_lowercase()
            .split_once("content-length: ")
            .map(|(_, rest)| rest.to_owned())
            .unwrap_or_else(|| panic!("{head}"));
        if body.len() == length.lines().next().unwrap().parse::<usize>().unwrap() {
            return text.to_owned();
        }
    }
}

/// Asks once after the other until the answer is the next that is expected; all that come before it are as `before`, so that
/// nobody waits for the node.
async fn until_next(stage: &Stage, before: &str, is_next: impl Fn(&str) -> bool) -> String {
    loop {
        let answer = answered(stage).await;
        if is_next(&answer) {
            return answer;
        }
        assert!(answer.contains("; hit; ttl=") && answer.ends_with(before), "{}", &answer[..300]);
    }
}

#[test]
fn a_node_is_asked_only_whether_a_large_hot_copy_is_still_the_same() {
    run(async {
        let (first, second, third) = ("one ".repeat(10_000), "two ".repeat(10_000), "three ".repeat(10_000));
        let miss = b"HTTP/1.1 504 Gateway Timeout\r\nCache-Status: n0; fwd=request\r\nContent-Length: 0\r\n\r\n";
        let (at, later) = (date(1), date(0));
        let acts = [
            large("\"1\"", &at, &first),
            large("\"1\"", &at, &first),
            same(&at),
            large("\"2\"", &at, &second),
            Act::Write(miss.to_vec()),
            large("\"3\"", &at, &third),
            same(&later),
            large("\"3\"", &later, &first),
        ];
        let script = acts.into_iter().flat_map(|act| [Act::Head, act]).collect();
        let hot = Hot::new(&config(), http::HeaderValue::from_static("1.1 test"));
        let stage = Stage::with_hot(config(), hot, vec![vec![script]]);
        answered(&stage).await;
        answered(&stage).await;
        let renewed = until_next(&stage, &first, |answer| answer.contains("cache-control: max-age=77\r\n")).await;
        assert!(renewed.starts_with("HTTP/1.1 200 OK\r\n"));
        let number = |after: &str| -> u64 {
            let (_, rest) = renewed.split_once(after).unwrap_or_else(|| panic!("no {after} in {}", &renewed[..300]));
            rest.lines().next().unwrap().parse().unwrap()
        };
        // What the node said in whole seconds may have been nearly one more when it said so, and a moment has passed.
        assert!((7..=9).contains(&number("\r\nage: ")) && (67..=70).contains(&number("; ttl=")), "{}", &renewed[..300]);
        assert!(renewed.ends_with(&format!("\r\n\r\n{first}")));
        // What the node holds now.
        until_next(&stage, &first, |answer| answer.ends_with(&second)).await;
        // What it does not hold is asked for in the ordinary way.
        until_next(&stage, &second, |answer| answer.ends_with(&third)).await;
        // What it has fetched anew is another, whatever its tag says.
        until_next(&stage, &third, |answer| answer.ends_with(&first)).await;
        let heard = stage.nodes[0].heard(0);
        let asked: Vec<_> =
            heard.split("\r\n\r\n").map(|head| head.split_once("if-none-match: ").map(|(_, tag)| &tag[..3])).collect();
        assert_eq!(asked[..6], [None, None, Some("\"1\""), Some("\"1\""), Some("\"2\""), None], "{heard}");
        assert_eq!(heard.matches("cache-control: only-if-cached").count(), 4);
    });
}

#[test]
fn nobody_waits_while_a_node_is_asked_whether_a_hot_copy_still_holds() {
    run(async {
        let body = "one ".repeat(10_000);
        let hit = || [Act::Head, large("\"1\"", &date(0), &body)];
        let script = [hit(), hit(), [Act::Head, Act::Silence]].into_iter().flatten().collect();
        let hot = Hot::new(&config(), http::HeaderValue::from_static("1.1 test"));
        let stage = Stage::with_hot(config(), hot, vec![vec![script]]);
        let heard = || stage.nodes[0].heard(0).matches("GET ").count();
        loop {
            let answer = tokio::time::timeout(Duration::from_secs(5), answered(&stage)).await;
            assert!(answer.expect("no request waits").ends_with(&body));
            if heard() == 3 {
                break;
            }
        }
        assert!(answered(&stage).await.ends_with(&body), "the others are served meanwhile");
    });
}
