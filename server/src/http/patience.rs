//! How long a connection may keep us waiting: seconds for the head of a request, minutes between two requests.
//!
//! hyper has one timer for both, and a client that keeps a connection for later must not be cut off as if it were
//! dribbling a header. HTTP/2 has pings of its own for idle connections.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// The head of a request must be complete within this.
const HEAD: Duration = Duration::from_secs(10);
/// A connection may rest for this long between two requests, as Vault lets it.
const IDLE: Duration = Duration::from_secs(300);
/// First bytes of an HTTP/2 connection (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI ";

/// What the door tells the stream about the requests on it.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    under_way: AtomicUsize,
    answered: AtomicU64,
}

/// A request under way; answered when dropped.
pub(crate) struct UnderWay(Arc<Activity>);

/// A stream that gives up on a client who keeps it waiting.
pub(crate) struct Patient<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Goes off at or before the moment our patience ends; set anew only when it does or when it would be too late.
    timer: Pin<Box<Sleep>>,
    /// Whose turn it is to say something, and since when.
    waiting: Option<Wait>,
    /// Whether bytes came that no answer followed yet. True at first: a new connection owes us a request.
    owes: bool,
    answered: u64,
    http2: Option<bool>,
}

#[derive(Clone, Copy, PartialEq)]
struct Wait {
    patience: Duration,
    until: Instant,
}

impl Activity {
    pub(crate) fn start(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Relaxed);
        UnderWay(Arc::clone(self))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.answered.fetch_add(1, Relaxed);
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, activity: Arc<Activity>) -> Self {
        let timer = Box::pin(tokio::time::sleep(HEAD));
        Self { stream, activity, timer, waiting: None, owes: true, answered: 0, http2: None }
    }

    /// Called when there is nothing to read: whether the client has used up our patience.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let answered = self.activity.answered.load(Relaxed);
        // hyper pings an HTTP/2 client only once it has read the preface; who sends half of one must not stay for ever.
        let pinged = self.http2 == Some(true) && answered > 0;
        if pinged || self.activity.under_way.load(Relaxed) > 0 {
            self.waiting = None;
            return Poll::Pending;
        }
        if answered != self.answered {
            self.answered = answered;
            self.owes = false;
        }
        let patience = if self.owes { HEAD } else { IDLE };
        let until = match self.waiting {
            Some(wait) if wait.patience == patience => wait.until,
            _ => Instant::now() + patience,
        };
        self.waiting = Some(Wait { patience, until });
        if self.timer.deadline() > until {
            self.timer.as_mut().reset(until);
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            if self.timer.deadline() >= until {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            // It was set for an earlier wait, which a request has ended.
            self.timer.as_mut().reset(until);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            let bytes = buffer.filled().get(before..).unwrap_or_default();
            self.http2.get_or_insert(bytes.starts_with(HTTP2_PREFACE));
            let answered = self.activity.answered.load(Relaxed);
            if answered != self.answered {
                // The first bytes of another request: its head is owed from now on.
                self.answered = answered;
                self.waiting = None;
            }
            self.owes = true;
            return Poll::Ready(read);
        }
        self.wait(context).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    async fn waits(stream: &mut Patient<tokio::io::DuplexStream>) -> Duration {
        let started = Instant::now();
        let mut byte = [0];
        let error = stream.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_who_says_nothing_or_dribbles_is_cut_off_after_seconds() {
        let (mut client, server) = duplex(64);
        let mut stream = Patient::new(server, Arc::default());
        assert_eq!(waits(&mut stream).await.as_secs(), HEAD.as_secs());
        let (mut slow, server) = duplex(64);
        let mut stream = Patient::new(server, Arc::default());
        slow.write_all(b"GE").await.unwrap();
        stream.read_exact(&mut [0; 2]).await.unwrap();
        assert_eq!(waits(&mut stream).await.as_secs(), HEAD.as_secs());
        client.write_all(b"x").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_who_was_answered_may_rest_for_minutes_and_then_owes_again() {
        let (mut client, server) = duplex(64);
        let activity = Arc::default();
        let mut stream = Patient::new(server, Arc::clone(&activity));
        client.write_all(b"GET").await.unwrap();
        stream.read_exact(&mut [0; 3]).await.unwrap();
        drop(activity.start());
        assert_eq!(waits(&mut stream).await.as_secs(), IDLE.as_secs());
        client.write_all(b"G").await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
        assert_eq!(waits(&mut stream).await.as_secs(), HEAD.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_preface_is_no_reason_to_wait() {
        let (mut client, server) = duplex(64);
        let mut stream = Patient::new(server, Arc::default());
        client.write_all(b"PRI * HT").await.unwrap();
        stream.read_exact(&mut [0; 8]).await.unwrap();
        assert_eq!(waits(&mut stream).await.as_secs(), HEAD.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_and_http_2_are_not_hurried() {
        for (bytes, answered) in [(b"GET /", false), (b"PRI *", true)] {
            let (mut client, server) = duplex(64);
            let activity = Arc::default();
            let mut stream = Patient::new(server, Arc::clone(&activity));
            client.write_all(bytes).await.unwrap();
            stream.read_exact(&mut [0; 5]).await.unwrap();
            let request = activity.start();
            let _request = if answered { None } else { Some(request) };
            let hour = Duration::from_secs(3600);
            assert!(tokio::time::timeout(hour, stream.read_exact(&mut [0])).await.is_err(), "still waiting");
        }
    }
}
