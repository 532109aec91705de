//! One place where audit lines go. Lines are formatted by the requests, gathered, and written in groups: whoever
//! comes first schedules one flush, everybody waits for the flush that carries their line.
//!
//! A line is handed to the kernel (`write`) before its request goes on. With `sync` the group is also forced to the
//! disk (`fdatasync`), so that entries survive a power cut and not only a crash of the process.

use super::chain::{ChainHead, Link};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Handle, sync::oneshot};

/// A request waits no longer than this for its line to be written.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines that may wait for a slow sink, in bytes; one line is always accepted.
const QUEUE_BYTES: usize = 64 << 20;
/// Larger groups are hashed and written where they hold nobody up.
const INLINE_BYTES: usize = 1 << 20;
/// Lines are gathered into writes of up to this size.
const PIECE_BYTES: usize = 64 << 10;

/// Why a sink did not record a line.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The queue in front of it is full.
    #[error("audit sink's queue is full")]
    Full,
    /// It did not finish in time.
    #[error("audit sink is blocked")]
    Blocked,
    /// The system call failed.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call that failed.
        call: &'static str,
        /// The file.
        path: String,
        /// What it said.
        source: io::Error,
    },
    /// The write of this line's group failed; the log has the cause.
    #[error("audit sink failed to write")]
    Failed,
}

/// Where the bytes go.
pub(crate) enum Target {
    /// A file, pipe or device, opened for appending.
    File { file: File, path: PathBuf, mode: u32, regular: bool },
    /// Standard output.
    Stdout,
    /// Anything that writes; for tests.
    #[cfg(test)]
    Other(Box<dyn Write + Send>),
}

/// A target with its chain and the queue in front.
pub(crate) struct Sink {
    state: parking_lot::Mutex<Written>,
    queue: parking_lot::Mutex<Queue>,
    inline: bool,
    sync: bool,
    prefix: String,
    patience: Duration,
}

struct Written {
    target: Target,
    head: ChainHead,
}

/// A line, and who wants to hear that it was written.
type Waiting = (Vec<u8>, oneshot::Sender<bool>);

#[derive(Default)]
struct Queue {
    lines: Vec<Waiting>,
    bytes: usize,
    scheduled: bool,
}

impl Target {
    /// Opens `path` for appending, creating it with `mode`.
    pub(crate) fn file(path: &Path, mode: u32) -> Result<Self, SinkError> {
        let failed = |call| move |source| SinkError::Io { call, path: path.display().to_string(), source };
        let special = path.metadata().is_ok_and(|found| !found.file_type().is_file());
        let mut options = OpenOptions::new();
        if special {
            // Opening a pipe nobody reads from would wait for ever; this way it fails. Writing waits again.
            options.append(true).custom_flags(libc_nonblock());
        } else {
            options.append(true).read(true).create(true).mode(mode);
        }
        let file = options.open(path).map_err(failed("open"))?;
        if special {
            rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::APPEND)
                .map_err(|error| failed("fcntl")(error.into()))?;
        }
        let kind = file.metadata().map_err(failed("fstat"))?.file_type();
        let regular = !(kind.is_fifo() || kind.is_char_device() || kind.is_socket());
        Ok(Self::File { file, path: path.to_owned(), mode, regular })
    }

    /// The last whole line's place in the chain. A torn line at the end, which nobody was answered for, is cut off.
    pub(crate) fn tail(&mut self) -> Result<Option<ChainHead>, SinkError> {
        let Self::File { file, path, regular: true, .. } = self else { return Ok(None) };
        read_tail(file).map_err(|source| SinkError::Io { call: "read", path: path.display().to_string(), source })
    }

    fn reopen(&mut self) -> Result<(), SinkError> {
        if let Self::File { path, mode, .. } = self {
            *self = Self::file(path, *mode)?;
        }
        Ok(())
    }

    fn write(&mut self, pieces: &[Vec<u8>], sync: bool) -> io::Result<()> {
        match self {
            Self::File { file, regular, .. } => {
                let mut taken = 0;
                let written = write_counting(file, pieces, &mut taken)
                    .and_then(|()| if sync { file.sync_data() } else { Ok(()) });
                if written.is_err() && *regular {
                    // What was not acknowledged must not stay as half a line in front of the next one.
                    let length = file.metadata()?.len();
                    file.set_len(length.saturating_sub(taken))?;
                }
                written
            }
            Self::Stdout => {
                let mut out = io::stdout().lock();
                pieces.iter().try_for_each(|piece| out.write_all(piece))?;
                out.flush()
            }
            #[cfg(test)]
            Self::Other(writer) => pieces.iter().try_for_each(|piece| writer.write_all(piece)),
        }
    }
}

