//! A worker's software, and what it is known to be able to do.
//!
//! Kept as data, so that a new bridge is a new row. Source: the bridge table of the v2 contract.

use serde::{Deserialize, Serialize};

/// Name and version of a worker's software.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Bridge {
    /// The whole text, as the worker sent it.
    pub agent: String,
    /// Text before the first colon.
    pub name: String,
    /// First number of the version; 0 when unreadable.
    pub version: u32,
}

impl Bridge {
    /// Reads `name:version:url`; what cannot be read is an unknown bridge.
    pub fn parse(agent: &str) -> Self {
        let mut parts = agent.splitn(3, ':');
        let name = parts.next().unwrap_or_default().to_owned();
        let version = parts.next().and_then(|v| v.split('.').next()).and_then(|v| v.trim().parse().ok());
        match version {
            Some(version) => Self { agent: agent.to_owned(), name, version },
            None => Self { agent: agent.to_owned(), name: "unknown".into(), version: 0 },
        }
    }

    /// Whether it has a capability.
    pub fn can(&self, capability: &str) -> bool {
        BRIDGES.iter().find(|row| row.name == self.name).is_some_and(|row| {
            row.versions.iter().any(|(v, caps)| *v <= self.version && caps.contains(&capability))
        })
    }

    /// Whether it fetches source images by links. The classic one takes for base64 what holds no `https`.
    pub fn fetches(&self, are_links_https: bool) -> bool {
        self.can("r2_source") && (are_links_https || self.name != CLASSIC)
    }

    /// Whether it has a sampler, with or without the Karras schedule.
    pub fn samples(&self, sampler: &str, karras: bool) -> bool {
        let (name, version) = match self.name.as_str() {
            known @ (REGEN | CLASSIC | WEBUI | AUTOWEB) => (known, self.version),
            _ => (CLASSIC, 23),
        };
        match name {
            REGEN => version >= if sampler == "lcm" { 3 } else { 2 },
            CLASSIC => match sampler {
                "lcm" => false,
                "DDIM" => version >= 17 && !karras,
                "k_dpmpp_sde" => version >= 12,
                _ => version >= 11,
            },
            WEBUI => match sampler {
                "lcm" => false,
                "dpmsolver" | "DDIM" => !karras && sampler == "DDIM",
                _ => true,
            },
            _ => match sampler {
                "k_lms" | "k_dpm_2" | "k_dpm_2_a" | "k_dpmpp_2s_a" | "k_dpmpp_2m" | "dpmsolver" => true,
                "k_heun" | "k_euler" | "k_euler_a" | "k_dpm_fast" | "k_dpm_adaptive" => !karras,
                _ => false,
            },
        }
    }

    /// Share of a job's kudos that its owner is credited with.
    pub fn reward_factor(&self) -> f64 {
        let latest = match self.name.as_str() {
            REGEN => 13,
            CLASSIC => 24,
            _ => return 0.75,
        };
        if self.version >= latest { 1.0 } else { 0.90 }
    }

    /// Whether its texts come from a back end that is known to answer honestly.
    pub fn is_validated(&self) -> bool {
        VALIDATED.contains(&self.name.as_str())
    }
}

const REGEN: &str = "AI Horde Worker reGen";
const CLASSIC: &str = "AI Horde Worker";
const WEBUI: &str = "SD-WebUI Stable Horde Worker Bridge";
const AUTOWEB: &str = "HordeAutoWebBridge";
const VALIDATED: &[&str] = &[
    CLASSIC,
    "AI Horde Worker~aphrodite~oai",
    "AI Horde Worker~aphrodite~kai",
    "KoboldCppEmbedWorker",
    "TabbyAPI",
];

