//! Settings as flags, made from the list of keys.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::config::{Config, KEYS, Key, Loaded, Problems, Sources};

/// Flags of all settings, for the command that runs a broker.
pub type BrokerArgs = SettingArgs<true>;
/// Flags of the store, for every command that opens one.
pub type StoreArgs = SettingArgs<false>;

/// Keys that say which store to open.
const STORE_KEYS: [&str; 3] = ["data", "database_url", "redis_url"];
const FILE: &str = "config";

/// Flags of settings: `ALL`, or those of the store.
#[derive(Clone, Default)]
pub struct SettingArgs<const ALL: bool> {
    file: Option<PathBuf>,
    flags: Vec<(&'static str, String)>,
}

impl<const ALL: bool> SettingArgs<ALL> {
    /// Reads all sources of settings, these flags on top, and prints what the operator may want to know.
    ///
    /// # Errors
    /// All that is wrong with the settings.
    pub fn load(&self) -> Result<Config, Problems> {
        let Loaded { config, notes } = Sources::of_process(self.file.clone(), self.flags.clone()).load()?;
        for note in notes {
            eprintln!("note: {note}");
        }
        Ok(config)
    }

    fn keys() -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(|key| ALL || STORE_KEYS.contains(&key.name))
    }
}

impl<const ALL: bool> Args for SettingArgs<ALL> {
    fn augment_args(command: Command) -> Command {
        let defaults = Config::default();
        let file = Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("TOML file with settings. Default: none. [env: GRIDBROKER_CONFIG]");
        Self::keys().fold(command.arg(file.help_heading(heading("store", ALL))), |command, key| {
            let default = key.show(&defaults).map(|value| format!(" [default: {value}]"));
            let help = format!("{}{} [env: {}]", key.help(), default.unwrap_or_default(), key.variable());
            let flag = Arg::new(key.name)
                .long(key.flag())
                .value_name(key.value_name)
                .help(help)
                .help_heading(heading(key.concern, ALL))
                .action(ArgAction::Set);
            command.arg(match key.is_switch() {
                true => flag.num_args(0..=1).default_missing_value("on"),
                false => flag,
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const ALL: bool> FromArgMatches for SettingArgs<ALL> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flag = |key: &'static Key| Some((key.name, matches.get_one::<String>(key.name)?.clone()));
        Ok(Self { file: matches.get_one(FILE).cloned(), flags: Self::keys().filter_map(flag).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What the flags of a concern stand under.
fn heading(concern: &str, is_broker: bool) -> &'static str {
    match concern {
        "server" => "Server",
        "store" if is_broker => "Store",
        "store" => "Store (as of the broker)",
        "objects" => "Objects",
        "api" => "API",
        "people" => "People",
        "sign_in" => "Signing in",
        "documents" => "Documents",
        "limits" => "Limits",
        _ => "Logs",
    }
}
