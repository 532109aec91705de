//! Nonces from a buffered random source, one buffer a thread.
//!
//! AES-GCM and ChaCha20-Poly1305 need 12 fresh bytes for every message, and one call of the random source for each is a
//! noticeable share of a small encryption. So each thread draws [`BUFFER_BYTES`] at once from AWS-LC's `RAND_bytes` (a
//! CTR-DRBG that reseeds from the operating system by its own schedule) and hands them out piecewise. Every refill is a
//! new draw, so the buffer adds no state to reseed; a byte handed out is wiped from the buffer and never comes again.
//! Nonces are not secret, so a buffer that is dropped with its thread reveals nothing. The process never forks without
//! executing another program, so no two processes share a buffer.

use crate::error::TransitError;
use std::cell::RefCell;

/// Bytes of a 96-bit nonce (SP 800-38D §8.2.2, RFC 8439 §2.8).
pub(crate) const NONCE_BYTES: usize = 12;

/// Bytes drawn at once; a multiple of [`NONCE_BYTES`].
const BUFFER_BYTES: usize = 341 * NONCE_BYTES;

struct Buffer {
    bytes: Box<[u8; BUFFER_BYTES]>,
    used: usize,
}

thread_local! {
    static BUFFER: RefCell<Buffer> = RefCell::new(Buffer { bytes: Box::new([0; BUFFER_BYTES]), used: BUFFER_BYTES });
}

/// A random nonce nobody has had before.
pub(crate) fn fresh() -> Result<[u8; NONCE_BYTES], TransitError> {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.used >= BUFFER_BYTES {
            aws_lc_rs::rand::fill(buffer.bytes.as_mut_slice()).map_err(|_| TransitError::Random)?;
            buffer.used = 0;
        }
        let mut nonce = [0; NONCE_BYTES];
        let piece = buffer.bytes.get_mut(buffer.used..buffer.used + NONCE_BYTES);
        let piece = piece.ok_or(TransitError::Bug("nonce buffer is not a multiple of a nonce"))?;
        nonce.copy_from_slice(piece);
        piece.fill(0);
        buffer.used += NONCE_BYTES;
        Ok(nonce)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn nonces_of_several_threads_never_repeat() {
        let draw = || (0..50_000).map(|_| fresh().unwrap()).collect::<Vec<_>>();
        let handles: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let mut seen = HashSet::new();
        for handle in handles {
            for nonce in handle.join().unwrap() {
                assert!(seen.insert(nonce));
            }
        }
        assert!(!seen.contains(&[0; NONCE_BYTES]));
    }
}
