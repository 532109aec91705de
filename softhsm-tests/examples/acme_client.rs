//! instant-acme against a development server, for `./x interop acme`: an account, an order over the wanted challenge, the
//! order that replaces it, the revocation, and then what instant-acme's own tests do with accounts.
//!
//! usage: acme_client CHALLENGE NAME..., the rest in the environment

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, ExternalAccountKey, Identifier, Key,
    NewAccount, NewOrder, OrderStatus, RetryPolicy, RevocationReason, RevocationRequest,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, Der, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    collections::HashMap,
    env,
    error::Error,
    net::IpAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

type Outcome<T> = Result<T, Box<dyn Error>>;
/// Token or server name, and what is answered.
type Answers = Arc<Mutex<HashMap<String, String>>>;

fn var(name: &str) -> Outcome<String> {
    env::var(name).map_err(|_| format!("${name} is not set").into())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let kind = arguments.next().ok_or("no challenge")?;
    let names: Vec<String> = arguments.collect();
    let way = Way::new(&kind).await?;
    let account = account().await?;
    let identifiers: Vec<Identifier> = names.iter().map(|name| identifier(name)).collect();

    let first = issue(&account, &way, &names, &NewOrder::new(&identifiers)).await?;
    let old = CertificateDer::from_pem_slice(first.as_bytes())?;
    read_renewal_info(&certificate_identifier(&old)?).await?;
    let renewal = NewOrder::new(&identifiers).replaces(certificate_identifier(&old)?);
    let second = issue(&account, &way, &names, &renewal).await?;
    // RFC 9773 §5: a certificate is replaced once.
    let again = account.new_order(&NewOrder::new(&identifiers).replaces(certificate_identifier(&old)?)).await;
    assert_problem(again.map(drop), "alreadyReplaced")?;

    std::fs::write(var("OUT")?, &second)?;
    let certificate = CertificateDer::from_pem_slice(second.as_bytes())?;
    let request = RevocationRequest { certificate: &certificate, reason: Some(RevocationReason::Superseded) };
    account.revoke(&request).await?;
    assert_problem(account.revoke(&request).await, "alreadyRevoked")?;
    if env::var("EAB_KID").is_err() {
        account_life(account).await?;
    }
    Ok(())
}

fn identifier(name: &str) -> Identifier {
    name.parse::<IpAddr>().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

fn builder() -> Outcome<instant_acme::AccountBuilder> {
    Ok(Account::builder_with_root(var("AUTHORITY")?)?)
}

const ANYBODY: NewAccount<'static> =
    NewAccount { contact: &["mailto:admin@a.test"], terms_of_service_agreed: true, only_return_existing: false };

async fn account() -> Outcome<Account> {
    let binding = match (env::var("EAB_KID"), env::var("EAB_KEY")) {
        (Ok(id), Ok(key)) => Some(ExternalAccountKey::new(id, &URL_SAFE_NO_PAD.decode(key)?)),
        _ => None,
    };
    if binding.is_some() {
        let unbound = builder()?.create(&ANYBODY, var("DIRECTORY")?, None).await;
        assert_problem(unbound.map(drop), "externalAccountRequired")?;
    }
    Ok(builder()?.create(&ANYBODY, var("DIRECTORY")?, binding.as_ref()).await?.0)
}

fn assert_problem(outcome: Result<(), instant_acme::Error>, kind: &str) -> Outcome<()> {
    match outcome {
        Err(instant_acme::Error::Api(problem))
            if problem.r#type.as_deref().is_some_and(|found| found.ends_with(kind)) =>
        {
            Ok(())
        }
        other => Err(format!("expected {kind}, got {other:?}").into()),
    }
}

/// The key identifier of the authority and the serial number, as they stand in the certificate (RFC 9773 §4.1).
fn certificate_identifier(der: &CertificateDer<'_>) -> Outcome<CertificateIdentifier<'static>> {
    let (_, certificate) = X509Certificate::from_der(der)?;
    let authority = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(found) => found.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    });
    let authority = authority.ok_or("no authority key identifier")?;
    Ok(CertificateIdentifier::new(Der::from_slice(authority), Der::from_slice(certificate.raw_serial())).into_owned())
}

