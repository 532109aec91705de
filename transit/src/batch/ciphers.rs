//! Encrypting, decrypting and rewrapping: one text or a batch, in this process or in the token. The three endpoints
//! differ in what an item may hold and in what its result shows; the rest is here, once.
//!
//! A batch is worked off while it is read: some items are parsed, their results written behind those before, and the
//! items forgotten. So it takes the memory of its request and its answer and little more. A mistake found at the end of
//! the list throws the results away; nothing else has happened by then.

use super::{BatchItem, DecryptItem, EncryptItem, Items, RewrapItem, close_results, label, open_results, place};
use super::{write_error, write_key_version, write_reference};
use crate::{
    cipher::{CipherItem, Workbench},
    encoding,
    error::{Failures, TransitError},
    in_token::{decrypt_in_hsm, encrypt_in_hsm},
    key::Key,
    large::{self, Crew},
    transit::Transit,
};
use chancery_engine::{Fault, Response, secret::wipe};
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What is done to each text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Encrypt,
    Decrypt,
    Rewrap,
}

/// What an endpoint was asked for, whatever its request is called.
pub(crate) struct Asked<'r> {
    pub(crate) operation: Operation,
    pub(crate) single: CipherItem<'r>,
    pub(crate) batch: Option<&'r RawValue>,
    /// `partial_failure_response_code`
    pub(crate) chosen: Option<i64>,
    /// Of the whole body.
    pub(crate) bytes: usize,
}

/// Whether the items of a batch carry contexts; all must or none.
#[derive(Default)]
struct Contexts {
    with: bool,
    without: bool,
}

/// Does what is asked with `key`.
pub(crate) async fn answer(engine: &Transit, key: &Key, asked: &Asked<'_>) -> Result<Response, Fault> {
    if key.lives_in_hsm() {
        return match asked.batch {
            None => Ok(Response::json(single(one_in_hsm(engine, key, asked.operation, &asked.single, 0).await?))),
            Some(raw) => match asked.operation {
                Operation::Encrypt => batch_in_hsm::<EncryptItem<'_>>(engine, key, asked, raw).await,
                Operation::Decrypt => batch_in_hsm::<DecryptItem<'_>>(engine, key, asked, raw).await,
                Operation::Rewrap => batch_in_hsm::<RewrapItem<'_>>(engine, key, asked, raw).await,
            },
        };
    }
    let limit = if key.record.key_type.is_rsa() { large::LARGE_RSA_BODY_BYTES } else { large::LARGE_BODY_BYTES };
    if asked.bytes < limit {
        return engine.supplied(key, || async { in_process(key, asked, 1) }).await;
    }
    engine.supplied(key, || large::run(|threads| in_process(key, asked, threads))).await
}

fn in_process(key: &Key, asked: &Asked<'_>, threads: usize) -> Result<Response, Fault> {
    let Some(raw) = asked.batch else {
        let mut out = Vec::with_capacity(asked.single.payload().len() + RESULT_BYTES);
        out.push(b'{');
        one_in_process(&mut Workbench::default(), (key, asked.operation), (0, &asked.single), &mut out)?;
        out.push(b'}');
        return Ok(Response::json(out));
    };
    match asked.operation {
        Operation::Encrypt => batch_in_process::<EncryptItem<'_>>(key, asked, raw, threads),
        Operation::Decrypt => batch_in_process::<DecryptItem<'_>>(key, asked, raw, threads),
        Operation::Rewrap => batch_in_process::<RewrapItem<'_>>(key, asked, raw, threads),
    }
}

/// What a result takes beside the text that came in: names of its members, envelope, nonce, tag and key version.
const RESULT_BYTES: usize = 96;

