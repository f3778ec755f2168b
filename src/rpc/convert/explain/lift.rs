//! What a worker could offer besides: in words, and as it would say it.

use serde_json::{Value, json};

use super::ease::grouped;
use crate::{domain::request::Kind, engine::matching::Lift, rpc::json::Struct};

/// Behind "if you", and by itself.
pub(super) fn words(lift: &Lift, kind: Kind) -> String {
    match lift {
        Lift::NoMaintenance => "take it out of maintenance".into(),
        Lift::Model(form) if kind == Kind::Alchemy => format!("do the form {form}"),
        Lift::Model(model) => format!("serve the model {model}"),
        Lift::MaxPixels(most) => format!("raise max_pixels to {}", grouped(*most)),
        Lift::MaxLength(most) => format!("raise max_length to {}", grouped(*most)),
        Lift::MaxContextLength(most) => format!("raise max_context_length to {}", grouped(*most)),
        Lift::MaxTiles(most) => format!("raise max_tiles to {most}"),
        Lift::Nsfw => "take what may be nsfw".into(),
        Lift::Img2img => "take source images".into(),
        Lift::Painting => "take in- and outpainting".into(),
        Lift::Lora => "take LoRAs".into(),
        Lift::Controlnet => "take ControlNet".into(),
        Lift::SdxlControlnet => "take ControlNet on SDXL".into(),
        Lift::PostProcessing => "take post-processing".into(),
        Lift::UnsafeIp => "take what comes from unsafe addresses".into(),
        Lift::AnySteps => "do not limit steps".into(),
        Lift::NoUpfrontKudos => "ask for no kudos up front".into(),
        Lift::NoBlacklist => "refuse no words".into(),
        Lift::Softprompt(name) => format!("have the soft prompt {name}"),
    }
}

/// What it would say.
pub(super) fn offer(lift: &Lift, kind: Kind) -> Struct {
    let offer = match lift {
        Lift::NoMaintenance => json!({"maintenance": false}),
        Lift::Model(form) if kind == Kind::Alchemy => json!({"forms": [form]}),
        Lift::Model(model) => json!({"models": [model]}),
        Lift::MaxPixels(most) => json!({"max_pixels": most}),
        Lift::MaxLength(most) => json!({"max_length": most}),
        Lift::MaxContextLength(most) => json!({"max_context_length": most}),
        Lift::MaxTiles(most) => json!({"max_tiles": most}),
        Lift::Nsfw => json!({"nsfw": true}),
        Lift::Img2img => json!({"allow_img2img": true}),
        Lift::Painting => json!({"allow_painting": true}),
        Lift::Lora => json!({"allow_lora": true}),
        Lift::Controlnet => json!({"allow_controlnet": true}),
        Lift::SdxlControlnet => json!({"allow_sdxl_controlnet": true}),
        Lift::PostProcessing => json!({"allow_post_processing": true}),
        Lift::UnsafeIp => json!({"allow_unsafe_ipaddr": true}),
        Lift::AnySteps => json!({"limit_max_steps": false}),
        Lift::NoUpfrontKudos => json!({"require_upfront_kudos": false}),
        Lift::NoBlacklist => json!({"blacklist": []}),
        Lift::Softprompt(name) => json!({"softprompts": [name]}),
    };
    match offer {
        Value::Object(offer) => Struct(offer),
        _ => Struct::default(),
    }
}
