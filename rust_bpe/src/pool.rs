//! Thread pools that survive a fork: data-loader workers are forked, and threads are not.

use std::sync::{Arc, Mutex};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

struct Pool {
    process: u32,
    num_threads: usize,
    pool: Arc<ThreadPool>,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// Number of threads meant by `num_threads`, where 0 stands for one per core.
pub fn resolve(num_threads: usize) -> usize {
    match num_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n.min(256),
    }
}

/// Apply `work` to every item, in order of the items in the result. `init` makes a scratch space
/// that one thread reuses from item to item.
pub fn map<I: Sync, S, R: Send>(
    num_threads: usize,
    items: &[I],
    init: impl Fn() -> S + Sync + Send,
    work: impl Fn(&mut S, &I) -> R + Sync + Send,
) -> Vec<R> {
    let num_threads = resolve(num_threads);
    let pool = if num_threads > 1 && items.len() > 1 {
        pool(num_threads)
    } else {
        None
    };
    match pool {
        Some(pool) => pool.install(|| items.par_iter().map_init(&init, &work).collect()),
        None => {
            let mut scratch = init();
            items.iter().map(|item| work(&mut scratch, item)).collect()
        }
    }
}

/// The kept pool, or a new one; `None` when no thread can be started.
fn pool(num_threads: usize) -> Option<Arc<ThreadPool>> {
    let process = std::process::id();
    let mut slot = POOL.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(held) = slot.as_ref() {
        if held.process == process && held.num_threads == num_threads {
            return Some(held.pool.clone());
        }
    }
    let pool = Arc::new(
        ThreadPoolBuilder::new()
            .num_threads(num_threads)
            .build()
            .ok()?,
    );
    let made = Pool {
        process,
        num_threads,
        pool: pool.clone(),
    };
    if let Some(old) = slot.replace(made) {
        if old.process != process {
            std::mem::forget(old); // its threads live in the parent; joining them would hang
        }
    }
    Some(pool)
}