fn batch_in_process<'r, T>(key: &Key, asked: &Asked<'_>, raw: &'r RawValue, threads: usize) -> Result<Response, Fault>
where
    T: BatchItem<'r> + AsRef<CipherItem<'r>> + Sync,
{
    let items = memchr::memchr_iter(b'{', raw.get().as_bytes()).count();
    // All the room at once: a vector that grows leaves copies of plaintexts behind.
    let mut out = Vec::with_capacity(raw.get().len() + RESULT_BYTES * items);
    let mut crew = Crew::of(threads);
    match write_results::<T>(key, asked.operation, raw, &mut crew, &mut out) {
        Ok(()) => Ok(asked.labelled(out, crew.failures())),
        Err(error) => {
            wipe(&mut out);
            Err(error.into())
        }
    }
}

fn write_results<'r, T>(
    key: &Key,
    operation: Operation,
    raw: &'r RawValue,
    crew: &mut Crew,
    out: &mut Vec<u8>,
) -> Result<(), TransitError>
where
    T: BatchItem<'r> + AsRef<CipherItem<'r>> + Sync,
{
    let mut rest = Items::<T>::of(raw)?;
    let (mut items, mut contexts, mut first) = (Vec::new(), Contexts::default(), 0);
    open_results(out);
    loop {
        rest.read(crew.items_at_once(), &mut items)?;
        if items.is_empty() {
            break;
        }
        items.iter().for_each(|item| contexts.note(item.as_ref()));
        crew.write_each(first, &items, out, |bench, index, item, out, failures| {
            let (start, item) = (out.len(), item.as_ref());
            out.push(b'{');
            let outcome = one_in_process(bench, (key, operation), (index, item), out);
            failures.note(&outcome);
            end_result(operation, outcome, start, &item.reference, out);
        })?;
        crew.failures().complete()?;
        first += items.len();
    }
    rest.finish()?;
    contexts.check()?;
    close_results(out);
    Ok(())
}

/// Writes the members that show what came of one text, the `index`th: `"ciphertext":"…","key_version":N` or
/// `"plaintext":"…"`.
fn one_in_process(
    bench: &mut Workbench,
    (key, operation): (&Key, Operation),
    (index, item): (usize, &CipherItem<'_>),
    out: &mut Vec<u8>,
) -> Result<(), TransitError> {
    check_associated_data(operation, key, item, index)?;
    out.extend_from_slice(operation.member());
    let version = match operation {
        Operation::Encrypt => Some(bench.encrypt(key, item, out)?),
        Operation::Rewrap => Some(bench.rewrap(key, item, out)?),
        Operation::Decrypt => {
            bench.decrypt(key, item, out)?;
            None
        }
    };
    out.push(b'"');
    if let Some(version) = version {
        write_key_version(version, out);
    }
    Ok(())
}

/// Ends the result that begins at `start` and holds what its text came to.
fn end_result(
    operation: Operation,
    outcome: Result<(), TransitError>,
    start: usize,
    reference: &str,
    out: &mut Vec<u8>,
) {
    match outcome {
        Ok(()) => out.push(b','),
        Err(error) => {
            out.truncate(start);
            // The reference shows an empty plaintext beside the error, but no empty ciphertext.
            out.extend_from_slice(if operation == Operation::Decrypt { br#"{"plaintext":"","# } else { b"{" });
            write_error(&error, out);
        }
    }
    write_reference(reference, out);
}

async fn batch_in_hsm<'r, T>(
    engine: &Transit,
    key: &Key,
    asked: &Asked<'_>,
    raw: &'r RawValue,
) -> Result<Response, Fault>
where
    T: BatchItem<'r> + AsRef<CipherItem<'r>> + Into<CipherItem<'r>> + Send,
{
    // Read to the end first: the token does no work for a batch that is refused.
    check_shape::<T>(raw)?;
    let (mut rest, mut index) = (Items::<T>::of(raw)?, 0);
    let (mut out, mut failures) = (Vec::with_capacity(raw.get().len() * 2), Failures::default());
    let mut under_way = FuturesOrdered::new();
    open_results(&mut out);
    loop {
        // The next one goes out as soon as the first of them is back, so that no session of the token rests.
        while under_way.len() < large::HSM_REQUESTS_AT_ONCE
            && let Some(item) = rest.next()?
        {
            under_way.push_back(item_in_hsm(engine, key, asked.operation, item.into(), index));
            index += 1;
        }
        let Some((outcome, reference)) = under_way.next().await else { break };
        failures.note(&outcome);
        let start = out.len();
        out.push(b'{');
        let outcome = outcome.map(|mut members| {
            out.extend_from_slice(&members);
            wipe(&mut members);
        });
        end_result(asked.operation, outcome, start, &reference, &mut out);
    }
    close_results(&mut out);
    Ok(asked.labelled(out, failures))
}

fn check_shape<'r, T: BatchItem<'r> + AsRef<CipherItem<'r>>>(raw: &'r RawValue) -> Result<(), TransitError> {
    let (mut items, mut contexts) = (Items::<T>::of(raw)?, Contexts::default());
    while let Some(item) = items.next()? {
        contexts.note(item.as_ref());
    }
    items.finish()?;
    contexts.check()
}

async fn item_in_hsm<'r>(
    engine: &Transit,
    key: &Key,
    operation: Operation,
    item: CipherItem<'r>,
    index: usize,
) -> (Result<Vec<u8>, TransitError>, Cow<'r, str>) {
    (one_in_hsm(engine, key, operation, &item, index).await, item.reference)
}

