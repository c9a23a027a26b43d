//! A small pool of threads for work that would stall a core: handshakes, RSA, argon2, large compressions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crate::affinity::pin_current_thread;
use crate::executors::{StartError, check_cpus};
use crate::supervisor::panic_message;

type Job = Box<dyn FnOnce() + Send>;

/// One pool to start.
#[derive(Clone, Debug)]
pub struct BlockingSpec {
    /// Name of its threads (their first 15 bytes), with a number behind.
    pub name: String,
    /// How many threads, at least 1.
    pub thread_count: usize,
    /// Pieces of work that may wait, at least 1; one more is refused.
    pub queue_max: usize,
    /// The processor that all of them are pinned to; `None` leaves the choice to the kernel, among the
    /// processors of the thread that starts the pool.
    pub cpu: Option<usize>,
}

/// The pool. Clones share it; its threads end when the last clone is gone and the queue is empty.
///
/// Its futures work on glommio, on tokio and on plain threads. Panics of the work come back as errors
/// (glommio's own pool leaves the caller waiting for ever).
#[derive(Clone, Debug)]
pub struct Blocking {
    jobs: flume::Sender<Job>,
}

/// Why a piece of work has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockingError {
    /// The queue holds as many pieces as it may: refuse the client, or try again later.
    #[error("the queue of the blocking pool is full")]
    Full,
    /// The work panicked.
    #[error("the work panicked: {0}")]
    Panicked(String),
    /// The pool's threads are gone.
    #[error("the blocking pool has ended")]
    Ended,
}

impl Blocking {
    /// Starts the threads, named after the spec with `-0` and so on, and pins them if the spec says where.
    ///
    /// # Errors
    /// [`StartError`]: the processor is not allowed, or a thread cannot be started; those running end.
    ///
    /// # Panics
    /// When `thread_count` or `queue_max` is 0.
    pub fn start(spec: &BlockingSpec) -> Result<Self, StartError> {
        assert!(spec.thread_count > 0, "a pool without threads does no work");
        assert!(spec.queue_max > 0, "a pool without queue takes no work");
        check_cpus([(spec.name.as_str(), spec.cpu)].into_iter())?;
        let (jobs, queue) = flume::bounded::<Job>(spec.queue_max);
        for index in 0..spec.thread_count {
            let (queue, cpu, name) = (queue.clone(), spec.cpu, format!("{}-{index}", spec.name));
            let work = move || {
                if let Some(Err(error)) = cpu.map(pin_current_thread) {
                    tracing::warn!(cpu, %error, "a thread of the blocking pool runs unpinned");
                }
                for job in &queue {
                    job();
                }
            };
            // Not joined: the thread ends with the queue, and the result of its last work has a receiver.
            let started = thread::Builder::new().name(name.clone()).spawn(work);
            started.map_err(|source| StartError::Executor { name, source })?;
        }
        Ok(Self { jobs })
    }

    /// Runs `work` on a thread of the pool. Queued when this is called, not when the future is first polled;
    /// dropping the future does not stop the work.
    ///
    /// # Errors
    /// [`BlockingError`], by the future.
    pub fn run<T, W>(&self, work: W) -> impl Future<Output = Result<T, BlockingError>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let (answer, answered) = flume::bounded(1);
        let job = move || {
            let outcome = catch_unwind(AssertUnwindSafe(work));
            // A caller that has gone away needs no answer.
            let _nobody_waits =
                answer.send(outcome.map_err(|payload| BlockingError::Panicked(panic_message(&*payload))));
        };
        let queued = self.jobs.try_send(Box::new(job)).map_err(|error| match error {
            flume::TrySendError::Full(_) => BlockingError::Full,
            flume::TrySendError::Disconnected(_) => BlockingError::Ended,
        });
        async move {
            queued?;
            answered.into_recv_async().await.unwrap_or(Err(BlockingError::Ended))
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    fn pool(thread_count: usize, queue_max: usize) -> Blocking {
        let name = "test".to_owned();
        Blocking::start(&BlockingSpec { name, thread_count, queue_max, cpu: None }).expect("threads can be started")
    }

    #[test]
    fn a_pool_may_be_pinned_to_a_processor_of_the_process_only() {
        let cpu = crate::allowed_cpus().unwrap()[0];
        let spec = BlockingSpec { name: "test".to_owned(), thread_count: 1, queue_max: 1, cpu: Some(cpu) };
        let pinned = Blocking::start(&spec).unwrap();
        assert_eq!(block_on(pinned.run(|| crate::allowed_cpus().unwrap())), Ok(vec![cpu]));
        let far = Blocking::start(&BlockingSpec { cpu: Some(5_000), ..spec });
        assert!(matches!(far, Err(StartError::CpuNotAllowed { cpu: 5_000, .. })));
    }

    #[test]
    fn work_returns_its_result_and_a_panic_is_an_error() {
        let pool = pool(1, 4);
        assert_eq!(block_on(pool.run(|| 6 * 7)), Ok(42));
        let panicked: Result<(), _> = block_on(pool.run(|| panic!("bad key")));
        assert_eq!(panicked, Err(BlockingError::Panicked("bad key".to_owned())));
        assert_eq!(block_on(pool.run(|| "alive")), Ok("alive"));
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let pool = pool(1, 1);
        let (release, released) = flume::bounded::<()>(0);
        let (started, has_started) = flume::bounded(1);
        let running = pool.run(move || {
            started.send(()).unwrap();
            released.recv().unwrap();
        });
        has_started.recv().unwrap();
        let waiting = pool.run(|| 1);
        assert_eq!(block_on(pool.run(|| 2)), Err(BlockingError::Full));
        release.send(()).unwrap();
        assert_eq!((block_on(running), block_on(waiting)), (Ok(()), Ok(1)));
    }

    #[test]
    fn a_future_works_on_glommio_and_on_tokio() {
        let pool = pool(2, 4);
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(tokio.block_on(pool.run(|| 1)), Ok(1));
        let glommio =
            glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound).io_memory(64 << 10).make().unwrap();
        assert_eq!(glommio.run(async move { pool.run(|| 2).await }), Ok(2));
    }
}
