//! Layers: a value of these types is a layer that has been made; `on` puts it to work.

use detrace_flops::{Attrs, Kind, Param, Structure};

use super::sheet::{Map, Sheet, Tokens, inside};

/// A window that slides over a map.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// Top, left, bottom, right.
    pub(super) padding: [usize; 4],
    /// Whether a last window that is only partly inside counts.
    pub(super) ceil: bool,
}

impl Window {
    /// An odd kernel in the middle of its padding: stride 1 keeps the size.
    pub(super) fn centred(kernel: usize, stride: usize) -> Window {
        Window { kernel, stride, padding: [kernel / 2; 4], ceil: false }
    }

    /// Height and width that it leaves of a map.
    pub(super) fn over(&self, height: usize, width: usize) -> (usize, usize) {
        let [top, left, bottom, right] = self.padding;
        (self.places(height, top, bottom), self.places(width, left, right))
    }

    /// Places of the window along one axis.
    fn places(&self, size: usize, before: usize, after: usize) -> usize {
        let room = (size + before + after).saturating_sub(self.kernel);
        if !self.ceil {
            return room / self.stride + 1;
        }
        let places = room.div_ceil(self.stride) + 1;
        // A last window that would start in the padding behind the map does not count.
        if (places - 1) * self.stride >= size + before { places - 1 } else { places }
    }

    fn attrs(&self, groups: Option<usize>) -> Attrs {
        Attrs {
            kernel: Some([self.kernel; 2]),
            stride: Some([self.stride; 2]),
            padding: Some(self.padding),
            groups,
            frozen: false,
        }
    }
}

/// A max or average pool that is the module `path`, or with a role a step of the block `path`.
pub(super) fn pool(sheet: &mut Sheet, path: &str, role: &str, kind: Kind, window: Window, x: Map) -> Map {
    let [batch, channels, height, width] = x;
    let (height, width) = window.over(height, width);
    let y = [batch, channels, height, width];
    let op = if role.is_empty() { sheet.call(path, kind, &[&x], &y) } else { sheet.step(path, role, kind, &[&x], &y) };
    op.attrs = window.attrs(None);
    y
}

/// A convolution that has been made.
pub(super) struct Conv {
    pub(super) path: String,
    window: Window,
    groups: usize,
    params: Vec<Param>,
}

impl Conv {
    pub(super) fn made(
        sheet: &mut Sheet,
        path: String,
        input: usize,
        output: usize,
        groups: usize,
        window: Window,
        bias: bool,
    ) -> Conv {
        let mut params = vec![Param::named("weight", &[output, input / groups, window.kernel, window.kernel])];
        if bias {
            params.push(Param::named("bias", &[output]));
        }
        sheet.own(&path, &params);
        Conv { path, window, groups, params }
    }

    pub(super) fn on(&self, sheet: &mut Sheet, x: Map) -> Map {
        let [batch, _, height, width] = x;
        let (height, width) = self.window.over(height, width);
        let y = [batch, self.params[0].shape[0], height, width];
        let op = sheet.call(&self.path, Kind::Conv2d, &[&x], &y);
        op.params = self.params.clone();
        op.attrs = self.window.attrs(Some(self.groups));
        y
    }
}

/// What is asked for where a convolution, a norm and perhaps an activation follow each other.
#[derive(Clone)]
pub(super) struct ConvNormSpec {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) groups: usize,
    pub(super) window: Window,
    pub(super) conv_name: &'static str,
    pub(super) norm_name: &'static str,
    pub(super) frozen: bool,
    pub(super) act: Option<Kind>,
}

impl ConvNormSpec {
    /// A centred convolution, a trained norm called `norm`, no activation.
    pub(super) fn new(input: usize, output: usize, kernel: usize, stride: usize) -> ConvNormSpec {
        ConvNormSpec {
            input,
            output,
            groups: 1,
            window: Window::centred(kernel, stride),
            conv_name: "conv",
            norm_name: "norm",
            frozen: false,
            act: None,
        }
    }

    pub(super) fn act(self, act: Kind) -> ConvNormSpec {
        ConvNormSpec { act: Some(act), ..self }
    }

