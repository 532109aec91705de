//! The one road to a server: every command that speaks HTTP goes through [`Remote::send`].
//!
//! [`connection`] decides where to and as whom, [`tls`] whom to trust, [`answer`] what came back and what it means.

pub(crate) mod answer;
pub(crate) mod connection;
mod tls;

pub(crate) use answer::Answer;
pub(crate) use connection::ConnectionFlags;

use crate::failure::{Failure, Result};
use connection::Connection;
use reqwest::{
    Method, Url,
    blocking::{Client, RequestBuilder},
    header::RETRY_AFTER,
};
use serde_json::{Map, Value};
use std::{fmt::Write as _, thread, time::Duration};

/// A server and the means to talk to it.
pub(crate) struct Remote {
    connection: Connection,
    client: Client,
    host: Option<String>,
}

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Read,
    List,
    Write,
    Post,
    Patch,
    Delete,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) verb: Verb,
    /// Below `/v1/`.
    pub(crate) path: &'a str,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<Value>,
    /// `If-None-Match`: the copy at hand. The answer is 304 where it is still the newest.
    pub(crate) known: Option<String>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(verb: Verb, path: &'a str) -> Self {
        Self { verb, path, query: Vec::new(), body: None, known: None }
    }

    pub(crate) fn body(mut self, body: impl Into<Value>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// A body of which every member that was not given is left out.
    pub(crate) fn members(self, members: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Self {
        let given: Map<String, Value> =
            members.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_owned(), value))).collect();
        self.body(given)
    }
}

impl Verb {
    fn method(self) -> Method {
        match self {
            Self::Read | Self::List => Method::GET,
            Self::Write => Method::PUT,
            Self::Post => Method::POST,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }

    fn doing(self) -> &'static str {
        match self {
            Self::Read => "reading",
            Self::List => "listing",
            Self::Write | Self::Post => "writing to",
            Self::Patch => "patching",
            Self::Delete => "deleting",
        }
    }
}

impl Remote {
    pub(crate) fn new(flags: &ConnectionFlags) -> Result<Self> {
        let connection = Connection::resolve(flags)?;
        let (client, host) = tls::client(&connection)?;
        Ok(Self { connection, client, host })
    }

    /// A server of our own on this machine: no environment, no token file, no retries.
    pub(crate) fn local(address: &str, token: Option<String>) -> Result<Self> {
        let connection = Connection::local(address)?;
        let (client, host) = tls::client(&connection)?;
        Ok(Self { connection, client, host }.with_token(token))
    }

    /// A server of our own whose certificate is not what is being asked about.
    pub(crate) fn examining(address: &str) -> Result<Self> {
        let mut connection = Connection::local(address)?;
        connection.skip_verify = true;
        connection.timeout = Duration::from_secs(3);
        let (client, host) = tls::client(&connection)?;
        Ok(Self { connection, client, host })
    }

    /// The token requests carry.
    pub(crate) fn token(&self) -> Option<&str> {
        self.connection.token.as_deref().map(String::as_str)
    }

    /// The same server as somebody else; a login uses it to leave an old token out.
    pub(crate) fn with_token(mut self, token: Option<String>) -> Self {
        self.connection.token = token.map(zeroize::Zeroizing::new);
        self
    }

    /// The server's address as it was given.
    pub(crate) fn address(&self) -> &str {
        self.connection.address.as_str()
    }

    /// The roots this connection trusts, for clients of their own kind.
    pub(crate) fn root_store(&self) -> Result<rustls::RootCertStore> {
        tls::root_store(&self.connection)
    }

    pub(crate) fn read(&self, path: &str) -> Result<Answer> {
        self.send(&Ask::new(Verb::Read, path))
    }

    pub(crate) fn list(&self, path: &str) -> Result<Answer> {
        self.send(&Ask::new(Verb::List, path))
    }

