//! `tegata`: one command for all services, the demo, and what outsiders check.

use clap::{CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tegata::terminal::plain_lines;
use tegata::{audit, demo, fsck, import, issue, present, verify, wallet};

/// Consent and credential ledger with personal data vaults.
///
/// Records belong to the person. Clinics, cities and schools sign them into her vault; hospitals, schools and insurers read
/// what she allows, while she allows it, and every reading leaves a receipt.
#[derive(Parser)]
#[command(name = "tegata", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Ends when standard input closes: for processes that must not outlive the one that started them.
    #[arg(long, global = true, hide = true)]
    exit_with_input: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Brings up the whole system on this machine and tells its stories.
    Demo(demo::Options),
    /// Runs a node of the ledger.
    Node(Config),
    /// Runs a vault host.
    Vault(Config),
    /// Runs an issuer, or sends it a CSV file.
    Issuer(IssuerArguments),
    /// Runs a verifier.
    Verifier(Config),
    /// Serves the built wallet.
    Wallet(wallet::Options),
    /// Says what a credential, receipt or proof is, who signed it, whether it holds, and why not.
    Verify(verify::Options),
    /// Signs a record by hand: as SD-JWT VC, or as the text of a QR code that is checked offline.
    Issue(issue::Options),
    /// Shows chosen claims of an SD-JWT VC, signed by its holder for one verifier.
    Present(present::Options),
    /// Checks a whole ledger from its public endpoints alone.
    Audit(audit::Options),
    /// Checks everything that lies on disk below a directory.
    Fsck(fsck::Options),
    /// Prints a completion script.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(clap::Args)]
struct Config {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
struct IssuerArguments {
    #[command(subcommand)]
    command: Option<IssuerCommand>,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum IssuerCommand {
    /// Sends a CSV file to a running issuer, with a progress bar.
    Import(import::Options),
}

/// Whatever is written from here on, and by processes that are started, only this user may read: stores, logs, reports.
fn keep_to_oneself() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Ends the process once nobody holds the other end of standard input.
fn exit_with_input() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    keep_to_oneself();
    if cli.exit_with_input {
        exit_with_input();
    }
    match cli.command {
        Command::Demo(options) => report(demo::run(options).await),
        Command::Node(Config { config }) => match tegata_ledger::NodeConfig::load(&config) {
            Ok(config) => report(tegata_ledger::run(config).await),
            Err(error) => report::<_>(Err(error)),
        },
        Command::Vault(Config { config }) => match tegata_vault::VaultConfig::load(&config) {
            Ok(config) => report(tegata_vault::run(config).await),
            Err(error) => report(Err(error)),
        },
        Command::Issuer(IssuerArguments {
            command: Some(IssuerCommand::Import(options)),
            ..
        }) => import::run(options).await,
        Command::Issuer(IssuerArguments { config, .. }) => {
            match tegata_issuer::IssuerConfig::load(config.unwrap_or_default()) {
                Ok(config) => report(tegata_issuer::run(config).await),
                Err(error) => report(Err(error)),
            }
        }
        Command::Verifier(Config { config }) => {
            match tegata_verifier::VerifierConfig::load(&config) {
                Ok(config) => report(tegata_verifier::run(config).await),
                Err(error) => report(Err(error)),
            }
        }
        Command::Wallet(options) => report(wallet::run(options).await),
        Command::Verify(options) => verify::run(options).await,
        Command::Issue(options) => issue::run(&options),
        Command::Present(options) => present::run(&options),
        Command::Audit(options) => audit::run(options).await,
        Command::Fsck(options) => fsck::run(&options),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "tegata", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

fn report<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tegata: {}", plain_lines(&error.to_string(), 4));
            ExitCode::FAILURE
        }
    }
}
