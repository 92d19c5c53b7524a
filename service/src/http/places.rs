//! Places: how many may hold something at once, in all and from one address.

use super::address::Address;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bounded number of places. What comes from this machine itself counts only in all.
#[derive(Debug, Clone)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What is held, as the metrics name it.
    name: &'static str,
    all_max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Places {
    /// `all_max` places, `per_address_max` of them for one address. The metric `name` tells how many are taken.
    #[must_use]
    pub fn new(name: &'static str, all_max: usize, per_address_max: usize) -> Self {
        Self(Arc::new(Inner {
            name,
            all_max,
            per_address_max,
            taken: Mutex::default(),
        }))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, given back when it is dropped; `None` where all are taken.
    #[must_use]
    pub fn take(&self, Address(address): Address) -> Option<Place> {
        let name = self.0.name;
        let mut taken = self.taken();
        let of_address = address.and_then(|address| taken.by_address.get(&address).copied());
        let refused = if taken.all >= self.0.all_max {
            "all"
        } else if of_address.is_some_and(|of_address| of_address >= self.0.per_address_max) {
            "address"
        } else {
            taken.all += 1;
            if let Some(address) = address {
                *taken.by_address.entry(address).or_default() += 1;
            }
            metrics::gauge!(name).increment(1.0);
            drop(taken);
            let places = self.clone();
            return Some(Place { places, address });
        };
        metrics::counter!("tegata_http_refused_total", "of" => name, "limit" => refused)
            .increment(1);
        None
    }
}

/// One place taken.
#[derive(Debug)]
pub struct Place {
    places: Places,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(address) = self.address
            && let Some(count) = taken.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
        metrics::gauge!(self.places.0.name).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Address {
        Address::of(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn places_are_bounded_by_address_and_in_all_and_given_back() {
        let places = Places::new("test", 4, 2);
        let first = places.take(address(1)).unwrap();
        let second = places.take(address(1)).unwrap();
        assert!(
            places.take(address(1)).is_none(),
            "a third from one address"
        );
        drop(first);
        let third = places.take(address(1)).unwrap();
        let own: Vec<_> = (0..2)
            .map(|_| places.take(Address(None)).unwrap())
            .collect();
        assert!(places.take(address(2)).is_none(), "a fifth in all");
        drop((second, third, own));
        assert_eq!(places.taken().all, 0);
        assert!(places.taken().by_address.is_empty());
    }
}
