//! What holds for every ring.

use super::plan::between;
use super::tests::members;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn hashes() -> impl Strategy<Value = Hash> {
    prop_oneof![Just(Hash::Xxh3), Just(Hash::Murmur3)]
}

/// From two to twelve members, some of ids that are easily confused, with weights up to 4.
fn crowds() -> impl Strategy<Value = Vec<Member>> {
    prop::collection::btree_map("[a-c#0-2]{1,4}|n[0-9]{1,3}|[a-z]{3,9}-n[1-3]", 1..=4u32, 2..12)
        .prop_map(|map: BTreeMap<String, u32>| map.into_iter().map(|(id, weight)| Member { id, weight }).collect())
}

fn keys() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("http://[a-z]{1,8}\\.example/[a-z0-9/?=]{0,30}", 50)
}

fn owner_id<'a>(ring: &'a Ring, key: &str) -> &'a str {
    &ring.members()[ring.owner(ring.position(key)).unwrap()].id
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn joining_moves_keys_only_to_the_joiner_and_leaving_only_the_leavers(
        hash in hashes(), points in 1..64u32, crowd in crowds(), pick in any::<prop::sample::Index>(), keys in keys(),
    ) {
        let one = pick.get(&crowd).clone();
        let with = Ring::new(hash, points, crowd.clone());
        let without = Ring::new(hash, points, crowd.into_iter().filter(|member| *member != one));
        for key in &keys {
            let (here, there) = (owner_id(&with, key), owner_id(&without, key));
            prop_assert!(here == there || here == one.id, "{key}: {here} and, without {}, {there}", one.id);
        }
        let share = with.shares()[with.index_of(&one.id).unwrap()];
        let (joining, leaving) = (between(&without, &with), between(&with, &without));
        prop_assert!(joining.moves.iter().all(|step| step.to.as_deref() == Some(&one.id)));
        prop_assert!(leaving.moves.iter().all(|step| step.from.as_deref() == Some(&one.id)));
        prop_assert!((joining.moved - share).abs() < 1e-12 && (leaving.moved - share).abs() < 1e-12);
    }

    #[test]
    fn more_weight_moves_keys_only_to_who_got_it(
        hash in hashes(), crowd in crowds(), pick in any::<prop::sample::Index>(), more in 1..4u32,
    ) {
        let before = Ring::new(hash, 32, crowd.clone());
        let mut heavier = crowd;
        let index = pick.index(heavier.len());
        heavier[index].weight += more;
        let plan = between(&before, &Ring::new(hash, 32, heavier.clone()));
        prop_assert!(plan.moves.iter().all(|step| step.to.as_deref() == Some(&heavier[index].id)));
    }

    #[test]
    fn shares_follow_weights_and_sum_to_one(hash in hashes(), crowd in crowds()) {
        let ring = Ring::new(hash, 512, crowd);
        let total: u32 = ring.members().iter().map(|member| member.weight).sum();
        let shares = ring.shares();
        prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for (member, share) in ring.members().iter().zip(shares) {
            // A share's relative deviation is at most 1/sqrt(512) = 4.4 %: 30 % is more than six times that.
            let fair = f64::from(member.weight) / f64::from(total);
            prop_assert!((share / fair - 1.0).abs() < 0.3, "{}: {share} of {fair}", member.id);
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter(
        hash in hashes(),
        (crowd, shuffled) in crowds().prop_flat_map(|crowd| (Just(crowd.clone()), Just(crowd).prop_shuffle())),
    ) {
        let (one, other) = (Ring::new(hash, 16, crowd), Ring::new(hash, 16, shuffled));
        prop_assert_eq!(one.members(), other.members());
        prop_assert_eq!(one.digest(), other.digest());
        prop_assert!(one.points.iter().eq(other.points.iter()));
    }

    #[test]
    fn points_that_meet_are_settled_alike_in_every_order(
        (crowd, shuffled) in crowds().prop_flat_map(|crowd| (Just(crowd.clone()), Just(crowd).prop_shuffle())),
    ) {
        let crude = |bytes: &[u8]| Hash::Xxh3.of(bytes) >> 61;
        let (one, other) = (Ring::placed(Hash::Xxh3, 4, crowd, crude), Ring::placed(Hash::Xxh3, 4, shuffled, crude));
        prop_assert!(one.points.iter().eq(other.points.iter()));
    }

    #[test]
    fn successors_are_everyone_once_each_the_owner_when_those_before_are_gone(
        hash in hashes(), crowd in crowds(), position in any::<u64>(),
    ) {
        let ring = Ring::new(hash, 16, crowd.clone());
        let mut left = crowd;
        for member in ring.successors(position).map(|index| &ring.members()[index]) {
            let rest = Ring::new(hash, 16, left.clone());
            prop_assert_eq!(&rest.members()[rest.owner(position).unwrap()], member);
            left.retain(|one| one != member);
        }
        prop_assert!(left.is_empty());
    }

    #[test]
    fn nobody_exceeds_its_bound_and_who_is_passed_over_has_reached_it(
        crowd in crowds(), factor in 1.0..3.0f64, positions in prop::collection::vec(prop_oneof![any::<u64>(), 0..9u64], 300),
    ) {
        let ring = Ring::new(Hash::Xxh3, 16, crowd);
        let weights: u32 = ring.members().iter().map(|member| member.weight).sum();
        let mut loads = vec![0u32; ring.members().len()];
        for (before, position) in positions.into_iter().enumerate() {
            let bound = |n: usize| factor * (before + 1) as f64 * f64::from(ring.members()[n].weight) / f64::from(weights);
            let chosen = ring.owner_bounded(position, factor, |n| loads[n]).unwrap();
            for passed in ring.successors(position).take_while(|n| *n != chosen) {
                prop_assert!(f64::from(loads[passed]) >= bound(passed) - 1e-9);
            }
            loads[chosen] += 1;
            prop_assert!(f64::from(loads[chosen]) <= bound(chosen).ceil());
        }
    }
}

#[test]
fn a_weight_of_two_carries_twice_as_much() {
    let shares = Ring::new(Hash::Xxh3, 512, members(&[("n1", 1), ("n2", 1), ("rack2", 2)])).shares();
    assert!((shares[2] - 0.5).abs() < 0.04, "{shares:?}");
}
