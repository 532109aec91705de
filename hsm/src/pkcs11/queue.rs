//! The bounded queue between the asynchronous face and the threads that own sessions.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{
    HsmError,
    command::{Command, Reply},
};

/// One command on its way.
pub(super) struct Job {
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Result<Reply, HsmError>>,
    pub(super) deadline: Instant,
}

/// What a worker gets when it asks for work.
pub(super) enum Next {
    Job(Box<Job>),
    /// Nothing came in time.
    Idle,
    /// Nothing will come any more.
    Closed,
}

pub(super) struct JobQueue {
    state: Mutex<State>,
    changed: Condvar,
    closing: Condvar,
    capacity: usize,
}

struct State {
    jobs: VecDeque<Box<Job>>,
    closed: bool,
}

impl JobQueue {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State { jobs: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), closing: Condvar::new(), capacity }
    }

    /// Queues a job, or refuses it at once: a caller never waits for a place.
    pub(super) fn push(&self, job: Job) -> Result<(), HsmError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(HsmError::Closed);
        }
        if state.jobs.len() >= self.capacity {
            return Err(HsmError::Busy { reason: "the queue in front of it is full" });
        }
        state.jobs.push_back(Box::new(job));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Gives back a job that was not started.
    pub(super) fn push_front(&self, job: Box<Job>) {
        self.state.lock().jobs.push_front(job);
        self.changed.notify_one();
    }

    pub(super) fn pop(&self, patience: Duration) -> Next {
        let until = Instant::now() + patience;
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Next::Job(job);
            }
            if state.closed {
                return Next::Closed;
            }
            if self.changed.wait_until(&mut state, until).timed_out() {
                return Next::Idle;
            }
        }
    }

    /// Waits out `pause`, or until the queue is closed.
    pub(super) fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.state.lock();
        while !state.closed && !self.closing.wait_until(&mut state, until).timed_out() {}
    }

    /// Refuses new jobs; queued ones are still handed out.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
        self.closing.notify_all();
    }

    pub(super) fn depth(&self) -> usize {
        self.state.lock().jobs.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job { command: Command::List, reply: oneshot::channel().0, deadline: Instant::now() }
    }

    #[test]
    fn full_queue_refuses_at_once() {
        let queue = JobQueue::new(1);
        queue.push(job()).unwrap();
        assert!(queue.push(job()).unwrap_err().is_busy());
    }

    #[test]
    fn closed_queue_hands_out_what_it_has() {
        let queue = JobQueue::new(2);
        queue.push(job()).unwrap();
        queue.close();
        assert!(matches!(queue.push(job()), Err(HsmError::Closed)));
        assert!(matches!(queue.pop(Duration::ZERO), Next::Job(_)));
        assert!(matches!(queue.pop(Duration::ZERO), Next::Closed));
    }
}
