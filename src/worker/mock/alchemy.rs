//! Forms done with a picture: what is said of it is measured, and a new picture is made of its pixels.
//!
//! Nothing here understands a picture. What it says is marked as mock and follows from size and colours
//! alone, so that a test can compute it again.

use std::{collections::BTreeMap, io::Cursor};

use ::image::{
    DynamicImage, ExtendedColorType, ImageReader, Limits, Rgb, RgbImage, RgbaImage,
    codecs::webp::WebPEncoder, imageops,
};
use anyhow::Context;
use serde_json::{Map, Value, json};

/// The forms that the mock does: all there are.
pub const FORMS: [&str; 23] = [
    "caption",
    "interrogation",
    "nsfw",
    "vectorize",
    "palette",
    "describe",
    "aesthetic",
    "GFPGAN",
    "RealESRGAN_x4plus",
    "RealESRGAN_x2plus",
    "RealESRGAN_x4plus_anime_6B",
    "NMKD_Siax",
    "4x_AnimeSharp",
    "CodeFormers",
    "strip_background",
    "4xNomos8kSC",
    "4xLSDIRplus",
    "4xNomosWebPhoto_RealPLKSR",
    "4xNomos2_realplksr_dysample",
    "4xNomos2_hq_dat2",
    "2xModernSpanimationV1",
    "GFPGANv1.3",
    "RestoreFormer",
];
/// Widest and highest picture that is made, in pixels.
const MAX_SIDE: u32 = 4096;
/// Colours of a palette.
const PALETTE: usize = 5;
/// Fields in a row of a vectorized picture.
const FIELDS: u32 = 16;
/// How far a colour may be from a corner's to count as background, summed over its three parts.
const NEAR: u32 = 60;

/// What came of a form.
pub struct Made {
    /// What is said of the picture; of forms that make one, nothing.
    pub words: Map<String, Value>,
    /// The picture that was made, as WebP.
    pub webp: Option<Vec<u8>>,
}

/// Does a form.
///
/// # Errors
/// The source is no picture, or there is no such form.
pub fn transmute(form: &str, source: &[u8]) -> anyhow::Result<Made> {
    let picture = decode(source)?;
    let rgb = picture.to_rgb8();
    let said = |value: Value| Made { words: Map::from_iter([(form.to_owned(), value)]), webp: None };
    let made = |webp| Made { words: Map::new(), webp: Some(webp) };
    Ok(match form {
        "caption" => said(caption(&rgb).into()),
        "describe" => said(describe(&rgb).into()),
        "nsfw" => said(false.into()),
        "palette" => said(palette(&rgb).iter().map(|(colour, _)| hex(*colour)).collect::<Vec<_>>().into()),
        "aesthetic" => said(contrast(&rgb).into()),
        "vectorize" => said(vectorize(&rgb).into()),
        "interrogation" => {
            let tag = |(colour, share): &(Rgb<u8>, f64)| json!({"text": format!("[mock] {}", name(*colour)), "confidence": (share * 1e4).round() / 1e4});
            said(json!({"tags": palette(&rgb).iter().map(tag).collect::<Vec<_>>()}))
        }
        "strip_background" => made(encode(&strip(&picture.to_rgba8()).into())?),
        _ if FORMS.contains(&form) => made(encode(&improve(&rgb, factor(form)).into())?),
        _ => anyhow::bail!("there is no form {form}"),
    })
}

fn decode(source: &[u8]) -> anyhow::Result<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(source)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE * 4);
    limits.max_image_height = Some(MAX_SIDE * 4);
    limits.max_alloc = Some(512 << 20);
    reader.limits(limits);
    reader.decode().context("the source image cannot be decoded")
}

fn encode(picture: &DynamicImage) -> anyhow::Result<Vec<u8>> {
    let mut webp = Cursor::new(Vec::new());
    let (width, height) = (picture.width(), picture.height());
    let encoder = WebPEncoder::new_lossless(&mut webp);
    match picture {
        DynamicImage::ImageRgba8(pixels) => {
            encoder.encode(pixels, width, height, ExtendedColorType::Rgba8)?
        }
        other => encoder.encode(&other.to_rgb8(), width, height, ExtendedColorType::Rgb8)?,
    }
    Ok(webp.into_inner())
}

