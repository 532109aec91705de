//! `ssh`: a certificate for the person at the keyboard, in their agent, for as long as it is valid.
//!
//! | file | command |
//! |---|---|
//! | `login.rs` | `login`: a key that never touches the disk, or one that is there already |
//! | `agent.rs` | ssh-agent's protocol, as much as is needed |

mod agent;
mod login;

use crate::{
    failure::Result,
    output::{Output, print},
    remote::{Remote, connection::ConnectionFlags},
};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SshCommand {
    /// Get a certificate into ssh-agent
    Login(Box<login::LoginFlags>),
    /// Print lines for ~/.ssh/config that log in on demand
    Config(ConfigFlags),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFlags {
    /// Hosts that are reached with a certificate
    #[arg(default_value = "*")]
    host: String,
    /// Use ProxyCommand instead of Match exec, for clients that must not ask before they connect
    #[arg(long)]
    proxy_command: bool,
    /// Flags for `chancery ssh login`, such as --role
    #[arg(last = true)]
    login: Vec<String>,
}

pub(crate) fn run(command: &SshCommand, connection: &ConnectionFlags, output: &Output) -> Result<()> {
    match command {
        SshCommand::Login(flags) => login::run(flags, || Remote::new(connection), output),
        SshCommand::Config(flags) => print(&snippet(flags)),
    }
}

fn snippet(flags: &ConfigFlags) -> String {
    let more: String = flags.login.iter().map(|word| format!(" {word}")).collect();
    let login = format!("chancery ssh login --if-needed{more}");
    let host = &flags.host;
    if flags.proxy_command {
        format!("Host {host}\n    ProxyCommand sh -c '{login} >/dev/null && exec nc %h %p'\n")
    } else {
        // True only when there is a certificate; what follows is for those hosts and nothing else.
        format!("Match host {host} exec \"{login}\"\n    PreferredAuthentications publickey\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_snippets_log_in_first() {
        let flags = |proxy_command| ConfigFlags {
            host: "*.example.com".to_owned(),
            proxy_command,
            login: vec!["--role".to_owned(), "ops".to_owned()],
        };
        assert!(
            snippet(&flags(false))
                .starts_with("Match host *.example.com exec \"chancery ssh login --if-needed --role ops\"\n")
        );
        assert!(
            snippet(&flags(true))
                .contains("ProxyCommand sh -c 'chancery ssh login --if-needed --role ops >/dev/null && exec nc %h %p'")
        );
    }
}
