use detrace_config::Config;

/// The 80 classes of COCO in the order of their ids (`instances_val2017.json`, `categories`).
const COCO: [&str; 80] = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
];

/// Ids up to 90 that COCO never gave out.
const COCO_GAPS: [usize; 10] = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83];

/// What VOC calls a class of COCO; checkpoints on the Hugging Face hub use these names.
const VOC: [(&str, &str); 6] = [
    ("motorbike", "motorcycle"),
    ("aeroplane", "airplane"),
    ("sofa", "couch"),
    ("pottedplant", "potted plant"),
    ("diningtable", "dining table"),
    ("tvmonitor", "tv"),
];

/// The names of a model's classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    /// COCO's id of each class, if they are COCO's classes.
    ids: Option<Vec<usize>>,
}

impl Labels {
    /// The names that the configuration has; else COCO's if there are 80 classes; else `class 0`, `class 1` and so on.
    pub fn of(config: &Config) -> Labels {
        if config.labels.len() == config.classes {
            Labels::new(config.labels.clone())
        } else if config.classes == COCO.len() {
            Labels::new(COCO.map(str::to_owned).to_vec())
        } else {
            Labels::new((0..config.classes).map(|class| format!("class {class}")).collect())
        }
    }

    /// Names from a text with one on each line, in the order of the classes. Empty lines at the end do not count.
    ///
    /// # Errors
    /// A sentence, if there are not as many names as `classes`, or one of them is empty.
    pub fn from_text(text: &str, classes: usize) -> Result<Labels, String> {
        let text = text.trim_start_matches('\u{feff}').trim_end();
        let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        if names.len() != classes {
            return Err(format!("{} names for {classes} classes; one name on each line is wanted", names.len()));
        }
        match names.iter().position(String::is_empty) {
            Some(line) => Err(format!("line {} is empty; one name on each line is wanted", line + 1)),
            None => Ok(Labels::new(names)),
        }
    }

    fn new(names: Vec<String>) -> Labels {
        let usual =
            |name: &str| VOC.iter().find(|(voc, _)| *voc == name).map_or(name.to_owned(), |(_, coco)| (*coco).into());
        let is_coco = names.len() == COCO.len() && names.iter().zip(COCO).all(|(name, coco)| usual(name) == coco);
        let ids = is_coco.then(|| (1..=90).filter(|id| !COCO_GAPS.contains(id)).collect());
        Labels { names, ids }
    }

    /// The name of a class.
    pub fn name(&self, class: usize) -> String {
        self.names.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
    }

    /// A class's `category_id` in COCO's results format: COCO's own id, 1 to 90 with gaps, if the classes are COCO's; else
    /// its number, from 0.
    pub fn category_id(&self, class: usize) -> usize {
        self.ids.as_ref().and_then(|ids| ids.get(class).copied()).unwrap_or(class)
    }
}
