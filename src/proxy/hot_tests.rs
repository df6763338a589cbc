use super::*;
use http::header::HeaderName;

fn hot(memory: u64) -> Arc<Hot> {
    let mut config = crate::proxy::fake::config();
    config.hot.memory = memory;
    Hot::new(&config, HeaderValue::from_static("1.1 x")).unwrap()
}

/// Of a response that may be kept for a minute from the beginning of time.
fn candidate(hot: &Hot, key: &Key) -> CopyCandidate {
    let (request, ()) = http::Request::new(()).into_parts();
    let fields = [("cache-control", "max-age=60"), ("date", "Thu, 01 Jan 1970 00:00:00 GMT")];
    let fields = fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let (mut response, ()) = http::Response::new(()).into_parts();
    response.headers = HeaderMap::from_iter(fields);
    let since = Generation { asked: Timestamp(0), ..hot.since() };
    CopyCandidate { since, key: key.clone(), request, response, node: "n1".into(), local: false, ttl: 60 }
}

#[test]
fn when_a_copys_time_is_over_one_asks_and_the_others_are_served_until_it_ends() {
    let (hot, key) = (hot(1 << 20), Key::parse("http://h/").unwrap());
    hot.keep(candidate(&hot, &key), vec![Bytes::from_static(b"x")], Timestamp(0));
    let copy = hot.copies.get(key.hash()).expect("it is kept");
    let made = copy.ends - ENDS;
    for (after, stands) in [(0, true), (999, true), (1000, false), (1000, true), (1999, true), (2000, false)] {
        assert_eq!(copy.stands(Tick(made + after)), stands, "{after} ms after it was made");
    }
    assert!(!copy.stands(Tick(made + 2000)), "nobody is served any more");
}

#[test]
fn who_comes_when_a_copy_is_due_does_not_wait_unless_it_is_a_second_old_by_then() {
    let (hot, key) = (hot(1 << 20), Key::parse("http://h/").unwrap());
    for (first_comes_after, waits) in [(950, false), (999, false), (1000, true), (1500, true)] {
        hot.keep(candidate(&hot, &key), vec![Bytes::from_static(b"x")], Timestamp(0));
        let copy = hot.copies.get(key.hash()).expect("it is kept");
        let made = copy.ends - ENDS;
        let at = |after: u64| Tick(made + after);
        let due = due_after(key.hash(), made);
        assert!(!copy.is_due(at(due - 1)) && copy.is_due(at(due)));
        let standing = |after: u64| hot.standing(key.hash(), b"http://h/", at(after)).is_some();
        assert_eq!(standing(first_comes_after), !waits, "after {first_comes_after} ms");
        assert!(copy.takes_turn(at(first_comes_after)) && !copy.takes_turn(at(first_comes_after)), "one asks");
        assert!(standing(first_comes_after) && standing(1999) && !standing(2000), "the others are served");
    }
}

#[test]
fn a_front_that_stood_still_serves_nothing_copied_before_and_one_that_was_away_rests() {
    for (stood_still, kept, copies_after) in
        [(400, true, 0), (500, false, 0), (1000, false, RESTS), (60_000, false, RESTS)]
    {
        let (hot, key) = (hot(1 << 20), Key::parse("http://h/").unwrap());
        hot.keep(candidate(&hot, &key), vec![Bytes::from_static(b"x")], Timestamp(0));
        let at = Tick(hot.copies.get(key.hash()).unwrap().ends - ENDS);
        let before = |ago| hot.turn.store(at.0 - ago, Release);
        before(stood_still);
        // Whoever comes first: a request, or a worker's turn.
        let stands = || hot.standing(key.hash(), b"http://h/", at).is_some();
        hot.look_back(Tick(at.0 + 1));
        assert_eq!(stands(), kept, "a copy of before, when {stood_still} ms were without a turn");
        let copies = |after: u64| {
            let mut candidate = candidate(&hot, &key);
            candidate.since.at = Tick(at.0 + 1 + after);
            hot.copy(candidate, || HotBody::In(vec![Bytes::from_static(b"x")]), Timestamp(0)).is_some()
        };
        assert!(copies(copies_after), "copies are made again after {copies_after} ms");
        assert!(copies_after == 0 || !copies(copies_after - 1), "and not before");
    }
}

