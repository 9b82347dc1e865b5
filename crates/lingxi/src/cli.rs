//! What can a person ask for?
//!
//! The words of the command line, as typed; nothing is opened or checked here beyond their form. Each command's answer
//! is the file of the same name in [`crate::commands`].

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::keys::Scope;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// A shop's recommendation engine: from logs to explained recommendations.
#[derive(Debug, Parser)]
#[command(name = "lingxi", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order in which a newcomer meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch data, train, evaluate against baselines and serve, all in one
    Demo(DemoArgs),
    /// List, fetch and verify the models and data that the demo uses
    Assets(AssetsArgs),
    /// Read and clean a shop's files, and say what was dropped and why
    Ingest(IngestArgs),
    /// Train and evaluate by full-catalogue ranking on any data
    ///
    /// Each model that learns in steps trains in runs/MODEL/FINGERPRINT of the cache: metrics.jsonl, TensorBoard's events and a
    /// checkpoint, from which the same command goes on after it was killed. Once the model is kept the checkpoint goes, and the
    /// curves of the newest six runs of each model stay.
    Evaluate(EvaluateArgs),
    /// Train and evaluate under a published protocol, our rows under the published ones
    ///
    /// Each model that learns in steps trains in runs/MODEL/FINGERPRINT of the cache: metrics.jsonl, TensorBoard's events and a
    /// checkpoint, from which the same command goes on after it was killed. Once the model is kept the checkpoint goes, and the
    /// curves of the newest six runs of each model stay.
    Reproduce(ReproduceArgs),
    /// Play every policy against simulated shoppers whose interests are hidden and drift
    Simulate(SimulateArgs),
    /// Answer over HTTP: feedback, recommendations with reasons, similar goods, search
    Serve(ServeArgs),
    /// Learn from the files and from all that arrived over HTTP since, and keep the snapshot
    ///
    /// Each model that learns in steps trains in runs/MODEL/FINGERPRINT of the cache: metrics.jsonl, TensorBoard's events and a
    /// checkpoint, from which the same command goes on after it was killed. Once the model is kept the checkpoint goes, and the
    /// curves of the newest six runs of each model stay.
    Build(BuildArgs),
    /// List the kept snapshots of a running server, build a new one, or go back to one
    Snapshots(SnapshotsArgs),
    /// Show what the policy of a running server has learnt, keep it, or go back to a kept one
    Policy(PolicyArgs),
    /// Make, list and take away the keys that open a server to the network
    Keys(KeysArgs),
    /// Send a file of events or goods to a running server
    Import(ImportArgs),
    /// Fetch all events, goods, shoppers or decisions from a running server
    Export(ExportArgs),
    /// Ask what another policy would have earned on what was logged
    Ope(OpeArgs),
    /// Foretell clicks, purchases and answers to campaigns, and say whether the probabilities come true
    Predict(PredictArgs),
    /// Plan, run and analyse A/B tests, and the effect of being recommended
    Experiment(ExperimentArgs),
    /// Make the encoder a shop's own: learn from labelled texts or judged pairs, and say what that earned
    Finetune(FinetuneArgs),
    /// Search the best settings of a recipe, on validation only
    Tune(TuneArgs),
    /// Let the small model answer a question
    Generate(GenerateArgs),
    /// Sort texts under a closed list of labels without training, by the small model and by the encoder
    Label(LabelArgs),
}

