//! Reads a configuration from its sources, the later ones winning:
//! defaults < file < `.env` < environment < flags.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    Config, Problem, Problems,
    keys::{KEYS, Key, VARIABLE_PREFIX, nearest},
};

/// Names the file of settings when no flag does.
const FILE_VARIABLE: &str = "GRIDBROKER_CONFIG";

/// Where settings come from. Has no `Debug`, because variables and flags hold secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file of `--config`; `None`: the one that `GRIDBROKER_CONFIG` names, if any.
    pub file: Option<PathBuf>,
    /// The `.env` file, if it exists. It is read, never exported into the process.
    pub dotenv: Option<PathBuf>,
    /// The environment. Names that do not begin with `GRIDBROKER_` are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags, by the names of their keys.
    pub flags: Vec<(&'static str, String)>,
}

/// A configuration, and what its operator may want to know.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Valid settings.
    pub config: Config,
    /// Remarks that stop nothing, such as a variable that looks like a slip of the pen.
    pub notes: Vec<String>,
}

impl Sources {
    /// The sources of this process, with `.env` from its working directory.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> Self {
        Self { file, dotenv: Some(".env".into()), environment: std::env::vars_os().collect(), flags }
    }

    /// Reads them.
    ///
    /// # Errors
    /// Every problem of every source, and of the settings as a whole.
    pub fn load(self) -> Result<Loaded, Problems> {
        let mut reading = Reading::default();
        let dotenv = self.dotenv.as_deref().map(|path| reading.dotenv(path)).unwrap_or_default();
        let environment = reading.environment(self.environment);
        let named = |variables: &[(String, String)]| {
            let named = variables.iter().rfind(|(name, path)| name == FILE_VARIABLE && !path.is_empty());
            named.map(|(_, path)| PathBuf::from(path))
        };
        if let Some(file) = self.file.or_else(|| named(&environment)).or_else(|| named(&dotenv)) {
            reading.file(&file);
        }
        for (name, value) in dotenv {
            reading.variable(&name, &value, " in .env");
        }
        for (name, value) in environment {
            reading.variable(&name, &value, "");
        }
        for (name, value) in self.flags {
            let key = Key::named(name).expect("flags are made from keys");
            reading.take(key, format!("--{}", key.flag()), |config| (key.read_text)(config, &value));
        }
        reading.finish()
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    config: Config,
    /// Where the value of a key comes from, unless it is the default.
    places: HashMap<&'static str, String>,
    problems: Vec<Problem>,
    /// Slips that stop nothing, but may explain a problem.
    slips: Vec<Problem>,
}

impl Reading {
    fn problem(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { place: place.into(), message: message.into() });
    }

    fn take(&mut self, key: &Key, place: String, read: impl FnOnce(&mut Config) -> Result<(), String>) {
        match read(&mut self.config) {
            Ok(()) => {
                self.places.insert(key.name, place);
            }
            Err(message) => self.problem(place, message),
        }
    }

    fn file(&mut self, path: &Path) {
        let place = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.problem(place, format!("the file cannot be read: {error}")),
        };
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                // The error's own text would quote the line, and a line may hold a password.
                let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
                let line = line.map(|line| format!(" near line {line}")).unwrap_or_default();
                return self.problem(place, format!("is no TOML{line}: {}", error.message()));
            }
        };
        for (name, value) in &table {
            match Key::named(name) {
                Some(key) => {
                    self.take(key, format!("{name} in {place}"), |config| (key.read_toml)(config, value))
                }
                None => {
                    let advice = match nearest(name, KEYS.iter().map(|key| key.name)) {
                        Some(meant) => format!("no such setting; did you mean {meant}?"),
                        None if value.is_table() => {
                            "no such setting; keys stand at the top, without tables".into()
                        }
                        None => "no such setting; remove it".into(),
                    };
                    self.problem(format!("{name} in {place}"), advice);
                }
            }
        }
    }

    fn dotenv(&mut self, path: &Path) -> Vec<(String, String)> {
        let lines = match dotenvy::from_path_iter(path) {
            Ok(lines) => lines,
            Err(error) if error.not_found() => return Vec::new(),
            Err(_) => {
                self.problem(path.display().to_string(), "the file cannot be read; check its permissions");
                return Vec::new();
            }
        };
        let mut variables = Vec::new();
        for (i, line) in lines.enumerate() {
            match line {
                Ok((name, value)) if name.starts_with(VARIABLE_PREFIX) => variables.push((name, value)),
                Ok(_) => {}
                Err(dotenvy::Error::Io(error)) => {
                    self.problem(path.display().to_string(), format!("the file cannot be read: {error}"));
                    break;
                }
                // The error's own text would quote the line, and a line may hold a password.
                Err(_) => self.problem(
                    path.display().to_string(),
                    format!("assignment {} is not of the form NAME=value; quote values with spaces", i + 1),
                ),
            }
        }
        variables
    }

    fn environment(&mut self, variables: Vec<(OsString, OsString)>) -> Vec<(String, String)> {
        let mut ours = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
            match value.into_string() {
                Ok(value) => ours.push((name.to_owned(), value)),
                Err(_) => self.problem(name, "is not UTF-8"),
            }
        }
        ours.sort();
        ours
    }

    fn variable(&mut self, name: &str, value: &str, source: &str) {
        let bare = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name).to_ascii_lowercase();
        match Key::named(&bare).filter(|key| key.variable() == name) {
            Some(key) => {
                self.take(key, format!("{name}{source}"), |config| (key.read_text)(config, value));
            }
            None if name == FILE_VARIABLE => {}
            // Other programs, and our own clients, may have variables of this prefix.
            None => {
                if let Some(meant) = nearest(&bare, KEYS.iter().map(|key| key.name)) {
                    let meant = Key::named(meant).map(Key::variable).unwrap_or_default();
                    let message = format!("no such setting; did you mean {meant}?");
                    self.slips.push(Problem { place: format!("{name}{source}"), message });
                }
            }
        }
    }

    fn finish(mut self) -> Result<Loaded, Problems> {
        for (key, message) in self.config.complaints() {
            let place = self.places.get(key).cloned().unwrap_or_else(|| key.to_owned());
            self.problem(place, message);
        }
        if !self.problems.is_empty() {
            self.problems.append(&mut self.slips);
            return Err(Problems(self.problems));
        }
        let mut notes: Vec<_> = self.slips.iter().map(Problem::to_string).collect();
        let server = &self.config.server;
        if server.listen.ip().is_unspecified() && server.public_url.is_none() {
            notes.push(
                "listening on all addresses without public_url: links to images will not work for clients elsewhere"
                    .into(),
            );
        }
        notes.extend(self.config.sign_in.remark(server));
        Ok(Loaded { config: self.config, notes })
    }
}
