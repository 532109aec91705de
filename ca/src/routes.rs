//! The index of endpoints. Literals stand before placeholders.

use crate::{
    CertificateAuthority,
    api::{
        certificates, config, import, intermediate, issue, issuer, issuers, keys, public, revoke, roles, root,
        sign_intermediate,
    },
};
use chancery_engine::{
    Route, RouteTable,
    operation::Verb::{Delete, List, Patch, Read, Write},
};

type R = Route<CertificateAuthority>;

pub(crate) fn table() -> RouteTable<CertificateAuthority> {
    let mut routes = public_routes();
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
        R::at("crl", "CRL of the default issuer, DER").on(Read, public::crl).public(),
        R::at("crl/pem", "CRL of the default issuer, PEM").on(Read, public::crl_pem).public(),
        R::at("cert/ca", "CA certificate").on(Read, public::certificate_ca).public(),
        R::at("cert/ca/raw", "CA certificate, DER").on(Read, public::ca).public(),
        R::at("cert/ca/raw/pem", "CA certificate, PEM").on(Read, public::ca_pem).public(),
        R::at("cert/ca_chain", "CA certificate and those above it").on(Read, public::certificate_chain).public(),
        R::at("cert/crl", "CRL of the default issuer").on(Read, public::certificate_crl).public(),
        R::at("cert/{serial}", "One certificate").on(Read, certificates::read).public(),
        R::at("cert/{serial}/raw", "One certificate, DER").on(Read, certificates::read_raw).public(),
        R::at("cert/{serial}/raw/pem", "One certificate, PEM").on(Read, certificates::read_pem).public(),
        R::at("issuers", "List issuers").on(List, issuers::list).public(),
        R::at("issuer/:issuer_ref/json", "An issuer's certificate and chain").on(Read, issuer::json).public(),
        R::at("issuer/:issuer_ref/pem", "An issuer's certificate, PEM").on(Read, issuer::pem).public(),
        R::at("issuer/:issuer_ref/der", "An issuer's certificate, DER").on(Read, issuer::der).public(),
        R::at("issuer/:issuer_ref/crl", "An issuer's CRL").on(Read, issuer::crl).public(),
        R::at("issuer/:issuer_ref/crl/pem", "An issuer's CRL, PEM").on(Read, issuer::crl_pem).public(),
        R::at("issuer/:issuer_ref/crl/der", "An issuer's CRL, DER").on(Read, issuer::crl_raw).public(),
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
        R::at("crl/rotate", "Rebuild every CRL").on(Read, revoke::rotate),
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
        R::at("revoke", "Revoke a certificate").on(Write, revoke::revoke),
    ]
}
