//! Every key, with the field that it sets. The one list that files, variables, flags and help go by.

use std::{collections::HashMap, sync::LazyLock};

use toml::Value;

use super::{Config, value::Setting};

/// The built-in defaults as a file, with what is to be known of each key.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// What the names of all variables begin with.
pub(super) const VARIABLE_PREFIX: &str = "GRIDBROKER_";

/// One setting.
pub struct Key {
    /// Its name in files.
    pub name: &'static str,
    /// The concern it belongs to: `server`, `store`, `objects`, `api`, `people`, `documents`, `limits` or `logs`.
    pub concern: &'static str,
    /// What stands for its value in help texts.
    pub value_name: &'static str,
    pub(super) read_text: fn(&mut Config, &str) -> Result<(), String>,
    pub(super) read_toml: fn(&mut Config, &Value) -> Result<(), String>,
    pub(super) to_toml: fn(&Config) -> Option<Value>,
}

macro_rules! keys {
    ($($concern:ident { $($name:ident $value_name:literal)* })*) => {
        /// Every key, in the order of `default.toml`.
        pub const KEYS: &[Key] = &[ $( $( Key {
            name: stringify!($name),
            concern: stringify!($concern),
            value_name: $value_name,
            read_text: |config, text| {
                config.$concern.$name = Setting::from_text(text)?;
                Ok(())
            },
            read_toml: |config, value| {
                config.$concern.$name = Setting::from_toml(value)?;
                Ok(())
            },
            to_toml: |config| config.$concern.$name.to_toml(),
        }, )* )* ];
    };
}

keys! {
    server {
        listen "ADDR"
        public_url "URL"
        tls_cert "FILE"
        tls_key "FILE"
        drain_seconds "SECONDS"
        worker_threads "N"
    }
    store {
        data "DIR"
        database_url "URL"
        database_connections "N"
        redis_url "URL"
        job_stream_image "NAME"
        job_stream_text "NAME"
        job_stream_video "NAME"
        job_stream_alchemy "NAME"
        stream_prefix "PREFIX"
    }
    objects {
        s3_endpoint "URL"
        s3_bucket "NAME"
        s3_region "NAME"
        s3_access_key_id "ID"
        s3_secret_access_key "KEY"
        s3_path_style "on|off"
        s3_direct_links "on|off"
    }
    api {
        api_key_header "NAME"
        cors_origins "ORIGINS"
        long_poll_timeout "SECONDS"
        test_users "on|off"
        fetch_allow "NETWORKS"
        fetch_ca "FILE"
        webhook_secret "SECRET"
        model_reference "FILES"
        upfront_kudos_on_worker_list "on|off"
        require_matched_targeting "on|off"
        legacy_upstream "URL"
        legacy_paths "PATHS"
    }
    people {
        unsafe_networks "NETWORKS"
        address_checker "URL"
        profanity "FILE"
        image_models "any|known"
        judge_workers "on|off"
        filters "FILE"
        filter_testers "NAMES"
        news "FILE"
        subscriptions "FILE"
    }
    documents {
        title "TEXT"
        contact_email "ADDRESS"
        repository_url "URL"
        logo_url "URL"
        terms "FILE"
        privacy "FILE"
        sponsors "FILE"
    }
    limits {
        rate_limits "on|off"
        max_body_bytes "BYTES"
        max_message_bytes "BYTES"
        max_waiting_jobs "N"
        max_finished_requests "N"
        max_connections "N"
        max_streams_per_connection "N"
        kudos_trust_threshold "KUDOS"
        kudos_awarder "ID"
    }
    logs {
        log "FILTER"
        log_format "text|json"
    }
}

impl Key {
    /// The key of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Its flag, without the dashes before it.
    pub fn flag(&self) -> &'static str {
        static FLAGS: LazyLock<HashMap<&str, String>> =
            LazyLock::new(|| KEYS.iter().map(|key| (key.name, key.name.replace('_', "-"))).collect());
        FLAGS.get(self.name).map_or(self.name, String::as_str)
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// Whether it takes on and off.
    pub fn is_switch(&self) -> bool {
        self.value_name == "on|off"
    }

    /// What `default.toml` says of it.
    pub fn help(&self) -> &'static str {
        let mut before = "";
        for line in DEFAULT_TOML.lines() {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            if bare.split_once(" = ").is_some_and(|(name, _)| name == self.name) {
                return before;
            }
            before = bare;
        }
        ""
    }

    /// Its value in a configuration, as a variable would hold it; secrets as `***`. `None`: unset.
    pub fn show(&self, config: &Config) -> Option<String> {
        let word = |value: Value| match value {
            Value::String(text) => text,
            Value::Boolean(true) => "on".into(),
            Value::Boolean(false) => "off".into(),
            other => other.to_string(),
        };
        match (self.to_toml)(config)? {
            Value::Array(values) if values.is_empty() => None,
            Value::Array(values) => Some(values.into_iter().map(word).collect::<Vec<_>>().join(",")),
            value => Some(word(value)),
        }
    }
}

/// The name among some that was probably meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let meant = name.to_ascii_lowercase().replace('-', "_");
    known
        .map(|key| (distance(&meant, key), key))
        .filter(|(distance, key)| *distance <= (key.len() / 3).max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key)
}

/// Letters to put in, take out or change, to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, against) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *against);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
