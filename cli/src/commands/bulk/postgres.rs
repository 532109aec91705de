//! A connection to somebody's PostgreSQL: where it is, as whom, over what. Queries wait for their answer; what happens at
//! the same time in a bulk run are the requests to the key server.

mod password;
mod tls;

use crate::failure::{Failure, REMOTE, Result};
use std::{error::Error as _, net::IpAddr, path::Path, time::Duration};
use tls::Tls;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{
    Client, Config, Error, Row,
    config::{Host, SslMode},
    types::ToSql,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Database {
    runtime: Runtime,
    client: Client,
    name: String,
}

impl Database {
    /// Connects. TLS is demanded, unless the URL says `sslmode=`, or the database is on this machine and no CA is named.
    pub(super) fn connect(url: &str, ca: Option<&Path>) -> Result<Self> {
        let tls = Tls::new(ca)?;
        let config = configure(url, tls.names_ca())?;
        let name = name(&config);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::local("cannot start the connection's thread").because(error))?;
        let (client, connection) = runtime
            .block_on(config.connect(tls.connector))
            .map_err(|error| advised(failed(&format!("connecting to {name}"), &error), &error))?;
        // It ends with the client, and what goes wrong with it is told to whoever queries.
        drop(runtime.spawn(connection));
        Ok(Self { runtime, client, name })
    }

    /// The database for people, without a secret in it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn query(&self, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.runtime.block_on(self.client.query(statement, values))
    }
}

fn configure(url: &str, names_ca: bool) -> Result<Config> {
    // The URL is not shown: it may hold a password, which is what is wrong with it.
    let wrong = || Failure::local("--postgres cannot be read").fix("write it as postgres://USER@HOST:PORT/DATABASE");
    let mut config: Config =
        url.parse().map_err(|_| wrong().because("it is not the address of a PostgreSQL database"))?;
    if config.get_password().is_some() {
        return Err(wrong()
            .because("it holds a password, which every user of this machine can read in the list of processes")
            .fix("leave the password out, and set PGPASSWORD or write it into ~/.pgpass"));
    }
    if config.get_user().is_none() || config.get_hosts().is_empty() {
        return Err(wrong().because("it names no user or no host"));
    }
    if !url.contains("sslmode=") {
        let near = config.get_hosts().iter().all(is_near);
        config.ssl_mode(if near && !names_ca { SslMode::Disable } else { SslMode::Require });
    }
    if let Some(password) = password::find(&config)? {
        config.password(password.as_bytes());
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    config.application_name("chancery");
    Ok(config)
}

/// On this machine.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        Host::Unix(_) => true,
    }
}

fn name(config: &Config) -> String {
    let host = config.get_hosts().first().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{database} on {}:{port}", host.unwrap_or_default())
}

/// The failure of a query, with the database's own words.
pub(super) fn failed(what: &str, error: &Error) -> Failure {
    let failure = Failure { exit: REMOTE, ..Failure::local(format!("{what} failed")) };
    reasons(error).into_iter().fold(failure, Failure::because)
}

/// What the database says, else what the connection says.
pub(super) fn reasons(error: &Error) -> Vec<String> {
    if let Some(database) = error.as_db_error() {
        let more = [database.detail(), database.hint()];
        return std::iter::once(database.message().to_owned())
            .chain(more.into_iter().flatten().map(str::to_owned))
            .collect();
    }
    let mut reasons = vec![error.to_string()];
    let mut source = error.source();
    while let Some(reason) = source {
        reasons.push(reason.to_string());
        source = reason.source();
    }
    reasons.dedup();
    reasons
}

fn advised(failure: Failure, error: &Error) -> Failure {
    let why = reasons(error).join("; ");
    if why.contains("password") {
        failure.fix("set PGPASSWORD, or write the password into ~/.pgpass")
    } else if why.contains("certificate") || why.contains("UnknownIssuer") {
        failure
            .fix("name the CA of the database's certificate with --postgres-ca, and the host as the certificate does")
    } else if why.contains("TLS") {
        failure.fix("turn TLS on in the database; add ?sslmode=disable to the URL only where nobody can listen")
    } else {
        failure
            .fix("check host, port, user and database in --postgres, and that the database takes connections from here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_on_the_command_line_is_refused_and_not_repeated() {
        let refused = configure("postgres://app:hunter2@db.example/app", false).unwrap_err().to_string();
        assert!(refused.contains("PGPASSWORD") && !refused.contains("hunter2"), "{refused}");
        let refused = configure("postgres://app:hunter2@db.example:what/app", false).unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn tls_is_demanded_of_other_machines_unless_the_url_says_otherwise() {
        let mode = |url, names_ca| configure(url, names_ca).unwrap().get_ssl_mode();
        assert_eq!(mode("postgres://app@db.example/app", false), SslMode::Require);
        assert_eq!(mode("postgres://app@127.0.0.1/app", false), SslMode::Disable);
        assert_eq!(mode("postgres://app@127.0.0.1/app", true), SslMode::Require);
        assert_eq!(mode("postgres://app@db.example/app?sslmode=disable", true), SslMode::Disable);
        assert!(configure("postgres://db.example", false).is_err() && configure("hello", false).is_err());
    }
}
