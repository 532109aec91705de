//! TLS of a listener: 1.3, and 1.2 with AEAD suites only (RFC 9325); ALPN h2 and http/1.1; no session tickets, no early
//! data. Client certificates are asked for, not demanded: a client without one, or with one nobody needs, gets in, and
//! the login method that wants one looks at it.

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
        verify_tls13_signature_with_raw_key,
    },
    pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, UnixTime, pem::PemObject},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::{path::PathBuf, sync::Arc};

/// Where a listener's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSource {
    /// PEM files; read again on reload.
    Files {
        /// Certificate and its intermediates, leaf first.
        certificate: PathBuf,
        /// Private key.
        key: PathBuf,
    },
    /// PEM text, for certificates made at start (development).
    Pem {
        /// Certificate and its intermediates, leaf first.
        certificate: String,
        /// Private key.
        key: chancery_engine::SecretString,
    },
}

/// Why a listener's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds no PEM of that kind.
    #[error("cannot read TLS {what} {path}: {detail}")]
    Unreadable {
        /// `certificate` or `key`
        what: &'static str,
        /// The file, or a word for text that is in memory.
        path: String,
        /// What the reader said.
        detail: String,
    },
    /// Certificate and key do not fit, or the key's kind is unknown.
    #[error("TLS certificate and key cannot be used: {0}")]
    Unusable(String),
}

/// A listener's TLS configuration, replaceable while it serves.
pub(crate) struct Tls {
    source: TlsSource,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    pub(crate) fn load(source: TlsSource) -> Result<Self, TlsError> {
        let config = ArcSwap::from_pointee(server_config(&source)?);
        Ok(Self { source, config })
    }

    /// The configuration for the next connection.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Reads the files again; on failure the old certificate stays in service.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        self.config.store(Arc::new(server_config(&self.source)?));
        Ok(())
    }
}

fn server_config(source: &TlsSource) -> Result<ServerConfig, TlsError> {
    let (certificates, key) = match source {
        TlsSource::Files { certificate, key } => {
            let unreadable = |what, path: &PathBuf| {
                let path = path.display().to_string();
                move |detail: rustls::pki_types::pem::Error| TlsError::Unreadable {
                    what,
                    path,
                    detail: detail.to_string(),
                }
            };
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(unreadable("certificate", certificate))?;
            (chain, PrivateKeyDer::from_pem_file(key).map_err(unreadable("key", key))?)
        }
        TlsSource::Pem { certificate, key } => {
            let unreadable = |what| {
                move |detail: rustls::pki_types::pem::Error| TlsError::Unreadable {
                    what,
                    path: "in memory".to_owned(),
                    detail: detail.to_string(),
                }
            };
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(unreadable("certificate"))?;
            (chain, PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(unreadable("key"))?)
        }
    };
    let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyClientCertificate { algorithms: provider.signature_verification_algorithms });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

/// Lets every client certificate in, having checked that the client holds its key. Who may log in with it is the
/// login method's business.
#[derive(Debug)]
struct AnyClientCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyClientCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match verify_tls13_signature(message, certificate, signature, &self.algorithms) {
            // webpki does not read X.509 version 1, which clients' test suites present; the key in it is good enough to
            // check that the client holds it.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) => {
                let key = public_key(certificate)?;
                verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
            }
            outcome => outcome,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn public_key<'c>(certificate: &'c CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'c>, rustls::Error> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
    Ok(SubjectPublicKeyInfoDer::from(parsed.tbs_certificate.subject_pki.raw))
}

/// The provider for whoever needs one by hand; nothing global is installed.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
