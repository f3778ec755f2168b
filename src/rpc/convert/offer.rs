//! Pops → [`Profile`]: what a worker says of itself.

use std::{net::IpAddr, sync::Arc};

use super::{unsigned, video};
use crate::{
    domain::{
        Error, Result, UserId,
        bridge::Bridge,
        videos::Extras,
        words::safe_name,
        worker::{ImageSkills, Profile, Skills, TextSkills},
    },
    engine::Arrival,
    rpc::{check::Check, pb},
};

/// Words of a blacklist that count, and how much of each.
const BLACKLIST: (usize, usize) = (200, 15);
/// Models that count, of an image worker and of a text worker.
const MODELS: (usize, usize) = (300, 200);

/// Soft prompts that count, and the longest name of one, in bytes.
const SOFTPROMPTS: (usize, usize) = (200, 1000);

impl Offer {
    /// Who comes, from here.
    pub fn arrival(&self, address: Option<IpAddr>) -> Arrival<'_> {
        Arrival { name: &self.name, name_length: self.name_length, address }
    }
}

/// A worker's name and what it offers.
#[derive(Clone)]
pub struct Offer {
    /// Its name, made safe to show.
    pub name: String,
    /// How long its name was, in characters.
    pub name_length: usize,
    /// What it says of itself.
    pub profile: Profile,
}

/// An offer to draw.
///
/// # Errors
/// InvalidPriorityUsername; BadRequest for a name of which nothing is left; NulByte.
pub fn image(mut message: pb::PopImageRequest) -> Result<Offer> {
    let (name, name_length) = name(&message.name.take().unwrap_or_default())?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let extras = extras(message.wallet_address.take());
    let skills = ImageSkills {
        max_pixels: message.max_pixels(),
        img2img: message.allow_img2img(),
        painting: message.allow_painting(),
        unsafe_ip: message.allow_unsafe_ipaddr(),
        post_processing: message.allow_post_processing(),
        controlnet: message.allow_controlnet,
        sdxl_controlnet: message.allow_sdxl_controlnet,
        lora: message.allow_lora,
        limit_max_steps: message.limit_max_steps,
        require_upfront_kudos: message.require_upfront_kudos,
        extra_slow: message.extra_slow_worker,
    };
    let priority_users = priority_users(&message.priority_usernames)?;
    let profile = Profile {
        bridge: Bridge::parse(message.bridge_agent()),
        threads: unsigned(message.threads()),
        amount: unsigned(message.amount()),
        nsfw: message.nsfw(),
        models: models(message.models, MODELS.0),
        blacklist: blacklist(&message.blacklist),
        priority_users,
        skills: Skills::Image(skills),
        extras,
    };
    Ok(Offer { name, name_length, profile })
}

/// An offer to make videos alone.
///
/// # Errors
/// As [`image()`].
pub fn video(message: pb::PopVideoRequest) -> Result<Offer> {
    let mut offer = image(video::pop(message))?;
    if let Skills::Image(skills) = offer.profile.skills {
        offer.profile.skills = Skills::Video(skills);
    }
    Ok(offer)
}

/// An offer to write.
///
/// # Errors
/// As [`image()`].
pub fn text(mut message: pb::PopTextRequest) -> Result<Offer> {
    let (name, name_length) = name(&message.name.take().unwrap_or_default())?;
    if message.has_nul() {
        return Err(Error::NulByte);
    }
    let extras = extras(message.wallet_address.take());
    let skills = TextSkills {
        max_length: message.max_length().into(),
        max_context_length: message.max_context_length().into(),
        softprompts: softprompts(std::mem::take(&mut message.softprompts)),
    };
    let priority_users = priority_users(&message.priority_usernames)?;
    let profile = Profile {
        bridge: Bridge::parse(message.bridge_agent()),
        threads: unsigned(message.threads()),
        amount: unsigned(message.amount()),
        nsfw: message.nsfw(),
        models: models(message.models, MODELS.1),
        blacklist: Vec::new(),
        priority_users,
        skills: Skills::Text(skills),
        extras,
    };
    Ok(Offer { name, name_length, profile })
}

/// What few workers say. A wallet that is none is left aside.
fn extras(wallet: Option<String>) -> Extras {
    let is_wallet = |text: &String| {
        text.strip_prefix("0x")
            .is_some_and(|hex| hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    Extras { wallet: wallet.filter(is_wallet), ..Default::default() }
}

/// A name as it is kept, and how long it was.
pub(super) fn name(sent: &str) -> Result<(String, usize)> {
    let safe = safe_name(sent);
    if safe.is_empty() {
        return Err(Error::BadRequest("the worker's name is empty: give it one".into()));
    }
    Ok((safe, sent.trim().chars().count()))
}

pub(super) fn models(sent: Vec<String>, most: usize) -> Vec<Arc<str>> {
    let mut models: Vec<Arc<str>> = Vec::with_capacity(sent.len().min(most));
    for model in sent.into_iter().take(most) {
        if !models.iter().any(|known| **known == *model) {
            models.push(model.into());
        }
    }
    models
}

fn blacklist(sent: &[String]) -> Vec<String> {
    let (words, letters) = BLACKLIST;
    let cut = |word: &String| word.chars().take(letters).collect::<String>().to_lowercase();
    sent.iter().take(words).map(cut).filter(|word| !word.is_empty()).collect()
}

fn softprompts(mut sent: Vec<String>) -> Vec<String> {
    let (names, bytes) = SOFTPROMPTS;
    sent.retain(|name| !name.is_empty() && name.len() <= bytes);
    sent.truncate(names);
    sent
}

/// IDs after the last `#`. One that is no number names nobody.
pub(super) fn priority_users(sent: &[String]) -> Result<Vec<UserId>> {
    let mut users = Vec::new();
    for name in sent {
        let (_, id) = name
            .rsplit_once('#')
            .filter(|(_, id)| !id.is_empty())
            .ok_or_else(|| Error::InvalidPriorityUsername(name.to_owned()))?;
        users.extend(id.parse().ok().map(UserId));
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_needed_and_how_long_it_was_is_kept() {
        assert_eq!(name(" <b>& ").unwrap(), ("&lt;b&gt;&amp;".into(), 4));
        let (kept, length) = name(&"x".repeat(200)).unwrap();
        assert_eq!((kept.len(), length), (100, 200));
        assert!(name(" \0 ").is_err());
    }

    #[test]
    fn a_wallet_is_0x_and_forty_hex_digits_or_none() {
        let kept = |text: &str| extras(Some(text.to_owned())).wallet;
        let good = format!("0x{}", "aB3".repeat(13) + "f");
        assert_eq!(kept(&good).as_deref(), Some(good.as_str()));
        for bad in ["", "0x", "0x12", &good[2..], &format!("{good}0"), &good.replace('f', "g")] {
            assert_eq!(kept(bad), None, "{bad}");
        }
    }

    #[test]
    fn priority_names_need_an_id_but_it_may_be_nobodys() {
        let ids = |names: &[&str]| priority_users(&names.iter().map(|n| (*n).into()).collect::<Vec<_>>());
        assert_eq!(ids(&["a#b#7", "x#y"]).unwrap(), [UserId(7)]);
        assert!(ids(&["alice"]).is_err());
        assert!(ids(&["alice#"]).is_err());
    }
}
