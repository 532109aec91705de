//! Shards: which part of an issuer's revocations a certificate's distribution point names.
//!
//! A certificate keeps the shard it was given, since its distribution point cannot change. So the number of shards only
//! ever grows, and every shard there ever was goes on being published.

use crate::{serial::SerialNumber, urls::Urls};
use std::borrow::Cow;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{DistributionPointName, GeneralName, ParsedExtension},
    prelude::FromDer,
};

/// Stands for the number of the shard in `crl_distribution_points`.
pub const PLACE: &str = "{{shard}}";

/// The shard of a serial number, from 1 on.
#[must_use]
pub fn of(serial: &SerialNumber, shards: u32) -> u32 {
    // The first octets are the time; the last eight are random.
    let tail = serial.as_bytes().iter().rev().take(8);
    let number = tail.fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
    let shards = u64::from(shards.max(1));
    u32::try_from(number % shards).unwrap_or(0) + 1
}

/// Whether certificates with these URLs name a shard.
#[must_use]
pub fn is_named_by(urls: &Urls) -> bool {
    urls.crl_distribution_points.iter().any(|url| url.contains(PLACE))
}

/// The URLs of a certificate of this shard; 0 is that of certificates that belong to none, whose distribution points are
/// those without a place for it.
#[must_use]
pub fn urls(urls: &Urls, shard: u32) -> Cow<'_, Urls> {
    if !is_named_by(urls) {
        return Cow::Borrowed(urls);
    }
    let mut filled = urls.clone();
    if shard > 0 {
        // RFC 5280 §5.2.4: a delta has the scope of its base, and ours is that of the complete list.
        filled.delta_crl_distribution_points.clear();
    } else {
        filled.crl_distribution_points.retain(|url| !url.contains(PLACE));
    }
    for url in &mut filled.crl_distribution_points {
        *url = url.replace(PLACE, &shard.to_string());
    }
    Cow::Owned(filled)
}

/// Names of the distribution point of a shard.
#[must_use]
pub fn names(urls: &Urls, shard: u32) -> Vec<String> {
    let named = urls.crl_distribution_points.iter().filter(|url| url.contains(PLACE));
    named.map(|url| url.replace(PLACE, &shard.to_string())).collect()
}

/// The shard that the distribution points of a certificate name; 0 where they name none of ours.
#[must_use]
pub fn stated(certificate: &[u8], urls: &Urls) -> u32 {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return 0 };
    let uris = certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLDistributionPoints(points) => Some(&points.points),
        _ => None,
    });
    let uris = uris.flatten().filter_map(|point| match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names),
        _ => None,
    });
    let mut uris = uris.flatten().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    uris.find_map(|uri| urls.crl_distribution_points.iter().find_map(|url| number_in(uri, url))).unwrap_or(0)
}

/// The number that stands in `uri` where the template has its place.
fn number_in(uri: &str, template: &str) -> Option<u32> {
    let (before, behind) = template.split_once(PLACE)?;
    uri.strip_prefix(before)?.strip_suffix(behind)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_spread_evenly_and_stay_where_they_are() {
        let mut counts = [0_u32; 8];
        for _ in 0..8000 {
            let serial = SerialNumber::fresh(jiff::Timestamp::now()).unwrap();
            let shard = of(&serial, 8);
            assert_eq!(shard, of(&serial, 8));
            counts[usize::try_from(shard - 1).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_distribution_point_names_its_shard() {
        let template = Urls {
            crl_distribution_points: vec!["http://a/crl/{{shard}}".to_owned(), "http://a/crl".to_owned()],
            ..Urls::default()
        };
        assert!(is_named_by(&template));
        assert_eq!(urls(&template, 3).crl_distribution_points, ["http://a/crl/3", "http://a/crl"]);
        assert_eq!(urls(&template, 0).crl_distribution_points, ["http://a/crl"]);
        let with_deltas = Urls { delta_crl_distribution_points: vec!["http://a/delta".to_owned()], ..template.clone() };
        assert!(urls(&with_deltas, 3).delta_crl_distribution_points.is_empty());
        assert_eq!(urls(&with_deltas, 0).delta_crl_distribution_points, ["http://a/delta"]);
        assert_eq!(names(&template, 3), ["http://a/crl/3"]);
        assert!(!is_named_by(&Urls::default()));
    }
}
