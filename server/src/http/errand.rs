//! Work that is finished although nobody waits for its outcome any more.
//!
//! A connection's task polls its requests itself, which spares a task and two wake-ups for each. When the client hangs
//! up, hyper drops what it polls; what is dropped half-way goes on in a task of its own.

use futures_util::{FutureExt as _, future::CatchUnwind};
use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    thread,
};
use tokio::runtime::Handle;

/// A future that goes on when it is dropped. A panic in it is an `Err`.
pub(crate) struct ToTheEnd<F: Future + Send + 'static>(Option<Guarded<F>>);

type Guarded<F> = Pin<Box<CatchUnwind<AssertUnwindSafe<F>>>>;

impl<F: Future + Send + 'static> ToTheEnd<F> {
    /// Nothing runs before the first poll.
    pub(crate) fn new(work: F) -> Self {
        Self(Some(Box::pin(AssertUnwindSafe(work).catch_unwind())))
    }
}

impl<F: Future + Send + 'static> Future for ToTheEnd<F> {
    type Output = thread::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Polled again after its end it has nothing more to say.
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<F: Future + Send + 'static> Drop for ToTheEnd<F> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { drop(work.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn what_is_dropped_half_way_is_finished() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let mut work = ToTheEnd::new(async move {
            wait.await.unwrap();
            done.send(()).unwrap();
        });
        tokio::select! {
            biased;
            _ = &mut work => panic!("it has nothing to go on with yet"),
            () = std::future::ready(()) => {}
        }
        drop(work);
        go.send(()).unwrap();
        finished.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_told_and_goes_no_further() {
        assert!(ToTheEnd::new(async { panic!("on purpose") }).await.is_err());
        assert_eq!(ToTheEnd::new(async { 7 }).await.unwrap(), 7);
    }
}
