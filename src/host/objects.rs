//! Objects: images handed in and out through signed links.
//!
//! A link names an object, a verb and an expiry, and is signed with a secret that all brokers over
//! the same records share; any of them serves it.

use std::{io::Cursor, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use image::{ImageFormat, ImageReader};
use tokio::sync::Semaphore;

use super::{
    Host,
    links::{LINK_TTL, Links},
};
use crate::{
    backend::{Beginning, Blobs},
    domain::{
        AttemptId, Error, RequestId, Result,
        media::{Format, Media},
    },
    engine::Adoption,
    outside::Guarded,
};

/// Widest and highest image that is decoded, in pixels.
const MAX_SIDE: u32 = 16_384;
/// Largest picture of how far an attempt is, in bytes.
pub const MAX_PREVIEW: usize = 1 << 20;
/// Its pixels: what is small as a file may be large to decode.
const MAX_PREVIEW_PIXELS: u64 = 1024 * 1024;
/// Images that are decoded at a time.
static DECODERS: Semaphore = Semaphore::const_new(4);
/// As much of what was handed in is read to see what it is; more, if that does not show it.
const GLIMPSE: usize = 64 * 1024;

/// The name of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectKey {
    /// The image of an attempt.
    Result(AttemptId),
    /// The source image of a request.
    Source(RequestId),
    /// The mask of a request.
    Mask(RequestId),
    /// An extra source image of a request.
    Extra(RequestId, usize),
    /// The newest picture of how far an attempt is.
    Preview(AttemptId),
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Result(id) => write!(f, "{id}.webp"),
            Self::Source(id) => write!(f, "{id}_src.webp"),
            Self::Mask(id) => write!(f, "{id}_msk.webp"),
            // This spelling is on the wire.
            Self::Extra(id, i) => write!(f, "{id}_exra_src_{i}.webp"),
            Self::Preview(id) => write!(f, "{id}_preview.webp"),
        }
    }
}

/// Where an object lies that was handed in past the broker, until it is looked at.
fn upload_name(key: ObjectKey) -> String {
    let name = key.to_string();
    format!("{}_put.webp", name.trim_end_matches(".webp"))
}

/// Names of all objects that a request with these attempts may have.
pub(super) fn names(blobs: &dyn Blobs, request: RequestId, attempts: &[AttemptId]) -> Vec<String> {
    let own = [ObjectKey::Source(request), ObjectKey::Mask(request)];
    let extra = (0..5).map(|i| ObjectKey::Extra(request, i));
    let made = attempts.iter().flat_map(|id| [ObjectKey::Result(*id), ObjectKey::Preview(*id)]);
    let uploads = if blobs.direct().is_some() { attempts } else { &[] };
    let uploads = uploads.iter().map(|id| upload_name(ObjectKey::Result(*id)));
    own.into_iter().chain(extra).chain(made).map(|key| key.to_string()).chain(uploads).collect()
}

/// The object store as the services use it.
#[derive(Clone)]
pub struct Objects {
    pub(super) host: Host,
    links: Links,
    /// Fetches source images.
    pub(super) outside: Guarded,
    /// Largest object that may be handed in, in bytes.
    max_bytes: usize,
    are_links_https: bool,
}

