//! Landscapes painted from a prompt and a seed.

use std::io::Cursor;

use ::image::{ExtendedColorType, codecs::webp::WebPEncoder};
use sha2::{Digest, Sha256};

/// Chance that falls the same way each time.
pub(super) struct Chance(u64);

impl Chance {
    pub fn of(what: &[u8]) -> Self {
        let digest = Sha256::digest(what);
        Self(digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// The next number; SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` − 1; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % (bound.max(1) as u64)) as usize
    }

    /// A number from `low` to `high`.
    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}

type Colour = [f32; 3];

fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    let share = share.clamp(0.0, 1.0);
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * share)
}

/// A colour of a hue (in turns), saturation and lightness from 0 to 1.
fn hsl(hue: f32, saturation: f32, lightness: f32) -> Colour {
    let a = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|n| {
        let k = (n + hue.rem_euclid(1.0) * 12.0) % 12.0;
        lightness - a * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
    })
}

/// A range of hills: three waves on a base line, all in shares of the height and width.
struct Range {
    base: f32,
    waves: [(f32, f32, f32); 3],
    colour: Colour,
}

impl Range {
    fn top(&self, x: f32) -> f32 {
        let waves = self.waves.iter();
        self.base - waves.map(|(size, turns, shift)| size * (x * turns + shift).sin()).sum::<f32>()
    }
}

/// Paints a picture: the same one each time for the same prompt, seed and size.
///
/// Lossless WebP, marked MOCK in its lower left corner.
pub fn image(prompt: &str, seed: u64, width: u32, height: u32) -> Vec<u8> {
    let mut webp = Cursor::new(Vec::new());
    WebPEncoder::new_lossless(&mut webp)
        .encode(&pixels(prompt, seed, width, height, 0.0), width, height, ExtendedColorType::Rgb8)
        .expect("the buffer has three bytes for each pixel, and a vector takes all that is written");
    webp.into_inner()
}

/// The pixels of a picture, three bytes each, row by row. `hour` moves the sun: by 1 from left to right.
pub(super) fn pixels(prompt: &str, seed: u64, width: u32, height: u32, hour: f32) -> Vec<u8> {
    let mut chance = Chance::of(format!("{seed}\n{prompt}").as_bytes());
    let hue = chance.between(0.0, 1.0);
    let far = hue + chance.between(0.25, 0.5);
    let (zenith, horizon) = (hsl(hue, 0.55, 0.24), hsl(far, 0.7, 0.76));
    let sun = (chance.between(0.2, 0.8) + hour, chance.between(0.2, 0.45), chance.between(0.05, 0.11));
    let sunlight = hsl(far + 0.05, 0.9, 0.88);
    let ranges: Vec<_> = (0..4)
        .map(|i| {
            let near = i as f32 / 3.0;
            let waves = [(0.07, 5.0), (0.03, 13.0), (0.012, 34.0)].map(|(size, turns)| {
                (
                    size * chance.between(0.5, 1.2),
                    turns * chance.between(0.7, 1.3),
                    chance.between(0.0, std::f32::consts::TAU),
                )
            });
            let colour = mix(horizon, hsl(hue + 0.02, 0.6, 0.1), 0.35 + 0.6 * near);
            Range { base: 0.56 + 0.13 * i as f32, waves, colour }
        })
        .collect();
    let tops: Vec<Vec<f32>> =
        (0..width).map(|x| ranges.iter().map(|range| range.top(x as f32 / width as f32)).collect()).collect();
    let aspect = width as f32 / height as f32;
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for row in 0..height {
        let y = row as f32 / height as f32;
        let sky = mix(zenith, horizon, y / 0.65);
        for column in 0..width {
            let hill = tops[column as usize].iter().rposition(|top| y >= *top);
            let mut colour = match hill {
                Some(hill) => mix(ranges[hill].colour, horizon, 0.12 * (1.0 - y)),
                None => {
                    let x = column as f32 / width as f32;
                    let distance = ((x - sun.0) * aspect).hypot(y - sun.1) / sun.2;
                    let disc = 1.0 - (distance - 1.0) * 40.0;
                    mix(sky, sunlight, disc.max(0.55 / (1.0 + distance * distance)))
                }
            };
            if is_label(column, height - 1 - row, width, height) {
                colour = mix(colour, [1.0; 3], 0.85);
            }
            pixels.extend(colour.map(|share| (share.clamp(0.0, 1.0) * 255.0) as u8));
        }
    }
    pixels
}

/// The letters of MOCK, five by five.
const LABEL: [&str; 5] = [
    "#...#..###...###..#..#.",
    "##.##.#...#.#.....#.#..",
    "#.#.#.#...#.#.....##...",
    "#...#.#...#.#.....#.#..",
    "#...#..###...###..#..#.",
];

/// Whether a pixel, counted from the lower left corner, belongs to the label.
fn is_label(x: u32, y: u32, width: u32, height: u32) -> bool {
    let dot = (width.min(height) / 128).max(1);
    let margin = 3 * dot;
    let (Some(x), Some(y)) = (x.checked_sub(margin), y.checked_sub(margin)) else { return false };
    let (column, row) = ((x / dot) as usize, (y / dot) as usize);
    row < LABEL.len() && LABEL[LABEL.len() - 1 - row].as_bytes().get(column) == Some(&b'#')
}

#[cfg(test)]
mod tests {
    use ::image::{ImageFormat, ImageReader, RgbImage};

    use super::*;

    fn decoded(webp: &[u8]) -> RgbImage {
        let reader = ImageReader::new(Cursor::new(webp)).with_guessed_format().unwrap();
        assert_eq!(reader.format(), Some(ImageFormat::WebP));
        reader.decode().unwrap().into_rgb8()
    }

    #[test]
    fn an_image_is_webp_of_the_size_asked_for() {
        for (width, height) in [(64, 64), (192, 64), (64, 256), (1, 1)] {
            assert_eq!(decoded(&image("a castle", 1, width, height)).dimensions(), (width, height));
        }
    }

    #[test]
    fn prompt_and_seed_decide_what_is_painted() {
        let image = |prompt, seed| image(prompt, seed, 64, 64);
        assert_eq!(image("a castle", 1), image("a castle", 1));
        assert_ne!(image("a castle", 1), image("a castle", 2));
        assert_ne!(image("a castle", 1), image("a ship", 1));
    }

    #[test]
    fn an_image_is_a_picture_and_bears_its_mark() {
        let picture = decoded(&image("a castle", 7, 128, 128));
        let colours: std::collections::HashSet<_> = picture.pixels().collect();
        assert!(colours.len() > 100, "{} colours", colours.len());
        let marked = picture.get_pixel(3, 127 - 3);
        assert!(marked.0.iter().all(|part| *part > 215), "the foot of the M is near white: {marked:?}");
    }
}
