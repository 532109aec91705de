//! What is to be in place, compared with what is; told, and done unless it is only to be told.

use crate::{
    commands::ssh_ca::pull,
    failure::{Failure, Result},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Ends the lines of `ssh_known_hosts` that are ours.
const MARK: &str = "chancery";

/// A file as it shall be.
pub(super) struct Wanted {
    pub(super) path: PathBuf,
    pub(super) content: String,
    pub(super) mode: u32,
    /// Whether sshd reads it only when it starts.
    pub(super) is_read_at_start: bool,
}

/// Steps taken, or to be taken.
pub(super) struct Plan {
    dry: bool,
    steps: Vec<String>,
    reload: bool,
}

impl Plan {
    pub(super) fn new(dry: bool) -> Self {
        Self { dry, steps: Vec::new(), reload: false }
    }

    /// Something that sshd reads at its start: a key or a certificate.
    pub(super) fn act(&mut self, what: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
        if !self.dry {
            action()?;
        }
        self.note(what);
        self.reload = true;
        Ok(())
    }

    pub(super) fn file(&mut self, wanted: &Wanted) -> Result<()> {
        if fs::read_to_string(&wanted.path).is_ok_and(|present| present == wanted.content) {
            return Ok(());
        }
        if !self.dry {
            pull::replace(&wanted.path, wanted.content.as_bytes(), wanted.mode)?;
        }
        self.note(&format!("write {}", wanted.path.display()));
        self.reload |= wanted.is_read_at_start;
        Ok(())
    }

    pub(super) fn directory(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if !self.dry {
            fs::create_dir_all(path)
                .map_err(|error| Failure::local(format!("cannot make {}", path.display())).because(error))?;
        }
        self.note(&format!("make the directory {}", path.display()));
        Ok(())
    }

    pub(super) fn note(&mut self, what: &str) {
        self.steps.push(if self.dry { format!("would {what}") } else { what.to_owned() });
    }

    pub(super) fn steps(&self) -> &[String] {
        &self.steps
    }

    pub(super) fn needs_reload(&self) -> bool {
        self.reload
    }
}

/// The file with our authorities in it, and nobody else's line touched.
pub(super) fn with_authorities(present: &str, patterns: &str, keys: &str) -> String {
    let is_ours = |line: &str| line.starts_with("@cert-authority ") && line.ends_with(&format!(" {MARK}"));
    let mut content: String = present.lines().filter(|line| !is_ours(line)).map(|line| format!("{line}\n")).collect();
    for key in keys.lines() {
        // Type and base64; a comment would hide our mark.
        let key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        content.push_str(&format!("@cert-authority {patterns} {key} {MARK}\n"));
    }
    content
}

/// `*.example.com` for `a.example.com`; a name without a domain stands for itself.
pub(super) fn domains(names: &[String]) -> Vec<String> {
    let mut patterns: Vec<String> = names
        .iter()
        .map(|name| name.split_once('.').map_or_else(|| name.clone(), |(_, domain)| format!("*.{domain}")))
        .collect();
    patterns.sort();
    patterns.dedup();
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_of_known_hosts_are_left_alone() {
        let present =
            "# a comment\nother ssh-ed25519 AAAA\n@cert-authority *.old KEY x chancery\n@cert-authority * KEY theirs\n";
        let with = with_authorities(present, "*.example.com", "ssh-ed25519 AAAB comment\nssh-ed25519 AAAC\n");
        assert_eq!(
            with,
            "# a comment\nother ssh-ed25519 AAAA\n@cert-authority * KEY theirs\n\
             @cert-authority *.example.com ssh-ed25519 AAAB chancery\n\
             @cert-authority *.example.com ssh-ed25519 AAAC chancery\n"
        );
        assert_eq!(with_authorities(&with, "*.example.com", "ssh-ed25519 AAAB\nssh-ed25519 AAAC\n"), with);
    }

    #[test]
    fn patterns_cover_the_neighbours() {
        let names = ["a.example.com", "b.example.com", "plain"].map(str::to_owned);
        assert_eq!(domains(&names), ["*.example.com", "plain"]);
    }

    #[test]
    fn a_dry_plan_does_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = || Wanted {
            path: directory.path().join("file"),
            content: "text".to_owned(),
            mode: 0o644,
            is_read_at_start: true,
        };
        let mut plan = Plan::new(true);
        plan.file(&wanted()).unwrap();
        plan.act("have it certified", || Err(Failure::local("must not run"))).unwrap();
        assert_eq!(plan.steps().len(), 2);
        assert!(fs::read_dir(directory.path()).unwrap().next().is_none());
        let mut plan = Plan::new(false);
        plan.file(&wanted()).unwrap();
        assert!(plan.needs_reload());
        let mut again = Plan::new(false);
        again.file(&wanted()).unwrap();
        assert!(again.steps().is_empty() && !again.needs_reload());
    }
}