/// Size and mean colour, in words.
fn caption(picture: &RgbImage) -> String {
    let (width, height) = picture.dimensions();
    format!("[mock] a picture of {width}×{height} pixels, {} on the whole", name(mean(picture)))
}

fn describe(picture: &RgbImage) -> String {
    let colours: Vec<_> = palette(picture)
        .iter()
        .map(|(colour, share)| format!("{:.0} % {} ({})", share * 100.0, name(*colour), hex(*colour)))
        .collect();
    format!("{}; {}", caption(picture), colours.join(", "))
}

fn mean(picture: &RgbImage) -> Rgb<u8> {
    let mut sums = [0u64; 3];
    for pixel in picture.pixels() {
        for (sum, part) in sums.iter_mut().zip(pixel.0) {
            *sum += u64::from(part);
        }
    }
    let count = u64::from(picture.width() * picture.height()).max(1);
    Rgb(sums.map(|sum| (sum / count) as u8))
}

/// The colours that cover most of the picture, each with its share: the mean of those that are alike.
fn palette(picture: &RgbImage) -> Vec<(Rgb<u8>, f64)> {
    let mut alike: BTreeMap<[u8; 3], ([u64; 3], u64)> = BTreeMap::new();
    for pixel in picture.pixels() {
        let (sums, count) = alike.entry(pixel.0.map(|part| part / 64)).or_default();
        for (sum, part) in sums.iter_mut().zip(pixel.0) {
            *sum += u64::from(part);
        }
        *count += 1;
    }
    let all = f64::from(picture.width() * picture.height()).max(1.0);
    let mut colours: Vec<_> = alike.into_values().collect();
    colours.sort_by_key(|(sums, count)| (std::cmp::Reverse(*count), *sums));
    let colour =
        |(sums, count): ([u64; 3], u64)| (Rgb(sums.map(|sum| (sum / count) as u8)), count as f64 / all);
    colours.into_iter().take(PALETTE).map(colour).collect()
}

fn hex(Rgb([red, green, blue]): Rgb<u8>) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A colour in words.
fn name(Rgb([red, green, blue]): Rgb<u8>) -> String {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    let light = (u16::from(most) + u16::from(least)) / 2;
    let shade = match light {
        0..=70 => "dark ",
        71..=184 => "",
        _ => "light ",
    };
    if most - least < 32 {
        return match light {
            0..=40 => "black".into(),
            215.. => "white".into(),
            _ => format!("{shade}grey"),
        };
    }
    let (r, g, b) = (f64::from(red), f64::from(green), f64::from(blue));
    let hue = (3f64.sqrt() * (g - b)).atan2(2.0 * r - g - b).to_degrees().rem_euclid(360.0);
    let hue = match hue as u32 {
        0..=19 | 340.. => "red",
        20..=44 => "orange",
        45..=69 => "yellow",
        70..=164 => "green",
        165..=194 => "cyan",
        195..=259 => "blue",
        260..=299 => "purple",
        _ => "pink",
    };
    format!("{shade}{hue}")
}

/// How much light and dark differ, from 0 to 10.
fn contrast(picture: &RgbImage) -> f64 {
    let light: Vec<f64> = picture
        .pixels()
        .map(|Rgb([r, g, b])| 0.299 * f64::from(*r) + 0.587 * f64::from(*g) + 0.114 * f64::from(*b))
        .collect();
    let count = light.len().max(1) as f64;
    let mean = light.iter().sum::<f64>() / count;
    let spread = (light.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / count).sqrt();
    (spread / 12.8).min(10.0)
}

/// The picture as an SVG of a few fields.
fn vectorize(picture: &RgbImage) -> String {
    use std::fmt::Write;
    let (width, height) = picture.dimensions();
    let small = imageops::resize(picture, FIELDS, FIELDS, imageops::FilterType::Triangle);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {FIELDS} {FIELDS}\" preserveAspectRatio=\"none\">"
    );
    for (x, y, colour) in small.enumerate_pixels() {
        // Writing to a text does not fail.
        let _ = write!(svg, "<path fill=\"{}\" d=\"M{x} {y}h1v1h-1z\"/>", hex(*colour));
    }
    svg.push_str("</svg>");
    svg
}

