//! What times of operations are taken by.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Result, bail};
use detrace_flops::Timing;

/// A moment in a stopwatch's own terms.
#[derive(Clone, Debug)]
pub enum Moment {
    /// By the processor's clock.
    Host(Instant),
    /// When a device reached this point in its work: an event of its own kind.
    Device(Arc<dyn Any + Send + Sync>),
}

/// What a clock asks of a device.
pub trait Stopwatch: Debug + Send + Sync {
    /// The processor's time.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Waits until the device has done what it was given.
    ///
    /// # Errors
    /// If the device failed.
    fn synchronize(&self) -> Result<()>;

    /// Marks this point in the device's work.
    ///
    /// # Errors
    /// If the device has no such marks or failed.
    fn event(&self) -> Result<Moment>;

    /// Nanoseconds between two events that the device has reached.
    ///
    /// # Errors
    /// If these are no events of this device.
    fn between(&self, from: &Moment, to: &Moment) -> Result<u64>;
}

/// Takes times in one of the ways of [`Timing`].
#[derive(Clone, Debug)]
pub struct Clock {
    timing: Timing,
    stopwatch: Arc<dyn Stopwatch>,
}

impl Clock {
    /// The clock of a device.
    ///
    /// # Errors
    /// If the device cannot be timed so: the CPU has no events.
    pub fn new(timing: Timing, device: &Device) -> Result<Clock> {
        if device.is_cpu() && timing == Timing::Events {
            bail!("the CPU has no events to time operations with");
        }
        Ok(Clock::with(timing, Arc::new(device.clone())))
    }

    /// A clock that asks that stopwatch.
    pub fn with(timing: Timing, stopwatch: Arc<dyn Stopwatch>) -> Clock {
        Clock { timing, stopwatch }
    }

    /// The moment before an operation.
    pub(crate) fn start(&self) -> Result<Moment> {
        match self.timing {
            Timing::Events => self.stopwatch.event(),
            Timing::None | Timing::Wall | Timing::Synchronized | Timing::Launch => {
                Ok(Moment::Host(self.stopwatch.now()))
            }
        }
    }

    /// The moment after an operation.
    pub(crate) fn stop(&self) -> Result<Moment> {
        if self.timing == Timing::Synchronized {
            self.stopwatch.synchronize()?;
        }
        self.start()
    }

    /// Waits until every moment has come.
    pub(crate) fn settle(&self) -> Result<()> {
        if self.timing == Timing::Events { self.stopwatch.synchronize() } else { Ok(()) }
    }

    /// Nanoseconds from one moment to another, both of which have come.
    pub(crate) fn between(&self, from: &Moment, to: &Moment) -> Result<u64> {
        match (from, to) {
            (Moment::Host(from), Moment::Host(to)) => {
                Ok(u64::try_from(to.saturating_duration_since(*from).as_nanos()).unwrap_or(u64::MAX))
            }
            _ => self.stopwatch.between(from, to),
        }
    }
}

impl Stopwatch for Device {
    fn synchronize(&self) -> Result<()> {
        Device::synchronize(self)
    }

    #[cfg(not(feature = "cuda"))]
    fn event(&self) -> Result<Moment> {
        bail!("this build has no events, which are CUDA's")
    }

    #[cfg(not(feature = "cuda"))]
    fn between(&self, _: &Moment, _: &Moment) -> Result<u64> {
        bail!("this build has no events, which are CUDA's")
    }

    #[cfg(feature = "cuda")]
    fn event(&self) -> Result<Moment> {
        use candle_core::cuda_backend::{WrapErr, cudarc::driver::sys::CUevent_flags};
        let stream = self.as_cuda_device()?.cuda_stream();
        let event = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).w()?;
        Ok(Moment::Device(Arc::new(event)))
    }

    #[cfg(feature = "cuda")]
    fn between(&self, from: &Moment, to: &Moment) -> Result<u64> {
        use candle_core::cuda_backend::{WrapErr, cudarc::driver::CudaEvent};
        let event = |moment: &Moment| match moment {
            Moment::Device(event) => Arc::clone(event).downcast::<CudaEvent>().ok(),
            Moment::Host(_) => None,
        };
        let (Some(from), Some(to)) = (event(from), event(to)) else { bail!("a moment is no CUDA event") };
        // Events tell milliseconds.
        Ok((1e6 * f64::from(from.elapsed_ms(&to).w()?).max(0.0)) as u64)
    }
}
