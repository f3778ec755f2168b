//! A sun that crosses the sky of a painted landscape.

use super::image::pixels;

/// Frames of a video.
pub const FRAMES: u32 = 8;
/// Frames a second.
const RATE: u16 = 8;
/// How far the sun moves, in widths of the picture.
const WAY: f32 = 0.4;

/// Makes a video: the same one each time for the same prompt, seed and size.
///
/// Animated PNG of eight frames that begins with the picture of [`image`](super::image()), in a loop.
pub fn video(prompt: &str, seed: u64, width: u32, height: u32) -> Vec<u8> {
    encoded(prompt, seed, width, height)
        .expect("a vector takes all that is written, and each frame has its size")
}

fn encoded(prompt: &str, seed: u64, width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_animated(FRAMES, 0)?;
    encoder.set_frame_delay(1, RATE)?;
    let mut writer = encoder.write_header()?;
    for frame in 0..FRAMES {
        let hour = WAY * frame as f32 / FRAMES as f32;
        writer.write_image_data(&pixels(prompt, seed, width, height, hour))?;
    }
    writer.finish()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_is_an_animation_of_the_size_asked_for_and_bears_its_mark() {
        let file = video("a castle", 7, 128, 64);
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let told = reader.info().animation_control().copied().unwrap();
        assert_eq!((reader.info().width, reader.info().height, told.num_frames), (128, 64, FRAMES));
        let mut frames = Vec::new();
        for _ in 0..FRAMES {
            let mut frame = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut frame).unwrap();
            let foot = ((63 - 3) * 128 + 3) * 3;
            assert!(frame[foot..foot + 3].iter().all(|part| *part > 215), "the foot of the M is near white");
            frames.push(frame);
        }
        assert_eq!(frames[0], pixels("a castle", 7, 128, 64, 0.0), "it begins as the picture");
        frames.dedup();
        assert_eq!(frames.len() as u32, FRAMES, "each frame differs from the one before");
    }

    #[test]
    fn prompt_and_seed_decide_what_is_shown() {
        let video = |prompt, seed| video(prompt, seed, 64, 64);
        assert_eq!(video("a castle", 1), video("a castle", 1));
        assert_ne!(video("a castle", 1), video("a castle", 2));
        assert_ne!(video("a castle", 1), video("a ship", 1));
    }
}