    /// Makes it as the block `block`.
    pub(super) fn make(self, sheet: &mut Sheet, block: &str) -> ConvNorm {
        let ConvNormSpec { input, output, groups, window, .. } = self;
        let apart = match sheet.structure {
            Structure::Train => true,
            Structure::Deploy | Structure::Fast => false,
        };
        let conv = Conv::made(sheet, inside(block, self.conv_name), input, output, groups, window, !apart);
        let act_path = inside(block, "act");
        let norm = apart.then(|| {
            let (path, params) = (inside(block, self.norm_name), norm_params(output));
            sheet.own(&path, &params);
            if self.act.is_some() {
                sheet.own(&act_path, &[]);
            }
            BatchNorm { path, params, frozen: self.frozen }
        });
        ConvNorm { conv, norm, act: self.act.map(|kind| (kind, act_path)) }
    }
}

fn norm_params(channels: usize) -> Vec<Param> {
    ["weight", "bias", "running_mean", "running_var"].iter().map(|name| Param::named(name, &[channels])).collect()
}

struct BatchNorm {
    path: String,
    params: Vec<Param>,
    frozen: bool,
}

/// A convolution with its norm and activation: apart, or all in the convolution where there is no norm any more.
pub(super) struct ConvNorm {
    conv: Conv,
    norm: Option<BatchNorm>,
    act: Option<(Kind, String)>,
}

impl ConvNorm {
    pub(super) fn on(&self, sheet: &mut Sheet, x: Map) -> Map {
        let y = self.conv.on(sheet, x);
        if let Some(norm) = &self.norm {
            let op = sheet.call(&norm.path, Kind::BatchNorm, &[&y], &y);
            op.params = norm.params.clone();
            op.attrs.frozen = norm.frozen;
        }
        if let Some((kind, path)) = &self.act {
            let op = sheet.call(path, kind.clone(), &[&y], &y);
            op.fused_into = self.norm.is_none().then(|| self.conv.path.clone());
        }
        y
    }
}

impl ConvNorm {
    /// The same with an addition of the block `block`, and perhaps an activation that is its module: last steps of the
    /// convolution where there is no norm any more.
    pub(super) fn on_residual(&self, sheet: &mut Sheet, x: Map, block: &str, residual: Map, act: Option<Kind>) -> Map {
        let y = self.on(sheet, x);
        let fused_into = self.norm.is_none().then(|| self.conv.path.clone());
        sheet.step(block, "residual", Kind::Add, &[&y, &residual], &y).fused_into.clone_from(&fused_into);
        if let Some(kind) = act {
            sheet.call(&inside(block, "act"), kind, &[&y], &y).fused_into = fused_into;
        }
        y
    }
}

/// A fully connected layer that has been made, perhaps with an activation behind it.
pub(super) struct Linear {
    path: String,
    params: [Param; 2],
    act: Option<(Kind, String)>,
}

impl Linear {
    pub(super) fn make(sheet: &mut Sheet, path: String, input: usize, output: usize) -> Linear {
        let params = [Param::named("weight", &[output, input]), Param::named("bias", &[output])];
        sheet.own(&path, &params);
        Linear { path, params, act: None }
    }

    /// The same with an activation behind it, the module `path`.
    pub(super) fn act(self, kind: Kind, path: String) -> Linear {
        Linear { act: Some((kind, path)), ..self }
    }

    pub(super) fn on(&self, sheet: &mut Sheet, x: Tokens) -> Tokens {
        let y = [x[0], x[1], self.params[0].shape[0]];
        sheet.call(&self.path, Kind::Linear, &[&x], &y).params = self.params.to_vec();
        if let Some((kind, path)) = &self.act {
            let fused = sheet.structure != Structure::Train;
            let op = sheet.call(path, kind.clone(), &[&y], &y);
            op.fused_into = fused.then(|| self.path.clone());
        }
        y
    }
}

/// A layer norm that has been made.
pub(super) struct LayerNorm {
    path: String,
    params: [Param; 2],
}

impl LayerNorm {
    pub(super) fn make(sheet: &mut Sheet, path: String, width: usize) -> LayerNorm {
        let params = [Param::named("weight", &[width]), Param::named("bias", &[width])];
        sheet.own(&path, &params);
        LayerNorm { path, params }
    }

    pub(super) fn on(&self, sheet: &mut Sheet, x: Tokens) {
        sheet.call(&self.path, Kind::LayerNorm, &[&x], &x).params = self.params.to_vec();
    }

