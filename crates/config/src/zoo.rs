//! The published variants, one YAML each in `models/`.

use crate::{Config, ConfigError};

include!(concat!(env!("OUT_DIR"), "/zoo_files.rs"));

/// Names of all variants, in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The variant with that name.
pub fn get(name: &str) -> Option<Result<Config, ConfigError>> {
    let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
    Some(Config::from_yaml(text, &format!("models/{name}.yaml")))
}

/// The known name that is nearest to a mistyped one, if any is near.
pub(crate) fn nearest(name: &str) -> Option<String> {
    crate::nearest::nearest(name, names(), 4).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_sound_config_of_its_own_name() {
        assert!(names().count() >= 3);
        for name in names() {
            let config = get(name).expect("listed").unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(config.name, name);
            assert!(config.published.is_some(), "{name} has no published figures");
        }
    }

    #[test]
    fn a_typing_error_gets_a_suggestion() {
        assert_eq!(nearest("rtdetr_r50"), Some("rtdetr_r50vd".to_owned()));
        assert_eq!(nearest("yolov8n-something"), None);
    }
}
