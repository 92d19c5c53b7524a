//! `tegata demo`: the whole system as real processes on loopback, and stories that show its promises.

mod browser;
pub mod certificates;
pub mod cluster;
pub mod files;
pub mod patience;
mod present;
pub mod setup;
pub mod steps;
pub mod stories;
pub mod systems;
pub mod wallet;

use cluster::{Cluster, ClusterError};
use ed25519_dalek::SigningKey;
use patience::Patience;
use rand::rngs::StdRng;
use setup::{Demo, SetupError, VALIDATORS, operator_key};
use std::path::{Path, PathBuf};
use std::time::Duration;
use steps::{Broken, Steps, promise};
use stories::{NAMES, Stage};
use tegata_consent::entry::{Body, Entry};
use tegata_service::clock;
use tegata_service::config::LedgerConfig;
use tegata_service::ledger::{Ledger, LedgerError};
use wallet::Wallet;

/// How long a story goes on asking a service that is away: it may have been killed, and comes back.
pub const STORY_PATIENCE: Duration = Duration::from_secs(30);

/// Why a demo ended.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Setting up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A process.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The ledger.
    #[error("ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// A story.
    #[error("broken promise: {0}")]
    Broken(#[from] Broken),
    /// What a story needs is not installed or not built.
    #[error(
        "the story \"present\" is told in a real browser; missing: {0}. `make setup` installs what it needs, `make wallet` builds \
         the wallet; other places are named in the variable CHROMIUM and with --wallet"
    )]
    Missing(String),
    /// A file.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// What a demo is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where everything lies; a second start with the same directory goes on with the same data.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Tells a story (may be given more than once), or `all`.
    #[arg(long, value_name = "NAME|all")]
    pub story: Vec<String>,
    /// Ends after the stories, instead of waiting for Ctrl-C.
    #[arg(long)]
    pub exit: bool,
    /// Shows the browser of the story `present` on the screen, and lets it take its time.
    #[arg(long)]
    pub watch: bool,
    /// First of 24 ports in a row, chosen at the first start.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65_511))]
    pub port: Option<u16>,
    /// The built wallet, unless it is that in `wallet-web/dist` of the sources; without one no wallet is served.
    #[arg(long, value_name = "FOLDER")]
    pub wallet: Option<PathBuf>,
}

/// The running demo.
pub struct Running {
    /// Addresses.
    pub demo: Demo,
    /// Its processes.
    pub cluster: Cluster,
    /// A follower of its ledger.
    pub ledger: Ledger,
    dir: PathBuf,
    _lock: std::fs::File,
}

/// A demo fills its directory with keys and stores: none begins among other files.
fn own_or_empty(dir: &Path) -> Result<(), DemoError> {
    let file = |error| DemoError::File {
        path: dir.to_owned(),
        error,
    };
    let is_ours = ["demo.json", "lock"]
        .iter()
        .any(|name| dir.join(name).exists());
    if is_ours || std::fs::read_dir(dir).map_err(file)?.next().is_none() {
        return Ok(());
    }
    Err(file(std::io::Error::other(
        "holds other files; give a directory that is empty or not there yet",
    )))
}

/// Keeps a second demo away from a directory for as long as the file stays open.
fn lock(dir: &Path) -> Result<std::fs::File, DemoError> {
    let path = dir.join("lock");
    let file = |error| DemoError::File {
        path: path.clone(),
        error,
    };
    let lock = std::fs::File::create(&path).map_err(file)?;
    lock.try_lock().map_err(|_| {
        let text =
            "another demo runs on this directory: end it first, or choose another with --dir";
        file(std::io::Error::other(text))
    })?;
    Ok(lock)
}

