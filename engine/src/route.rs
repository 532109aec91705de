//! Route tables: the index of an engine's endpoints, stated once for routing, authorisation tests and documentation.
//!
//! A pattern is segments joined by `/`: a literal, `:name` (a Vault name: word characters, inner `-` and `.`),
//! `{any}` (one segment of any text) or, last, `*rest` (one or more segments).

use crate::{call::Call, fault::Fault, operation::Verb, response::Response};
use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc};

/// What a handler returns once boxed.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<Response, Fault>> + Send>>;
type Handler<E> = Box<dyn Fn(Arc<E>, Call) -> HandlerFuture + Send + Sync>;
type ExistsFuture = Pin<Box<dyn Future<Output = Result<bool, Fault>> + Send>>;
type ExistenceCheck<E> = Box<dyn Fn(Arc<E>, Captures) -> ExistsFuture + Send + Sync>;

/// Who may reach a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever a policy lets.
    Policy,
    /// Whoever a policy lets, and with `sudo`.
    Sudo,
    /// Everybody, without a token.
    Public,
}

/// One endpoint.
pub struct Route<E> {
    pattern: &'static str,
    summary: &'static str,
    access: Access,
    is_published: bool,
    exists: Option<ExistenceCheck<E>>,
    handlers: Vec<(Verb, Handler<E>)>,
}

/// What a route's placeholders matched, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures(Vec<(&'static str, String)>);

/// All endpoints of one engine.
pub struct RouteTable<E> {
    routes: Vec<Route<E>>,
    by_first_literal: HashMap<&'static str, Vec<usize>>,
    by_placeholder: Vec<usize>,
}

/// A request's path found in a table.
#[derive(Debug, Clone)]
pub struct RouteMatch {
    /// Position in the table.
    pub index: usize,
    /// The route's pattern, such as `encrypt/:name`.
    pub pattern: &'static str,
    /// What the placeholders matched.
    pub captures: Captures,
    /// Who may reach it.
    pub access: Access,
    /// Whether what it answers is published: signed, for everybody, the same for all.
    pub is_published: bool,
    /// Whether create and update are told apart here.
    pub has_existence_check: bool,
}

/// Why a table has no handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteMiss {
    /// No pattern matches: `unsupported path`.
    Path,
    /// A pattern matches, its route does not know the verb: `unsupported operation`.
    Operation,
}

/// A route as tests and documentation see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteDescription {
    /// The pattern.
    pub pattern: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Who may reach it.
    pub access: Access,
    /// Verbs it knows.
    pub verbs: Vec<Verb>,
}

impl<E: Send + Sync + 'static> Route<E> {
    /// A route at `pattern`.
    #[must_use]
    pub fn at(pattern: &'static str, summary: &'static str) -> Self {
        Self { pattern, summary, access: Access::Policy, is_published: false, exists: None, handlers: Vec::new() }
    }

    /// Answers `verb` with `handler`.
    #[must_use]
    pub fn on<F, Fut>(mut self, verb: Verb, handler: F) -> Self
    where
        F: Fn(Arc<E>, Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Fault>> + Send + 'static,
    {
        self.handlers.push((verb, Box::new(move |engine, call| Box::pin(handler(engine, call)))));
        self
    }

    /// Tells create from update by asking `check` whether the thing is there.
    #[must_use]
    pub fn exists<F, Fut>(mut self, check: F) -> Self
    where
        F: Fn(Arc<E>, Captures) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, Fault>> + Send + 'static,
    {
        self.exists = Some(Box::new(move |engine, captures| Box::pin(check(engine, captures))));
        self
    }

    /// Opens the route to callers without a token.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.access = Access::Public;
        self
    }

    /// Opens the route to callers without a token, and says that what it answers is published (CRLs, OCSP answers): it
    /// is fetched by machines in masses, tells each the same, and changes nothing, so that an audit log of who fetched it
    /// would bury what is of interest.
    #[must_use]
    pub fn published(mut self) -> Self {
        self.is_published = true;
        self.public()
    }

    /// Demands `sudo` besides.
    #[must_use]
    pub fn sudo(mut self) -> Self {
        self.access = Access::Sudo;
        self
    }

    fn verbs(&self) -> Vec<Verb> {
        self.handlers.iter().map(|(verb, _)| *verb).collect()
    }
}