impl Objects {
    /// Objects of a host, with links under a public URL; those of strangers are fetched by a client.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn open(host: Host, public_url: &str, max_bytes: usize, outside: Guarded) -> Result<Self> {
        let secret = host.stored(host.shared.backend.records.secret(rand::random()).await)?;
        let links = Links::new(public_url, secret);
        let mut objects = Self { host, links, outside, max_bytes, are_links_https: false };
        let any = objects.get_link(ObjectKey::Source(RequestId(uuid::Uuid::nil())));
        objects.are_links_https = any.starts_with("https://");
        Ok(objects)
    }

    fn blobs(&self) -> &dyn Blobs {
        &*self.host.shared.backend.blobs
    }

    /// The links.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// A link to hand an object in.
    pub fn put_link(&self, key: ObjectKey) -> String {
        match self.blobs().direct() {
            Some(direct) => direct.put_link(&upload_name(key), LINK_TTL),
            None => self.links.sign("PUT", key, self.host.now()),
        }
    }

    /// A link to hand an object in that holds for so long, and for 30 min at least.
    pub fn put_link_for(&self, key: ObjectKey, valid: Duration) -> String {
        let valid = valid.max(LINK_TTL);
        match self.blobs().direct() {
            Some(direct) => direct.put_link(&upload_name(key), valid),
            None => self.links.sign_for("PUT", key, self.host.now(), valid),
        }
    }

    /// A link to fetch an object.
    pub fn get_link(&self, key: ObjectKey) -> String {
        match self.blobs().direct() {
            Some(direct) => direct.get_link(&key.to_string(), LINK_TTL),
            None => self.links.sign("GET", key, self.host.now()),
        }
    }

    /// Whether links are such that every bridge sees that they are links.
    pub fn are_links_https(&self) -> bool {
        self.are_links_https
    }

    /// Whether a link to an object was made here and still holds.
    pub fn is_signed(&self, verb: &str, name: &str, expires: i64, signature: &str) -> bool {
        self.links.verify(verb, name, expires, signature, self.host.now())
    }

    /// Stores an object under its name.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn put(&self, name: &str, content: Bytes) -> Result<()> {
        self.host.stored(self.blobs().put(name, content).await)
    }

    /// An object by its name.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        self.host.stored(self.blobs().get(name).await)
    }

    /// What an object is, and its size in bytes, without reading more of it.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn describe(&self, name: &str) -> Result<Option<(Format, u64)>> {
        let seen = self.host.stored(self.blobs().beginning(name, GLIMPSE).await)?;
        Ok(seen.map(|seen| (Format::of(&seen.content), seen.size_bytes)))
    }

    /// Whether an object may still be handed in: its attempt is open. What is settled and shown stays
    /// as it is, however long the link would hold.
    ///
    /// # Errors
    /// [`Error::AbortedGen`] once the attempt has ended.
    pub async fn may_hand_in(&self, name: &str) -> Result<()> {
        let Some(attempt) = name.strip_suffix(".webp").and_then(AttemptId::parse) else { return Ok(()) };
        self.host.bring(attempt, Adoption::HandIn, None).await?;
        match self.host.glance(|engine, _| engine.is_open(attempt)) {
            true => Ok(()),
            false => Err(Error::AbortedGen(attempt)),
        }
    }

    /// What was handed in for an attempt, by its content; `None` if nothing was. What came past the
    /// broker is kept from here on: its link changes it no more.
    ///
    /// # Errors
    /// [`Error::BadRequest`] if it is too large; [`Error::Overtaken`] if it was replaced just now;
    /// [`Error::StoreUnavailable`].
    pub async fn handed_in(&self, attempt: AttemptId) -> Result<Option<Media>> {
        let key = ObjectKey::Result(attempt);
        let name = key.to_string();
        if let Some(direct) = self.blobs().direct() {
            let upload = upload_name(key);
            if let Some(seen) = self.host.stored(self.blobs().beginning(&upload, GLIMPSE).await)? {
                let media = self.media(&upload, &seen).await?;
                if media != Media::Unknown {
                    let content_type = Format::of(&seen.content).content_type();
                    let kept = direct.keep(&upload, &seen.version, &name, content_type).await;
                    if !self.host.stored(kept)? {
                        return Err(Error::Overtaken);
                    }
                }
                return Ok(Some(media));
            }
            // It may have come through a broker that does not hand out such links.
        }
        match self.host.stored(self.blobs().beginning(&name, GLIMPSE).await)? {
            Some(seen) => self.media(&name, &seen).await.map(Some),
            None => Ok(None),
        }
    }

    async fn media(&self, name: &str, seen: &Beginning) -> Result<Media> {
        if seen.size_bytes > self.max_bytes as u64 {
            return Err(Error::BadRequest(format!(
                "what was uploaded for this job has {} bytes; {} are allowed",
                seen.size_bytes, self.max_bytes
            )));
        }
        let media = Media::of(&seen.content);
        if media != Media::Image || dimensions(&seen.content).is_some() {
            return Ok(media);
        }
        if seen.size_bytes <= seen.content.len() as u64 {
            return Ok(Media::Unknown);
        }
        // Much may stand before the dimensions, such as a preview.
        let is_image = self.get(name).await?.is_some_and(|content| dimensions(&content).is_some());
        Ok(if is_image { Media::Image } else { Media::Unknown })
    }

    /// Stores a video that came as base64, as it is; false if it is none.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn put_video(&self, attempt: AttemptId, text: &str) -> Result<bool> {
        let Some(content) = decode_base64(text).filter(|content| Media::of(content).moves()) else {
            return Ok(false);
        };
        self.put(&ObjectKey::Result(attempt).to_string(), content).await?;
        Ok(true)
    }

    /// Stores a picture of how far an attempt is, in the place of the one before.
    ///
    /// # Errors
    /// [`Error::BadRequest`] if it is none, or a large one; [`Error::StoreUnavailable`].
    pub async fn put_preview(&self, attempt: AttemptId, image: Bytes) -> Result<()> {
        if image.len() > MAX_PREVIEW {
            let message = format!("the preview has {} bytes; send one of {MAX_PREVIEW} at most", image.len());
            return Err(Error::BadRequest(message));
        }
        let refused = |why: &str| Error::BadRequest(format!("the preview {why}"));
        let (width, height) =
            dimensions(&image).ok_or_else(|| refused("cannot be decoded: send a WebP, PNG or JPEG"))?;
        if u64::from(width) * u64::from(height) > MAX_PREVIEW_PIXELS {
            return Err(refused("has more than 1024×1024 pixels: make it smaller"));
        }
        let webp = to_webp(image).await;
        let webp = webp.ok_or_else(|| refused("cannot be decoded: send a WebP, PNG or JPEG"))?;
        self.put(&ObjectKey::Preview(attempt).to_string(), webp).await
    }

    /// An object as base64, as it is; `None` if it is gone.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn raw_base64(&self, key: ObjectKey) -> Result<Option<String>> {
        Ok(self.get(&key.to_string()).await?.map(|content| BASE64_STANDARD.encode(content)))
    }

    /// Deletes an object, if there is one.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn delete(&self, key: ObjectKey) -> Result<()> {
        self.host.stored(self.blobs().delete(&key.to_string()).await)
    }

    /// Stores a result that came as base64; false if it is no image.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn put_result(&self, attempt: AttemptId, text: &str) -> Result<bool> {
        let Some(content) = decode_base64(text) else { return Ok(false) };
        let Some(webp) = to_webp(content).await else { return Ok(false) };
        self.put(&ObjectKey::Result(attempt).to_string(), webp).await?;
        Ok(true)
    }

    /// An image as base64 WebP; `None` if it is gone.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn as_base64(&self, key: ObjectKey) -> Result<Option<String>> {
        let Some(content) = self.get(&key.to_string()).await? else { return Ok(None) };
        let webp = to_webp(content.clone()).await.unwrap_or(content);
        Ok(Some(BASE64_STANDARD.encode(webp)))
    }
}