/// `lingxi finetune`.
#[derive(Debug, Args)]
pub struct FinetuneArgs {
    /// A recipe of the program (clinc150, banking77, chorus) or a TOML file
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: String,
    /// Compare the strategies of the recipe's `[compare]` table, each in a process of its own
    #[arg(long)]
    pub strategies: bool,
    /// Try one of them alone, counted from 0
    #[arg(long, value_name = "NUMBER", hide = true, conflicts_with = "strategies")]
    pub strategy: Option<usize>,
    /// The folder of the recipe's files; default LINGXI_DATA
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// A recipe with a `[search]` table
    #[arg(value_name = "RECIPE")]
    pub recipe: PathBuf,
    /// The directory with the data (the recipe's own if absent)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Different settings that are tried, instead of the recipe's number
    #[arg(long)]
    pub trials: Option<usize>,
    /// The directory for RECIPE.trials.jsonl and RECIPE.tuned.toml (the recipe's own if absent)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Forget the trials of an earlier search
    #[arg(long)]
    pub fresh: bool,
    /// Seed of every random choice of the models; that of the search is in the recipe
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What is asked
    pub question: String,
    /// What the model is told about itself before
    #[arg(long, default_value = "")]
    pub system: String,
    /// Continue the text as it is, without the marks of a conversation
    #[arg(long)]
    pub plain: bool,
    /// Most tokens of the answer
    #[arg(long, default_value_t = 128)]
    pub tokens: usize,
    /// The model, as `lingxi assets list` calls it
    #[arg(long, value_name = "NAME", default_value = "SmolLM2-135M-Instruct")]
    pub model: String,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi label`.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Texts and their true labels, divided by a tab, after a line of headers
    #[arg(long, value_name = "FILE", required_unless_present = "recipe", conflicts_with = "recipe")]
    pub texts: Option<PathBuf>,
    /// A shop: titles of goods and their categories
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// The directory that the recipe's paths are relative to (its own directory if absent)
    #[arg(long, value_name = "DIR", requires = "recipe")]
    pub data: Option<PathBuf>,
    /// How a label is asked for, with {text} and {label} (else the recipe's own)
    #[arg(long)]
    pub template: Option<String>,
    /// Texts that are drawn
    #[arg(long, default_value_t = 300)]
    pub sample: usize,
    /// Seed of the draw
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The model that writes, as `lingxi assets list` calls it (else the recipe's)
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// The demo's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoData {
    /// A year of grocery baskets; its publisher calls it simulated
    #[value(name = "completejourney")]
    CompleteJourney,
    /// MovieLens 100k, real ratings
    #[value(name = "ml-100k")]
    MovieLens100k,
}

/// `lingxi demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Which data
    #[arg(long, value_enum, default_value = "completejourney")]
    pub data: DemoData,
    /// A recipe of one's own instead of the demo's
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Stop after the figures
    #[arg(long)]
    pub no_serve: bool,
    /// Rebuild everything, reuse no artefact
    #[arg(long)]
    pub fresh: bool,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8088)]
    pub port: u16,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi assets`.
#[derive(Debug, Args)]
pub struct AssetsArgs {
    /// What to do with the assets.
    #[command(subcommand)]
    pub action: AssetsAction,
}

/// What can be done with assets.
#[derive(Debug, Subcommand)]
pub enum AssetsAction {
    /// Show each asset with size, licence, state and sources
    List {
        /// Print one JSON line on stdout
        #[arg(long)]
        json: bool,
    },
    /// Fetch the named assets, or all, into the cache directory (LINGXI_CACHE)
    Fetch {
        /// Names as in `lingxi assets list`
        names: Vec<String>,
        /// A directory with NAME/FILE, tried before all other sources (also LINGXI_ASSETS)
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// Print one JSON line on stdout, no progress
        #[arg(long)]
        json: bool,
    },
    /// Hash every file again and name what is wrong
    Verify {
        /// Names as in `lingxi assets list`; all that are here if none is given
        names: Vec<String>,
        /// Print one JSON line on stdout, no progress
        #[arg(long)]
        json: bool,
    },
}

/// `lingxi ingest`.
#[derive(Debug, Args)]
pub struct IngestArgs {
    /// The recipe that says which files there are and what their columns mean
    #[arg(long, value_name = "FILE")]
    pub recipe: PathBuf,
    /// The directory that the recipe's paths are relative to (its own directory if absent)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Write the cleaned events and catalogue into this directory
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// The recipe: columns, split, models and metrics
    #[arg(long, value_name = "FILE")]
    pub recipe: PathBuf,
    /// The directory with the data
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// Which published protocol: beauty, ml1m, grocery, scientific, retailrocket, sessions
    pub name: String,
    /// The directory with the data
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// A recipe of one's own instead of recipes/NAME.toml
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Goods that nobody took: a seeded 20% leave training; where there is text
    #[arg(long)]
    pub cold: bool,
    /// What each part of the recipe gives: without each of the parts that its ablation tables name
    #[arg(long, conflicts_with = "cold")]
    pub ablation: bool,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Measure with so many seeds from --seed on, and tell their mean and spread
    #[arg(long, default_value_t = 1, conflicts_with = "ablation", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: u64,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The shop whose logs the shoppers are fitted to: a recipe that comes with the program
    #[arg(default_value = "completejourney")]
    pub name: String,
    /// The directory with the data (the demo's own if absent)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A recipe of one's own instead of recipes/NAME.toml
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Only these policies, by their names in the table; greedy is always played
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub policies: Vec<String>,
    /// Also this policy, as in a recipe but JSON: {"kind":"lin-ucb","alpha":0.1}; may be given several times
    #[arg(long, value_name = "JSON")]
    pub policy: Vec<String>,
    /// Instead of the table: one policy under more and more fairness, for sellers and for groups of shoppers
    #[arg(long, conflicts_with_all = ["policies", "stream"])]
    pub tradeoff: bool,
    /// Slates that each policy chooses
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub decisions: u32,
    /// Shoppers at most
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub shoppers: u32,
    /// Goods at most
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(200..=50_000))]
    pub goods: u32,
    /// Places of a slate
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub places: u32,
    /// Play nothing: write contexts and rewards of these decisions into this folder, for other programs
    #[arg(long, value_name = "DIR", conflicts_with_all = ["svg", "json"])]
    pub stream: Option<PathBuf>,
    /// Draw the curves into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The recipe to build from, or to reuse what was built from it
    #[arg(long, value_name = "FILE")]
    pub recipe: PathBuf,
    /// The directory that the recipe's paths are relative to (its own directory if absent)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8088")]
    pub addr: SocketAddr,
    /// The SQLite file with events and decisions (in the cache directory if absent)
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// Ask for a key also on loopback; elsewhere it is always asked for
    #[arg(long)]
    pub keys: bool,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `lingxi build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The recipe to build from
    #[arg(long, value_name = "FILE")]
    pub recipe: PathBuf,
    /// The directory that the recipe's paths are relative to (its own directory if absent)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The SQLite file with what arrived (in the cache directory if absent)
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
    /// For the server that starts this: progress as JSON lines, and an end when stdin closes
    #[arg(long, hide = true)]
    pub beats: bool,
}

