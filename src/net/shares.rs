//! Shares: what one client may have of connections that there are only so many of. While others have none, nearly all;
//! there is always something left for who comes next, without anything set aside.

use super::listen::Peer;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A client has at most so many times what is free: alone seven eighths, two of them seven fifteenths each.
const TIMES_FREE: usize = 7;

/// A client, as far as addresses tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(IpAddr);

/// Who has how many of what there is.
#[derive(Debug)]
struct Shares {
    limit: usize,
    taken: usize,
    by: HashMap<ClientId, usize>,
}

/// Connections that many threads may take and give back. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seats(Arc<(Mutex<Shares>, Notify)>);

/// Given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    source: ClientId,
    many: usize,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This client has its share; others would be given one.
    ByItself,
    ByAll,
}

impl ClientId {
    /// What is our own has no share to keep to.
    pub const OURS: ClientId = ClientId(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// Of whom nobody knows who it is, or that nobody waits for.
    pub const NOBODY: ClientId = ClientId(IpAddr::V6(Ipv6Addr::UNSPECIFIED));

    /// Whom somebody else calls so ([`ClientId::called`]); no network has such an address.
    pub fn told(name: u64) -> ClientId {
        ClientId(Ipv6Addr::from_bits(name.into()).into())
    }

    /// A name that tells it from others and says nothing of its address, in eight digits; `None`: it is nobody's.
    pub fn called(self) -> Option<[u8; 8]> {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        match (self.0, self) {
            (_, ClientId::OURS | ClientId::NOBODY) => None,
            (IpAddr::V6(told), _) if told.to_bits() >> 64 == 0 => Some((told.to_bits() as u64).to_be_bytes()),
            (ip, _) => {
                let hash = KEY.hash_one(ip);
                Some(std::array::from_fn(|at| b"0123456789abcdef"[(hash >> (4 * at)) as usize & 15]))
            }
        }
    }

    /// One client has an IPv4 address, or the network that an IPv6 address is of (64 bits, RFC 4291 section 2.5.4). What
    /// comes by a Unix socket is ours.
    pub fn of(peer: &Peer) -> ClientId {
        peer.addr.map_or(ClientId::OURS, |addr| ClientId::at(addr.ip()))
    }

    pub fn at(ip: IpAddr) -> ClientId {
        ClientId(match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
            ip => ip,
        })
    }
}

/// Whether who has so many may have one more, where so many are free.
pub fn may_have_more(source: ClientId, has: usize, free: usize) -> bool {
    free > 0 && (source == ClientId::OURS || has < free.saturating_mul(TIMES_FREE))
}

/// Which of those that hold something, the longest first, gives way to one more of `of`, where there may be `limit`: its own
/// first where it has its share, else the first of all. `None`: nobody has to.
pub fn gives_way(held: &[ClientId], limit: usize, of: ClientId) -> Option<usize> {
    let (free, is_own) = (limit.saturating_sub(held.len()), |source: &ClientId| *source == of);
    let own = held.iter().filter(|source| is_own(source)).count();
    match may_have_more(of, own, free) {
        true => None,
        false if own > free => held.iter().position(is_own),
        false => (!held.is_empty()).then_some(0),
    }
}

impl Shares {
    fn take(&mut self, source: ClientId, many: usize) -> Result<(), Taken> {
        let free = self.limit.saturating_sub(self.taken);
        let has = self.by.get(&source).copied().unwrap_or(0);
        if many > free || !may_have_more(source, has, free) {
            return Err(if has > free { Taken::ByItself } else { Taken::ByAll });
        }
        self.taken += many;
        *self.by.entry(source).or_default() += many;
        Ok(())
    }

    fn give_back(&mut self, source: ClientId, many: usize) {
        self.taken -= many;
        if let Some(has) = self.by.get_mut(&source) {
            *has -= many;
            if *has == 0 {
                self.by.remove(&source);
            }
        }
    }
}

impl Seats {
    pub fn new(limit: usize) -> Seats {
        Seats(Arc::new((Mutex::new(Shares { limit, taken: 0, by: HashMap::new() }), Notify::new())))
    }

