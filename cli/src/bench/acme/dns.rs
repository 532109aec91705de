//! A DNS server for TXT records, as small as one can be (RFC 1035 §4): one question, its texts.

use crate::failure::{Failure, Result};
use parking_lot::Mutex;
use std::{collections::HashMap, net::SocketAddr, sync::Arc};
use tokio::{net::UdpSocket, task::JoinSet};

const HEADER: usize = 12;
const TXT: [u8; 2] = [0, 16];

type Texts = Arc<Mutex<HashMap<String, String>>>;

/// Answers while it lives.
pub(super) struct Dns {
    texts: Texts,
    _serving: JoinSet<()>,
}

impl Dns {
    pub(super) async fn start(address: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address).await;
        let socket =
            socket.map_err(|error| Failure::local(format!("cannot answer DNS at {address}")).because(error))?;
        let texts = Texts::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(socket, Arc::clone(&texts)));
        Ok(Self { texts, _serving: serving })
    }

    pub(super) fn say(&self, name: &str, text: String) {
        self.texts.lock().insert(name.to_owned(), text);
    }

    pub(super) fn forget(&self, name: &str) {
        self.texts.lock().remove(name);
    }
}

async fn serve(socket: UdpSocket, texts: Texts) {
    let mut buffer = [0; 1500];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let answer = buffer.get(..length).and_then(|question| answer(question, &texts.lock()));
        if let Some(answer) = answer {
            // A peer that is gone misses its answer.
            let _sent = socket.send_to(&answer, peer).await;
        }
    }
}

fn answer(message: &[u8], texts: &HashMap<String, String>) -> Option<Vec<u8>> {
    let (mut name, mut at) = (Vec::new(), HEADER);
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8(message.get(at..at + length)?.to_ascii_lowercase()).ok()?);
        at += length;
    }
    let question = message.get(HEADER..at + 4)?;
    let is_text = message.get(at..at + 2)? == TXT;
    let text = texts.get(&name.join(".")).filter(|text| is_text && text.len() < 256);
    let mut answer = message.get(..2)?.to_vec();
    // An answer, authoritative, by a server that recurses; one question, and one answer or none.
    answer.extend([0x85, 0x80, 0, 1, 0, u8::from(text.is_some()), 0, 0, 0, 0]);
    answer.extend(question);
    if let Some(text) = text {
        let length = u8::try_from(text.len()).ok()?;
        answer.extend([0xc0, 0x0c, 0, 16, 0, 1, 0, 0, 0, 60, 0, length.checked_add(1)?, length]);
        answer.extend(text.as_bytes());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_answered_and_everything_else_is_not_there() {
        let texts = HashMap::from([("a.b".to_owned(), "text".to_owned())]);
        let ask = |kind: u8, name: &[u8]| {
            let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            message.extend(name);
            message.extend([0, kind, 0, 1]);
            message
        };
        let found = answer(&ask(16, b"\x01A\x01b\x00"), &texts).unwrap();
        assert_eq!(&found[..8], [7, 9, 0x85, 0x80, 0, 1, 0, 1]);
        assert!(found.ends_with(b"\x05\x04text"));
        assert_eq!(answer(&ask(1, b"\x01a\x01b\x00"), &texts).unwrap()[7], 0);
        assert_eq!(answer(&ask(16, b"\x01c\x00"), &texts).unwrap()[7], 0);
        for broken in [&b""[..], &[0; 12], &ask(16, b"\x3fa")] {
            assert_eq!(answer(broken, &texts), None);
        }
    }
}