/// `lingxi snapshots`.
#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub action: SnapshotsAction,
    /// The running server
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8088")]
    pub at: String,
    /// Its key, if it asks for one (scope admin)
    #[arg(long, global = true, value_name = "KEY", env = "LINGXI_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Print one JSON line on stdout, no progress
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with kept snapshots.
#[derive(Debug, Subcommand)]
pub enum SnapshotsAction {
    /// Show each with its figures, and which one answers
    List,
    /// Build a new one beside the one that answers, and put it in place when it is whole
    Build,
    /// Let a kept one answer from now on
    Use {
        /// Its number, as in `lingxi snapshots list`
        id: u64,
    },
}

/// `lingxi policy`.
#[derive(Args, Clone, Debug)]
pub struct PolicyArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub action: PolicyAction,
    /// The running server
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8088")]
    pub at: String,
    /// Its key, if it asks for one (scope admin)
    #[arg(long, global = true, value_name = "KEY", env = "LINGXI_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Print one JSON line on stdout
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with a policy.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum PolicyAction {
    /// Show what it has learnt, what slates brought meanwhile, and the kept ones
    Show,
    /// Keep it as it is now
    Keep,
    /// Go back to a kept one: what was learnt since is forgotten
    Use {
        /// Its number, as in `lingxi policy show`
        id: u64,
    },
}

