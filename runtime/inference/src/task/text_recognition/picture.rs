//! From a JPEG or PNG to the graph's pixels: scaled to its height, blue first, each value from -1 to 1.
//!
//! A picture is a stranger's file: its size is bounded in pixels and in memory before it is decoded.

use std::io::Cursor;

use bytes::Bytes;
use image::{
    DynamicImage, ImageError, ImageFormat, ImageReader, ImageResult, Limits, Rgb, RgbImage, Rgba, imageops::FilterType,
};

/// Largest width and height of a picture, in pixels.
const MAX_SIDE: u32 = 4096;
/// Most memory that decoding one may take, in bytes: such a picture with four channels.
const MAX_DECODE_BYTES: u64 = 64 << 20;
/// PaddleOCR pads every line to at least this width in pixels, and its graphs were trained so.
const MIN_WIDTH: u32 = 320;

/// One picture, ready for the graph.
#[derive(Debug)]
pub(super) struct Pixels {
    /// Width in pixels with padding; the height is the graph's.
    pub(super) width: u32,
    /// The three planes one after the other, each row by row.
    pub(super) planes: Vec<f32>,
}

/// Decodes and scales. The error is the end of a sentence for the caller that begins with the picture's name.
pub(super) fn decode(file: &[u8], height: u32, max_width: u32) -> Result<Pixels, String> {
    let format = match image::guess_format(file) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => format,
        _ => return Err("is neither a JPEG nor a PNG picture".to_owned()),
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODE_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| match error {
        ImageError::Limits(_) => {
            format!("is larger than {MAX_SIDE} x {MAX_SIDE} pixels or takes more than {MAX_DECODE_BYTES} bytes")
        }
        _ => "is a damaged picture".to_owned(),
    })?;
    let width = scaled_width(picture.width(), picture.height(), height, max_width);
    Ok(pixels(&on_white(&picture.resize_exact(width, height, FilterType::Triangle)), max_width))
}

/// The smallest PNG that passes through everything.
pub(super) fn blank(height: u32) -> ImageResult<Bytes> {
    let mut file = Cursor::new(Vec::new());
    DynamicImage::new_luma8(height, height).write_to(&mut file, ImageFormat::Png)?;
    Ok(file.into_inner().into())
}

/// The width that keeps the picture's proportions at the height wanted, within bounds.
fn scaled_width(width: u32, height: u32, wanted_height: u32, max_width: u32) -> u32 {
    let scaled = (u64::from(width) * u64::from(wanted_height)).div_ceil(u64::from(height.max(1)));
    u32::try_from(scaled).unwrap_or(u32::MAX).clamp(1, max_width)
}

/// The picture as it looks on paper.
fn on_white(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let rgba = picture.to_rgba8();
    let mut paper = RgbImage::new(rgba.width(), rgba.height());
    for (target, Rgba([red, green, blue, alpha])) in paper.pixels_mut().zip(rgba.pixels()) {
        *target = Rgb([*red, *green, *blue].map(|value| over_white(value, *alpha)));
    }
    paper
}

fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    // At most 255, as a mean of two such values.
    u8::try_from((value * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
}

/// Planes in OpenCV's order, blue first, as PaddleOCR trains; padded on the right with the middle of the range.
fn pixels(picture: &RgbImage, max_width: u32) -> Pixels {
    const CHANNELS: [fn(&Rgb<u8>) -> u8; 3] = [|Rgb([_, _, b])| *b, |Rgb([_, g, _])| *g, |Rgb([r, _, _])| *r];

    let width = picture.width().max(MIN_WIDTH.min(max_width));
    let padding = usize::try_from(width - picture.width()).unwrap_or(0);
    let mut planes = Vec::new();
    for channel in CHANNELS {
        for row in picture.rows() {
            planes.extend(row.map(|pixel| f32::from(channel(pixel)) / 127.5 - 1.0));
            planes.extend(std::iter::repeat_n(0.0, padding));
        }
    }
    Pixels { width, planes }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::{DynamicImage, ImageFormat, blank, decode, scaled_width};
    use image::{Rgb, RgbImage, RgbaImage};
    use proptest::prelude::*;
    use std::io::Cursor;

    fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        picture.into().write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    }

    #[test]
    fn blue_comes_first_and_the_padding_is_grey() {
        let pixels = decode(&png(RgbImage::from_pixel(48, 48, Rgb([255, 0, 255]))), 48, 1600).unwrap();
        assert_eq!((pixels.width, pixels.planes.len()), (320, 3 * 48 * 320));
        let plane = 48 * 320;
        assert_eq!([0, 47, 48, plane, 2 * plane].map(|place| pixels.planes[place]), [1.0, 1.0, 0.0, -1.0, 1.0]);
    }

    #[test]
    fn what_is_transparent_is_paper() {
        let pixels = decode(&png(RgbaImage::new(48, 48)), 48, 1600).unwrap();
        assert_eq!(pixels.planes[0], 1.0);
    }

    #[test]
    fn proportions_are_kept_within_bounds() {
        assert_eq!(scaled_width(100, 24, 48, 1600), 200);
        assert_eq!(scaled_width(4096, 1, 48, 1600), 1600);
        assert_eq!(scaled_width(1, 4096, 48, 1600), 1);
    }

    #[test]
    fn strangers_files_are_refused_in_words() {
        for (file, expected) in [
            (b"GIF89a".to_vec(), "is neither a JPEG nor a PNG picture"),
            (Vec::new(), "is neither a JPEG nor a PNG picture"),
            (png(RgbImage::new(48, 48))[..60].to_vec(), "is a damaged picture"),
            (png(DynamicImage::new_luma8(4097, 1)), "is larger than 4096 x 4096 pixels"),
            (png(DynamicImage::new_rgb16(4096, 4096)), "is larger than 4096 x 4096 pixels"),
        ] {
            let error = decode(&file, 48, 1600).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// A picture with some bytes changed is read or refused.
        #[test]
        fn damage_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
            let mut file = blank(48).unwrap().to_vec();
            for (place, value) in changes {
                let place = place.index(file.len());
                file[place] = value;
            }
            let _ = decode(&file, 48, 1600);
        }
    }
}
