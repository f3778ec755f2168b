//! `gridbroker import`: what another server had, taken over.

mod accounts;
mod cells;
mod crews;
mod loans;
mod salt;
mod show;
mod steps;
mod styles;
mod tally;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::StoreArgs;
use crate::{
    backend::{distributed::Horde, intake::Intake},
    config::{Problem, Problems, SecretUrl},
    domain::{Clock, Kudos, clock::SystemClock, key_salt::KeySalt},
};
use salt::Proof;
use show::Show;
use steps::Import;
use tally::Line;

/// Another server.
#[derive(Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    server: Server,
}

#[derive(Subcommand)]
enum Server {
    /// Copy accounts, keys, kudos, workers, teams, styles and collections of an AI Horde server from its
    /// PostgreSQL database, while no broker runs on the store they go to.
    ///
    /// IDs and keys stay valid. The database is only read, as of one instant; stop the old server first, or
    /// what happens later is left behind. Nothing in it is believed: what the API would not take does not come
    /// over, or is cut, and is counted with the reason. Accounts, workers and styles come over one after the
    /// other, each of the three as a whole or not at all; run again, it goes on where it ended and leaves alone what
    /// is there. The report is JSON on standard output.
    ///
    /// Keys are looked up by the old server's hashes, so brokers need its salt as well: key_salts in a file, or
    /// GRIDBROKER_KEY_SALTS. If that is set here, --salt can be left out.
    Horde(HordeArgs),
}

#[derive(Args)]
struct HordeArgs {
    /// Database of the old server, postgres://user:password@host:5432/database; reading is enough.
    #[arg(long, value_name = "URL", env = "GRIDBROKER_IMPORT_FROM", hide_env_values = true)]
    from: String,
    /// Salt of the old server's keys, its variable secret_key (GRID_SALT of the AIPG fork); several if it changed.
    /// Others on this machine can see it here: key_salts in a file, or GRIDBROKER_KEY_SALTS, is safer.
    #[arg(long = "salt", value_name = "SALT")]
    salts: Vec<String>,
    /// A key that somebody has, to see whether the salt is right. Default: that of the anonymous account is tried.
    /// Others on this machine can see it here: GRIDBROKER_IMPORT_CHECK_KEY is safer.
    #[arg(long, value_name = "KEY", env = "GRIDBROKER_IMPORT_CHECK_KEY", hide_env_values = true)]
    check_key: Option<String>,
    /// Go on although no key shows that the salt is right.
    #[arg(long)]
    unverified: bool,
    /// Read and judge everything, and write nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    from: String,
    to: String,
    /// What shows that keys will be found.
    salt_proved_by: &'static str,
    tables: Vec<Line>,
    /// What stays behind and need not.
    warnings: Vec<String>,
    /// Kudos that came over, in balances and put aside.
    kudos: f64,
    kudos_put_aside: f64,
}

