//! Step 17: what becomes of a prompt by the operator's filters, and of whoever asked for what they block.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use super::{Asked, Engine, Step, Vetted};
use crate::{
    config::Network,
    domain::{
        Error, Result, Timestamp, UserId,
        error::ParamRule,
        filters::{Circumstances, FilterChange, Filters, LONGEST_REPLACED, Ruling},
        record::Record,
        request::Kind,
        user::{Role, User, UserStats},
    },
};

/// Longest prompt that is looked through, in bytes: 7,500 words have some 45 KiB. Everybody else waits
/// meanwhile.
const LONGEST: usize = 64 << 10;
/// How long blocked prompts of an address count, commonly and for services, who ask for many people.
const REMEMBERED: [Duration; 2] = [Duration::from_secs(24 * 3600), Duration::from_secs(3600)];
/// Minutes of timeout for the first blocked prompt; for each one before, twice as many are added.
const MINUTES: u64 = 3;
/// Timeouts up to which blocked prompts add to them: the rest is for moderators.
const MOST_TIMEOUTS: usize = 5_000;
/// Addresses whose blocked prompts are counted.
const MOST_ADDRESSES: usize = 10_000;

/// Blocked prompts of addresses, and until when they count. Each broker counts those that came to it.
#[derive(Default)]
pub(super) struct Blocked(HashMap<IpAddr, (u32, Timestamp)>);

impl Blocked {
    /// Counts one more, and returns how many there were.
    pub fn count(&mut self, address: IpAddr, now: Timestamp, remembered: Duration) -> u32 {
        if self.0.len() >= MOST_ADDRESSES && !self.0.contains_key(&address) {
            self.0.retain(|_, (_, until)| *until > now);
            let first_to_end = self.0.iter().min_by_key(|(address, (_, until))| (*until, **address));
            if let Some(address) =
                first_to_end.map(|(address, _)| *address).filter(|_| self.0.len() >= MOST_ADDRESSES)
            {
                self.0.remove(&address);
            }
        }
        let (count, until) = self.0.entry(address).or_insert((0, now));
        if *until <= now {
            *count = 0;
        }
        let before = *count;
        (*count, *until) = (before.saturating_add(1), now.plus(remembered));
        before
    }

    /// Forgets those of an address.
    pub fn forget(&mut self, address: IpAddr) {
        self.0.remove(&household(address));
    }
}

impl Engine {
    /// The filters that hold.
    pub fn filters(&self) -> Arc<Filters> {
        self.rules.filters.clone()
    }

    /// Writes down what changes of the filters that moderators keep. It holds once it is
    /// [learnt](Engine::learn_filters).
    pub fn change_filters(&mut self, step: &mut Step<'_>, change: FilterChange) {
        step.persist(Record::FilterChanged(change));
    }

    /// Refuses a prompt that is too long to be looked through.
    ///
    /// # Errors
    /// InvalidPromptSize.
    pub fn refuse_long_prompt(prompt: &str) -> Result<()> {
        if prompt.len() <= LONGEST {
            return Ok(());
        }
        let why = format!("the prompt has more than {LONGEST} bytes: shorten it");
        Err(Error::params(ParamRule::InvalidPromptSize, why))
    }

    /// Takes over other filters.
    pub fn learn_filters(&mut self, filters: Arc<Filters>) {
        self.rules.filters = filters;
    }

    /// As [`Engine::vet`]; and whoever asks for what is blocked is noted as a suspect.
    ///
    /// # Errors
    /// As [`Engine::vet`].
    pub fn screen(&mut self, step: &mut Step<'_>, owner: UserId, asked: Asked) -> Result<Vetted> {
        let address = asked.address;
        let asker = match &asked.styled {
            // Who lends a key to a style does not know who asks for it.
            Some(styled) if styled.lends => styled.asker,
            _ => self.payer(owner, &asked, step.now).map_or(owner, |payer| payer.owner),
        };
        let vetted = self.vet(owner, asked, step.now);
        if let Err(Error::CorruptPrompt { is_suspect: true }) = vetted {
            self.blame(step, asker, address);
        }
        vetted
    }

