//! Source images: sent as base64, or fetched from a URL.
//!
//! Whatever comes is looked at in the cheapest order: what it seems to be, what its header says of its
//! size, and only then its pixels.

use std::{io::Cursor, time::Duration};

use bytes::Bytes;
use image::{ImageDecoder, ImageFormat, ImageReader};
use tokio::sync::Semaphore;

use super::{
    ObjectKey, Objects,
    objects::{decode_base64, is_whole, to_webp},
};
use crate::{
    domain::{Error, Result, error::ParamRule},
    outside::{Schemes, Trouble},
};

/// Most pixels of a source image. Source: the v2 contract.
const MAX_PIXELS: u64 = 3072 * 3072;
/// Most bytes of an image at a URL, and how long it may take. Source: the v2 contract.
const MAX_BYTES: usize = 5 << 20;
const DEADLINE: Duration = Duration::from_secs(2);
/// Images that are fetched at a time, and how long others wait for their turn.
const MAX_FETCHES: usize = 32;
const TURN: Duration = Duration::from_secs(5);
/// What reading a header may take, in bytes.
const HEADER_ALLOC: u64 = 16 << 20;

static FETCHES: Semaphore = Semaphore::const_new(MAX_FETCHES);

/// An image that was asked for as a source, as it came.
#[derive(Clone, Debug)]
pub struct SourceImage {
    /// PNG, JPEG or WebP, no larger than allowed; only the header was read.
    pub content: Bytes,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Whether it has an alpha channel.
    pub has_alpha: bool,
    /// It was fetched from a URL.
    is_fetched: bool,
}

impl Objects {
    /// Whether a webhook may be called, as far as its URL tells.
    ///
    /// # Errors
    /// [`Error::BadRequest`].
    pub fn check_webhook(&self, url: &str) -> Result<()> {
        let target = self.outside.target(url, Schemes::Https);
        target.map(|_| ()).map_err(|problem| Error::BadRequest(format!("the URL of the webhook {problem}")))
    }

    /// Fetches a source image from a URL.
    ///
    /// # Errors
    /// ImageValidationFailed (it cannot be fetched), SourceImageSizeExceeded (more than 5 MB),
    /// SourceImageUrlInvalid (no image), SourceImageUnreadable, SourceImageResolutionExceeded.
    pub async fn fetch_source(&self, url: &str) -> Result<SourceImage> {
        let failed = |problem: String| {
            Error::params(ParamRule::ImageValidationFailed, format!("the URL of the source image {problem}"))
        };
        let target = self.outside.target(url, Schemes::HttpOrHttps).map_err(|why| failed(why.into()))?;
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN, FETCHES.acquire()).await else {
            return Err(failed("cannot be fetched now, as too many others are: try again".into()));
        };
        let fetched = self.outside.fetch(&target, "image/*", MAX_BYTES, DEADLINE).await;
        let outcome = fetched.as_ref().map_or_else(|trouble| trouble.word(), |_| "fetched");
        metrics::counter!("gridbroker_source_fetches_total", "outcome" => outcome).increment(1);
        let content = fetched.map_err(|trouble| match trouble {
            Trouble::TooLarge => Error::params(
                ParamRule::SourceImageSizeExceeded,
                "the source image at the URL is larger than 5 MB: send a smaller one",
            ),
            trouble => failed(trouble.to_string()),
        })?;
        look_at(content, true)
    }

    /// Reads a source image: fetches it if it is a URL, and takes it as base64 if not.
    ///
    /// # Errors
    /// As [`Objects::fetch_source`]; base64 that is no image is ImageValidationFailed.
    pub async fn read_source(&self, text: &str) -> Result<SourceImage> {
        if text.starts_with("http") {
            return self.fetch_source(text).await;
        }
        look_at(decode_base64(text).ok_or_else(|| unreadable(false))?, false)
    }

    /// Reads a source image, and stores it as WebP.
    ///
    /// # Errors
    /// As [`Objects::read_source`]; [`Error::StoreUnavailable`].
    pub async fn put_source(&self, key: ObjectKey, text: &str) -> Result<SourceImage> {
        let source = self.read_source(text).await?;
        let is_webp = image::guess_format(&source.content).is_ok_and(|format| format == ImageFormat::WebP);
        // What is no WebP is decoded on the way to one.
        if is_webp && !is_whole(source.content.clone()).await {
            return Err(unreadable(source.is_fetched));
        }
        let webp = to_webp(source.content.clone()).await.ok_or_else(|| unreadable(source.is_fetched))?;
        self.put(&key.to_string(), webp).await?;
        Ok(source)
    }
}

