//! Patterns of dotted names that can be read and written: one row of a scheme's table works in both directions.
//!
//! A pattern is literal text with captures in braces:
//!
//! | capture | stands for |
//! |---|---|
//! | `{n}` | a number without leading zeros |
//! | `{n:+2}`, `{n:-1}` | the number plus 2, minus 1 |
//! | `{n:letter}` | a letter: 0 is `a`, 1 is `b` |
//! | `{n:lettered}` | 0 is `a`, 1 is `b1`, 2 is `b2` |
//! | `{n=fpn\|pan}` | one of the words: 0 is the first |
//!
//! The name before `:` or `=` is one lower-case letter and ties the two sides of a row together.

/// Numbers that a pattern captured, by the letter of the capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Captures([Option<u32>; 26]);

impl Captures {
    fn slot(&mut self, letter: u8) -> Option<&mut Option<u32>> {
        self.0.get_mut(usize::from(letter.checked_sub(b'a')?))
    }

    fn get(&self, letter: u8) -> Option<u32> {
        *self.0.get(usize::from(letter.checked_sub(b'a')?))?
    }
}

/// What the braces of one capture hold.
enum Form<'a> {
    Shifted(i32),
    Letter,
    Lettered,
    Words(&'a str),
}

enum Part<'a> {
    Literal(&'a str),
    Capture(u8, Form<'a>),
}

/// The first part of a pattern and what follows it.
fn first_part(pattern: &str) -> Option<(Part<'_>, &str)> {
    let Some(inside) = pattern.strip_prefix('{') else {
        let end = pattern.find('{').unwrap_or(pattern.len());
        return Some((Part::Literal(&pattern[..end]), &pattern[end..]));
    };
    let (inside, rest) = inside.split_once('}')?;
    let letter = *inside.as_bytes().first().filter(|byte| byte.is_ascii_lowercase())?;
    let form = match inside.get(1..)? {
        "" => Form::Shifted(0),
        ":letter" => Form::Letter,
        ":lettered" => Form::Lettered,
        other => match other.strip_prefix(':') {
            Some(shift) => Form::Shifted(shift.parse().ok()?),
            None => Form::Words(other.strip_prefix('=')?),
        },
    };
    Some((Part::Capture(letter, form), rest))
}

/// A number of at most four digits, as Python's `str` writes it, at the start of a text.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (head, rest) = text.split_at(digits);
    if head.len() > 4 || (head.len() > 1 && head.starts_with('0')) {
        return None;
    }
    Some((head.parse().ok()?, rest))
}

fn read<'t>(form: &Form<'_>, text: &'t str) -> Option<(u32, &'t str)> {
    match form {
        Form::Shifted(shift) => {
            let (value, rest) = number(text)?;
            Some((u32::try_from(i64::from(value) - i64::from(*shift)).ok()?, rest))
        }
        Form::Letter => {
            let letter = *text.as_bytes().first().filter(|byte| byte.is_ascii_lowercase())?;
            Some((u32::from(letter - b'a'), &text[1..]))
        }
        Form::Lettered => match text.strip_prefix('a') {
            Some(rest) => Some((0, rest)),
            None => number(text.strip_prefix('b')?).filter(|(value, _)| *value > 0),
        },
        Form::Words(words) => words
            .split('|')
            .enumerate()
            .filter_map(|(index, word)| Some((index, word, text.strip_prefix(word)?)))
            .max_by_key(|(_, word, _)| word.len())
            .and_then(|(index, _, rest)| Some((u32::try_from(index).ok()?, rest))),
    }
}

fn write(form: &Form<'_>, value: u32, out: &mut String) -> Option<()> {
    match form {
        Form::Shifted(shift) => {
            let shifted = u32::try_from(i64::from(value) + i64::from(*shift)).ok()?;
            out.push_str(&shifted.to_string());
        }
        Form::Letter if value < 26 => out.push(char::from(b'a' + u8::try_from(value).ok()?)),
        Form::Letter => return None,
        Form::Lettered if value == 0 => out.push('a'),
        Form::Lettered => {
            out.push('b');
            out.push_str(&value.to_string());
        }
        Form::Words(words) => out.push_str(words.split('|').nth(usize::try_from(value).ok()?)?),
    }
    Some(())
}

