//! Suggestions for mistyped names.

/// The known name with the fewest edits from `word`, if that is at most `within`; the first of equals.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, within: usize) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (distance(word, name), name))
        .filter(|(distance, _)| *distance <= within)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein distance, on characters; of `a` only the first 64 count.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("HybridEncoder", "HybridEncoder"), 0);
        assert_eq!(distance("HybridEncodr", "HybridEncoder"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("expnsion", ["depth_mult", "expansion"], 2), Some("expansion"));
        assert_eq!(nearest("groups", ["depth_mult", "expansion"], 2), None);
    }
}
