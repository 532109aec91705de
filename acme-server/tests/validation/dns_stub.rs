//! A DNS server over UDP and TCP that answers what it was told, truth or not.

use hickory_resolver::proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CAA, CNAME, SOA, TXT},
    },
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

/// What is answered to one question.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Records(Vec<RData>),
    Code(ResponseCode),
    /// With the truncation bit, over UDP and over TCP.
    Truncated(Vec<RData>),
    /// With the truncation bit over UDP, whole over TCP.
    TruncatedOverUdp(Vec<RData>),
    /// Bytes after the question's id.
    Garbage(Vec<u8>),
    Silence,
}

type Zone = HashMap<(String, RecordType), VecDeque<Answer>>;

#[derive(Default)]
struct Book {
    zone: Zone,
    asked: Vec<(String, RecordType)>,
}

pub(crate) struct DnsStub {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    _serving: JoinSet<()>,
}

impl DnsStub {
    pub(crate) async fn start() -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let book = Arc::new(Mutex::new(Book::default()));
        let mut serving = JoinSet::new();
        serving.spawn(serve_udp(udp, Arc::clone(&book)));
        serving.spawn(serve_tcp(tcp, Arc::clone(&book)));
        Self { address, book, _serving: serving }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers in turn; the last one stays.
    pub(crate) fn say(&self, name: &str, kind: RecordType, answers: impl IntoIterator<Item = Answer>) {
        let key = (format!("{}.", name.to_lowercase()), kind);
        self.book.lock().zone.insert(key, answers.into_iter().collect());
    }

    pub(crate) fn has_a(&self, name: &str, addresses: &[Ipv4Addr]) {
        let records = addresses.iter().map(|address| RData::A(A(*address))).collect();
        self.say(name, RecordType::A, [Answer::Records(records)]);
    }

    pub(crate) fn has_aaaa(&self, name: &str, address: Ipv6Addr) {
        self.say(name, RecordType::AAAA, [Answer::Records(vec![RData::AAAA(AAAA(address))])]);
    }

    pub(crate) fn has_txt(&self, name: &str, texts: &[&str]) {
        // Strings of at most 255 bytes (RFC 1035 §3.3).
        let pieces = |text: &str| text.as_bytes().chunks(100).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let record = |text: &&str| {
            let pieces = pieces(text);
            RData::TXT(TXT::from_bytes(pieces.iter().map(Vec::as_slice).collect()))
        };
        self.say(name, RecordType::TXT, [Answer::Records(texts.iter().map(record).collect())]);
    }

    /// `issue ca.example`, a record each.
    pub(crate) fn has_caa(&self, name: &str, records: &[&str]) {
        let record = |text: &&str| {
            let (tag, value) = text.split_once(' ').unwrap();
            let mut record = CAA::new_issue(false, None, Vec::new());
            record.issuer_critical = tag.starts_with('!');
            record.tag = tag.trim_start_matches('!').to_owned();
            record.value = value.as_bytes().to_vec();
            RData::CAA(record)
        };
        self.say(name, RecordType::CAA, [Answer::Records(records.iter().map(record).collect())]);
    }

    pub(crate) fn has_alias(&self, name: &str, target: &str) {
        let target = Name::from_ascii(format!("{target}.")).unwrap();
        self.say(name, RecordType::CNAME, [Answer::Records(vec![RData::CNAME(CNAME(target))])]);
    }

    /// How often that was asked.
    pub(crate) fn asked(&self, name: &str, kind: RecordType) -> usize {
        let wanted = (format!("{name}."), kind);
        self.book.lock().asked.iter().filter(|asked| **asked == wanted).count()
    }
}

async fn serve_udp(socket: UdpSocket, book: Arc<Mutex<Book>>) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { return };
        if let Some(answer) = answer(&buffer[..length], &book, true) {
            socket.send_to(&answer, peer).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, book: Arc<Mutex<Book>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let book = Arc::clone(&book);
        connections.spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; usize::from(length)];
                if stream.read_exact(&mut question).await.is_err() {
                    return;
                }
                if let Some(answer) = answer(&question, &book, false) {
                    let length = u16::try_from(answer.len()).unwrap();
                    let mut framed = length.to_be_bytes().to_vec();
                    framed.extend(answer);
                    if stream.write_all(&framed).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

fn answer(bytes: &[u8], book: &Mutex<Book>, is_udp: bool) -> Option<Vec<u8>> {
    let request = Message::from_vec(bytes).ok()?;
    let query = request.queries.first()?.clone();
    let (name, kind) = (query.name().to_lowercase().to_ascii(), query.query_type());
    let mut book = book.lock();
    book.asked.push((name.clone(), kind));
    let mut response = Message::response(request.metadata.id, OpCode::Query);
    response.metadata.recursion_available = true;
    response.add_query(query.clone());
    let exists = book.zone.keys().any(|(known, _)| *known == name);
    let mut said = |kind| {
        let answers = book.zone.get_mut(&(name.clone(), kind))?;
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    };
    let record = |data| Record::from_rdata(query.name().clone(), 60, data);
    match said(kind).or_else(|| said(RecordType::CNAME)) {
        Some(Answer::Records(records)) => {
            response.add_answers(records.into_iter().map(record));
        }
        Some(Answer::Code(code)) => response.metadata.response_code = code,
        Some(Answer::Truncated(records)) => {
            response.metadata.truncation = true;
            response.add_answers(records.into_iter().map(record));
        }
        Some(Answer::TruncatedOverUdp(records)) => {
            response.metadata.truncation = is_udp;
            let shown = if is_udp { 0 } else { records.len() };
            response.add_answers(records.into_iter().take(shown).map(record));
        }
        Some(Answer::Garbage(garbage)) => {
            let mut answer = bytes.get(..2)?.to_vec();
            answer.extend(garbage);
            return Some(answer);
        }
        Some(Answer::Silence) => return None,
        None => {
            if !exists {
                response.metadata.response_code = ResponseCode::NXDomain;
            }
            let zone = Name::from_ascii("test.").unwrap();
            let soa = SOA::new(zone.clone(), zone.clone(), 1, 60, 60, 60, 60);
            response.add_authority(Record::from_rdata(zone, 60, RData::SOA(soa)));
        }
    }
    response.to_vec().ok()
}
