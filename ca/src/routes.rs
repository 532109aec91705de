//! The index of endpoints. Literals stand before placeholders.

use crate::{
    CertificateAuthority,
    api::{
        cel, certificates, config, crl, import, intermediate, issue, issuer, issuers, keys, ocsp, public, revoke,
        roles, root, search, sign_intermediate, sign_list, tidy,
    },
};
use chancery_engine::{
    Route, RouteTable,
    operation::Verb::{Delete, List, Patch, Read, Write},
};

type R = Route<CertificateAuthority>;

pub(crate) fn table() -> RouteTable<CertificateAuthority> {
    let mut routes = public_routes();
    routes.extend(revocation_routes());
    routes.extend(upkeep_routes());
    routes.extend(authority_routes());
    routes.extend(issuer_routes());
    routes.extend(issuance_routes());
    RouteTable::new(routes)
}

/// Fetched by machines that have no token.
fn public_routes() -> Vec<R> {
    vec![
        R::at("ca", "CA certificate, DER").on(Read, public::ca).public(),
        R::at("ca/pem", "CA certificate, PEM").on(Read, public::ca_pem).public(),
        R::at("ca_chain", "CA certificate and those above it, PEM").on(Read, public::ca_chain).public(),
        R::at("cert/ca", "CA certificate").on(Read, public::certificate_ca).public(),
        R::at("cert/ca/raw", "CA certificate, DER").on(Read, public::ca).public(),
        R::at("cert/ca/raw/pem", "CA certificate, PEM").on(Read, public::ca_pem).public(),
        R::at("cert/ca_chain", "CA certificate and those above it").on(Read, public::certificate_chain).public(),
        R::at("cert/crl", "CRL of the default issuer").on(Read, crl::certificate_crl).public(),
        R::at("cert/delta-crl", "Delta CRL of the default issuer").on(Read, crl::certificate_delta).public(),
        R::at("cert/{serial}", "One certificate").on(Read, certificates::read).public(),
        R::at("cert/{serial}/raw", "One certificate, DER").on(Read, certificates::read_raw).public(),
        R::at("cert/{serial}/raw/pem", "One certificate, PEM").on(Read, certificates::read_pem).public(),
        R::at("issuers", "List issuers").on(List, issuers::list).public(),
        R::at("issuer/:issuer_ref/json", "An issuer's certificate and chain").on(Read, issuer::json).public(),
        R::at("issuer/:issuer_ref/pem", "An issuer's certificate, PEM").on(Read, issuer::pem).public(),
        R::at("issuer/:issuer_ref/der", "An issuer's certificate, DER").on(Read, issuer::der).public(),
    ]
}

/// What is published of revocations; fetched by machines that have no token.
fn revocation_routes() -> Vec<R> {
    vec![
        R::at("crl", "CRL of the default issuer, DER").on(Read, crl::complete).published(),
        R::at("crl/pem", "CRL of the default issuer, PEM").on(Read, crl::complete_pem).published(),
        R::at("crl/delta", "Delta CRL of the default issuer, DER").on(Read, crl::delta).published(),
        R::at("crl/delta/pem", "Delta CRL of the default issuer, PEM").on(Read, crl::delta_pem).published(),
        R::at("crl/shard/{shard}", "A shard of the default issuer's CRL, DER").on(Read, crl::issuer_shard).published(),
        R::at("issuer/:issuer_ref/crl", "An issuer's CRL").on(Read, crl::issuer).published(),
        R::at("issuer/:issuer_ref/crl/pem", "An issuer's CRL, PEM").on(Read, crl::issuer_pem).published(),
        R::at("issuer/:issuer_ref/crl/der", "An issuer's CRL, DER").on(Read, crl::issuer_der).published(),
        R::at("issuer/:issuer_ref/crl/delta", "An issuer's delta CRL").on(Read, crl::issuer_delta).published(),
        R::at("issuer/:issuer_ref/crl/delta/pem", "An issuer's delta CRL, PEM")
            .on(Read, crl::issuer_delta_pem)
            .published(),
        R::at("issuer/:issuer_ref/crl/delta/der", "An issuer's delta CRL, DER")
            .on(Read, crl::issuer_delta_der)
            .published(),
        R::at("issuer/:issuer_ref/crl/shard/{shard}", "A shard of an issuer's CRL, DER")
            .on(Read, crl::issuer_shard)
            .published(),
        R::at("ocsp", "OCSP responder").on(Write, ocsp::post).published(),
        R::at("ocsp/*req", "OCSP responder").on(Read, ocsp::get).published(),
    ]
}

/// Revoking, and what goes on by itself.
fn upkeep_routes() -> Vec<R> {
    vec![
        R::at("revoke", "Revoke a certificate").on(Write, revoke::revoke),
        R::at("revoke-with-key", "Revoke a certificate by its own key").on(Write, revoke::revoke_with_key),
        R::at("issuer/:issuer_ref/revoke", "Revoke an issuer").on(Write, revoke::revoke_issuer),
        R::at("issuer/:issuer_ref/resign-crls", "Sign the union of an issuer's CRLs").on(Write, sign_list::resign),
        R::at("issuer/:issuer_ref/sign-revocation-list", "Sign a CRL of the caller's making")
            .on(Write, sign_list::sign_list),
        R::at("crl/rotate", "Rebuild every CRL").on(Read, crl::rotate),
        R::at("crl/rotate-delta", "Rebuild every delta CRL").on(Read, crl::rotate_delta),
        R::at("tidy", "Remove what has had its time").on(Write, tidy::tidy),
        R::at("tidy-cancel", "Stop a tidy run").on(Write, tidy::cancel),
        R::at("tidy-status", "How far the last tidy run is").on(Read, tidy::status),
        R::at("config/auto-tidy", "When the mount tidies itself").on(Read, tidy::read_auto).on(Write, tidy::write_auto),
    ]
}

