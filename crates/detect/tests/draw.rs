//! Boxes and labels on an image.

use detrace_detect::{Detection, RgbImage, draw};
use image::Rgb;

const GREY: Rgb<u8> = Rgb([90, 90, 90]);

fn detection(class: usize, label: &str, bbox: [f32; 4]) -> Detection {
    Detection { class, label: label.to_owned(), score: 0.87, bbox }
}

fn drawn(detections: &[Detection]) -> RgbImage {
    let mut image = RgbImage::from_pixel(320, 240, GREY);
    draw(&mut image, detections).expect("drawn");
    image
}

/// The smallest box around what was drawn: x0, y0, x1, y1.
fn extent(image: &RgbImage) -> Option<[u32; 4]> {
    let touched: Vec<(u32, u32)> =
        image.enumerate_pixels().filter(|(_, _, pixel)| **pixel != GREY).map(|(x, y, _)| (x, y)).collect();
    let (xs, ys) = (touched.iter().map(|at| at.0), touched.iter().map(|at| at.1));
    Some([xs.clone().min()?, ys.clone().min()?, xs.max()? + 1, ys.max()? + 1])
}

#[test]
fn a_box_has_its_edges_and_its_label_above() {
    let image = drawn(&[detection(3, "motorcycle", [50.0, 100.0, 250.0, 200.0])]);
    let [x0, y0, x1, y1] = extent(&image).expect("something");
    assert_eq!((x0, x1, y1), (50, 250, 200));
    assert!((80..90).contains(&y0), "the label ends at {y0}");
    let color = *image.get_pixel(50, 199);
    for (x, y) in [(50, 150), (249, 199), (150, 199), (249, 101), (150, 100)] {
        assert_eq!(*image.get_pixel(x, y), color, "{x}, {y}");
    }
    assert_eq!(*image.get_pixel(150, 150), GREY, "inside the box");
    // The text: pixels of the label far from its ground.
    let ink = |image: &RgbImage, color: Rgb<u8>| {
        let far = |pixel: &Rgb<u8>| pixel.0.iter().zip(color.0).any(|(a, b)| a.abs_diff(b) > 100);
        (y0..100)
            .flat_map(|y| (50..160).map(move |x| (x, y)))
            .filter(|&(x, y)| image.get_pixel(x, y) != &GREY && far(image.get_pixel(x, y)))
            .count()
    };
    assert!((80..600).contains(&ink(&image, color)), "{}", ink(&image, color));
    let longer = drawn(&[detection(3, "motorcycles", [50.0, 100.0, 250.0, 200.0])]);
    assert!(ink(&longer, color) > ink(&image, color));
    // Another class has another colour.
    assert_ne!(drawn(&[detection(4, "x", [50.0, 100.0, 250.0, 200.0])]).get_pixel(50, 199), &color);
}

#[test]
fn labels_stay_in_the_image() {
    for bbox in [[-40.0, -30.0, 60.0, 50.0], [280.0, 2.0, 900.0, 40.0], [0.0, 230.0, 320.0, 500.0]] {
        let image = drawn(&[detection(7, "truck", bbox)]);
        let dark = image
            .pixels()
            .filter(|pixel| pixel.0.iter().all(|&value| value < 40) || pixel.0.iter().all(|&value| value > 215));
        assert!(dark.count() > 30, "no label with {bbox:?}");
    }
    let odd =
        [[f32::NAN, 0.0, 1.0, 1.0], [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN], [200.0, 100.0, 50.0, 20.0]];
    for bbox in odd {
        drawn(&[detection(usize::MAX, "ŽЖΩ 漢 \u{0}", bbox)]);
    }
    let mut tiny = RgbImage::from_pixel(2, 1, GREY);
    draw(&mut tiny, &[detection(0, "person", [0.0, 0.0, 2.0, 1.0])]).expect("drawn");
    draw(&mut RgbImage::new(0, 0), &[detection(0, "person", [0.0, 0.0, 2.0, 1.0])]).expect("drawn");
    assert_eq!(extent(&drawn(&[])), None);
}

/// The surest lies on top, in whatever order they come.
#[test]
fn the_surest_is_on_top() {
    let two = |scores: [f32; 2]| {
        let one = Detection { score: scores[0], ..detection(1, "a", [50.0, 100.0, 250.0, 200.0]) };
        let other = Detection { score: scores[1], ..detection(2, "b", [50.0, 100.0, 250.0, 200.0]) };
        (*drawn(&[one.clone(), other.clone()]).get_pixel(50, 150), *drawn(&[other, one]).get_pixel(50, 150))
    };
    let ((a, b), (c, d)) = (two([0.9, 0.8]), two([0.8, 0.9]));
    assert!(a == b && c == d && a != c);
}