/// Like `write_all` of each piece; `taken` says how much the file took, also where it took no more.
fn write_counting(file: &mut File, pieces: &[Vec<u8>], taken: &mut u64) -> io::Result<()> {
    for piece in pieces {
        let mut rest = piece.as_slice();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    *taken += u64::try_from(bytes).unwrap_or(0);
                    rest = rest.get(bytes..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// `O_NONBLOCK` as the standard library wants it.
fn libc_nonblock() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0)
}

impl Sink {
    pub(crate) fn new(target: Target, head: ChainHead, prefix: String, sync: bool) -> Arc<Self> {
        let inline = !sync && matches!(target, Target::File { regular: true, .. });
        Arc::new(Self {
            state: parking_lot::Mutex::new(Written { target, head }),
            queue: parking_lot::Mutex::default(),
            inline,
            sync,
            prefix,
            patience: PATIENCE,
        })
    }

    /// Where the chain stands.
    pub(crate) fn head(&self) -> ChainHead {
        self.state.lock().head.clone()
    }

    /// Writes one line (a JSON object without its closing brace) and returns when it is written.
    pub(crate) async fn append(self: &Arc<Self>, line: Vec<u8>) -> Result<(), SinkError> {
        let (done, written) = oneshot::channel();
        let first = {
            let mut queue = self.queue.lock();
            if queue.bytes > 0 && queue.bytes + line.len() > QUEUE_BYTES {
                return Err(SinkError::Full);
            }
            queue.bytes += line.len();
            queue.lines.push((line, done));
            !std::mem::replace(&mut queue.scheduled, true)
        };
        if first {
            let flush = Flush(self);
            if self.inline {
                // Lets the requests that are ready now join the group.
                tokio::task::yield_now().await;
            }
            drop(flush);
        }
        let told = if self.inline {
            // Written by the thread that would have to run the timer.
            Ok(written.await)
        } else {
            tokio::time::timeout(self.patience, written).await
        };
        match told {
            Ok(Ok(true)) => Ok(()),
            Ok(_) => Err(SinkError::Failed),
            Err(_) => Err(SinkError::Blocked),
        }
    }

    /// Opens the file anew, for log rotation; the chain goes on in the new file.
    pub(crate) async fn reopen(self: &Arc<Self>) -> Result<(), SinkError> {
        let sink = Arc::clone(self);
        tokio::task::spawn_blocking(move || sink.state.lock().target.reopen()).await.map_err(|_| SinkError::Failed)?
    }

    /// Writes what waits, in groups, until nothing does; `false` if it left a group of more than `most` bytes.
    fn flush_here(&self, most: usize) -> bool {
        loop {
            match self.next_group(most) {
                Next::Lines(lines) => self.write_group(lines),
                Next::Nothing => return true,
                Next::TooMuch => return false,
            }
        }
    }

    async fn flush_elsewhere(self: Arc<Self>) {
        if !self.inline {
            // Lets the requests that are ready now join the group.
            tokio::task::yield_now().await;
        }
        while let Next::Lines(lines) = self.next_group(usize::MAX) {
            let sink = Arc::clone(&self);
            // The senders inside tell the waiting requests, also when the closure is dropped unrun.
            drop(tokio::task::spawn_blocking(move || sink.write_group(lines)).await);
        }
    }

    /// The lines that wait. Where there are none, the next one to come finds nobody flushing.
    fn next_group(&self, most: usize) -> Next {
        let mut queue = self.queue.lock();
        if queue.bytes > most {
            return Next::TooMuch;
        }
        if queue.lines.is_empty() {
            queue.scheduled = false;
            return Next::Nothing;
        }
        queue.bytes = 0;
        Next::Lines(std::mem::take(&mut queue.lines))
    }

    fn write_group(&self, waiting: Vec<Waiting>) {
        let mut state = self.state.lock();
        let mut head = state.head.clone();
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        let mut callers = Vec::with_capacity(waiting.len());
        for (mut line, done) in waiting {
            callers.push(done);
            if !self.prefix.is_empty() {
                line.splice(..0, self.prefix.bytes());
            }
            head.seal(&mut line);
            match pieces.last_mut() {
                // Small lines go out in one write; a large one is not copied for it.
                Some(piece) if piece.len() + line.len() <= PIECE_BYTES => piece.extend_from_slice(&line),
                _ => pieces.push(line),
            }
        }
        let written = state.target.write(&pieces, self.sync);
        match &written {
            Ok(()) => state.head = head,
            Err(error) => tracing::error!(%error, lines = callers.len(), "audit sink failed to write"),
        }
        drop(state);
        for done in callers {
            // A caller who gave up does not wait for this any more.
            let _gone = done.send(written.is_ok());
        }
    }
}

/// What a flush finds in the queue.
enum Next {
    Lines(Vec<Waiting>),
    Nothing,
    TooMuch,
}

/// The turn of whoever found nobody flushing. It is taken on drop, so that a caller who goes away takes nobody's line
/// along.
struct Flush<'s>(&'s Arc<Sink>);

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        let sink = self.0;
        if sink.inline && sink.flush_here(INLINE_BYTES) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(Arc::clone(sink).flush_elsewhere());
        } else {
            // The runtime is gone, and with it whoever could be held up.
            sink.flush_here(usize::MAX);
        }
    }
}

