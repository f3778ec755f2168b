//! Rules of forms of alchemy.

use crate::domain::{Error, Result, error::ParamRule, request::AlchemyParams};

/// Most tiles of 512 × 512 pixels that forms are done with. Source: the v2 contract.
const MAX_TILES: u32 = 255;

pub(super) fn check(alchemy: &AlchemyParams) -> Result<()> {
    if alchemy.tiles > MAX_TILES {
        return Err(Error::params(
            ParamRule::SourceImageResolutionExceeded,
            format!(
                "the source image has {} tiles of 512×512 pixels; {MAX_TILES} are allowed: make it smaller",
                alchemy.tiles
            ),
        ));
    }
    Ok(())
}
