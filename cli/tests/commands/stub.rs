//! A server that answers from a script, and a home directory of its own for the command under test.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// One scripted answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: &'static str,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn ok(body: &str) -> Self {
        Self { status: 200, headers: "", body: body.to_owned() }
    }
}

pub(crate) struct Stub {
    address: String,
    requests: Receiver<String>,
    home: TempDir,
}

impl Stub {
    pub(crate) fn start<const N: usize>(replies: [Reply; N]) -> Self {
        Self::start_with(replies.into())
    }

    pub(crate) fn start_with(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        thread::spawn(move || {
            for reply in replies {
                let (connection, _) = listener.accept().unwrap();
                answer(connection, &reply, &sender);
            }
        });
        Self { address, requests, home: TempDir::new().unwrap() }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A file in the home directory, opened for reading.
    pub(crate) fn file(&self, name: &str, text: &str) -> File {
        let path = self.home().join(name);
        std::fs::write(&path, text).unwrap();
        File::open(path).unwrap()
    }

    /// The next request: its head and its body.
    pub(crate) fn request(&self) -> String {
        self.requests.recv_timeout(Duration::from_secs(10)).expect("the command sent a request")
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_chancery")), words)
    }

    pub(crate) fn command_of(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .env_clear()
            .env("HOME", self.home())
            .env("CHANCERY_ADDR", &self.address)
            .env("CHANCERY_TOKEN", "s.test");
        command
    }
}

fn answer(connection: TcpStream, reply: &Reply, requests: &Sender<String>) {
    let mut reader = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "the connection ended inside the head: {head}");
    }
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(|text| text.trim().parse().unwrap()))
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    requests.send(head + &String::from_utf8(body).unwrap()).unwrap();
    let Reply { status, headers, body } = reply;
    write!(
        reader.get_mut(),
        "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}