/// `lingxi keys`.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub action: KeysAction,
    /// The recipe of the shop that they open
    #[arg(long, global = true, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// The store of the shop that they open, if it is not where the recipe's name puts it
    #[arg(long, global = true, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// Print one JSON line on stdout
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// Make a key and show it, this once
    Add {
        /// Whose it is
        name: String,
        /// What it opens
        #[arg(long, value_enum, value_delimiter = ',', required = true)]
        scopes: Vec<Scope>,
        /// Requests a second that it may make
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        rate: Option<u32>,
    },
    /// Show whose keys there are and what they open
    List,
    /// Take a key away: it opens nothing a second later
    Remove {
        /// Whose it was
        name: String,
    },
}

/// A running server.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Its address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8088")]
    pub at: String,
    /// The API key, where the server asks for one
    #[arg(long, value_name = "KEY", env = "LINGXI_KEY", hide_env_values = true)]
    pub key: Option<String>,
}

/// What can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sendable {
    /// What shoppers did
    Events,
    /// What is sold
    Items,
}

/// What can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fetchable {
    /// What shoppers did
    Events,
    /// What is sold
    Items,
    /// Who there is
    Users,
    /// What was shown, and what came of it
    Decisions,
}

/// `lingxi import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// What the rows are
    #[arg(value_enum)]
    pub what: Sendable,
    /// JSON lines, or Parquet if its name ends so
    pub file: PathBuf,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Rows sent under this word before are not stored again; if absent, what was sent in the same file
    #[arg(long, value_name = "WORD")]
    pub once: Option<String>,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// What to fetch
    #[arg(value_enum)]
    pub what: Fetchable,
    /// Where to write: JSON lines, or Parquet if the name ends so
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// Logs of others that `lingxi ope` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OpeData {
    /// Open Bandit, the small sample that comes with obp
    Obp,
}

/// Policies that a log of decisions can always be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OpePolicy {
    /// Always the best eligible item
    Greedy,
    /// Any eligible item alike
    Uniform,
}

/// `lingxi ope`.
#[derive(Debug, Args)]
pub struct OpeArgs {
    /// A log of others, with its published table
    #[arg(long, value_enum)]
    pub data: Option<OpeData>,
    /// The shop's decisions, JSON lines as `lingxi export decisions` writes them
    #[arg(long, value_name = "FILE")]
    pub decisions: Option<PathBuf>,
    /// Logs whose truth is known: do intervals cover, does the rule choose well?
    #[arg(long)]
    pub synthetic: bool,
    /// The policy to evaluate on decisions
    #[arg(long, value_enum, default_value = "greedy")]
    pub policy: OpePolicy,
    /// Evaluate the policy of this recipe instead
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// With --data: evaluate these chances (CSV of position, item, chance) instead of the published policy
    #[arg(long, value_name = "FILE", requires = "data")]
    pub chances: Option<PathBuf>,
    /// Weights of IPS and DR above this count as this
    #[arg(long, value_name = "WEIGHT")]
    pub clip: Option<f64>,
    /// The kind of event that counts as a reward (click, buy ...); any if absent
    #[arg(long, value_name = "KIND")]
    pub reward: Option<String>,
    /// Bootstrap runs (30) or made-up logs (100)
    #[arg(long)]
    pub runs: Option<usize>,
    /// Rounds of a made-up log (10000)
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// What to foretell: obp (clicks), retailrocket (purchases after views), completejourney (redeemed coupons)
    #[arg(value_name = "NAME", required_unless_present = "recipe")]
    pub name: Option<String>,
    /// The directory with the data; what the program can fetch is fetched if absent
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A recipe of your own
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    pub recipe: Option<PathBuf>,
    /// Write rows, answers, parts and probabilities as CSV into this directory
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON line on stdout, no progress
    #[arg(long)]
    pub json: bool,
}

