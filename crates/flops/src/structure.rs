/// How a network is built from the same weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Structure {
    /// As trained, and as counting tools see it: convolution, norm and activation apart, RepVGG with both branches.
    #[default]
    Train,
    /// For inference: norms folded into their convolutions, RepVGG branches merged, activations fused. Equal to
    /// [`Structure::Train`] up to rounding.
    Deploy,
    /// [`Structure::Deploy`] without work that the results do not need: only the selected queries go through query
    /// selection's box head. Equal to it up to rounding.
    Fast,
}

impl Structure {
    /// Every structure.
    pub const ALL: [Structure; 3] = [Structure::Train, Structure::Deploy, Structure::Fast];

    /// Name on the command line and in traces.
    pub fn name(self) -> &'static str {
        match self {
            Structure::Train => "train",
            Structure::Deploy => "deploy",
            Structure::Fast => "fast",
        }
    }
}
