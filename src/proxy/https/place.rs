//! Room for handshakes with clients that have come to no end.

use crate::account;
use crate::net::shares::{ClientId, Seat, Seats, Taken};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A handshake, from the agreement to its tunnel on: its task, and what both have said. A hello of [`HELLO`] bytes is in that.
const HANDSHAKE: usize = 10 * 1024;
const HELLO: usize = 4 * 1024;
/// Bytes of all that are under way in a process, at most.
const HANDSHAKES: usize = 16 * 1024 * 1024;

static UNDER_WAY: AtomicU64 = AtomicU64::new(0);
static ROOM: LazyLock<Seats> = LazyLock::new(|| Seats::new(HANDSHAKES));

/// Bytes of all in this process.
pub fn held() -> u64 {
    UNDER_WAY.load(Relaxed)
}

/// Room for one handshake with a client, until dropped.
pub struct HandshakePlace {
    of: ClientId,
    seats: Vec<Seat>,
    bytes: usize,
}

impl HandshakePlace {
    /// `Err`: there is none, or this client has its share of them under way.
    pub fn take(of: ClientId) -> Result<HandshakePlace, Taken> {
        let mut place = HandshakePlace { of, seats: Vec::new(), bytes: 0 };
        place.add(HANDSHAKE)?;
        Ok(place)
    }

    /// Its hello takes so many bytes by now. `Err`: there is no room for that.
    pub fn hears(&mut self, hello: usize) -> Result<(), Taken> {
        let takes = HANDSHAKE + hello.saturating_sub(HELLO);
        if takes > self.bytes { self.add(takes - self.bytes) } else { Ok(()) }
    }

    fn add(&mut self, bytes: usize) -> Result<(), Taken> {
        self.seats.push(ROOM.take_many(self.of, bytes)?);
        self.bytes += bytes;
        UNDER_WAY.fetch_add(bytes as u64, Relaxed);
        Ok(())
    }
}

impl Drop for HandshakePlace {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(self.bytes as u64, Relaxed);
        account::count_freed(self.bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The room is the process's: no other test takes as much of it.
    #[test]
    fn one_client_leaves_room_for_handshakes_of_others_however_long_its_hellos_are() {
        let [greedy, other] = ["192.0.2.1", "192.0.2.2"].map(|ip| ClientId::at(ip.parse().unwrap()));
        let mut places = Vec::new();
        while let Ok(mut place) = HandshakePlace::take(greedy) {
            // What finds no room for all of its hello has what it had.
            _ = place.hears(64 * 1024);
            places.push(place);
        }
        assert!((200..1700).contains(&places.len()), "{}", places.len());
        assert!(held() <= HANDSHAKES as u64 && held() > HANDSHAKES as u64 * 3 / 4, "{}", held());
        let mut place = HandshakePlace::take(other).unwrap();
        place.hears(64 * 1024).unwrap();
        place.hears(10).unwrap();
        let before = held();
        drop(places);
        assert!(held() < before / 4);
    }
}