/// Reads the start of `text`: the captures and what is left, which is empty or starts with a dot.
pub(crate) fn read_start<'t>(pattern: &str, text: &'t str) -> Option<(Captures, &'t str)> {
    let mut captures = Captures::default();
    let (mut pattern, mut text) = (pattern, text);
    while !pattern.is_empty() {
        let (part, rest) = first_part(pattern)?;
        match part {
            Part::Literal(literal) => text = text.strip_prefix(literal)?,
            Part::Capture(letter, form) => {
                let (value, after) = read(&form, text)?;
                let slot = captures.slot(letter)?;
                if slot.is_some_and(|earlier| earlier != value) {
                    return None;
                }
                *slot = Some(value);
                text = after;
            }
        }
        pattern = rest;
    }
    (text.is_empty() || text.starts_with('.')).then_some((captures, text))
}

/// Reads the whole of `text`.
pub(crate) fn read_all(pattern: &str, text: &str) -> Option<Captures> {
    read_start(pattern, text).filter(|(_, rest)| rest.is_empty()).map(|(captures, _)| captures)
}

/// Writes the pattern with these captures.
pub(crate) fn write_with(pattern: &str, captures: &Captures) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut pattern = pattern;
    while !pattern.is_empty() {
        let (part, rest) = first_part(pattern)?;
        match part {
            Part::Literal(literal) => out.push_str(literal),
            Part::Capture(letter, form) => write(&form, captures.get(letter)?, &mut out)?,
        }
        pattern = rest;
    }
    Some(out)
}

/// The letters that a pattern captures, or `None` if it is malformed.
#[cfg(test)]
pub(crate) fn letters(pattern: &str) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    let mut pattern = pattern;
    while !pattern.is_empty() {
        let (part, rest) = first_part(pattern)?;
        if let Part::Capture(letter, _) = part
            && !found.contains(&letter)
        {
            found.push(letter);
        }
        pattern = rest;
    }
    found.sort_unstable();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(from: &str, to: &str, text: &str) -> Option<String> {
        write_with(to, &read_all(from, text)?)
    }

    #[test]
    fn every_form_reads_what_it_writes() {
        for (from, to, left, right) in [
            ("blocks.{n}", "res{n:+2}", "blocks.3", "res5"),
            ("conv1_{n:+1}", "embedder.{n}", "conv1_1", "embedder.0"),
            ("blocks.{n}", "res4{n:letter}", "blocks.5", "res4f"),
            ("blocks.{n}", "res4{n:lettered}", "blocks.0", "res4a"),
            ("blocks.{n}", "res4{n:lettered}", "blocks.22", "res4b22"),
            ("{w=fpn|pan}_blocks.{n}", "{w=fpn|pan}.{n}", "pan_blocks.1", "pan.1"),
        ] {
            assert_eq!(there_and_back(from, to, left).as_deref(), Some(right));
            assert_eq!(there_and_back(to, from, right).as_deref(), Some(left));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (pattern, text) in [
            ("blocks.{n}", "blocks.01"),
            ("blocks.{n}", "blocks.12345"),
            ("blocks.{n}", "blocks."),
            ("blocks.{n:+2}", "blocks.1"),
            ("res{n:letter}", "resA"),
            ("res{n:lettered}", "resb0"),
            ("res{n:lettered}", "resb"),
            ("{w=fpn|pan}", "fpn2"),
            ("res{n}.res{n}", "res2.res3"),
            ("res{n", "res2"),
            ("res{n:x}", "res2"),
        ] {
            assert_eq!(read_all(pattern, text), None, "{pattern} {text}");
        }
        assert_eq!(there_and_back("{n}", "{n:letter}", "26"), None);
        assert_eq!(there_and_back("{n}", "{n:-1}", "0"), None);
        assert_eq!(there_and_back("{n}", "{m}", "0"), None);
    }

    #[test]
    fn the_start_of_a_name_ends_at_a_dot() {
        assert!(read_start("a.{n}", "a.1.weight").is_some_and(|(_, rest)| rest == ".weight"));
        assert!(read_start("neck", "necklace").is_none());
        assert!(read_start("a.{n}", "a.1é").is_none());
        assert!(read_start("{n:letter}", "é").is_none());
    }
}
