//! Request ids: UUIDs of version 4 from a buffer of the system's randomness, so that a request costs no system call
//! for its name. They name a request, they protect nothing.

use std::cell::RefCell;

const BUFFERED: usize = 256;

struct Buffer {
    bytes: [u8; BUFFERED * 16],
    left: usize,
}

thread_local! {
    static BUFFER: RefCell<Buffer> = const { RefCell::new(Buffer { bytes: [0; BUFFERED * 16], left: 0 }) };
}

/// A new request id.
pub(crate) fn request_id() -> String {
    let random = BUFFER.with_borrow_mut(|buffer| {
        if buffer.left == 0 {
            getrandom::fill(&mut buffer.bytes).ok()?;
            buffer.left = BUFFERED;
        }
        buffer.left -= 1;
        let start = buffer.left * 16;
        buffer.bytes.get(start..start + 16).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
    });
    match random {
        Some(bytes) => uuid::Builder::from_random_bytes(bytes).into_uuid().to_string(),
        None => uuid::Uuid::new_v4().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_differ() {
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| request_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| uuid::Uuid::parse_str(id).unwrap().get_version_num() == 4));
    }
}