/// RFC 9773 §4.2: a window that has a length.
async fn read_renewal_info(id: &CertificateIdentifier<'_>) -> Outcome<()> {
    let authority = reqwest::Certificate::from_pem(&std::fs::read(var("AUTHORITY")?)?)?;
    let client = reqwest::Client::builder().no_proxy().add_root_certificate(authority).build()?;
    let read = async |url: String| -> Outcome<serde_json::Value> {
        let answer = client.get(url).send().await?.error_for_status()?;
        Ok(serde_json::from_str(&answer.text().await?)?)
    };
    let directory = read(var("DIRECTORY")?).await?;
    let place = directory.get("renewalInfo").and_then(serde_json::Value::as_str).ok_or("no renewalInfo")?;
    let info = read(format!("{place}/{}.{}", id.authority_key_identifier, id.serial)).await?;
    let moment = |name: &str| -> Outcome<jiff::Timestamp> {
        let text = info.pointer(&format!("/suggestedWindow/{name}")).and_then(serde_json::Value::as_str);
        Ok(text.ok_or("no window")?.parse()?)
    };
    if moment("start")? < moment("end")? { Ok(()) } else { Err(format!("no window: {info}").into()) }
}

async fn issue(account: &Account, way: &Way, names: &[String], wanted: &NewOrder<'_>) -> Outcome<String> {
    let mut order = account.new_order(wanted).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(way.kind.clone()).ok_or("the challenge is not offered")?;
        let proof = challenge.key_authorization();
        let identifier = match challenge.identifier().identifier {
            Identifier::Dns(name) => name.clone(),
            Identifier::Ip(address) => address.to_string(),
            other => return Err(format!("an identifier nobody asked for: {other:?}").into()),
        };
        match way.kind {
            ChallengeType::Dns01 => tell_dns(&identifier, &proof.dns_value()).await?,
            ChallengeType::Http01 => way.answer(challenge.token.clone(), proof.as_str()),
            _ => way.certify(&identifier, proof.digest().as_ref())?,
        }
        challenge.set_ready().await?;
    }
    let policy = RetryPolicy::default();
    let status = order.poll_ready(&policy).await?;
    if status != OrderStatus::Ready {
        return Err(format!("the order is {status:?}: {:?}", order.state().error).into());
    }
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(names)?;
    // rcgen would put a common name of its own there.
    parameters.distinguished_name = DistinguishedName::new();
    let request = parameters.serialize_request(&key)?;
    order.finalize_csr(request.der()).await?;
    Ok(order.poll_certificate(&policy).await?)
}

