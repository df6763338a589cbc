use super::*;
use OutlierChange::*;
use proptest::prelude::*;

const FLOOR: u32 = 100;

fn seen(hits: usize, median: u32) -> WindowView {
    WindowView { hits, median }
}

fn slow() -> Evidence {
    Evidence { seen: seen(ENOUGH, 300), usual: Some(2), floor: FLOOR, room: true }
}

fn quick() -> Evidence {
    Evidence { seen: seen(ENOUGH, 2), ..slow() }
}

fn unseen() -> Evidence {
    Evidence { seen: seen(0, 0), ..slow() }
}

#[test]
fn slow_is_what_takes_long_and_several_times_longer_than_usual() {
    let table: &[(WindowView, Option<u32>, bool, &str)] = &[
        (seen(5, 300), Some(2), true, "the merely slow node"),
        (seen(5, 100), Some(33), true, "just at the floor and at three times"),
        (seen(5, 99), Some(0), false, "below the floor"),
        (seen(5, 100), Some(34), false, "less than three times the usual"),
        (seen(5, 2000), Some(1000), false, "this machine is slow: so are all"),
        (seen(4, 300), Some(2), false, "too few hits"),
        (seen(0, 0), Some(2), false, "no hits: it may wait for an origin"),
        (seen(500, 300), None, false, "nobody to compare it with"),
        (seen(5, u32::MAX), Some(u32::MAX), false, "no overflow"),
    ];
    for (seen, usual, expected, why) in table {
        let evidence = Evidence { seen: *seen, usual: *usual, floor: FLOOR, room: true };
        assert_eq!(evidence.is_slow(), *expected, "{why}");
    }
}

#[test]
fn a_slow_node_is_passed_over_tried_and_put_back() {
    let table: &[(&str, &[(u64, Evidence, OutlierChange, Option<u32>)])] = &[
        (
            "slow and back",
            &[
                (0, quick(), Nothing, None),
                (250, slow(), PassOver { pause: 1000 }, Some(0)),
                (500, slow(), Nothing, Some(0)),
                (1250, unseen(), Try, Some(TRICKLE)),
                (1500, Evidence { seen: seen(4, 2), ..quick() }, Nothing, Some(TRICKLE)),
                (1750, quick(), PutBack, None),
            ],
        ),
        ("no room for one more", &[(0, Evidence { room: false, ..slow() }, Nothing, None)]),
        (
            "no hits in its trial",
            &[
                (0, slow(), PassOver { pause: 1000 }, Some(0)),
                (1000, unseen(), Try, Some(TRICKLE)),
                (5999, unseen(), Nothing, Some(TRICKLE)),
                (6000, unseen(), PutBack, None),
            ],
        ),
        (
            "a relapse in its trial takes no more room than it has already",
            &[
                (0, slow(), PassOver { pause: 1000 }, Some(0)),
                (1000, unseen(), Try, Some(TRICKLE)),
                (1500, Evidence { room: false, ..slow() }, PassOver { pause: 2000 }, Some(0)),
                (3500, unseen(), Try, Some(TRICKLE)),
                (4000, slow(), PassOver { pause: 4000 }, Some(0)),
            ],
        ),
        (
            "a relapse soon after",
            &[
                (0, slow(), PassOver { pause: 1000 }, Some(0)),
                (1000, unseen(), Try, Some(TRICKLE)),
                (1500, quick(), PutBack, None),
                (11_000, quick(), Nothing, None),
                (11_400, slow(), PassOver { pause: 2000 }, Some(0)),
            ],
        ),
        (
            "long after, it is forgiven",
            &[
                (0, slow(), PassOver { pause: 1000 }, Some(0)),
                (1000, unseen(), Try, Some(TRICKLE)),
                (1500, quick(), PutBack, None),
                (11_500, quick(), Nothing, None),
                (11_750, slow(), PassOver { pause: 1000 }, Some(0)),
            ],
        ),
    ];
    for (name, steps) in table {
        let mut pace = Pace::default();
        for (now, evidence, change, allowance) in *steps {
            assert_eq!(pace.judge(*now, evidence), *change, "{name}, at {now}");
            assert_eq!(pace.allowance(), *allowance, "{name}, at {now}");
            assert_eq!(pace.is_suspect(), allowance.is_some(), "{name}, at {now}");
        }
    }
}

