//! `tools/random`, `tools/hash`.

use super::System;
use chancery_engine::{
    Call, Fault, Response, Route, Verb,
    wire::{Count, Text},
};
use chancery_hsm::HashAlgorithm;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Most random bytes one call hands out.
const MOST_BYTES: i64 = 128 * 1024;

#[derive(Deserialize, Default)]
#[serde(default)]
struct RandomRequest {
    bytes: Option<Count>,
    format: Option<Text>,
    source: Option<Text>,
}

#[derive(Serialize)]
struct RandomResponse {
    random_bytes: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HashRequest {
    input: Text,
    algorithm: Option<Text>,
    format: Option<Text>,
}

#[derive(Serialize)]
struct HashResponse {
    sum: String,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("tools/random", "Random bytes.").on(Verb::Write, random),
        Route::at("tools/random/{first}", "Random bytes: so many, or from one source.").on(Verb::Write, random),
        Route::at("tools/random/{source}/{bytes}", "So many random bytes from one source.").on(Verb::Write, random),
        Route::at("tools/hash", "Hash of the input.").on(Verb::Write, hash),
        Route::at("tools/hash/{algorithm}", "Hash of the input by one algorithm.").on(Verb::Write, hash),
    ]
}

async fn random(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: RandomRequest = call.parse()?;
    let named = |name: &str| Some(call.captures.text(name)).filter(|text| !text.is_empty());
    // One segment is a number of bytes or a source.
    let (first_bytes, first_source) = match named("first") {
        Some(text) => match text.parse::<i64>() {
            Ok(bytes) => (Some(bytes), None),
            Err(_) => (None, Some(text)),
        },
        None => (None, None),
    };
    let bytes = match named("bytes") {
        Some(text) => text.parse().map_err(|_| Fault::Caller(format!("error parsing url-set byte count: {text:?}")))?,
        None => first_bytes.or(request.bytes.map(|Count(bytes)| bytes)).unwrap_or(32),
    };
    if bytes < 1 {
        return Err(Fault::caller("'bytes' cannot be less than 1"));
    }
    if bytes > MOST_BYTES {
        return Err(Fault::Caller(format!("'bytes' should be less than {MOST_BYTES}")));
    }
    let count = usize::try_from(bytes).map_err(|_| Fault::caller("'bytes' is out of range"))?;
    let format = Format::parse(request.format.as_ref(), true)?;
    let source = named("source").or(first_source).or(request.source.as_ref().map(|text| text.0.as_str()));
    let (random, warning) = system.random(source.unwrap_or("platform"), count).await?;
    let response = Response::data(&RandomResponse { random_bytes: format.encode(&random) })?;
    Ok(match warning {
        Some(warning) => response.warn(warning),
        None => response,
    })
}

impl System {
    async fn random(&self, source: &str, count: usize) -> Result<(Zeroizing<Vec<u8>>, Option<&'static str>), Fault> {
        let token = match (source, &self.core.hsm) {
            ("platform", _) => return Ok((platform_random(count)?, None)),
            ("seal" | "all", Some(hsm)) => hsm,
            ("seal", None) => {
                let warning = "no seal/entropy augmentation available, using platform entropy source";
                return Ok((platform_random(count)?, Some(warning)));
            }
            ("all", None) => return Ok((platform_random(count)?, None)),
            _ => {
                return Err(Fault::Caller(format!(
                    "unsupported entropy source {source:?}; must be \"platform\" or \"seal\", or \"all\""
                )));
            }
        };
        // The token's bytes come mixed with the operating system's.
        Ok((token.random(count).await.map_err(crate::fault::from_hsm)?, None))
    }
}

async fn hash(_system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: HashRequest = call.parse()?;
    let in_path = Some(call.captures.text("algorithm")).filter(|name| !name.is_empty());
    let name = in_path.or(request.algorithm.as_ref().map(|name| name.0.as_str())).unwrap_or("sha2-256");
    let input = BASE64.decode(request.input.0.as_bytes()).map_err(|error| {
        Fault::Caller(format!("unable to decode input as base64: illegal base64 data at input byte {}", error.position))
    })?;
    let format = Format::parse(request.format.as_ref(), false)?;
    let algorithm = match name {
        "sha2-224" => HashAlgorithm::Sha224,
        "sha2-256" => HashAlgorithm::Sha256,
        "sha2-384" => HashAlgorithm::Sha384,
        "sha2-512" => HashAlgorithm::Sha512,
        "sha3-224" => HashAlgorithm::Sha3_224,
        "sha3-256" => HashAlgorithm::Sha3_256,
        "sha3-384" => HashAlgorithm::Sha3_384,
        "sha3-512" => HashAlgorithm::Sha3_512,
        _ => return Err(Fault::Caller(format!("unsupported algorithm {name}"))),
    };
    Response::data(&HashResponse { sum: format.encode(&algorithm.digest(&input)) })
}

#[derive(Clone, Copy)]
enum Format {
    Hex,
    Base64,
}

impl Format {
    /// `random` answers base64 where nothing is said and quotes a wrong word; `hash` answers hex and does not.
    fn parse(text: Option<&Text>, of_random: bool) -> Result<Self, Fault> {
        match text.map(|text| text.0.as_str()) {
            Some("hex") => Ok(Self::Hex),
            Some("base64") => Ok(Self::Base64),
            None | Some("") => Ok(if of_random { Self::Base64 } else { Self::Hex }),
            Some(other) => {
                let shown = if of_random { format!("{other:?}") } else { other.to_owned() };
                Err(Fault::Caller(format!("unsupported encoding format {shown}; must be \"hex\" or \"base64\"")))
            }
        }
    }

    fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => HEXLOWER.encode(bytes),
            Self::Base64 => BASE64.encode(bytes),
        }
    }
}

pub(super) fn platform_random(count: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    getrandom::fill(&mut bytes).map_err(|error| Fault::Dependency(format!("getrandom: {error}")))?;
    Ok(bytes)
}