    /// The norm of a sum, which is the addition `role` of the block `block`.
    pub(super) fn on_sum(&self, sheet: &mut Sheet, x: Tokens, block: &str, role: &str) {
        self.on(sheet, x);
        sheet.fused(&self.path, |sheet| sheet.add(block, role, &x, &x));
    }
}

/// Fully connected layers with ReLU between them.
pub(super) struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// `widths`: of the input, of what is between the layers, of the output.
    pub(super) fn make(sheet: &mut Sheet, path: &str, widths: &[usize]) -> Mlp {
        let last = widths.len().saturating_sub(2);
        let layers = widths
            .windows(2)
            .enumerate()
            .map(|(index, pair)| {
                let layer = Linear::make(sheet, inside(path, format_args!("layers.{index}")), pair[0], pair[1]);
                if index < last { layer.act(Kind::Relu, inside(path, "act")) } else { layer }
            })
            .collect();
        Mlp { layers }
    }

    pub(super) fn on(&self, sheet: &mut Sheet, x: Tokens) -> Tokens {
        self.layers.iter().fold(x, |x, layer| layer.on(sheet, x))
    }
}

/// Multi-head self-attention with one packed weight for query, key and value.
pub(super) struct Attention {
    path: String,
    width: usize,
    heads: usize,
    out_proj: Linear,
}

impl Attention {
    pub(super) fn make(sheet: &mut Sheet, path: String, width: usize, heads: usize) -> Attention {
        let packed = [Param::named("in_proj_weight", &[3 * width, width]), Param::named("in_proj_bias", &[3 * width])];
        sheet.own(&path, &packed);
        let out_proj = Linear::make(sheet, inside(&path, "out_proj"), width, width);
        Attention { path, width, heads, out_proj }
    }

    pub(super) fn on(&self, sheet: &mut Sheet, x: Tokens) {
        let (block, [batch, length, width], heads) = (self.path.as_str(), x, self.heads);
        let third = [Param::named("in_proj_weight", &[width, self.width]), Param::named("in_proj_bias", &[width])];
        for role in ["q_proj", "k_proj", "v_proj"] {
            sheet.step(block, role, Kind::Linear, &[&x], &x).params = third.to_vec();
        }
        let head = width / heads;
        let split = [batch, heads, length, head];
        let scores = [batch, heads, length, length];
        sheet.step(block, "scores", Kind::Matmul, &[&split, &[batch, heads, head, length]], &scores);
        sheet.fused(&format!("{block}#scores"), |sheet| {
            sheet.map(block, "scale", Kind::Mul, &x);
            for role in ["q_heads", "k_heads", "v_heads"] {
                sheet.map(block, role, Kind::Copy, &split);
            }
            sheet.map(block, "softmax", Kind::Softmax, &scores);
            sheet.step(block, "mix", Kind::Matmul, &[&scores, &split], &split);
            sheet.map(block, "merge_heads", Kind::Copy, &[batch, length, heads, head]);
        });
        self.out_proj.on(sheet, x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts places by trying them, as PyTorch defines its pools: a window starts before the end of the left-padded
    /// map; with `ceil` it may end behind the padding, without it may not.
    fn tried(window: Window, size: usize, before: usize, after: usize) -> usize {
        (0..)
            .map(|place| place * window.stride)
            .take_while(|start| match window.ceil {
                true => {
                    let previous_end = (start + window.kernel).saturating_sub(window.stride);
                    *start < size + before && (*start == 0 || previous_end < size + before + after)
                }
                false => start + window.kernel <= size + before + after,
            })
            .count()
    }

    #[test]
    fn places_of_a_window_are_those_that_can_be_tried() {
        for size in 1..12 {
            for kernel in 1..=size.min(5) {
                for (stride, before, after) in
                    (1..4).flat_map(|s| (0..=kernel / 2).map(move |p| (s, p, kernel / 2 - p)))
                {
                    for ceil in [false, true] {
                        let window = Window { kernel, stride, padding: [before, 0, after, 0], ceil };
                        let (got, _) = window.over(size, size);
                        assert_eq!(
                            got,
                            tried(window, size, before, after),
                            "{size} {kernel} {stride} {before} {after} {ceil}"
                        );
                    }
                }
            }
        }
    }
}
