//! Orders to the shim, one line per connection to its Unix socket, each answered by one line.
//!
//! | order | effect | answer |
//! |---|---|---|
//! | `fail C_Sign 0x30 2 [skip]` | after `skip` calls (default 0) the next 2 calls return 0x30 | `ok` |
//! | `damage C_Decrypt 1` | the next successful answer has its first byte flipped | `ok` |
//! | `alias 1` | the next `C_SignInit` uses the last other key it was given | `ok` |
//! | `iv append` | AES-GCM chooses its own vector: `write`, `append`, `prepend`; `app` to end it | `ok` |
//! | `flags 0x20000` | `C_GetTokenInfo` adds these flags | `ok` |
//! | `delay 1000` | each call takes 1000 µs longer | `ok` |
//! | `count C_Login` | | calls so far, failed ones included; also `empty-aad` |
//! | `reset` | forgets all orders; counts stay | `ok` |

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cryptoki_sys::{CK_FLAGS, CK_OBJECT_HANDLE, CK_RV};

#[derive(Default)]
struct Orders {
    failures: Vec<Failure>,
    damages: HashMap<String, u64>,
    counts: HashMap<&'static str, u64>,
    aliases: u64,
    keys: [CK_OBJECT_HANDLE; 2],
    token_flags: CK_FLAGS,
    layout: Layout,
}

/// Who chooses the vector of AES-GCM, and where it is put.
#[derive(Clone, Copy, Default)]
pub(crate) enum Layout {
    #[default]
    App,
    Write,
    Append,
    Prepend,
}

struct Failure {
    function: String,
    code: CK_RV,
    skip: u64,
    times: u64,
}

static ORDERS: Mutex<Option<Orders>> = Mutex::new(None);
static DELAY: AtomicU64 = AtomicU64::new(0);

fn orders() -> MutexGuard<'static, Option<Orders>> {
    ORDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the environment and listens, if there is a place to.
pub(crate) fn start() {
    let delay = std::env::var("CHANCERY_SHIM_DELAY").ok().and_then(|text| text.parse().ok());
    DELAY.store(delay.unwrap_or(0), Ordering::Relaxed);
    let Some(path) = std::env::var_os("CHANCERY_SHIM_CONTROL") else { return };
    let Ok(listener) = UnixListener::bind(path) else { return };
    *orders() = Some(Orders::default());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A caller that hangs up early gets no answer.
            let _ = serve(&stream);
        }
    });
}

fn serve(mut stream: &UnixStream) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer = obey(line.trim()).unwrap_or_else(|| "not understood".into());
    writeln!(stream, "{answer}")
}

fn obey(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let verb = words.next()?;
    if verb == "delay" {
        DELAY.store(words.next()?.parse().ok()?, Ordering::Relaxed);
        return Some("ok".into());
    }
    let mut guard = orders();
    let orders = guard.as_mut()?;
    match verb {
        "fail" => {
            let (function, code) = (words.next()?.to_owned(), number(words.next()?)?);
            let times = words.next()?.parse().ok()?;
            let skip = words.next().map_or(Some(0), |word| word.parse().ok())?;
            orders.failures.push(Failure { function, code, skip, times });
        }
        "damage" => {
            let function = words.next()?.to_owned();
            orders.damages.insert(function, words.next()?.parse().ok()?);
        }
        "alias" => orders.aliases = words.next()?.parse().ok()?,
        "iv" => {
            orders.layout = match words.next()? {
                "app" => Layout::App,
                "write" => Layout::Write,
                "append" => Layout::Append,
                "prepend" => Layout::Prepend,
                _ => return None,
            };
        }
        "flags" => orders.token_flags = number(words.next()?)?,
        "count" => return Some(orders.counts.get(words.next()?).copied().unwrap_or_default().to_string()),
        "reset" => *orders = Orders { counts: std::mem::take(&mut orders.counts), ..Orders::default() },
        _ => return None,
    }
    Some("ok".into())
}

fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// Called before each function: waits, counts, and says whether the call must fail.
pub(crate) fn before(function: &'static str) -> Option<CK_RV> {
    let delay = DELAY.load(Ordering::Relaxed);
    if delay > 0 {
        std::thread::sleep(Duration::from_micros(delay));
    }
    let mut guard = orders();
    let orders = guard.as_mut()?;
    *orders.counts.entry(function).or_default() += 1;
    let failure = orders.failures.iter_mut().find(|failure| failure.function == function && failure.times > 0)?;
    if failure.skip > 0 {
        failure.skip -= 1;
        return None;
    }
    failure.times -= 1;
    Some(failure.code)
}

/// Whether this answer must be altered.
pub(crate) fn damages(function: &str) -> bool {
    let mut guard = orders();
    let left = guard.as_mut().and_then(|orders| orders.damages.get_mut(function));
    left.is_some_and(|left| {
        let damages = *left > 0;
        *left = left.saturating_sub(1);
        damages
    })
}

/// The key to sign with: the given one, or on order the last other one.
pub(crate) fn alias(key: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
    let mut guard = orders();
    let Some(orders) = guard.as_mut() else { return key };
    let [last, before] = orders.keys;
    if key != last {
        orders.keys = [key, last];
    }
    if orders.aliases == 0 {
        return key;
    }
    orders.aliases -= 1;
    if key == last { before } else { last }
}

/// Flags to add to the token's own.
pub(crate) fn token_flags() -> CK_FLAGS {
    orders().as_ref().map_or(0, |orders| orders.token_flags)
}

/// The ordered layout of AES-GCM.
pub(crate) fn layout() -> Layout {
    orders().as_ref().map_or(Layout::App, |orders| orders.layout)
}

/// Counts something that is no call.
pub(crate) fn note(what: &'static str) {
    if let Some(orders) = orders().as_mut() {
        *orders.counts.entry(what).or_default() += 1;
    }
}