    pub fn take(&self, source: ClientId) -> Result<Seat, Taken> {
        self.take_many(source, 1)
    }

    /// So many at once, or none: bytes, for example.
    pub fn take_many(&self, source: ClientId, many: usize) -> Result<Seat, Taken> {
        self.shares().take(source, many).map(|()| Seat { seats: self.clone(), source, many })
    }

    /// Waits until one is given back. Cancel safe.
    pub async fn freed(&self) {
        self.0.1.notified().await;
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.shares().give_back(self.source, self.many);
        self.seats.0.1.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> ClientId {
        ClientId::at(text.parse().unwrap())
    }

    /// How many this one gets.
    fn fill(seats: &Seats, who: &str, kept: &mut Vec<Seat>) -> usize {
        let before = kept.len();
        while let Ok(seat) = seats.take(source(who)) {
            kept.push(seat);
        }
        kept.len() - before
    }

    #[test]
    fn one_client_gets_nearly_all_and_there_is_always_something_left_for_the_next() {
        let (seats, mut kept) = (Seats::new(16_384), Vec::new());
        let shares = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|who| fill(&seats, who, &mut kept));
        assert_eq!(shares, [14_336, 1792, 224]);
        assert_eq!(seats.take(source("10.0.0.1")).unwrap_err(), Taken::ByItself);
        kept.drain(..14_336);
        assert!(fill(&seats, "10.0.0.2", &mut kept) > 5000, "what one has given back others may have");
        let (few, mut kept) = (Seats::new(4), Vec::new());
        assert_eq!(fill(&few, "10.0.0.1", &mut kept), 4, "nothing is set aside of what is little");
        assert_eq!(few.take(source("10.0.0.2")).unwrap_err(), Taken::ByAll);
    }

    #[test]
    fn who_has_its_share_gives_way_to_itself_and_else_who_has_held_longest() {
        let (a, b, c) = (source("10.0.0.1"), source("10.0.0.2"), source("10.0.0.3"));
        for (held, limit, of, expected) in [
            (&[][..], 8, a, None),
            (&[a, a, a], 8, a, None),
            (&[a, a, a, a, a, a, a], 8, a, Some(0)),
            (&[a, a, a, a, a, a, a], 8, b, None),
            (&[b, a, a, a, a, a, a, a], 8, a, Some(1)),
            (&[b, a, a, a, a, a, a, a], 8, c, Some(0)),
            (&[b, a, a, a, a, a, a, a], 8, b, Some(0)),
            (&[a], 1, b, Some(0)),
            (&[], 0, b, None),
        ] {
            assert_eq!(gives_way(held, limit, of), expected, "{held:?} of {limit} for {of:?}");
        }
    }

    #[test]
    fn what_is_taken_by_the_portion_is_shared_alike() {
        let (seats, mut kept) = (Seats::new(1000), Vec::new());
        let mut fill = |who: &str, many: usize| {
            let before = kept.len();
            while let Ok(seat) = seats.take_many(source(who), many) {
                kept.push(seat);
            }
            kept.len() - before
        };
        assert_eq!(
            [fill("10.0.0.1", 100), fill("10.0.0.1", 90), fill("10.0.0.2", 90), fill("10.0.0.2", 10)],
            [9, 0, 1, 0]
        );
        drop(kept);
        assert!(seats.take_many(source("10.0.0.3"), 1000).is_ok(), "all is given back");
    }

    #[test]
    fn a_client_has_a_name_of_its_own_that_does_not_tell_its_address() {
        let (a, b) = (source("10.0.0.1"), source("10.0.0.2"));
        assert_eq!(a.called(), source("10.0.0.1").called());
        assert_ne!(a.called(), b.called());
        let name = a.called().unwrap();
        assert!(name.iter().all(u8::is_ascii_hexdigit));
        let told = ClientId::told(u64::from_be_bytes(name));
        assert_eq!((told.called(), told == a), (Some(name), false), "it is passed on as it was told");
        assert_eq!([ClientId::OURS.called(), ClientId::NOBODY.called(), ClientId::told(0).called()], [None; 3]);
    }

    #[test]
    fn a_network_of_64_bits_is_one_client() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }
}