impl Running {
    /// Sets up what is missing, starts all processes with `binary`, and registers the organisations.
    ///
    /// # Errors
    /// [`DemoError`].
    pub async fn start(
        binary: &Path,
        dir: &Path,
        port: Option<u16>,
        wallet: Option<&Path>,
    ) -> Result<Self, DemoError> {
        std::fs::create_dir_all(dir).map_err(|error| DemoError::File {
            path: dir.to_owned(),
            error,
        })?;
        let dir = &dir.canonicalize().map_err(|error| DemoError::File {
            path: dir.to_owned(),
            error,
        })?;
        if let Some(wallet) = wallet.filter(|wallet| !wallet.join("index.html").is_file()) {
            return Err(DemoError::File {
                path: wallet.to_owned(),
                error: std::io::Error::other(
                    "holds no built wallet; `make wallet` builds it into wallet-web/dist",
                ),
            });
        }
        own_or_empty(dir)?;
        let lock = lock(dir)?;
        let mut rng: StdRng = rand::make_rng();
        let demo = Demo::load_or_create(dir, port, wallet.is_some(), &mut rng)?;
        let (nodes, services): (Vec<_>, Vec<_>) = demo
            .processes(dir, wallet)
            .into_iter()
            .partition(|process| process.name.starts_with("node"));
        let all = nodes.iter().chain(&services).cloned().collect();
        let cluster = Cluster::start(binary, dir, all)?;
        let ledger = Ledger::start(LedgerConfig {
            urls: demo.ledger.clone(),
            genesis: demo.genesis.clone(),
        })?;
        cluster.ready_some(&nodes, Duration::from_secs(60)).await?;
        let running = Self {
            demo,
            cluster,
            ledger,
            dir: dir.to_owned(),
            _lock: lock,
        };
        running.register().await?;
        running.cluster.ready(Duration::from_secs(60)).await?;
        Ok(running)
    }

    /// Registers the organisations that are not registered yet, signed by three of the four operators.
    async fn register(&self) -> Result<(), DemoError> {
        let chain = self.ledger.chain();
        for organisation in self.demo.organisations(&self.dir)? {
            let id = organisation
                .id()
                .ok_or_else(|| Broken("an organisation of the demo has no key".into()))?;
            if self.fresh_organisation(&id).await? {
                continue;
            }
            let keys: Vec<SigningKey> = (0..VALIDATORS - 1)
                .map(|operator| self.operator(operator))
                .collect::<Result<_, _>>()?;
            let body = Body::OrganisationRegistered(organisation);
            let mut entry = Entry::sign(&keys[0], &chain, clock::now_ms() + 120_000, body);
            for key in &keys[1..] {
                entry = entry.countersign(key, &chain);
            }
            self.ledger.submit(&entry.to_bytes()).await?;
        }
        Ok(())
    }

