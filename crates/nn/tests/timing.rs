//! Clocks: which of a device's calls happen in which order, and what becomes of their times. The device is a mock whose
//! processor's clock moves by 1000 ns at each question, and whose events are 10, 20, 30, … ns.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use candle_core::{Device, Result, Tensor, bail};
use detrace_flops::{Kind, Timing};
use detrace_nn::{Clock, Facts, Moment, Probe, Recorded, Recorder, Stopwatch};

#[derive(Debug)]
struct Mock {
    start: Instant,
    calls: Mutex<Vec<String>>,
}

impl Mock {
    fn new() -> Arc<Mock> {
        Arc::new(Mock { start: Instant::now(), calls: Mutex::default() })
    }

    fn note(&self, call: &str) -> u64 {
        let mut calls = self.calls.lock().expect("a list");
        calls.push(call.to_owned());
        calls.iter().filter(|made| *made == call).count() as u64
    }

    fn calls(&self) -> String {
        self.calls.lock().expect("a list").join(" ")
    }
}

impl Stopwatch for Mock {
    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.note("now"))
    }

    fn synchronize(&self) -> Result<()> {
        self.note("synchronize");
        Ok(())
    }

    fn event(&self) -> Result<Moment> {
        Ok(Moment::Device(Arc::new(10 * self.note("event"))))
    }

    fn between(&self, from: &Moment, to: &Moment) -> Result<u64> {
        self.note("between");
        let (Moment::Device(from), Moment::Device(to)) = (from, to) else { bail!("no events") };
        let number =
            |moment: &Arc<dyn std::any::Any + Send + Sync>| *Arc::clone(moment).downcast::<u64>().expect("a number");
        Ok(number(to) - number(from))
    }
}

/// A block with an operation, an inner block with another, and a third.
fn run(mock: &Arc<Mock>, timing: Timing) -> Recorded {
    let recorder = Recorder::with_clock(Clock::with(timing, Arc::clone(mock) as Arc<dyn Stopwatch>));
    let op = |name: &'static str| {
        let tensor = || {
            mock.note(name);
            Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu)
        };
        Probe::new("block").role(name, Kind::Relu, tensor, |y| Facts::new(&[], y)).map(drop)
    };
    recorder
        .record(|| {
            Probe::new("outer").block(|| {
                op("a")?;
                Probe::new("inner").block(|| op("b"))?;
                op("c")
            })
        })
        .expect("runs");
    mock.note("taken");
    recorder.take().expect("times")
}

fn times(recorded: &Recorded) -> Vec<u64> {
    recorded.ops.iter().map(|op| op.time_ns).collect()
}

/// Path, time and glue of each block.
fn blocks(recorded: &Recorded) -> Vec<(&str, u64, u64)> {
    recorded.blocks.iter().map(|block| (block.path.as_str(), block.time_ns, block.glue_ns)).collect()
}

#[test]
fn launch_asks_the_processor_only() {
    for timing in [Timing::Launch, Timing::Wall] {
        let mock = Mock::new();
        let recorded = run(&mock, timing);
        assert_eq!(mock.calls(), "now now a now now now b now now now c now now taken");
        assert_eq!(times(&recorded), [1000, 1000, 1000]);
        // inner: 4th to 7th question, outer: 1st to 10th.
        assert_eq!(blocks(&recorded), [("inner", 3000, 2000), ("outer", 9000, 4000)]);
    }
}

#[test]
fn sync_waits_after_each_operation_and_before_the_clock_is_read() {
    let mock = Mock::new();
    let recorded = run(&mock, Timing::Synchronized);
    assert_eq!(
        mock.calls(),
        "now now a synchronize now now now b synchronize now synchronize now now c synchronize now synchronize now taken"
    );
    assert_eq!(times(&recorded), [1000, 1000, 1000]);
}

#[test]
fn events_surround_each_operation_and_are_read_after_everything() {
    let mock = Mock::new();
    let recorded = run(&mock, Timing::Events);
    assert_eq!(
        mock.calls(),
        "event event a event event event b event event event c event event taken synchronize between between between \
         between between"
    );
    assert_eq!(times(&recorded), [10, 10, 10]);
    assert_eq!(blocks(&recorded), [("inner", 30, 20), ("outer", 90, 40)]);
}

#[test]
fn the_cpu_has_no_events() {
    assert!(Clock::new(Timing::Events, &Device::Cpu).is_err());
    assert!(Clock::new(Timing::Launch, &Device::Cpu).is_ok());
}
