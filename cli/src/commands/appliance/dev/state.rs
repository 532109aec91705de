//! The directory a development server lives in: token, PIN, certificates, database, audit log. Temporary unless it is to
//! persist; then a later start goes on with it.

use super::super::files;
use crate::failure::{Failure, Result};
use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::json;
use std::{
    env, fs,
    net::{IpAddr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Set in the second execution: the state directory, and whether it is to vanish.
const DIRECTORY: &str = "CHANCERY_DEV_STATE";
const TEMPORARY: &str = "CHANCERY_DEV_TEMPORARY";
const SOFTHSM: &str = "SOFTHSM2_CONF";

/// The directory; removed on drop if it is temporary.
pub(super) struct State {
    directory: PathBuf,
    temporary: bool,
}

impl State {
    /// The state that the first execution prepared, in the second one.
    pub(super) fn entered() -> Option<Self> {
        let directory = PathBuf::from(env::var_os(DIRECTORY)?);
        Some(Self { directory, temporary: env::var_os(TEMPORARY).is_some() })
    }

    /// Makes the directory, the token and the certificates, or finds them there.
    pub(super) fn prepare(persist: Option<&Path>) -> Result<Self> {
        let state = match persist {
            None => Self { directory: temporary()?, temporary: true },
            Some(path) => {
                files::directory(path)?;
                let directory = path
                    .canonicalize()
                    .map_err(|error| Failure::local(format!("cannot use {}", path.display())).because(error))?;
                Self { directory, temporary: false }
            }
        };
        if !state.file("pin").exists() {
            state.make_certificates()?;
            state.make_token()?;
        }
        Ok(state)
    }

    /// Executes this program again with the token's configuration in its environment.
    pub(super) fn enter(self) -> Result<ExitCode> {
        let wrong = |error| Failure::local("cannot start over").because(error);
        let mut words = env::args_os();
        let name = words.next().unwrap_or_default();
        let mut command = Command::new(env::current_exe().map_err(wrong)?);
        command.arg0(name).args(words).env(DIRECTORY, &self.directory).env(SOFTHSM, self.softhsm());
        if self.temporary {
            command.env(TEMPORARY, "1");
        }
        // Only a failure comes back; the directory is then removed by our drop.
        Err(wrong(command.exec()))
    }

    /// Writes the configuration for this start and gives its path.
    pub(super) fn configuration(&self, host: IpAddr, port: Option<u16>) -> Result<PathBuf> {
        let module = chancery_server::config::find_module("softhsm2")
            .map_err(|error| Failure::local("SoftHSM is not installed").because(error))?;
        let plain = port.map_or_else(|| preferred(host, 8200), |port| SocketAddr::new(host, port));
        let text = format!(
            "state_dir = \".\"\n\
             listener.plain = {{ address = {plain} }}\n\
             listener.tls = {{ address = {tls}, tls_cert = \"server.pem\", tls_key = \"server.key\" }}\n\
             storage.url = \"sqlite:chancery.db\"\n\
             hsm = {{ module = {module}, token = \"chancery-dev\", pin = \"file:pin\", sessions = 4 }}\n\
             seal.type = \"pkcs11\"\n\
             audit.file = {{ path = \"audit.jsonl\" }}\n",
            plain = json!(plain.to_string()),
            tls = json!(preferred(host, 8202).to_string()),
            module = json!(module.display().to_string()),
        );
        let path = self.file("chancery.toml");
        fs::write(&path, text)
            .map_err(|error| Failure::local(format!("cannot write {}", path.display())).because(error))?;
        Ok(path)
    }

    pub(super) fn keep_recovery_key(&self, key: &str) -> Result<()> {
        if self.temporary { Ok(()) } else { files::create(&self.file("recovery-key"), key) }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// Certificate of the CA that signed the server's.
    pub(super) fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// SoftHSM's configuration.
    pub(super) fn softhsm(&self) -> PathBuf {
        self.file("softhsm2.conf")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn make_token(&self) -> Result<()> {
        let tokens = self.file("tokens");
        files::directory(&tokens)?;
        let softhsm = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
            tokens.display()
        );
        files::create(&self.softhsm(), &softhsm)?;
        let (pin, officer) = (random_pin()?, random_pin()?);
        // The PIN is on this command line for a moment. It opens a token in a directory that is ours alone.
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "chancery-dev", "--pin", &pin, "--so-pin", &officer])
            .env(SOFTHSM, self.softhsm())
            .output();
        let wrong = || Failure::local("cannot make a SoftHSM token").fix("install SoftHSM: apt install softhsm2");
        match made {
            Err(error) => return Err(wrong().because(format!("softhsm2-util does not start: {error}"))),
            Ok(done) if !done.status.success() => {
                return Err(wrong().because(String::from_utf8_lossy(&done.stderr).trim().to_owned()));
            }
            Ok(_) => {}
        }
        // Last, because its presence says that the rest is complete.
        files::create(&self.file("pin"), &pin)
    }

    fn make_certificates(&self) -> Result<()> {
        let wrong = |error| Failure::local("cannot make the TLS certificate").because(error);
        let key = KeyPair::generate().map_err(wrong)?;
        let mut authority = CertificateParams::new(Vec::new()).map_err(wrong)?;
        authority.distinguished_name.push(DnType::CommonName, "Chancery development TLS");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = authority.self_signed(&key).map_err(wrong)?;
        let issuer = Issuer::new(authority, key);
        let server_key = KeyPair::generate().map_err(wrong)?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let mut server = CertificateParams::new(names).map_err(wrong)?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = server.signed_by(&server_key, &issuer).map_err(wrong)?;
        for (name, text) in
            [("ca.pem", certificate.pem()), ("server.pem", leaf.pem()), ("server.key", server_key.serialize_pem())]
        {
            let path = self.file(name);
            if path.exists() {
                fs::remove_file(&path)?;
            }
            files::create(&path, &text)?;
        }
        Ok(())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.directory)
        {
            tracing::warn!(directory = %self.directory.display(), %error, "the temporary directory could not be removed");
        }
    }
}

fn temporary() -> Result<PathBuf> {
    tempfile::Builder::new()
        .prefix("chancery-dev-")
        .tempdir()
        .map(tempfile::TempDir::keep)
        .map_err(|error| Failure::local("cannot make a temporary directory").because(error))
}

fn random_pin() -> Result<String> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| Failure::local("the system gave no randomness").because(error))?;
    Ok(HEXLOWER.encode(&bytes))
}

/// The customary port if it is free, else any.
fn preferred(host: IpAddr, port: u16) -> SocketAddr {
    let address = SocketAddr::new(host, port);
    let free = TcpListener::bind(address).is_ok();
    if free { address } else { SocketAddr::new(host, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_taken_port_gives_way_to_a_free_one() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(preferred(Ipv4Addr::LOCALHOST.into(), port).port(), 0);
    }

    #[test]
    fn a_temporary_state_vanishes_with_its_certificates() {
        let state = State { directory: temporary().unwrap(), temporary: true };
        state.make_certificates().unwrap();
        assert!(fs::read_to_string(state.authority()).unwrap().contains("BEGIN CERTIFICATE"));
        let directory = state.directory().to_owned();
        drop(state);
        assert!(!directory.exists());
    }
}
