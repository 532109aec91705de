//! The index of endpoints. Literals stand before placeholders.

use crate::{
    SshAuthority,
    api::{
        certificates, config_ca, issuers, krl, lookup, otp, public, renew, revoke, roles, rotation, sign, zero_address,
    },
};
use chancery_engine::{
    Route, RouteTable,
    operation::Verb::{Delete, List, Patch, Read, Write},
};

type R = Route<SshAuthority>;

pub(crate) fn table() -> RouteTable<SshAuthority> {
    let mut routes = public_routes();
    routes.extend(authority_routes());
    routes.extend(certificate_routes());
    routes.extend(otp_routes());
    RouteTable::new(routes)
}

/// For machines that have no token.
fn public_routes() -> Vec<R> {
    vec![
        R::at("public_key", "The default CA's public key, text").on(Read, public::public_key).public(),
        R::at("issuer/:issuer_ref/public_key", "A CA's public key, text").on(Read, public::issuer_public_key).public(),
        R::at("krl", "Key revocation list of every CA").on(Read, krl::read).public(),
        R::at("issuer/:issuer_ref/krl", "Key revocation list of a CA").on(Read, krl::read_issuer).public(),
        R::at("trusted_keys", "The CA keys hosts shall trust now, text").on(Read, rotation::trusted_keys).public(),
        R::at("issuer/:issuer_ref/trusted_keys", "The same for another CA, text")
            .on(Read, rotation::issuer_trusted_keys)
            .public(),
        R::at("host/nonce", "A nonce to sign for a renewal").on(Read, renew::nonce).public(),
        R::at("host/renew", "Renew a host certificate by proof of possession").on(Write, renew::renew).public(),
        R::at("verify", "Use a one-time password").on(Write, otp::verify).public(),
    ]
}

/// CA keys.
fn authority_routes() -> Vec<R> {
    vec![
        R::at("config/ca", "The default CA")
            .on(Read, config_ca::read)
            .on(Write, config_ca::write)
            .on(Delete, config_ca::delete),
        R::at("config/issuers", "The default issuer").on(Read, issuers::read_config).on(Write, issuers::write_config),
        R::at("issuers", "List issuers").on(List, issuers::list),
        R::at("issuers/import", "Generate or bring a CA key").on(Write, config_ca::import),
        R::at("issuers/import/:issuer_name", "Generate or bring a CA key").on(Write, config_ca::import),
        R::at("rotations", "List rotations").on(List, rotation::list),
        R::at("rotation/:issuer_ref", "Replace a CA key step by step")
            .on(Read, rotation::read)
            .on(Write, rotation::write),
        R::at("issuer/:issuer_ref", "One issuer")
            .on(Read, issuers::read)
            .on(Write, issuers::write)
            .on(Delete, issuers::delete),
    ]
}

/// Roles and certificates.
fn certificate_routes() -> Vec<R> {
    vec![
        R::at("roles", "List roles").on(List, roles::list),
        R::at("roles/:name", "One role")
            .on(Read, roles::read)
            .on(Write, roles::write)
            .on(Patch, roles::patch)
            .on(Delete, roles::delete)
            .exists(roles::exists),
        R::at("sign/:role", "Sign a public key").on(Write, sign::sign),
        R::at("issue/:role", "Issue a certificate with a new key").on(Write, sign::issue),
        R::at("certificates", "Search certificates").on(List, certificates::list),
        R::at("certificate/{serial}", "One certificate").on(Read, certificates::read),
        R::at("config/inventory", "How long certificates are kept")
            .on(Read, certificates::read_config)
            .on(Write, certificates::write_config),
        R::at("revoke", "Revoke certificates, keys or an issuer").on(Write, revoke::revoke),
        R::at("revocations", "List revocations").on(List, revoke::list),
        R::at("revocation/{id}", "One revocation").on(Read, revoke::read).on(Delete, revoke::delete),
        R::at("config/krl", "Comment of revocation lists").on(Read, krl::read_config).on(Write, krl::write_config),
    ]
}

/// One-time passwords.
fn otp_routes() -> Vec<R> {
    vec![
        R::at("creds/:role", "Make a one-time password").on(Write, otp::credentials),
        R::at("lookup", "Roles for an address").on(Write, lookup::lookup),
        R::at("config/zeroaddress", "Roles for any address")
            .on(Read, zero_address::read)
            .on(Write, zero_address::write)
            .on(Delete, zero_address::delete),
        R::at("tidy/dynamic-keys", "Nothing any more").on(Delete, zero_address::tidy_dynamic_keys),
    ]
}