    /// What becomes of a prompt: it stays, is said otherwise, or is refused.
    pub(super) fn filter(&self, user: &User, asked: &mut Asked) -> Result<()> {
        let spec = &mut asked.spec;
        if spec.kind() == Kind::Alchemy {
            return Ok(());
        }
        let is_borrowed = asked.shared_key.is_some();
        let is_for_adults = spec.models.iter().any(|model| self.models.is_nsfw(model));
        let is_flagged = user.is(Role::Flagged);
        if self.rules.filters.rows() == 0 && !is_for_adults && !is_flagged {
            return Ok(());
        }
        Self::refuse_long_prompt(&spec.prompt)?;
        let is_anime =
            |model: &Arc<str>| self.models.image(model).is_some_and(|known| known.style == "anime");
        let circumstances = Circumstances {
            is_text: spec.kind() == Kind::Text,
            may_replace: asked.replacement_filter || user.is(Role::Education),
            is_for_adults,
            is_anime: !spec.models.is_empty() && spec.models.iter().all(is_anime),
            is_flagged,
        };
        match self.rules.filters.judge(&spec.prompt, circumstances) {
            Ruling::Clean => Ok(()),
            Ruling::Replaced(prompt) => {
                spec.prompt = prompt;
                Ok(())
            }
            Ruling::Corrupt => {
                // Who borrowed a key is not who it belongs to.
                let keeps_order = !is_borrowed && user.keeps_order();
                Err(Error::CorruptPrompt { is_suspect: !keeps_order })
            }
            Ruling::Empty => Err(Error::CorruptPrompt { is_suspect: false }),
            Ruling::TooLong => Err(Error::BadRequest(format!(
                "words of this prompt have to be replaced, which is done up to {LONGEST_REPLACED} characters: \
                 shorten it"
            ))),
        }
    }

    /// Whoever asked for what is blocked is a suspect, and nothing is taken from there for a while.
    fn blame(&mut self, step: &mut Step<'_>, owner: UserId, address: Option<IpAddr>) {
        // Everybody shares the anonymous account.
        if owner != UserId::ANONYMOUS {
            self.accounts.tally(step, owner, UserStats { suspicion: 1, ..UserStats::default() });
        }
        let Some(address) = address.map(household) else { return };
        let [common, of_services] = REMEMBERED;
        let is_service = self.accounts.get(owner).is_some_and(|user| user.is(Role::Service));
        let before = self.blocked.count(address, step.now, if is_service { of_services } else { common });
        let minutes = MINUTES * (2 * u64::from(before) + 1);
        let until = step.now.plus(Duration::from_secs(60 * minutes));
        // One that was put there by hand may last longer.
        let network = match address {
            IpAddr::V4(_) => Network::from(address),
            IpAddr::V6(_) => Network::of_household(address),
        };
        let is_longer = |(known, end): (Network, Timestamp)| known == network && end >= until;
        if !self.timeouts().any(is_longer) && self.timeouts().count() < MOST_TIMEOUTS {
            // With too many timeouts, those that there are have to do.
            let _ = self.time_out(step, network, Some(until));
        }
    }
}

