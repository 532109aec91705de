//! The index of endpoints. Those of the protocol are there four times: at the mount, below a role, below an issuer, and
//! below both.

use crate::{
    api::{
        account, administration, authorization, bindings, certificate, challenge, config, directory, finalize,
        key_change, new_account, new_order, order, renewal, revoke,
    },
    exchange::protocol,
    server::AcmeServer,
};
use chancery_engine::{
    Route, RouteTable,
    Verb::{Delete, List, Read, Write},
};

type R = Route<AcmeServer>;

/// An endpoint of the protocol that is posted to.
macro_rules! posted {
    ($pattern:expr, $summary:expr, $endpoint:path) => {
        R::at($pattern, $summary).on(Write, |server, call| protocol(server, call, $endpoint)).public()
    };
}

/// An endpoint of the protocol that is fetched.
macro_rules! fetched {
    ($pattern:expr, $summary:expr, $endpoint:path) => {
        R::at($pattern, $summary).on(Read, |server, call| protocol(server, call, $endpoint)).public()
    };
}

/// The certificate of an order that renews it: some are fetched by anybody (RFC 8739 §3.4).
macro_rules! renewed {
    ($pattern:expr, $summary:expr) => {
        R::at($pattern, $summary)
            .on(Read, |server, call| protocol(server, call, certificate::fetched_star))
            .on(Write, |server, call| protocol(server, call, certificate::posted_star))
            .public()
    };
}

/// Every endpoint below one directory.
macro_rules! directory {
    ($place:literal) => {
        [
            fetched!(concat!($place, "acme/directory"), "ACME: the directory", directory::directory),
            fetched!(concat!($place, "acme/new-nonce"), "ACME: a nonce", directory::new_nonce),
            fetched!(concat!($place, "acme/renewal-info/{certificate}"), "ACME: when to renew", renewal::renewal_info),
            posted!(concat!($place, "acme/new-account"), "ACME: a new account", new_account::new_account),
            posted!(concat!($place, "acme/account/:account"), "ACME: an account", account::account),
            posted!(concat!($place, "acme/account/:account/orders"), "ACME: an account's orders", account::orders),
            posted!(concat!($place, "acme/account/:account/orders/:after"), "ACME: further orders", account::orders),
            posted!(concat!($place, "acme/new-order"), "ACME: a new order", new_order::new_order),
            posted!(concat!($place, "acme/new-authz"), "ACME: an authorization", authorization::new_authorization),
            posted!(
                concat!($place, "acme/authorization/:authorization"),
                "ACME: an authorization",
                authorization::authorization
            ),
            posted!(concat!($place, "acme/challenge/:authorization/{kind}"), "ACME: a challenge", challenge::challenge),
            posted!(concat!($place, "acme/order/:order"), "ACME: an order", order::order),
            posted!(concat!($place, "acme/order/:order/finalize"), "ACME: finalize an order", finalize::finalize),
            posted!(concat!($place, "acme/order/:order/cert"), "ACME: a certificate", certificate::certificate),
            posted!(concat!($place, "acme/order/:order/cert/:chain"), "ACME: another chain", certificate::certificate),
            renewed!(concat!($place, "acme/star/:account/:order"), "ACME: a certificate that is renewed"),
            renewed!(concat!($place, "acme/star/:account/:order/:chain"), "ACME: another chain of it"),
            posted!(concat!($place, "acme/revoke-cert"), "ACME: revoke a certificate", revoke::revoke),
            posted!(concat!($place, "acme/key-change"), "ACME: change an account's key", key_change::key_change),
            R::at(concat!($place, "acme/new-eab"), "Make an external account key").on(Write, bindings::new),
        ]
    };
}

/// Everything, in the order of matching.
pub(crate) fn table() -> RouteTable<AcmeServer> {
    let mut routes = Vec::new();
    routes.extend(directory!(""));
    routes.extend(directory!("roles/:role/"));
    routes.extend(directory!("issuer/:issuer/"));
    routes.extend(directory!("issuer/:issuer/roles/:role/"));
    routes.extend(operators());
    RouteTable::new(routes)
}

/// What is for operators.
fn operators() -> Vec<R> {
    vec![
        R::at("config/acme", "What ACME may do").on(Read, config::read).on(Write, config::write),
        R::at("eab", "List external account keys").on(List, bindings::list),
        R::at("eab/:id", "Delete an external account key").on(Delete, bindings::delete),
        R::at("acme/accounts", "List accounts").on(List, administration::accounts),
        R::at("acme/accounts/:account", "One account")
            .on(Read, administration::read_account)
            .on(Write, administration::write_account),
        // Vault's own names for the same.
        R::at("acme/mgmt/account/keyid", "List accounts").on(List, administration::accounts),
        R::at("acme/mgmt/account/keyid/:account", "One account")
            .on(Read, administration::read_account)
            .on(Write, administration::write_account),
        R::at("acme/orders/:account", "List an account's orders").on(List, administration::orders),
        R::at("acme/orders/:account/:order", "One order").on(Read, administration::read_order),
        R::at("acme/replacements", "Certificates to be replaced early")
            .on(List, administration::replacements)
            .on(Write, administration::add_replacement),
        R::at("acme/replacements/:id", "One rule for early replacement").on(Delete, administration::delete_replacement),
    ]
}
