use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::{Format, Scheme};

/// What a checkpoint gives to a model, tensor by tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// What kind of file it is.
    pub format: Format,
    /// Where in the file the state dict lies.
    pub place: &'static str,
    /// Whose names it uses.
    pub scheme: Scheme,
    /// Tensors that go into the model.
    pub mapped: Vec<Given>,
    /// Tensors of the file that are left out on purpose.
    pub ignored: Vec<SetAside>,
    /// Canonical names of tensors that the model needs and the file does not have.
    pub missing: Vec<String>,
    /// Canonical names of tensors that the file does not have and that inference never reaches.
    pub idle: Vec<String>,
    /// Tensors of the file that have no place in the model.
    pub unexpected: Vec<SetAside>,
    /// Tensors whose shape is not the model's.
    pub wrong_shape: Vec<Misfit>,
    /// There if the file is of another number of classes than the model, as fine-tuned checkpoints are.
    pub classes: Option<Classes>,
}

/// A tensor that goes into the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Given {
    /// Canonical name.
    pub name: String,
    /// The tensors of the file that it is made of.
    pub from: Vec<String>,
    /// What is done to them.
    pub change: Change,
}

/// What is done to a tensor besides renaming it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Nothing.
    None,
    /// A matrix was transposed.
    Transposed,
    /// An attention's three projections were packed into one.
    Merged,
    /// The denoising embedding got a row of zeros at its end.
    Padded,
    /// The denoising embedding, which training alone uses, is zeros: the file has none.
    Zeros,
}

/// A tensor of the file and why it is set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// Name in the file.
    pub name: String,
    /// Why.
    pub why: String,
}

/// A tensor whose shape is not the model's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misfit {
    /// Canonical name.
    pub name: String,
    /// The tensors of the file that it is made of.
    pub from: Vec<String>,
    /// Shape that they give.
    pub found: Vec<usize>,
    /// Shape that the model needs.
    pub needed: Vec<usize>,
}

/// Numbers of classes that do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Classes {
    /// In the file.
    pub found: usize,
    /// In the model.
    pub needed: usize,
}

impl Report {
    /// Whether every tensor has its place and every place its tensor.
    pub fn fits(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong_shape.is_empty()
    }

    /// How many tensors were changed in that way.
    pub fn changed(&self, change: Change) -> usize {
        self.mapped.iter().filter(|given| given.change == change).count()
    }

    /// Canonical names that the model needs and does not get: missing ones and those of a wrong shape.
    pub fn left_random(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(String::as_str).chain(self.wrong_shape.iter().map(|misfit| misfit.name.as_str()))
    }

    /// In a sentence or two, why the checkpoint does not fit and what to do; or that it fits.
    pub fn verdict(&self) -> String {
        if self.fits() {
            return "the checkpoint fits the model".to_owned();
        }
        let Report { missing, unexpected, wrong_shape, .. } = self;
        let mut text = format!(
            "the checkpoint does not fit the model: {} missing, {} unexpected, {} of a wrong shape",
            missing.len(),
            unexpected.len(),
            wrong_shape.len()
        );
        if let Some(Classes { found, needed }) = self.classes {
            text += &format!(
                ". It is of {found} classes and the model of {needed}: set `classes: {found}` in the model's configuration"
            );
        }
        let first = |list: &mut dyn Iterator<Item = String>| list.take(3).collect::<Vec<_>>().join(", ");
        if !missing.is_empty() {
            text += &format!(". Missing: {}{}", first(&mut missing.iter().cloned()), more(missing.len()));
        }
        if !unexpected.is_empty() {
            let names = &mut unexpected.iter().map(|set| format!("{} ({})", set.name, set.why));
            text += &format!(". Unexpected: {}{}", first(names), more(unexpected.len()));
        }
        if !wrong_shape.is_empty() {
            let names = &mut wrong_shape.iter().map(ToString::to_string);
            text += &format!(". Wrong shape: {}{}", first(names), more(wrong_shape.len()));
        }
        text
    }
}

fn more(count: usize) -> String {
    if count > 3 { format!(" and {} more", count - 3) } else { String::new() }
}

impl fmt::Display for Misfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} is {:?} and must be {:?}", self.name, self.found, self.needed)
    }
}

/// Some lines: where the tensors come from, how many went where, and every one that does not fit.
impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { path, format, place, scheme, .. } = self;
        writeln!(out, "{}: {format}, state dict: {place}, names: {scheme}", path.display())?;
        write!(out, "mapped       {:>5}", self.mapped.len())?;
        for (change, what) in [
            (Change::Transposed, "transposed"),
            (Change::Merged, "merged from q, k and v"),
            (Change::Padded, "padded with a row of zeros"),
            (Change::Zeros, "zeros, used in training only"),
        ] {
            match self.changed(change) {
                0 => {}
                count => write!(out, "; {count} {what}")?,
            }
        }
        writeln!(out)?;
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for set in &self.ignored {
            *reasons.entry(&set.why).or_default() += 1;
        }
        write!(out, "ignored      {:>5}", self.ignored.len())?;
        for (why, count) in reasons {
            write!(out, "; {count} {why}")?;
        }
        writeln!(out)?;
        if !self.idle.is_empty() {
            writeln!(out, "not there    {:>5}; in decoder layers that inference does not reach", self.idle.len())?;
        }
        writeln!(out, "missing      {:>5}", self.missing.len())?;
        for name in &self.missing {
            writeln!(out, "  {name}")?;
        }
        writeln!(out, "unexpected   {:>5}", self.unexpected.len())?;
        for SetAside { name, why } in &self.unexpected {
            writeln!(out, "  {name}: {why}")?;
        }
        writeln!(out, "wrong shape  {:>5}", self.wrong_shape.len())?;
        for misfit in &self.wrong_shape {
            writeln!(out, "  {misfit}")?;
        }
        if let Some(Classes { found, needed }) = self.classes {
            writeln!(out, "classes: {found} in the checkpoint, {needed} in the model")?;
        }
        Ok(())
    }
}