/// What stands for all that one subscriber has: of IPv6 a whole /64.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Kudos, RequestId, models::ModelReference, record::Record, request::Spec, user::KeyHash},
        engine::{
            Effect, NewUser,
            stage::{Stage, image_spec, text_spec},
        },
    };

    const MINUTE: Duration = Duration::from_secs(60);

    fn stage() -> Stage {
        let mut stage = Stage::new();
        let filters = r#"[{"regex": "\\bcub\\b", "filter_type": 10, "replacement": "bear"},
            {"regex": "bites", "filter_type": 20}]"#;
        stage.engine.learn_filters(Arc::new(Filters::read(filters).unwrap()));
        stage
    }

    fn account(stage: &mut Stage, alias: &str, roles: &[Role]) -> UserId {
        let new = NewUser {
            alias: alias.into(),
            key: KeyHash::of(alias),
            kudos: Kudos::whole(1000),
            roles: roles.to_vec(),
            concurrency: 30,
            worker_invites: 0,
        };
        stage.act(|engine, step| engine.add_user(step, new)).unwrap().id
    }

    fn asked(prompt: &str, address: &str, replacement_filter: bool) -> Asked {
        let spec = Spec { prompt: prompt.into(), ..image_spec(1) };
        Asked { address: address.parse().ok(), replacement_filter, ..spec.into() }
    }

    fn submit(stage: &mut Stage, owner: UserId, asked: Asked) -> Result<RequestId> {
        let id = RequestId(uuid::Uuid::new_v4());
        stage.act(|engine, step| engine.submit(step, id, owner, asked)).map(|submitted| submitted.id)
    }

    #[test]
    fn a_household_of_ipv6_is_one_and_another_is_not_it() {
        let mut stage = stage();
        let owner = stage.user;
        let refused = submit(&mut stage, owner, asked("a cub bites", "2001:db8:0:1::7", false));
        assert!(matches!(refused, Err(Error::CorruptPrompt { .. })), "{refused:?}");
        let refused = submit(&mut stage, owner, asked("a cat", "2001:db8:0:1:ffff::8", true));
        assert!(matches!(refused, Err(Error::TimeoutIp { .. })), "the same household: {refused:?}");
        submit(&mut stage, owner, asked("a cat", "2001:db8:0:2::7", true)).expect("this is another one");
    }

    #[test]
    fn a_prompt_that_is_too_long_to_be_looked_through_is_refused_whatever_its_kind() {
        let mut stage = stage();
        let owner = stage.user;
        for spec in [image_spec(1), text_spec(1)] {
            let spec = Spec { prompt: "a".repeat(LONGEST + 1), ..spec };
            let refused = submit(&mut stage, owner, spec.into());
            assert!(matches!(&refused, Err(Error::BadParams { .. })), "{refused:?}");
        }
    }

    #[test]
    fn who_asks_for_what_is_blocked_is_a_suspect_and_shut_out_for_longer_each_time() {
        let mut stage = stage();
        let (owner, address) = (stage.user, "192.0.2.7");
        let block = |stage: &mut Stage| {
            let refused = submit(stage, owner, asked("a cub bites", address, false));
            assert!(matches!(refused, Err(Error::CorruptPrompt { is_suspect: true })), "{refused:?}");
        };
        for (round, minutes) in [3, 9, 15].into_iter().enumerate() {
            block(&mut stage);
            assert_eq!(stage.engine.user(owner).unwrap().stats.suspicion, round as i64 + 1);
            let written = |effect: &&Effect| matches!(effect, Effect::Persist(Record::UserCounted { change, .. }) if change.suspicion == 1);
            assert_eq!(stage.log.iter().filter(written).count(), round + 1, "it is written down");
            stage.wait(MINUTE * (minutes - 1));
            let refused = submit(&mut stage, owner, asked("a cat", address, true));
            assert!(matches!(refused, Err(Error::TimeoutIp { .. })), "{refused:?}");
            stage.wait(MINUTE);
            submit(&mut stage, owner, asked("a cat", address, true)).expect("it has rested");
        }
        stage.wait(Duration::from_secs(24 * 3600));
        block(&mut stage);
        stage.wait(MINUTE * 3);
        submit(&mut stage, owner, asked("a cat", address, true)).expect("what is a day ago is forgotten");
        submit(&mut stage, owner, asked("a cat", "192.0.2.8", true))
            .expect("others have nothing to do with it");
    }

    #[test]
    fn moderators_may_try_what_is_blocked_and_nobody_suspects_everybody() {
        let mut stage = stage();
        let moderator = account(&mut stage, "mod", &[Role::Moderator]);
        for (owner, is_shut_out) in [(moderator, false), (UserId::ANONYMOUS, true)] {
            let address = format!("192.0.2.{}", owner.0);
            submit(&mut stage, owner, asked("cub bites", &address, false)).unwrap_err();
            assert_eq!(stage.engine.user(owner).unwrap().stats.suspicion, 0, "{owner}");
            assert_eq!(
                submit(&mut stage, owner, asked("a cat", &address, false)).is_err(),
                is_shut_out,
                "{owner}"
            );
        }
    }

    #[test]
    fn what_is_replaced_is_what_is_made() {
        let mut stage = stage();
        let school = account(&mut stage, "school", &[Role::Education]);
        let owner = stage.user;
        for (owner, replacement_filter) in [(owner, true), (school, false)] {
            let id =
                submit(&mut stage, owner, asked("a cub bites###blurry", "192.0.2.1", replacement_filter))
                    .unwrap();
            let prompt = stage.engine.view(id, stage.now).unwrap().accepted.spec.prompt.clone();
            assert!(prompt.starts_with("a bear bites###") && prompt.ends_with(", blurry"), "{prompt}");
        }
        let long = format!("a cub bites {}", "x".repeat(LONGEST_REPLACED));
        let refused = submit(&mut stage, owner, asked(&long, "192.0.2.1", true));
        assert!(matches!(refused, Err(Error::BadRequest(_))), "{refused:?}");
        let huge = submit(&mut stage, owner, asked(&"x".repeat(LONGEST + 1), "192.0.2.1", true));
        assert!(matches!(huge, Err(Error::BadParams { rule: ParamRule::InvalidPromptSize, .. })), "{huge:?}");
    }

    #[test]
    fn models_for_adults_and_accounts_under_restraint_get_adults_whatever_the_kind() {
        let mut stage = Stage::new();
        let reference = r#"{"image": {"saucy": {"baseline": "flux_1", "nsfw": true},
            "saucy anime": {"baseline": "flux_1", "nsfw": true, "style": "anime"}},
            "text": {"spicy": {"parameters": 7e9, "nsfw": true}}}"#;
        stage.engine.learn_models(Arc::new(ModelReference::read(reference).unwrap()));
        let flagged = account(&mut stage, "flagged", &[Role::Flagged]);
        let owner = stage.user;
        for (who, spec, model, prompt, made) in [
            (owner, image_spec(1), "saucy", "1girl, boy", "adult woman adult man"),
            (owner, image_spec(1), "saucy anime", "1girl, boy", "1girl adult man"),
            (owner, image_spec(1), "other", "1girl, boy", "1girl, boy"),
            (owner, text_spec(1), "spicy", "a tale of a boy", "a tale of a adult man"),
            (owner, text_spec(1), "other", "a tale of a boy", "a tale of a boy"),
            (flagged, text_spec(1), "other", "a tale, of a boy", "a tale of a adult man"),
        ] {
            let spec = Spec { models: vec![model.into()], prompt: prompt.into(), ..spec };
            let vetted = stage.engine.vet(who, spec.into(), stage.now).unwrap();
            assert_eq!(vetted.spec.prompt, made, "{model}");
        }
        let nothing = Spec { prompt: "!!!".into(), ..image_spec(1) };
        let refused = stage.engine.vet(flagged, nothing.into(), stage.now);
        assert!(matches!(refused, Err(Error::CorruptPrompt { is_suspect: false })), "{refused:?}");
    }

    #[test]
    fn addresses_that_are_counted_are_bounded_and_those_first_to_be_forgotten_go_first() {
        let mut blocked = Blocked::default();
        let address = |n: usize| IpAddr::V6((n as u128).into());
        let at = |n: usize| Timestamp(1000 * n as i64);
        for n in 0..MOST_ADDRESSES + 5 {
            assert_eq!(blocked.count(address(n), at(n), REMEMBERED[0]), 0);
        }
        assert_eq!(blocked.0.len(), MOST_ADDRESSES);
        let now = at(MOST_ADDRESSES + 5);
        assert_eq!(blocked.count(address(5), now, REMEMBERED[0]), 1, "it is still known");
        assert_eq!(blocked.count(address(0), now, REMEMBERED[0]), 0, "it is known no more");
    }
}