impl<E: Send + Sync + 'static> RouteTable<E> {
    /// Builds the table. The first route in order wins where two patterns match, so literals go before placeholders.
    #[must_use]
    pub fn new(routes: Vec<Route<E>>) -> Self {
        let mut by_first_literal: HashMap<&'static str, Vec<usize>> = HashMap::new();
        let mut by_placeholder = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let first = route.pattern.split('/').next().unwrap_or("");
            if first.starts_with([':', '*', '{']) {
                by_placeholder.push(index);
            } else {
                by_first_literal.entry(first).or_default().push(index);
            }
        }
        Self { routes, by_first_literal, by_placeholder }
    }

    /// Finds the route of `path` (relative to the mount) that knows `verb`.
    ///
    /// # Errors
    /// [`RouteMiss`] says whether the path or only the verb is unknown.
    pub fn find(&self, verb: Verb, path: &str) -> Result<RouteMatch, RouteMiss> {
        let mut miss = RouteMiss::Path;
        let first = path.split('/').next().unwrap_or("");
        let literal = self.by_first_literal.get(first).map(Vec::as_slice).unwrap_or_default();
        for &index in literal.iter().chain(&self.by_placeholder) {
            let Some(route) = self.routes.get(index) else { continue };
            let Some(captures) = match_pattern(route.pattern, path) else { continue };
            if !route.handlers.iter().any(|(known, _)| *known == verb) {
                miss = RouteMiss::Operation;
                continue;
            }
            return Ok(RouteMatch {
                index,
                pattern: route.pattern,
                captures,
                access: route.access,
                is_published: route.is_published,
                has_existence_check: route.exists.is_some(),
            });
        }
        Err(miss)
    }

    /// Runs the existence check of the matched route; `true` where it has none.
    ///
    /// # Errors
    /// Whatever the check met.
    pub async fn exists(&self, engine: Arc<E>, matched: &RouteMatch) -> Result<bool, Fault> {
        match self.routes.get(matched.index).and_then(|route| route.exists.as_ref()) {
            Some(check) => check(engine, matched.captures.clone()).await,
            None => Ok(true),
        }
    }

    /// Runs the handler of the route at `index` for `verb`.
    ///
    /// # Errors
    /// Whatever the handler met; [`Fault::UnsupportedOperation`] where there is no such handler.
    pub async fn handle(&self, index: usize, verb: Verb, engine: Arc<E>, call: Call) -> Result<Response, Fault> {
        let handler = self
            .routes
            .get(index)
            .and_then(|route| route.handlers.iter().find(|(known, _)| *known == verb))
            .ok_or(Fault::UnsupportedOperation)?;
        (handler.1)(engine, call).await
    }

    /// The table as tests and documentation see it.
    #[must_use]
    pub fn describe(&self) -> Vec<RouteDescription> {
        self.routes
            .iter()
            .map(|route| RouteDescription {
                pattern: route.pattern,
                summary: route.summary,
                access: route.access,
                verbs: route.verbs(),
            })
            .collect()
    }
}

impl Captures {
    /// What placeholder `name` matched; empty where the pattern has no such placeholder.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text.as_str())
    }

    /// Names of the placeholders.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|(name, _)| *name)
    }

    /// Captures for a test or an inner call.
    #[must_use]
    pub fn of(pairs: &[(&'static str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, text)| (*name, (*text).to_owned())).collect())
    }
}

/// Whether `text` is a Vault name: word characters, inner `-` and `.`, first and last a word character.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            word(first) && word(last) && bytes.iter().all(|&byte| word(byte) || byte == b'-' || byte == b'.')
        }
        _ => false,
    }
}

fn match_pattern(pattern: &'static str, path: &str) -> Option<Captures> {
    let mut captures = Vec::new();
    let mut rest = Some(path);
    for part in pattern.split('/') {
        let text = rest?;
        if let Some(name) = part.strip_prefix('*') {
            if text.is_empty() {
                return None;
            }
            captures.push((name, text.to_owned()));
            return Some(Captures(captures));
        }
        let (segment, tail) = match text.split_once('/') {
            Some((segment, tail)) => (segment, Some(tail)),
            None => (text, None),
        };
        if let Some(name) = part.strip_prefix(':') {
            if !is_name(segment) {
                return None;
            }
            captures.push((name, segment.to_owned()));
        } else if let Some(name) = part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            if segment.is_empty() {
                return None;
            }
            captures.push((name, segment.to_owned()));
        } else if part != segment {
            return None;
        }
        rest = tail;
    }
    if rest.is_none() { Some(Captures(captures)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_capture_names_segments_and_rests() {
        let table: RouteTable<()> = RouteTable::new(vec![
            Route::at("keys", "").on(Verb::List, |_, _| async { Ok(Response::empty()) }),
            Route::at("keys/:name", "").on(Verb::Read, |_, _| async { Ok(Response::empty()) }),
            Route::at("hmac/:name/:algorithm", "").on(Verb::Write, |_, _| async { Ok(Response::empty()) }),
            Route::at("data/*path", "").on(Verb::Read, |_, _| async { Ok(Response::empty()) }),
        ]);
        assert_eq!(table.find(Verb::Read, "keys/a.b-c").unwrap().captures.text("name"), "a.b-c");
        assert_eq!(table.find(Verb::Read, "data/a/b").unwrap().captures.text("path"), "a/b");
        assert_eq!(table.find(Verb::Write, "keys/a").unwrap_err(), RouteMiss::Operation);
        assert_eq!(table.find(Verb::Read, "keys/-a").unwrap_err(), RouteMiss::Path);
        assert_eq!(table.find(Verb::Read, "keys/a/b").unwrap_err(), RouteMiss::Path);
        assert_eq!(table.find(Verb::Read, "data").unwrap_err(), RouteMiss::Path);
        assert_eq!(table.find(Verb::List, "keys").unwrap().pattern, "keys");
    }
}
