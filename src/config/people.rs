//! Who may work here, and what everybody is told.

use std::path::PathBuf;

use toml::Value;

use super::{Network, value::Setting};

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

/// Workers and news.
#[derive(Clone, PartialEq, Debug)]
pub struct People {
    /// Networks that hide who is behind them; untrusted workers are not let in from there.
    pub unsafe_networks: Vec<Network>,
    /// File with the words that are not wanted in names; `None`: the built-in list.
    pub profanity: Option<PathBuf>,
    /// Which models image workers may serve.
    pub image_models: ImageModels,
    /// Whether workers that drop many jobs go into maintenance, and suspects of untrusted owners are paused.
    pub judge_workers: bool,
    /// File with what prompts may not ask for, TOML or JSON; `None`: nothing is looked for.
    pub filters: Option<PathBuf>,
    /// File with the news, JSON or Markdown.
    pub news: Option<PathBuf>,
    /// File with what accounts get each month because somebody pays for it elsewhere, JSON.
    pub subscriptions: Option<PathBuf>,
}

impl Default for People {
    fn default() -> Self {
        Self {
            unsafe_networks: Vec::new(),
            profanity: None,
            image_models: ImageModels::Any,
            judge_workers: true,
            filters: None,
            news: None,
            subscriptions: None,
        }
    }
}
