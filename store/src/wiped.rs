//! A growing buffer for secrets: no copy of its content stays behind when it moves.

use crate::StoreError;
use serde::Serialize;
use std::io;
use zeroize::Zeroizing;

#[derive(Default)]
struct WipedBuffer(Zeroizing<Vec<u8>>);

impl io::Write for WipedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two().max(256)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The value as JSON, for the place named in the error.
pub(crate) fn to_json<T: Serialize + ?Sized>(place: &str, value: &T) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut buffer = WipedBuffer::default();
    match serde_json::to_writer(&mut buffer, value) {
        Ok(()) => Ok(buffer.0),
        Err(error) => Err(StoreError::Encode { place: place.to_owned(), detail: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::to_json;

    #[test]
    fn long_values_survive_the_buffer_growing() {
        let value: Vec<u32> = (0..10_000).collect();
        let json = to_json("here", &value).unwrap();
        assert_eq!(serde_json::from_slice::<Vec<u32>>(&json).unwrap(), value);
    }
}