#[test]
fn pauses_grow_to_a_minute_at_most() {
    let (mut pace, mut now) = (Pace::default(), 0);
    let mut pauses = Vec::new();
    while pauses.len() < 8 {
        match pace.judge(now, &slow()) {
            PassOver { pause } => {
                pauses.push(pause);
                now += pause;
            }
            _ => now += 250,
        }
    }
    assert_eq!(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
}

#[test]
fn the_others_are_compared_by_the_lower_median_of_those_with_enough_hits() {
    let table: &[(&[WindowView], usize, Option<u32>)] = &[
        (&[seen(9, 300)], 0, None),
        (&[seen(9, 300), seen(4, 1)], 0, None),
        (&[seen(9, 300), seen(9, 1)], 0, Some(1)),
        (&[seen(9, 300), seen(9, 1)], 1, Some(300)),
        (&[seen(9, 300), seen(9, 310), seen(9, 1)], 0, Some(1)),
        (&[seen(9, 300), seen(9, 310), seen(9, 1)], 1, Some(1)),
        (&[seen(9, 1), seen(9, 2), seen(9, 3), seen(9, 4)], 0, Some(3)),
        (&[seen(9, 1), seen(9, 2), seen(9, 3), seen(9, 4)], 3, Some(2)),
        (&[seen(1, 7), seen(9, 2), seen(9, 3), seen(9, 4)], 0, Some(3)),
        (&[seen(9, 5), seen(9, 5)], 1, Some(5)),
    ];
    for (all, own, expected) in table {
        assert_eq!(Usual::of(all.iter().copied()).besides(all[*own]), *expected, "{all:?} besides {own}");
    }
    assert_eq!(Usual::default().besides(seen(9, 9)), None);
}

#[test]
fn a_window_forgets_what_is_old() {
    let mut window = Window::default();
    assert_eq!(window.seen(0), seen(0, 0));
    (0..10).for_each(|n| window.note(n, 1));
    (0..4).for_each(|n| window.note(1500 + n, 300));
    assert_eq!(window.seen(1504), seen(14, 1));
    assert_eq!(window.seen(2100), seen(4, 300));
    assert_eq!(window.seen(9000), seen(0, 0));
    window.clear();
    assert_eq!(window.seen(1504), seen(0, 0));
}

/// Hits as 8 clients see them that pause for 15 ms each, for 2 s: the node goes for `goes` of each `cycle` milliseconds, and
/// answers within a millisecond then. As many are taken down as a front with two workers takes.
fn stop_and_go(goes: u64, cycle: u64) -> Window {
    let (mut window, mut taken) = (Window::default(), [0; 20]);
    let mut answered = Vec::new();
    for client in 0..8 {
        let mut now = client;
        while now < WINDOW {
            let asked = now;
            now = if now % cycle < goes { now + 1 } else { now - now % cycle + cycle };
            taken[asked as usize / 100] += 1;
            if taken[asked as usize / 100] <= 8 {
                answered.push((now, (now - asked) as u32));
            }
            now += 15;
        }
    }
    answered.sort_unstable();
    answered.iter().for_each(|(at, took)| window.note(*at, *took));
    window
}

#[test]
fn a_node_that_stops_and_goes_is_as_slow_as_it_is_for_most_of_the_time() {
    for (goes, cycle, slow) in
        [(60, 300, true), (100, 500, true), (100, 300, true), (240, 300, false), (1900, 2000, false)]
    {
        let seen = stop_and_go(goes, cycle).seen(WINDOW);
        assert_eq!(seen.median >= FLOOR, slow, "for {goes} ms of {cycle}: {seen:?}");
    }
}

#[test]
fn a_few_hits_that_take_long_are_no_slow_node() {
    let mut window = Window::default();
    (1..=4).for_each(|n| window.note(n * 400, 390));
    (0..6).for_each(|n| window.note(1700 + n, 1));
    assert_eq!(window.seen(WINDOW), seen(10, 1));
    window.note(1750, 390);
    assert_eq!(window.seen(WINDOW), seen(11, 390), "those who asked waited for most of the time");
}

proptest! {
    #[test]
    fn a_window_shows_the_median_of_the_last_hits(took in prop::collection::vec(0..100u32, 1..400)) {
        let mut window = Window::default();
        took.iter().for_each(|took| window.note(7, *took));
        let mut last = took[took.len().saturating_sub(KEPT)..].to_vec();
        last.sort_unstable();
        prop_assert_eq!(window.seen(7), seen(last.len(), last[(last.len() - 1) / 2]));
        prop_assert!(window.hits.capacity() <= 2 * KEPT);
    }

    #[test]
    fn usual_is_what_a_sort_of_the_others_says(medians in prop::collection::vec(0..50u32, 1..12), pick in any::<prop::sample::Index>()) {
        let own = pick.index(medians.len());
        let mut others = medians.clone();
        others.remove(own);
        others.sort_unstable();
        let expected = others.get(others.len().saturating_sub(1) / 2).copied();
        let usual = Usual::of(medians.iter().map(|median| seen(9, *median)));
        prop_assert_eq!(usual.besides(seen(9, medians[own])), expected);
    }
}
