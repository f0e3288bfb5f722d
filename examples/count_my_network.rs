//! Counts a small network that is no RT-DETR: `cargo run --example count_my_network`

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use detrace::flops::CustomOps;
use detrace::nn::{
    Activation, AvgPool2d, Conv2dConfig, ConvNorm, ConvNormConfig, Linear, Owned, PoolConfig, Structure, Traced,
    owned_by,
};

/// Two convolutions, a pool over everything, a classifier.
struct Classifier {
    stem: ConvNorm,
    body: ConvNorm,
    pool: AvgPool2d,
    head: Linear,
}

impl Classifier {
    fn new(vb: VarBuilder) -> Result<Classifier> {
        let conv = |input, output, stride, name: &str| {
            let config = ConvNormConfig::new(Conv2dConfig::same(input, output, 3, stride)).act(Activation::Relu);
            ConvNorm::new(config, Structure::Train, vb.pp(name))
        };
        let pool = PoolConfig { kernel: 8, stride: 8, padding: [0; 4], ceil: false };
        Ok(Classifier {
            stem: conv(3, 16, 2, "stem")?,
            body: conv(16, 32, 2, "body")?,
            pool: AvgPool2d::module(pool, vb.pp("pool").prefix()),
            head: Linear::new(32, 10, vb.pp("head"))?,
        })
    }
}

/// With what it owns, parameters of layers that never run would be known too.
struct Counted(Classifier, Owned);

impl Traced for Counted {
    fn run(&self, image: &Tensor) -> Result<()> {
        let net = &self.0;
        let x = net.pool.forward(&net.body.forward(&net.stem.forward(image)?)?)?;
        net.head.forward(&x.flatten_from(1)?).map(drop)
    }

    fn owned(&self) -> Owned {
        self.1.clone()
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    // `VarMap` initialises what is asked for, as when a model is about to be trained.
    let weights = VarMap::new();
    let (net, owned) = owned_by(|| Classifier::new(VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu)));
    let image = Tensor::rand(0f32, 1f32, (1, 3, 32, 32), &Device::Cpu)?;
    let count = detrace::flops(&Counted(net?, owned), &image, &CustomOps::new(), true)?;
    assert_eq!(count.total, 16 * 16 * 16 * 27 + 2 * 16 * 16 * 16 + 32 * 8 * 8 * 144 + 2 * 32 * 8 * 8 + 32 + 320);
    Ok(())
}
