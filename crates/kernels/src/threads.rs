//! Work shared out between threads that wait for it awake, so that an operation of some microseconds gains from them too.
//!
//! A parallel dispatch of rayon costs 8 to 28 µs; here the helpers look at one word of memory for a while after each job
//! before they go to sleep. There are as many threads as in rayon's global pool, so one setting counts for all.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long a helper looks for the next job before it sleeps.
const AWAKE: Duration = Duration::from_millis(2);
/// Whether helpers may take part in the job of [`Pool::state`]; below it the number that did, above it the job's number.
const OPEN: u64 = 1 << 16;
const JOB: u64 = 1 << 17;

/// Calls `body` once for each of `0 .. tasks`, on all threads. Returns when all are done. A call from inside a task, or
/// while another thread's job is running, runs on the caller's thread alone.
///
/// # Panics
/// If a task panics.
pub(crate) fn share_out(tasks: usize, body: impl Fn(usize) + Sync) {
    let pool = pool();
    match pool.busy.try_lock() {
        _ if tasks <= 1 || pool.helpers.is_empty() => (0..tasks).for_each(body),
        Err(TryLockError::WouldBlock) => (0..tasks).for_each(body),
        Ok(busy) => pool.run(tasks, &body, busy),
        Err(TryLockError::Poisoned(poisoned)) => pool.run(tasks, &body, poisoned.into_inner()),
    }
}

/// The number of threads that share work.
pub fn threads() -> usize {
    pool().helpers.len() + 1
}

struct Job {
    body: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

struct Pool {
    helpers: Vec<Thread>,
    /// Held by whoever has given out a job.
    busy: Mutex<()>,
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    next: AtomicUsize,
    left: AtomicUsize,
    asleep: AtomicU32,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    panicked: AtomicBool,
}

// SAFETY: `job` is written only by the holder of `busy` while `state` is closed and no helper is inside, and read only by
// helpers that entered through an open `state`, which was stored after the write.
unsafe impl Sync for Pool {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Pool {}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    static START: OnceLock<()> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let helpers = (1..rayon::current_num_threads())
            .filter_map(|number| {
                let help = || {
                    while POOL.get().is_none() {
                        std::thread::park();
                    }
                    if let Some(pool) = POOL.get() {
                        pool.help();
                    }
                };
                let name = format!("detrace-{number}");
                std::thread::Builder::new().name(name).spawn(help).ok().map(|handle| handle.thread().clone())
            })
            .collect();
        Pool {
            helpers,
            busy: Mutex::new(()),
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            asleep: AtomicU32::new(0),
            panic: Mutex::new(None),
            panicked: AtomicBool::new(false),
        }
    });
    START.get_or_init(|| pool.helpers.iter().for_each(Thread::unpark));
    pool
}

impl Pool {
    fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync), busy: MutexGuard<'_, ()>) {
        // SAFETY: only the lifetime changes. Helpers use the body between entering and leaving the job, and this function
        // returns after the last one has left.
        let body: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(body) };
        // SAFETY: `busy` is held and the state is closed with nobody inside, so nobody reads it now.
        unsafe { *self.job.get() = Some(Job { body, tasks }) };
        self.next.store(0, Ordering::Relaxed);
        self.left.store(0, Ordering::Relaxed);
        let number = self.state.load(Ordering::Relaxed) / JOB + 1;
        self.state.store(number * JOB + OPEN, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            self.helpers.iter().for_each(Thread::unpark);
        }
        self.work(body, tasks);
        let entered = self.state.fetch_and(!OPEN, Ordering::AcqRel) % OPEN;
        while self.left.load(Ordering::Acquire) < entered as usize {
            std::hint::spin_loop();
        }
        self.state.store(number * JOB, Ordering::Release);
        let panic = match self.panicked.swap(false, Ordering::AcqRel) {
            true => self.panic.lock().unwrap_or_else(PoisonError::into_inner).take(),
            false => None,
        };
        drop(busy);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn work(&self, body: &(dyn Fn(usize) + Sync), tasks: usize) {
        let all = || {
            loop {
                let task = self.next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                body(task);
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(all)) {
            self.next.store(tasks, Ordering::Relaxed);
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            self.panicked.store(true, Ordering::Release);
        }
    }

    /// A helper's life.
    fn help(&self) {
        let mut done = 0;
        loop {
            let number = self.wait(done);
            done = number;
            let entered = self
                .state
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                    (state / JOB == number && state & OPEN != 0).then_some(state + 1)
                })
                .is_ok();
            if !entered {
                continue;
            }
            // SAFETY: the state was open, so the job is written, and it stays until this helper has left.
            if let Some(Job { body, tasks }) = unsafe { &*self.job.get() } {
                // SAFETY: whoever gave it out waits until this helper has left.
                self.work(unsafe { &**body }, *tasks);
            }
            self.left.fetch_add(1, Ordering::Release);
        }
    }

    /// The number of the next job after `done`: awake at first, then asleep.
    fn wait(&self, done: u64) -> u64 {
        let fresh = || Some(self.state.load(Ordering::SeqCst) / JOB).filter(|&number| number != done);
        let start = Instant::now();
        loop {
            for _ in 0..256 {
                if let Some(number) = fresh() {
                    return number;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() > AWAKE {
                break;
            }
        }
        self.asleep.fetch_add(1, Ordering::SeqCst);
        let number = loop {
            if let Some(number) = fresh() {
                break number;
            }
            std::thread::park();
        };
        self.asleep.fetch_sub(1, Ordering::SeqCst);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for tasks in (0..200).chain([5000]) {
            let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            share_out(tasks, |task| {
                counts[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{tasks}");
        }
    }

    #[test]
    fn calls_from_several_threads_and_from_inside_are_done() {
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        share_out(8, |_| {
                            share_out(4, |task| {
                                sum.fetch_add(task, Ordering::Relaxed);
                            })
                        });
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 200 * 8 * 6);
    }

    #[test]
    fn sleepers_wake_up() {
        for _ in 0..5 {
            std::thread::sleep(2 * AWAKE);
            let sum = AtomicUsize::new(0);
            share_out(100, |task| {
                sum.fetch_add(task, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let panics = || share_out(50, |task| assert!(task != 20, "task 20"));
        assert!(catch_unwind(panics).is_err());
        share_out(50, |_| {});
    }
}