    /// Whether an organisation is registered, once the follower is fresh.
    async fn fresh_organisation(
        &self,
        id: &tegata_consent::ids::OrganisationId,
    ) -> Result<bool, DemoError> {
        let started = std::time::Instant::now();
        loop {
            match self.ledger.organisation(id).await {
                Ok(proven) => return Ok(proven.value.is_some()),
                Err(error) if started.elapsed() > Duration::from_secs(30) => {
                    return Err(error.into());
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn operator(&self, operator: usize) -> Result<SigningKey, DemoError> {
        let path = operator_key(&self.dir, operator);
        let file = |error| DemoError::File {
            path: path.clone(),
            error,
        };
        let text = std::fs::read_to_string(&path).map_err(file)?;
        let mut seed = [0; 32];
        hex::decode_to_slice(text.trim(), &mut seed)
            .map_err(|error| file(std::io::Error::other(error)))?;
        Ok(SigningKey::from_bytes(&seed))
    }

    /// Checks that the wallets of earlier stories still see their records, grants and histories. Gives how many there are.
    ///
    /// # Errors
    /// [`DemoError::Broken`].
    pub async fn check_earlier(&self) -> Result<usize, DemoError> {
        let folder = self.dir.join("wallets");
        let Ok(entries) = std::fs::read_dir(&folder) else {
            return Ok(0);
        };
        let mut files: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect();
        files.sort();
        let mut steps = Steps::begin("again", "what was there before is there", None);
        for file in &files {
            let mut wallet = Wallet::load_or_open(file, &self.demo.host, self.ledger.clone())
                .await
                .map_err(Broken::from)?;
            // the receipt chain must go on from the head that was seen before
            let records = wallet.records().await.map_err(Broken::from)?;
            let mut readings = 0;
            for grant in wallet.grant_ids() {
                readings += wallet.history(&grant).await.map_err(Broken::from)?.1.len();
            }
            promise(
                !records.is_empty() || wallet.grants.is_empty(),
                "a wallet with grants has lost its records",
            )?;
            wallet.save(file).map_err(Broken::from)?;
            let name = file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            steps.tell(format!(
                "{name}: {} records, {} grants, {readings} readings",
                records.len(),
                wallet.grants.len()
            ));
        }
        steps.end();
        Ok(files.len())
    }

    /// Tells stories by name, or `all`. `watch`: with a browser that people can see.
    ///
    /// # Errors
    /// [`DemoError::Broken`].
    pub async fn tell(&self, stories: &[String], watch: bool) -> Result<(), DemoError> {
        let names: Vec<&str> = if stories.iter().any(|story| story == "all") {
            NAMES.to_vec()
        } else {
            stories.iter().map(String::as_str).collect()
        };
        for name in names {
            let stage = Stage {
                demo: &self.demo,
                dir: &self.dir,
                ledger: self.ledger.clone(),
                run: clock::now_ms(),
                patience: Patience::new(STORY_PATIENCE),
                watch,
                after_step: None,
            };
            stage.tell(name).await?;
        }
        Ok(())
    }
}

/// Runs the demo.
///
/// # Errors
/// [`DemoError`], after all processes have ended.
pub async fn run(options: Options) -> Result<(), DemoError> {
    let binary = std::env::current_exe().map_err(|error| DemoError::File {
        path: "tegata".into(),
        error,
    })?;
    let unknown = options
        .story
        .iter()
        .find(|story| *story != "all" && !NAMES.contains(&story.as_str()));
    if let Some(story) = unknown {
        return Err(Broken(format!(
            "there is no story {story:?}; there are {} and all",
            NAMES.join(", ")
        ))
        .into());
    }
    let wallet = options.wallet.clone().or_else(browser::built_wallet);
    if options.story.iter().any(|s| s == "present" || s == "all") {
        let missing = browser::missing(wallet.as_deref(), options.watch);
        if !missing.is_empty() {
            return Err(DemoError::Missing(missing.join(", ")));
        }
    }
    let started = std::time::Instant::now();
    let running = Running::start(&binary, &options.dir, options.port, wallet.as_deref()).await?;
    print_table(&running.demo, &options, started.elapsed());
    let told = async {
        running.check_earlier().await?;
        running.tell(&options.story, options.watch).await
    };
    let told = tokio::select! {
        told = told => told,
        () = tegata_service::http::shutdown_signal() => Ok(()),
    };
    if told.is_ok() && !options.exit {
        println!("\nCtrl-C stops the demo.");
        tegata_service::http::shutdown_signal().await;
    }
    running.cluster.stop().await;
    told
}

fn print_table(demo: &Demo, options: &Options, took: Duration) {
    println!(
        "Tegata is up after {:.1} s, in {}",
        took.as_secs_f64(),
        options.dir.display()
    );
    let unserved = "not served: `make wallet` builds it";
    let wallet = demo.wallet.as_deref().unwrap_or(unserved);
    println!("  {:<20} {wallet}", "wallet");
    for (number, url) in demo.ledger.iter().enumerate() {
        println!("  {:<20} {url}", format!("node{number}"));
    }
    for (name, service) in &demo.services {
        println!("  {name:<20} {}", service.url);
    }
    println!(
        "  every address and token: {}",
        options.dir.join("demo.json").display()
    );
}
