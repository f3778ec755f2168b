//! Rules of special models: each is one user's, and reads a payload.

use super::{Look, refuse_if};
use crate::domain::{Error, Result, error::ParamRule, user::Role};

/// What is in the name of a special model.
const MARK: &str = "horde_special";

pub(super) fn models(look: &Look<'_>) -> Result<()> {
    for name in look.names.iter().filter(|name| name.contains(MARK)) {
        if !look.user.is(Role::Special) {
            return Err(Error::Forbidden(format!("{name}: only special users may use special models")));
        }
        let Some((_, owner)) = name.split_once("::") else {
            return Err(Error::params(
                ParamRule::SpecialMissingUsername,
                format!("{name}: a special model ends in ::alias#id, its user"),
            ));
        };
        if owner != look.user.username() {
            return Err(Error::Forbidden(format!("{name}: this is the special model of another user")));
        }
        let message = "a special model reads params.special: send it";
        refuse_if(look.image.special.is_none(), ParamRule::SpecialMissingPayload, message)?;
    }
    Ok(())
}

pub(super) fn payload(look: &Look<'_>) -> Result<()> {
    if look.image.special.is_some() && !look.user.is(Role::Special) {
        return Err(Error::BadRequest("only special users may send params.special: leave it out".into()));
    }
    Ok(())
}