    pub(crate) fn write(&self, path: &str, body: impl Into<Value>) -> Result<Answer> {
        self.send(&Ask::new(Verb::Write, path).body(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Answer> {
        self.send(&Ask::new(Verb::Delete, path))
    }

    /// Sends a request; anything but success is a failure that explains itself.
    pub(crate) fn send(&self, ask: &Ask<'_>) -> Result<Answer> {
        self.attempt(ask)?.successful(ask, self.address())
    }

    /// Sends a request and hands back whatever came, after the retries a full queue deserves.
    pub(crate) fn attempt(&self, ask: &Ask<'_>) -> Result<Answer> {
        if self.connection.print_curl {
            return Err(Failure::instead(self.as_curl(ask)?));
        }
        let mut left = self.connection.max_retries;
        let mut pause = Duration::from_secs(1);
        loop {
            let outcome = self.request(ask)?.send();
            let last = left == 0;
            left = left.saturating_sub(1);
            match outcome {
                Ok(response) if !last && worth_retrying(ask.verb, response.status().as_u16()) => {
                    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                    let answer = Answer::receive(response, self.address())?;
                    if answer.is_sealed() {
                        return Ok(answer);
                    }
                    thread::sleep(asked.map_or(pause, Duration::from_secs).min(Duration::from_secs(30)));
                }
                Ok(response) => return Answer::receive(response, self.address()),
                Err(error) => return Err(self.unreachable(&error)),
            }
            pause = pause.saturating_mul(2);
        }
    }

    fn request(&self, ask: &Ask<'_>) -> Result<RequestBuilder> {
        let mut request = self.client.request(ask.verb.method(), self.url(ask)?);
        for (name, value) in self.headers(ask) {
            request = request.header(name, value);
        }
        if let Some(body) = &ask.body {
            request =
                request.body(serde_json::to_vec(body).map_err(|error| Failure::local("the body").because(error))?);
        }
        Ok(request)
    }

    fn headers(&self, ask: &Ask<'_>) -> Vec<(String, String)> {
        let connection = &self.connection;
        let mut headers = vec![("X-Vault-Request".to_owned(), "true".to_owned())];
        let optional = [
            ("Host", &self.host),
            ("X-Vault-Namespace", &connection.namespace),
            ("X-Vault-Wrap-TTL", &connection.wrap_ttl),
        ];
        headers.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))));
        headers.extend(self.token().map(|token| ("X-Vault-Token".to_owned(), token.to_owned())));
        if ask.body.is_some() {
            let kind = if ask.verb == Verb::Patch { "application/merge-patch+json" } else { "application/json" };
            headers.push(("Content-Type".to_owned(), kind.to_owned()));
        }
        headers.extend(ask.known.iter().map(|known| ("If-None-Match".to_owned(), known.clone())));
        headers.extend(connection.headers.iter().cloned());
        headers
    }

    fn url(&self, ask: &Ask<'_>) -> Result<Url> {
        let path = ask.path.trim_matches('/');
        let path = path.strip_prefix("v1/").unwrap_or(path);
        let mut url = tls::url(&self.connection, self.host.is_some())?;
        {
            let mut segments = url
                .path_segments_mut()
                .map_err(|()| Failure::local(format!("{} cannot be the address of a server", self.address())))?;
            segments.pop_if_empty().push("v1").extend(path.split('/'));
            if ask.path.ends_with('/') && ask.verb != Verb::List {
                segments.push("");
            }
        }
        let list = (ask.verb == Verb::List).then(|| ("list".to_owned(), "true".to_owned()));
        let query: Vec<_> = list.into_iter().chain(ask.query.iter().cloned()).collect();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// The request as a curl command. The token is named, not shown, so that the line can be shared.
    fn as_curl(&self, ask: &Ask<'_>) -> Result<String> {
        let mut line = format!("curl -X {}", ask.verb.method());
        for (name, value) in self.headers(ask) {
            let value = if name == "X-Vault-Token" { "$(chancery print token)".to_owned() } else { value };
            let _ = write!(line, " -H \"{name}: {value}\"");
        }
        if let Some(body) = &ask.body {
            let _ = write!(line, " -d '{}'", body.to_string().replace('\'', r"'\''"));
        }
        let _ = write!(line, " {}", self.url(ask)?);
        Ok(line)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut reasons = Vec::new();
        let mut source = std::error::Error::source(error);
        while let Some(reason) = source {
            reasons.push(reason.to_string());
            source = reason.source();
        }
        reasons.dedup();
        let deepest = reasons.pop().unwrap_or_else(|| error.to_string());
        let failure = Failure::remote(format!("no answer from {}", self.address())).because(&deepest);
        if deepest.contains("certificate") || deepest.contains("UnknownIssuer") {
            failure.fix("trust the server's CA: --ca-cert FILE or CHANCERY_CACERT")
        } else if deepest.contains("corrupt message") {
            failure.fix("the server may speak plain HTTP: write its address as http://…")
        } else if error.is_timeout() {
            failure.fix("is it overloaded? CHANCERY_CLIENT_TIMEOUT gives it longer")
        } else {
            failure.fix("is the server running there? Set the address with --address or CHANCERY_ADDR")
        }
    }
}

/// The server says so itself (412, 429, 503), or the request changes nothing and may simply be asked again.
fn worth_retrying(verb: Verb, status: u16) -> bool {
    let harmless = matches!(verb, Verb::Read | Verb::List);
    matches!(status, 412 | 429 | 503) || (harmless && status >= 500 && status != 501)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(address: &str) -> Remote {
        let flags = ConnectionFlags {
            address: Some(address.to_owned()),
            namespace: Some("team".to_owned()),
            ..ConnectionFlags::default()
        };
        Remote::new(&flags).unwrap().with_token(Some("s.secret".to_owned()))
    }

    #[test]
    fn paths_are_encoded_and_lists_say_so_in_the_query() {
        let remote = remote("http://127.0.0.1:8200/");
        let url = |verb, path| remote.url(&Ask::new(verb, path)).unwrap().to_string();
        assert_eq!(url(Verb::Read, "/v1/a/b c"), "http://127.0.0.1:8200/v1/a/b%20c");
        assert_eq!(url(Verb::List, "a/"), "http://127.0.0.1:8200/v1/a?list=true");
    }

    #[test]
    fn the_curl_line_does_not_show_the_token() {
        let line = remote("http://127.0.0.1:8200").as_curl(&Ask::new(Verb::Write, "a").body("it's")).unwrap();
        assert!(!line.contains("s.secret") && line.contains("X-Vault-Namespace: team"), "{line}");
    }

    #[test]
    fn writes_are_repeated_only_when_the_server_asks_for_it() {
        assert!(worth_retrying(Verb::Write, 503) && worth_retrying(Verb::Read, 500));
        assert!(!worth_retrying(Verb::Write, 500) && !worth_retrying(Verb::Read, 501));
    }
}