fn unreadable(is_fetched: bool) -> Error {
    match is_fetched {
        true => Error::params(
            ParamRule::SourceImageUnreadable,
            "the source image at the URL cannot be read: give a PNG, JPEG or WebP",
        ),
        false => Error::params(ParamRule::ImageValidationFailed, "the source image cannot be decoded"),
    }
}

/// Judges an image by its beginning.
fn look_at(content: Bytes, is_fetched: bool) -> Result<SourceImage> {
    if is_fetched && image::guess_format(&content).is_err() {
        let message = "what the URL of the source image leads to is no image";
        return Err(Error::params(ParamRule::SourceImageUrlInvalid, message));
    }
    let (width, height, has_alpha) = header(&content).ok_or_else(|| unreadable(is_fetched))?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        let message = format!("the source image has {width}×{height} pixels; 3072×3072 are allowed");
        return Err(Error::params(ParamRule::SourceImageResolutionExceeded, message));
    }
    Ok(SourceImage { content, width, height, has_alpha, is_fetched })
}

/// Width, height and whether there is an alpha channel. Decodes nothing.
fn header(content: &[u8]) -> Option<(u32, u32, bool)> {
    let mut reader = ImageReader::new(Cursor::new(content)).with_guessed_format().ok()?;
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(HEADER_ALLOC);
    reader.limits(limits);
    let decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    Some((width, height, decoder.color_type().has_alpha()))
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, RgbImage, RgbaImage};

    use super::*;

    fn drawn(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.into().write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    /// A PNG whose header says that it is of this size, and that has next to no pixels.
    fn bomb(width: u32, height: u32) -> Vec<u8> {
        let mut png = drawn(RgbImage::new(1, 1), ImageFormat::Png);
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc(&png[12..29]);
        png[29..33].copy_from_slice(&sum.to_be_bytes());
        png
    }

    /// CRC-32 as PNG has it.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
        })
    }

    fn rule(content: &[u8], is_fetched: bool) -> Option<ParamRule> {
        match look_at(Bytes::copy_from_slice(content), is_fetched) {
            Ok(_) => None,
            Err(Error::BadParams { rule, .. }) => Some(rule),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn hostile_images_are_refused_by_their_beginning() {
        use ParamRule::{
            ImageValidationFailed, SourceImageResolutionExceeded, SourceImageUnreadable,
            SourceImageUrlInvalid,
        };
        let png = drawn(RgbImage::new(64, 64), ImageFormat::Png);
        for (content, sent, fetched) in [
            (png.clone(), None, None),
            (drawn(RgbImage::new(64, 64), ImageFormat::Jpeg), None, None),
            (drawn(RgbImage::new(64, 64), ImageFormat::WebP), None, None),
            (vec![], Some(ImageValidationFailed), Some(SourceImageUrlInvalid)),
            (b"not an image".to_vec(), Some(ImageValidationFailed), Some(SourceImageUrlInvalid)),
            (
                br#"<svg xmlns="http://www.w3.org/2000/svg"/>"#.to_vec(),
                Some(ImageValidationFailed),
                Some(SourceImageUrlInvalid),
            ),
            (b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), Some(ImageValidationFailed), Some(SourceImageUnreadable)),
            (png[..20].to_vec(), Some(ImageValidationFailed), Some(SourceImageUnreadable)),
            (bomb(3073, 3072), Some(SourceImageResolutionExceeded), Some(SourceImageResolutionExceeded)),
            (
                bomb(1_000_000, 1_000_000),
                Some(SourceImageResolutionExceeded),
                Some(SourceImageResolutionExceeded),
            ),
            (bomb(3072, 3072), None, None),
            (bomb(0, 64), Some(ImageValidationFailed), Some(SourceImageUnreadable)),
        ] {
            let beginning = String::from_utf8_lossy(&content[..content.len().min(24)]).into_owned();
            assert_eq!(rule(&content, false), sent, "base64: {beginning:?}");
            assert_eq!(rule(&content, true), fetched, "URL: {beginning:?}");
        }
    }

    #[test]
    fn an_alpha_channel_is_seen_in_the_header() {
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let plain = header(&drawn(RgbImage::new(8, 9), format));
            assert_eq!(plain, Some((8, 9, false)), "{format:?}");
            let alpha = header(&drawn(RgbaImage::new(8, 9), format));
            assert_eq!(alpha, Some((8, 9, true)), "{format:?}");
        }
    }

    #[tokio::test]
    async fn a_header_with_nothing_behind_it_is_no_whole_image() {
        let webp =
            drawn(RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 7])), ImageFormat::WebP);
        assert!(is_whole(webp.clone().into()).await);
        assert!(!is_whole(Bytes::copy_from_slice(&webp[..webp.len() / 2])).await);
        assert!(to_webp(bomb(3072, 3072).into()).await.is_none(), "its pixels are missing");
    }
}
