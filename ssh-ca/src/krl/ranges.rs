//! Serial numbers as ranges that do not touch, and how they are written shortest.

use super::{CERTIFICATE_SERIAL_BITMAP, CERTIFICATE_SERIAL_LIST, CERTIFICATE_SERIAL_RANGE};
use crate::blob::BlobWriter;
use std::collections::BTreeMap;

/// Bits in one bitmap: what OpenSSH's reader of numbers takes (SSHBUF_MAX_BIGNUM is 16384 bits).
const LONGEST_BITMAP: u64 = 16_000;
/// Bytes that a subsection costs before its content.
const SUBSECTION: u64 = 5;

/// A set of serial numbers. Number zero is never in it: OpenSSH cannot revoke it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SerialRanges {
    /// First to last; ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl SerialRanges {
    /// Adds the numbers from `first` to `last`, both included.
    pub fn insert(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first.max(1), last);
        if last < first {
            return;
        }
        if let Some((&before, &end)) = self.ranges.range(..=first).next_back()
            && end >= first.saturating_sub(1)
        {
            first = before;
            last = last.max(end);
        }
        // Every range that begins within the new one, or just behind it, becomes part of it.
        while let Some((&next, &end)) = self.ranges.range(first..=last.saturating_add(1)).next() {
            self.ranges.remove(&next);
            last = last.max(end);
        }
        self.ranges.insert(first, last);
    }

    /// Whether the number is in it.
    #[must_use]
    pub fn contains(&self, serial: u64) -> bool {
        self.ranges.range(..=serial).next_back().is_some_and(|(_, last)| serial <= *last)
    }

    /// Whether all numbers from `first` to `last` are in it.
    #[must_use]
    pub fn covers(&self, first: u64, last: u64) -> bool {
        self.ranges.range(..=first).next_back().is_some_and(|(_, end)| last <= *end)
    }

    /// Whether there is no number in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, by their first number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }

    /// Writes the subsections.
    pub(super) fn encode(&self, writer: &mut BlobWriter) {
        let mut lone = BlobWriter::new();
        let mut cluster: Vec<(u64, u64)> = Vec::new();
        for (first, last) in self.iter() {
            if last - first >= LONGEST_BITMAP / 2 {
                write_cluster(&cluster, writer, &mut lone);
                cluster.clear();
                write_range(first, last, writer);
                continue;
            }
            if !belongs(&cluster, first, last) {
                write_cluster(&cluster, writer, &mut lone);
                cluster.clear();
            }
            cluster.push((first, last));
        }
        write_cluster(&cluster, writer, &mut lone);
        let lone = lone.into_bytes();
        if !lone.is_empty() {
            writer.byte(CERTIFICATE_SERIAL_LIST).string(lone);
        }
    }
}

/// Whether a bitmap that reaches on to this range is no longer than the range by itself.
fn belongs(cluster: &[(u64, u64)], first: u64, last: u64) -> bool {
    let (Some((start, _)), Some((_, end))) = (cluster.first(), cluster.last()) else { return true };
    let alone = if first == last { 8 } else { SUBSECTION + 16 };
    last - start < LONGEST_BITMAP && (last - end).div_ceil(8) <= alone
}

/// Ranges near each other: a bitmap, or each by itself, whichever is shorter.
fn write_cluster(cluster: &[(u64, u64)], writer: &mut BlobWriter, lone: &mut BlobWriter) {
    let (Some((start, _)), Some((_, end))) = (cluster.first(), cluster.last()) else { return };
    let cost = |(first, last): &(u64, u64)| if last - first < 2 { 8 * (last - first + 1) } else { SUBSECTION + 16 };
    let apart: u64 = cluster.iter().map(cost).sum();
    if apart <= SUBSECTION + 8 + 4 + (end - start) / 8 + 2 {
        for (first, last) in cluster {
            if last - first < 2 {
                (*first..=*last).for_each(|serial| {
                    lone.u64(serial);
                });
            } else {
                write_range(*first, *last, writer);
            }
        }
        return;
    }
    let mut subsection = BlobWriter::new();
    subsection.u64(*start).mpint(&bitmap(cluster, *start, *end));
    writer.byte(CERTIFICATE_SERIAL_BITMAP).string(subsection.into_bytes());
}

fn write_range(first: u64, last: u64, writer: &mut BlobWriter) {
    let mut subsection = BlobWriter::new();
    subsection.u64(first).u64(last);
    writer.byte(CERTIFICATE_SERIAL_RANGE).string(subsection.into_bytes());
}

/// Bit n of the number stands for serial number `start` + n; big-endian.
fn bitmap(cluster: &[(u64, u64)], start: u64, end: u64) -> Vec<u8> {
    let bytes = usize::try_from((end - start) / 8 + 1).unwrap_or(0);
    let mut bitmap = vec![0_u8; bytes];
    for (first, last) in cluster {
        for serial in *first..=*last {
            let bit = serial - start;
            let from_end = usize::try_from(bit / 8).unwrap_or(0);
            if let Some(byte) = bitmap.get_mut(bytes.saturating_sub(1 + from_end)) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    bitmap
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn of(ranges: &[(u64, u64)]) -> SerialRanges {
        let mut set = SerialRanges::default();
        for (first, last) in ranges {
            set.insert(*first, *last);
        }
        set
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let set = of(&[(5, 7), (9, 9), (8, 8), (1, 2), (20, 30), (25, 40), (u64::MAX, u64::MAX), (0, 0), (9, 3)]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(1, 2), (5, 9), (20, 40), (u64::MAX, u64::MAX)]);
        assert!(set.covers(6, 9) && !set.covers(6, 10) && !set.contains(0));
        assert_eq!(of(&[(1, u64::MAX), (3, 4)]).iter().collect::<Vec<_>>(), [(1, u64::MAX)]);
    }

    proptest! {
        #[test]
        fn the_set_holds_what_was_put_in_and_nothing_else(
            ranges in vec((1_u64..200, 0_u64..6), 0..40),
            asked in 1_u64..210,
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(first, more)| (first, first + more)).collect();
            let set = of(&ranges);
            prop_assert_eq!(set.contains(asked), ranges.iter().any(|(first, last)| (*first..=*last).contains(&asked)));
            let mut previous = 0;
            for (first, last) in set.iter() {
                prop_assert!(first <= last && (previous == 0 || first > previous + 1));
                previous = last;
            }
        }
    }
}
