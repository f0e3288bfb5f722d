//! Sizes that a file leaves open, bound to an image.

use std::collections::HashMap;

use detrace_flops::Shape;

use super::{Result, elements};
use crate::import::ImportError;
use crate::import::ir::{Dim, Graph, Tensor, TensorId};

/// What sizes are where neither the file nor anybody else says.
const DEFAULT: [usize; 4] = [1, 3, 640, 640];

/// The inputs' shapes.
pub(super) struct Bound {
    pub(super) shapes: Vec<(TensorId, Shape)>,
    /// That of the image, or of the first input.
    pub(super) image: Shape,
}

/// Binds the image first, then with its sizes the other inputs: the same name is the same size, and an open first
/// dimension is the batch.
pub(super) fn inputs(graph: &Graph, wanted: Option<[usize; 4]>) -> Result<Bound> {
    let image = image(graph);
    if let (None, Some(_)) = (image, wanted) {
        return Err(ImportError::Input("the graph has no input of four dimensions that an image could be".into()));
    }
    let mut sizes = Sizes { batch: wanted.unwrap_or(DEFAULT)[0], names: HashMap::new() };
    let mut shapes = Vec::new();
    if let Some(id) = image {
        let shape = sizes.image(graph.tensor(id), wanted)?;
        shapes.push((id, shape));
    }
    for &id in graph.inputs.iter().filter(|&&id| Some(id) != image) {
        shapes.push((id, sizes.other(graph.tensor(id))?));
    }
    for (id, shape) in &shapes {
        let name = &graph.tensor(*id).name;
        elements(shape).map_err(|what| ImportError::Tensor { name: name.clone(), what })?;
        if shape.contains(&0) {
            return Err(ImportError::Input(format!("the input {name:?} has the shape {shape:?}, which is empty")));
        }
    }
    let image = shapes.first().map(|(_, shape)| shape.clone()).unwrap_or_default();
    Ok(Bound { shapes, image })
}

/// The input that is an image: of those with four dimensions the one with three channels, or the first.
fn image(graph: &Graph) -> Option<TensorId> {
    let declared = |id: TensorId| graph.tensor(id).declared.as_deref().unwrap_or(&[]);
    let mut maps = graph.inputs.iter().copied().filter(|&id| declared(id).len() == 4);
    let first = maps.clone().next();
    maps.find(|&id| declared(id)[1] == Dim::Known(3)).or(first)
}

struct Sizes {
    batch: usize,
    names: HashMap<String, usize>,
}

impl Sizes {
    fn image(&mut self, tensor: &Tensor, wanted: Option<[usize; 4]>) -> Result<Shape> {
        let mut shape = Shape::new();
        let sizes = wanted.unwrap_or(DEFAULT);
        for (axis, (dim, &size)) in tensor.declared.iter().flatten().zip(&sizes).enumerate() {
            let size = match dim {
                Dim::Known(fixed) if wanted.is_some() && *fixed != size => {
                    return Err(ImportError::Input(format!(
                        "the file fixes dimension {axis} of its input {:?} at {fixed}, and {size} is asked for; take an \
                         input that fits, or export the graph with sizes left open",
                        tensor.name
                    )));
                }
                Dim::Known(fixed) => *fixed,
                Dim::Named(name) => match self.names.insert(name.clone(), size) {
                    Some(other) if other != size => {
                        return Err(ImportError::Input(format!(
                            "the file says that two dimensions of its input {:?} are the same ({name}), and {other} and \
                             {size} are asked for",
                            tensor.name
                        )));
                    }
                    _ => size,
                },
                Dim::Unknown => size,
            };
            shape.push(size);
        }
        self.batch = shape[0];
        Ok(shape)
    }

    fn other(&mut self, tensor: &Tensor) -> Result<Shape> {
        let declared = tensor.declared.as_ref().ok_or_else(|| {
            ImportError::Input(format!("the file does not say what shape its input {:?} has", tensor.name))
        })?;
        let mut shape = Shape::new();
        for (axis, dim) in declared.iter().enumerate() {
            let open = || {
                ImportError::Input(format!(
                    "the file leaves dimension {axis} of its input {:?} open, and the image does not decide it",
                    tensor.name
                ))
            };
            shape.push(match dim {
                Dim::Known(size) => *size,
                Dim::Named(name) => match self.names.get(name) {
                    Some(&size) => size,
                    None if axis == 0 => self.batch,
                    None => return Err(open()),
                },
                Dim::Unknown if axis == 0 => self.batch,
                Dim::Unknown => return Err(open()),
            });
        }
        Ok(shape)
    }
}
