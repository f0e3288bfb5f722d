//! What benches measure with.

use std::time::Instant;

use detrace_kernels::threads;

/// The time of a call: this thread's on a processor where one thread works, else the least by the clock.
pub(crate) fn time(mut run: impl FnMut()) -> f64 {
    let on_cpu = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok().filter(|_| threads() == 1)?;
        text.split(' ').next()?.parse::<f64>().ok().map(|ns| ns / 1e9)
    };
    run();
    let (start, before) = (Instant::now(), on_cpu());
    let (mut best, mut calls) = (f64::INFINITY, 0.0);
    while start.elapsed().as_secs_f64() < 0.5 {
        let once = Instant::now();
        run();
        best = best.min(once.elapsed().as_secs_f64());
        calls += 1.0;
    }
    on_cpu().zip(before).map_or(best, |(after, before)| (after - before) / calls)
}
