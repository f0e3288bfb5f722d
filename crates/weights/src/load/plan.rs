//! Which tensors of a checkpoint make which canonical tensor.

use std::collections::BTreeMap;

use detrace_config::Needed;

use super::report::{Change, Classes, Given, Misfit, Report, SetAside};
use crate::schemes::{How, Kind, kind};
use crate::{Checkpoint, Dtype, Scheme, WeightsError};

/// The embedding of class labels that only training with denoising uses: one row for each class, and in torch one more
/// for "no object".
pub const DENOISING: &str = "decoder.denoising_class_embed.weight";

/// Tensors with one row for each class, the first of which is looked at.
const CLASS_HEADS: [&str; 2] = ["decoder.dec_score_head.0.weight", "decoder.dec_score_head.0.bias"];

/// Buffers that `paddle.flops` and `thop` leave behind in a model that they counted.
const COUNTERS: [&str; 2] = ["total_ops", "total_params"];

/// How one canonical tensor is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Tensors of the file: one, or three to be packed; none for zeros.
    pub(super) from: Vec<String>,
    pub(super) change: Change,
}

/// Makes the recipes for the tensors that `needed` lists, or for all that the file has.
pub(super) fn plan(
    checkpoint: &Checkpoint,
    needed: Option<&[Needed]>,
) -> Result<(BTreeMap<String, Recipe>, Report), WeightsError> {
    let scheme = Scheme::recognise(checkpoint.names()).ok_or_else(|| WeightsError::Scheme {
        path: checkpoint.path().to_owned(),
        first: checkpoint.names().take(5).map(str::to_owned).collect(),
    })?;
    let needed = needed.map(|list| list.iter().map(|needed| (needed.name.as_str(), needed)).collect());
    let mut planner = Planner {
        checkpoint,
        scheme,
        needed,
        recipes: BTreeMap::new(),
        report: Report {
            path: checkpoint.path().to_owned(),
            format: checkpoint.format(),
            place: checkpoint.place(),
            scheme,
            mapped: Vec::new(),
            ignored: Vec::new(),
            missing: Vec::new(),
            idle: Vec::new(),
            unexpected: Vec::new(),
            wrong_shape: Vec::new(),
            classes: None,
        },
    };
    for (name, sources) in planner.sources()? {
        planner.add(name, sources);
    }
    planner.finish();
    Ok((planner.recipes, planner.report))
}

struct Planner<'a> {
    checkpoint: &'a Checkpoint,
    scheme: Scheme,
    needed: Option<BTreeMap<&'a str, &'a Needed>>,
    recipes: BTreeMap<String, Recipe>,
    report: Report,
}