/// Making CAs and their keys.
fn authority_routes() -> Vec<R> {
    vec![
        R::at("root/generate/{exported}", "Generate a root").on(Write, root::generate),
        R::at("issuers/generate/root/{exported}", "Generate a root").on(Write, root::generate),
        R::at("root/rotate/{exported}", "Generate the next root").on(Write, root::rotate),
        R::at("root/replace", "Make the next root the default").on(Write, root::replace),
        R::at("root/sign-intermediate", "Sign an intermediate's request")
            .on(Write, sign_intermediate::sign_intermediate),
        R::at("root/sign-self-issued", "Cross-sign a root").on(Write, sign_intermediate::sign_self_issued).sudo(),
        R::at("root", "Delete every issuer and key").on(Delete, root::delete).sudo(),
        R::at("intermediate/generate/{exported}", "Generate an intermediate's key and request")
            .on(Write, intermediate::generate),
        R::at("issuers/generate/intermediate/{exported}", "Generate an intermediate's key and request")
            .on(Write, intermediate::generate),
        R::at("intermediate/cross-sign", "Make a request for a key that is here").on(Write, intermediate::cross_sign),
        R::at("intermediate/set-signed", "Import an intermediate's certificate").on(Write, intermediate::set_signed),
        R::at("issuers/import/cert", "Import CA certificates").on(Write, import::import_certificates),
        R::at("issuers/import/bundle", "Import CA certificates and keys").on(Write, import::import),
        R::at("config/ca", "Import CA certificates and keys").on(Write, import::import),
        R::at("keys", "List CA keys").on(List, keys::list),
        R::at("keys/generate/{exported}", "Generate a CA key").on(Write, keys::generate),
        R::at("keys/import", "Import a CA key").on(Write, import::import_one_key),
        R::at("key/:key_ref", "One CA key").on(Read, keys::read).on(Write, keys::write).on(Delete, keys::delete),
    ]
}

/// Settings of issuers and of the mount.
fn issuer_routes() -> Vec<R> {
    vec![
        R::at("issuer/:issuer_ref", "One issuer")
            .on(Read, issuer::read)
            .on(Write, issuer::write)
            .on(Patch, issuer::patch)
            .on(Delete, issuer::delete),
        R::at("config/issuers", "The default issuer").on(Read, issuers::read_config).on(Write, issuers::write_config),
        R::at("config/keys", "The default key").on(Read, keys::read_config).on(Write, keys::write_config),
        R::at("config/urls", "Where issuers publish").on(Read, config::read_urls).on(Write, config::write_urls),
        R::at("config/cluster", "Where this mount is reached")
            .on(Read, config::read_cluster)
            .on(Write, config::write_cluster),
        R::at("config/crl", "How CRLs are made").on(Read, config::read_crl).on(Write, config::write_crl),
    ]
}

/// Roles, certificates, revocation.
fn issuance_routes() -> Vec<R> {
    vec![
        R::at("roles", "List roles").on(List, roles::list),
        R::at("roles/:name", "One role")
            .on(Read, roles::read)
            .on(Write, roles::write)
            .on(Patch, roles::patch)
            .on(Delete, roles::delete)
            .exists(roles::exists),
        R::at("cel/roles", "List roles that are programs").on(List, cel::list),
        R::at("cel/roles/:name", "One role that is a program")
            .on(Read, cel::read)
            .on(Write, cel::write)
            .on(Patch, cel::patch)
            .on(Delete, cel::delete)
            .exists(cel::exists),
        R::at("cel/issue/:role", "Issue a certificate as a program says").on(Write, cel::issue),
        R::at("cel/sign/:role", "Sign a request as a program says").on(Write, cel::sign),
        R::at("issue/:role", "Issue a certificate with a new key").on(Write, issue::issue),
        R::at("sign/:role", "Sign a request").on(Write, issue::sign),
        R::at("sign-verbatim", "Sign a request as it is").on(Write, issue::sign_verbatim),
        R::at("sign-verbatim/:role", "Sign a request as it is").on(Write, issue::sign_verbatim),
        R::at("issuer/:issuer_ref/issue/:role", "Issue a certificate with a new key").on(Write, issue::issue),
        R::at("issuer/:issuer_ref/sign/:role", "Sign a request").on(Write, issue::sign),
        R::at("issuer/:issuer_ref/sign-verbatim", "Sign a request as it is").on(Write, issue::sign_verbatim),
        R::at("issuer/:issuer_ref/sign-verbatim/:role", "Sign a request as it is").on(Write, issue::sign_verbatim),
        R::at("issuer/:issuer_ref/sign-intermediate", "Sign an intermediate's request")
            .on(Write, sign_intermediate::sign_intermediate),
        R::at("issuer/:issuer_ref/sign-self-issued", "Cross-sign a root")
            .on(Write, sign_intermediate::sign_self_issued)
            .sudo(),
        R::at("certs", "List certificates").on(List, certificates::list),
        R::at("certs/revoked", "List revoked certificates").on(List, certificates::list_revoked),
        R::at("certs/detailed", "List certificates with what they say").on(List, search::detailed),
        R::at("certs/search", "Find certificates").on(Read, search::search).on(List, search::search),
    ]
}