struct Row {
    name: &'static str,
    /// From which version on which capabilities hold.
    versions: &'static [(u32, &'static [&'static str])],
}

const BRIDGES: &[Row] = &[
    Row {
        name: REGEN,
        versions: &[
            (
                1,
                &[
                    "img2img",
                    "inpainting",
                    "karras",
                    "post-processing",
                    "GFPGAN",
                    "RealESRGAN_x4plus",
                    "r2",
                    "CodeFormers",
                    "clip_skip",
                    "r2_source",
                    "controlnet",
                    "strip_background",
                    "return_control_map",
                    "RealESRGAN_x4plus_anime_6B",
                    "NMKD_Siax",
                    "4x_AnimeSharp",
                    "image_is_control",
                    "RealESRGAN_x2plus",
                    "hires_fix",
                    "tiling",
                ],
            ),
            (2, &["textual_inversion", "lora"]),
            (3, &["lora_versions"]),
            (5, &["extra_source_images"]),
            (6, &["stable_cascade_2pass"]),
            (7, &["qr_code", "extra_texts", "workflow"]),
            (8, &["layer_diffuse"]),
            (9, &["flux"]),
            (
                13,
                &[
                    "4xNomos8kSC",
                    "4xLSDIRplus",
                    "4xNomosWebPhoto_RealPLKSR",
                    "4xNomos2_realplksr_dysample",
                    "4xNomos2_hq_dat2",
                    "2xModernSpanimationV1",
                    "GFPGANv1.3",
                    "RestoreFormer",
                ],
            ),
        ],
    },
    Row {
        name: CLASSIC,
        versions: &[
            (3, &["img2img"]),
            (4, &["inpainting"]),
            (6, &["karras"]),
            (7, &["post-processing", "GFPGAN", "RealESRGAN_x4plus"]),
            (8, &["r2"]),
            (9, &["CodeFormers"]),
            (13, &["hires_fix", "clip_skip"]),
            (14, &["r2_source"]),
            (15, &["controlnet"]),
            (18, &["strip_background", "return_control_map", "RealESRGAN_x4plus_anime_6B"]),
            (19, &["NMKD_Siax", "4x_AnimeSharp"]),
            (21, &["RealESRGAN_x2plus"]),
            (22, &["lora"]),
            (23, &["image_is_control"]),
            (24, &["textual_inversion"]),
        ],
    },
    Row {
        name: WEBUI,
        versions: &[
            (1, &["inpainting", "karras", "r2", "CodeFormers"]),
            (2, &["tiling"]),
            (3, &["r2_source"]),
            (4, &["clip_skip"]),
        ],
    },
    // Draws from prompt, seed and size alone, and PUTs what it drew; it honours nothing else.
    Row { name: "gridbroker-mock", versions: &[(1, &["r2"])] },
    Row { name: AUTOWEB, versions: &[(1, &["painting", "img2img", "karras"]), (2, &["tiling"])] },
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_as_some_bridge(agent in any::<String>(), sampler in any::<String>()) {
            let bridge = Bridge::parse(&agent);
            prop_assert_eq!(&bridge.agent, &agent);
            prop_assert!(bridge.version > 0 || bridge.name == "unknown" || agent.contains(':'));
            prop_assert!((0.75..=1.0).contains(&bridge.reward_factor()));
            bridge.samples(&sampler, true);
        }

        #[test]
        fn a_later_version_can_what_an_earlier_one_could(row in 0..BRIDGES.len(), version in 0u32..30) {
            let of = |version| Bridge { name: BRIDGES[row].name.into(), version, ..Bridge::default() };
            for (_, capabilities) in BRIDGES[row].versions {
                for capability in *capabilities {
                    prop_assert!(!of(version).can(capability) || of(version + 1).can(capability));
                }
            }
        }
    }

    #[test]
    fn agents_are_read_as_the_contract_says() {
        for (agent, name, version, rule) in [
            ("AI Horde Worker reGen:13.0.0:https://x:y", REGEN, 13, "the first two colons split"),
            ("AI Horde Worker:24", CLASSIC, 24, "the version may omit parts"),
            ("something", "unknown", 0, "without a version it is unknown"),
            ("x:abc:y", "unknown", 0, "an unreadable version is unknown"),
        ] {
            let bridge = Bridge::parse(agent);
            assert_eq!((bridge.name.as_str(), bridge.version), (name, version), "{rule}");
        }
    }

    #[test]
    fn a_bridge_fetches_what_it_takes_for_a_link() {
        for (agent, by_https, by_http) in [
            ("AI Horde Worker reGen:13:x", true, true),
            ("AI Horde Worker:14:x", true, false),
            ("AI Horde Worker:13:x", false, false),
            ("something", false, false),
        ] {
            let bridge = Bridge::parse(agent);
            assert_eq!((bridge.fetches(true), bridge.fetches(false)), (by_https, by_http), "{agent}");
        }
    }

    #[test]
    fn capabilities_come_with_versions_and_never_for_unknown_bridges() {
        assert!(Bridge::parse("AI Horde Worker reGen:8:x").can("layer_diffuse"));
        assert!(!Bridge::parse("AI Horde Worker reGen:7.9:x").can("layer_diffuse"));
        assert!(!Bridge::parse("AI Horde worker reGen:13:x").can("r2"), "spelling decides");
    }
}
