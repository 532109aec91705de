//! Anti-replay nonces (RFC 8555 §6.5) that live in no database: an encrypted counter goes out, and one bit a nonce remembers
//! which came back. A nonce is good in the process that gave it, once, and until [`WINDOW`] others were given; everybody
//! else's is `badNonce`, and clients try again with the one they get with that answer.

use crate::problem::{Problem, ProblemType};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;

/// How many nonces are remembered; an older one counts as used.
const WINDOW: u64 = 1 << 20;

/// Gives and takes back nonces.
pub struct Nonces {
    key: LessSafeKey,
    state: Mutex<State>,
    /// Percentage of good nonces that are refused all the same, for tests of clients.
    reject_percent: u8,
}

struct State {
    next: u64,
    /// A bit for each of the last [`WINDOW`] nonces: whether it may still come back.
    open: Vec<u64>,
    /// What is owed of [`Nonces::reject_percent`]; at 100 a nonce is refused. So refusals do not come in a row, and a client
    /// that tries once more gets through, whichever of its nonces it takes (certbot has a set of them).
    owed: u8,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces").finish_non_exhaustive()
    }
}

impl Nonces {
    /// Nonces under a fresh key.
    ///
    /// # Errors
    /// The system's source of randomness failed.
    pub fn new(reject_percent: u8) -> Result<Self, getrandom::Error> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice())?;
        // A key of 32 bytes is one of AES-256.
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| getrandom::Error::UNSUPPORTED)?;
        let words = usize::try_from(WINDOW / 64).unwrap_or(1);
        let state = State { next: 0, open: vec![0; words], owed: 0 };
        Ok(Self { key: LessSafeKey::new(key), state: Mutex::new(state), reject_percent })
    }

    /// A nonce nobody has had.
    ///
    /// # Errors
    /// The system's source of randomness failed.
    pub fn give(&self) -> Result<String, getrandom::Error> {
        self.give_to(false)
    }

    /// A nonce for a client whose last one was refused. It is not one of those that are refused on purpose: clients try
    /// again a few times only.
    ///
    /// # Errors
    /// The system's source of randomness failed.
    pub fn give_again(&self) -> Result<String, getrandom::Error> {
        self.give_to(true)
    }

    fn give_to(&self, refused_before: bool) -> Result<String, getrandom::Error> {
        let counter = {
            let mut state = self.state.lock();
            let counter = state.next;
            state.next += 1;
            state.set(counter, true);
            counter
        };
        let mut random = [0; NONCE_LEN];
        getrandom::fill(&mut random)?;
        let mut sealed = counter.to_be_bytes().to_vec();
        sealed.push(u8::from(refused_before));
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(random), Aad::empty(), &mut sealed)
            .map_err(|_| getrandom::Error::UNEXPECTED)?;
        Ok(URL_SAFE_NO_PAD.encode([random.as_slice(), &sealed].concat()))
    }

    /// Takes a nonce back.
    ///
    /// # Errors
    /// `badNonce` where it was not given here, came back before, or is too old.
    pub fn take(&self, text: &str) -> Result<(), Problem> {
        let refused =
            |why: &str| Err(ProblemType::BadNonce.because(format!("the nonce {why}; use the one in this answer")));
        let Some((counter, refused_before)) = self.open(text) else { return refused("was not given by this server") };
        let mut state = self.state.lock();
        if counter >= state.next || state.next - counter > WINDOW {
            return refused("is too old");
        }
        if !state.is_open(counter) {
            return refused("was used before");
        }
        state.set(counter, false);
        if !refused_before {
            state.owed = state.owed.saturating_add(self.reject_percent);
        }
        if state.owed >= 100 {
            state.owed -= 100;
            return refused("is refused because the server was told to refuse some");
        }
        Ok(())
    }

    fn open(&self, text: &str) -> Option<(u64, bool)> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        if bytes.len() != NONCE_LEN + 9 + AES_256_GCM.tag_len() {
            return None;
        }
        let mut sealed = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).ok()?;
        let opened: &[u8] = self.key.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
        let (refused_before, counter) = opened.split_last()?;
        Some((u64::from_be_bytes(counter.try_into().ok()?), *refused_before == 1))
    }
}

impl State {
    fn place(counter: u64) -> (usize, u64) {
        let at = counter % WINDOW;
        (usize::try_from(at / 64).unwrap_or(0), 1 << (at % 64))
    }

    fn set(&mut self, counter: u64, open: bool) {
        let (word, bit) = Self::place(counter);
        if let Some(word) = self.open.get_mut(word) {
            if open { *word |= bit } else { *word &= !bit }
        }
    }

    fn is_open(&self, counter: u64) -> bool {
        let (word, bit) = Self::place(counter);
        self.open.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once() {
        let nonces = Nonces::new(0).unwrap();
        let nonce = nonces.give().unwrap();
        assert!(nonces.take(&nonce).is_ok());
        assert_eq!(nonces.take(&nonce).unwrap_err().kind, ProblemType::BadNonce);
    }

    #[test]
    fn what_another_server_gave_or_somebody_changed_is_refused() {
        let (nonces, others) = (Nonces::new(0).unwrap(), Nonces::new(0).unwrap());
        assert!(nonces.take(&others.give().unwrap()).is_err());
        let nonce = nonces.give().unwrap();
        for at in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(nonces.take(&String::from_utf8(changed).unwrap()).is_err(), "{at}");
        }
        for bad in ["", "x", "\u{e4}", &"A".repeat(10_000)] {
            assert!(nonces.take(bad).is_err());
        }
        assert!(nonces.take(&nonce).is_ok());
    }

    #[test]
    fn old_nonces_count_as_used() {
        let nonces = Nonces::new(0).unwrap();
        let old = nonces.give().unwrap();
        nonces.state.lock().next += WINDOW - 1;
        let young = nonces.give().unwrap();
        assert!(nonces.take(&old).unwrap_err().detail.contains("too old"));
        assert!(nonces.take(&young).is_ok());
    }

    #[test]
    fn a_share_of_nonces_is_refused_where_that_is_wanted() {
        let nonces = Nonces::new(50).unwrap();
        let refused = (0..1000).filter(|_| nonces.take(&nonces.give().unwrap()).is_err()).count();
        assert!((300..700).contains(&refused), "{refused}");
    }
}
