//! What became of a transaction whose `COMMIT` was not answered.

use super::{connector::Connector, failure, session::Session};
use crate::StoreError;
use std::time::{Duration, Instant};
use tokio_postgres::Error;

/// Whether a transaction with this token was committed, and a connection that works.
///
/// Taking the lock of the change sequence waits until the transaction in question is over, however it ends: whether its
/// token is there then is the truth. After a failover it is the truth of the new primary.
pub(super) async fn committed(
    connector: &Connector,
    token: &[u8; 16],
    deadline: Instant,
) -> Result<(Session, bool), StoreError> {
    loop {
        let session = connector.connect_by(deadline).await?;
        let error = match tokio::time::timeout_at(deadline.into(), look(&session, token)).await {
            Ok(Ok(found)) => return Ok((session, found)),
            Ok(Err(error)) => failure::told("postgres SELECT", &error),
            Err(_) => StoreError::unavailable("the database does not answer"),
        };
        session.abandon();
        if Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn look(session: &Session, token: &[u8; 16]) -> Result<bool, Error> {
    session.client.batch_execute("BEGIN").await?;
    session.client.batch_execute("SELECT value FROM change_sequence WHERE id = 1 FOR UPDATE").await?;
    let sql = "SELECT EXISTS (SELECT 1 FROM change_log WHERE token = $1)";
    let found = session.client.query_one(sql, &[&token.as_slice()]).await?.try_get(0)?;
    session.client.batch_execute("ROLLBACK").await?;
    Ok(found)
}
