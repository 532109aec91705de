use super::*;
use proptest::{collection::vec, prelude::*};

fn list(serials: &[(u64, u64)]) -> Krl {
    let mut revoked = RevokedCertificates::default();
    for (first, last) in serials {
        revoked.serials.insert(*first, *last);
    }
    Krl { certificates: vec![(b"ca".to_vec(), revoked)], ..Krl::default() }
}

/// Kinds of the subsections of the first section.
fn kinds(krl: &Krl) -> Vec<u8> {
    let bytes = krl.certificates[0].1.encode(&krl.certificates[0].0);
    let mut reader = crate::blob::BlobReader::new(&bytes);
    assert_eq!(reader.byte(), Some(SECTION_CERTIFICATES));
    let mut body = crate::blob::BlobReader::new(reader.string().unwrap());
    let (_ca, _reserved) = (body.string().unwrap(), body.string().unwrap());
    let mut kinds = Vec::new();
    while let Some(kind) = body.byte() {
        kinds.push(kind);
        body.string().unwrap();
    }
    kinds
}

#[test]
fn each_set_of_serial_numbers_is_written_in_its_shortest_form() {
    assert_eq!(kinds(&list(&[(7, 7), (1 << 40, 1 << 40)])), [CERTIFICATE_SERIAL_LIST]);
    assert_eq!(kinds(&list(&[(1, 1 << 40)])), [CERTIFICATE_SERIAL_RANGE]);
    assert_eq!(kinds(&list(&[(10, 200)])), [CERTIFICATE_SERIAL_RANGE]);
    let odd: Vec<(u64, u64)> = (0..200).map(|n| (2 * n + 1, 2 * n + 1)).collect();
    assert_eq!(kinds(&list(&odd)), [CERTIFICATE_SERIAL_BITMAP]);
    let size = |krl: &Krl| krl.encode().len();
    assert!(size(&list(&odd)) < 150, "{}", size(&list(&odd)));
}

#[test]
fn a_list_says_what_it_was_told_and_is_read_back() {
    let mut krl = list(&[(1, 1), (5, 900), (u64::MAX - 1, u64::MAX)]);
    krl.header = KrlHeader { version: 9, generated_at: 1_000, comment: "häuser".to_owned() };
    krl.certificates[0].1.key_ids.extend(["mitch".to_owned(), "kate".to_owned()]);
    krl.keys.insert(b"key".to_vec());
    krl.fingerprints.insert(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"hashed").as_ref().to_vec());
    let read = Krl::decode(&krl.encode()).unwrap();
    assert_eq!(read, krl);
    let certified = |ca: &'static [u8], serial, key_id| Subject { key: b"k", certificate: Some((ca, serial, key_id)) };
    for (subject, revoked) in [
        (certified(b"ca", 1, ""), true),
        (certified(b"ca", 2, ""), false),
        (certified(b"ca", 0, ""), false),
        (certified(b"ca", u64::MAX, ""), true),
        (certified(b"other", 1, ""), false),
        (certified(b"ca", 2, "mitch"), true),
        (certified(b"other", 2, "mitch"), false),
        (certified(b"key", 2, ""), true),
        (Subject { key: b"key", certificate: None }, true),
        (Subject { key: b"hashed", certificate: None }, true),
        (Subject { key: b"k", certificate: None }, false),
    ] {
        assert_eq!(read.revokes(&subject), revoked, "{subject:?}");
    }
}

#[test]
fn what_is_no_list_is_refused_wherever_it_breaks() {
    let mut krl = list(&[(1, 1), (5, 900)]);
    krl.keys.insert(b"key".to_vec());
    let bytes = krl.encode();
    let whole: Vec<usize> = (0..bytes.len()).filter(|end| Krl::decode(&bytes[..*end]).is_ok()).collect();
    assert!(whole.len() <= 2, "only ends of sections are ends: {whole:?}");
    assert_eq!(Krl::decode(b"").unwrap_err(), KrlError::Magic);
    let mut later = bytes.clone();
    later[11] = 2;
    assert_eq!(Krl::decode(&later).unwrap_err(), KrlError::Format(2));
    let mut unknown = assemble(&KrlHeader::default(), []);
    unknown.extend([77, 0, 0, 0, 0]);
    assert_eq!(Krl::decode(&unknown).unwrap_err(), KrlError::Section(77));
}

proptest! {
    #[test]
    fn every_set_of_serial_numbers_survives(ranges in vec((any::<u64>(), prop_oneof![Just(0_u64), 0..50_u64, 0..40_000_u64]), 0..60)) {
        let near: Vec<(u64, u64)> = ranges.iter().map(|(first, more)| (first % 5_000, (first % 5_000) + more % 9)).collect();
        let wide: Vec<(u64, u64)> = ranges.iter().map(|(first, more)| (*first, first.saturating_add(*more))).collect();
        for ranges in [near, wide] {
            let krl = list(&ranges);
            let read = Krl::decode(&krl.encode()).unwrap();
            let serials = |krl: &Krl| krl.certificates.first().map(|(_, revoked)| revoked.serials.clone()).unwrap_or_default();
            prop_assert_eq!(serials(&read), serials(&krl));
        }
    }
}
