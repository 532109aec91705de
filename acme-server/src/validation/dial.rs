//! Connecting to who is to show control: the name is resolved, each address is looked at, and the connection goes to
//! the address that was looked at. Nothing resolves the name a second time, so a DNS answer that changes in between
//! (DNS rebinding) changes nothing.

use super::{Failure, Settings, failure::Deadline, networks::refusal, resolver::Perspective};
use der::{Decode, Encode, asn1::AnyRef};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime},
};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_cert::{Certificate, spki::SubjectPublicKeyInfoRef};

/// Addresses that are tried, of those a name has.
const MOST_ADDRESSES: usize = 4;

/// Whom to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A name, to be resolved.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// An open connection.
pub(super) struct Dialled {
    pub(super) stream: TcpStream,
    /// Where it goes: the address that was checked.
    pub(super) address: SocketAddr,
}

/// Connects to the first address that is allowed and answers: IPv6 before IPv4, as RFC 8555 §8.3 would have clients
/// prepare for.
pub(super) async fn dial(
    settings: &Settings,
    perspective: &Perspective,
    host: &Host,
    port: u16,
    deadline: Deadline,
) -> Result<Dialled, Failure> {
    let addresses = match host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => {
            let resolving = perspective.addresses(name);
            deadline
                .bound(Failure::dns, || format!("the addresses of {name} from {}", perspective.name()), resolving)
                .await?
        }
    };
    let mut allowed = Vec::new();
    let mut refused = None;
    for address in addresses {
        match refusal(address, &settings.allowed_networks) {
            Some(reason) if !settings.allow_private => refused = refused.or(Some((address, reason))),
            _ => allowed.push(address.to_canonical()),
        }
    }
    let mut last = None;
    let tried: Vec<_> = interleave(allowed).into_iter().take(MOST_ADDRESSES).collect();
    for (at, address) in tried.iter().enumerate() {
        let address = SocketAddr::new(*address, port);
        let connecting = async {
            let connected = TcpStream::connect(address).await;
            connected.map_err(|error| Failure::connection(format!("cannot connect to {address}: {error}")))
        };
        let share = deadline.share(tried.len() - at);
        match share.bound(Failure::connection, || format!("a connection to {address}"), connecting).await {
            Ok(stream) => return Ok(Dialled { stream, address }),
            Err(failure) => last = Some(failure),
        }
    }
    Err(match (last, refused) {
        (Some(failure), _) => failure.with(&told(host)),
        (None, Some((address, reason))) => Failure::forbidden(format!(
            "{address} is {reason}; validation connects to such addresses only where the operator allows the network{}",
            told(host)
        )),
        (None, None) => Failure::dns(format!("{host} has no address")),
    })
}

/// The name behind an address, where there is one.
fn told(host: &Host) -> String {
    match host {
        Host::Name(name) => format!(" ({name})"),
        Host::Address(_) => String::new(),
    }
}

/// IPv6 first, then IPv4, by turns: many addresses of one family must not crowd out the other.
fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut turns = Vec::new();
    loop {
        let (one, other) = (six.next(), four.next());
        if one.is_none() && other.is_none() {
            return turns;
        }
        turns.extend(one.into_iter().chain(other));
    }
}

/// Speaks TLS over a connection without asking who vouches for the certificate: validation wants to know what stands
/// there, and gets it from the caller's own checks. That the server holds the certificate's key is verified.
pub(super) async fn handshake(
    dialled: Dialled,
    sni: Option<ServerName<'static>>,
    protocols: &[&[u8]],
    deadline: Deadline,
) -> Result<TlsStream<TcpStream>, Failure> {
    let address = dialled.address;
    let config = client_config(protocols, sni.is_some())
        .map_err(|error| Failure::tls(format!("TLS could not be set up: {error}")))?;
    // Without a name an address stands here, which is never sent (RFC 6066 §3).
    let name = sni.unwrap_or_else(|| ServerName::IpAddress(address.ip().into()));
    let shaking = async {
        TlsConnector::from(Arc::new(config)).connect(name, dialled.stream).await.map_err(|error| {
            let detail = format!("the TLS handshake with {address} failed: {error}");
            // An alert is an answer; a connection that broke may not break again.
            let answered = error.get_ref().is_some_and(|inner| inner.is::<TlsError>());
            let failure = Failure::tls(detail);
            if answered { failure } else { failure.may_pass() }
        })
    };
    deadline.bound(Failure::connection, || format!("the TLS handshake with {address}"), shaking).await
}

fn client_config(protocols: &[&[u8]], enable_sni: bool) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Whoever { algorithms: provider.signature_verification_algorithms });
    // RFC 8737 §3 wants TLS 1.2 or higher.
    let mut config = ClientConfig::builder_with_provider(provider as Arc<CryptoProvider>)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.enable_sni = enable_sni;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Takes any certificate, and wants the handshake signed with its key.
#[derive(Debug)]
struct Whoever {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if end_entity.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let key = public_key(certificate)?;
        let spki = SubjectPublicKeyInfoRef::from_der(&key).map_err(|_| bad_encoding())?;
        let algorithm = spki.algorithm.to_der().map_err(|_| bad_encoding())?;
        let algorithm = AnyRef::from_der(&algorithm).map_err(|_| bad_encoding())?;
        let bits = spki.subject_public_key.as_bytes().ok_or_else(bad_encoding)?;
        // A scheme of TLS 1.2 names a hash and goes with any curve.
        let of_scheme = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signature.scheme);
        let possible = of_scheme.map(|(_, possible)| *possible).unwrap_or_default();
        let holds = |candidate: &&dyn SignatureVerificationAlgorithm| {
            candidate.public_key_alg_id().as_ref() == algorithm.value()
                && candidate.verify_signature(bits, message, signature.signature()).is_ok()
        };
        if possible.iter().any(holds) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let key = SubjectPublicKeyInfoDer::from(public_key(certificate)?);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The key alone: webpki reads no certificate with a critical extension it does not know, and acmeIdentifier is one.
fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, TlsError> {
    let certificate = Certificate::from_der(certificate).map_err(|_| bad_encoding())?;
    certificate.tbs_certificate().subject_public_key_info().to_der().map_err(|_| bad_encoding())
}

fn bad_encoding() -> TlsError {
    CertificateError::BadEncoding.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "::1", "::2"].map(|text| text.parse().unwrap());
        let turns: Vec<_> = interleave(addresses.to_vec()).iter().map(IpAddr::to_string).collect();
        assert_eq!(turns, ["::1", "10.0.0.1", "::2", "10.0.0.2", "10.0.0.3"]);
    }
}
