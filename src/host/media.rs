//! What an object is, from its first bytes: what workers say of it varies.

/// The media type of an object.
pub fn media_type(content: &[u8]) -> &'static str {
    match content {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => "video/x-msvideo",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "video/webm",
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] if !is_still_brand(brand) => "video/mp4",
        _ => "application/octet-stream",
    }
}

/// Whether an object is a video, or a picture that moves.
pub(super) fn is_video(content: &[u8]) -> bool {
    match media_type(content) {
        "video/mp4" | "video/webm" | "video/x-msvideo" | "image/gif" => content.len() > 32,
        "image/webp" => is_animated_webp(content),
        "image/png" => is_animated_png(content),
        _ => false,
    }
}

/// Brands of ISO files that hold stills.
fn is_still_brand(brand: &[u8]) -> bool {
    const STILLS: [&[u8]; 5] = [b"avif", b"heic", b"heix", b"mif1", b"miaf"];
    STILLS.iter().any(|still| brand.starts_with(still))
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
    fn media_are_told_by_their_first_bytes() {
        let padded = |start: &[u8]| [start, &[0; 64]].concat();
        let webp = |flags: u8| padded(&[&b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0"[..], &[flags]].concat());
        let chunk = |kind: &[u8]| [&[0, 0, 0, 2], kind, &[1, 2, 0, 0, 0, 0]].concat();
        let png = |kinds: &[&[u8]]| {
            let chunks = kinds.iter().map(|kind| chunk(kind)).collect::<Vec<_>>().concat();
            [&b"\x89PNG\r\n\x1a\n"[..], &chunks].concat()
        };
        for (content, kind, moves) in [
            (padded(b"\0\0\0\x20ftypisom"), "video/mp4", true),
            (padded(b"\0\0\0\x20ftypqt  "), "video/mp4", true),
            (padded(b"\0\0\0\x20ftypavif"), "application/octet-stream", false),
            (padded(b"\x1a\x45\xdf\xa3"), "video/webm", true),
            (padded(b"RIFF\0\0\0\0AVI LIST"), "video/x-msvideo", true),
            (padded(b"GIF89a"), "image/gif", true),
            (webp(0x02), "image/webp", true),
            (webp(0x10), "image/webp", false),
            (png(&[b"IHDR", b"acTL", b"IDAT"]), "image/png", true),
            (png(&[b"IHDR", b"IDAT", b"acTL"]), "image/png", false),
            (padded(b"\xff\xd8\xff"), "image/jpeg", false),
            (b"\0\0\0\x20ftypisom".to_vec(), "video/mp4", false),
            (b"<html>".to_vec(), "application/octet-stream", false),
            (vec![], "application/octet-stream", false),
        ] {
            assert_eq!((media_type(&content), is_video(&content)), (kind, moves), "{content:?}");
        }
    }
}
