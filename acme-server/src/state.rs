//! How orders, authorizations and challenges go from state to state (RFC 8555 §7.1.6). The tables here are the only place
//! that says so; what is not in them does not happen.

use serde::{Deserialize, Serialize};

/// `status` of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of RFC 8555 §7.1.2")]
pub enum AccountStatus {
    Valid,
    Deactivated,
    Revoked,
}

/// `status` of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of RFC 8555 §7.1.3")]
pub enum OrderStatus {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
    /// RFC 8739 §3.1.2
    Canceled,
}

/// `status` of an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of RFC 8555 §7.1.4")]
pub enum AuthorizationStatus {
    Pending,
    Valid,
    Invalid,
    Deactivated,
    Expired,
    Revoked,
}

/// `status` of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of RFC 8555 §7.1.5")]
pub enum ChallengeStatus {
    Pending,
    Processing,
    Valid,
    Invalid,
}

/// What happens to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderEvent {
    /// Its last authorization became valid.
    Authorized,
    /// An authorization it needs failed, was deactivated or ran out.
    AuthorizationLost,
    /// Its time is over.
    TimedOut,
    /// Its request is being signed.
    Finalized,
    /// The certificate is there.
    Issued,
    /// There will be no certificate.
    Refused,
    /// The client wants no further certificates (RFC 8739 §3.1.2).
    Canceled,
    /// There will be no further certificates.
    RenewalRefused,
}

/// What happens to an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthorizationEvent {
    /// One of its challenges showed control.
    Shown,
    /// The challenge that was tried did not.
    Failed,
    /// The client gave it up.
    Deactivated,
    /// Its time is over.
    TimedOut,
    /// An operator withdrew it.
    Revoked,
}

/// What happens to a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChallengeEvent {
    /// The client says that it is ready.
    Answered,
    /// Control was shown.
    Shown,
    /// It was not.
    Failed,
}

/// Orders: from, event, to. The last two happen only to orders that renew their certificates.
pub const ORDERS: [(OrderStatus, OrderEvent, OrderStatus); 10] = {
    use OrderEvent::{
        AuthorizationLost, Authorized, Canceled as GivenUp, Finalized, Issued, Refused, RenewalRefused, TimedOut,
    };
    use OrderStatus::{Canceled, Invalid, Pending, Processing, Ready, Valid};
    [
        (Pending, Authorized, Ready),
        (Pending, AuthorizationLost, Invalid),
        (Pending, TimedOut, Invalid),
        (Ready, AuthorizationLost, Invalid),
        (Ready, TimedOut, Invalid),
        (Ready, Finalized, Processing),
        (Processing, Issued, Valid),
        (Processing, Refused, Invalid),
        (Valid, GivenUp, Canceled),
        (Valid, RenewalRefused, Invalid),
    ]
};

/// Authorizations: from, event, to.
pub const AUTHORIZATIONS: [(AuthorizationStatus, AuthorizationEvent, AuthorizationStatus); 8] = {
    use AuthorizationEvent::{Deactivated as GivenUp, Failed, Revoked as Withdrawn, Shown, TimedOut};
    use AuthorizationStatus::{Deactivated, Expired, Invalid, Pending, Revoked, Valid};
    [
        (Pending, Shown, Valid),
        (Pending, Failed, Invalid),
        (Pending, TimedOut, Invalid),
        (Pending, GivenUp, Deactivated),
        (Valid, GivenUp, Deactivated),
        (Valid, TimedOut, Expired),
        (Valid, Withdrawn, Revoked),
        (Pending, Withdrawn, Revoked),
    ]
};

/// Challenges: from, event, to. An answer that is known before the client hears of it goes straight to its end.
pub const CHALLENGES: [(ChallengeStatus, ChallengeEvent, ChallengeStatus); 5] = {
    use ChallengeEvent::{Answered, Failed, Shown};
    use ChallengeStatus::{Invalid, Pending, Processing, Valid};
    [
        (Pending, Answered, Processing),
        (Pending, Shown, Valid),
        (Pending, Failed, Invalid),
        (Processing, Shown, Valid),
        (Processing, Failed, Invalid),
    ]
};

fn step<S: Copy + PartialEq, E: Copy + PartialEq>(table: &[(S, E, S)], from: S, event: E) -> Option<S> {
    table.iter().find(|(state, happens, _)| *state == from && *happens == event).map(|(.., to)| *to)
}

impl OrderStatus {
    /// The state after the event; `None` where it cannot happen in this one.
    #[must_use]
    pub fn after(self, event: OrderEvent) -> Option<Self> {
        step(&ORDERS, self, event)
    }
}

impl AuthorizationStatus {
    /// The state after the event; `None` where it cannot happen in this one.
    #[must_use]
    pub fn after(self, event: AuthorizationEvent) -> Option<Self> {
        step(&AUTHORIZATIONS, self, event)
    }
}

impl ChallengeStatus {
    /// The state after the event; `None` where it cannot happen in this one.
    #[must_use]
    pub fn after(self, event: ChallengeEvent) -> Option<Self> {
        step(&CHALLENGES, self, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_final_state() {
        use OrderEvent::{
            AuthorizationLost, Authorized, Canceled, Finalized, Issued, Refused, RenewalRefused, TimedOut,
        };
        for event in [AuthorizationLost, Authorized, Finalized, Issued, Refused, TimedOut] {
            assert_eq!(OrderStatus::Valid.after(event), None);
        }
        let all = [AuthorizationLost, Authorized, Finalized, Issued, Refused, TimedOut, Canceled, RenewalRefused];
        for event in all {
            assert_eq!(OrderStatus::Invalid.after(event), None);
            assert_eq!(OrderStatus::Canceled.after(event), None);
        }
        for event in [ChallengeEvent::Answered, ChallengeEvent::Shown, ChallengeEvent::Failed] {
            assert_eq!(ChallengeStatus::Valid.after(event), None);
            assert_eq!(ChallengeStatus::Invalid.after(event), None);
        }
    }

    #[test]
    fn an_order_that_is_being_signed_neither_times_out_nor_loses_its_authorizations() {
        assert_eq!(OrderStatus::Processing.after(OrderEvent::TimedOut), None);
        assert_eq!(OrderStatus::Processing.after(OrderEvent::AuthorizationLost), None);
        assert_eq!(OrderStatus::Processing.after(OrderEvent::Issued), Some(OrderStatus::Valid));
    }

    #[test]
    fn every_step_stands_in_its_table_once() {
        for (at, (from, event, _)) in ORDERS.iter().enumerate() {
            assert!(ORDERS.iter().skip(at + 1).all(|(other, happens, _)| (other, happens) != (from, event)));
        }
        for (at, (from, event, _)) in AUTHORIZATIONS.iter().enumerate() {
            assert!(AUTHORIZATIONS.iter().skip(at + 1).all(|(other, happens, _)| (other, happens) != (from, event)));
        }
    }
}
