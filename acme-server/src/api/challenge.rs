//! Answering a challenge (RFC 8555 §7.5.1). Looking is done behind the request; an answer that is there at once goes out
//! with it, and saves the client from asking again and the store a commit.

use super::{authorization, order::LOOK_AGAIN_SECONDS};
use crate::{
    challenge::ChallengeType,
    exchange::{Answer, Exchange},
    problem::Problem,
    server::AcmeServer,
    state::{AuthorizationStatus, ChallengeEvent, ChallengeStatus},
    storage::Edit,
};
use chancery_store::StoreError;
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};

/// How long the request waits for what is found.
const PATIENCE: Duration = Duration::from_millis(250);

/// `POST challenge/:authorization/{kind}`
pub(crate) async fn challenge(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let (id, kind) = (exchange.capture("authorization").to_owned(), exchange.capture("kind").to_owned());
    let signed = exchange.by_account(&server, &format!("challenge/{id}/{kind}")).await?;
    let missing = || Problem::not_found("challenge");
    let kind: ChallengeType = kind.parse().map_err(|()| missing())?;
    let account = signed.account().to_owned();
    let mut found = authorization::find(&server, &exchange, &account, &id).await?;
    let status = found.value.challenge(kind).ok_or_else(missing)?.status;
    if !signed.is_post_as_get() {
        // RFC 8555 §7.5.1: an empty object; other members are those of challenges we do not have.
        let _members: Map<String, Value> = signed.parse()?;
        if status == ChallengeStatus::Pending && found.value.status == AuthorizationStatus::Pending {
            server.look_into(&exchange, (&account, &id, kind)).await?;
            found = authorization::find(&server, &exchange, &account, &id).await?;
        } else if found.value.status != AuthorizationStatus::Pending && status == ChallengeStatus::Pending {
            let detail = format!("the authorization is {:?}", found.value.status).to_lowercase();
            return Err(Problem::malformed(detail));
        }
    }
    let challenge = found.value.challenge(kind).ok_or_else(missing)?;
    let body = authorization::challenge_view(&exchange, &found.value, challenge);
    let answer = Answer::json(200, &body).link("up", exchange.url(&format!("authorization/{id}")));
    let goes_on = challenge.status == ChallengeStatus::Processing;
    Ok(if goes_on { answer.again_after(LOOK_AGAIN_SECONDS) } else { answer })
}

impl AcmeServer {
    /// Begins to look. Where that takes long, the challenge is durably `processing` before the client is told so.
    async fn look_into(
        self: &Arc<Self>,
        exchange: &Exchange,
        (account, id, kind): (&str, &str, ChallengeType),
    ) -> Result<(), Problem> {
        let mut done = self.validate((account, id, kind), exchange.account_url(account));
        if tokio::time::timeout(PATIENCE, done.wait_for(|done| *done)).await.is_ok() {
            return Ok(());
        }
        let Some(mut found) = self.records.authorization(account, id).await? else { return Ok(()) };
        let Some(challenge) = found.value.challenge_mut(kind) else { return Ok(()) };
        let Some(status) = challenge.status.after(ChallengeEvent::Answered) else { return Ok(()) };
        challenge.status = status;
        let mut edit = Edit::default();
        self.records.replace_object(&mut edit, &found)?;
        self.note_validation(&mut edit, (account, id, kind), exchange.account_url(account))?;
        match self.records.commit(edit).await {
            // It was decided meanwhile.
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
