//! The certificate authority on a token that another process holds: SoftHSM behind a real `p11-kit server`, spoken to over its
//! socket by p11-kit's client module. The server is killed with its connections, and started again.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test binary without a harness; it fails by panicking"
)]

#[path = "../../ca/tests/api/harness.rs"]
#[expect(dead_code, reason = "the engine's own tests use more of it")]
mod harness;
#[path = "../../ca/tests/api/openssl.rs"]
#[expect(dead_code, reason = "the engine's own tests use more of it")]
mod openssl;
#[path = "unplugged/scenario.rs"]
mod scenario;
#[path = "support/softhsm.rs"]
mod softhsm;
#[path = "support/token.rs"]
mod token;

use scenario::{Plug, unplugged};
use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    time::Duration,
};
use token::Stage;

/// Where Debian, Ubuntu and Fedora put the client module.
const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib64/pkcs11/p11-kit-client.so",
    "/usr/lib/pkcs11/p11-kit-client.so",
];

/// The process that holds the token, and one more for each connection, all in one group.
struct Server {
    socket: PathBuf,
    running: Option<Child>,
}

impl Server {
    fn start(place: &Path) -> Self {
        let mut server = Self { socket: softhsm::socket(place), running: None };
        server.put_back();
        server
    }
}

impl Plug for Server {
    fn pull(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        let group = format!("-{}", child.id());
        let killed = Command::new("kill").args(["-KILL", "--", &group]).status();
        assert!(killed.expect("kill runs").success(), "the server and its connections are killed");
        child.wait().expect("the server is gone");
        std::fs::remove_file(&self.socket).expect("what a killed server leaves behind");
    }

    fn put_back(&mut self) {
        let mut command = Command::new("p11-kit");
        command.args(["server", "--foreground", "--name"]).arg(&self.socket);
        let module = std::env::var_os("CHANCERY_SHIM_MODULE").expect("the outer run says where SoftHSM is");
        command.arg("--provider").arg(module).arg("pkcs11:").process_group(0);
        self.running = Some(command.spawn().expect("p11-kit runs: apt-get install p11-kit p11-kit-modules"));
        for _ in 0..100 {
            if self.socket.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("p11-kit server makes no socket");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.pull();
    }
}

fn main() -> ExitCode {
    let client = PLACES.into_iter().map(Path::new).find(|path| path.exists());
    if client.is_none() {
        eprintln!("FAILED: p11-kit's client module is not installed: apt-get install p11-kit p11-kit-modules");
        return ExitCode::FAILURE;
    }
    let token = match softhsm::stage(client) {
        Stage::Finished(code) => return code,
        Stage::Inside(token) => token,
    };
    let mut server = Server::start(&token.place);
    tokio::runtime::Runtime::new().expect("a runtime").block_on(unplugged(&token, &mut server));
    println!("ok      a p11-kit server that is killed and comes back");
    ExitCode::SUCCESS
}
