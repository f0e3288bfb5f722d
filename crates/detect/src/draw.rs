//! Boxes with labels on an image.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage};

use crate::{DetectError, Detection};

/// DejaVu Sans; see `crates/detect/font`.
const FONT: &[u8] = include_bytes!("../font/DejaVuSans-subset.ttf");

/// No corner is drawn farther from the image than this, in pixels.
const FAR: f32 = 1e6;

/// Sizes that go with an image, in pixels.
struct Style {
    line: i64,
    text: f32,
}

impl Style {
    fn of(image: &RgbImage) -> Style {
        let side = image.width().min(image.height()) as f32;
        Style { line: (side / 180.0).round().clamp(2.0, 8.0) as i64, text: (side / 26.0).clamp(12.0, 56.0) }
    }
}

/// Draws each detection's box, and above it (below its upper edge where there is no room) its label and score in percent,
/// dark on light or light on dark. The surest are drawn last, and labels over boxes. Classes have different colours.
///
/// # Errors
/// If the bundled font cannot be read.
pub fn draw(image: &mut RgbImage, detections: &[Detection]) -> Result<(), DetectError> {
    let font = FontRef::try_from_slice(FONT).map_err(|error| DetectError::Image(error.to_string()))?;
    let style = Style::of(image);
    let mut order: Vec<&Detection> = detections.iter().collect();
    order.sort_by(|a, b| a.score.total_cmp(&b.score));
    let corners = |found: &Detection| found.bbox.map(|side| side.round().clamp(-FAR, FAR) as i64);
    for found in &order {
        frame(image, corners(found), style.line, color(found.class));
    }
    for found in order {
        let [x, y, ..] = corners(found);
        let text = format!("{} {:.0}%", found.label, 100.0 * found.score);
        tag(image, &font, &style, &text, (x, y), color(found.class));
    }
    Ok(())
}

/// A color for a class: hues far from those of the classes around it, in three brightnesses.
fn color(class: usize) -> Rgb<u8> {
    let hue = (class as f32 * 0.618_034).fract() * 6.0;
    let strength = [255.0, 205.0, 155.0][class / 7 % 3];
    let channel = |offset: f32| {
        let distance = ((hue + offset).rem_euclid(6.0) - 3.0).abs() - 1.0;
        (distance.clamp(0.08, 1.0) * strength) as u8
    };
    Rgb([channel(0.0), channel(4.0), channel(2.0)])
}

/// Fills x0 to x1, y0 to y1, the ends not included, as far as it lies in the image.
fn fill(image: &mut RgbImage, [x0, y0, x1, y1]: [i64; 4], color: Rgb<u8>) {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    for y in y0.clamp(0, height)..y1.clamp(0, height) {
        for x in x0.clamp(0, width)..x1.clamp(0, width) {
            image.put_pixel(x as u32, y as u32, color);
        }
    }
}

/// A box's four edges, drawn inside it.
fn frame(image: &mut RgbImage, [x0, y0, x1, y1]: [i64; 4], line: i64, color: Rgb<u8>) {
    fill(image, [x0, y0, x1, y0 + line], color);
    fill(image, [x0, y1 - line, x1, y1], color);
    fill(image, [x0, y0, x0 + line, y1], color);
    fill(image, [x1 - line, y0, x1, y1], color);
}

/// A line of text on a filled ground whose lower left corner is at `corner`, moved into the image.
fn tag(image: &mut RgbImage, font: &FontRef<'_>, style: &Style, text: &str, corner: (i64, i64), ground: Rgb<u8>) {
    let font = font.as_scaled(PxScale::from(style.text));
    let mut glyphs = Vec::new();
    let mut end = 0.0;
    for letter in text.chars() {
        let glyph = font.scaled_glyph(letter);
        let advance = font.h_advance(glyph.id);
        glyphs.push((glyph, end));
        end += advance;
    }
    let pad = style.line.max(2);
    let (width, height) = (end.ceil() as i64 + 2 * pad, font.height().ceil() as i64 + pad);
    let x = corner.0.min(i64::from(image.width()) - width).max(0);
    let above = corner.1 - height;
    let y = if above >= 0 { above } else { corner.1.max(0) }.min(i64::from(image.height()) - height).max(0);
    fill(image, [x, y, x + width, y + height], ground);
    let [red, green, blue] = ground.0.map(f32::from);
    let ink: f32 = if 0.299 * red + 0.587 * green + 0.114 * blue > 128.0 { 0.0 } else { 255.0 };
    let base = (y + pad / 2) as f32 + font.ascent();
    for (mut glyph, offset) in glyphs {
        glyph.position = point((x + pad) as f32 + offset, base);
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let bounds = outline.px_bounds();
        outline.draw(|dx, dy, cover| {
            let (x, y) = (bounds.min.x as i64 + i64::from(dx), bounds.min.y as i64 + i64::from(dy));
            let inside = u32::try_from(x).ok().zip(u32::try_from(y).ok());
            if let Some(pixel) = inside.and_then(|(x, y)| image.get_pixel_mut_checked(x, y)) {
                for value in &mut pixel.0 {
                    *value = (f32::from(*value) * (1.0 - cover) + ink * cover).round() as u8;
                }
            }
        });
    }
}
