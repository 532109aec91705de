//! The command tree. Each command's own flags live beside its code in [`commands`](crate::commands).

use crate::{
    bench::BenchCommand,
    commands::{
        acme, appliance, audit, auth, bulk, ca, data, kv, lease, login, operator, policy, secrets, shell, ssh, ssh_ca,
        token, transit,
    },
    output::OutputFlags,
    remote::ConnectionFlags,
};
use clap::{Parser, Subcommand};

/// Keys in an HSM, their use over HTTPS.
#[derive(Debug, Parser)]
#[command(
    name = "chancery",
    version,
    max_term_width = 110,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done, 1 wrong usage or a failure on this side, 2 a failure the server reported."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: ConnectionFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a throw-away server with a private SoftHSM token and everything mounted
    Dev(appliance::dev::DevFlags),
    /// Run the server
    Server(appliance::server::ServerFlags),
    /// Set up a server: an HSM and a PIN become a configuration, a sealed database and recovery shares
    Init(appliance::init::InitFlags),
    /// Find what is wrong with a server's configuration, HSM, storage and machine (exit code 0 fine, 3 warnings, 4 failures)
    Doctor(appliance::doctor::DoctorFlags),
    /// Print whether the server is initialized and unsealed (exit code 0 unsealed, 2 sealed, 1 no answer)
    Status,
    /// Log in and keep the token in the token file
    Login(login::LoginFlags),
    /// Initialize, unseal, seal and rekey
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Manage secrets engines
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Manage login methods
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    /// Manage policies
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Manage tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Manage leases
    #[command(subcommand)]
    Lease(lease::LeaseCommand),
    /// Manage audit sinks, verify audit files
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Read a path
    Read(data::ReadFlags),
    /// Write to a path
    Write(data::WriteFlags),
    /// List the names below a path
    List(data::PathFlags),
    /// Delete what is at a path
    Delete(data::DeleteFlags),
    /// Change some members of what is at a path
    Patch(data::WriteFlags),
    /// Open a wrapping token
    Unwrap(data::UnwrapFlags),
    /// Key-value secrets, either version
    #[command(subcommand)]
    Kv(kv::KvCommand),
    /// Encrypt and sign with keys the server keeps; manage them
    Transit(Box<transit::TransitFlags>),
    /// Get an SSH certificate into ssh-agent
    #[command(subcommand)]
    Ssh(ssh::SshCommand),
    /// The SSH certificate authority: inventory, revocation, rotation, hosts
    SshCa(Box<ssh_ca::SshCaFlags>),
    /// The ACME server: accounts, orders and why they failed, external account keys, early replacement
    Acme(Box<acme::AcmeFlags>),
    /// Certificate authorities: what was issued, what ends soon, how issuers hang together; ceremonies
    Ca(Box<ca::CaFlags>),
    /// Work over many ciphertexts at once
    #[command(subcommand)]
    Bulk(bulk::BulkCommand),
    /// Show the API's own help for a path
    PathHelp(data::PathFlags),
    /// Print what this command line would use
    #[command(subcommand)]
    Print(shell::PrintCommand),
    /// Measure a server: throughput, latency, CPU per request
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print the version
    Version,
    /// Print shell completions
    Completions(shell::CompletionFlags),
    /// Write the manual pages into a directory
    Man(shell::ManFlags),
}