/// Like [`one_in_process`], through the token.
async fn one_in_hsm(
    engine: &Transit,
    key: &Key,
    operation: Operation,
    item: &CipherItem<'_>,
    index: usize,
) -> Result<Vec<u8>, TransitError> {
    check_associated_data(operation, key, item, index)?;
    let mut out = operation.member().to_vec();
    let (version, ciphertext) = match operation {
        Operation::Decrypt => {
            let plaintext = engine.supplied(key, || async { decrypt_in_hsm(engine, key, item).await }).await?;
            out.reserve_exact(plaintext.len() / 3 * 4 + 5);
            encoding::encode_onto(&plaintext, &mut out)?;
            out.push(b'"');
            return Ok(out);
        }
        Operation::Encrypt => {
            let plaintext = encoding::decode(item.payload())?;
            engine.supplied(key, || async { encrypt_in_hsm(engine, key, item, &plaintext).await }).await?
        }
        Operation::Rewrap => {
            let plaintext = engine.supplied(key, || async { decrypt_in_hsm(engine, key, item).await }).await?;
            let item = &item.for_new_ciphertext();
            engine.supplied(key, || async { encrypt_in_hsm(engine, key, item, &plaintext).await }).await?
        }
    };
    out.extend_from_slice(ciphertext.as_bytes());
    out.push(b'"');
    write_key_version(version, &mut out);
    Ok(out)
}

/// `rewrap` takes no associated data and says nothing about it.
fn check_associated_data(
    operation: Operation,
    key: &Key,
    item: &CipherItem<'_>,
    index: usize,
) -> Result<(), TransitError> {
    if item.associated_data.is_empty() || operation == Operation::Rewrap {
        return Ok(());
    }
    key.allows_associated_data(item, &place(index))
}

/// The answer to one text.
fn single(mut members: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(members.len() + 2);
    out.push(b'{');
    out.extend_from_slice(&members);
    out.push(b'}');
    wipe(&mut members);
    out
}

impl Operation {
    /// Opens the member that shows the result.
    fn member(self) -> &'static [u8] {
        match self {
            Self::Encrypt | Self::Rewrap => br#""ciphertext":""#,
            Self::Decrypt => br#""plaintext":""#,
        }
    }
}

impl Asked<'_> {
    /// A rewrapped batch is always a 200; what went wrong stands in the items.
    fn labelled(&self, results: Vec<u8>, failures: Failures) -> Response {
        let response = Response::json(results);
        if self.operation == Operation::Rewrap { response } else { label(response, failures, self.chosen) }
    }
}

impl Contexts {
    fn note(&mut self, item: &CipherItem<'_>) {
        if item.context.is_empty() { self.without = true } else { self.with = true }
    }

    fn check(&self) -> Result<(), TransitError> {
        if self.with && self.without {
            return Err(TransitError::caller("context should be set either in all the request blocks or in none"));
        }
        Ok(())
    }
}