/// How much larger a form makes a picture.
fn factor(form: &str) -> u32 {
    match form {
        "NMKD_Siax" => 4,
        _ if form.starts_with("4x") || form.contains("_x4") => 4,
        _ if form.starts_with("2x") || form.contains("_x2") => 2,
        _ => 1,
    }
}

/// The picture made larger, and sharper.
fn improve(picture: &RgbImage, factor: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let most = f64::from(MAX_SIDE) / f64::from(width.max(height).max(1));
    let factor = f64::from(factor).min(most.max(1.0));
    let side = |pixels: u32| ((f64::from(pixels) * factor) as u32).max(1);
    let larger = match factor > 1.0 {
        true => imageops::resize(picture, side(width), side(height), imageops::FilterType::CatmullRom),
        false => picture.clone(),
    };
    imageops::unsharpen(&larger, 1.0, 2)
}

/// The picture with what looks like its upper left corner taken away.
fn strip(picture: &RgbaImage) -> RgbaImage {
    let mut picture = picture.clone();
    let corner = picture.pixels().next().map_or([0; 4], |pixel| pixel.0);
    for pixel in picture.pixels_mut() {
        let parts = pixel.0.iter().zip(corner).take(3);
        if parts.map(|(part, other)| u32::from(part.abs_diff(other))).sum::<u32>() < NEAR {
            pixel.0[3] = 0;
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A blue picture with an orange quarter, as PNG.
    fn picture(width: u32, height: u32) -> Vec<u8> {
        let pixel = |x, y| match x >= width / 2 && y >= height / 2 {
            true => Rgb([250, 140, 20]),
            false => Rgb([20, 40, 200]),
        };
        let mut png = Cursor::new(Vec::new());
        RgbImage::from_fn(width, height, pixel).write_to(&mut png, ::image::ImageFormat::Png).unwrap();
        png.into_inner()
    }

    #[test]
    fn what_is_said_of_a_picture_is_measured() {
        let said = |form: &str| transmute(form, &picture(64, 32)).unwrap().words[form].clone();
        assert_eq!(said("caption"), "[mock] a picture of 64×32 pixels, blue on the whole");
        assert_eq!(said("nsfw"), false);
        assert_eq!(said("palette"), json!(["#1428c8", "#fa8c14"]), "the larger first");
        assert_eq!(
            said("interrogation"),
            json!({"tags": [{"text": "[mock] blue", "confidence": 0.75}, {"text": "[mock] orange", "confidence": 0.25}]})
        );
        assert!(said("aesthetic").as_f64().is_some_and(|contrast| (1.0..10.0).contains(&contrast)));
        assert!(said("describe").as_str().is_some_and(|text| text.contains("75 % blue (#1428c8)")));
        let svg = said("vectorize");
        assert_eq!(svg.as_str().map(|svg| svg.matches("#1428c8").count() > 100), Some(true), "{svg}");
    }

    #[test]
    fn forms_that_make_a_picture_make_one_of_the_size_that_they_promise() {
        let made = |form: &str| {
            let webp = transmute(form, &picture(60, 40)).unwrap().webp.unwrap();
            ::image::load_from_memory(&webp).unwrap()
        };
        for (form, size) in [
            ("RealESRGAN_x4plus", (240, 160)),
            ("NMKD_Siax", (240, 160)),
            ("4x_AnimeSharp", (240, 160)),
            ("RealESRGAN_x2plus", (120, 80)),
            ("2xModernSpanimationV1", (120, 80)),
            ("GFPGAN", (60, 40)),
        ] {
            let made = made(form);
            assert_eq!((made.width(), made.height()), size, "{form}");
            let corner = made.to_rgb8().get_pixel(2, 2).0;
            assert!(corner[2] > 150 && corner[0] < 80, "{form} keeps the colours: {corner:?}");
        }
        let stripped = made("strip_background").to_rgba8();
        assert_eq!(stripped.get_pixel(1, 1).0[3], 0, "blue as the corner is");
        assert_eq!(stripped.get_pixel(59, 39).0[3], 255);
    }

    #[test]
    fn nothing_is_made_of_what_is_no_picture_nor_by_forms_that_do_not_exist() {
        assert!(transmute("caption", b"no picture").is_err());
        assert!(transmute("gold", &picture(8, 8)).is_err());
        assert!(FORMS.iter().all(|form| transmute(form, &picture(8, 8)).is_ok()));
    }
}
