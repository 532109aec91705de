//! Accept loops: one per address, plain or TLS, with bounds on time and size, and a drain at the end.

use super::{
    body::BodyLimits,
    door::Door,
    patience::{Activity, Patient},
    standing::StandingAnswers,
    tls::{Tls, TlsError, TlsSource},
};
use crate::core::Core;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// A TLS handshake may take this long.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Request headers may be this large; how long they may take is in `patience`.
const HEADER_BYTES: u32 = 16 << 10;
/// Requests at once on one HTTP/2 connection, and streams a client may reset before we hang up (CVE-2023-44487).
const STREAMS: u32 = 100;
const PENDING_RESETS: usize = 20;
/// Connections at once, per listener.
const CONNECTIONS: usize = 10_000;
/// Bytes of large bodies held at once, per listener; more are asked to try again.
const LARGE_BODY_BYTES: usize = 512 << 20;
/// Requests under way get this long to finish when the appliance stops.
const DRAIN: Duration = Duration::from_secs(10);

/// One address to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where to listen; port 0 picks a free one.
    pub address: String,
    /// `None` serves plain HTTP.
    pub tls: Option<TlsSource>,
    /// Bounds on bodies.
    pub limits: BodyLimits,
    /// Serve `/metrics` without a token.
    pub open_metrics: bool,
}

/// Why an address cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Not an address, or not ours.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// An address that is bound but not served yet: what can fail has not failed.
pub(crate) struct Bound {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    config: ListenerConfig,
}

/// An address being served.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    tls: Option<Arc<Tls>>,
    accepting: JoinHandle<()>,
    connections: Arc<Semaphore>,
}

impl Bound {
    pub(crate) async fn bind(config: ListenerConfig) -> Result<Self, ListenError> {
        let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let failed = |source| ListenError::Bind { address: config.address.clone(), source };
        let socket = TcpListener::bind(&config.address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, tls, config })
    }

    /// Starts to accept, until `stop` turns true.
    pub(crate) fn serve(self, core: Arc<Core>, stop: watch::Receiver<bool>) -> Serving {
        let door = Arc::new(Door {
            core,
            limits: self.config.limits,
            open_metrics: self.config.open_metrics,
            large_bodies: Arc::new(Semaphore::new(LARGE_BODY_BYTES)),
            standing: StandingAnswers::default(),
        });
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let tls = self.tls.clone();
        let accepting = tokio::spawn(accept(self.socket, self.tls, door, Arc::clone(&connections), stop));
        Serving { address: self.address, tls, accepting, connections }
    }
}

impl Serving {
    /// Reads the certificate again.
    pub(crate) fn reload(&self) {
        if let Some(tls) = &self.tls
            && let Err(error) = tls.reload()
        {
            tracing::error!(address = %self.address, %error, "the old TLS certificate stays in service");
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Waits until the connections are through, for as long as [`DRAIN`] allows.
    pub(crate) async fn drained(self) {
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        if tokio::time::timeout(DRAIN, self.connections.acquire_many(all)).await.is_err() {
            tracing::warn!(address = %self.address, "requests were still under way after the drain time");
        }
        self.accepting.abort();
    }
}

async fn accept(
    socket: TcpListener,
    tls: Option<Arc<Tls>>,
    door: Arc<Door>,
    connections: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let Ok(slot) = Arc::clone(&connections).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        match accepted {
            Ok((stream, client)) => {
                let (tls, door, stop) = (tls.clone(), Arc::clone(&door), stop.clone());
                door.core.metrics.connection_accepted();
                tokio::spawn(async move {
                    connection(stream, client, tls, door, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: the ones in use must be freed first.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Returns when the appliance is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    drop(stop.wait_for(|stop| *stop).await);
}

async fn connection(
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<Arc<Tls>>,
    door: Arc<Door>,
    stop: watch::Receiver<bool>,
) {
    // Answers are small and written at once; waiting for more to send only costs time.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let Some(tls) = tls else {
        return serve(stream, client, door, stop).await;
    };
    let handshake = TlsAcceptor::from(tls.current()).accept(stream);
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => serve(stream, client, door, stop).await,
        Ok(Err(error)) => {
            door.core.metrics.handshake_failed();
            tracing::debug!(%client, %error, "TLS handshake failed");
        }
        Err(_) => door.core.metrics.handshake_failed(),
    }
}

async fn serve<S>(stream: S, client: SocketAddr, door: Arc<Door>, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(usize::try_from(HEADER_BYTES).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .keep_alive_interval(Duration::from_secs(60));
    let activity: Arc<Activity> = Arc::default();
    let stream = Patient::new(stream, Arc::clone(&activity));
    let service = service_fn(move |request| {
        let (door, under_way) = (Arc::clone(&door), activity.start());
        async move {
            let answer = door.answer(client, request).await;
            drop(under_way);
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%client, %error, "connection ended badly");
    }
}
