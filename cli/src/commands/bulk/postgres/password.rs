//! The password of a connection, from where PostgreSQL's own clients take it: `PGPASSWORD`, then the password file
//! (`PGPASSFILE`, else `~/.pgpass`; PostgreSQL manual, 34.16).

use crate::{
    environment,
    failure::{Failure, Result},
};
use std::{env, fs, os::unix::fs::MetadataExt as _, path::PathBuf};
use tokio_postgres::{Config, config::Host};
use zeroize::Zeroizing;

/// The password for this connection, if there is one.
pub(super) fn find(config: &Config) -> Result<Option<Zeroizing<String>>> {
    if let Some(password) = env::var("PGPASSWORD").ok().filter(|password| !password.is_empty()) {
        return Ok(Some(Zeroizing::new(password)));
    }
    let file = env::var_os("PGPASSFILE").map(PathBuf::from).or_else(|| Some(environment::home()?.join(".pgpass")));
    let Some(file) = file.filter(|file| file.is_file()) else { return Ok(None) };
    let wrong = |why: String| Failure::local(format!("cannot use {}", file.display())).because(why);
    let metadata = fs::metadata(&file).map_err(|error| wrong(error.to_string()))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(wrong("others can read it".to_owned()).fix(format!("chmod 600 {}", file.display())));
    }
    let text = Zeroizing::new(fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?);
    Ok(search(&text, config))
}

/// The first line that matches: host:port:database:user:password, where `*` matches anything.
fn search(text: &str, config: &Config) -> Option<Zeroizing<String>> {
    let host = match config.get_hosts().first()? {
        Host::Tcp(name) => name.clone(),
        // The default socket directory is spelt localhost.
        Host::Unix(_) => "localhost".to_owned(),
    };
    let user = config.get_user()?;
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let wanted = [host.as_str(), &port, config.get_dbname().unwrap_or(user), user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = split(line);
        let password = fields.pop()?;
        let matches =
            fields.len() == 4 && fields.iter().zip(wanted).all(|(field, want)| *field == "*" || field == want);
        matches.then(|| Zeroizing::new(password))
    })
}

/// Five fields; a colon or a backslash inside one stands behind a backslash. The last goes to the end of the line.
fn split(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let last = fields.len() == 5;
        match (character, fields.last_mut()) {
            ('\\', Some(field)) => field.extend(characters.next()),
            (':', _) if !last => fields.push(String::new()),
            (character, Some(field)) => field.push(character),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_matches_gives_the_password() {
        let config: Config = "postgres://app@db.example:5433/orders".parse().unwrap();
        let found = |text| search(text, &config).map(|password| password.to_string());
        let file = "# mine\ndb.example:5432:*:app:no\n*:5433:orders:app:a\\:b:c\n*:*:*:*:late\n";
        assert_eq!(found(file).as_deref(), Some("a:b:c"));
        assert_eq!(found("db.example:5433:other:app:x\n"), None);
        assert_eq!(found("junk\n::\n"), None);
    }
}
