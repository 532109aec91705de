//! Encryption as a service: named keys, their versions and ciphertexts.