/// Longest stretch at the end of a line that the chain members can fill.
const LINK_BYTES: u64 = 512;

fn read_tail(file: &mut File) -> io::Result<Option<ChainHead>> {
    let mut length = file.metadata()?.len();
    while length > 0 && !ends_in_newline(file, length)? {
        length = cut_torn_line(file, length)?;
    }
    let take = length.min(LINK_BYTES);
    file.seek(SeekFrom::Start(length - take))?;
    let mut end = Vec::new();
    file.take(take).read_to_end(&mut end)?;
    let line = end.strip_suffix(b"\n").unwrap_or(&end);
    Ok(Link::of(line).map(|link| link.head()))
}

fn ends_in_newline(file: &mut File, length: u64) -> io::Result<bool> {
    let mut last = [0_u8];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Cuts back to the newline before `length`; returns the new length.
fn cut_torn_line(file: &mut File, length: u64) -> io::Result<u64> {
    const STEP: u64 = 64 << 10;
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        let mut piece = Vec::new();
        file.take(end - start).read_to_end(&mut piece)?;
        if let Some(newline) = piece.iter().rposition(|byte| *byte == b'\n') {
            end = start + u64::try_from(newline).unwrap_or(0) + 1;
            break;
        }
        end = start;
    }
    tracing::warn!(bytes = length - end, "cut a torn line off the audit file");
    file.set_len(end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> Vec<u8> {
        format!("{{\"n\":{number}").into_bytes()
    }

    #[tokio::test]
    async fn lines_of_many_callers_form_one_chain() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let sink = Sink::new(Target::file(&path, 0o600).unwrap(), ChainHead::default(), String::new(), false);
        let callers = (0..50).map(|number| {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move { sink.append(line(number)).await })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap().unwrap();
        }
        let text = std::fs::read(&path).unwrap();
        let mut expected = ChainHead::default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let link = Link::of(line).unwrap();
            assert!(link.is_intact());
            assert_eq!(link.prev_hash, expected.hash);
            expected = link.head();
        }
        assert_eq!(expected.seq, 50);
        assert_eq!(sink.head(), expected);
    }

    #[tokio::test]
    async fn the_chain_goes_on_after_a_restart_with_a_torn_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let sink = Sink::new(Target::file(&path, 0o600).unwrap(), ChainHead::default(), String::new(), false);
        sink.append(line(1)).await.unwrap();
        let head = sink.head();
        drop(sink);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"time\":\"20").unwrap();
        let mut target = Target::file(&path, 0o600).unwrap();
        assert_eq!(target.tail().unwrap(), Some(head));
        assert!(std::fs::read(&path).unwrap().ends_with(b"}\n"));
    }

    #[tokio::test]
    async fn a_blocked_sink_does_not_block_its_callers() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // Comes back when the test ends and drops the sender.
                let _ended = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (hold, stuck) = std::sync::mpsc::channel();
        let target = Target::Other(Box::new(Stuck(stuck)));
        let sink = Sink::new(target, ChainHead::default(), String::new(), false);
        let sink = Arc::new(Sink { patience: Duration::from_millis(20), ..Arc::into_inner(sink).unwrap() });
        assert!(matches!(sink.append(line(1)).await, Err(SinkError::Blocked)));
        let large = vec![b'x'; QUEUE_BYTES];
        assert!(matches!(sink.append(large).await, Err(SinkError::Blocked)), "waits in the queue");
        assert!(matches!(sink.append(line(3)).await, Err(SinkError::Full)), "the queue is bounded");
        drop(hold);
    }

    #[tokio::test]
    async fn a_pipe_nobody_reads_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(matches!(Target::file(&path, 0o600), Err(SinkError::Io { call: "open", .. })));
        let reader = OpenOptions::new().read(true).custom_flags(libc_nonblock()).open(&path).unwrap();
        let sink = Sink::new(Target::file(&path, 0o600).unwrap(), ChainHead::default(), String::new(), false);
        sink.append(line(1)).await.unwrap();
        let mut text = String::new();
        drop(sink);
        let _nothing_more = { reader }.read_to_string(&mut text);
        assert!(text.contains("\"seq\":1"), "{text}");
    }

    #[tokio::test]
    async fn a_failed_write_is_reported_and_leaves_the_chain_where_it_was() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink::new(Target::Other(Box::new(Broken)), ChainHead::default(), String::new(), false);
        assert!(matches!(sink.append(line(1)).await, Err(SinkError::Failed)));
        assert_eq!(sink.head(), ChainHead::default());
    }
}
