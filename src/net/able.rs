//! Which nodes can speak TLS, as this process has seen proved: nothing is said to them in clear any more, whoever answers in
//! their place, while the secret holds by which they have proved it.

use crate::wire::proof::seal;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// No cluster has as many. Who finds no place here is asked each time, and what it says of itself is proved each time.
const MOST: usize = 4096;

static ABLE: Mutex<Able> = Mutex::new(Able(BTreeSet::new()));

/// By what only who knows the secret can name a node by, so that it keeps no secret.
#[derive(Debug, Default)]
struct Able(BTreeSet<[u8; 32]>);

impl Able {
    fn note(&mut self, secret: &str, id: &str) {
        if self.0.len() < MOST {
            self.0.insert(name(secret, id));
        }
    }

    fn has(&self, secret: &str, id: &str) -> bool {
        self.0.contains(&name(secret, id))
    }
}

/// It has proved itself inside TLS.
pub fn note(secret: &str, id: &str) {
    able().note(secret, id);
}

/// Whether it ever has.
pub fn has(secret: &str, id: &str) -> bool {
    able().has(secret, id)
}

fn name(secret: &str, id: &str) -> [u8; 32] {
    seal(secret, "ringhold able", id.as_bytes()).0
}

fn able() -> MutexGuard<'static, Able> {
    ABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_its_id_and_the_secret_that_it_has_proved() {
        let mut able = Able::default();
        able.note("new", "n1");
        for (secret, id, known) in [("new", "n1", true), ("new", "n2", false), ("old", "n1", false)] {
            assert_eq!(able.has(secret, id), known, "{secret} {id}");
        }
    }

    #[test]
    fn there_is_room_for_so_many_and_nobody_is_forgotten_for_another() {
        let mut able = Able::default();
        (0..MOST + 9).for_each(|n| able.note("new", &n.to_string()));
        assert!(able.has("new", "0") && able.has("new", &(MOST - 1).to_string()));
        assert!(!able.has("new", &MOST.to_string()) && able.0.len() == MOST);
    }
}