/// `lingxi experiment`.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: ExperimentAction,
    /// Seed of every random choice
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON line on stdout, no progress
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with experiments.
#[derive(Debug, Subcommand)]
pub enum ExperimentAction {
    /// How many shoppers, how many days?
    Plan(PlanArgs),
    /// Start an experiment on a running server: from the next slate on shoppers are dealt its arms
    #[command(after_long_help = crate::experiments::config::EXAMPLE)]
    Start {
        /// What is tried on whom, one TOML file; the long help shows one
        file: PathBuf,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// The experiments of a running server
    List {
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// What an experiment of a running server says now
    Show {
        /// Its name
        name: String,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Stop an experiment of a running server: all its shoppers get what is served
    Stop {
        /// Its name
        name: String,
        /// The reason, kept with it
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Take an experiment that ended away from a running server, with all that was counted in it
    Remove {
        /// Its name
        name: String,
        /// The server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Which arm is a shopper in?
    Assign {
        /// The experiments, one TOML file
        #[arg(long, value_name = "FILE")]
        experiments: PathBuf,
        /// Shoppers' ids
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Did it help? Arms of a CSV or JSON-lines file with user, arm, value and, if there is one, before
    Analyse {
        /// The file
        file: PathBuf,
        /// The arm that the others are compared with; the first by name if absent
        #[arg(long)]
        control: Option<String>,
        /// Stop an arm that surely loses more than this part of the control's mean
        #[arg(long, value_name = "SHARE")]
        guard: Option<f64>,
        /// Shares that were meant, as in arm=0.5,other=0.5; equal if absent
        #[arg(long, value_name = "ARM=SHARE", value_delimiter = ',')]
        shares: Vec<String>,
        /// Risk of calling a difference where there is none
        #[arg(long, default_value_t = 0.05)]
        alpha: f64,
    },
    /// Simulate A/A tests with a look after every shopper: how often is a difference called?
    Aa {
        /// Tests
        #[arg(long, default_value_t = 1000)]
        runs: usize,
        /// Shoppers of each test
        #[arg(long, default_value_t = 10_000)]
        users: usize,
        /// Risk that is promised
        #[arg(long, default_value_t = 0.05)]
        alpha: f64,
    },
    /// The effect of being recommended, by a doubly robust estimate
    Effect {
        /// Rows of treated, outcome and features (group optional), CSV or JSON lines
        #[arg(required_unless_present = "simulated")]
        file: Option<PathBuf>,
        /// Simulated logs whose truth is known instead
        #[arg(long)]
        simulated: bool,
        /// Simulated logs
        #[arg(long, default_value_t = 100)]
        runs: usize,
        /// Rows of each
        #[arg(long, default_value_t = 4000)]
        rows: usize,
    },
}

/// `lingxi experiment plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Mean of the metric without the change
    #[arg(long)]
    pub mean: f64,
    /// Its standard deviation; that of a rate if absent
    #[arg(long)]
    pub deviation: Option<f64>,
    /// The smallest lift worth finding, as a part of the mean
    #[arg(long)]
    pub lift: f64,
    /// Shoppers a day
    #[arg(long)]
    pub daily: f64,
    /// Part of them that takes part
    #[arg(long, default_value_t = 1.0)]
    pub traffic: f64,
    /// Part of those in the tested arm
    #[arg(long, default_value_t = 0.5)]
    pub treated: f64,
    /// Correlation of the metric with itself before the test, which CUPED uses
    #[arg(long, default_value_t = 0.0)]
    pub correlation: f64,
    /// Risk of calling a difference where there is none
    #[arg(long, default_value_t = 0.05)]
    pub alpha: f64,
    /// Chance of finding a lift that is there
    #[arg(long, default_value_t = 0.8)]
    pub power: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_demo_needs_no_argument() {
        let Command::Demo(args) = Cli::parse_from(["lingxi", "demo"]).command else { panic!("expected demo") };
        assert_eq!((args.data, args.seed, args.port), (DemoData::CompleteJourney, 1, 8088));
        assert!(!args.no_serve && !args.fresh && !args.json && args.recipe.is_none());
    }

    #[test]
    fn unknown_data_is_refused() {
        assert!(Cli::try_parse_from(["lingxi", "demo", "--data", "netflix"]).is_err());
    }
}