#[test]
fn copies_that_were_made_together_are_not_all_asked_for_again_together() {
    let made = 12_345;
    let mut due = [0; STANDS as usize + 1];
    for number in 0..10_000 {
        let hash = Key::parse(&format!("http://h/{number}")).unwrap().hash();
        due[due_after(hash, made) as usize] += 1;
    }
    let (first, last) = ((STANDS - AHEAD - SPREAD) as usize, (STANDS - AHEAD) as usize);
    assert_eq!(
        due[first..=last].iter().sum::<u32>(),
        10_000,
        "none much too early, and none so late that somebody waits"
    );
    let most = due.iter().max().unwrap();
    assert!(*most < 4 * 10_000 / SPREAD as u32, "{most} in the same millisecond");
    let mut times: Vec<_> = (0..100).map(|round| due_after(1, made + round * STANDS)).collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 50, "the same URL stands for {} times in 100 rounds", times.len());
}

#[test]
fn a_copys_time_counts_from_its_request_and_is_over_before_a_slow_reader_ends() {
    let (hot, key) = (hot(1 << 20), Key::parse("http://h/").unwrap());
    for (ago, kept) in [(0, true), (ENDS - 500, true), (ENDS, false), (10 * ENDS, false)] {
        let mut candidate = candidate(&hot, &key);
        candidate.since.at = Tick(tick().0.saturating_sub(ago));
        let ends = candidate.since.at.0 + ENDS;
        hot.keep(candidate, vec![Bytes::from_static(b"x")], Timestamp(0));
        let copy = hot.copies.get(key.hash());
        assert_eq!(copy.is_some(), kept, "asked for {ago} ms ago");
        assert!(copy.is_none_or(|copy| copy.ends == ends));
        hot.forget(&key);
    }
}

/// As a request does on its way: a look at once, one before the node is asked, and a copy of the node's hit. Whether there
/// was one.
fn asked(hot: &Hot, url: &str) -> bool {
    hot.turn(tick());
    let key = Key::parse(url).unwrap();
    if hot.standing(key.hash(), url.as_bytes(), tick()).is_some() {
        return true;
    }
    let there = hot.copies.holds(key.hash());
    let body = Bytes::from_static(&[0; 1000]);
    if !matches!(hot.find(key.hash(), url.as_bytes()), Found::Copy) && hot.wants(&key, Some(body.len() as u64)) {
        hot.keep(candidate(hot, &key), vec![body], Timestamp(0));
    }
    there
}

/// The share of requests for 200 hot URLs that find a copy, while every other request is for one of `scanned`, and asks
/// for it so many times.
fn hits_during_a_scan(scanned: usize, times: usize) -> f64 {
    let hot = hot(512 << 10);
    // A copy is made at the second hit in a row; then it is asked for.
    let urls: Vec<String> = (0..200).map(|n| format!("http://h/hot/{n}")).collect();
    urls.iter().for_each(|url| (0..8).for_each(|_| _ = asked(&hot, url)));
    let mut hits = 0;
    for n in 0..scanned {
        let scan = format!("http://h/scan/{n}");
        (0..times).for_each(|_| _ = asked(&hot, &scan));
        hits += usize::from(asked(&hot, &urls[n % 200]));
    }
    hits as f64 / scanned as f64
}

#[test]
fn a_scan_of_a_million_urls_does_not_push_the_hot_ones_out() {
    let scanned = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };
    let hits = hits_during_a_scan(scanned, 1);
    assert!(hits > 0.99, "{:.2} % of the hot requests found a copy", 100.0 * hits);
}

#[test]
fn nor_does_a_scan_that_asks_often_enough_to_be_copied() {
    let hits = hits_during_a_scan(20_000, 2);
    assert!(hits > 0.95, "{:.2} % of the hot requests found a copy", 100.0 * hits);
}

#[test]
fn what_was_not_let_in_is_copied_again_at_one_of_several_hits() {
    let (hot, body) = (hot(1 << 20), Bytes::from(vec![b'x'; 15 * 1024]));
    let key = |n| Key::parse(&format!("http://h/{n}")).unwrap();
    let copied = |key: &Key, hits: usize| (0..hits).filter(|_| hot.wants(key, Some(body.len() as u64))).count();
    // Others are asked for often, and have all the room.
    for n in 0..100 {
        (0..5).for_each(|_| _ = hot.find(key(n).hash(), key(n).as_str().as_bytes()));
        hot.keep(candidate(&hot, &key(n)), vec![body.clone()], Timestamp(0));
    }
    let rare = key(1000);
    assert_eq!(copied(&rare, 5), 4, "from the second hit on");
    hot.find(rare.hash(), rare.as_str().as_bytes());
    hot.keep(candidate(&hot, &rare), vec![body.clone()], Timestamp(0));
    assert!(hot.copies.get(rare.hash()).is_none(), "it is not let in");
    assert_eq!(copied(&rare, 10 * TRIED as usize), 10);
    // Nothing is in its way any more.
    (0..100).for_each(|n| hot.forget(&key(n)));
    hot.keep(candidate(&hot, &rare), vec![body.clone()], Timestamp(0));
    assert_eq!(copied(&rare, 10), 10);
}
