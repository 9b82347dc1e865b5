//! The `lingxi` program: arguments in, one command run, an exit code out.
//!
//! 0: done. 2: the person can put it right; the message says how. 1: the program is at fault.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use lingxi::cli::{Cli, Command};
use lingxi::{commands, failure};

fn main() -> ExitCode {
    start_log();
    quiet_parquet();
    let command = Cli::parse().command;
    match processor().and_then(|()| run(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let verdict = failure::judge(&error);
            verdict.lines.iter().for_each(|line| drop(writeln!(std::io::stderr(), "{line}")));
            ExitCode::from(verdict.code)
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Assets(args) => commands::assets::run(&args),
        Command::Ingest(args) => commands::ingest::run(&args),
        Command::Evaluate(args) => commands::evaluate::run(&args),
        Command::Reproduce(args) => commands::reproduce::run(&args),
        Command::Simulate(args) => commands::simulate::run(&args),
        Command::Serve(args) => commands::serve::run(&args),
        Command::Build(args) => commands::build::run(&args),
        Command::Policy(args) => commands::policy::run(&args),
        Command::Keys(args) => commands::keys::run(&args),
        Command::Snapshots(args) => commands::snapshots::run(&args),
        Command::Import(args) => commands::import::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Ope(args) => commands::ope::run(&args),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Experiment(args) => commands::experiment::run(&args),
        Command::Finetune(args) => commands::finetune::run(&args),
        Command::Generate(args) => commands::generate::run(&args),
        Command::Tune(args) => commands::tune::run(&args),
        Command::Label(args) => commands::label::run(&args),
    }
}

/// Before any work: whether `LINGXI_CPU` names instructions that this processor has.
fn processor() -> anyhow::Result<()> {
    let chosen = lingxi_content::cpu::choose();
    chosen.map(drop).map_err(|why| failure::UserError::new(why, "unset LINGXI_CPU, or name one of these").into())
}

/// Log lines go to stderr; `RUST_LOG` chooses them, by default only warnings.
fn start_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // A line that cannot be written, say because the disk is full, must not end the thread that writes it.
    let log = tracing_subscriber::fmt().log_internal_errors(false);
    log.with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// The Parquet reader panics on some damaged files. Ingest catches that and names the file, so the panic itself goes to the
/// log; all other panics are told as ever.
fn quiet_parquet() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match panic.location().map(|at| at.file()) {
        Some(file) if file.contains("parquet-") || file.contains("arrow-") => tracing::debug!("{panic}"),
        _ => tell(panic),
    }));
}