impl Planner<'_> {
    fn ignore(&mut self, name: &str, why: impl Into<String>) {
        self.report.ignored.push(SetAside { name: name.to_owned(), why: why.into() });
    }

    fn refuse(&mut self, name: &str, why: impl Into<String>) {
        self.report.unexpected.push(SetAside { name: name.to_owned(), why: why.into() });
    }

    fn is_needed(&self, canonical: &str) -> bool {
        self.needed.as_ref().is_some_and(|needed| needed.contains_key(canonical))
    }

    /// The tensors of the file by the canonical tensor that they go to, in the order in which they are packed.
    fn sources(&mut self) -> Result<BTreeMap<String, Vec<(String, How)>>, WeightsError> {
        let mut found: BTreeMap<String, Vec<(String, How)>> = BTreeMap::new();
        for name in self.checkpoint.others() {
            self.ignore(name, "is no tensor");
        }
        for name in self.checkpoint.names() {
            if name.rsplit('.').next().is_some_and(|leaf| COUNTERS.contains(&leaf)) {
                self.ignore(name, "was left behind by a counting tool");
                continue;
            }
            let Some(mapped) = self.scheme.to_canonical(name) else {
                self.refuse(name, "is no tensor of RT-DETR");
                continue;
            };
            match kind(&mapped.name) {
                Some(Kind::Constant(why)) if !self.is_needed(&mapped.name) => self.ignore(name, why),
                Some(Kind::Embedding)
                    if mapped.name == DENOISING && self.needed.is_some() && !self.is_needed(DENOISING) =>
                {
                    self.ignore(name, "is used in training only");
                }
                _ => found.entry(mapped.name).or_default().push((name.to_owned(), mapped.how)),
            }
        }
        for (canonical, sources) in &mut found {
            self.drop_copies(canonical, sources)?;
        }
        Ok(found)
    }

    /// Keeps one of several tensors that stand for the same, which must be equal: the one with the name that the scheme
    /// writes, if it is there.
    fn drop_copies(&mut self, canonical: &str, sources: &mut Vec<(String, How)>) -> Result<(), WeightsError> {
        let written = self.scheme.from_canonical(canonical).unwrap_or_default();
        sources.sort_by_key(|(name, how)| (part(*how), !written.iter().any(|mapped| mapped.name == *name)));
        let mut kept: Vec<(String, How)> = Vec::new();
        for (name, how) in sources.drain(..) {
            match kept.last() {
                Some((first, same)) if *same == how => {
                    let equal = self.checkpoint.info(first) == self.checkpoint.info(&name)
                        && self.checkpoint.bytes(first)? == self.checkpoint.bytes(&name)?;
                    if equal {
                        self.report.ignored.push(SetAside { name, why: "is a tied copy".to_owned() });
                    } else {
                        let why = format!("should be a tied copy of {first} and differs from it");
                        self.report.unexpected.push(SetAside { name, why });
                    }
                }
                _ => kept.push((name, how)),
            }
        }
        *sources = kept;
        Ok(())
    }

    /// Makes the recipe for one canonical tensor.
    fn add(&mut self, canonical: String, sources: Vec<(String, How)>) {
        let refuse_all = |planner: &mut Self, why: &str| {
            for (name, _) in &sources {
                planner.refuse(name, why);
            }
        };
        let infos: Vec<_> = sources.iter().filter_map(|(name, _)| self.checkpoint.info(name)).collect();
        let Some(first) = infos.first().copied() else { return };
        if infos.iter().any(|info| *info != first) {
            return refuse_all(self, "differs from the other two projections in shape or type");
        }
        if !matches!(first.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
            && !matches!(kind(&canonical), Some(Kind::Constant(_)))
        {
            return refuse_all(self, &format!("is of type {}, not of floating-point numbers", first.dtype.name()));
        }
        let mut shape = first.shape.to_vec();
        let change = match (sources[0].1, shape.len()) {
            (How::Part(_), _) if sources.len() != 3 => {
                let written = self.scheme.from_canonical(&canonical).unwrap_or_default();
                let absent = written.into_iter().filter(|mapped| !sources.iter().any(|(name, _)| *name == mapped.name));
                let absent: Vec<_> = absent.map(|mapped| mapped.name).collect();
                return refuse_all(self, &format!("lacks {} to be packed with", absent.join(" and ")));
            }
            (How::Part(_), 1..) => {
                shape[0] = shape[0].saturating_mul(3);
                Change::Merged
            }
            (How::Transposed, 2) => {
                shape.reverse();
                Change::Transposed
            }
            _ => Change::None,
        };
        let from = sources.into_iter().map(|(name, _)| name).collect();
        self.recipes.insert(canonical, Recipe { dtype: first.dtype, shape, from, change });
    }

    /// The number of classes that the shapes say.
    fn classes<'s>(shape: impl Fn(&str) -> Option<&'s [usize]>) -> Option<usize> {
        CLASS_HEADS.iter().find_map(|name| shape(name)?.first().copied())
    }

    /// Compares the recipes with what is needed.
    fn finish(&mut self) {
        let found = Self::classes(|name| Some(self.recipes.get(name)?.shape.as_slice()));
        self.fix_denoising(found);
        if let Some(needed) = &self.needed {
            let wanted = Self::classes(|name| Some(needed.get(name)?.shape.as_slice()));
            self.report.classes = match (found, wanted) {
                (Some(found), Some(needed)) if found != needed => Some(Classes { found, needed }),
                _ => None,
            };
            let mut refused = Vec::new();
            self.recipes.retain(|name, recipe| {
                let Some(Needed { shape, .. }) = needed.get(name.as_str()) else {
                    refused.extend(recipe.from.iter().cloned());
                    return false;
                };
                if *shape != recipe.shape {
                    let (name, from) = (name.clone(), recipe.from.clone());
                    let (found, needed) = (recipe.shape.clone(), shape.to_vec());
                    self.report.wrong_shape.push(Misfit { name, from, found, needed });
                }
                *shape == recipe.shape
            });
            let has = |name: &str| self.report.wrong_shape.iter().any(|misfit| misfit.name == name);
            let absent =
                needed.values().filter(|needed| !self.recipes.contains_key(&needed.name) && !has(&needed.name));
            let (idle, missing): (Vec<&Needed>, Vec<&Needed>) = absent.partition(|needed| needed.idle);
            let names = |list: Vec<&Needed>| list.into_iter().map(|needed| needed.name.clone()).collect();
            (self.report.missing, self.report.idle) = (names(missing), names(idle));
            for name in refused {
                self.refuse(&name, "is not part of this model");
            }
        }
        let given = self.recipes.iter();
        let given =
            given.map(|(name, recipe)| Given { name: name.clone(), from: recipe.from.clone(), change: recipe.change });
        self.report.mapped = given.collect();
    }

    /// Gives the denoising embedding the row that Paddle's does not have, or zeros if the file has none at all.
    fn fix_denoising(&mut self, classes: Option<usize>) {
        let needed = self.needed.as_ref().map(|needed| Some(needed.get(DENOISING)?.shape.as_slice()));
        match (self.recipes.get_mut(DENOISING), needed) {
            (Some(recipe), _) => {
                let rows = match needed {
                    Some(shape) => shape.and_then(|shape| shape.first().copied()),
                    None => classes.map(|classes| classes + 1),
                };
                if let Some(first) = recipe.shape.first_mut()
                    && recipe.change == Change::None
                    && rows == first.checked_add(1)
                {
                    *first += 1;
                    recipe.change = Change::Padded;
                }
            }
            (None, Some(Some(shape))) => {
                let recipe =
                    Recipe { dtype: Dtype::F32, shape: shape.to_vec(), from: Vec::new(), change: Change::Zeros };
                self.recipes.insert(DENOISING.to_owned(), recipe);
            }
            (None, _) => {}
        }
    }
}

fn part(how: How) -> usize {
    match how {
        How::Part(index) => index,
        How::Same | How::Transposed => 0,
    }
}