/// What instant-acme's own tests do: contacts, a new key, the same key again, an authorization and an account given up.
async fn account_life(mut account: Account) -> Outcome<()> {
    account.update_contacts(&[]).await?;
    account.update_contacts(&["mailto:alice@a.test"]).await?;
    let refused = [Identifier::Dns("under_score.test".to_owned())];
    assert_problem(account.new_order(&NewOrder::new(&refused)).await.map(drop), "rejectedIdentifier")?;
    let identifiers = [Identifier::Dns("given-up.test".to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let mut authorizations = order.authorizations();
    let mut authorization = authorizations.next().await.ok_or("no authorization")??;
    assert_eq!(authorization.deactivate().await?.status, AuthorizationStatus::Deactivated);
    let before = account.clone();
    let credentials = account.update_key().await?;
    assert_problem(before.update_contacts(&[]).await, "")?;
    let account = builder()?.from_credentials(credentials).await?;
    account.update_contacts(&["mailto:bob@a.test"]).await?;

    let (key, der) = Key::generate_pkcs8()?;
    let again = Key::from_pkcs8_der(der.clone_key())?;
    let (made, _) = builder()?.create_from_key((key, der.clone_key().into()), var("DIRECTORY")?).await?;
    let (found, _) = builder()?.from_key((again, der.into()), var("DIRECTORY")?).await?;
    assert_eq!(made.id(), found.id(), "a key has one account");
    let (nobody, der) = Key::generate_pkcs8()?;
    let missing = builder()?.from_key((nobody, der.into()), var("DIRECTORY")?).await;
    assert_problem(missing.map(drop), "accountDoesNotExist")?;
    made.deactivate().await?;
    assert_problem(found.update_contacts(&[]).await, "unauthorized")
}

async fn tell_dns(name: &str, text: &str) -> Outcome<()> {
    let body = serde_json::json!({"name": format!("_acme-challenge.{name}"), "text": text});
    let url = format!("http://127.0.0.1:{}/add", var("ORDERS_PORT")?);
    reqwest::Client::builder().no_proxy().build()?.post(url).body(body.to_string()).send().await?.error_for_status()?;
    Ok(())
}

/// How control is shown.
struct Way {
    kind: ChallengeType,
    answers: Answers,
    certificates: Arc<Mutex<HashMap<String, Arc<CertifiedKey>>>>,
}

impl Way {
    async fn new(kind: &str) -> Outcome<Self> {
        let (answers, certificates) = (Answers::default(), Arc::default());
        let listen = |port: String| async move {
            Ok::<_, Box<dyn Error>>(TcpListener::bind(("127.0.0.1", port.parse::<u16>()?)).await?)
        };
        let kind = match kind {
            "http-01" => {
                tokio::spawn(serve_web(listen(var("HTTP_PORT")?).await?, Arc::clone(&answers)));
                ChallengeType::Http01
            }
            "tls-alpn-01" => {
                let by_name = ByName(Arc::clone(&certificates));
                tokio::spawn(serve_tls(listen(var("TLS_PORT")?).await?, by_name));
                ChallengeType::TlsAlpn01
            }
            "dns-01" => ChallengeType::Dns01,
            other => return Err(format!("no such challenge: {other}").into()),
        };
        Ok(Self { kind, answers, certificates })
    }

    fn answer(&self, token: String, text: &str) {
        if let Ok(mut answers) = self.answers.lock() {
            answers.insert(token, text.to_owned());
        }
    }

    fn certify(&self, name: &str, digest: &[u8]) -> Outcome<()> {
        let mut parameters = CertificateParams::new([name.to_owned()])?;
        parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?.der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der())?;
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)?;
        let server_name = match name.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            _ => name.to_owned(),
        };
        if let Ok(mut certificates) = self.certificates.lock() {
            certificates.insert(server_name, Arc::new(CertifiedKey::new(vec![certificate], key)));
        }
        Ok(())
    }
}

async fn serve_web(listener: TcpListener, answers: Answers) {
    while let Ok((stream, _)) = listener.accept().await {
        let answers = Arc::clone(&answers);
        tokio::spawn(async move { drop(serve_request(stream, &answers).await) });
    }
}

async fn serve_request(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let mut request = vec![0; 8192];
    let length = stream.read(&mut request).await?;
    let text = String::from_utf8_lossy(request.get(..length).unwrap_or_default()).into_owned();
    let token = text.split(' ').nth(1).and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let answer = answers.lock().ok().and_then(|answers| answers.get(token).cloned());
    let status = if answer.is_some() { "200 OK" } else { "404 Not Found" };
    let body = answer.unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

#[derive(Debug)]
struct ByName(Arc<Mutex<HashMap<String, Arc<CertifiedKey>>>>);

impl rustls::server::ResolvesServerCert for ByName {
    fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.lock().ok()?.get(hello.server_name()?).cloned()
    }
}

async fn serve_tls(listener: TcpListener, by_name: ByName) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                drop(stream.read(&mut [0; 1]).await);
            }
        });
    }
    Ok(())
}