/// Runs the command.
///
/// # Errors
/// The database cannot be read or is none of such a server; the salt is not its own; the store cannot be
/// written, or a broker runs on it.
pub async fn run(args: ImportArgs) -> anyhow::Result<()> {
    let Server::Horde(HordeArgs { from, salts, check_key, unverified, dry_run, store }) = args.server;
    // Not read by clap, whose errors would quote the password.
    if !["postgres://", "postgresql://"].iter().any(|scheme| from.starts_with(scheme)) {
        let message = "must begin with postgres://, as in postgres://user:password@host:5432/database".into();
        return Err(Problems(vec![Problem { place: "--from".into(), message }]).into());
    }
    let config = store.load()?;
    let configured = config.api.salts();
    let given: Vec<KeySalt> = salts.into_iter().map(KeySalt::new).collect();
    let all: Vec<KeySalt> = given.iter().chain(&configured).cloned().collect();
    let mut horde = Horde::open(&SecretUrl::new(from)).await.map_err(anyhow::Error::from_boxed)?;
    let place = horde.place();
    let missing: Vec<String> = steps::NEEDED.iter().flat_map(|ask| horde.missing(ask)).collect();
    if !missing.is_empty() {
        bail!("the database at {place} is not that of an AI Horde server: it has no {}", missing.join(", "));
    }
    let proof = prove(&mut horde, &all, check_key.as_deref(), unverified).await?;
    let (data, database) = (&config.store.data, config.store.database_url.as_ref());
    let intake = Intake::open(data, database, dry_run).await;
    let intake = intake.map_err(anyhow::Error::from_boxed).context("the store cannot take anything in")?;
    let show = Show::new();
    let mut import = Import::begin(horde, intake, SystemClock.now(), &show).await?;
    let done = async {
        import.accounts().await.context("accounts did not come over")?;
        import.crews().await.context("teams and workers did not come over; accounts did")?;
        import.styles().await.context("styles did not come over; accounts, teams and workers did")
    };
    let done: anyhow::Result<()> = done.await;
    show.close();
    done.with_context(|| match dry_run {
        true => "the rehearsal ended early, and wrote nothing".to_owned(),
        false => "the import ended early; run it again once that is mended, and it goes on".to_owned(),
    })?;
    let to = database.map_or_else(|| data.display().to_string(), ToString::to_string);
    let (kudos, put_aside) = import.kudos();
    let report = Report {
        dry_run,
        from: place,
        to,
        salt_proved_by: proof.word(),
        tables: import.lines,
        warnings: import.warnings,
        kudos: kudos.as_f64(),
        kudos_put_aside: put_aside.as_f64(),
    };
    super::say(&serde_json::to_string(&report)?)?;
    tell(&report, (kudos, put_aside), is_configured(proof, &given, &configured), proof);
    Ok(())
}

/// Whether brokers with these settings honour the salts that were given.
fn is_configured(proof: Proof, given: &[KeySalt], configured: &[KeySalt]) -> bool {
    match proof {
        Proof::Default => configured.contains(&KeySalt::new(salt::DEFAULT)),
        _ => given.iter().all(|salt| configured.contains(salt)),
    }
}

async fn prove(
    horde: &mut Horde,
    salts: &[KeySalt],
    known_key: Option<&str>,
    unverified: bool,
) -> anyhow::Result<Proof> {
    let sought = known_key.into_iter().flat_map(|key| salts.iter().map(|salt| salt.hash(key.as_bytes())));
    let (anonymous, there) = steps::keys(horde, &sought.collect::<Vec<_>>()).await?;
    let proof = salt::prove(salts, anonymous.as_deref(), known_key, |hash| there.contains(hash), unverified);
    proof.map_err(|problem| anyhow!(problem))
}

/// Tells people what became of it, on stderr.
fn tell(report: &Report, kudos: (Kudos, Kudos), is_configured: bool, proof: Proof) {
    for line in &report.tables {
        eprintln!("{line}");
    }
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    let what = if report.dry_run { "would be opened with" } else { "were opened with" };
    eprintln!("accounts {what} {} kudos, and {} put aside", kudos.0, kudos.1);
    match proof {
        Proof::None => eprintln!("no key shows that the salt is right: try one before you let anybody in"),
        Proof::Default => eprintln!("keys are hashed with the default salt, {:?}", salt::DEFAULT),
        Proof::Anonymous | Proof::KnownKey => eprintln!("the salt is right: {}", proof.word()),
    }
    if !is_configured {
        eprintln!(
            "keys are found by brokers that know the salt alone: set key_salts in their file, or \
             GRIDBROKER_KEY_SALTS, and keep it as secret as a password"
        );
    }
    match report.dry_run {
        true => eprintln!("nothing was written"),
        false => eprintln!(
            "next: gridbroker ledger verify, then gridbroker serve with key_salts; gridbroker user set-role ID \
             admin for who runs the service"
        ),
    }
}