pub(super) fn decode_base64(text: &str) -> Option<Bytes> {
    let text = text.rsplit_once("base64,").map_or(text, |(_, data)| data);
    BASE64_STANDARD.decode(text.trim()).ok().map(Bytes::from)
}

fn reader(content: &[u8]) -> Option<ImageReader<Cursor<&[u8]>>> {
    let mut reader = ImageReader::new(Cursor::new(content)).with_guessed_format().ok()?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(256 << 20);
    reader.limits(limits);
    Some(reader)
}

/// Width and height of an image, from its header alone; `None` if it is none.
pub fn dimensions(content: &[u8]) -> Option<(u32, u32)> {
    reader(content)?.into_dimensions().ok()
}

/// The image as WebP, as it is if it is one; `None` if it cannot be decoded.
pub(super) async fn to_webp(content: Bytes) -> Option<Bytes> {
    let convert = move || {
        if reader(&content)?.format() == Some(ImageFormat::WebP) && dimensions(&content).is_some() {
            return Some(content);
        }
        let image = reader(&content)?.decode().ok()?;
        let image = if image.color().has_alpha() {
            image.into_rgba8().into()
        } else {
            image::DynamicImage::from(image.into_rgb8())
        };
        let mut webp = Vec::new();
        image.write_to(&mut Cursor::new(&mut webp), ImageFormat::WebP).ok()?;
        Some(webp.into())
    };
    decoding(convert).await
}

/// Whether the image can be decoded to its last pixel.
pub(super) async fn is_whole(content: Bytes) -> bool {
    decoding(move || reader(&content)?.decode().ok()).await.is_some()
}

/// Each may take a quarter of a gigabyte for a moment.
async fn decoding<T: Send + 'static>(decode: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    let _turn = DECODERS.acquire().await.ok()?;
    tokio::task::spawn_blocking(decode).await.ok().flatten()
}
