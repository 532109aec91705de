//! The versions of a key that are ready for use: the latest from the beginning, older ones when they are asked for.
//!
//! Work on texts cannot wait for the store. Where it meets a version that is not here, it fails with
//! [`TransitError::NotLoaded`] and leaves the number behind; `Transit::supplied` loads it and runs the work again.

use crate::{error::TransitError, version::KeyVersion};
use parking_lot::Mutex;
use std::{collections::BTreeSet, ops::RangeInclusive, sync::OnceLock};

/// Places for the versions that may be used.
pub(crate) struct Versions {
    first: u32,
    places: Box<[OnceLock<Box<KeyVersion>>]>,
    wanted: Mutex<BTreeSet<u32>>,
}

impl Versions {
    /// Empty places for these numbers.
    pub(crate) fn places(numbers: RangeInclusive<u32>) -> Self {
        let first = *numbers.start();
        Self { first, places: numbers.map(|_| OnceLock::new()).collect(), wanted: Mutex::default() }
    }

    /// One version, the first.
    pub(crate) fn first(version: KeyVersion) -> Self {
        let versions = Self::places(1..=1);
        versions.fill(1, version);
        versions
    }

    /// Puts a version into its place, where there is one and it is empty.
    pub(crate) fn fill(&self, number: u32, version: KeyVersion) {
        if let Some(place) = self.place(number) {
            // Two loads of one version give the same.
            drop(place.set(Box::new(version)));
        }
    }

    /// The version, if it may be used and is here.
    pub(crate) fn get(&self, number: u32) -> Option<&KeyVersion> {
        self.place(number)?.get().map(AsRef::as_ref)
    }

    /// The version; where it is not here yet, its number is left behind for [`Versions::wanted`].
    pub(crate) fn require(&self, number: u32) -> Result<&KeyVersion, TransitError> {
        let place = self.place(number).ok_or(TransitError::NoSuchVersion)?;
        place.get().map(AsRef::as_ref).ok_or_else(|| {
            self.wanted.lock().insert(number);
            TransitError::NotLoaded
        })
    }

    /// Numbers of the versions that may be used.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        (self.first..).take(self.places.len())
    }

    /// The versions that are here.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &KeyVersion)> {
        (self.first..).zip(&self.places).filter_map(|(number, place)| Some((number, place.get()?.as_ref())))
    }

    /// Numbers that were asked for in vain, and that are still not here.
    pub(crate) fn wanted(&self) -> Vec<u32> {
        let mut wanted = self.wanted.lock();
        wanted.retain(|number| self.get(*number).is_none());
        wanted.iter().copied().collect()
    }

    /// Numbers of the versions that are not here.
    pub(crate) fn missing(&self) -> Vec<u32> {
        self.numbers().filter(|number| self.get(*number).is_none()).collect()
    }

    fn place(&self, number: u32) -> Option<&OnceLock<Box<KeyVersion>>> {
        self.places.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}
