//! Rules of texts.

use std::collections::HashSet;

use super::refuse_if;
use crate::domain::{Error, Result, error::ParamRule, request::TextParams};

/// Most distinct stop sequences, and characters of all of them.
const MAX_STOPS: (usize, usize) = (128, 2000);
/// Distinct entries that a sampler order needs.
const SAMPLERS: usize = 7;

pub(super) fn rules(text: &TextParams, extra_images: usize) -> Result<()> {
    if text.max_context_length < text.max_length {
        return Err(Error::params(
            ParamRule::TokenOverflow,
            format!(
                "max_context_length ({}) is smaller than max_length ({})",
                text.max_context_length, text.max_length
            ),
        ));
    }
    let samplers: HashSet<_> = text.sampler_order.iter().collect();
    refuse_if(
        !samplers.is_empty() && samplers.len() < SAMPLERS,
        ParamRule::MissingFullSamplerOrder,
        "sampler_order must name all seven samplers, or be left out",
    )?;
    let stops: HashSet<_> = text.stop_sequence.iter().collect();
    if stops.len() > MAX_STOPS.0 {
        return Err(Error::params(
            ParamRule::TooManyStopSequences,
            format!("{} stop sequences are more than {}", stops.len(), MAX_STOPS.0),
        ));
    }
    let characters: usize = stops.iter().map(|stop| stop.chars().count()).sum();
    if characters > MAX_STOPS.1 {
        return Err(Error::params(
            ParamRule::ExcessiveStopSequence,
            format!("the stop sequences have {characters} characters; {} are allowed", MAX_STOPS.1),
        ));
    }
    let message = "text requests take no extra_source_images";
    refuse_if(extra_images > 0, ParamRule::InvalidExtraSourceImages, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_of_texts_has_its_code() {
        use ParamRule::*;
        let plain = TextParams { max_length: 80, max_context_length: 2048, ..Default::default() };
        let stops = |n: usize, length: usize| (0..n).map(|i| format!("{i:0length$}")).collect::<Vec<_>>();
        let cases = [
            (TextParams { max_context_length: 79, ..plain.clone() }, 0, Some(TokenOverflow)),
            (
                TextParams { sampler_order: vec![0, 1, 2, 3, 4, 5, 5], ..plain.clone() },
                0,
                Some(MissingFullSamplerOrder),
            ),
            (TextParams { sampler_order: vec![6, 0, 1, 2, 3, 4, 5], ..plain.clone() }, 0, None),
            (TextParams { stop_sequence: stops(129, 4), ..plain.clone() }, 0, Some(TooManyStopSequences)),
            (TextParams { stop_sequence: stops(128, 4), ..plain.clone() }, 0, None),
            (TextParams { stop_sequence: stops(2, 1001), ..plain.clone() }, 1, Some(ExcessiveStopSequence)),
            (plain.clone(), 1, Some(InvalidExtraSourceImages)),
            (plain, 0, None),
        ];
        for (params, extra_images, rule) in cases {
            let broken = match rules(&params, extra_images) {
                Err(Error::BadParams { rule, .. }) => Some(rule),
                _ => None,
            };
            assert_eq!(broken, rule);
        }
    }
}
