//! Sealed files: the header of a stranger's, and what an altered body may release.

use chancery_envelope::{DataKey, EnvelopeError, Header, MAX_SEGMENT_SIZE, MIN_SEGMENT_SIZE, Opening, Place, Sealing};

/// Files in the corpus are sealed under this key, so that the fuzzer gets past the commitment.
const KEY: [u8; 32] = [0x42; 32];
const SEGMENT: u32 = 1024;

/// The input as a file; then as a content that is sealed, altered and opened.
pub fn sealed_file(data: &[u8]) {
    let mut body = data;
    if let Ok(header) = Header::read(&mut body) {
        assert!((MIN_SEGMENT_SIZE..=MAX_SEGMENT_SIZE).contains(&header.segment_size()));
        assert!(!header.place().key().contains('/') && header.wrapped_key().is_ascii());
        let bytes = header.to_bytes();
        assert_eq!([bytes.as_slice(), body].concat(), data, "a header changes by being read");
        let again = header.clone().with_wrapped_key(header.wrapped_key()).expect("it was usable");
        assert_eq!(again, header);
    }
    // The largest segments a header may name are slow here and no different.
    if data.get(10..14).is_some_and(|size| size <= &(1_u32 << 17).to_be_bytes()[..]) {
        let (released, outcome) = open(data);
        assert!(outcome.is_err() || released.len() < data.len());
    }
    let [kind, high, low, content @ ..] = data else { return };
    altered(*kind, usize::from(u16::from_be_bytes([*high, *low])), content);
}

/// An altered file does not open, and what it releases is the beginning of its content.
fn altered(kind: u8, at: usize, content: &[u8]) {
    let mut sealed = Vec::new();
    let place = Place::new("transit", "app").expect("plain names");
    let sealing = Sealing::new(&data_key(), "vault:v1:AAAA", place, SEGMENT).expect("good sizes");
    sealing.seal(content, &mut sealed).expect("memory can be written");
    let (released, outcome) = open(&sealed);
    assert!(outcome.is_ok() && released == content);
    let head = sealed.len() - content.len() - 16 * content.len().div_ceil(SEGMENT as usize).max(1);
    let mut changed = sealed.clone();
    let at = head + at % (sealed.len() - head);
    match kind % 5 {
        0 => changed.truncate(at),
        1 => changed[at] ^= kind | 1,
        2 => changed.insert(at, kind),
        3 => drop(changed.remove(at)),
        _ => {
            let tail = changed.split_off(at);
            changed.truncate(head);
            changed.extend(tail);
            changed.extend_from_slice(&sealed[head..at]);
        }
    }
    if changed != sealed {
        let (released, outcome) = open(&changed);
        assert!(outcome.is_err(), "an altered file opened");
        assert!(content.starts_with(&released) && released.len() % SEGMENT as usize == 0);
    }
}

fn open(mut file: &[u8]) -> (Vec<u8>, Result<u64, EnvelopeError>) {
    let mut released = Vec::new();
    let outcome = Header::read(&mut file)
        .and_then(|header| Opening::new(header, &data_key()))
        .and_then(|opening| opening.open(file, &mut released));
    (released, outcome)
}

fn data_key() -> DataKey {
    DataKey::new(&KEY).expect("32 bytes")
}
