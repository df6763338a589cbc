//! The fetches under way.

use super::fill::{Fate, Fill, FillHead, FillStage};
use crate::policy::groups::Named;
use crate::wire::target::Key;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The fills under way, by the hash of their key: all of them, also those that nobody may join. What a purge finds here is
/// not stored.
#[derive(Default)]
pub struct Fills(RefCell<HashMap<u64, Vec<Rc<Fill>>>>);

impl Fills {
    pub fn insert(&self, hash: u64, fill: Rc<Fill>) {
        self.0.borrow_mut().entry(hash).or_default().push(fill);
    }
    pub fn remove(&self, hash: u64, fill: &Rc<Fill>) {
        let mut fills = self.0.borrow_mut();
        if let Some(list) = fills.get_mut(&hash) {
            list.retain(|f| !Rc::ptr_eq(f, fill));
            if list.is_empty() {
                fills.remove(&hash);
            }
        }
    }
    /// Those of a URL that others may join.
    pub fn of(&self, key: &Key) -> Vec<Rc<Fill>> {
        let is_of = |fill: &&Rc<Fill>| *fill.key == *key.as_str() && !fill.is_apart();
        self.0.borrow().get(&key.hash()).map_or_else(Vec::new, |list| list.iter().filter(is_of).cloned().collect())
    }
    /// A URL was purged or made invalid: what is on its way is not stored, and nobody joins it any more.
    pub fn forget(&self, key: &Key) {
        let fills = self.0.borrow();
        let of_url = fills.get(&key.hash()).into_iter().flatten().filter(|fill| *fill.key == *key.as_str());
        of_url.for_each(|fill| fill.set_fate(Fate::Forget));
    }
    /// Those of a URL that began this many milliseconds ago, or earlier, are not stored, and nobody joins them any more; whether there
    /// was one that would have been.
    pub fn forget_older(&self, key: &Key, millis: u64) -> bool {
        let fills = self.0.borrow();
        let of_url = fills.get(&key.hash()).into_iter().flatten().filter(|fill| *fill.key == *key.as_str());
        let older = of_url.filter(|fill| fill.age().as_millis() >= u128::from(millis));
        let would_be = |fill: &Rc<Fill>| {
            let is_coming = matches!(fill.stage(), FillStage::Asking | FillStage::Streaming(_));
            let is_stored = is_coming && fill.fate() == Fate::Store;
            fill.set_fate(Fate::Forget);
            is_stored
        };
        older.filter(|fill| would_be(fill)).count() > 0
    }
    /// The same for what is in one of these groups of an origin, or may be: nothing is known yet of what has no head.
    pub fn forget_groups(&self, of: &Key, names: &[String]) {
        let named = Named::new(of, names);
        let may_be_in = |fill: &Fill| match fill.stage() {
            FillStage::Asking => true,
            FillStage::Streaming(head) => head.groups.meets(&named),
            _ => false,
        };
        let of_origin = |fill: &Fill| fill.key.strip_prefix(of.root()).is_some_and(|path| path.starts_with('/'));
        let fills = self.0.borrow();
        let concerned = fills.values().flatten().filter(|fill| of_origin(fill) && may_be_in(fill));
        concerned.for_each(|fill| fill.set_fate(Fate::Forget));
    }
    /// Those of a URL that will be stored, whoever may join them, and whose heads are there.
    pub fn streaming(&self, key: &Key) -> Vec<(Rc<Fill>, Rc<FillHead>)> {
        let fills = self.0.borrow();
        let of_url = fills.get(&key.hash()).into_iter().flatten().filter(|fill| *fill.key == *key.as_str());
        let is_coming = |fill: &Rc<Fill>| match fill.stage() {
            FillStage::Streaming(head) if fill.fate() == Fate::Store => Some((fill.clone(), head)),
            _ => None,
        };
        of_url.filter_map(is_coming).collect()
    }
    /// Whether this URL is being fetched.
    pub fn runs(&self, key: &Key) -> bool {
        !self.of(key).is_empty()
    }
    /// Nothing that is on its way is stored.
    pub fn forget_all(&self) {
        self.0.borrow().values().flatten().for_each(|fill| fill.set_fate(Fate::Forget));
    }
    pub fn all(&self) -> Vec<Rc<Fill>> {
        self.0.borrow().values().flatten().cloned().collect()
    }
    pub fn count(&self) -> usize {
        self.0.borrow().values().map(Vec::len).sum()
    }
}
