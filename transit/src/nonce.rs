//! Nonces from a buffered random source, one buffer a thread.
//!
//! AES-GCM and ChaCha20-Poly1305 need 12 fresh bytes for every message, XChaCha20-Poly1305 24, and one call of the random source for each is a
//! noticeable share of a small encryption. So each thread draws [`BUFFER_BYTES`] at once from AWS-LC's `RAND_bytes` (a
//! CTR-DRBG that reseeds from the operating system by its own schedule) and hands them out piecewise. Every refill is a
//! new draw, so the buffer adds no state to reseed; a byte handed out is wiped from the buffer and never comes again.
//! Nonces are not secret, so a buffer that is dropped with its thread reveals nothing. The process never forks without
//! executing another program, so no two processes share a buffer.

use crate::error::TransitError;
use std::cell::RefCell;

/// Bytes of a 96-bit nonce (SP 800-38D §8.2.2, RFC 8439 §2.8), the usual one.
pub(crate) const NONCE_BYTES: usize = 12;

/// Bytes of the longest nonce, XChaCha20-Poly1305's.
pub(crate) const LONGEST_NONCE_BYTES: usize = 24;

/// Bytes drawn at once; a multiple of both lengths.
const BUFFER_BYTES: usize = 170 * LONGEST_NONCE_BYTES;

struct Buffer {
    bytes: Box<[u8; BUFFER_BYTES]>,
    used: usize,
}

thread_local! {
    static BUFFER: RefCell<Buffer> = RefCell::new(Buffer { bytes: Box::new([0; BUFFER_BYTES]), used: BUFFER_BYTES });
}

/// Fills `nonce` with random bytes nobody has had before.
pub(crate) fn fill(nonce: &mut [u8]) -> Result<(), TransitError> {
    BUFFER.with_borrow_mut(|buffer| {
        if BUFFER_BYTES - buffer.used < nonce.len() {
            aws_lc_rs::rand::fill(buffer.bytes.as_mut_slice()).map_err(|_| TransitError::Random)?;
            buffer.used = 0;
        }
        let piece = buffer.bytes.get_mut(buffer.used..buffer.used + nonce.len());
        let piece = piece.ok_or(TransitError::Bug("a nonce is longer than the buffer"))?;
        nonce.copy_from_slice(piece);
        piece.fill(0);
        buffer.used += nonce.len();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn nonces_of_several_threads_never_repeat() {
        let draw = || {
            let fresh = |number: usize| {
                let mut nonce = vec![0; if number.is_multiple_of(3) { LONGEST_NONCE_BYTES } else { NONCE_BYTES }];
                fill(&mut nonce).unwrap();
                nonce[..NONCE_BYTES].to_vec()
            };
            (0..50_000).map(fresh).collect::<Vec<_>>()
        };
        let handles: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let mut seen = HashSet::new();
        for handle in handles {
            for nonce in handle.join().unwrap() {
                assert!(seen.insert(nonce));
            }
        }
        assert!(!seen.contains([0; NONCE_BYTES].as_slice()));
    }
}
