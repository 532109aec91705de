//! Asking the DNS, from one resolver's point of view.

use super::{
    Failure,
    caa::{self, Property},
};
use crate::identifier::DnsName;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Aliases (CNAME) that are followed from one name.
const MOST_ALIASES: usize = 8;
/// Records of one kind that are looked at.
const MOST_RECORDS: usize = 100;

/// One resolver, or the system's.
pub(super) struct Perspective {
    /// For reasons: `resolver 192.0.2.53:53`.
    name: String,
    resolver: TokioResolver,
}

impl fmt::Debug for Perspective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Perspective {
    /// One server.
    pub(super) fn of(server: SocketAddr, timeout: Duration) -> Result<Self, NetError> {
        let at_port = |mut connection: ConnectionConfig| {
            connection.port = server.port();
            connection
        };
        let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
        let server_config = NameServerConfig::new(server.ip(), true, connections);
        let config = ResolverConfig::from_name_servers(vec![server_config]);
        Self::build(format!("resolver {server}"), config, ResolverOpts::default(), timeout)
    }

    /// The servers that the system asks.
    pub(super) fn of_system(timeout: Duration) -> Result<Self, NetError> {
        match hickory_resolver::system_conf::read_system_conf() {
            Ok((config, options)) => Self::build("the system's resolver".to_owned(), config, options, timeout),
            Err(error) => {
                // As the C library does where nothing is configured.
                tracing::warn!(%error, "the system names no DNS resolver; validation asks 127.0.0.1:53");
                Self::of(SocketAddr::from(([127, 0, 0, 1], 53)), timeout)
            }
        }
    }

    fn build(
        name: String,
        config: ResolverConfig,
        mut options: ResolverOpts,
        timeout: Duration,
    ) -> Result<Self, NetError> {
        // What was true a minute ago is no proof, and who repairs a record wants it seen.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.edns0 = true;
        // Once more after a silence; both fit into the time for a look.
        options.attempts = 1;
        options.timeout = (timeout / 3).max(Duration::from_millis(100));
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Self { name, resolver: builder.build()? })
    }

    /// Addresses of a name: IPv6 first.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let fqdn = Self::name_of(name).map_err(Failure::malformed)?;
        let (six, four) = tokio::join!(self.ask(&fqdn, RecordType::AAAA), self.ask(&fqdn, RecordType::A));
        let failed = [&six, &four].into_iter().find_map(|answer| answer.as_ref().err().cloned());
        let mut found = Vec::new();
        for data in six.into_iter().chain(four).flatten() {
            match data {
                RData::AAAA(address) => found.push(IpAddr::V6(address.0)),
                RData::A(address) => found.push(IpAddr::V4(address.0)),
                _ => {}
            }
        }
        match (found.is_empty(), failed) {
            (false, _) => Ok(found),
            (true, Some(failure)) => Err(failure),
            (true, None) => Err(Failure::dns(format!("{name} has no address (A or AAAA record), says {}", self.name))),
        }
    }

    /// Texts of a name, each in one piece.
    pub(super) async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, Failure> {
        let answer = self.ask(&Self::name_of(name).map_err(Failure::malformed)?, RecordType::TXT).await?;
        let texts = answer.into_iter().filter_map(|data| match data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        });
        let texts: Vec<_> = texts.take(MOST_RECORDS).collect();
        if texts.is_empty() {
            return Err(Failure::dns(format!("{name} has no TXT record, says {}", self.name)));
        }
        Ok(texts)
    }

    /// CAA properties of a name; none is an answer too.
    pub(super) async fn caa(&self, name: &DnsName) -> Result<Vec<Property>, Failure> {
        let fqdn = Self::name_of(name.as_str()).map_err(Failure::malformed)?;
        let unknown =
            |failure: Failure| Failure { transient: failure.transient, ..caa::unknown(failure.problem.detail) };
        let answer = self.ask(&fqdn, RecordType::CAA).await.map_err(unknown)?;
        let properties: Vec<_> = answer
            .into_iter()
            .filter_map(|data| match data {
                RData::CAA(record) => Some(Property {
                    critical: record.issuer_critical,
                    tag: record.tag.clone(),
                    value: record.value.clone(),
                }),
                _ => None,
            })
            .collect();
        // Whoever has more than are looked at may have forbidden it with one of those.
        if properties.len() > MOST_RECORDS {
            return Err(Failure::caa(format!("{name} has more than {MOST_RECORDS} CAA records")));
        }
        Ok(properties)
    }

    fn name_of(name: &str) -> Result<Name, String> {
        // The final dot keeps the system's search list out.
        let parsed = Name::from_ascii(format!("{name}."));
        parsed.map_err(|error| format!("{name} cannot be asked for: {error}"))
    }

    /// Records of a kind at the end of the name's aliases; none where the name, or that kind of record, does not exist.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Vec<RData>, Failure> {
        match self.resolver.lookup(name.clone(), kind).await {
            Ok(lookup) => Ok(self.records(&lookup, kind)),
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
                self.refuse_endless_aliases(name, &nothing).await?;
                Ok(Vec::new())
            }
            Err(error) => Err(self.failed(name, kind, &error)),
        }
    }

    fn records(&self, lookup: &Lookup, kind: RecordType) -> Vec<RData> {
        let of_kind = lookup.answers().iter().filter(|record| record.record_type() == kind);
        of_kind.map(|record| record.data.clone()).collect()
    }

    /// "No records" also ends a chase through too many aliases. There it is no answer: what stands at the end, perhaps a
    /// CAA record, has not been seen.
    async fn refuse_endless_aliases(&self, name: &Name, nothing: &NoRecords) -> Result<(), Failure> {
        let is_plain = nothing.query.name() == name && nothing.soa.is_some();
        if is_plain || nothing.response_code == ResponseCode::NXDomain {
            return Ok(());
        }
        let mut at = name.clone();
        for _ in 0..MOST_ALIASES {
            let lookup = match self.resolver.lookup(at.clone(), RecordType::CNAME).await {
                Ok(lookup) => lookup,
                Err(NetError::Dns(DnsError::NoRecordsFound(_))) => return Ok(()),
                Err(error) => return Err(self.failed(&at, RecordType::CNAME, &error)),
            };
            let next = self.records(&lookup, RecordType::CNAME).into_iter().find_map(|data| match data {
                RData::CNAME(target) => Some(target.0),
                _ => None,
            });
            match next {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
        let detail = format!("{name} leads through more than {MOST_ALIASES} aliases (CNAME), or in a circle");
        Err(Failure { transient: false, ..Failure::dns(detail) })
    }

    fn failed(&self, name: &Name, kind: RecordType, error: &NetError) -> Failure {
        let reason = match error {
            NetError::Dns(DnsError::ResponseCode(code)) => format!("answers with {code}"),
            NetError::Timeout => "does not answer".to_owned(),
            NetError::Truncated => "sends a truncated answer".to_owned(),
            NetError::Proto(error) => format!("sends an answer that cannot be read: {error}"),
            other => format!("fails: {other}"),
        };
        Failure::dns(format!("{} {reason}, asked for {kind} records of {name}", self.name))
    }

    /// For reasons.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
