use super::*;
use Change::*;
use proptest::prelude::*;

const FLOOR: u32 = 100;

fn seen(hits: usize, median: u32) -> Seen {
    Seen { hits, median }
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
    let table: &[(Seen, Option<u32>, bool, &str)] = &[
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
    let table: &[(&str, &[(u64, Evidence, Change, Option<u32>)])] = &[
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
    let table: &[(&[Seen], usize, Option<u32>)] = &[
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

proptest! {
    #[test]
    fn a_window_shows_the_median_of_the_last_hits(took in prop::collection::vec(0..5000u32, 1..400)) {
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
