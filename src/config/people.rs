//! Who may work here, and what everybody is told.

use std::path::PathBuf;

use toml::Value;

use super::{Complaints, Network, value::Setting};

/// Which models image workers may serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ImageModels {
    /// All.
    #[default]
    Any,
    /// Those of the model reference; customizers may serve others.
    Known,
}

impl Setting for ImageModels {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "any" => Ok(Self::Any),
            "known" => Ok(Self::Known),
            _ => Err(format!("{text:?} is neither any nor known")),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        let word = match self {
            Self::Any => "any",
            Self::Known => "known",
        };
        Some(word.into())
    }
}

/// Where an address goes in the URL of a checker.
pub const ADDRESS_PLACE: &str = "{ipaddr}";

/// Workers and news.
#[derive(Clone, PartialEq, Debug)]
pub struct People {
    /// Networks that hide who is behind them; untrusted workers are not let in from there.
    pub unsafe_networks: Vec<Network>,
    /// URL of a service that says how likely an address hides who is behind it; `{ipaddr}` stands for the address.
    pub address_checker: Option<String>,
    /// File with the words that are not wanted in names; `None`: the built-in list.
    pub profanity: Option<PathBuf>,
    /// Which models image workers may serve.
    pub image_models: ImageModels,
    /// Whether workers that drop many jobs go into maintenance, and suspects of untrusted owners are paused.
    pub judge_workers: bool,
    /// File with what prompts may not ask for, TOML or JSON; `None`: nothing is looked for.
    pub filters: Option<PathBuf>,
    /// Who may test prompts against filters besides moderators, as `alias#id`.
    pub filter_testers: Vec<String>,
    /// File with the news, JSON or Markdown.
    pub news: Option<PathBuf>,
    /// File with what accounts get each month because somebody pays for it elsewhere, JSON.
    pub subscriptions: Option<PathBuf>,
}

impl Default for People {
    fn default() -> Self {
        Self {
            unsafe_networks: Vec::new(),
            address_checker: None,
            profanity: None,
            image_models: ImageModels::Any,
            judge_workers: true,
            filters: None,
            filter_testers: Vec::new(),
            news: None,
            subscriptions: None,
        }
    }
}

impl People {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        let is_name = |name: &String| {
            name.rsplit_once('#').is_some_and(|(alias, id)| !alias.is_empty() && id.parse::<u32>().is_ok())
        };
        if let Some(url) = &self.address_checker
            && !url.contains(ADDRESS_PLACE)
        {
            complaints.about("address_checker", format!("has no {} where the address goes", ADDRESS_PLACE));
        }
        for name in self.filter_testers.iter().filter(|name| !is_name(name)) {
            complaints.about("filter_testers", format!("{name:?} is no account; write it as alias#id"));
        }
    }
}
