//! What bytes are, by how they begin: what workers say of them varies.

/// A form that results come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// WebP.
    WebP,
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// MP4.
    Mp4,
    /// WebM.
    WebM,
    /// AVI.
    Avi,
    /// GIF.
    Gif,
    /// None of these.
    Unknown,
}

/// What somebody sees in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Media {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// Pictures that make a film: GIF, animated WebP, animated PNG.
    Animation,
    /// Nobody can say.
    Unknown,
}

/// Major brands of ISO media files that are pictures, sound, or films in another container than MP4.
const NO_MP4: &[&[u8; 4]] =
    &[b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"M4A ", b"qt  "];
/// Bytes of a WebM file among which its type is named.
const EBML_HEADER: usize = 64;

impl Format {
    /// By the first bytes.
    pub fn of(content: &[u8]) -> Self {
        match content {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Self::Avi,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] if brand.len() >= 4 => {
                match NO_MP4.iter().any(|other| brand.starts_with(*other)) {
                    true => Self::Unknown,
                    false => Self::Mp4,
                }
            }
            [0x1a, 0x45, 0xdf, 0xa3, ..] => {
                let header = &content[..content.len().min(EBML_HEADER)];
                match header.windows(4).any(|word| word == b"webm") {
                    true => Self::WebM,
                    false => Self::Unknown,
                }
            }
            _ => Self::Unknown,
        }
    }

    /// Its `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::WebP => "image/webp",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Mp4 => "video/mp4",
            Self::WebM => "video/webm",
            Self::Avi => "video/x-msvideo",
            Self::Gif => "image/gif",
            Self::Unknown => "application/octet-stream",
        }
    }
}

impl Media {
    /// By the first bytes.
    pub fn of(content: &[u8]) -> Self {
        match Format::of(content) {
            Format::WebP if is_animated_webp(content) => Self::Animation,
            Format::Png if is_animated_png(content) => Self::Animation,
            Format::WebP | Format::Png | Format::Jpeg => Self::Image,
            Format::Gif => Self::Animation,
            Format::Mp4 | Format::WebM | Format::Avi => Self::Video,
            Format::Unknown => Self::Unknown,
        }
    }

    /// Whether there is something to see that moves.
    pub fn moves(self) -> bool {
        matches!(self, Self::Video | Self::Animation)
    }
}

/// `VP8X` is the first chunk, and bit 1 of its flags says that there are frames.
///
/// Source: <https://developers.google.com/speed/webp/docs/riff_container>, "Extended File Format".
fn is_animated_webp(content: &[u8]) -> bool {
    content.get(12..16) == Some(b"VP8X") && content.get(20).is_some_and(|flags| flags & 0x02 != 0)
}

/// An `acTL` chunk stands somewhere before the first `IDAT`.
///
/// Source: <https://www.w3.org/TR/png-3/>, "acTL: Animation Control Chunk".
fn is_animated_png(content: &[u8]) -> bool {
    let mut rest = content.get(8..).unwrap_or_default();
    while let Some((length, kind)) = rest.get(..4).zip(rest.get(4..8)) {
        match kind {
            b"acTL" => return true,
            b"IDAT" => return false,
            _ => {}
        }
        let length = length.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        // Length, kind and checksum are four bytes each.
        rest = length.checked_add(12).and_then(|chunk| rest.get(chunk..)).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_by_how_they_begin() {
        let webm: &[u8] = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82\x84webm\x42\x87";
        let matroska: &[u8] = b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska\x42\x87";
        for (content, format, media) in [
            (&b"RIFF\x10\0\0\0WEBPVP8 "[..], Format::WebP, Media::Image),
            (b"RIFF\x10\0\0\0WAVEfmt ", Format::Unknown, Media::Unknown),
            (b"\x89PNG\r\n\x1a\n\0\0", Format::Png, Media::Image),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Format::Jpeg, Media::Image),
            (b"\0\0\0\x20ftypisom\0\0\x02\0", Format::Mp4, Media::Video),
            (b"\0\0\0\x18ftypmp42", Format::Mp4, Media::Video),
            (b"\0\0\0\x1cftypavif\0\0\0\0", Format::Unknown, Media::Unknown),
            (b"\0\0\0\x18ftypheic", Format::Unknown, Media::Unknown),
            (b"\0\0\0\x14ftypqt  ", Format::Unknown, Media::Unknown),
            (b"\0\0\0\x18ftyp", Format::Unknown, Media::Unknown),
            (webm, Format::WebM, Media::Video),
            (matroska, Format::Unknown, Media::Unknown),
            (b"<!doctype html>", Format::Unknown, Media::Unknown),
            (b"GIF89a", Format::Gif, Media::Animation),
            (b"RIFF\x10\0\0\0AVI LIST", Format::Avi, Media::Video),
            (b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0\x02\0", Format::WebP, Media::Animation),
            (b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0\x10\0", Format::WebP, Media::Image),
            (b"\x89PNG\r\n\x1a\n\0\0\0\0acTL", Format::Png, Media::Animation),
            (b"RIFF", Format::Unknown, Media::Unknown),
            (b"", Format::Unknown, Media::Unknown),
        ] {
            assert_eq!(Format::of(content), format, "{content:?}");
            assert_eq!(Media::of(content), media, "{format:?}");
        }
        assert_eq!(Format::of(webm).content_type(), "video/webm");
        assert_eq!(Format::of(b"<script>").content_type(), "application/octet-stream", "nothing that runs");
    }
}
